/* print.h: texts for the administrator: what peers wrote, made fit for a terminal and for JSON. Pure. */
#ifndef QUEUE_PRINT_H
#define QUEUE_PRINT_H

#include "base/buf.h"

/* Control bytes and broken UTF-8 become '?'. */
void print_add_plain(struct buf *out, struct slice text);
/* `,"name":"text"` and `,"name":7`. */
void print_add_member(struct buf *out, const char *name, struct slice text);
void print_add_number(struct buf *out, const char *name, uint64_t number);
/* `,"name":"2026-11-21T03:30:01.123Z"`; null for 0. */
void print_add_time(struct buf *out, const char *name, uint64_t unix_ms);

#endif
