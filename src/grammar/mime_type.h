/* mime_type.h: values of Content-Type and Content-Disposition: a token and parameters (RFC 2045 section 5.1,
 * RFC 2183), with RFC 2231 continuations joined. Takes any bytes, gives the best reading; pure. */
#ifndef GRAMMAR_MIME_TYPE_H
#define GRAMMAR_MIME_TYPE_H

#include "base/arena.h"

#define MIME_MAX_PARAMS 64 /* of one field; further ones are not read */

/* Slices live in the arena. */
struct mime_param {
    struct slice name;  /* as written, without RFC 2231 section number and asterisk */
    struct slice value; /* unquoted; when extended: charset'language'percent-encoded */
    bool extended;
};

struct mime_params {
    struct mime_param *at;
    size_t count;
};

struct mime_type {
    struct slice type, subtype; /* as written; both empty when there is no such pair */
    struct mime_params params;
};

struct mime_disposition {
    struct slice name; /* as written; empty when broken */
    struct mime_params params;
};

/* The value of Content-Type, folding and comments allowed. */
void mime_type_parse_in(struct arena *arena, struct slice value, struct mime_type *type);
/* The value of Content-Disposition, likewise. */
void mime_disposition_parse_in(struct arena *arena, struct slice value, struct mime_disposition *disposition);
/* The parameter of that name (compared without case), or NULL. */
const struct mime_param *mime_params_find(const struct mime_params *params, struct slice name);
/* Takes a token (RFC 2045 section 5.1) off the front of `*s` after blanks; empty when none stands there. */
struct slice mime_take_token(struct slice *s);

#endif
