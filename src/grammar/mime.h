/* mime.h: a message as a tree of parts with byte offsets (RFC 2045, 2046, 5322). Takes any bytes at all,
 * never refuses: what is broken gets the reading mail programs would give it. Linear in the size of the
 * message, bounded in memory; pure.
 *
 * Tolerated: LF-only lines, no header, no empty line behind a header, missing or repeated end boundaries, a
 * boundary that begins another or equals that of an enclosing multipart, text cut off anywhere. A multipart
 * without any part reads as text/plain; a multipart or message beyond a bound stays one opaque part.
 */
#ifndef GRAMMAR_MIME_H
#define GRAMMAR_MIME_H

#include "base/arena.h"
#include "grammar/mime_type.h"

#define MIME_MAX_DEPTH     100          /* parts and messages inside each other */
#define MIME_MAX_PARTS     900          /* then what is left of each open multipart is one opaque part */
#define MIME_MAX_HEADER    (256 * 1024) /* of the header of one part; the rest is skipped */
#define MIME_MAX_BOUNDARY  200          /* longer ones are compared up to here (RFC 2046 section 5.1.1: 70) */
#define MIME_MAX_VALUE     (16 * 1024)  /* of one Content-… field; the rest is not looked at */
#define MIME_MAX_VALUES    (256 * 1024) /* of all Content-… fields; further ones count as absent */
#define MIME_MAX_LANGUAGES 16

enum mime_kind { MIME_LEAF, MIME_MULTIPART, MIME_MESSAGE };

/* Content-Transfer-Encoding (RFC 2045 section 6). */
enum mime_encoding { MIME_7BIT, MIME_8BIT, MIME_BINARY, MIME_QP, MIME_BASE64, MIME_OTHER };

/* One part, or a message: the root, or the content of a message/rfc822 part. Offsets count from the first
 * byte of the whole input; children lie inside their parent's body. Slices live in the arena or in the input.
 */
struct mime_part {
    struct mime_part *parent, *next; /* next: the sibling behind this one */
    struct mime_part *child; /* MIME_MULTIPART: first part. MIME_MESSAGE: the message inside, always there */
    enum mime_kind kind;
    size_t header_off, header_len; /* blank line included */
    size_t body_off, body_len;     /* without the line end that belongs to the boundary behind it */
    size_t body_lines;             /* LF bytes of the body */
    bool opaque;                   /* a multipart or message that a bound kept from being split */

    struct mime_type type; /* the default is filled in; never empty */
    enum mime_encoding encoding;
    struct slice encoding_text;                  /* as written; empty when absent */
    struct slice id, description, md5, location; /* one line each; ptr NULL when absent */
    struct mime_disposition disposition;         /* name empty when absent */
    struct slice *languages;
    size_t language_count;
};

struct mime_limits {
    size_t depth, parts; /* at most MIME_MAX_DEPTH and MIME_MAX_PARTS */
};

/* Parses the whole message. `limits` may be NULL for the largest. The memory taken is about 400 bytes for
 * each part plus twice MIME_MAX_VALUES. `*complete` (may be NULL) is false when a bound left a part unsplit.
 */
struct mime_part *mime_parse_in(struct arena *arena, struct slice message, const struct mime_limits *limits,
                                bool *complete) __attribute__((returns_nonnull));

/* The header of a part, as far as it is looked at. */
struct slice mime_header(const struct mime_part *part, struct slice message);
struct slice mime_body(const struct mime_part *part, struct slice message);
/* Type and subtype compared without case; an empty subtype matches any. */
bool mime_is(const struct mime_part *part, struct slice type, struct slice subtype);
/* The part behind `part` in the order of the message (parents before children), or NULL. */
const struct mime_part *mime_walk(const struct mime_part *part);

#endif
