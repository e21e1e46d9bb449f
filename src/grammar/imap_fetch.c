/* imap_fetch.c: the items of FETCH. Input: any client. Called by the command parser; imap writes section
 * names. */
#include "grammar/imap_fetch.h"
#include "grammar/imap_scan.h"
#include "grammar/imap_write.h"

struct fetch_parse {
    struct imap_scan *s;
    struct imap_fetch *fetch;
    size_t items;
};

static const struct {
    const char *name;
    uint32_t simple;
} simple_items[] = {
    {"UID", IMAP_FETCH_UID},
    {"FLAGS", IMAP_FETCH_FLAGS},
    {"INTERNALDATE", IMAP_FETCH_INTERNALDATE},
    {"RFC822.SIZE", IMAP_FETCH_RFC822_SIZE},
    {"ENVELOPE", IMAP_FETCH_ENVELOPE},
    {"BODYSTRUCTURE", IMAP_FETCH_BODYSTRUCTURE},
    {"MODSEQ", IMAP_FETCH_MODSEQ},
    {"EMAILID", IMAP_FETCH_EMAILID},
    {"THREADID", IMAP_FETCH_THREADID},
    {"SAVEDATE", IMAP_FETCH_SAVEDATE},
};

static const struct {
    const char *name;
    uint32_t simple;
} macros[] = {
    {"FAST", IMAP_FETCH_FLAGS | IMAP_FETCH_INTERNALDATE | IMAP_FETCH_RFC822_SIZE},
    {"ALL", IMAP_FETCH_FLAGS | IMAP_FETCH_INTERNALDATE | IMAP_FETCH_RFC822_SIZE | IMAP_FETCH_ENVELOPE},
    {"FULL", IMAP_FETCH_FLAGS | IMAP_FETCH_INTERNALDATE | IMAP_FETCH_RFC822_SIZE | IMAP_FETCH_ENVELOPE |
                 IMAP_FETCH_BODY},
};

static const struct {
    const char *name;
    enum imap_section_form form;
    enum imap_section_text text;
    bool peek, bracket; /* bracket: "[section]" follows */
} section_items[] = {
    {"BODY", IMAP_FORM_BODY, IMAP_SECTION_ALL, false, true},
    {"BODY.PEEK", IMAP_FORM_BODY, IMAP_SECTION_ALL, true, true},
    {"BINARY", IMAP_FORM_BINARY, IMAP_SECTION_ALL, false, true},
    {"BINARY.PEEK", IMAP_FORM_BINARY, IMAP_SECTION_ALL, true, true},
    {"BINARY.SIZE", IMAP_FORM_BINARY_SIZE, IMAP_SECTION_ALL, true, true},
    {"RFC822", IMAP_FORM_RFC822, IMAP_SECTION_ALL, false, false},
    {"RFC822.HEADER", IMAP_FORM_RFC822_HEADER, IMAP_SECTION_HEADER, true, false},
    {"RFC822.TEXT", IMAP_FORM_RFC822_TEXT, IMAP_SECTION_TEXT, false, false},
};

static const struct {
    const char *name;
    enum imap_section_text text;
} section_texts[] = {
    {"HEADER", IMAP_SECTION_HEADER},
    {"HEADER.FIELDS", IMAP_SECTION_FIELDS},
    {"HEADER.FIELDS.NOT", IMAP_SECTION_FIELDS_NOT},
    {"TEXT", IMAP_SECTION_TEXT},
    {"MIME", IMAP_SECTION_MIME},
};

/* header-list = "(" header-fld-name *(SP header-fld-name) ")" */
static bool scan_fields(struct imap_scan *s, struct imap_section *section)
{
    section->fields = ARENA_ARRAY(s->arena, struct slice, IMAP_FETCH_FIELDS_MAX);
    if (!imap_scan_sp(s) || !imap_scan_byte(s, '(', "Expected a list of header fields"))
        return false;
    do {
        if (section->field_count >= IMAP_FETCH_FIELDS_MAX)
            return imap_scan_fail(s, "Too many header fields");
        struct slice name;
        if (!imap_scan_astring(s, &name))
            return false;
        if (name.len == 0 || slice_find(name, '\r') >= 0 || slice_find(name, '\n') >= 0)
            return imap_scan_fail(s, "Invalid header field name");
        section->fields[section->field_count++] = name;
    } while (imap_scan_try(s, ' '));
    return imap_scan_byte(s, ')', "Malformed list of header fields");
}

/* section-part = nz-number *("." nz-number), with a "." behind it when a text follows */
static bool scan_part(struct imap_scan *s, struct imap_section *section)
{
    section->part = ARENA_ARRAY(s->arena, uint32_t, IMAP_SECTION_DEPTH_MAX);
    do {
        uint64_t number;
        if (section->part_count >= IMAP_SECTION_DEPTH_MAX)
            return imap_scan_fail(s, "Part number too deep");
        if (!imap_scan_number(s, UINT32_MAX, &number))
            return false;
        if (number == 0)
            return imap_scan_fail(s, "Part numbers begin with 1");
        section->part[section->part_count++] = (uint32_t)number;
        if (!imap_scan_try(s, '.'))
            return true;
    } while (ascii_is_digit((uint8_t)imap_scan_peek(s)));
    return imap_scan_peek(s) != ']' || imap_scan_fail(s, "Malformed part number");
}

/* section-spec = section-msgtext / (section-part ["." section-text]) */
static bool scan_section_text(struct imap_scan *s, struct imap_section *section)
{
    struct slice word = imap_scan_word(s);
    if (word.len == 0)
        return true;
    for (size_t i = 0; i < sizeof section_texts / sizeof *section_texts; i++) {
        if (!slice_ieq(word, slice_of(section_texts[i].name)))
            continue;
        section->text = section_texts[i].text;
        if (section->text == IMAP_SECTION_MIME && section->part_count == 0)
            return imap_scan_fail(s, "MIME needs a part number");
        if (section->text == IMAP_SECTION_FIELDS || section->text == IMAP_SECTION_FIELDS_NOT)
            return scan_fields(s, section);
        return true;
    }
    return imap_scan_fail(s, "Unknown section");
}

/* partial = "<" number "." nz-number ">"; without a length: up to the end, as others take it */
static bool scan_partial(struct imap_scan *s, struct imap_section *section)
{
    uint64_t offset, length;
    if (!imap_scan_try(s, '<'))
        return true;
    if (!imap_scan_number(s, UINT32_MAX, &offset))
        return false;
    if (imap_scan_peek(s) == '>')
        length = UINT32_MAX;
    else if (!imap_scan_byte(s, '.', "Malformed partial") || !imap_scan_number(s, UINT32_MAX, &length))
        return false;
    if (!imap_scan_byte(s, '>', "Malformed partial"))
        return false;
    if (length == 0)
        return imap_scan_fail(s, "Partial of no octets");
    section->partial = true;
    section->offset = (uint32_t)offset;
    section->length = (uint32_t)length;
    return true;
}

/* section = "[" [section-spec] "]"; section-binary = "[" [section-part] "]", where Dovecot and its test suite
 * take any section-spec: those have no transfer encoding. */
static bool scan_bracket(struct imap_scan *s, struct imap_section *section)
{
    if (!imap_scan_byte(s, '[', "Expected a section"))
        return false;
    if (ascii_is_digit((uint8_t)imap_scan_peek(s)) && !scan_part(s, section))
        return false;
    bool part_only = section->part_count > 0 && s->at[-1] != '.';
    if (!part_only && !scan_section_text(s, section))
        return false;
    return imap_scan_byte(s, ']', "Malformed section") &&
           (section->form == IMAP_FORM_BINARY_SIZE || scan_partial(s, section));
}

bool imap_section_parse_in(struct arena *arena, struct slice text, struct imap_section *section)
{
    struct slice bracketed = arena_printf(arena, "[%.*s]", SLICE_ARG(text));
    struct imap_scan s = imap_scan_new(arena, bracketed, true);
    struct imap_section parsed = {.form = IMAP_FORM_BODY};
    if (!scan_bracket(&s, &parsed) || s.at != s.end || parsed.partial)
        return false;
    *section = parsed;
    return true;
}

static bool add_section(struct fetch_parse *p, const struct imap_section *section)
{
    struct imap_fetch *f = p->fetch;
    if (!f->sections)
        f->sections = ARENA_ARRAY(p->s->arena, struct imap_section, IMAP_FETCH_ITEMS_MAX);
    f->sections[f->section_count++] = *section;
    f->marks_seen = f->marks_seen || !section->peek;
    return true;
}

static bool scan_section_item(struct fetch_parse *p, struct slice word)
{
    if (slice_ieq(word, SLICE("BODY")) && imap_scan_peek(p->s) != '[') {
        p->fetch->simple |= IMAP_FETCH_BODY;
        return true;
    }
    for (size_t i = 0; i < sizeof section_items / sizeof *section_items; i++) {
        if (!slice_ieq(word, slice_of(section_items[i].name)))
            continue;
        struct imap_section section = {
            .form = section_items[i].form, .text = section_items[i].text, .peek = section_items[i].peek};
        if (section_items[i].bracket && !scan_bracket(p->s, &section))
            return false;
        return add_section(p, &section);
    }
    return imap_scan_fail(p->s, "Unknown FETCH item");
}

/* PREVIEW [SP "(LAZY)"], RFC 8970: ours are always ready, so lazy changes nothing. */
static bool scan_preview(struct fetch_parse *p)
{
    p->fetch->simple |= IMAP_FETCH_PREVIEW;
    struct imap_scan *s = p->s;
    if (s->end - s->at < 2 || s->at[0] != ' ' || s->at[1] != '(')
        return true;
    s->at += 2;
    if (!slice_ieq(imap_scan_word(s), SLICE("LAZY")))
        return imap_scan_fail(s, "Unknown PREVIEW modifier");
    return imap_scan_byte(s, ')', "Malformed PREVIEW modifier");
}

static bool scan_item(struct fetch_parse *p)
{
    if (p->items++ >= IMAP_FETCH_ITEMS_MAX)
        return imap_scan_fail(p->s, "Too many FETCH items");
    struct slice word = imap_scan_word(p->s);
    for (size_t i = 0; i < sizeof simple_items / sizeof *simple_items; i++)
        if (slice_ieq(word, slice_of(simple_items[i].name))) {
            p->fetch->simple |= simple_items[i].simple;
            return true;
        }
    return slice_ieq(word, SLICE("PREVIEW")) ? scan_preview(p) : scan_section_item(p, word);
}

static bool scan_items(struct fetch_parse *p)
{
    if (imap_scan_try(p->s, '(')) {
        do {
            if (!scan_item(p))
                return false;
        } while (imap_scan_try(p->s, ' '));
        return imap_scan_byte(p->s, ')', "Malformed list of FETCH items");
    }
    struct imap_scan before = *p->s;
    struct slice word = imap_scan_word(p->s);
    for (size_t i = 0; i < sizeof macros / sizeof *macros; i++)
        if (slice_ieq(word, slice_of(macros[i].name))) {
            p->fetch->simple |= macros[i].simple;
            return true;
        }
    *p->s = before;
    return scan_item(p);
}

/* fetch-modifiers = SP "(" fetch-modifier *(SP fetch-modifier) ")", RFC 4466, RFC 7162 section 3.1.4.1, 3.2.6
 */
static bool scan_modifiers(struct imap_scan *s, struct imap_fetch *fetch)
{
    if (!imap_scan_try(s, ' '))
        return true;
    if (!imap_scan_byte(s, '(', "Unexpected text behind the FETCH items"))
        return false;
    do {
        struct slice word = imap_scan_word(s);
        if (slice_ieq(word, SLICE("CHANGEDSINCE"))) {
            if (!imap_scan_sp(s) || !imap_scan_number(s, INT64_MAX, &fetch->changed_since))
                return false;
            fetch->has_changed_since = true;
        } else if (slice_ieq(word, SLICE("VANISHED"))) {
            fetch->vanished = true;
        } else if (slice_ieq(word, SLICE("PARTIAL")) && !fetch->has_partial) {
            if (!imap_scan_partial(s, &fetch->partial_from, &fetch->partial_to))
                return false;
            fetch->has_partial = true;
        } else {
            return imap_scan_fail(s, "Unknown FETCH modifier");
        }
    } while (imap_scan_try(s, ' '));
    if (fetch->vanished && !fetch->has_changed_since)
        return imap_scan_fail(s, "VANISHED needs CHANGEDSINCE");
    if (fetch->has_changed_since)
        fetch->simple |= IMAP_FETCH_MODSEQ;
    return imap_scan_byte(s, ')', "Malformed FETCH modifiers");
}

bool imap_scan_fetch_items(struct imap_scan *s, struct imap_fetch *fetch)
{
    *fetch = (struct imap_fetch){0};
    struct fetch_parse p = {.s = s, .fetch = fetch};
    return scan_items(&p);
}

/* fetch = "FETCH" SP sequence-set SP ("ALL" / "FULL" / "FAST" / fetch-att / "(" fetch-att *(SP fetch-att)
 * ")") [fetch-modifiers] */
bool imap_scan_fetch(struct imap_scan *s, struct imap_fetch *fetch)
{
    *fetch = (struct imap_fetch){0};
    struct fetch_parse p = {.s = s, .fetch = fetch};
    return scan_items(&p) && scan_modifiers(s, fetch);
}

static void write_spec(struct buf *out, const struct imap_section *section)
{
    static const char *const texts[] = {"", "HEADER", "HEADER.FIELDS", "HEADER.FIELDS.NOT", "TEXT", "MIME"};
    buf_add_byte(out, '[');
    for (size_t i = 0; i < section->part_count; i++)
        buf_addf(out, "%s%u", i > 0 ? "." : "", section->part[i]);
    if (section->text != IMAP_SECTION_ALL && section->part_count > 0)
        buf_add_byte(out, '.');
    buf_add_str(out, texts[section->text]);
    for (size_t i = 0; i < section->field_count; i++) {
        buf_add_str(out, i == 0 ? " (" : " ");
        imap_write_astring(out, section->fields[i]);
    }
    buf_add_str(out, section->field_count > 0 ? ")]" : "]");
}

void imap_section_write_name(struct buf *out, const struct imap_section *section)
{
    static const char *const names[] = {"BODY",   "BINARY",        "BINARY.SIZE",
                                        "RFC822", "RFC822.HEADER", "RFC822.TEXT"};
    buf_add_str(out, names[section->form]);
    if (section->form > IMAP_FORM_BINARY_SIZE)
        return;
    write_spec(out, section);
    if (section->partial)
        buf_addf(out, "<%u>", section->offset);
}
