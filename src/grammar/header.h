/* header.h: the header block of a message as fields (RFC 5322 sections 2.2 and 3.6). Takes any bytes; pure,
 * copies nothing unless the name says `_in`. Lines may end in CRLF or LF: where bare LF is refused is decided
 * before (smtp_data.h). */
#ifndef GRAMMAR_HEADER_H
#define GRAMMAR_HEADER_H

#include "base/arena.h"

/* A name longer than this is junk, as is a field past the count: the rest of the block is then one junk
 * field. */
#define HEADER_NAME_MAX   256
#define HEADER_FIELDS_MAX 10000

/* Slices point into the block. */
struct header_field {
    struct slice name;  /* without blanks before the colon; empty for junk */
    struct slice value; /* behind the colon with its folding, without the last line end */
    struct slice raw;   /* the whole field with its last line end */
    size_t offset;      /* of raw in the block */
    bool junk; /* a line that is no field ("From " of mbox, text without a colon) with its continuation */
};

struct header_iter {
    struct slice block;
    size_t at, count;
};

/* Where the header ends: `*header` without the empty line, `*body` behind it. Without an empty line all of it
 * is header. `*header` and
 * `*body` may be NULL. */
void header_split(struct slice message, struct slice *header, struct slice *body);
struct header_iter header_iter_new(struct slice block);
/* The next field; false at the end of the block (or at an empty line). */
bool header_next(struct header_iter *iter, struct header_field *field);
/* Compares without case. */
bool header_is(const struct header_field *field, struct slice name);
/* The first (last) field of that name. */
bool header_find(struct slice block, struct slice name, struct header_field *field);
bool header_find_last(struct slice block, struct slice name, struct header_field *field);

/* The value on one line: line ends before a blank go (RFC 5322 section 2.2.3), other line ends and NUL become
 * a blank, the blanks at both ends go. */
struct slice header_unfold_in(struct arena *arena, struct slice value);
/* Length of the comment "(…)" at the start of `s`, nested and with quoted pairs; all of `s` when it is not
 * closed; 0 when there is none. The second form gives 0 for an unclosed one too. */
size_t header_comment_len(struct slice s);
size_t header_comment_closed_len(struct slice s);
/* Length of the quoted string at the start of `s` with its quotes; 0 when there is none or it is not closed.
 */
size_t header_quoted_len(struct slice s);
/* Takes blanks, line ends and comments (CFWS) off the front. */
struct slice header_skip_cfws(struct slice s);
/* The value without comments (each becomes one blank), unfolded; comments inside quoted strings stay. */
struct slice header_strip_comments_in(struct arena *arena, struct slice value);

/* Message ids of References, In-Reply-To, Message-ID (RFC 5322 section 3.6.4), without angle brackets and
 * inner blanks, in order. Takes the next one off `*rest`; false when there is none. Ids longer than
 * HEADER_MSGID_MAX are skipped. A value without any angle bracket gives its words that hold an '@'. */
#define HEADER_MSGID_MAX 998
bool header_msgid_take_in(struct arena *arena, struct slice *rest, struct slice *id);

#endif
