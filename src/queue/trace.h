/* trace.h: what happened to each message, kept for `rockdove trace ID`: a bounded table, written once a
 * second. */
#ifndef QUEUE_TRACE_H
#define QUEUE_TRACE_H

#include "queue/spool.h"

#define TRACE_FLUSH_MS   1000
#define TRACE_BUFFER_MAX (4u << 20) /* events not written yet; more are counted and dropped */
#define TRACE_EVENT_MAX  1000       /* bytes of one event's text */

struct trace *trace_new(struct loop *loop, struct spool *spool);
/* Writes what is left. Takes NULL. */
void trace_free(struct trace **trace);
void trace_flush(struct trace *trace);
/* Adds an event of this session and queue id (either may be empty). `text` is ours; peers' bytes in it are
 * made printable. */
void trace_add(struct trace *trace, struct slice session, struct slice id, struct slice text);

/* One record of the buffer: le64 unix ms, then session, id, text as wire_strings. */
bool trace_take(struct slice *records, uint64_t *unix_ms, struct slice *session, struct slice *id,
                struct slice *text);

#endif
