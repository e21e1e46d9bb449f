/* json_events.c: a JSON reader that is fed. Reads what other programs' servers answer: bounded in depth and
 * memory whatever they send. Called by policy/. */
#include "grammar/json_events.h"

#include <string.h>

/*   JSON-text = ws value ws                                                         RFC 8259 section 2
 *   value     = false / null / true / object / array / number / string
 *   object    = "{" [ member *( "," member ) ] "}"        member = string ":" value
 *   array     = "[" [ value *( "," value ) ] "]"
 *   number    = [ "-" ] int [ "." 1*DIGIT ] [ ( "e" / "E" ) [ "-" / "+" ] 1*DIGIT ]
 *   int       = "0" / ( digit1-9 *DIGIT )
 *   string    = %x22 *char %x22
 */
enum expect { WANT_VALUE, WANT_VALUE_OR_END, WANT_KEY, WANT_KEY_OR_END, WANT_COLON, WANT_NEXT, WANT_NOTHING };
enum token { TOKEN_NONE, TOKEN_STRING, TOKEN_ESCAPE, TOKEN_HEX, TOKEN_NUMBER, TOKEN_LITERAL };

void json_reader_begin(struct json_reader *r, json_event_fn *on_event, void *ctx)
{
    r->on_event = on_event;
    r->ctx = ctx;
    r->objects = 0;
    r->depth = 0;
    r->expect = WANT_VALUE;
    r->token = TOKEN_NONE;
    r->is_key = r->cut = false;
    r->high = 0;
    r->len = 0;
}

static enum err tell(struct json_reader *r, enum json_event_kind kind, bool has_text)
{
    const struct json_event event = {.kind = kind,
                                     .depth = r->depth,
                                     .text = has_text ? slice_make(r->text, r->len) : SLICE_EMPTY,
                                     .cut = has_text && r->cut};
    return r->on_event(r->ctx, &event) ? ERR_OK : ERR_REFUSED;
}

static bool in_object(const struct json_reader *r)
{
    return r->objects >> (r->depth - 1) & 1;
}

static void after_value(struct json_reader *r)
{
    r->expect = r->depth ? WANT_NEXT : WANT_NOTHING;
}

static void put(struct json_reader *r, uint8_t byte)
{
    if (r->len < sizeof r->text)
        r->text[r->len++] = (char)byte;
    else
        r->cut = true;
}

static void put_utf8(struct json_reader *r, uint32_t c)
{
    if (c < 0x80) {
        put(r, (uint8_t)c);
    } else if (c < 0x800) {
        put(r, (uint8_t)(0xc0 | c >> 6));
        put(r, (uint8_t)(0x80 | (c & 0x3f)));
    } else if (c < 0x10000) {
        put(r, (uint8_t)(0xe0 | c >> 12));
        put(r, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
        put(r, (uint8_t)(0x80 | (c & 0x3f)));
    } else {
        put(r, (uint8_t)(0xf0 | c >> 18));
        put(r, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
        put(r, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
        put(r, (uint8_t)(0x80 | (c & 0x3f)));
    }
}

/* Half a pair without the other half is no character. */
static void drop_half(struct json_reader *r)
{
    if (r->high)
        put_utf8(r, 0xfffd);
    r->high = 0;
}

/* ---- strings ---- */

static enum err string_byte(struct json_reader *r, uint8_t c)
{
    if (c == '\\') {
        r->token = TOKEN_ESCAPE;
        return ERR_OK;
    }
    drop_half(r);
    if (c < 0x20)
        return ERR_BAD;
    if (c != '"') {
        put(r, c);
        return ERR_OK;
    }
    r->token = TOKEN_NONE;
    if (r->is_key)
        r->expect = WANT_COLON;
    else
        after_value(r);
    return tell(r, r->is_key ? JSON_KEY : JSON_STRING, true);
}

static enum err escape_byte(struct json_reader *r, uint8_t c)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    if (c == 'u') {
        r->token = TOKEN_HEX;
        r->hex = 0;
        r->hex_count = 0;
        return ERR_OK;
    }
    const char *at = c ? strchr(names, c) : NULL;
    if (!at)
        return ERR_BAD;
    drop_half(r);
    put(r, (uint8_t)values[at - names]);
    r->token = TOKEN_STRING;
    return ERR_OK;
}

/* RFC 8259 section 7: what does not fit into 16 bits is a pair. */
static enum err hex_byte(struct json_reader *r, uint8_t c)
{
    int digit = ascii_hex_value(c);
    if (digit < 0)
        return ERR_BAD;
    r->hex = r->hex << 4 | (uint32_t)digit;
    if (++r->hex_count < 4)
        return ERR_OK;
    r->token = TOKEN_STRING;
    bool low = r->hex >> 10 == 0xdc00 >> 10;
    if (low && r->high) {
        put_utf8(r, 0x10000 + ((r->high & 0x3ff) << 10) + (r->hex & 0x3ff));
        r->high = 0;
        return ERR_OK;
    }
    drop_half(r);
    if (r->hex >> 10 == 0xd800 >> 10)
        r->high = r->hex;
    else
        put_utf8(r, low ? 0xfffd : r->hex);
    return ERR_OK;
}

/* ---- numbers and words ---- */

static size_t digits_at(struct slice s, size_t at)
{
    size_t count = 0;
    while (at + count < s.len && ascii_is_digit(s.ptr[at + count]))
        count++;
    return count;
}

static bool is_number(struct slice s)
{
    size_t at = s.len && s.ptr[0] == '-' ? 1 : 0, count = digits_at(s, at);
    if (count == 0 || (count > 1 && s.ptr[at] == '0'))
        return false;
    at += count;
    if (at < s.len && s.ptr[at] == '.') {
        if ((count = digits_at(s, at + 1)) == 0)
            return false;
        at += 1 + count;
    }
    if (at < s.len && (s.ptr[at] | 0x20) == 'e') {
        at++;
        if (at < s.len && (s.ptr[at] == '+' || s.ptr[at] == '-'))
            at++;
        if ((count = digits_at(s, at)) == 0)
            return false;
        at += count;
    }
    return at == s.len;
}

static bool is_number_byte(uint8_t c)
{
    return ascii_is_digit(c) || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

static enum err end_number(struct json_reader *r)
{
    if (!is_number(slice_make(r->text, r->len)))
        return ERR_BAD;
    r->token = TOKEN_NONE;
    after_value(r);
    return tell(r, JSON_NUMBER, true);
}

static enum err literal_byte(struct json_reader *r, uint8_t c)
{
    if ((uint8_t)*r->literal != c)
        return ERR_BAD;
    if (*++r->literal)
        return ERR_OK;
    r->token = TOKEN_NONE;
    after_value(r);
    return tell(r, r->literal_kind, false);
}

/* ---- structure ---- */

static enum err open_container(struct json_reader *r, bool object)
{
    if (r->depth >= JSON_DEPTH_MAX)
        return ERR_BAD;
    enum err err = tell(r, object ? JSON_OBJECT : JSON_ARRAY, false);
    if (object)
        r->objects |= UINT32_C(1) << r->depth;
    else
        r->objects &= ~(UINT32_C(1) << r->depth);
    r->depth++;
    r->expect = object ? WANT_KEY_OR_END : WANT_VALUE_OR_END;
    return err;
}

static enum err close_container(struct json_reader *r, bool object)
{
    if (r->depth == 0 || in_object(r) != object)
        return ERR_BAD;
    r->depth--;
    after_value(r);
    return tell(r, object ? JSON_OBJECT_END : JSON_ARRAY_END, false);
}

static void begin_text(struct json_reader *r, enum token token, bool is_key)
{
    r->token = token;
    r->is_key = is_key;
    r->cut = false;
    r->high = 0;
    r->len = 0;
}

static enum err begin_value(struct json_reader *r, uint8_t c)
{
    static const struct {
        const char *word;
        enum json_event_kind kind;
    } words[] = {{"true", JSON_TRUE}, {"false", JSON_FALSE}, {"null", JSON_NULL}};
    if (c == '{' || c == '[')
        return open_container(r, c == '{');
    if (c == '"') {
        begin_text(r, TOKEN_STRING, false);
        return ERR_OK;
    }
    if (c == '-' || ascii_is_digit(c)) {
        begin_text(r, TOKEN_NUMBER, false);
        put(r, c);
        return ERR_OK;
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if ((uint8_t)words[i].word[0] == c) {
            r->token = TOKEN_LITERAL;
            r->literal = words[i].word + 1;
            r->literal_kind = words[i].kind;
            return ERR_OK;
        }
    return ERR_BAD;
}

static enum err key_byte(struct json_reader *r, uint8_t c)
{
    if (c == '"') {
        begin_text(r, TOKEN_STRING, true);
        return ERR_OK;
    }
    return c == '}' && r->expect == WANT_KEY_OR_END ? close_container(r, true) : ERR_BAD;
}

static enum err next_byte(struct json_reader *r, uint8_t c)
{
    if (c == '}' || c == ']')
        return close_container(r, c == '}');
    if (c != ',')
        return ERR_BAD;
    r->expect = in_object(r) ? WANT_KEY : WANT_VALUE;
    return ERR_OK;
}

static enum err structure_byte(struct json_reader *r, uint8_t c)
{
    if (ascii_is_space(c))
        return ERR_OK;
    switch ((enum expect)r->expect) {
    case WANT_VALUE_OR_END:
        if (c == ']')
            return close_container(r, false);
        return begin_value(r, c);
    case WANT_VALUE:
        return begin_value(r, c);
    case WANT_KEY:
    case WANT_KEY_OR_END:
        return key_byte(r, c);
    case WANT_COLON:
        r->expect = WANT_VALUE;
        return c == ':' ? ERR_OK : ERR_BAD;
    case WANT_NEXT:
        return next_byte(r, c);
    case WANT_NOTHING:
        break;
    }
    return ERR_BAD;
}

static enum err one_byte(struct json_reader *r, uint8_t c)
{
    switch ((enum token)r->token) {
    case TOKEN_STRING:
        return string_byte(r, c);
    case TOKEN_ESCAPE:
        return escape_byte(r, c);
    case TOKEN_HEX:
        return hex_byte(r, c);
    case TOKEN_LITERAL:
        return literal_byte(r, c);
    case TOKEN_NUMBER:
        if (is_number_byte(c)) {
            put(r, c);
            return r->len <= JSON_NUMBER_MAX ? ERR_OK : ERR_BAD;
        }
        enum err err = end_number(r);
        return err ? err : structure_byte(r, c);
    case TOKEN_NONE:
        break;
    }
    return structure_byte(r, c);
}

enum err json_reader_feed(struct json_reader *r, struct slice bytes)
{
    enum err err = ERR_OK;
    for (size_t i = 0; i < bytes.len && !err; i++)
        err = one_byte(r, bytes.ptr[i]);
    return err;
}

enum err json_reader_end(struct json_reader *r)
{
    enum err err = r->token == TOKEN_NUMBER ? end_number(r) : ERR_OK;
    if (err)
        return err;
    return r->token == TOKEN_NONE && r->expect == WANT_NOTHING ? ERR_OK : ERR_BAD;
}
