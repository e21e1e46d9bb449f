/* err.c: errors as a code and a text. */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum err err_set(struct why *why, enum err code, const char *format, ...)
{
    if (why) {
        va_list args;
        va_start(args, format);
        (void)vsnprintf(why->text, sizeof why->text, format, args);
        va_end(args);
    }
    return code;
}

static enum err code_of(int errnum)
{
    switch (errnum) {
    case ENOSPC:
    case EDQUOT:
    case EAGAIN:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        return ERR_LATER;
    case ENOENT:
        return ERR_ABSENT;
    default:
        return ERR_INTERNAL;
    }
}

enum err err_errno(struct why *why, int errnum, const char *format, ...)
{
    if (why) {
        va_list args;
        va_start(args, format);
        (void)vsnprintf(why->text, sizeof why->text, format, args);
        va_end(args);
        size_t len = strlen(why->text);
        char reason[80];
        (void)snprintf(why->text + len, sizeof why->text - len, ": %s",
                       strerror_r(errnum, reason, sizeof reason));
    }
    return code_of(errnum);
}

const char *err_name(enum err code)
{
    static const char *const names[ERR_COUNT] = {"ok",        "bad input", "refused",
                                                 "try later", "no such",   "internal"};
    return code < ERR_COUNT ? names[code] : "unknown";
}
