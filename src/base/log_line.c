/* log_line.c: an event as one line of text, JSON, or in syslog's form. Values are a stranger's bytes: nothing
 * they hold may end the line, end the value early, or move the terminal's cursor. Called by log.c and tests.
 */
#include "base/log.h"

#include <stdio.h>
#include <string.h>

#define TAIL_ROOM                                                                                            \
    40 /* kept free for what closes the line: the mark that fields were left out, "}", line feed */

const char *const log_level_names[LOG_LEVEL_COUNT + 1] = {"debug", "info", "warn", "error", NULL};
const char *const log_format_names[LOG_FORMAT_COUNT + 1] = {"text", "json", "postfix", NULL};

/* Writes into the caller's fixed array; `full` once something did not fit. */
struct line {
    char *at;
    size_t len, max;
    bool full;
};

static void put(struct line *l, const void *bytes, size_t len)
{
    if (l->full || len > l->max - l->len) {
        l->full = true;
        return;
    }
    memcpy(l->at + l->len, bytes, len);
    l->len += len;
}

static void put_str(struct line *l, const char *text)
{
    put(l, text, strlen(text));
}

static void put_u64(struct line *l, uint64_t number)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
    put(l, digits, (size_t)len);
}

static void put_i64(struct line *l, int64_t number)
{
    if (number < 0)
        put_str(l, "-");
    put_u64(l, number < 0 ? -(uint64_t)number : (uint64_t)number);
}

/* Length of the UTF-8 character at the front that may stand in a log as it is, or 0: malformed, or one that
 * controls (C1), breaks lines (U+2028, U+2029) or turns the writing direction (U+200E, U+200F, U+202A to E,
 * U+2066 to 9). */
static size_t harmless_utf8(struct slice s)
{
    uint8_t first = s.ptr[0];
    size_t len = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || len > s.len || !slice_is_utf8(slice_sub(s, 0, len)))
        return 0;
    if (first == 0xc2 && s.ptr[1] < 0xa0)
        return 0;
    if (first == 0xe2 && s.ptr[1] == 0x80 &&
        (s.ptr[2] == 0x8e || s.ptr[2] == 0x8f || (s.ptr[2] >= 0xa8 && s.ptr[2] <= 0xae)))
        return 0;
    if (first == 0xe2 && s.ptr[1] == 0x81 && s.ptr[2] >= 0xa6 && s.ptr[2] <= 0xa9)
        return 0;
    return len;
}

/* One byte that cannot stand as it is. JSON has no bytes: what is not UTF-8 becomes U+FFFD there. */
static size_t escape_byte(uint8_t c, bool json, char out[8])
{
    switch (c) {
    case '"':
    case '\\':
        out[0] = '\\';
        out[1] = (char)c;
        return 2;
    case '\n':
        memcpy(out, "\\n", 2);
        return 2;
    case '\r':
        memcpy(out, "\\r", 2);
        return 2;
    case '\t':
        memcpy(out, "\\t", 2);
        return 2;
    default:
        break;
    }
    int len = json ? snprintf(out, 8, "\\u%04x", c < 0x80 ? c : 0xfffdu) : snprintf(out, 8, "\\x%02x", c);
    return (size_t)len;
}

static void put_escaped(struct line *l, struct slice s, bool json)
{
    size_t start = l->len;
    while (s.len > 0 && !l->full) {
        char escaped[8];
        const void *piece = s.ptr;
        size_t take = 1, len = 1;
        if (s.ptr[0] >= 0x80 && (take = len = harmless_utf8(s)) == 0) {
            take = 1;
            piece = escaped;
            len = escape_byte(s.ptr[0], json, escaped);
        } else if (s.ptr[0] < 0x80 && (!ascii_is_print(s.ptr[0]) || s.ptr[0] == '"' || s.ptr[0] == '\\')) {
            piece = escaped;
            len = escape_byte(s.ptr[0], json, escaped);
        }
        if (l->len - start + len > LOG_VALUE_MAX) {
            put_str(l, "...");
            return;
        }
        put(l, piece, len);
        s = slice_from(s, take);
    }
}

static bool is_bare(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!ascii_is_print(s.ptr[i]) || s.ptr[i] == ' ' || s.ptr[i] == '"' || s.ptr[i] == '\\' ||
            s.ptr[i] == '=')
            return false;
    return s.len > 0 && s.len <= LOG_VALUE_MAX;
}

static void put_quoted(struct line *l, struct slice s, bool json)
{
    put_str(l, "\"");
    put_escaped(l, s, json);
    put_str(l, "\"");
}

static void put_value(struct line *l, const struct log_field *field, bool json)
{
    switch (field->kind) {
    case LOG_KIND_TEXT:
        if (!json && is_bare(field->text))
            put(l, field->text.ptr, field->text.len);
        else
            put_quoted(l, field->text, json);
        return;
    case LOG_KIND_U64:
    case LOG_KIND_MS:
        put_u64(l, field->number);
        return;
    case LOG_KIND_I64:
        put_i64(l, (int64_t)field->number);
        return;
    case LOG_KIND_BOOL:
        put_str(l, field->number ? "true" : "false");
        return;
    case LOG_KIND_COMPAT:
    case LOG_KIND_END:
        return;
    }
}

static void put_text_field(struct line *l, const struct log_field *field)
{
    put_str(l, " ");
    put_str(l, field->key);
    put_str(l, "=");
    put_value(l, field, false);
    if (field->kind == LOG_KIND_MS)
        put_str(l, "ms");
}

static void put_json_field(struct line *l, const struct log_field *field)
{
    put_str(l, ",\"");
    put_str(l, field->key);
    put_str(l, field->kind == LOG_KIND_MS ? "_ms\":" : "\":");
    put_value(l, field, true);
}

/* A field stands in the line whole or not at all. */
static void put_fields(struct line *l, const struct log_field *fields, uint64_t repeated, bool json)
{
    void (*put_field)(struct line *, const struct log_field *) = json ? put_json_field : put_text_field;
    if (repeated)
        put_field(l, &LOG_U64("repeated", repeated));
    bool cut = false;
    for (const struct log_field *field = fields; field->kind != LOG_KIND_END; field++) {
        if (field->kind == LOG_KIND_COMPAT)
            continue;
        size_t before = l->len;
        put_field(l, field);
        if (l->full) {
            l->len = before;
            l->full = false;
            cut = true;
        }
    }
    l->max += TAIL_ROOM;
    if (cut)
        put_field(l, &LOG_BOOL("cut", true));
}

static void format_text(struct line *l, const struct log_head *head, enum log_level level, const char *event,
                        const struct log_field *fields)
{
    char time[CLOCK_TEXT_MAX];
    put(l, time, clock_rfc3339(head->unix_ms, time));
    put_str(l, " ");
    put_str(l, head->role);
    put_str(l, " ");
    put_str(l, log_level_names[level]);
    put_str(l, " ");
    put_str(l, event);
    put_fields(l, fields, head->repeated, false);
    put_str(l, "\n");
}

static void format_json(struct line *l, const struct log_head *head, enum log_level level, const char *event,
                        const struct log_field *fields)
{
    char time[CLOCK_TEXT_MAX];
    put_str(l, "{\"time\":\"");
    put(l, time, clock_rfc3339(head->unix_ms, time));
    put_str(l, "\",\"role\":\"");
    put_str(l, head->role);
    put_str(l, "\",\"level\":\"");
    put_str(l, log_level_names[level]);
    put_str(l, "\",\"event\":\"");
    put_str(l, event);
    put_str(l, "\"");
    put_fields(l, fields, head->repeated, true);
    put_str(l, "}\n");
}

static const struct log_field *find_compat(const struct log_field *fields)
{
    while (fields->kind != LOG_KIND_END && fields->kind != LOG_KIND_COMPAT)
        fields++;
    return fields->kind == LOG_KIND_COMPAT && fields->text.len ? fields : NULL;
}

static void format_postfix(struct line *l, const struct log_head *head, const struct log_field *fields)
{
    const struct log_field *compat = find_compat(fields);
    if (!compat)
        return;
    char time[CLOCK_TEXT_MAX];
    put(l, time, clock_syslog(head->unix_ms, time));
    put_str(l, " ");
    put_str(l, head->hostname);
    put_str(l, " ");
    put_str(l, compat->program);
    put_str(l, "[");
    put_u64(l, head->pid > 0 ? (uint64_t)head->pid : 1);
    put_str(l, "]: ");
    size_t room = l->max - l->len, len = compat->text.len < room ? compat->text.len : room;
    for (size_t i = 0; i < len; i++) /* the caller sanitised; this only keeps it one line whatever he did */
        put(l, ascii_is_print(compat->text.ptr[i]) ? (const char *)&compat->text.ptr[i] : "?", 1);
    l->max += TAIL_ROOM;
    put_str(l, "\n");
}

size_t log_format_line(enum log_format format, const struct log_head *head, enum log_level level,
                       const char *event, const struct log_field *fields, char line[LOG_LINE_MAX])
{
    struct line l = {.at = line, .max = LOG_LINE_MAX - TAIL_ROOM};
    if (format == LOG_FORMAT_JSON)
        format_json(&l, head, level, event, fields);
    else if (format == LOG_FORMAT_POSTFIX)
        format_postfix(&l, head, fields);
    else
        format_text(&l, head, level, event, fields);
    return l.len;
}

size_t log_compat_sanitize(struct slice raw, char *out, size_t max)
{
    size_t len = raw.len < max ? raw.len : max;
    for (size_t i = 0; i < len; i++) {
        uint8_t c = raw.ptr[i];
        bool ok = ascii_is_print(c) && c != ' ' && c != '[' && c != ']' && c != '<' && c != '>' && c != ',' &&
                  c != '=';
        out[i] = ok ? (char)c : '?';
    }
    return len;
}
