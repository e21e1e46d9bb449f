/* check_inside.h: what the files of the semantic check share. Private to settings/. */
#ifndef SETTINGS_CHECK_INSIDE_H
#define SETTINGS_CHECK_INSIDE_H

#include "settings/settings.h"

struct check {
    const struct settings *settings;
    const struct conf_origin *origin;
    struct slice file;
    const struct settings_probe *probe;
    struct problems *problems;
};

#define PROBLEM(c, level, field, remedy, ...)                                                                \
    problem_add((c)->problems, (level), (c)->file, conf_line((c)->origin, (field)), SLICE(remedy),           \
                __VA_ARGS__)

/* An error when the file cannot be read by whoever starts the server. `what`: "certificate". */
void settings_check_file(struct check *c, const void *field, struct slice path, const char *what);
/* check_door.c */
void settings_check_door(struct check *c);
/* check_auth.c */
void settings_check_auth(struct check *c);

#endif
