/* json_events.h: JSON (RFC 8259) read as it comes, in pieces of any size and in bounded memory: what a
 * stranger's server sends may be long, deep or endless. Strict: one value, no comments, no bare words but the
 * three. Text of strings is decoded to UTF-8; raw bytes over 127 are passed on unchecked. Pure.
 */
#ifndef GRAMMAR_JSON_EVENTS_H
#define GRAMMAR_JSON_EVENTS_H

#include "base/err.h"
#include "base/slice.h"

#define JSON_DEPTH_MAX  32   /* arrays and objects in each other */
#define JSON_TEXT_MAX   2048 /* bytes of a string that are kept; the rest is read and left out */
#define JSON_NUMBER_MAX 64   /* bytes of a number */

enum json_event_kind {
    JSON_OBJECT,
    JSON_OBJECT_END,
    JSON_ARRAY,
    JSON_ARRAY_END,
    JSON_KEY,
    JSON_STRING,
    JSON_NUMBER, /* as written */
    JSON_TRUE,
    JSON_FALSE,
    JSON_NULL
};

struct json_event {
    enum json_event_kind kind;
    unsigned depth;    /* of arrays and objects around it; a container's own events are outside of it */
    struct slice text; /* KEY, STRING, NUMBER; valid during the call */
    bool cut;          /* the text was longer than JSON_TEXT_MAX */
};
/* False ends the reading with ERR_REFUSED. */
typedef bool json_event_fn(void *ctx, const struct json_event *event);

/* Initialised by json_reader_begin(); the members are the reader's own. */
struct json_reader {
    json_event_fn *on_event;
    void *ctx;
    uint32_t objects; /* bit n: the container at depth n is an object */
    unsigned depth;
    int expect, token; /* states of json_events.c */
    bool is_key, cut;
    unsigned hex_count;
    uint32_t hex, high; /* of \u; the first half of a pair, or 0 */
    const char *literal;
    enum json_event_kind literal_kind;
    size_t len;
    char text[JSON_TEXT_MAX];
};

void json_reader_begin(struct json_reader *reader, json_event_fn *on_event, void *ctx);
/* ERR_BAD: no JSON, or past a bound; ERR_REFUSED: on_event() wants no more. Not to be called again then. */
enum err json_reader_feed(struct json_reader *reader, struct slice bytes) MUST_CHECK;
/* All has come: ERR_BAD when the value is not whole. */
enum err json_reader_end(struct json_reader *reader) MUST_CHECK;

#endif
