/* fetch_write.c: one FETCH response (RFC 9051 section 7.5.2, RFC 3516). Input: facts that store has checked,
 * files of store. Nothing of the message is parsed here but header field names. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/zone.h"
#include "grammar/date.h"
#include "grammar/imap_write.h"
#include "imap/capability.h"
#include "imap/fetch.h"
#include "imap/fetch_section.h"
#include "imap/savedate.h"
#include "wire/facts_row.h"
#include "wire/objectid.h"

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

static bool is_binary(const struct imap_section *section)
{
    return section->form == IMAP_FORM_BINARY || section->form == IMAP_FORM_BINARY_SIZE;
}

enum err imap_fetch_needs(const struct session *s, const struct imap_fetch *items, enum fetch_need *need)
{
    const uint32_t ids = IMAP_FETCH_EMAILID | IMAP_FETCH_THREADID;
    uint32_t unknown = imap_capability_has(s, CAP_OBJECTID) ? 0 : ids;
    unknown |= imap_capability_has(s, CAP_SAVEDATE) ? 0 : IMAP_FETCH_SAVEDATE;
    const uint32_t facts = IMAP_FETCH_ENVELOPE | IMAP_FETCH_BODY | IMAP_FETCH_BODYSTRUCTURE |
                           IMAP_FETCH_PREVIEW | IMAP_FETCH_THREADID;
    *need = items->simple & facts ? NEED_FACTS : NEED_IMAGE;
    if (items->simple & unknown)
        return ERR_BAD;
    for (size_t i = 0; i < items->section_count; i++) {
        const struct imap_section *section = &items->sections[i];
        if (is_binary(section) && !imap_capability_has(s, CAP_BINARY))
            return ERR_BAD;
        if (!cache_has(section))
            *need = NEED_FILE;
        else if (*need == NEED_IMAGE)
            *need = NEED_FACTS;
    }
    return ERR_OK;
}

uint32_t imap_fetch_wants(const struct imap_fetch *items)
{
    static const struct {
        uint32_t item, want;
    } table[] = {{IMAP_FETCH_ENVELOPE, FACTS_WANT_ENVELOPE},
                 {IMAP_FETCH_BODY, FACTS_WANT_BODY},
                 {IMAP_FETCH_BODYSTRUCTURE, FACTS_WANT_BODYSTRUCTURE},
                 {IMAP_FETCH_PREVIEW, FACTS_WANT_PREVIEW},
                 {IMAP_FETCH_THREADID, FACTS_WANT_THREAD}};
    uint32_t want = items->section_count ? FACTS_WANT_HEADERS : 0;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        want |= items->simple & table[i].item ? table[i].want : 0;
    return want;
}

struct slice *imap_fetch_names_in(struct arena *arena, const struct imap_fetch *items)
{
    struct slice *names = ARENA_ARRAY(arena, struct slice, items->section_count + 1);
    for (size_t i = 0; i < items->section_count; i++) {
        AUTO_BUF struct buf name = buf_new(IMAP_RUN_ARENA);
        imap_section_write_name(&name, &items->sections[i]);
        buf_add_byte(&name, ' ');
        names[i] = arena_dup(arena, buf_slice(&name));
    }
    return names;
}

static struct fetch_file file_of(const struct fetch_message *m)
{
    return (struct fetch_file){.facts = &m->facts, .fd = m->fd, .size = m->size, .block_len = m->block_len};
}

/* ---- header fields ---- */

static void write_content(struct buf *out, const struct imap_section *section, struct slice content)
{
    uint64_t offset = 0, len = content.len;
    fetch_section_cut(section, &offset, &len);
    imap_write_literal_head(out, len);
    buf_add(out, slice_sub(content, (size_t)offset, (size_t)len));
}

static void replace_nul(struct buf *fields)
{
    uint8_t *end = fields->data + fields->len;
    for (uint8_t *at = fields->data; at < end && (at = memchr(at, 0, (size_t)(end - at))); at++)
        *at = 0x80;
}

/* The literal's octets; takes `fd`. */
static void write_octets(struct session *s, int fd, uint64_t offset, uint64_t len)
{
    if (fd >= 0 && len > 0)
        stream_write_file(s->stream, fd, offset, len);
    else if (len > 0)
        imap_session_drop(s, "no descriptor left"); /* the literal was announced already */
    else
        io_close(&fd);
}

/* Of a header too long to be held in memory. */
static bool write_large_fields(struct session *s, const struct fetch_file *file,
                               const struct imap_section *section)
{
    int fd;
    uint64_t offset, len;
    struct why why;
    if (fetch_section_open(file, section, true, &fd, &offset, &len, &why) != ERR_OK)
        return false;
    if (section->form == IMAP_FORM_BINARY_SIZE) {
        buf_add_u64(imap_session_output(s), len);
        io_close(&fd);
    } else {
        imap_write_literal_head(imap_session_output(s), len);
        write_octets(s, fd, offset, len);
    }
    return true;
}

/* From the cache of the facts, or read from the file. */
static bool write_fields(struct session *s, const struct fetch_message *m, const struct imap_section *section)
{
    struct buf *fields = &((struct fetch *)s->run->state)->scratch;
    const struct fetch_file file = file_of(m);
    buf_clear(fields);
    if (m->fd < 0) {
        fetch_filter_fields(fields, section, m->block);
        fetch_filter_fields(fields, section, m->facts.headers);
    } else {
        struct fetch_range range = fetch_section_range(&file, section);
        if (!range.there) {
            buf_add_str(imap_session_output(s), section->form == IMAP_FORM_BINARY_SIZE ? "0" : "NIL");
            return true;
        }
        if (range.len > FETCH_HEADER_MAX)
            return write_large_fields(s, &file, section);
        AUTO_BUF struct buf header = buf_new(FETCH_HEADER_MAX);
        size_t len = (size_t)range.len, got = 0;
        uint8_t *at = buf_reserve(&header, len);
        if (!at || io_pread(m->fd, at, len, range.offset, &got, NULL) != ERR_OK)
            return false;
        fetch_filter_fields(fields, section, slice_make(at, got));
    }
    buf_add_str(fields, "\r\n");
    replace_nul(fields);
    if (section->form == IMAP_FORM_BINARY_SIZE)
        buf_add_u64(imap_session_output(s), fields->len);
    else
        write_content(imap_session_output(s), section, buf_slice(fields));
    return true;
}

/* ---- the response ---- */

static void write_file_section(struct session *s, const struct fetch_message *m,
                               const struct imap_section *section)
{
    const struct fetch_file file = file_of(m);
    struct fetch_range range = fetch_section_range(&file, section);
    struct buf *out = imap_session_output(s);
    int fd = -1;
    if (!range.there) {
        buf_add_str(out, "NIL");
        return;
    }
    fetch_section_cut(section, &range.offset, &range.len);
    imap_write_literal_head(out, range.len);
    if (range.len > 0 && m->facts.flags & FACTS_HAS_NUL) {
        if (fetch_without_nul(&file, range.offset, range.len, &fd, NULL) == ERR_OK)
            range.offset = 0;
    } else if (range.len > 0) {
        fd = fcntl(m->fd, F_DUPFD_CLOEXEC, 0);
    }
    write_octets(s, fd, range.offset, range.len);
}

/* literal8 only when there is NUL, so that the client can tell (RFC 3516 section 4.3). */
static bool write_binary(struct session *s, const struct fetch_message *m, const struct imap_section *section)
{
    const struct fetch_file file = file_of(m);
    const struct fetch_range range = fetch_section_range(&file, section);
    bool size_only = section->form == IMAP_FORM_BINARY_SIZE;
    struct buf *out = imap_session_output(s);
    struct fetch_decoded decoded;
    struct why why;
    if (!range.there || (size_only && fetch_range_is_plain(&range))) {
        if (size_only)
            buf_add_u64(out, range.len);
        else
            buf_add_str(out, "NIL");
        return true;
    }
    if (fetch_range_is_plain(&range) && !(m->facts.flags & FACTS_HAS_NUL)) {
        write_file_section(s, m, section);
        return true;
    }
    if (fetch_decode(&file, &range, section, !size_only, &decoded, &why) != ERR_OK)
        return false;
    if (size_only) {
        buf_add_u64(out, decoded.size);
        return true;
    }
    buf_add_str(out, decoded.nul ? "~" : "");
    imap_write_literal_head(out, decoded.size);
    write_octets(s, decoded.fd, 0, decoded.size);
    return true;
}

static bool write_section(struct session *s, struct fetch_message *m, size_t index)
{
    const struct imap_section *section = &s->run->command.fetch.items.sections[index];
    buf_add(imap_session_output(s), ((const struct fetch *)s->run->state)->names[index]);
    if (section->text == IMAP_SECTION_FIELDS || section->text == IMAP_SECTION_FIELDS_NOT)
        return write_fields(s, m, section);
    if (is_binary(section))
        return write_binary(s, m, section);
    write_file_section(s, m, section);
    return true;
}

/* False: some transfer encoding is unknown, or stands where none may be. */
static bool can_decode(const struct imap_fetch *items, const struct fetch_message *m)
{
    const struct fetch_file file = file_of(m);
    for (size_t i = 0; i < items->section_count; i++) {
        if (!is_binary(&items->sections[i]))
            continue;
        struct fetch_range range = fetch_section_range(&file, &items->sections[i]);
        if (!fetch_range_decodes(&range))
            return false;
    }
    return true;
}

static void separate(struct buf *out, bool *first)
{
    if (!*first)
        buf_add_byte(out, ' ');
    *first = false;
}

/* As the clock here shows it: SEARCH compares the same days. */
static void write_date(struct buf *out, const char *head, int64_t seconds)
{
    buf_add_str(out, head);
    buf_add_str(out, date_format_imap(seconds, zone_minutes(seconds)).text);
    buf_add_byte(out, '"');
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
        write_date(out, "INTERNALDATE \"", image_date(entry));
    }
    if (items & IMAP_FETCH_SAVEDATE) {
        const struct fetch *fetch = s->run->state;
        separate(out, first);
        write_date(out, "SAVEDATE \"", imap_savedate_find(&fetch->saved, m->message.uid, image_date(entry)));
    }
    if (items & IMAP_FETCH_RFC822_SIZE) {
        separate(out, first);
        buf_add_str(out, "RFC822.SIZE ");
        buf_add_u64(out, image_octets(entry));
    }
    if (items & IMAP_FETCH_EMAILID) {
        separate(out, first);
        buf_add_str(out, "EMAILID (");
        object_email(out, s->selected->tag, image_message(entry));
        buf_add_byte(out, ')');
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

/* With the file come whole facts. */
static void write_thread(struct session *s, const struct fetch_message *m, bool *first)
{
    struct buf *out = imap_session_output(s);
    separate(out, first);
    buf_add_str(out, "THREADID (");
    if (m->thread.len)
        buf_add(out, m->thread);
    else
        object_thread(out, s->selected->tag,
                      image_message(imap_view_entry(&s->selected->view, m->message.index)),
                      facts_root(&m->facts));
    buf_add_byte(out, ')');
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
    if (items & IMAP_FETCH_THREADID)
        write_thread(s, m, first);
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
    struct fetch *fetch = s->run->state;
    uint32_t simple = items->simple | (m->flags_too ? IMAP_FETCH_FLAGS : 0u);
    bool first = true, ok = true;
    if (fetch->need != NEED_IMAGE && (!m->has_facts || !facts_suffice(items, m)))
        return false;
    if (m->fd >= 0 && !can_decode(items, m)) {
        fetch->unknown_cte = true; /* no response: NO says why (RFC 3516 section 4.3) */
        return true;
    }
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
        ok = write_section(s, m, i);
    }
    if (!ok)
        imap_session_drop(s, "a message could not be read");
    if (!s->closing)
        buf_add_str(imap_session_output(s), ")\r\n");
    return true;
}
