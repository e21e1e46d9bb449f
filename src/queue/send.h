/* send.h: one transaction with another server: the message's file is opened, relay sends it, the results are
 * settled. Called by schedule.c, which is told of the end. */
#ifndef QUEUE_SEND_H
#define QUEUE_SEND_H

#include "queue/destination.h"
#include "queue/routes.h"

#define SEND_RECIPIENTS_BYTES 38000 /* of one transaction, encoded; wire.h takes 40000 */
#define SEND_DEADLINE_MS                                                                                     \
    7200000 /* relay has deadlines of its own for each step; this one is for a relay that hangs */
#define SEND_AGAIN_MS 10000 /* after a restart of relay or store */

struct destination;

struct job {
    struct list node; /* of those that wait for the file */
    struct list all;  /* schedule.c: of those under way */
    struct queue *q;
    struct queued *message;
    struct destination *to; /* schedule.c */
    struct slice key;       /* of the route taken; lives as long as `to` */
    struct route route;
    struct slice sender;
    bool seven_bit;
    uint32_t taken; /* from the relay's quota */
    uint64_t begun_ms;
    uint32_t count;
    struct queued_row *rows[];
};

void send_begin(struct job *job);
/* Nothing of this message is being sent any more: its files are closed. */
void send_close(struct queued *message);

/* schedule.c: the job has ended (its rows are settled) and is freed there. `login`: the relay refused our
 * name and password. Rows that are to be sent again at once in their 7-bit form: schedule_again(). */
void schedule_ended(struct job *job, enum destination_end end, bool login);
void schedule_again(struct job *job, struct queued_row **rows, uint32_t count);

#endif
