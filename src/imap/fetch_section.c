/* fetch_section.c: sections of messages. Input: facts that store has checked, files of store. Octets are cut
 * at the facts' offsets; base64 and quoted-printable are undone, nothing is parsed. */
#include "imap/fetch_section.h"

#include <fcntl.h>
#include <string.h>

#include "base/io.h"
#include "base/mem.h"
#include "grammar/base64.h"

#define PIECE 65536 /* octets read at once */

/* ---- ranges ---- */

static const struct facts_part *find_part(const struct facts *facts, const struct imap_section *section)
{
    AUTO_BUF struct buf path = buf_new((size_t)IMAP_SECTION_DEPTH_MAX * 11);
    for (size_t i = 0; i < section->part_count; i++)
        buf_addf(&path, "%s%u", i > 0 ? "." : "", section->part[i]);
    return facts_find_part(facts, buf_slice(&path));
}

/* The message itself: our header block is the beginning of its header. */
static struct fetch_range whole_range(const struct fetch_file *file, enum imap_section_text text)
{
    uint64_t header = file->block_len + file->facts->header_len;
    header = header < file->size ? header : file->size;
    switch (text) {
    case IMAP_SECTION_ALL:
        return (struct fetch_range){.there = true, .len = file->size};
    case IMAP_SECTION_TEXT:
        return (struct fetch_range){.there = true, .offset = header, .len = file->size - header};
    default:
        return (struct fetch_range){.there = true, .len = header};
    }
}

static struct fetch_range part_range(const struct fetch_file *file, const struct facts_part *part,
                                     enum imap_section_text text)
{
    const struct facts *facts = file->facts;
    uint64_t base = file->block_len, inner = part->inner_header_len;
    if (text == IMAP_SECTION_ALL)
        return (struct fetch_range){.there = true,
                                    .offset = base + part->body_off,
                                    .len = part->body_len,
                                    .encoding = part->encoding,
                                    .composite = part->kind != FACTS_LEAF};
    if (text == IMAP_SECTION_MIME && part->header_off == 0 && part->header_len > 0 &&
        part->header_len == facts->header_len)
        return (struct fetch_range){.there = true,
                                    .len = base + part->header_len}; /* the message's own header */
    if (text == IMAP_SECTION_MIME)
        return (struct fetch_range){
            .there = true, .offset = base + part->header_off, .len = part->header_len};
    if (part->kind != FACTS_MESSAGE)
        return (struct fetch_range){0}; /* only messages have these */
    if (text == IMAP_SECTION_TEXT)
        return (struct fetch_range){
            .there = true, .offset = base + part->body_off + inner, .len = part->body_len - inner};
    return (struct fetch_range){.there = true, .offset = base + part->body_off, .len = inner};
}

struct fetch_range fetch_section_range(const struct fetch_file *file, const struct imap_section *section)
{
    if (section->part_count == 0)
        return whole_range(file, section->text);
    const struct facts_part *part = find_part(file->facts, section);
    struct fetch_range range = part ? part_range(file, part, section->text) : (struct fetch_range){0};
    if (range.offset > file->size || range.len > file->size - range.offset)
        return (struct fetch_range){0}; /* facts and file do not agree */
    return range;
}

void fetch_section_cut(const struct imap_section *section, uint64_t *offset, uint64_t *len)
{
    if (!section->partial)
        return;
    uint64_t skip = section->offset < *len ? section->offset : *len;
    *offset += skip;
    *len -= skip;
    *len = section->length < *len ? section->length : *len;
}

/* ---- transfer encodings ---- */

bool fetch_range_is_plain(const struct fetch_range *range)
{
    return range->encoding == FACTS_ENC_7BIT || range->encoding == FACTS_ENC_8BIT ||
           range->encoding == FACTS_ENC_BINARY;
}

bool fetch_range_decodes(const struct fetch_range *range)
{
    return !range->there || fetch_range_is_plain(range) ||
           (!range->composite && (range->encoding == FACTS_ENC_BASE64 || range->encoding == FACTS_ENC_QP));
}

struct decoder {
    enum facts_encoding encoding;
    struct base64_decoder base64;
    struct qp_decoder qp;
    struct buf out;
};

static void feed(struct decoder *d, struct slice encoded, bool last)
{
    buf_clear(&d->out);
    if (d->encoding == FACTS_ENC_BASE64) {
        base64_feed(&d->base64, encoded, &d->out);
        if (last)
            base64_finish(&d->base64, &d->out);
    } else if (d->encoding == FACTS_ENC_QP) {
        qp_feed(&d->qp, encoded, &d->out);
        if (last)
            qp_finish(&d->qp, &d->out);
    } else {
        buf_add(&d->out, encoded);
    }
}

/* The window [from, to) of the decoded octets. */
struct window {
    uint64_t from, to, at;
    bool keep;
};

static enum err take(struct window *w, struct slice octets, struct fetch_decoded *decoded, struct why *why)
{
    uint64_t begin = w->at, end = w->at + octets.len;
    w->at = end;
    begin = begin > w->from ? begin : w->from;
    end = end < w->to ? end : w->to;
    if (begin >= end)
        return ERR_OK;
    struct slice wanted = slice_sub(octets, (size_t)(begin - (w->at - octets.len)), (size_t)(end - begin));
    decoded->size += wanted.len;
    decoded->nul = decoded->nul || slice_find(wanted, 0) >= 0;
    if (!w->keep)
        return ERR_OK;
    enum err err = decoded->fd < 0 ? io_memfd("section", &decoded->fd, why) : ERR_OK;
    return err ? err : io_write_all(decoded->fd, wanted, why);
}

static enum err read_piece(const struct fetch_file *file, struct buf *piece, uint64_t offset, uint64_t len,
                           struct why *why)
{
    size_t want = len < PIECE ? (size_t)len : PIECE, got = 0;
    buf_clear(piece);
    uint8_t *room = buf_reserve(piece, want);
    enum err err = room ? io_pread(file->fd, room, want, offset, &got, why)
                        : err_set(why, ERR_INTERNAL, "no room for a piece of a message");
    if (!err && got < want)
        err = err_set(why, ERR_INTERNAL, "the file of a message is shorter than its facts say");
    buf_added(piece, err ? 0 : got);
    return err;
}

enum err fetch_decode(const struct fetch_file *file, const struct fetch_range *range,
                      const struct imap_section *section, bool keep, struct fetch_decoded *decoded,
                      struct why *why)
{
    struct decoder d = {.encoding = range->encoding, .out = buf_new(3 * PIECE)};
    AUTO_BUF struct buf piece = buf_new(PIECE);
    struct window w = {.to = UINT64_MAX, .keep = keep};
    struct fetch_decoded result = {.fd = -1};
    enum err err = ERR_OK;
    if (keep && section->partial) {
        w.from = section->offset;
        w.to = w.from + section->length;
    }
    for (uint64_t at = 0; !err && at < range->len && w.at < w.to; at += piece.len) {
        err = read_piece(file, &piece, range->offset + at, range->len - at, why);
        if (err)
            break;
        feed(&d, buf_slice(&piece), at + piece.len == range->len);
        err = take(&w, buf_slice(&d.out), &result, why);
    }
    buf_free(&d.out);
    if (err)
        io_close(&result.fd);
    else
        *decoded = result;
    return err;
}

static void replace_nul(uint8_t *octets, size_t len)
{
    for (uint8_t *at = octets; (at = memchr(at, 0, (size_t)(octets + len - at)));)
        *at = 0x80;
}

enum err fetch_without_nul(const struct fetch_file *file, uint64_t offset, uint64_t len, int *fd,
                           struct why *why)
{
    AUTO_BUF struct buf piece = buf_new(PIECE);
    enum err err = io_memfd("section", fd, why);
    for (uint64_t at = 0; !err && at < len; at += piece.len) {
        err = read_piece(file, &piece, offset + at, len - at, why);
        if (err)
            break;
        replace_nul(piece.data, piece.len);
        err = io_write_all(*fd, buf_slice(&piece), why);
    }
    if (err)
        io_close(fd);
    return err;
}

/* ---- header fields ---- */

/* Of the same length. Most names that differ do so in the first letter, most others are written alike. */
static bool same_name(struct slice a, struct slice b)
{
    if (a.len > 0 && ((a.ptr[0] ^ b.ptr[0]) & ~0x20) != 0)
        return false;
    return slice_eq(a, b) || slice_ieq(a, b);
}

static bool wanted(const struct imap_section *section, struct slice name)
{
    for (size_t i = 0; i < section->field_count; i++) {
        struct slice field = section->fields[i];
        if (field.len == name.len && same_name(field, name))
            return section->text == IMAP_SECTION_FIELDS;
    }
    return section->text == IMAP_SECTION_FIELDS_NOT;
}

/* A header that comes in pieces. */
struct field_filter {
    const struct imap_section *section;
    bool line_start; /* what comes next begins a line */
    bool take;       /* the field of the current line is wanted */
    bool ended;      /* the blank line came */
    size_t used;     /* octets of the last piece that are done */
};

static void begin_line(struct field_filter *f, struct slice line)
{
    if (line.ptr[0] == '\r' || line.ptr[0] == '\n') {
        f->ended = true;
    } else if (line.ptr[0] != ' ' && line.ptr[0] != '\t') {
        ptrdiff_t colon = slice_find(line, ':');
        f->take = wanted(f->section, slice_trim(slice_sub(line, 0, colon < 0 ? 0 : (size_t)colon)));
    }
}

/* A line whose name is cut at the end waits for the next piece, unless it fills the whole of this one. Lines
 * that follow each other are taken together. */
static void filter_piece(struct field_filter *f, struct slice piece, bool last, struct buf *out)
{
    size_t run = 0; /* octets before `used` that are taken */
    f->used = 0;
    while (f->used < piece.len && !f->ended) {
        struct slice rest = slice_from(piece, f->used);
        ptrdiff_t lf = slice_find(rest, '\n');
        struct slice line = slice_sub(rest, 0, lf < 0 ? rest.len : (size_t)lf + 1);
        if (f->line_start && lf < 0 && !last && f->used > 0 && slice_find(rest, ':') < 0)
            break;
        if (f->line_start)
            begin_line(f, line);
        bool take = f->take && !f->ended;
        if (!take && run > 0)
            buf_add(out, slice_sub(piece, f->used - run, run));
        run = take ? run + line.len : 0;
        f->line_start = lf >= 0;
        f->used += line.len;
    }
    buf_add(out, slice_sub(piece, f->used - run, run));
}

void fetch_filter_fields(struct buf *out, const struct imap_section *section, struct slice header)
{
    struct field_filter filter = {.section = section, .line_start = true};
    filter_piece(&filter, header, true, out);
}

/* The fields and the blank line behind them, as a memfd. */
static enum err open_fields(const struct fetch_file *file, const struct imap_section *section,
                            const struct fetch_range *range, int *fd, uint64_t *len, struct why *why)
{
    AUTO_BUF struct buf piece = buf_new(PIECE), fields = buf_new(PIECE);
    struct field_filter filter = {.section = section, .line_start = true};
    enum err err = io_memfd("section", fd, why);
    uint64_t total = 2; /* of the blank line */
    for (uint64_t at = 0; !err && at < range->len && !filter.ended; at += filter.used) {
        err = read_piece(file, &piece, range->offset + at, range->len - at, why);
        if (err)
            break;
        buf_clear(&fields);
        filter_piece(&filter, buf_slice(&piece), at + piece.len == range->len, &fields);
        total += fields.len;
        err = io_write_all(*fd, buf_slice(&fields), why);
    }
    if (!err)
        err = io_write_all(*fd, SLICE("\r\n"), why);
    if (err)
        io_close(fd);
    *len = total; /* may be the range's own */
    return err;
}

/* ---- as descriptors ---- */

bool fetch_take_facts(struct slice facts, int fd, uint8_t **bytes, size_t *len)
{
    struct stat st;
    size_t got = 0;
    if (fd < 0) {
        *bytes = (uint8_t *)mem_dup(facts.ptr, facts.len);
        *len = facts.len;
        return true;
    }
    if (io_fstat(fd, &st, NULL) != ERR_OK || st.st_size <= 0 || st.st_size > FACTS_MAX_ENCODED)
        return false;
    *bytes = mem_alloc((size_t)st.st_size);
    *len = (size_t)st.st_size;
    return io_pread(fd, *bytes, *len, 0, &got, NULL) == ERR_OK && got == *len;
}

enum err fetch_section_open(const struct fetch_file *file, const struct imap_section *section, bool clean,
                            int *fd, uint64_t *offset, uint64_t *len, struct why *why)
{
    struct fetch_range range = fetch_section_range(file, section);
    int made = -1;
    enum err err = ERR_OK;
    *fd = -1;
    if (!range.there)
        return ERR_OK;
    clean = clean && file->facts->flags & FACTS_HAS_NUL;
    if (section->text == IMAP_SECTION_FIELDS || section->text == IMAP_SECTION_FIELDS_NOT) {
        err = open_fields(file, section, &range, &made, &range.len, why);
        range.offset = 0;
    }
    fetch_section_cut(section, &range.offset, &range.len);
    const struct fetch_file source = {.fd = made < 0 ? file->fd : made};
    if (!err && clean) {
        err = fetch_without_nul(&source, range.offset, range.len, fd, why);
        range.offset = 0;
        io_close(&made);
    } else if (!err) {
        *fd = made >= 0 ? made : fcntl(file->fd, F_DUPFD_CLOEXEC, 0);
        err = *fd >= 0 ? ERR_OK : err_set(why, ERR_LATER, "no descriptor left");
    }
    *offset = range.offset;
    *len = range.len;
    return err;
}
