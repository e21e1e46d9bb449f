/* out_rig.h: the queue role, whole, with a relay at the other end of the link that does what the test says:
 * each transaction waits until the test answers it. The store has one text for every message. */
#ifndef UNIT_QUEUE_OUT_RIG_H
#define UNIT_QUEUE_OUT_RIG_H

#include "../role_rig.h"

#include "queue/bounce.h"
#include "queue/destination.h"
#include "queue/queue.h"
#include "queue/schedule.h"
#include "queue/spool.h"
#include "wire/relay.h"

#define OUT_PEERS     (1u << ROLE_STORE | 1u << ROLE_AUTH | 1u << ROLE_SMTP | 1u << ROLE_RELAY)
#define OUT_SENDS_MAX 4000
#define OUT_ROWS_MAX  32 /* of one transaction, remembered */

static const char out_text[] = "From: john@example.org\r\nSubject: Hello\r\n\r\nThe text.\r\n";

#define OUT_YAML                                                                                             \
    "hostname: mail.example.org\n"                                                                           \
    "data: /tmp/unused\n"                                                                                    \
    "listeners:\n"                                                                                           \
    "  - { name: mx, service: mx, address: \"127.0.0.1:2525\", tls: none }\n"                                \
    "domains:\n"                                                                                             \
    "  - { name: example.org }\n"                                                                            \
    "postmaster: jane@example.org\n"

/* One transaction relay was asked for. */
struct out_send {
    struct ipc_link *link;
    uint32_t request;
    bool answered, eightbit, smtputf8;
    char id[QUEUE_ID_LEN + 1], host[100], sender[100], prefix[600];
    uint32_t route, relay;
    size_t rows;
    uint32_t ordinals[OUT_ROWS_MAX];
    char first[100]; /* its first recipient */
    uint64_t at_ms;
};

struct out {
    struct rig *rig;
    struct queue *q;
    struct out_send sends[OUT_SENDS_MAX];
    size_t count, answered; /* of sends; in order */
    bool at_once;           /* each is answered as sent when it comes */
    unsigned opens, seven_bit_opens, drops, forgets, deliveries, bodies, puts, signs;
    bool body_fails;
    enum err open_err, seven_bit_err, sign_err;
    char body[100000]; /* the last notification */
    size_t body_len;
};

/* ---- what relay says ---- */

struct out_answer {
    enum relay_outcome outcome;
    uint32_t code;
    const char *enhanced, *text;
    bool slow_down, dsn;
    enum relay_scope scope;
};
static const struct out_answer out_sent = {.outcome = RELAY_OUTCOME_SENT, .code = 250, .enhanced = "2.0.0"};
static const struct out_answer out_later = {
    .outcome = RELAY_OUTCOME_LATER, .code = 452, .enhanced = "4.2.2", .text = "mailbox full"};
static const struct out_answer out_slow = {.outcome = RELAY_OUTCOME_LATER,
                                           .code = 451,
                                           .enhanced = "4.3.0",
                                           .text = "not so fast",
                                           .slow_down = true};
static const struct out_answer out_refused = {
    .outcome = RELAY_OUTCOME_REFUSED, .code = 550, .enhanced = "5.1.1", .text = "no such user"};
static const struct out_answer out_down = {.outcome = RELAY_OUTCOME_LATER,
                                           .enhanced = "4.4.1",
                                           .text = "no route to host",
                                           .scope = RELAY_SCOPE_DESTINATION};

/* A result for each of the rows; `answers` holds one for each, or (count 1) one for all. */
static inline void out_reply(struct out *o, struct out_send *send, const struct out_answer *answers,
                             size_t count)
{
    AUTO_BUF struct buf results = buf_new(20000);
    for (size_t i = 0; i < send->rows; i++) {
        const struct out_answer *a = &answers[i < count ? i : count - 1];
        const struct relay_result result = {.ordinal = send->ordinals[i],
                                            .outcome = a->outcome,
                                            .code = a->code,
                                            .enhanced = slice_of(a->enhanced),
                                            .text = slice_of(a->text)};
        relay_result_add(&results, &result);
    }
    const struct wire_relay_sent sent = {.scope = answers->scope,
                                         .slow_down = answers->slow_down,
                                         .dsn = answers->dsn,
                                         .results = buf_slice(&results),
                                         .remote = SLICE("mx.example.net"),
                                         .policy = SLICE("none")};
    wire_reply(send->link, send->request, WIRE_RELAY_SENT, false, &sent);
    send->answered = true;
    o->answered++;
}

static inline void out_on_send(struct out *o, struct ipc_link *link, struct ipc_packet *packet)
{
    struct wire_relay_send m;
    struct relay_recipient rcpt;
    assert_int_equal(wire_decode(WIRE_RELAY_SEND, packet->body, &m), ERR_OK);
    assert_true(o->count < OUT_SENDS_MAX);
    struct out_send *s = &o->sends[o->count++];
    *s = (struct out_send){.link = link,
                           .request = packet->request,
                           .eightbit = m.eightbit != 0,
                           .smtputf8 = m.smtputf8 != 0,
                           .route = m.route,
                           .relay = m.relay,
                           .at_ms = clock_mono_ms()};
    (void)snprintf(s->id, sizeof s->id, "%.*s", SLICE_ARG(m.queue_id));
    (void)snprintf(s->host, sizeof s->host, "%.*s", SLICE_ARG(m.host));
    (void)snprintf(s->sender, sizeof s->sender, "%.*s", SLICE_ARG(m.sender));
    (void)snprintf(s->prefix, sizeof s->prefix, "%.*s", SLICE_ARG(m.prefix));
    for (struct slice list = m.recipients; relay_recipient_take(&list, &rcpt);) {
        if (s->rows == 0)
            (void)snprintf(s->first, sizeof s->first, "%.*s", SLICE_ARG(rcpt.address));
        assert_true(s->rows < OUT_ROWS_MAX);
        s->ordinals[s->rows++] = rcpt.ordinal;
    }
    if (o->at_once)
        out_reply(o, s, &out_sent, 1);
}

/* ---- peers ---- */

static inline void out_on_open(struct out *o, struct ipc_link *link, struct ipc_packet *packet)
{
    struct wire_queue_file_open m;
    assert_int_equal(wire_decode(WIRE_QUEUE_FILE_OPEN, packet->body, &m), ERR_OK);
    struct wire_queue_file_fd file = {.err = m.seven_bit ? o->seven_bit_err : o->open_err,
                                      .size = sizeof out_text - 1,
                                      .header_len =
                                          (uint64_t)slice_search(slice_of(out_text), SLICE("\r\n\r\n")) + 4};
    o->opens++;
    if (m.seven_bit) {
        o->seven_bit_opens++;
        file.dkim_hash = SLICE("76543210765432107654321076543210");
        file.dkim_names = SLICE("from");
        file.dkim_fields = SLICE("from:x\r\n");
    }
    int fd = rig_memfd(slice_of(out_text));
    wire_reply_fds(link, packet->request, WIRE_QUEUE_FILE_FD, false, &file, &fd, file.err ? 0 : 1);
    (void)close(fd);
}

static inline void out_on_chunk(struct out *o, struct ipc_link *link, struct ipc_packet *packet)
{
    struct wire_body_chunk m;
    assert_int_equal(wire_decode(WIRE_BODY_CHUNK, packet->body, &m), ERR_OK);
    o->body_len = m.flags & BODY_FIRST ? 0 : o->body_len;
    assert_true(o->body_len + m.data.len < sizeof o->body);
    memcpy(o->body + o->body_len, m.data.ptr, m.data.len);
    o->body_len += m.data.len;
    o->body[o->body_len] = '\0';
    if (m.flags & BODY_LAST) {
        const struct wire_body_done done = {.err = o->body_fails ? ERR_LATER : ERR_OK, .size = o->body_len};
        o->bodies++;
        wire_reply(link, packet->request, WIRE_BODY_DONE, false, &done);
    }
}

static inline bool out_store(struct out *o, struct ipc_link *link, struct ipc_packet *packet)
{
    const struct wire_delivered delivered = {.uid = 1};
    const struct wire_body_facts facts = {.size = o->body_len, .from = SLICE_EMPTY};
    switch (packet->type) {
    case WIRE_QUEUE_FILE_OPEN:
        out_on_open(o, link, packet);
        return true;
    case WIRE_QUEUE_FILE_DROP:
        o->drops++;
        wire_reply_result(link, packet->request, ERR_OK, 0, SLICE_EMPTY);
        return true;
    case WIRE_QUEUE_FILE_PUT:
        o->puts++;
        wire_reply_result(link, packet->request, ERR_OK, 0, SLICE_EMPTY);
        return true;
    case WIRE_DELIVER:
        o->deliveries++;
        wire_reply(link, packet->request, WIRE_DELIVERED, false, &delivered);
        return true;
    case WIRE_BODY_CHUNK:
        out_on_chunk(o, link, packet);
        return true;
    case WIRE_BODY_INFO:
        wire_reply(link, packet->request, WIRE_BODY_FACTS, false, &facts);
        return true;
    case WIRE_BODY_DROP:
    case WIRE_QUEUE_FILES:
        return true;
    default:
        return false;
    }
}

static inline bool out_auth(struct out *o, struct ipc_link *link, struct ipc_packet *packet)
{
    const struct wire_dkim_signed made = {
        .err = o->sign_err,
        .header = o->sign_err ? SLICE_EMPTY : SLICE("DKIM-Signature: d=example.org; new\r\n")};
    if (packet->type != WIRE_DKIM_SIGN)
        return false;
    o->signs++;
    wire_reply(link, packet->request, WIRE_DKIM_SIGNED, false, &made);
    return true;
}

static inline bool out_relay(struct out *o, struct ipc_link *link, struct ipc_packet *packet)
{
    const struct wire_dkim_published key = {
        .status = DNS_OK, .algorithm = SLICE("rsa"), .key = SLICE("PUBLIC")};
    if (packet->type == WIRE_RELAY_SEND)
        out_on_send(o, link, packet);
    else if (packet->type == WIRE_DKIM_CHECK)
        wire_reply(link, packet->request, WIRE_DKIM_PUBLISHED, false, &key);
    else if (packet->type == WIRE_RELAY_FORGET)
        o->forgets++;
    else
        return false;
    return true;
}

static inline bool out_handle(struct rig *rig, enum role self, struct ipc_link *link,
                              struct ipc_packet *packet)
{
    struct out *o = rig->test;
    return self == ROLE_STORE   ? out_store(o, link, packet)
           : self == ROLE_AUTH  ? out_auth(o, link, packet)
           : self == ROLE_RELAY ? out_relay(o, link, packet)
                                : false;
}

/* auth has this key of example.org, or none; its record is published. */
static inline void out_tell_key(struct rig *rig, bool there)
{
    static const char *const key[] = {"example.org", "mail", "rsa", "PUBLIC"};
    AUTO_BUF struct buf list = buf_new(1000);
    for (size_t i = 0; there && i < ARRAY_LEN(key); i++)
        wire_strings_add(&list, slice_of(key[i]));
    const struct wire_dkim_keys keys = {.keys = buf_slice(&list)};
    rig_tell(rig, ROLE_AUTH, WIRE_DKIM_KEYS, &keys);
    rig_for(rig, 30);
}

/* ---- the beginning ---- */

static void *out_context;

static inline void *out_load(struct role_run *run, struct why *why)
{
    return out_context = queue_role.load(run, why);
}

static inline void out_tell_accounts(struct rig *rig)
{
    AUTO_BUF struct buf list = buf_new(1000);
    wire_strings_add(&list, SLICE("jane@example.org"));
    wire_strings_add(&list, SLICE("john@example.org"));
    int fd = rig_memfd(buf_slice(&list));
    const struct wire_accounts message = {.generation = 1, .count = 2};
    assert_int_equal(wire_send_fds(rig->peers[ROLE_AUTH], WIRE_ACCOUNTS, &message, &fd, 1), ERR_OK);
    (void)close(fd);
    rig_for(rig, 20);
}

static inline struct out *out_new(const char *yaml, const struct rig_file *files)
{
    static struct role_ops ops;
    struct out *o = mem_zero(1, sizeof *o);
    ops = queue_role;
    ops.load = out_load;
    o->rig = rig_new(&ops, OUT_PEERS, yaml, files, out_handle, o);
    o->q = out_context;
    out_tell_accounts(o->rig);
    return o;
}

/* The process dies and begins anew on the same database. */
static inline void out_restart(struct out *o, const char *yaml, const struct rig_file *files)
{
    rig_halt(o->rig);
    o->count = o->answered = 0;
    rig_boot(o->rig, yaml, files);
    o->q = out_context;
    out_tell_accounts(o->rig);
}

static inline void out_free(struct out *o)
{
    rig_free(o->rig);
    free(o);
}

/* ---- messages ---- */

struct out_mail {
    const char *sender;  /* "john@example.org" */
    const char *account; /* who submitted it */
    const char *to[OUT_ROWS_MAX];
    uint64_t size;
    const char *signature;
    bool eightbit, utf8_header, smtputf8;
    uint32_t notify;
    const char *hold;
    struct slice to_sign;
};

struct out_put {
    bool done;
    enum err err;
};

static inline void out_on_put(void *ctx, enum err err, const struct why *why)
{
    struct out_put *put = ctx;
    (void)why;
    *put = (struct out_put){true, err};
}

/* Queues a message as the end of DATA does; its id. */
static inline const char *out_mail(struct out *o, const struct out_mail *mail)
{
    struct out_put put = {0};
    struct vec recipients = VEC_NEW(struct txn_recipient, OUT_ROWS_MAX),
               targets = VEC_NEW(struct txn_target, OUT_ROWS_MAX);
    char *id = arena_must(o->rig->arena, QUEUE_ID_LEN + 1);
    queue_id_next(&o->q->ids, clock_unix_ms(), id);
    for (uint32_t i = 0; i < OUT_ROWS_MAX && mail->to[i]; i++) {
        struct slice address = slice_of(mail->to[i]);
        *(struct txn_recipient *)vec_push(&recipients) =
            (struct txn_recipient){.address = address, .notify = mail->notify};
        *(struct txn_target *)vec_push(&targets) =
            (struct txn_target){.address = address, .sender = slice_of(mail->sender), .recipient = i};
    }
    const struct wire_queue_mail envelope = {
        .sender = slice_of(mail->sender), .smtputf8 = mail->smtputf8, .session = SLICE("sess00000001")};
    const struct spool_message message = {.id = slice_of(id),
                                          .mail = &envelope,
                                          .received = SLICE("Received: by us\r\n"),
                                          .signature = slice_of(mail->signature),
                                          .account = slice_of(mail->account),
                                          .size = mail->size ? mail->size : sizeof out_text - 1,
                                          .eightbit = mail->eightbit,
                                          .utf8_header = mail->utf8_header,
                                          .hold = slice_of(mail->hold),
                                          .to_sign = mail->to_sign,
                                          .recipients = &recipients,
                                          .targets = &targets};
    deliver_put(o->q, &message, out_on_put, &put);
    rig_until(o->rig, &put.done);
    assert_int_equal(put.err, ERR_OK);
    vec_free(&recipients);
    vec_free(&targets);
    return id;
}

/* One letter to one recipient. */
static inline const char *out_letter(struct out *o, const char *sender, const char *to)
{
    const struct out_mail mail = {.sender = sender, .to = {to}};
    return out_mail(o, &mail);
}

/* ---- waiting ---- */

static inline void out_until(struct out *o, const size_t *count, size_t wanted)
{
    uint64_t end = clock_mono_ms() + RIG_PATIENCE_MS;
    while (*count < wanted && clock_mono_ms() < end)
        rig_turn(o->rig);
    assert_int_equal(*count, wanted);
}

/* The transaction number `index` is there; it is answered alike for all of its rows. */
static inline struct out_send *out_take(struct out *o, size_t index, const struct out_answer *answer)
{
    uint64_t end = clock_mono_ms() + RIG_PATIENCE_MS;
    while (o->count <= index && clock_mono_ms() < end)
        rig_turn(o->rig);
    assert_true(o->count > index);
    if (answer)
        out_reply(o, &o->sends[index], answer, 1);
    return &o->sends[index];
}

/* ---- the database, beside the role ---- */

struct out_ask {
    struct spool_op op;
    const char *sql;
    uint64_t number;
    bool done;
};

static inline enum err out_run_ask(struct db *db, struct spool_op *op, struct why *why)
{
    struct out_ask *ask = CONTAINER_OF(op, struct out_ask, op);
    return db_number(db, ask->sql, DB_NO_ARGS, UINT64_MAX, &ask->number, why);
}

static inline void out_end_ask(struct spool_op *op)
{
    CONTAINER_OF(op, struct out_ask, op)->done = true;
}

/* The first column of the first row; UINT64_MAX: there is none. */
static inline uint64_t out_number(struct out *o, const char *sql)
{
    struct out_ask ask = {.op = {.run = out_run_ask, .finish = out_end_ask}, .sql = sql};
    spool_submit(o->q->spool, &ask.op);
    rig_until(o->rig, &ask.done);
    assert_int_equal(ask.op.err, ERR_OK);
    return ask.number;
}

static inline enum err out_run_exec(struct db *db, struct spool_op *op, struct why *why)
{
    return db_exec(db, CONTAINER_OF(op, struct out_ask, op)->sql, why);
}

/* Statements without rows. */
static inline void out_exec(struct out *o, const char *sql)
{
    struct out_ask ask = {.op = {.run = out_run_exec, .finish = out_end_ask}, .sql = sql};
    spool_submit(o->q->spool, &ask.op);
    rig_until(o->rig, &ask.done);
    assert_int_equal(ask.op.err, ERR_OK);
}

/* Turns until the number is `wanted`. */
static inline void out_until_number(struct out *o, const char *sql, uint64_t wanted)
{
    uint64_t got = 0, end = clock_mono_ms() + RIG_PATIENCE_MS;
    while ((got = out_number(o, sql)) != wanted && clock_mono_ms() < end)
        rig_for(o->rig, 5);
    assert_int_equal(got, wanted);
}

#define OUT_ROWS "SELECT count(*) FROM queue_recipient"

#endif
