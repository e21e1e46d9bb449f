/* job.h: one scan task from descriptor to encoded facts; runs on any thread. */
#ifndef SCAN_JOB_H
#define SCAN_JOB_H

#include "base/buf.h"
#include "scan/scan_message.h"
#include "scan/sending.h"

#define JOB_MAX_SIZE (1u << 30) /* of a message; settings allow less */

/* What a thread keeps between jobs: memory, and converters that are slow to open. */
struct job_tools {
    struct arena *arena;
    struct charset_set *set;
};
struct job_tools job_tools_new(void);
void job_tools_free(struct job_tools *tools);

/* Reads the message behind `fd` (task->size bytes) and appends its encoded facts. Slices of the task live
 * long enough. */
enum err job_scan(struct job_tools *tools, const struct wire_scan_task *task, int fd, struct buf *facts,
                  struct why *why) MUST_CHECK;
/* The same, and what sending it on asks for. */
enum err job_scan_sending(struct job_tools *tools, const struct wire_scan_task *task, int fd,
                          struct buf *facts, struct sending *sending, struct why *why) MUST_CHECK;
/* BODY_SEVEN_BIT: `*converted` is a sealed memfd with the 7-bit form; `sending` is about that. ERR_REFUSED as
 * seven_bit.h says. */
enum err job_seven_bit(struct job_tools *tools, const struct wire_scan_task *task, int fd, int *converted,
                       struct sending *sending, struct why *why) MUST_CHECK;

#endif
