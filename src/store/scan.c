/* scan.c: a whole body goes to scan; what comes back is checked before it is believed, because scan reads
 * strangers' messages and may have been taken over. On the loop's thread. */
#include <stdio.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "grammar/date.h"
#include "store/context.h"

#define SCAN_ID_BYTES  16
#define SCAN_ARENA_MAX (4u << 20) /* tables of the facts of one message */

static enum err take_facts(struct body *body, const struct wire_scan_facts *reply, struct ipc_packet *packet,
                           struct why *why)
{
    AUTO_FD int fd = ipc_take_fd(packet, 0);
    if (fd < 0) {
        buf_add(&body->encoded, reply->facts);
        return ERR_OK;
    }
    if (!io_is_sealed(fd))
        return err_set(why, ERR_BAD, "scan sent facts it can still change");
    struct stat st;
    enum err err = io_fstat(fd, &st, why);
    if (!err && (st.st_size <= 0 || st.st_size > (off_t)FACTS_MAX_ENCODED))
        return err_set(why, ERR_BAD, "facts of a wrong size");
    size_t want = err ? 0 : (size_t)st.st_size, got = 0;
    uint8_t *room = err ? NULL : buf_reserve(&body->encoded, want);
    if (!err)
        err = io_pread(fd, room, want, 0, &got, why);
    if (!err)
        buf_added(&body->encoded, got);
    return err;
}

/* What queue will be told of the body; the coder bounds their lengths, auth checks what it signs. */
static void take_sending(struct body *body, const struct wire_scan_facts *reply)
{
    body->eightbit = reply->eightbit;
    body->utf8_header = reply->utf8_header;
    body->dkim_hash = arena_dup(body->arena, reply->dkim_hash);
    body->dkim_names = arena_dup(body->arena, reply->dkim_names);
    body->dkim_fields = arena_dup(body->arena, reply->dkim_fields);
}

static enum err check_facts(struct body *body, struct why *why)
{
    struct slice encoded = buf_slice(&body->encoded);
    body->arena = arena_new(SCAN_ARENA_MAX);
    enum err err = facts_decode_in(body->arena, encoded, &body->facts, why);
    if (!err)
        err = facts_check(&body->facts, body->size, why);
    if (err)
        return err;
    body->add = (struct add_body){.fd = body->fd,
                                  .size = body->size,
                                  .record = slice_sub(encoded, 0, facts_record_len(encoded)),
                                  .facts = &body->facts};
    return ERR_OK;
}

static void on_facts(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct body *body = ctx;
    struct wire_scan_facts reply;
    struct why why = {0};
    body->scan_call = 0;
    err = wire_answer(err, packet, WIRE_SCAN_FACTS, &reply);
    if (!err && reply.err)
        err = (enum err)reply.err;
    if (!err)
        err = take_facts(body, &reply, packet, &why);
    if (!err)
        err = check_facts(body, &why);
    if (!err)
        take_sending(body, &reply);
    if (body->err) /* dropped meanwhile */
        body_done(body, body->err, body->why);
    else if (err) {
        log_warn("store.scan", LOG_CSTR("err", err_name(err)), LOG_WHY(&why), LOG_U64("size", body->size));
        body_done(body, ERR_LATER, "the message cannot be read now");
    } else {
        body_done(body, ERR_OK, "");
    }
    body_release(body);
}

/* What a submission without Date or Message-ID gets (RFC 6409 section 8). */
static void fill_submission(struct wire_scan_task *task, struct date_text *date, char id[300])
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
    uint8_t random[SCAN_ID_BYTES];
    char text[SCAN_ID_BYTES + 1];
    role_random(random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        text[i] = digits[random[i] & 31];
    text[SCAN_ID_BYTES] = 0;
    (void)snprintf(id, 300, "<%s@%.*s>", text, SLICE_ARG(slice_sub(task->hostname, 0, 255)));
    *date = date_format_rfc5322(clock_unix_s(), 0);
    task->date = slice_of(date->text);
    task->message_id = slice_of(id);
}

void body_scan(struct body *body)
{
    struct wire_scan_task task = {.kind = body->kind,
                                  .size = body->size,
                                  .hostname = slice_sub(role_settings(body->store->run)->hostname, 0, 255)};
    struct date_text date;
    char id[300];
    if (body->kind == BODY_SUBMISSION)
        fill_submission(&task, &date, id);
    body->refs++;
    body->scan_call = wire_call_fds(role_link(body->store->run, ROLE_SCAN), WIRE_SCAN_TASK, &task, &body->fd,
                                    1, STORE_SCAN_MS, on_facts, body);
}
