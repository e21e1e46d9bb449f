/* smtp_param.h: what smtp_command.c and smtp_param.c share; for those two alone. */
#ifndef GRAMMAR_SMTP_PARAM_H
#define GRAMMAR_SMTP_PARAM_H

#include "grammar/smtp_command.h"

/* One line being read. */
struct smtp_parse {
    struct arena *arena;
    struct slice rest; /* not read yet */
    unsigned offered;
    bool path_is_ascii;
    struct smtp_command command;
};

/* The parameters behind a path: all of p->rest. NULL when they are right, otherwise the reply. */
const struct smtp_reply_text *smtp_param_parse_mail(struct smtp_parse *p) MUST_CHECK;
const struct smtp_reply_text *smtp_param_parse_rcpt(struct smtp_parse *p) MUST_CHECK;

#endif
