/* imap_fetch_write.c: one FETCH response (RFC 9051 section 7.5.2). Input: facts that store has checked, files
 * of store. Bytes are cut at the facts' offsets; nothing of the message is parsed here but header field
 * names.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "grammar/date.h"
#include "grammar/imap_write.h"
#include "imap/fetch.h"

/* ---- what is needed ---- */

static bool cache_has(const struct imap_section *section)
{
    if (section->text != IMAP_SECTION_FIELDS || section->part_count > 0)
        return false;
    for (size_t i = 0; i < section->field_count; i++)
        if (!facts_is_cached(section->fields[i]))
            return false;
    return true;
}

enum err imap_fetch_needs(const struct imap_fetch *items, enum fetch_need *need)
{
    const uint32_t unknown = IMAP_FETCH_EMAILID | IMAP_FETCH_THREADID | IMAP_FETCH_SAVEDATE;
    const uint32_t facts =
        IMAP_FETCH_ENVELOPE | IMAP_FETCH_BODY | IMAP_FETCH_BODYSTRUCTURE | IMAP_FETCH_PREVIEW;
    *need = items->simple & facts ? NEED_FACTS : NEED_IMAGE;
    if (items->simple & unknown)
        return ERR_BAD;
    for (size_t i = 0; i < items->section_count; i++) {
        const struct imap_section *section = &items->sections[i];
        if (section->form == IMAP_FORM_BINARY || section->form == IMAP_FORM_BINARY_SIZE)
            return ERR_BAD;
        if (!cache_has(section))
            *need = NEED_FILE;
        else if (*need == NEED_IMAGE)
            *need = NEED_FACTS;
    }
    return ERR_OK;
}

/* ---- sections ---- */

/* A run of the file. */
struct run_of_file {
    bool there;
    uint64_t offset, len;
};

static struct slice part_path_in(struct arena *arena, const struct imap_section *section)
{
    AUTO_BUF struct buf path = buf_new((size_t)IMAP_SECTION_DEPTH_MAX * 11);
    for (size_t i = 0; i < section->part_count; i++)
        buf_addf(&path, "%s%u", i > 0 ? "." : "", section->part[i]);
    return arena_dup(arena, buf_slice(&path));
}

/* The message itself: our header block is the beginning of its header. */
static struct run_of_file whole_range(const struct fetch_message *m, enum imap_section_text text)
{
    uint64_t header = m->block_len + m->facts.header_len;
    header = header < m->size ? header : m->size;
    switch (text) {
    case IMAP_SECTION_ALL:
        return (struct run_of_file){true, 0, m->size};
    case IMAP_SECTION_TEXT:
        return (struct run_of_file){true, header, m->size - header};
    default:
        return (struct run_of_file){true, 0, header};
    }
}

static struct run_of_file part_range(const struct fetch_message *m, const struct facts_part *part,
                                     enum imap_section_text text)
{
    uint64_t base = m->block_len, inner = part->inner_header_len;
    if (text == IMAP_SECTION_ALL)
        return (struct run_of_file){true, base + part->body_off, part->body_len};
    if (text == IMAP_SECTION_MIME && part->header_off == 0 && part->header_len > 0 &&
        part->header_len == m->facts.header_len)
        return (struct run_of_file){true, 0, base + part->header_len}; /* the message's own header */
    if (text == IMAP_SECTION_MIME)
        return (struct run_of_file){true, base + part->header_off, part->header_len};
    if (part->kind != FACTS_MESSAGE)
        return (struct run_of_file){0}; /* only messages have these */
    if (text == IMAP_SECTION_TEXT)
        return (struct run_of_file){true, base + part->body_off + inner, part->body_len - inner};
    return (struct run_of_file){true, base + part->body_off, inner};
}

static struct run_of_file section_range(struct session *s, const struct fetch_message *m,
                                        const struct imap_section *section)
{
    if (section->part_count == 0)
        return whole_range(m, section->text);
    const struct facts_part *part = facts_find_part(&m->facts, part_path_in(s->run->arena, section));
    struct run_of_file range = part ? part_range(m, part, section->text) : (struct run_of_file){0};
    if (range.offset > m->size || range.len > m->size - range.offset)
        return (struct run_of_file){0}; /* facts and file do not agree */
    return range;
}

/* partial = <offset.length>, clamped to what is there */
static void cut_partial(const struct imap_section *section, uint64_t *offset, uint64_t *len)
{
    if (!section->partial)
        return;
    uint64_t skip = section->offset < *len ? section->offset : *len;
    *offset += skip;
    *len -= skip;
    *len = section->length < *len ? section->length : *len;
}

/* ---- header fields ---- */

static bool wanted(const struct imap_section *section, struct slice name)
{
    for (size_t i = 0; i < section->field_count; i++)
        if (slice_ieq(section->fields[i], name))
            return section->text == IMAP_SECTION_FIELDS;
    return section->text == IMAP_SECTION_FIELDS_NOT;
}

/* Copies the chosen fields of a header, each whole with its folded lines. A blank line ends the header. */
static void filter_fields(struct buf *out, const struct imap_section *section, struct slice header)
{
    bool take = false;
    while (header.len > 0) {
        ptrdiff_t lf = slice_find(header, '\n');
        struct slice line = slice_sub(header, 0, lf < 0 ? header.len : (size_t)lf + 1);
        header = slice_from(header, line.len);
        if (line.ptr[0] == '\r' || line.ptr[0] == '\n')
            return;
        if (line.ptr[0] != ' ' && line.ptr[0] != '\t') {
            ptrdiff_t colon = slice_find(line, ':');
            take = wanted(section, slice_trim(slice_sub(line, 0, colon < 0 ? 0 : (size_t)colon)));
        }
        if (take)
            buf_add(out, line);
    }
}

static void write_content(struct buf *out, const struct imap_section *section, struct slice content)
{
    uint64_t offset = 0, len = content.len;
    cut_partial(section, &offset, &len);
    imap_write_literal_head(out, len);
    buf_add(out, slice_sub(content, (size_t)offset, (size_t)len));
}

/* From the cache of the facts, or read from the file. */
static bool write_fields(struct session *s, const struct fetch_message *m, const struct imap_section *section)
{
    AUTO_BUF struct buf fields = buf_new(FETCH_HEADER_MAX + 2);
    if (m->fd < 0) {
        filter_fields(&fields, section, m->block);
        filter_fields(&fields, section, m->facts.headers);
    } else {
        struct run_of_file range = section_range(s, m, section);
        if (!range.there) {
            buf_add_str(imap_session_output(s), "NIL");
            return true;
        }
        AUTO_BUF struct buf header = buf_new(FETCH_HEADER_MAX);
        size_t len = range.len < FETCH_HEADER_MAX ? (size_t)range.len : FETCH_HEADER_MAX, got = 0;
        uint8_t *at = buf_reserve(&header, len);
        if (!at || io_pread(m->fd, at, len, range.offset, &got, NULL) != ERR_OK)
            return false;
        filter_fields(&fields, section, slice_make(at, got));
    }
    buf_add_str(&fields, "\r\n");
    write_content(imap_session_output(s), section, buf_slice(&fields));
    return true;
}

/* ---- the response ---- */

static void write_file_section(struct session *s, struct fetch_message *m, const struct imap_section *section)
{
    struct run_of_file range = section_range(s, m, section);
    struct buf *out = imap_session_output(s);
    if (!range.there) {
        buf_add_str(out, "NIL");
        return;
    }
    cut_partial(section, &range.offset, &range.len);
    imap_write_literal_head(out, range.len);
    int fd = range.len > 0 ? fcntl(m->fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (fd >= 0)
        stream_write_file(s->stream, fd, range.offset, range.len);
    else if (range.len > 0)
        imap_session_drop(s, "no descriptor left"); /* the literal was announced already */
}

static bool write_section(struct session *s, struct fetch_message *m, const struct imap_section *section)
{
    struct buf *out = imap_session_output(s);
    imap_section_write_name(out, section);
    buf_add_byte(out, ' ');
    if (section->text == IMAP_SECTION_FIELDS || section->text == IMAP_SECTION_FIELDS_NOT)
        return write_fields(s, m, section);
    write_file_section(s, m, section);
    return true;
}

static void separate(struct buf *out, bool *first)
{
    if (!*first)
        buf_add_byte(out, ' ');
    *first = false;
}

static void write_image_items(struct session *s, const struct fetch_message *m, uint32_t items, bool *first)
{
    const struct imap_view *view = &s->selected->view;
    struct buf *out = imap_session_output(s);
    const struct image_entry *entry = imap_view_entry(view, m->message.index);
    struct image_state state = imap_view_state(view, m->message.index);
    if (items & IMAP_FETCH_UID) {
        separate(out, first);
        buf_add_str(out, "UID ");
        buf_add_u64(out, m->message.uid);
    }
    if (items & IMAP_FETCH_FLAGS) {
        separate(out, first);
        buf_add_str(out, "FLAGS (");
        imap_write_flags(out, view, state.flags, m->message.uid);
        buf_add_byte(out, ')');
    }
    if (items & IMAP_FETCH_INTERNALDATE) {
        separate(out, first);
        struct date_text date = date_format_imap(entry->date, 0);
        buf_add_str(out, "INTERNALDATE \"");
        buf_add_str(out, date.text);
        buf_add_byte(out, '"');
    }
    if (items & IMAP_FETCH_RFC822_SIZE) {
        separate(out, first);
        buf_add_str(out, "RFC822.SIZE ");
        buf_add_u64(out, entry->size);
    }
    if (items & IMAP_FETCH_MODSEQ) {
        separate(out, first);
        buf_add_str(out, "MODSEQ (");
        buf_add_u64(out, state.modseq);
        buf_add_byte(out, ')');
    }
}

static void write_fact(struct buf *out, const char *name, struct slice ready, bool *first)
{
    separate(out, first);
    buf_add_str(out, name);
    buf_add_byte(out, ' ');
    if (ready.len)
        buf_add(out, ready);
    else
        buf_add_str(out, "NIL");
}

static void write_fact_items(struct session *s, const struct fetch_message *m, uint32_t items, bool *first)
{
    struct buf *out = imap_session_output(s);
    if (items & IMAP_FETCH_ENVELOPE)
        write_fact(out, "ENVELOPE", m->facts.envelope, first);
    if (items & IMAP_FETCH_BODY)
        write_fact(out, "BODY", m->facts.body, first);
    if (items & IMAP_FETCH_BODYSTRUCTURE)
        write_fact(out, "BODYSTRUCTURE", m->facts.bodystructure, first);
    if (items & IMAP_FETCH_PREVIEW) {
        separate(out, first);
        buf_add_str(out, "PREVIEW ");
        imap_write_string(out, m->facts.preview);
    }
}

/* The cached header fields are enough for every section asked for. */
static bool facts_suffice(const struct imap_fetch *items, const struct fetch_message *m)
{
    return m->fd >= 0 || items->section_count == 0 || (m->facts.flags & FACTS_HEADERS_COMPLETE);
}

bool imap_fetch_write(struct session *s, struct fetch_message *m)
{
    const struct imap_fetch *items = &s->run->command.fetch.items;
    const struct fetch *fetch = s->run->state;
    uint32_t simple = items->simple | (m->flags_too ? IMAP_FETCH_FLAGS : 0u);
    bool first = true, ok = true;
    if (fetch->need != NEED_IMAGE && (!m->has_facts || !facts_suffice(items, m)))
        return false;
    if (s->condstore && (simple & IMAP_FETCH_FLAGS)) /* RFC 7162 sections 3.1 and 3.2.4 */
        simple |= IMAP_FETCH_MODSEQ | (s->qresync ? IMAP_FETCH_UID : 0u);
    if (s->uidonly && items->uid_implied && (simple != IMAP_FETCH_UID || items->section_count > 0))
        simple &= ~(uint32_t)IMAP_FETCH_UID; /* the response begins with it */
    if (simple & IMAP_FETCH_FLAGS)
        imap_write_new_keywords(s);
    imap_write_fetch_head(s, &m->message);
    write_image_items(s, m, simple, &first);
    if (fetch->need != NEED_IMAGE)
        write_fact_items(s, m, simple, &first);
    for (size_t i = 0; i < items->section_count && ok && !s->closing; i++) {
        separate(imap_session_output(s), &first);
        ok = write_section(s, m, &items->sections[i]);
    }
    if (!ok)
        imap_session_drop(s, "a message could not be read");
    if (!s->closing)
        buf_add_str(imap_session_output(s), ")\r\n");
    return true;
}
