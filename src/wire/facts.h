/* facts.h: what `scan` found in one message, and its encoding.
 *
 * `scan` reads a message once and encodes its facts; `store` checks and keeps them; `imap` and `http` read
 * them instead of the message. Offsets count from the first byte of the message as it is served (see `added`
 * and `cuts`), without the header block that `store` writes in front of it: facts_put_in_front() takes that
 * block into account.
 *
 * Encoding: version byte, varint length of the record, the record, then the searchable text up to the end, so
 * that the text can be kept apart by cutting at facts_record_len(). Numbers are varints, byte strings varint
 * length and bytes.
 */
#ifndef WIRE_FACTS_H
#define WIRE_FACTS_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#define FACTS_VERSION 1
/* Bounds of one record; the encoder stays below them, the decoder refuses what exceeds them. */
#define FACTS_MAX_PARTS   1024              /* entries of the parts table */
#define FACTS_MAX_DEPTH   256               /* nesting of the parts table and of parentheses in ready texts */
#define FACTS_MAX_HEADERS (16 * 1024)       /* the header cache, before facts_put_in_front() */
#define FACTS_MAX_LIST    256               /* entries of any list: from, references, delivered_to, cuts */
#define FACTS_MAX_TEXT    (256 * 1024)      /* decoded text for search */
#define FACTS_MAX_FIELD   (512 * 1024)      /* any other byte string: BODYSTRUCTURE, ENVELOPE, … */
#define FACTS_MAX_RECORD  (2 * 1024 * 1024) /* the record without the text */
#define FACTS_MAX_ENCODED (FACTS_MAX_RECORD + FACTS_MAX_TEXT + 16)
#define FACTS_NO_DATE     (-1)

enum facts_kind { FACTS_LEAF, FACTS_MULTIPART, FACTS_MESSAGE, FACTS_KIND_COUNT };

/* Content-Transfer-Encoding (RFC 2045 section 6); FACTS_ENC_OTHER is any unknown one. */
enum facts_encoding {
    FACTS_ENC_7BIT,
    FACTS_ENC_8BIT,
    FACTS_ENC_BINARY,
    FACTS_ENC_QP,
    FACTS_ENC_BASE64,
    FACTS_ENC_OTHER,
    FACTS_ENC_COUNT
};

/* One row of the parts table: whatever has an IMAP section number (RFC 3501 section 6.4.5). Entry 0 is the
 * message itself (kind FACTS_MESSAGE, no MIME header, parent 0, number 0); parents stand before their
 * children. BODY[path]        body_off, body_len            BODY[path.MIME]  header_off, header_len (blank
 * line included) BODY[path.HEADER] body_off, inner_header_len    BODY[path.TEXT]  the rest of the body
 * (FACTS_MESSAGE only) A message that is not multipart has one child, number 1: its own body, with the
 * message's header as MIME header. A multipart that is the whole content of a message has no row of its own:
 * its parts are the message's children. */
struct facts_part {
    uint32_t parent; /* index of the row this one is numbered in */
    uint32_t number; /* 1, 2, … within the parent */
    enum facts_kind kind;
    enum facts_encoding encoding;
    uint64_t header_off, header_len;
    uint64_t body_off, body_len;
    uint64_t inner_header_len;  /* FACTS_MESSAGE: header of the message inside, blank line included; else 0 */
    struct slice type, subtype; /* lower case; text/plain where none or a broken one is given */
    struct slice charset;       /* lower case, as given; empty when absent */
    struct slice disposition;   /* "inline", "attachment", … lower case, or empty */
    struct slice name;          /* file name, UTF-8, or empty */
    struct slice cid;           /* Content-ID without angle brackets, or empty */
};

/* Stands in `from` for addresses that were not looked at (thousands of them, or header fields): nobody's
 * address. */
#define FACTS_FROM_UNREAD "(more)"

struct facts_list {
    struct slice *at;
    size_t count;
};

/* A run of bytes of the message as it was received. */
struct facts_cut {
    uint64_t off, len;
};

/* Bits of `flags`. */
enum facts_flag {
    FACTS_HAS_ATTACHMENT = 1 << 0,
    FACTS_NO_DATE_FIELD = 1 << 1,    /* no Date, before scan added one (see added) */
    FACTS_NO_MESSAGE_ID = 1 << 2,    /* no Message-ID, before scan added one */
    FACTS_NO_FROM = 1 << 3,          /* no From, or none that holds an address */
    FACTS_HEADERS_COMPLETE = 1 << 4, /* `headers` holds every field of facts_is_cached() */
    FACTS_TEXT_COMPLETE = 1 << 5,    /* `text` holds all text of all text parts */
    FACTS_PARTS_COMPLETE = 1 << 6,   /* no part was left unsplit by a bound */
    FACTS_HAS_NUL = 1 << 7,          /* some octet is NUL (only what clients append can have one) */
    FACTS_FLAGS_ALL = (1 << 8) - 1
};

struct facts {
    uint32_t flags;      /* enum facts_flag */
    uint64_t size;       /* bytes of the message as served */
    uint64_t header_len; /* its header, blank line included */
    uint64_t lines;      /* LF bytes in it */
    int64_t sent;        /* Date in seconds since 1970 (UTC), or FACTS_NO_DATE */
    uint32_t received_count;

    /* Ready IMAP text: one parenthesised list each, quoted strings and literals chosen as RFC 3501 wants. */
    struct slice envelope, body, bodystructure;

    struct facts_part *parts;
    size_t part_count;

    /* Fields of facts_is_cached(), each whole and with its line end, in the order of the message. */
    struct slice headers;

    struct facts_list from; /* addresses of From: local@domain, domain as lower-case A-label */
    struct facts_list
        references; /* message ids without angle brackets, at most FACTS_MAX_LIST: first and last ones */
    struct facts_list delivered_to;       /* values of Delivered-To, outermost first */
    struct slice message_id, in_reply_to; /* without angle brackets, or empty */

    struct slice base_subject; /* RFC 5256 section 2.1, UTF-8, folded for comparison */
    struct slice subject;      /* decoded, UTF-8, as are the next ones: for SEARCH and lists */
    struct slice search_from, search_to, search_cc, search_bcc; /* `Name <local@domain>, …` */
    struct slice sort_from, sort_to, sort_cc;        /* RFC 5256 SORT: mailbox of the first address, folded */
    struct slice sort_display_from, sort_display_to; /* RFC 5957 DISPLAYFROM and DISPLAYTO, folded */
    struct slice preview; /* RFC 8970: at most 200 characters, UTF-8, no control characters */

    /* The message as served is `added`, then the message as received without `cuts` (ascending, not
     * touching). */
    struct slice added;
    struct facts_cut *cuts;
    size_t cut_count;

    struct slice text; /* decoded text of all text parts, UTF-8; empty when decoded without it */
    uint64_t text_len; /* its length, also where the text itself is kept apart */
};

/* Appends the encoding of `facts` (text_len is taken from text, which must be the whole text). Give `out` a
 * maximum of FACTS_MAX_ENCODED; a record beyond the bounds marks it as overflowed. */
void facts_encode(const struct facts *facts, struct buf *out);

/* Decodes a whole record with its text, or with the text cut off at facts_record_len(). All slices point into
 * `bytes`, tables into the arena. ERR_BAD for anything the encoder would not write; `facts` is then
 * unchanged. */
enum err facts_decode_in(struct arena *arena, struct slice bytes, struct facts *facts,
                         struct why *why) MUST_CHECK;

/* Only numbers and strings, for who looks at many records: no lists, no cuts, no parts, no text. */
enum err facts_decode_front(struct slice bytes, struct facts *facts, struct why *why) MUST_CHECK;

/* The id of the message a conversation began with, as far as this one tells: the first of References, else
 * In-Reply-To, else its own. Empty: none of them, or no record. */
struct slice facts_thread_root(struct slice bytes);
/* The same of decoded facts. */
struct slice facts_root(const struct facts *facts);

/* Sizes from the first FACTS_PEEK bytes of an encoding of ours (all of it when there are fewer). */
#define FACTS_PEEK 64
bool facts_peek(struct slice front, uint64_t *size, uint64_t *header_len) MUST_CHECK;

/* Ready texts at the front of a record, had without decoding the rest; nothing is checked but the lengths. */
struct facts_front {
    uint32_t flags;                                      /* enum facts_flag */
    struct slice envelope, body, bodystructure, headers; /* as in struct facts */
    struct slice preview;                                /* only when asked for: it stands behind much else */
};
/* False when `bytes` is no record. Results point into it. */
bool facts_front(struct slice bytes, bool with_preview, struct facts_front *front) MUST_CHECK;

/* Length of the encoding without the text behind it; 0 when `bytes` is not a record. */
size_t facts_record_len(struct slice bytes) MUST_CHECK;

/* Whether decoded facts are consistent for a message of `received_size` bytes as received: `scan` can be
 * hijacked, so `store` asks before it keeps them. Offsets lie inside the message and nest, ready texts are
 * one well-formed list, texts are UTF-8, cuts lie inside and add up. ERR_BAD with the reason. */
enum err facts_check(const struct facts *facts, uint64_t received_size, struct why *why) MUST_CHECK;

/* Changes `facts` to describe the message with `block` (whole header fields, CRLF) written in front of it:
 * size, lines, offsets, header cache, Received count, Delivered-To. Results may point into `block`. Table of
 * parts is copied. */
void facts_put_in_front(struct arena *arena, struct facts *facts, struct slice block);

/* The row with the section numbers `path` ("1.2.3"; "" is the message itself), or NULL. */
const struct facts_part *facts_find_part(const struct facts *facts, struct slice path);

/* Whether the header cache keeps fields of this name. */
bool facts_is_cached(struct slice field_name);

#endif
