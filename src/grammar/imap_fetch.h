/* imap_fetch.h: what FETCH asks for (RFC 9051 section 6.4.5; RFC 3501 macros; RFC 3516 BINARY; RFC 7162). */
#ifndef GRAMMAR_IMAP_FETCH_H
#define GRAMMAR_IMAP_FETCH_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#define IMAP_FETCH_ITEMS_MAX   64  /* items of one FETCH */
#define IMAP_FETCH_FIELDS_MAX  128 /* field names of one HEADER.FIELDS */
#define IMAP_SECTION_DEPTH_MAX 64  /* numbers of one part specifier "1.2.3" */

/* Items without arguments, as bits; they are answered in this order. */
enum imap_fetch_simple {
    IMAP_FETCH_UID = 1,
    IMAP_FETCH_FLAGS = 2,
    IMAP_FETCH_INTERNALDATE = 4,
    IMAP_FETCH_RFC822_SIZE = 8,
    IMAP_FETCH_ENVELOPE = 16,
    IMAP_FETCH_BODY = 32, /* BODYSTRUCTURE without extension data */
    IMAP_FETCH_BODYSTRUCTURE = 64,
    IMAP_FETCH_MODSEQ = 128,
    IMAP_FETCH_EMAILID = 256,   /* RFC 8474 */
    IMAP_FETCH_THREADID = 512,  /* RFC 8474 */
    IMAP_FETCH_SAVEDATE = 1024, /* RFC 8514 */
    IMAP_FETCH_PREVIEW = 2048   /* RFC 8970 */
};

enum imap_section_text {
    IMAP_SECTION_ALL, /* [] the whole message, [1.2] the body of a part */
    IMAP_SECTION_HEADER,
    IMAP_SECTION_FIELDS,
    IMAP_SECTION_FIELDS_NOT,
    IMAP_SECTION_TEXT,
    IMAP_SECTION_MIME /* only below a part number */
};

enum imap_section_form {                          /* under which name the bytes are answered */
                         IMAP_FORM_BODY,          /* BODY[…] and BODY.PEEK[…] */
                         IMAP_FORM_BINARY,        /* BINARY[…]: transfer encoding undone */
                         IMAP_FORM_BINARY_SIZE,   /* BINARY.SIZE[…] */
                         IMAP_FORM_RFC822,        /* = BODY[] */
                         IMAP_FORM_RFC822_HEADER, /* = BODY.PEEK[HEADER] */
                         IMAP_FORM_RFC822_TEXT    /* = BODY[TEXT] */
};

struct imap_section {
    enum imap_section_form form;
    enum imap_section_text text;
    uint32_t *part; /* part numbers, each at least 1 */
    size_t part_count;
    struct slice *fields; /* IMAP_SECTION_FIELDS and FIELDS_NOT, as the client wrote them */
    size_t field_count;
    bool peek; /* does not set \Seen */
    bool partial;
    uint32_t offset, length; /* partial: <offset.length> */
};

struct imap_fetch {
    uint32_t simple; /* bits of enum imap_fetch_simple */
    struct imap_section *sections;
    size_t section_count;
    bool marks_seen; /* some section is not a peek */
    bool has_changed_since;
    uint64_t changed_since;
    bool vanished;
    bool has_partial; /* RFC 9394: only these of the set; negative counts from the end */
    int64_t partial_from, partial_to;
    bool uid_implied; /* UID FETCH, without the item UID */
};

/* The text between "[" and "]" of BODY, all of it. False: no section. Fields point into `text` or the arena.
 */
bool imap_section_parse_in(struct arena *arena, struct slice text, struct imap_section *section) MUST_CHECK;
/* The name under which a section is answered: "BODY[HEADER.FIELDS (DATE FROM)]<0>". */
void imap_section_write_name(struct buf *out, const struct imap_section *section);

#endif
