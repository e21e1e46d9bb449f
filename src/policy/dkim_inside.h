/* dkim_inside.h: what the files of DKIM share. */
#ifndef POLICY_DKIM_INSIDE_H
#define POLICY_DKIM_INSIDE_H

#include "grammar/header.h"
#include "policy/dkim.h"

#define DKIM_TAGS_MAX 64 /* of one list; more are malformed */

/* One tag of a tag-list (RFC 6376 section 3.2). */
struct dkim_tag {
    struct slice name;
    struct slice value; /* without the blanks around it */
    struct slice whole; /* all between "=" and ";" */
};

struct dkim_tags {
    struct dkim_tag at[DKIM_TAGS_MAX];
    size_t count;
};

/* ERR_BAD for a text that is no tag-list, or names a tag twice. */
enum err dkim_tags_parse(struct slice text, struct dkim_tags *tags, struct why *why) MUST_CHECK;
/* The tag of that name, or NULL. Names are compared with case (section 3.2). */
const struct dkim_tag *dkim_tags_find(const struct dkim_tags *tags, const char *name);
/* The value without any folding white space. */
struct slice dkim_tag_squeeze_in(struct arena *arena, struct slice value);
/* Base64 with folding white space anywhere (base64string, section 2.10); false when it is none. */
bool dkim_tag_base64_in(struct arena *arena, struct slice value, struct slice *bytes) MUST_CHECK;
/* Takes the next word of a list with `sep` between its words and blanks around them. */
bool dkim_tag_word(struct slice *rest, uint8_t sep, struct slice *word);

/* The fields of a header, to be taken from the bottom up (section 5.4.2). */
struct dkim_fields {
    struct dkim_field {
        struct header_field field;
        uint64_t hash; /* of the name, case folded */
        bool taken;
    } * at;
    size_t count;
};
struct dkim_fields dkim_fields_in(struct arena *arena, struct slice header);
/* Takes the lowest field of that name which is not taken yet; NULL when there is none. */
const struct header_field *dkim_fields_take(struct dkim_fields *fields, struct slice name);

/* Appends the field in canonical form, with CRLF (sections 3.4.1, 3.4.2). */
void dkim_canon_field(enum dkim_canon canon, const struct header_field *field, struct buf *out);
/* The relaxed form of a value alone: unfolded, blanks reduced, none at the ends. */
void dkim_canon_value(struct slice value, struct buf *out);

/* SHA-256 of two runs of bytes. */
void dkim_sha256(struct slice first, struct slice second, uint8_t hash[DKIM_HASH_LEN]);

#endif
