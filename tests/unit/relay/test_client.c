/* test_client.c: SMTP client sessions against a scripted server: what is said, in which order, and what
 * becomes of each recipient whatever the server does. */
#include "script.h"

#include "base/clock.h"
#include "relay/client.h"

#define HELLO  "S 220 mx.example.org ESMTP\nC EHLO client.example.net\n"
#define BARE   HELLO "S 250 mx.example.org\n"
#define PIPE   HELLO "S 250-mx.example.org\nS 250 PIPELINING\n"
#define CHUNKS HELLO "S 250-mx.example.org\nS 250-PIPELINING\nS 250 CHUNKING\n"
#define TEXT   "Subject: x\r\n\r\n.one\r\n..two\r\nthree\r\n"
#define SEEN   "X: y|Subject: x||.one|..two|three|"

enum { JOBS_MAX = 4, RCPTS = 3 };

struct row {
    const char *name, *script;
    const char
        *wanted; /* "outcome code enhanced stage[,…]" for each job, jobs separated by ';', then the end */
    struct {
        unsigned rcpts; /* 0: 1 */
        bool eightbit, smtputf8, requiretls, dsn, login, clear_auth, secret_tls, quits, short_job;
        unsigned jobs; /* 0: 1 */
        enum client_tls level;
        unsigned mechanisms;
        const char *text;
    } with;
};

struct test {
    struct loop *loop;
    struct script server;
    struct client *client;
    struct client_job jobs[JOBS_MAX];
    struct client_rcpt rcpts[JOBS_MAX][RCPTS];
    struct arena *arena;
    const struct row *row;
    size_t job_count, sent;
    struct buf log;
    bool over;
};

static const char *const addresses[RCPTS] = {"a@example.org", "b@example.org", "c@example.org"};

static void note(struct test *t, enum client_outcome outcome, const struct client_reply *reply,
                 const char *stage)
{
    buf_addf(&t->log, "%s %u %u.%u.%u %s", client_outcome_name(outcome), reply->code, reply->class,
             reply->subject, reply->detail, stage);
}

static void send_next_job(struct test *t)
{
    if (t->sent == t->job_count) {
        t->over = true;
        return;
    }
    client_send(t->client, &t->jobs[t->sent++]);
}

static void on_ready(void *ctx, struct client *client)
{
    struct test *t = ctx;
    assert_true(client_is_idle(client));
    send_next_job(t);
}

static void on_done(void *ctx, struct client *client, struct client_job *job)
{
    struct test *t = ctx;
    for (size_t i = 0; i < job->rcpt_count; i++) {
        buf_add_str(&t->log, i ? "," : t->log.len ? ";" : "");
        note(t, job->rcpts[i].outcome, &job->rcpts[i].reply, job->rcpts[i].stage);
    }
    if (client_is_idle(client))
        send_next_job(t);
}

static void on_ended(void *ctx, struct client *client, const struct client_end *end)
{
    struct test *t = ctx;
    buf_add_str(&t->log, t->log.len ? ";end " : "end ");
    note(t, end->outcome, &end->reply, end->stage);
    t->over = true;
    (void)client;
}

static const struct client_ops ops = {.ready = on_ready, .done = on_done, .ended = on_ended};

static int text_fd(const char *text)
{
    int fd;
    assert_int_equal(io_memfd("text", &fd, NULL), ERR_OK);
    assert_int_equal(io_write_all(fd, slice_of(text), NULL), ERR_OK);
    return fd;
}

/* Bytes that continue no character: what an older version took and kept. */
#define LOOSE "\200\200\200\200\200\200\200\200\200\200"
#define NONE  "\\x{FFFD}\\x{FFFD}\\x{FFFD}\\x{FFFD}\\x{FFFD}\\x{FFFD}\\x{FFFD}\\x{FFFD}\\x{FFFD}\\x{FFFD}"

static void make_jobs(struct test *t, int fd, const char *text)
{
    t->job_count = t->row->with.jobs ? t->row->with.jobs : 1;
    for (size_t i = 0; i < t->job_count; i++) {
        struct client_job *job = &t->jobs[i];
        *job = (struct client_job){.arena = t->arena,
                                   .sender = SLICE("s@example.net"),
                                   .prefix = SLICE("X: y\r\n"),
                                   .fd = fd,
                                   .size = strlen(text),
                                   .eightbit = t->row->with.eightbit,
                                   .smtputf8 = t->row->with.smtputf8,
                                   .requiretls = t->row->with.requiretls,
                                   .rcpts = t->rcpts[i],
                                   .rcpt_count = t->row->with.rcpts ? t->row->with.rcpts : 1};
        for (size_t r = 0; r < RCPTS; r++)
            t->rcpts[i][r] = (struct client_rcpt){.address = slice_of(addresses[r])};
        if (!t->row->with.dsn)
            continue;
        job->ret = SMTP_RET_HDRS;
        job->envid = SLICE("id=1");
        t->rcpts[i][0].notify = SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_DELAY;
        t->rcpts[i][0].orcpt_type = SLICE("X400");
        t->rcpts[i][0].orcpt = SLICE("/first+1");
        t->rcpts[i][1].notify = SMTP_NOTIFY_NEVER;
        t->rcpts[i][1].orcpt = SLICE("\303\274@example.org");
        t->rcpts[i][2].orcpt = SLICE("\303\200" LOOSE LOOSE LOOSE LOOSE);
    }
}

static const struct client_timeouts short_times = {150, 150, 150, 150, 150, 150, 150,
                                                   150, 150, 150, 150, 400, 0};
/* Each step may take long; the whole may not. */
static const struct client_timeouts short_job = {5000, 5000, 5000, 5000, 5000, 5000, 5000,
                                                 5000, 5000, 5000, 5000, 5000, 100};
#define SHORT_JOB_MS 2000

static struct client *call(struct test *t, struct tls_client *tls)
{
    struct client_target target = {.host = SLICE("mx.example.org"),
                                   .helo = SLICE("client.example.net"),
                                   .level = t->row->with.level,
                                   .tls = tls,
                                   .auth_in_clear = t->row->with.clear_auth,
                                   .implicit_tls = t->row->with.secret_tls,
                                   .timeouts = t->row->with.short_job ? short_job : short_times};
    static const struct slice name[] = {{(const uint8_t *)"mx.example.org", 14}};
    target.address = netaddr_v4((const uint8_t[]){127, 0, 0, 1}, t->server.port);
    target.peer =
        (struct tls_peer){.check = target.level == CLIENT_TLS_VERIFY ? TLS_CHECK_NAME : TLS_CHECK_NOTHING,
                          .names = name,
                          .name_count = 1};
    if (t->row->with.login)
        target.login = (struct sasl_login){
            .user = SLICE("user"), .secret = SLICE("pencil"), .mechanisms = t->row->with.mechanisms};
    return client_new(t->loop, &target, &ops, t);
}

static void run_row(const struct row *row, struct tls_context *tls, struct tls_client *trust)
{
    const char *const scripts[] = {row->script, NULL};
    struct test t = {.loop = loop_new(), .row = row, .arena = arena_new(1 << 20), .log = buf_new(100000)};
    const char *text = row->with.text ? row->with.text : TEXT;
    int fd = text_fd(text);
    script_open(&t.server, t.loop, scripts, tls);
    make_jobs(&t, fd, text);
    t.client = call(&t, trust);
    uint64_t begun = clock_mono_ms();
    run_until(t.loop, &t.over);
    if (row->with.short_job)
        assert_true(clock_mono_ms() - begun < SHORT_JOB_MS);
    if (row->with.quits)
        client_quit(&t.client);
    for (int i = 0; i < 50 && !t.server.over && !t.server.failed; i++)
        run_for(t.loop, 2);
    if (t.server.failed)
        fail_msg("%s: the client said \"%.*s\"", row->name, SLICE_ARG(buf_slice(&t.server.said)));
    if (!slice_eq(buf_slice(&t.log), slice_of(row->wanted)))
        fail_msg("%s:\n got    \"%.*s\"\n wanted \"%s\"", row->name, SLICE_ARG(buf_slice(&t.log)),
                 row->wanted);
    if (!t.server.over && !strstr(row->script, "\nW"))
        fail_msg("%s: the script was not played to its end: \"%s\"", row->name, t.server.at);
    client_free(&t.client);
    script_close(&t.server);
    run_for(t.loop, 1);
    loop_free(&t.loop);
    arena_free(&t.arena);
    buf_free(&t.log);
    (void)close(fd);
}

static void run_rows(const struct row *rows, size_t count)
{
    struct pem pem = make_cert("mx.example.org");
    struct tls_context *tls = make_context(&pem, 1);
    struct tls_client *trust = NULL;
    struct why why;
    assert_int_equal(tls_client_new(slice_of(pem.cert), SLICE("ca"), &trust, &why), ERR_OK);
    for (size_t i = 0; i < count; i++)
        run_row(&rows[i], tls, trust);
    tls_client_free(&trust);
    tls_context_free(&tls);
    free_cert(&pem);
}

/* ---- what goes well ---- */

static const struct row good[] = {
    {"one by one",
     BARE "C MAIL FROM:<s@example.net>\nS 250 2.1.0 Ok\nC RCPT TO:<a@example.org>\nS 250 2.1.5 Ok\nC DATA\nS "
          "354 Go\n"
          "D " SEEN "\nS 250 2.0.0 Queued\n",
     "accepted 250 2.0.0 end of data"},
    {"pipelined",
     PIPE "C MAIL FROM:<s@example.net>\nC RCPT TO:<a@example.org>\nC DATA\nS 250 a\nS 250 b\nS 354 c\nD " SEEN
          "\nS 250 Queued\n",
     "accepted 250 2.0.0 end of data"},
    {"chunk, all in one",
     CHUNKS "C MAIL FROM:<s@example.net>\nC RCPT TO:<a@example.org>\nC BDAT 40 LAST\nB " SEEN
            "\nS 250 a\nS 250 b\nS 250 2.6.0 c\n",
     "accepted 250 2.6.0 end of data"},
    {"chunk without pipelining",
     HELLO "S 250-x\nS 250 CHUNKING\nC MAIL\nS 250 a\nC RCPT\nS 250 b\nC BDAT 40 LAST\nB " SEEN "\nS 250 c\n",
     "accepted 250 2.0.0 end of data"},
    {"two jobs on one connection",
     PIPE "C MAIL\nC RCPT\nC DATA\nS 250 a\nS 250 b\nS 354 c\nD " SEEN "\nS 250 d\n"
          "C MAIL\nC RCPT\nC DATA\nS 250 a\nS 250 b\nS 354 c\nD " SEEN "\nS 250 2.9.9 d\nC QUIT\nS 221 bye\n",
     "accepted 250 2.0.0 end of data;accepted 250 2.9.9 end of data",
     {.jobs = 2, .quits = true}},
    {"HELO",
     "S 220 mx\nC EHLO client.example.net\nS 502 what\nC HELO client.example.net\nS 250 mx\nC MAIL "
     "FROM:<s@example.net>\n"
     "S 250 a\nC RCPT\nS 250 b\nC DATA\nS 354 c\nD *\nS 250 d\n",
     "accepted 250 2.0.0 end of data"},
    {"every parameter",
     HELLO "S 250-x\nS 250-SIZE\nS 250-8BITMIME\nS 250-SMTPUTF8\nS 250 DSN\n"
           "C MAIL FROM:<s@example.net> SIZE=40 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=id+3D1\nS 250 a\n"
           "C RCPT TO:<a@example.org> NOTIFY=SUCCESS,DELAY ORCPT=X400;/first+2B1\nS 250 b\n"
           "C RCPT TO:<b@example.org> NOTIFY=NEVER ORCPT=utf-8;\303\274@example.org\nS 250 b\nC DATA\nS 354 "
           "c\nD *\nS 250 d\n",
     "accepted 250 2.0.0 end of data,accepted 250 2.0.0 end of data",
     {.rcpts = 2, .eightbit = true, .smtputf8 = true, .dsn = true}},
    {"UTF-8 in ORCPT only",
     HELLO "S 250-x\nS 250 DSN\nC MAIL\nS 250 a\nC RCPT\nS 250 b\n"
           "C RCPT TO:<b@example.org> NOTIFY=NEVER ORCPT=utf-8;\\x{FC}@example.org\nS 250 b\nC DATA\nS 354 "
           "c\nD *\nS 250 d\n",
     "accepted 250 2.0.0 end of data,accepted 250 2.0.0 end of data",
     {.rcpts = 2, .dsn = true}},
    {"ORCPT that is no UTF-8",
     HELLO "S 250-x\nS 250-SMTPUTF8\nS 250 DSN\nC MAIL\nS 250 a\nC RCPT\nS 250 b\nC RCPT\nS 250 b\n"
           "C RCPT TO:<c@example.org> ORCPT=utf-8;\\x{C0}" NONE NONE NONE NONE
           "\nS 250 b\nC DATA\nS 354 c\nD *\nS 250 d\n",
     "accepted 250 2.0.0 end of data,accepted 250 2.0.0 end of data,accepted 250 2.0.0 end of data",
     {.rcpts = 3, .dsn = true, .smtputf8 = true}},
    {"no DSN: nothing of it is said",
     BARE "C MAIL FROM:<s@example.net>\nS 250 a\nC RCPT TO:<a@example.org>\nS 250 b\nC DATA\nS 354 c\nD *\nS "
          "250 d\n",
     "accepted 250 2.0.0 end of data",
     {.dsn = true}},
    {"some refused",
     PIPE "C MAIL\nC RCPT TO:<a\nC RCPT TO:<b\nC RCPT TO:<c\nC DATA\nS 250 a\nS 550 5.1.1 no\nS 451 4.7.1 "
          "greylisted\n"
          "S 250 b\nS 354 c\nD " SEEN "\nS 250 d\n",
     "permanent 550 5.1.1 RCPT,temporary 451 4.7.1 RCPT,accepted 250 2.0.0 end of data",
     {.rcpts = 3}},
    {"no line end at the end",
     BARE "C MAIL\nS 250 a\nC RCPT\nS 250 b\nC DATA\nS 354 c\nD X: y|A: b||.|\nS 250 d\n",
     "accepted 250 2.0.0 end of data",
     {.text = "A: b\r\n\r\n."}},
    {"empty message",
     BARE "C MAIL\nS 250 a\nC RCPT\nS 250 b\nC DATA\nS 354 c\nD X: y|\nS 250 d\n",
     "accepted 250 2.0.0 end of data",
     {.text = ""}},
    {"lone LF before a dot is stuffed too",
     BARE "C MAIL\nS 250 a\nC RCPT\nS 250 b\nC DATA\nS 354 c\nC X: y\nC A\nC ..\nC B\nC .\nS 250 d\n",
     "accepted 250 2.0.0 end of data",
     {.text = "A\n.\r\nB\r\n"}},
};

static void test_good(void **state)
{
    (void)state;
    run_rows(good, ARRAY_LEN(good));
}

/* ---- limits ---- */

#define ROUND(rcpts) "C MAIL\n" rcpts
static const struct row limits[] = {
    {"RCPTMAX",
     HELLO
     "S 250-x\nS 250 LIMITS RCPTMAX=2\nC MAIL\nS 250 a\nC RCPT TO:<a\nS 250 b\nC RCPT TO:<b\nS 250 b\nC "
     "DATA\nS 354 c\n"
     "D *\nS 250 2.0.1 d\nC MAIL\nS 250 a\nC RCPT TO:<c\nS 250 b\nC DATA\nS 354 c\nD *\nS 250 2.0.2 d\n",
     "accepted 250 2.0.1 end of data,accepted 250 2.0.1 end of data,accepted 250 2.0.2 end of data",
     {.rcpts = 3}},
    {"452 too many",
     PIPE "C MAIL\nC RCPT TO:<a\nC RCPT TO:<b\nC RCPT TO:<c\nC DATA\nS 250 a\nS 250 b\nS 452 4.5.3 enough\nS "
          "452 4.5.3 enough\n"
          "S 354 c\nD *\nS 250 d\nC MAIL\nC RCPT TO:<b\nC DATA\nS 250 a\nS 250 b\nS 354 c\nD *\nS 250 d\n"
          "C MAIL\nC RCPT TO:<c\nC DATA\nS 250 a\nS 250 b\nS 354 c\nD *\nS 250 2.0.3 d\n",
     "accepted 250 2.0.0 end of data,accepted 250 2.0.0 end of data,accepted 250 2.0.3 end of data",
     {.rcpts = 3}},
    {"452 for the first is no limit",
     BARE "C MAIL\nS 250 a\nC RCPT\nS 452 4.5.3 enough\nC RSET\n",
     "temporary 452 4.5.3 RCPT;end temporary 0 4.4.2 RSET",
     {.jobs = 2}},
    {"SIZE", HELLO "S 250-x\nS 250 SIZE 39\n", "permanent 0 5.3.4 EHLO"},
    {"SIZE fits", HELLO "S 250-x\nS 250 SIZE 40\nC MAIL FROM:<s@example.net> SIZE=40\nS 552 5.2.2 full\n",
     "permanent 552 5.2.2 MAIL"},
    {"8-bit", BARE, "needs-seven-bit 0 5.6.3 EHLO", {.eightbit = true}},
    {"UTF-8", HELLO "S 250-x\nS 250 8BITMIME\n", "permanent 0 5.6.7 EHLO", {.smtputf8 = true}},
    {"REQUIRETLS", HELLO "S 250-x\nS 250 8BITMIME\n", "permanent 0 5.7.30 EHLO", {.requiretls = true}},
    {"REQUIRETLS offered in the clear",
     HELLO "S 250-x\nS 250 REQUIRETLS\n",
     "permanent 0 5.7.30 EHLO",
     {.requiretls = true}},
    {"a tarpit between two transactions: what was accepted is told in time",
     HELLO "S 250-x\nS 250 LIMITS RCPTMAX=1\nC MAIL\nS 250 a\nC RCPT TO:<a\nS 250 b\nC DATA\nS 354 c\nD *\n"
           "S 250 2.0.1 d\nC MAIL\nS 250 a\nC RCPT TO:<b\nW \n",
     "accepted 250 2.0.1 end of data,temporary 0 4.4.2 RCPT;end temporary 0 4.4.2 RCPT",
     {.rcpts = 2, .short_job = true}},
    {"RCPTMAX: one refused, the others still have their turn",
     HELLO "S 250-x\nS 250 LIMITS RCPTMAX=1\nC MAIL\nS 250 a\nC RCPT TO:<a\nS 550 5.1.1 no\nC RSET\nS 250 r\n"
           "C MAIL\nS 250 a\nC RCPT TO:<b\nS 250 b\nC DATA\nS 354 c\nD *\nS 250 2.0.2 d\n",
     "permanent 550 5.1.1 RCPT,accepted 250 2.0.2 end of data",
     {.rcpts = 2}},
};

static void test_limits(void **state)
{
    (void)state;
    struct row copy = limits[2];
    run_rows(limits, 2);
    copy.script = BARE "C MAIL\nS 250 a\nC RCPT\nS 452 4.5.3 enough\nC RSET\nS 250 ok\nC MAIL\nS 451 x\n";
    copy.wanted = "temporary 452 4.5.3 RCPT;temporary 451 4.0.0 MAIL";
    run_rows(&copy, 1);
    run_rows(limits + 3, ARRAY_LEN(limits) - 3);
}

/* ---- refusals ---- */

static const struct row refusals[] = {
    {"greeting 554", "S 554 go away\n", "end unreachable 554 5.0.0 greeting"},
    {"greeting 421", "S 421 4.3.2 later\n", "end unreachable 421 4.3.2 greeting"},
    {"EHLO 451", "S 220 x\nC EHLO\nS 451 later\n", "end unreachable 451 4.0.0 EHLO"},
    {"HELO too", "S 220 x\nC EHLO\nS 500 x\nC HELO\nS 550 5.7.1 no\n", "end unreachable 550 5.7.1 HELO"},
    {"MAIL 550", BARE "C MAIL\nS 550 5.7.1 no\n", "permanent 550 5.7.1 MAIL"},
    {"MAIL 550, pipelined",
     PIPE "C MAIL\nC RCPT\nC DATA\nS 550 5.7.1 no\nS 503 x\nS 503 x\nC RSET\nC MAIL\nC RCPT\nC DATA\nS 250 "
          "r\nS 250 a\nS 250 b\n"
          "S 354 c\nD *\nS 250 d\n",
     "permanent 550 5.7.1 MAIL;accepted 250 2.0.0 end of data",
     {.jobs = 2}},
    {"MAIL 550, but DATA 354",
     PIPE "C MAIL\nC RCPT\nC DATA\nS 550 5.7.1 no\nS 503 x\nS 354 go\nC .\nS 250 empty\nC QUIT\n",
     "permanent 550 5.7.1 MAIL",
     {.quits = true}},
    {"all RCPT refused, DATA 354",
     PIPE "C MAIL\nC RCPT\nC DATA\nS 250 a\nS 550 5.1.1 no\nS 354 go\nC .\nS 554 no valid recipients\n",
     "permanent 550 5.1.1 RCPT"},
    {"all RCPT refused, chunk on its way",
     CHUNKS "C MAIL\nC RCPT\nC BDAT\nB " SEEN
            "\nS 250 a\nS 550 5.1.1 no\nS 503 x\nC RSET\nC MAIL\nC RCPT\nC BDAT\nB " SEEN
            "\nS 250 r\nS 250 a\nS 250 b\nS 250 d\n",
     "permanent 550 5.1.1 RCPT;accepted 250 2.0.0 end of data",
     {.jobs = 2}},
    {"all RCPT refused, chunk taken all the same",
     CHUNKS "C MAIL\nC RCPT\nC BDAT\nB " SEEN "\nS 250 a\nS 550 5.1.1 no\nS 250 thanks\n",
     "permanent 550 5.1.1 RCPT"},
    {"DATA 451", BARE "C MAIL\nS 250 a\nC RCPT\nS 250 b\nC DATA\nS 451 4.3.0 later\n",
     "temporary 451 4.3.0 DATA"},
    {"DATA 250", BARE "C MAIL\nS 250 a\nC RCPT\nS 250 b\nC DATA\nS 250 done\n", "temporary 250 2.0.0 DATA"},
    {"final 554", BARE "C MAIL\nS 250 a\nC RCPT\nS 250 b\nC DATA\nS 354 c\nD *\nS 554 5.7.1 spam\n",
     "permanent 554 5.7.1 end of data"},
    {"final 354", BARE "C MAIL\nS 250 a\nC RCPT\nS 250 b\nC DATA\nS 354 c\nD *\nS 354 more\n",
     "temporary 354 3.0.0 end of data"},
    {"final 421", BARE "C MAIL\nS 250 a\nC RCPT\nS 250 b\nC DATA\nS 354 c\nD *\nS 421 4.3.2 down\n",
     "temporary 421 4.3.2 end of data;end temporary 421 4.3.2 end of data"},
    {"421 to RCPT",
     PIPE "C MAIL\nC RCPT TO:<a\nC RCPT TO:<b\nC DATA\nS 250 a\nS 250 b\nS 421 down\n",
     "temporary 421 4.0.0 RCPT,temporary 421 4.0.0 RCPT;end temporary 421 4.0.0 RCPT",
     {.rcpts = 2}},
    {"421 while idle",
     PIPE "C MAIL\nC RCPT\nC DATA\nS 250 a\nS 250 b\nS 354 c\nD *\nR 250 d\\r\\n421 bye\\r\\n\n",
     "accepted 250 2.0.0 end of data;end accepted 0 2.5.0 end of data"},
    {"550 with control characters",
     "R 220 h\\0i\007\\r\\n\nC EHLO\nR 250 \033[31mmx\\r\\n\nC MAIL\nS 250 a\nC RCPT\n"
     "R 550 5.1.1 \033[31mno\\0 such\rus\001er\177\\r\\n\n",
     "permanent 550 5.1.1 RCPT"},
    {"530 to MAIL", BARE "C MAIL\nS 530 5.7.0 log in\n", "permanent 530 5.7.0 MAIL"},
};

static void test_refusals(void **state)
{
    (void)state;
    run_rows(refusals, ARRAY_LEN(refusals));
}

/* ---- hostile servers ---- */

#define UP_TO_DATA BARE "C MAIL\nS 250 a\nC RCPT\nS 250 b\nC DATA\n"
static const struct row hostile[] = {
    {"closes at once", "X \n", "end unreachable 0 4.4.2 greeting"},
    {"says nothing", "W \n\nW", "end unreachable 0 4.4.2 greeting"},
    {"half a greeting", "R 220 \nW \nW", "end unreachable 0 4.4.2 greeting"},
    {"greeting without end", "R 220-a\\r\\n220-b\\r\\n\nW \nW", "end unreachable 0 4.4.2 greeting"},
    {"no SMTP", "S SSH-2.0-OpenSSH\n", "end unreachable 0 4.5.0 greeting"},
    {"bare LF", "R 220 hi\\n\n", "end unreachable 0 4.5.0 greeting"},
    {"NUL in the code", "R 22\\0 hi\\r\\n\n", "end unreachable 0 4.5.0 greeting"},
    {"control characters in the code", BARE "C MAIL\nR 55\0330 no\\r\\n\n",
     "temporary 0 4.5.0 MAIL;end temporary 0 4.5.0 MAIL"},
    {"bare LF in a refusal", BARE "C MAIL\nR 550 no\\n\n",
     "temporary 0 4.5.0 MAIL;end temporary 0 4.5.0 MAIL"},
    {"two codes", "R 220-a\\r\\n221 b\\r\\n\n", "end unreachable 0 4.5.0 greeting"},
    {"talks ahead of EHLO", "R 220 hi\\r\\n250 mx\\r\\n\n", "end unreachable 0 4.5.0 EHLO"},
    {"closes at EHLO", "S 220 a\nC EHLO\nX \n", "end unreachable 0 4.4.2 EHLO"},
    {"closes at MAIL", BARE "C MAIL\nX \n", "temporary 0 4.4.2 MAIL;end temporary 0 4.4.2 MAIL"},
    {"closes at RCPT", BARE "C MAIL\nS 250 a\nC RCPT\nX \n",
     "temporary 0 4.4.2 RCPT;end temporary 0 4.4.2 RCPT"},
    {"closes at DATA", UP_TO_DATA "X \n", "temporary 0 4.4.2 DATA;end temporary 0 4.4.2 DATA"},
    {"closes behind the dot", UP_TO_DATA "S 354 c\nD *\nX \n",
     "unknown 0 4.4.2 end of data;end unknown 0 4.4.2 end of data"},
    {"silent behind the dot", UP_TO_DATA "S 354 c\nD *\nW \nW",
     "unknown 0 4.4.2 end of data;end unknown 0 4.4.2 end of data"},
    {"nonsense behind the dot", UP_TO_DATA "S 354 c\nD *\nS thanks\n",
     "unknown 0 4.5.0 end of data;end unknown 0 4.5.0 end of data"},
    {"silent at MAIL", BARE "C MAIL\nW \nW", "temporary 0 4.4.2 MAIL;end temporary 0 4.4.2 MAIL"},
    {"chunk sent, then closed", CHUNKS "C MAIL\nC RCPT\nC BDAT\nB " SEEN "\nS 250 a\nX \n",
     "unknown 0 4.4.2 RCPT;end unknown 0 4.4.2 RCPT"},
    {"answers before it was asked", BARE "C MAIL\nR 250 a\\r\\n250 b\\r\\n\n",
     "temporary 0 4.5.0 RCPT;end temporary 0 4.5.0 RCPT"},
    {"250 before the text", UP_TO_DATA "R 354 go\\r\\n250 queued\\r\\n\n",
     "temporary 0 4.5.0 end of data;end temporary 0 4.5.0 end of data"},
    {"more answers than commands",
     PIPE "C MAIL\nC RCPT\nC DATA\nS 250 a\nS 250 b\nR 354 c\\r\\n250 d\\r\\n\n",
     "temporary 0 4.5.0 end of data;end temporary 0 4.5.0 end of data"},
    {"five answers to MAIL, the text with them",
     CHUNKS "C MAIL\nC RCPT\nC BDAT\nB " SEEN "\nR 250 a\\r\\n250 b\\r\\n250 c\\r\\n354 d\\r\\n250 e\\r\\n\n",
     "unknown 0 4.5.0 end of data;end unknown 0 4.5.0 end of data"},
    {"half an answer too many",
     CHUNKS "C MAIL\nC RCPT\nC BDAT\nB " SEEN "\nR 250 a\\r\\n250 b\\r\\n250 c\\r\\n25\n",
     "unknown 0 4.5.0 end of data;end unknown 0 4.5.0 end of data"},
    {"no, and one answer too many",
     CHUNKS "C MAIL\nC RCPT\nC BDAT\nB " SEEN "\nR 250 a\\r\\n250 b\\r\\n554 c\\r\\n250 d\\r\\n\n",
     "unknown 0 4.5.0 end of data;end unknown 0 4.5.0 end of data"},
    {"taken, and good-bye",
     CHUNKS "C MAIL\nC RCPT\nC BDAT\nB " SEEN "\nR 250 a\\r\\n250 b\\r\\n250 c\\r\\n421 bye\\r\\n\n",
     "accepted 250 2.0.0 end of data;end accepted 0 2.5.0 end of data"},
    {"one answer too many behind the dot", UP_TO_DATA "S 354 c\nD *\nR 250 d\\r\\n250 e\\r\\n\n",
     "accepted 250 2.0.0 end of data;end accepted 0 2.5.0 end of data"},
    {"gone before the second job",
     PIPE "C MAIL\nC RCPT\nC DATA\nS 250 a\nS 250 b\nS 354 c\nD *\nS 250 d\nC MAIL\nX \n",
     "accepted 250 2.0.0 end of data;stale 0 4.4.2 MAIL;end stale 0 4.4.2 MAIL",
     {.jobs = 2}},
    {"421 to the second job",
     PIPE "C MAIL\nC RCPT\nC DATA\nS 250 a\nS 250 b\nS 354 c\nD *\nS 250 d\nC MAIL\nC RCPT\nC DATA\nS 421 "
          "4.4.2 idle too long\n",
     "accepted 250 2.0.0 end of data;stale 421 4.4.2 MAIL;end stale 421 4.4.2 MAIL",
     {.jobs = 2}},
};

static void test_hostile(void **state)
{
    (void)state;
    run_rows(hostile, ARRAY_LEN(hostile));
}

/* ---- TLS ---- */

#define OFFER HELLO "S 250-mx\nS 250 STARTTLS\n"
#define AFTER                                                                                                \
    "C EHLO client.example.net\nS 250 mx\nC MAIL\nS 250 a\nC RCPT\nS 250 b\nC DATA\nS 354 c\nD " SEEN        \
    "\nS 250 d\n"
#define CLEAR "C MAIL\nS 250 a\nC RCPT\nS 250 b\nC DATA\nS 354 c\nD " SEEN "\nS 250 d\n"
#define OK    "accepted 250 2.0.0 end of data"

static const struct row tls_rows[] = {
    {"opportunistic", OFFER "C STARTTLS\nS 220 go\nT \n" AFTER, OK, {.level = CLIENT_TLS_OPPORTUNISTIC}},
    {"opportunistic, not offered", BARE CLEAR, OK, {.level = CLIENT_TLS_OPPORTUNISTIC}},
    {"opportunistic, refused",
     OFFER "C STARTTLS\nS 454 4.7.0 not now\n" CLEAR,
     OK,
     {.level = CLIENT_TLS_OPPORTUNISTIC}},
    {"none, though offered", OFFER CLEAR, OK, {.level = CLIENT_TLS_NONE}},
    {"required", OFFER "C STARTTLS\nS 220 go\nT \n" AFTER, OK, {.level = CLIENT_TLS_REQUIRED}},
    {"verified", OFFER "C STARTTLS\nS 220 go\nT \n" AFTER, OK, {.level = CLIENT_TLS_VERIFY}},
    {"implicit",
     "T \nS 220 mx.example.org ESMTP\n" AFTER,
     OK,
     {.level = CLIENT_TLS_VERIFY, .secret_tls = true}},
    {"required, not offered", BARE, "end tls-failed 0 4.7.4 EHLO", {.level = CLIENT_TLS_REQUIRED}},
    {"required, HELO only",
     "S 220 a\nC EHLO\nS 502 x\nC HELO\nS 250 a\n",
     "end tls-failed 0 4.7.4 HELO",
     {.level = CLIENT_TLS_REQUIRED}},
    {"required, refused",
     OFFER "C STARTTLS\nS 454 4.7.0 not now\n",
     "end tls-failed 454 4.7.0 STARTTLS",
     {.level = CLIENT_TLS_REQUIRED}},
    {"bytes in the clear behind 220",
     OFFER "C STARTTLS\nR 220 go\\r\\n250 mx\\r\\n\n",
     "end tls-failed 0 4.7.5 TLS",
     {.level = CLIENT_TLS_OPPORTUNISTIC}},
    {"no TLS behind 220",
     OFFER "C STARTTLS\nS 220 go\nW \nW",
     "end tls-failed 0 4.7.5 TLS",
     {.level = CLIENT_TLS_OPPORTUNISTIC}},
    {"closes at STARTTLS",
     OFFER "C STARTTLS\nX \n",
     "end tls-failed 0 4.7.5 STARTTLS",
     {.level = CLIENT_TLS_OPPORTUNISTIC}},
    {"closes behind 220",
     OFFER "C STARTTLS\nS 220 go\nX \n",
     "end tls-failed 0 4.7.5 TLS",
     {.level = CLIENT_TLS_REQUIRED}},
};

static void test_tls(void **state)
{
    (void)state;
    run_rows(tls_rows, ARRAY_LEN(tls_rows));
}

/* ---- AUTH ---- */

#define SECURE "C EHLO client.example.net\nS 250-mx\n"
#define TLS    OFFER "C STARTTLS\nS 220 go\nT \n" SECURE
#define LOGIN                                                                                                \
    {                                                                                                        \
        .level = CLIENT_TLS_REQUIRED, .login = true                                                          \
    }

static const struct row auth[] = {
    {"PLAIN", TLS "S 250 AUTH LOGIN PLAIN\nC AUTH PLAIN AHVzZXIAcGVuY2ls\nS 235 2.7.0 ok\n" CLEAR, OK, LOGIN},
    {"LOGIN",
     TLS "S 250 AUTH LOGIN\nC AUTH LOGIN\nS 334 VXNlcm5hbWU6\nC dXNlcg==\nS 334 UGFzc3dvcmQ6\nC cGVuY2ls\nS "
         "235 ok\n" CLEAR,
     OK, LOGIN},
    {"XOAUTH2",
     TLS
     "S 250 AUTH PLAIN XOAUTH2\nC AUTH XOAUTH2 dXNlcj11c2VyAWF1dGg9QmVhcmVyIHBlbmNpbAEB\nS 235 ok\n" CLEAR,
     OK,
     {.level = CLIENT_TLS_REQUIRED, .login = true, .mechanisms = SMTP_SASL_XOAUTH2}},
    {"XOAUTH2 refused",
     TLS "S 250 AUTH XOAUTH2\nC AUTH XOAUTH2 \nS 334 eyJzdGF0dXMiOiI0MDEifQ==\nC \nS 535 5.7.8 no\n",
     "end auth-refused 535 5.7.8 AUTH",
     {.level = CLIENT_TLS_REQUIRED, .login = true, .mechanisms = SMTP_SASL_XOAUTH2}},
    {"wrong password", TLS "S 250 AUTH PLAIN\nC AUTH PLAIN\nS 535 5.7.8 no\n",
     "end auth-refused 535 5.7.8 AUTH", LOGIN},
    {"not now", TLS "S 250 AUTH PLAIN\nC AUTH PLAIN\nS 454 4.7.0 later\n", "end temporary 454 4.7.0 AUTH",
     LOGIN},
    {"asks without end", TLS "S 250 AUTH PLAIN\nC AUTH PLAIN\nS 334 \n", "end temporary 0 4.7.0 AUTH", LOGIN},
    {"challenge is no base64", TLS "S 250 AUTH LOGIN\nC AUTH LOGIN\nS 334 !!\n", "end temporary 0 4.7.0 AUTH",
     LOGIN},
    {"nothing we know", TLS "S 250 AUTH GSSAPI\n", "end temporary 0 4.7.4 EHLO", LOGIN},
    {"not offered", TLS "S 250 PIPELINING\n", "end temporary 0 4.7.4 EHLO", LOGIN},
    {"never in the clear",
     HELLO "S 250-mx\nS 250 AUTH PLAIN\n",
     "end temporary 0 4.7.11 EHLO",
     {.login = true}},
    {"in the clear where allowed",
     HELLO "S 250-mx\nS 250 AUTH PLAIN\nC AUTH PLAIN AHVzZXIAcGVuY2ls\nS 235 ok\n" CLEAR,
     OK,
     {.login = true, .clear_auth = true}},
    {"SCRAM without proof", TLS "S 250 AUTH SCRAM-SHA-256\nC AUTH SCRAM-SHA-256 \nS 235 welcome\n",
     "end temporary 0 4.7.0 AUTH", LOGIN},
    {"530 to MAIL though logged in",
     TLS "S 250 AUTH PLAIN\nC AUTH PLAIN\nS 235 ok\nC MAIL\nS 530 5.7.0 log in\n",
     "auth-refused 530 5.7.0 MAIL", LOGIN},
};

static void test_auth(void **state)
{
    (void)state;
    run_rows(auth, ARRAY_LEN(auth));
}

/* ---- the rest ---- */

static void test_nobody_there(void **state)
{
    (void)state;
    static const struct row row = {.name = "nobody"};
    struct test t = {.loop = loop_new(), .row = &row, .log = buf_new(1000)};
    const char *const none[] = {NULL};
    script_open(&t.server, t.loop, none, NULL);
    uint16_t port = t.server.port;
    script_close(&t.server);
    t.server.port = port;
    t.client = call(&t, NULL);
    run_until(t.loop, &t.over);
    assert_true(slice_eq(buf_slice(&t.log), SLICE("end unreachable 0 4.4.1 connect")));
    client_free(&t.client);
    buf_free(&t.log);
    loop_free(&t.loop);
}

/* Nothing a server says reaches a terminal, a log or a notification as it is. */
static void test_texts_are_clean(void **state)
{
    (void)state;
    const char *const scripts[] = {BARE "C MAIL\nR 550-5.7.1 \033[2Jno\\0\\r\\n550 5.7.1 to\tyou\r!\\r\\n\n",
                                   NULL};
    static const struct row row = {.name = "clean"};
    struct test t = {.loop = loop_new(), .row = &row, .arena = arena_new(1 << 20), .log = buf_new(1000)};
    int fd = text_fd(TEXT);
    script_open(&t.server, t.loop, scripts, NULL);
    make_jobs(&t, fd, TEXT);
    t.client = call(&t, NULL);
    run_until(t.loop, &t.over);
    assert_true(slice_eq(t.rcpts[0][0].reply.text, SLICE("?[2Jno? to you?!")));
    client_free(&t.client);
    script_close(&t.server);
    loop_free(&t.loop);
    arena_free(&t.arena);
    buf_free(&t.log);
    (void)close(fd);
}

/* A message of some size, with dots at every place a piece may be cut. */
static void check_large(const char *script, bool chunked)
{
    enum { LINES = 60000 };
    const char *const scripts[] = {script, NULL};
    static const struct row row = {.name = "large"};
    struct test t = {.loop = loop_new(), .row = &row, .arena = arena_new(1 << 20), .log = buf_new(1000)};
    AUTO_BUF struct buf text = buf_new(8 << 20);
    for (unsigned i = 0; i < LINES; i++)
        buf_addf(&text, "%.*s%u\r\n", (int)(i % 3), "..", i);
    buf_add_byte(&text, 0);
    int fd = text_fd((const char *)text.data);
    script_open(&t.server, t.loop, scripts, NULL);
    make_jobs(&t, fd, (const char *)text.data);
    t.client = call(&t, NULL);
    AUTO_BUF struct buf got = buf_new(8 << 20);
    struct slice end = chunked ? SLICE("59999\r\n") : SLICE("59999\r\n.\r\n");
    while (!t.over && loop_now_ms(t.loop)) {
        run_for(t.loop, 1);
        if (!t.server.stream || *t.server.at != 'W')
            continue;
        struct slice input = stream_input(t.server.stream);
        buf_add(&got, input);
        stream_consume(t.server.stream, input.len);
        if (slice_ends(buf_slice(&got), end)) {
            stream_write(t.server.stream, SLICE("250 ok\r\n"));
            t.server.at = "";
        }
    }
    assert_true(slice_eq(buf_slice(&t.log), SLICE("accepted 250 2.0.0 end of data")));
    /* Undo the dots and compare. */
    struct slice rest = buf_slice(&got), line, wanted = slice_sub(buf_slice(&text), 0, text.len - 1), mine;
    assert_true(slice_token(&rest, '\n', &line)); /* X: y */
    while (slice_token(&wanted, '\n', &mine)) {
        assert_true(slice_token(&rest, '\n', &line));
        if (!chunked && slice_starts(line, SLICE(".")))
            line = slice_from(line, 1);
        assert_true(slice_eq(line, mine));
    }
    assert_true(slice_eq(rest, chunked ? SLICE_EMPTY : SLICE(".\r\n")));
    client_free(&t.client);
    script_close(&t.server);
    loop_free(&t.loop);
    arena_free(&t.arena);
    buf_free(&t.log);
    (void)close(fd);
}

static void test_large(void **state)
{
    (void)state;
    check_large(PIPE "C MAIL\nC RCPT\nC DATA\nS 250 a\nS 250 b\nS 354 c\nW ", false);
    check_large(CHUNKS "C MAIL\nC RCPT\nS 250 a\nS 250 b\nC BDAT\nW ", true);
}

/* The message is shorter than was told: what was promised cannot be sent, and nothing is accepted. */
static void test_message_cut(void **state)
{
    (void)state;
    const char *const scripts[] = {PIPE "C MAIL\nC RCPT\nC DATA\nS 250 a\nS 250 b\nS 354 c\nW ", NULL};
    static const struct row row = {.name = "cut"};
    struct test t = {.loop = loop_new(), .row = &row, .arena = arena_new(1 << 20), .log = buf_new(1000)};
    int fd = text_fd("short");
    script_open(&t.server, t.loop, scripts, NULL);
    make_jobs(&t, fd, "longer than that");
    t.client = call(&t, NULL);
    run_until(t.loop, &t.over);
    assert_true(slice_eq(buf_slice(&t.log), SLICE("temporary 0 4.3.0 text;end temporary 0 4.3.0 text")));
    client_free(&t.client);
    script_close(&t.server);
    loop_free(&t.loop);
    arena_free(&t.arena);
    buf_free(&t.log);
    (void)close(fd);
}

/* Freed at any moment: nothing is told, nothing leaks. */
static void test_freed(void **state)
{
    (void)state;
    const char *const scripts[] = {PIPE "C MAIL\nC RCPT\nC DATA\nS 250 a\nS 250 b\nS 354 c\nD *\nW ", NULL};
    static const struct row row = {.name = "freed"};
    for (unsigned ms = 0; ms < 12; ms++) {
        struct test t = {.loop = loop_new(), .row = &row, .arena = arena_new(1 << 20), .log = buf_new(1000)};
        int fd = text_fd(TEXT);
        script_open(&t.server, t.loop, scripts, NULL);
        make_jobs(&t, fd, TEXT);
        t.client = call(&t, NULL);
        run_for(t.loop, ms);
        client_free(&t.client);
        run_for(t.loop, 2);
        assert_int_equal(t.log.len, 0);
        script_close(&t.server);
        loop_free(&t.loop);
        arena_free(&t.arena);
        buf_free(&t.log);
        (void)close(fd);
    }
    client_free(NULL);
    client_quit(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),         cmocka_unit_test(test_limits),
        cmocka_unit_test(test_refusals),     cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_tls),          cmocka_unit_test(test_auth),
        cmocka_unit_test(test_nobody_there), cmocka_unit_test(test_texts_are_clean),
        cmocka_unit_test(test_large),        cmocka_unit_test(test_message_cut),
        cmocka_unit_test(test_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
