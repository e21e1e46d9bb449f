/* conf_yaml.c: libyaml's events as a tree. The file is the operator's; it is read in the unprivileged
 * configuration child and by commands. Anchors are refused: nothing of ours needs them, and they can unfold
 * without end. */
#include "base/conf_node.h"

#include <string.h>
#include <yaml.h>

struct builder {
    struct arena *arena;
    struct problems *problems;
    struct slice file;
    struct conf_node *root, *open[CONF_DEPTH_MAX];
    size_t depth, nodes, documents;
    struct slice key; /* of a map: read, its value not yet */
    uint32_t key_line;
    bool has_key;
};

static uint32_t line_of(const yaml_mark_t *mark)
{
    return (uint32_t)(mark->line + 1);
}

static bool refuse(struct builder *b, uint32_t line, struct slice remedy, const char *text)
{
    problem_add(b->problems, PROBLEM_ERROR, b->file, line, remedy, "%s", text);
    return false;
}

/* Hangs a node below the innermost open one. False when it may not stand there. */
static bool attach(struct builder *b, struct conf_node *node)
{
    if (++b->nodes > CONF_NODES_MAX)
        return refuse(b, node->line, SLICE_EMPTY, "too many entries in this file");
    if (b->depth == 0) {
        b->root = node;
        return true;
    }
    struct conf_node *up = b->open[b->depth - 1];
    if (up->kind == CONF_NODE_MAP) {
        node->key = b->key;
        node->key_line = b->key_line;
        b->has_key = false;
    }
    if (up->last)
        up->last->next = node;
    else
        up->first = node;
    up->last = node;
    up->count++;
    return true;
}

static bool wants_key(const struct builder *b)
{
    return b->depth > 0 && b->open[b->depth - 1]->kind == CONF_NODE_MAP && !b->has_key;
}

static bool on_scalar(struct builder *b, const yaml_event_t *event)
{
    struct slice text = slice_make(event->data.scalar.value, event->data.scalar.length);
    bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    uint32_t line = line_of(&event->start_mark);
    if (text.len > CONF_SCALAR_MAX)
        return refuse(b, line, SLICE_EMPTY, "value is too long");
    text = arena_dup(b->arena, text);
    if (wants_key(b)) {
        b->key = text;
        b->key_line = line;
        b->has_key = true;
        return true;
    }
    struct conf_node *node = ARENA_NEW(b->arena, struct conf_node);
    node->kind = CONF_NODE_SCALAR;
    node->line = line;
    node->text = text;
    node->null = plain && (text.len == 0 || slice_eq(text, SLICE("~")) || slice_eq(text, SLICE("null")));
    return attach(b, node);
}

static bool on_start(struct builder *b, const yaml_event_t *event, enum conf_node_kind kind)
{
    uint32_t line = line_of(&event->start_mark);
    if (wants_key(b))
        return refuse(b, line, SLICE_EMPTY, "a key must be a plain word");
    if (b->depth == CONF_DEPTH_MAX)
        return refuse(b, line, SLICE_EMPTY, "nested too deeply");
    struct conf_node *node = ARENA_NEW(b->arena, struct conf_node);
    node->kind = kind;
    node->line = line;
    if (!attach(b, node))
        return false;
    b->open[b->depth++] = node;
    b->has_key = false;
    return true;
}

static bool on_event(struct builder *b, const yaml_event_t *event)
{
    uint32_t line = line_of(&event->start_mark);
    static const char anchors[] = "anchors and aliases (& and *) are not read here";
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return event->data.scalar.anchor ? refuse(b, line, SLICE("quote the value, or write it out"), anchors)
                                         : on_scalar(b, event);
    case YAML_SEQUENCE_START_EVENT:
        return event->data.sequence_start.anchor ? refuse(b, line, SLICE("write it out"), anchors)
                                                 : on_start(b, event, CONF_NODE_LIST);
    case YAML_MAPPING_START_EVENT:
        return event->data.mapping_start.anchor ? refuse(b, line, SLICE("write it out"), anchors)
                                                : on_start(b, event, CONF_NODE_MAP);
    case YAML_ALIAS_EVENT:
        return refuse(b, line, SLICE("quote a value that begins with *"), anchors);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        b->depth--;
        b->has_key = false;
        return true;
    case YAML_DOCUMENT_START_EVENT:
        return b->documents++ == 0 ? true
                                   : refuse(b, line, SLICE("remove the line ---"), "more than one document");
    default:
        return true;
    }
}

static void syntax_problem(struct builder *b, const yaml_parser_t *parser)
{
    const char *what = parser->problem ? parser->problem : "cannot be read";
    problem_add(b->problems, PROBLEM_ERROR, b->file, line_of(&parser->problem_mark),
                SLICE("check indentation, brackets and quotes up to this line"), "not valid YAML: %s%s%s",
                what, parser->context ? " " : "", parser->context ? parser->context : "");
}

struct conf_node *conf_node_parse_in(struct arena *arena, struct slice yaml, struct slice file,
                                     struct problems *problems)
{
    struct builder b = {.arena = arena, .problems = problems, .file = file};
    if (yaml.len > CONF_FILE_MAX) {
        (void)refuse(&b, 0, SLICE_EMPTY, "the file is too large");
        return NULL;
    }
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) {
        (void)refuse(&b, 0, SLICE_EMPTY, "out of memory");
        return NULL;
    }
    yaml_parser_set_input_string(&parser, yaml.len ? yaml.ptr : (const uint8_t *)"", yaml.len);
    bool good = true, end = false;
    while (good && !end) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            syntax_problem(&b, &parser);
            good = false;
            break;
        }
        end = event.type == YAML_STREAM_END_EVENT;
        good = on_event(&b, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return good ? b.root : NULL;
}
