/* conf_node.h: a YAML file as a small tree, between conf_yaml.c and conf.c. */
#ifndef BASE_CONF_NODE_H
#define BASE_CONF_NODE_H

#include "base/conf.h"

enum conf_node_kind { CONF_NODE_SCALAR, CONF_NODE_LIST, CONF_NODE_MAP };

struct conf_node {
    enum conf_node_kind kind;
    uint32_t line;     /* of the value */
    bool null;         /* a plain "", "~" or "null" */
    struct slice text; /* SCALAR: as it stands, before ${ENV} */
    struct slice key;  /* child of a MAP */
    uint32_t key_line;
    struct conf_node *first, *last, *next;
    size_t count; /* children */
};

/* The tree of the only document; NULL for an empty file, and with a problem added when it is not well-formed,
 * has anchors or more than CONF_NODES_MAX nodes, or is deeper than CONF_DEPTH_MAX. */
struct conf_node *conf_node_parse_in(struct arena *arena, struct slice yaml, struct slice file,
                                     struct problems *problems);

/* Reads one scalar (after ${ENV}) into the C type at `at`. NULL, or what a value of this kind looks like. */
const char *conf_value_read_in(struct arena *arena, const struct conf_field *field, enum conf_kind kind,
                               struct slice text, void *at);
/* sizeof the C type of a value of this kind. */
size_t conf_value_size(const struct conf_field *field, enum conf_kind kind);
/* The value as it would be written in the file (not STRUCT, not LIST). */
void conf_value_print(const struct conf_field *field, enum conf_kind kind, const void *at, struct buf *text);
/* Number of names. */
size_t conf_names_count(const char *const *names);

#endif
