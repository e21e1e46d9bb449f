/* err.h: what can go wrong, as a value. A function that fails leaves its results untouched. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/slice.h"

enum err {
    ERR_OK = 0,
    ERR_BAD,      /* malformed input */
    ERR_REFUSED,  /* well-formed, but not allowed */
    ERR_LATER,    /* may work if tried again: role away, deadline, disk full, lock */
    ERR_ABSENT,   /* no such mailbox, account, file */
    ERR_INTERNAL, /* our own fault or a broken store; the text says what */
    ERR_COUNT
};

/* Text for people, filled by the callee beside an `enum err`; never holds raw bytes of a peer. */
struct why {
    char text[240];
};

/* Fills `why` (which may be NULL) and returns `code`: return err_set(why, ERR_BAD, "…"); */
enum err err_set(struct why *why, enum err code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with ": " and the text of `errnum` behind it. ENOSPC, EDQUOT, EAGAIN, EMFILE give ERR_LATER. */
enum err err_errno(struct why *why, int errnum, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* "ok", "bad input", "refused", "try later", "no such", "internal". */
const char *err_name(enum err code);

#endif
