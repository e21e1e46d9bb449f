/* Whole sessions of the imap role over a socket pair, with an auth and a store that only play their parts:
 * what happens when they are away, refuse, or answer after the client has gone. */
#include "../role_rig.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/mman.h>

#include "imap/imap.h"
#include "imap/session.h"
#include "wire/image.h"
#include "wire/mailbox.h"

#define PEERS    (1u << ROLE_STORE | 1u << ROLE_AUTH)
#define MESSAGES 5
#define CAPACITY 256

static const char yaml[] =
    "hostname: mail.example.org\n"
    "data: /tmp/unused\n"
    "listeners:\n"
    "  - { name: imap, service: imap, address: \"127.0.0.1:1143\", tls: none }\n"
    "imap: { hide_capabilities: [ { account: odd@example.org, names: [ IDLE, MOVE ] } ] }\n"
    "limits: { message_size: 64K }\n";

struct fake {
    struct rig *rig;
    int client;
    bool eof;
    struct buf got;
    struct image *image;
    int image_fd;
    uint64_t modseq;
    unsigned mailbox; /* added to the id of the one that is selected */
    unsigned selects, unselects, logouts, cancels, drops, chunks, held_selects;
    bool silent; /* the store does not answer */
    bool hold_login;
    uint32_t held_login; /* a login to be answered later */
    unsigned logins;
    uint32_t code; /* the store refuses with this */
    uint32_t held; /* a SELECT to be answered later */
    bool hold_status;
    uint32_t statuses[64]; /* STATUS asked for, to be answered later */
    unsigned status_count;
    unsigned searches;
};

static void *context;

static void *load(struct role_run *run, struct why *why)
{
    return context = imap_role.load(run, why);
}

/* ---- the store's part ---- */

static void make_image(struct fake *f)
{
    size_t size = image_size(CAPACITY);
    assert_int_equal(io_memfd("image", &f->image_fd, NULL), ERR_OK);
    assert_int_equal(io_truncate(f->image_fd, size, NULL), ERR_OK);
    f->image = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, f->image_fd, 0);
    assert_true(f->image != MAP_FAILED);
    image_start(f->image, 3, 7, CAPACITY);
    for (uint32_t i = 0; i < MESSAGES; i++) {
        const struct image_fixed fixed = {.uid = 10 * (i + 1), .message = i + 100};
        image_place(f->image, i, &fixed, (struct image_state){.modseq = 1});
    }
    f->image->count = MESSAGES;
    f->image->modseq = f->modseq = 1;
    f->image->uidnext = 10 * MESSAGES + 1;
}

static void answer_select(struct fake *f, uint32_t request)
{
    const struct wire_mbox_selected m = {.watch = 1,
                                         .mailbox = 3 + f->mailbox,
                                         .rights = 2047,
                                         .modseq = f->modseq,
                                         .uidvalidity = 7,
                                         .uidnext = 51,
                                         .recent_from = 40};
    wire_reply_fds(f->rig->peers[ROLE_STORE], request, WIRE_MBOX_SELECTED, false, &m, &f->image_fd, 1);
}

static void on_flags(struct fake *f, struct ipc_link *link, struct ipc_packet *packet)
{
    struct wire_flags_store m;
    assert_int_equal(wire_decode(WIRE_FLAGS_STORE, packet->body, &m), ERR_OK);
    uint32_t first, last;
    f->modseq++;
    while (wire_range_take(&m.uids, &first, &last))
        for (uint32_t i = 0; i < MESSAGES; i++) {
            struct image_entry *e = &f->image->entries[i];
            if (e->uid >= first && e->uid <= last)
                image_write(f->image, i, f->modseq,
                            m.mode == FLAGS_ADD ? image_own(e).flags | m.flags
                                                : image_own(e).flags & ~m.flags);
        }
    f->image->modseq = f->modseq;
    const struct wire_flags_stored stored = {.modseq = f->modseq};
    wire_reply(link, packet->request, WIRE_FLAGS_STORED, false, &stored);
}

static void on_expunge(struct fake *f, struct ipc_link *link, struct ipc_packet *packet)
{
    f->modseq++;
    uint32_t count = 0;
    for (uint32_t i = 0; i < MESSAGES; i++) {
        struct image_entry *e = &f->image->entries[i];
        uint64_t flags = image_own(e).flags;
        if (!(flags & IMAGE_DELETED) || (flags & IMAGE_EXPUNGED))
            continue;
        image_write(f->image, i, f->modseq, flags | IMAGE_EXPUNGED);
        count++;
    }
    f->image->modseq = f->modseq;
    const struct wire_expunged expunged = {.modseq = f->modseq, .count = count};
    wire_reply(link, packet->request, WIRE_EXPUNGED, false, &expunged);
}

static void on_chunk(struct fake *f, struct ipc_link *link, struct ipc_packet *packet)
{
    struct wire_body_chunk m;
    assert_int_equal(wire_decode(WIRE_BODY_CHUNK, packet->body, &m), ERR_OK);
    f->chunks++;
    assert_int_equal((m.flags & BODY_LAST) != 0, packet->request != 0);
    const struct wire_body_done done = {.err = ERR_OK};
    if (packet->request)
        wire_reply(link, packet->request, WIRE_BODY_DONE, false, &done);
}

#define GAPS     800000u     /* in the numbers of a mailbox that was emptied here and there */
#define GAP_FROM 3000000000u /* the first of them */

static void answer_vanished(struct ipc_link *link, uint32_t request)
{
    for (uint32_t i = 0; i < GAPS;) {
        AUTO_BUF struct buf uids = buf_new(WIRE_BLOB_MAX);
        for (uint32_t end = i + 5000; i < end; i++)
            wire_range_add(&uids, GAP_FROM + 2 * i, GAP_FROM + 2 * i);
        const struct wire_vanished m = {.uids = buf_slice(&uids)};
        wire_reply(link, request, WIRE_VANISHED, i < GAPS, &m);
    }
}

static bool on_store(struct fake *f, struct ipc_link *link, struct ipc_packet *packet)
{
    const struct wire_mbox_rows refused = {.err = ERR_REFUSED, .code = f->code};
    const struct wire_appended appended = {.uidvalidity = 7, .uid = 60};
    const struct wire_searched searched = {.modseq = f->modseq};
    switch (packet->type) {
    case WIRE_MBOX_UNSELECT:
        f->unselects++;
        return true;
    case WIRE_BODY_DROP:
        f->drops++;
        return true;
    default:
        break;
    }
    if (f->silent)
        return true;
    switch (packet->type) {
    case WIRE_MBOX_SELECT:
        f->selects++;
        if (f->held_selects > 0)
            f->held = packet->request;
        else
            answer_select(f, packet->request);
        return true;
    case WIRE_MBOX_STATUS:
        if (f->hold_status) {
            assert_true(f->status_count < 64);
            f->statuses[f->status_count++] = packet->request;
            return true;
        }
        wire_reply(link, packet->request, WIRE_MBOX_ROWS, false, &refused);
        return true;
    case WIRE_FLAGS_STORE:
        on_flags(f, link, packet);
        return true;
    case WIRE_EXPUNGE:
        on_expunge(f, link, packet);
        return true;
    case WIRE_SEARCH:
        f->searches++;
        wire_reply(link, packet->request, WIRE_SEARCHED, false, &searched);
        return true;
    case WIRE_VANISHED_GET:
        answer_vanished(link, packet->request);
        return true;
    case WIRE_BODY_CHUNK:
        on_chunk(f, link, packet);
        return true;
    case WIRE_APPEND:
        wire_reply(link, packet->request, WIRE_APPENDED, false, &appended);
        return true;
    default:
        return false;
    }
}

static bool on_auth(struct fake *f, struct ipc_link *link, struct ipc_packet *packet)
{
    struct wire_auth_begin m;
    struct wire_auth_result r = {.status = AUTH_FAILED, .exchange = 9};
    f->logouts += packet->type == WIRE_AUTH_LOGOUT;
    f->cancels += packet->type == WIRE_AUTH_CANCEL;
    if (packet->request == 0)
        return true;
    if (packet->type == WIRE_AUTH_BEGIN) {
        assert_int_equal(wire_decode(WIRE_AUTH_BEGIN, packet->body, &m), ERR_OK);
        r.challenge = SLICE("User Name\0");
        r.status = m.has_initial ? AUTH_FAILED : AUTH_CONTINUE;
        if (m.has_initial && slice_ends(m.initial, SLICE("secret"))) {
            r.status = AUTH_OK;
            r.account = slice_sub(m.initial, 1, m.initial.len - sizeof "secret" - 1);
            memset(r.grant.name, 5, sizeof r.grant.name);
        }
    }
    f->logins++;
    if (f->hold_login)
        f->held_login = packet->request;
    else
        wire_reply(link, packet->request, WIRE_AUTH_RESULT, false, &r);
    return true;
}

static bool handle(struct rig *rig, enum role self, struct ipc_link *link, struct ipc_packet *packet)
{
    return self == ROLE_STORE ? on_store(rig->test, link, packet) : on_auth(rig->test, link, packet);
}

/* ---- the client's part ---- */

static const struct stream_ops no_ops;

static void connect_client(struct fake *f)
{
    int fds[2];
    struct netaddr peer = netaddr_v4((const uint8_t[]){192, 0, 2, 1}, 1000);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    if (f->client >= 0)
        (void)close(f->client);
    f->client = fds[0];
    f->eof = false;
    buf_clear(&f->got);
    struct stream *stream = stream_new(f->rig->loop, fds[1], &peer, &no_ops, NULL);
    struct settings_listener listener = {.name = SLICE("imap"), .insecure_auth = true};
    const struct listener_arrival arrival = {.settings = &listener};
    imap_session_new(context, stream, &arrival);
}

static void receive(struct fake *f)
{
    uint8_t bytes[65536];
    ssize_t got = recv(f->client, bytes, sizeof bytes, MSG_DONTWAIT);
    f->eof = f->eof || got == 0;
    if (got > 0)
        buf_add(&f->got, slice_make(bytes, (size_t)got));
}

/* Waits until the server has said `text` (since the last send). */
static void expect(struct fake *f, const char *text)
{
    uint64_t end = clock_mono_ms() + RIG_PATIENCE_MS;
    while (slice_search(buf_slice(&f->got), slice_of(text)) < 0 && clock_mono_ms() < end && !f->eof) {
        rig_turn(f->rig);
        receive(f);
    }
    if (slice_search(buf_slice(&f->got), slice_of(text)) < 0)
        fail_msg("expected %s, got %.*s", text, SLICE_ARG(buf_slice(&f->got)));
}

static void expect_not(struct fake *f, const char *text)
{
    if (slice_search(buf_slice(&f->got), slice_of(text)) >= 0)
        fail_msg("did not expect %s in %.*s", text, SLICE_ARG(buf_slice(&f->got)));
}

static void expect_end(struct fake *f)
{
    for (int i = 0; i < 1000 && !f->eof; i++) {
        rig_turn(f->rig);
        receive(f);
    }
    assert_true(f->eof);
}

static void say(struct fake *f, const char *text)
{
    buf_clear(&f->got);
    assert_int_equal(send(f->client, text, strlen(text), 0), strlen(text));
}

static void ask(struct fake *f, const char *text, const char *answer)
{
    say(f, text);
    expect(f, answer);
}

static void start(struct fake *f)
{
    static struct role_ops ops;
    ops = imap_role;
    ops.load = load;
    *f = (struct fake){.client = -1, .got = buf_new(1 << 20)};
    f->rig = rig_new(&ops, PEERS, yaml, NULL, handle, f);
    make_image(f);
    connect_client(f);
    expect(f, "* OK [CAPABILITY IMAP4rev1");
}

static void login(struct fake *f)
{
    ask(f, "l LOGIN jane@example.org secret\r\n", "l OK [CAPABILITY");
}

static void finish(struct fake *f)
{
    (void)close(f->client);
    rig_for(f->rig, 30);
    rig_free(f->rig);
    (void)munmap(f->image, image_size(CAPACITY));
    (void)close(f->image_fd);
    buf_free(&f->got);
}

/* ---- the tests ---- */

/* Everything until the end of command `tag`; how many octets came. */
static size_t skip_answer(struct fake *f, const char *tag, const char *line, unsigned *lines)
{
    size_t octets = 0;
    uint64_t end = clock_mono_ms() + RIG_PATIENCE_MS;
    for (*lines = 0; clock_mono_ms() < end && !f->eof;) {
        rig_turn(f->rig);
        receive(f);
        struct slice got = buf_slice(&f->got), text;
        ptrdiff_t lf = slice_rfind(got, '\n');
        if (lf < 0)
            continue;
        bool done = false;
        text = slice_sub(got, 0, (size_t)lf + 1);
        for (ptrdiff_t at; !done && (at = slice_find(text, '\n')) >= 0;
             text = slice_from(text, (size_t)at + 1)) {
            done = slice_starts(text, slice_of(tag));
            *lines += slice_starts(text, slice_of(line));
            octets += (size_t)at + 1;
        }
        if (done)
            return octets;
        AUTO_BUF struct buf rest = buf_new(1 << 20);
        buf_add(&rest, slice_from(got, (size_t)lf + 1));
        buf_clear(&f->got);
        buf_add(&f->got, buf_slice(&rest));
    }
    fail_msg("no end of %s", tag);
    return 0;
}

/* More than the output takes at once is told in several responses. */
static void test_many_gaps(void **state)
{
    (void)state;
    struct fake f;
    unsigned lines;
    start(&f);
    login(&f);
    f.modseq = 9;
    f.image->modseq = 9;
    ask(&f, "a ENABLE QRESYNC\r\n", "a OK");
    say(&f, "b SELECT INBOX (QRESYNC (7 2))\r\n");
    assert_true(skip_answer(&f, "b OK [READ-WRITE]", "* VANISHED (EARLIER) ", &lines) > 11u * GAPS);
    assert_true(lines > 1);
    say(&f, "c UID FETCH 1:* (FLAGS) (CHANGEDSINCE 2 VANISHED)\r\n");
    assert_true(skip_answer(&f, "c OK", "* VANISHED (EARLIER) ", &lines) > 11u * GAPS);
    ask(&f, "d NOOP\r\n", "d OK");
    finish(&f);
}

static void test_news_of_the_mailbox(void **state)
{
    (void)state;
    struct fake f;
    start(&f);
    login(&f);
    ask(&f, "a SELECT INBOX\r\n", "a OK [READ-WRITE]");
    expect(&f, "* 5 EXISTS\r\n* 2 RECENT\r\n");
    ask(&f, "b STORE 2,4 +FLAGS (\\Deleted)\r\n", "b OK");
    expect(&f, "* 2 FETCH (FLAGS (\\Deleted))\r\n* 4 FETCH (FLAGS (\\Deleted \\Recent))\r\n");
    ask(&f, "c EXPUNGE\r\n", "* 4 EXPUNGE\r\n* 2 EXPUNGE\r\n* 1 RECENT\r\nc OK");
    /* another session's doings: not told in FETCH by number, told by NOOP */
    image_write(f.image, 0, 50, IMAGE_EXPUNGED);
    image_write(f.image, 2, 51, IMAGE_SEEN);
    f.image->modseq = 51;
    ask(&f, "d FETCH 1:* UID\r\n", "d OK");
    expect(&f, "* 1 FETCH (UID 10)\r\n* 2 FETCH (UID 30)\r\n* 3 FETCH (UID 50)\r\n");
    expect_not(&f, "EXPUNGE\r\n");
    ask(&f, "e NOOP\r\n", "* 1 EXPUNGE\r\ne OK");
    ask(&f, "f UID FETCH 30 FLAGS\r\n", "* 1 FETCH (UID 30 FLAGS (\\Seen))\r\nf OK");
    ask(&f, "g CLOSE\r\n", "g OK");
    ask(&f, "h FETCH 1 FLAGS\r\n", "h BAD");
    ask(&f, "i LOGOUT\r\n", "* BYE");
    expect_end(&f);
    assert_int_equal(f.unselects, 1);
    assert_int_equal(f.logouts, 1);
    finish(&f);
}

/* Many keys over many messages are store's work, which has threads: here all sessions would wait. */
static void test_searches_that_take_long(void **state)
{
    (void)state;
    struct fake f;
    AUTO_BUF struct buf search = buf_new(60000);
    start(&f);
    login(&f);
    for (uint32_t i = MESSAGES; i < 250; i++)
        image_place(f.image, i, &(struct image_fixed){.uid = 10 * (i + 1), .message = i + 100},
                    (struct image_state){.modseq = 1});
    f.image->count = 250;
    ask(&f, "a SELECT INBOX\r\n", "a OK");
    buf_add_str(&search, "b SEARCH RETURN (UPDATE) UNSEEN");
    for (int i = 0; i < 980; i++)
        buf_add_str(&search, " UNKEYWORD a");
    buf_add_str(&search, "\r\n");
    buf_add_byte(&search, 0);
    ask(&f, "c SEARCH RETURN () UNSEEN\r\n", "c OK");
    assert_int_equal(f.searches, 0);
    ask(&f, (const char *)search.data, "b OK");
    assert_int_equal(f.searches, 1);
    /* one has changed: that is little */
    image_write(f.image, 3, 2, IMAGE_FLAGGED);
    f.modseq = 2;
    f.image->modseq = 2;
    ask(&f, "d NOOP\r\n", "d OK");
    expect(&f, "ADDTO (0 4)");
    assert_int_equal(f.searches, 1);
    for (uint32_t i = 0; i < 250; i++)
        image_write(f.image, i, 3, IMAGE_DRAFT);
    f.modseq = 3;
    f.image->modseq = 3;
    ask(&f, "e NOOP\r\n", "e OK");
    assert_int_equal(f.searches, 2);
    finish(&f);
}

static void test_idle_and_a_deleted_mailbox(void **state)
{
    (void)state;
    struct fake f;
    start(&f);
    login(&f);
    ask(&f, "a SELECT INBOX\r\n", "a OK");
    ask(&f, "b IDLE\r\n", "+ ");
    image_write(f.image, 0, 9, IMAGE_FLAGGED);
    f.image->modseq = 9;
    const struct wire_mbox_changed changed = {.watch = 1, .modseq = 9};
    buf_clear(&f.got);
    rig_tell(f.rig, ROLE_STORE, WIRE_MBOX_CHANGED, &changed);
    expect(&f, "* 1 FETCH (FLAGS (\\Flagged))\r\n");
    ask(&f, "DONE\r\n", "b OK");
    const struct wire_mbox_changed gone = {.watch = 1, .gone = 1};
    rig_tell(f.rig, ROLE_STORE, WIRE_MBOX_CHANGED, &gone);
    expect(&f, "* BYE");
    expect_end(&f);
    finish(&f);
}

static void test_store_away(void **state)
{
    (void)state;
    struct fake f;
    start(&f);
    login(&f);
    f.silent = true;
    say(&f, "a STATUS INBOX (MESSAGES)\r\n");
    rig_for(f.rig, 30);
    rig_connect(f.rig, ROLE_STORE); /* the old one is dead */
    expect(&f, "a NO [UNAVAILABLE]");
    f.silent = false;
    ask(&f, "b SELECT INBOX\r\n", "b OK");
    image_write(f.image, 2, 61, IMAGE_EXPUNGED); /* somebody was faster than we */
    f.image->modseq = 61;
    rig_connect(f.rig, ROLE_STORE);
    ask(&f, "c NOOP\r\n", "* 3 EXPUNGE\r\n"); /* waits until the mailbox is open again */
    expect(&f, "c OK");
    assert_int_equal(f.selects, 2);
    f.mailbox++; /* another mailbox of this name */
    rig_connect(f.rig, ROLE_STORE);
    expect(&f, "* BYE [UNAVAILABLE]");
    expect_end(&f);
    finish(&f);
}

/* RFC 9585: a command that takes long says so; none that waits for the client does. */
static void test_progress(void **state)
{
    (void)state;
    struct fake f;
    start(&f);
    ((struct imap *)context)->progress_ms = 20;
    login(&f);
    rig_for(f.rig, 50);
    f.silent = true;
    say(&f, "a STATUS INBOX (MESSAGES)\r\n");
    expect(&f, "* OK [INPROGRESS (\"a\" NIL NIL)] ");
    buf_clear(&f.got);
    expect(&f, "* OK [INPROGRESS (\"a\" NIL NIL)] ");
    rig_connect(f.rig, ROLE_STORE);
    expect(&f, "a NO [UNAVAILABLE]");
    f.silent = false;
    ask(&f, "b IDLE\r\n", "+ ");
    rig_for(f.rig, 100);
    expect_not(&f, "INPROGRESS");
    ask(&f, "DONE\r\n", "b OK");
    finish(&f);
}

static void test_codes(void **state)
{
    (void)state;
    static const struct {
        uint32_t code;
        const char *answer;
    } rows[] = {
        {STORE_CODE_NONEXISTENT, "a NO [NONEXISTENT]"},
        {STORE_CODE_OVERQUOTA, "a NO [OVERQUOTA]"},
        {STORE_CODE_CANNOT, "a NO [CANNOT]"},
        {STORE_CODE_NOPERM, "a NO [NOPERM]"},
        {999, "a NO Not possible"},
    };
    struct fake f;
    start(&f);
    login(&f);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        f.code = rows[i].code;
        ask(&f, "a STATUS x (MESSAGES)\r\n", rows[i].answer);
    }
    f.code = STORE_CODE_EXPIRED; /* the grant is over: so is the session */
    ask(&f, "a STATUS x (MESSAGES)\r\n", "a NO [EXPIRED]");
    expect(&f, "* BYE [EXPIRED]");
    expect_end(&f);
    finish(&f);
}

/* The session ends while auth thinks: a login that succeeds too late is given back, one that would go on is
 * cancelled. */
static void test_session_ends_during_login(void **state)
{
    (void)state;
    static const struct {
        enum auth_status status;
        unsigned logouts, cancels;
    } rows[] = {{AUTH_OK, 1, 0}, {AUTH_CONTINUE, 0, 1}, {AUTH_FAILED, 0, 0}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fake f;
        struct wire_auth_result r = {.status = rows[i].status, .account = SLICE("jane@example.org")};
        start(&f);
        f.hold_login = true;
        say(&f, "a LOGIN jane@example.org secret\r\n");
        rig_for(f.rig, 30);
        assert_int_equal(f.logins, 1);
        const struct wire_sup_drain drain = {.ms = 10};
        assert_int_equal(wire_send(f.rig->supervisor, WIRE_SUP_DRAIN, &drain), ERR_OK);
        expect_end(&f);
        rig_until(f.rig, &f.rig->drained);
        if (r.status == AUTH_OK)
            memset(r.grant.name, 5, sizeof r.grant.name);
        if (r.status == AUTH_CONTINUE)
            r.exchange = 9;
        wire_reply(f.rig->peers[ROLE_AUTH], f.held_login, WIRE_AUTH_RESULT, false, &r);
        rig_for(f.rig, 30);
        assert_int_equal(f.logouts, rows[i].logouts);
        assert_int_equal(f.cancels, rows[i].cancels);
        finish(&f);
    }
}

static void reload_with(struct fake *f, const char *settings, int fd)
{
    struct rig *rig = f->rig;
    const struct wire_sup_listener at = {.generation = rig->generation + 1};
    rig->ready = false;
    rig_send_settings(rig, settings);
    assert_int_equal(wire_send_fds(rig->supervisor, WIRE_SUP_LISTENER, &at, &fd, 1), ERR_OK);
    rig_phase(rig, WIRE_SUP_PREPARE);
    rig_until(rig, &rig->ready);
    assert_false(rig->failed);
    rig_phase(rig, WIRE_SUP_COMMIT);
    rig_for(rig, 20);
}

/* A reload, with the same socket under another descriptor, while a client is at its first bytes. */
static void test_reload_while_arriving(void **state)
{
    (void)state;
    static const char settings[] =
        "hostname: mail.example.org\n"
        "data: /tmp/unused\n"
        "proxy_trusted_networks: [ 127.0.0.0/8 ]\n"
        "listeners:\n"
        "  - { name: imap, service: imap, address: \"127.0.0.1:1143\", tls: none, proxy: required }\n";
    struct fake f;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    start(&f);
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listening, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(listening, 8), 0);
    assert_int_equal(getsockname(listening, (struct sockaddr *)&at, &len), 0);
    reload_with(&f, settings, listening);
    (void)close(f.client);
    f.client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(f.client, (struct sockaddr *)&at, sizeof at), 0);
    say(&f, "PROXY TCP4 192.0.2.7 ");
    rig_for(f.rig, 30);
    reload_with(&f, settings, listening);
    say(&f, "192.0.2.8 1000 143\r\n");
    expect(&f, "* OK");
    (void)close(listening);
    finish(&f);
}

/* The session ends while store opens the mailbox: the use store counted is given back. */
static void test_session_ends_during_select(void **state)
{
    (void)state;
    struct fake f;
    start(&f);
    login(&f);
    f.held_selects = 1;
    say(&f, "a SELECT INBOX\r\n");
    rig_for(f.rig, 30);
    assert_int_equal(f.selects, 1);
    const struct wire_sup_drain drain = {.ms = 10};
    assert_int_equal(wire_send(f.rig->supervisor, WIRE_SUP_DRAIN, &drain), ERR_OK);
    expect_end(&f);
    rig_until(f.rig, &f.rig->drained);
    assert_int_equal(f.logouts, 1);
    assert_int_equal(f.unselects, 0);
    answer_select(&f, f.held);
    rig_for(f.rig, 30);
    assert_int_equal(f.unselects, 1);
    finish(&f);
}

static void test_authenticate(void **state)
{
    (void)state;
    struct fake f;
    start(&f);
    ask(&f, "a AUTHENTICATE NOPE\r\n", "a NO [CANNOT]");
    ask(&f, "b AUTHENTICATE LOGIN\r\n", "+ VXNlciBOYW1lAA==\r\n");
    ask(&f, "*\r\n", "b BAD");
    rig_for(f.rig, 20);
    assert_int_equal(f.cancels, 1);
    ask(&f, "c AUTHENTICATE LOGIN\r\n", "+ ");
    ask(&f, "!!!\r\n", "c BAD");
    ask(&f, "d AUTHENTICATE PLAIN !!!\r\n", "d BAD");
    ask(&f, "e LOGIN jane wrong\r\n", "e NO [AUTHENTICATIONFAILED]");
    ask(&f, "f AUTHENTICATE PLAIN AGphbmVAZXhhbXBsZS5vcmcAc2VjcmV0\r\n", "f OK [CAPABILITY");
    expect(&f, "UIDPLUS");
    for (int i = 0; i < CALLER_FAILURES; i++) {
        if (i == 0) {
            connect_client(&f);
            expect(&f, "* OK");
        }
        ask(&f, "g LOGIN jane wrong\r\n", "g NO");
    }
    expect(&f, "* BYE");
    expect_end(&f);
    finish(&f);
}

static void test_append(void **state)
{
    (void)state;
    struct fake f;
    start(&f);
    ask(&f, "a APPEND x {5+}\r\nhello\r\nb NOOP\r\n", "a BAD Log in first\r\nb OK");
    login(&f);
    ask(&f, "c APPEND x {5}\r\n", "+ ");
    ask(&f, "hello\r\n", "c OK [APPENDUID 7 60]");
    assert_int_equal(f.chunks, 1);
    ask(&f, "d APPEND x {65537}\r\ne NOOP\r\n", "d NO [TOOBIG]");
    expect(&f, "e OK");
    expect_not(&f, "+ ");
    ask(&f, "f APPEND x {0+}\r\n\r\ng NOOP\r\n", "f NO [CANNOT]");
    expect(&f, "g OK");
    ask(&f, "h APPEND x {5+}\r\nhello (\\Seen) {3+}\r\nabc\r\ni NOOP\r\n", "h OK [APPENDUID 7 60:61]");
    expect(&f, "i OK");
    ask(&f, "j APPEND x {5+}\r\nhellojunk\r\nk NOOP\r\n", "j BAD");
    expect(&f, "k OK");
    ask(&f, "l APPEND &bad {5+}\r\nhello\r\nm NOOP\r\n", "l NO [CANNOT]");
    expect(&f, "m OK");
    say(&f, "n APPEND x {500+}\r\nhel");
    rig_for(f.rig, 20);
    unsigned drops = f.drops;
    say(&f, "012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345"
            "6789");
    (void)shutdown(f.client, SHUT_WR);
    expect_end(&f);
    rig_for(f.rig, 20);
    assert_true(f.drops <= drops + 1);
    finish(&f);
}

static void test_hidden_capabilities(void **state)
{
    (void)state;
    struct fake f;
    start(&f);
    ask(&f, "l LOGIN odd@example.org secret\r\n", "l OK [CAPABILITY");
    expect(&f, "UIDPLUS");
    expect_not(&f, " IDLE");
    expect_not(&f, " MOVE");
    ask(&f, "a IDLE\r\n", "a BAD Unknown command");
    finish(&f);
}

/* ---- STATUS commands sent without waiting ---- */

/* The row says which request it answers. */
static void answer_status(struct fake *f, unsigned i)
{
    AUTO_BUF struct buf rows = buf_new(1000);
    const struct mailbox_row row = {.messages = i, .name = SLICE("x")};
    mailbox_row_add(&rows, &row);
    const struct wire_mbox_rows answer = {.rows = buf_slice(&rows)};
    wire_reply(f->rig->peers[ROLE_STORE], f->statuses[i], WIRE_MBOX_ROWS, false, &answer);
}

/* What follows in the input is asked for together, up to the first command that is no STATUS, and answered in
 * the order of the commands, whatever store answers first. */
static void test_status_ahead(void **state)
{
    (void)state;
    struct fake f;
    start(&f);
    login(&f);
    f.hold_status = true;
    say(&f, "a STATUS a (MESSAGES)\r\nb STATUS b (MESSAGES)\r\nc STATUS {1+}\r\nc (MESSAGES)\r\n"
            "d STATUS d (MESSAGES)\r\ne NOOP\r\nf STATUS f (MESSAGES)\r\ng STATUS g (MESSAGES)\r\nh STAT");
    rig_for(f.rig, 20);
    assert_int_equal(f.status_count, 4);
    answer_status(&f, 1);
    rig_for(f.rig, 20);
    receive(&f);
    assert_int_equal(f.got.len, 0);
    answer_status(&f, 0);
    expect(&f, "* STATUS a (MESSAGES 0)\r\na OK Status completed\r\n* STATUS b (MESSAGES 1)\r\nb OK");
    answer_status(&f, 3); /* while c waits */
    rig_for(f.rig, 20);
    receive(&f);
    expect_not(&f, "* STATUS d");
    expect_not(&f, "MESSAGES 3");
    wire_reply_result(f.rig->peers[ROLE_STORE], f.statuses[2], ERR_LATER, STORE_CODE_UNAVAILABLE,
                      SLICE_EMPTY);
    expect(&f, "\r\nc NO [");
    expect(&f, "* STATUS d (MESSAGES 3)\r\nd OK Status completed\r\ne OK");
    rig_for(f.rig, 20);
    assert_int_equal(f.status_count, 6); /* f and g */
    answer_status(&f, 4);
    answer_status(&f, 5);
    expect(&f, "g OK");
    ask(&f, "US\r\n", "h BAD");
    /* more than one lot */
    f.status_count = 0;
    AUTO_BUF struct buf many = buf_new(10000);
    for (unsigned i = 0; i < 60; i++)
        buf_addf(&many, "m%u STATUS m%u (MESSAGES)\r\n", i, i);
    buf_add_byte(&many, 0);
    say(&f, (const char *)buf_slice(&many).ptr);
    for (unsigned i = 0; i < 60; i++) {
        for (int turn = 0; turn < 1000 && f.status_count <= i; turn++)
            rig_turn(f.rig);
        assert_true(f.status_count <= i / 33 * 33 + 33);
        answer_status(&f, i);
    }
    expect(&f, "* STATUS m59 (MESSAGES 59)\r\nm59 OK");
    finish(&f);
}

/* With a mailbox selected the rows could be older than news told in between. */
static void test_status_not_ahead(void **state)
{
    (void)state;
    struct fake f;
    start(&f);
    login(&f);
    ask(&f, "s SELECT INBOX\r\n", "s OK");
    f.hold_status = true;
    say(&f, "a STATUS a (MESSAGES)\r\nb STATUS b (MESSAGES)\r\n");
    rig_for(f.rig, 20);
    assert_int_equal(f.status_count, 1);
    answer_status(&f, 0);
    expect(&f, "a OK");
    rig_for(f.rig, 20);
    assert_int_equal(f.status_count, 2);
    answer_status(&f, 1);
    expect(&f, "b OK");
    /* the client goes while some were asked for: late answers find nobody */
    ask(&f, "u UNSELECT\r\n", "u OK");
    say(&f, "a STATUS a (MESSAGES)\r\nb STATUS b (MESSAGES)\r\nc STATUS c (MESSAGES)\r\n");
    rig_for(f.rig, 20);
    assert_int_equal(f.status_count, 5);
    connect_client(&f);
    expect(&f, "* OK [CAPABILITY");
    for (unsigned i = 2; i < 5; i++)
        answer_status(&f, i);
    rig_for(f.rig, 20);
    /* store goes: each command is told */
    f.status_count = 0;
    login(&f);
    say(&f, "a STATUS a (MESSAGES)\r\nb STATUS b (MESSAGES)\r\nc STATUS c (MESSAGES)\r\n");
    rig_for(f.rig, 20);
    assert_int_equal(f.status_count, 3);
    rig_connect(f.rig, ROLE_STORE); /* the old one is dead */
    expect(&f, "a NO [UNAVAILABLE]");
    expect(&f, "b NO [UNAVAILABLE]");
    expect(&f, "c NO [UNAVAILABLE]");
    finish(&f);
}

static void test_literals_and_limits(void **state)
{
    (void)state;
    struct fake f;
    start(&f);
    ask(&f, "b LOGIN {16}\r\n", "+ ");
    ask(&f, "jane@example.org {6}\r\n", "+ ");
    ask(&f, "secret\r\n", "b OK");
    ask(&f, "c SELECT {999999}\r\n", "c BAD Literal too large");
    ask(&f, "d SELECT {5+}\r\nINBOX\r\n", "d OK [READ-WRITE]");
    ask(&f, "e NOOP\n", "e BAD");
    ask(&f, "f UID FETCH 1:4294967295 UID\r\n", "f OK");
    expect(&f, "* 5 FETCH (UID 50)");
    ask(&f, "g NOOP\r\nh CAPABILITY\r\ni CHECK\r\n", "i OK");
    expect(&f, "g OK NOOP completed\r\n* CAPABILITY");
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_news_of_the_mailbox),
        cmocka_unit_test(test_many_gaps),
        cmocka_unit_test(test_searches_that_take_long),
        cmocka_unit_test(test_idle_and_a_deleted_mailbox),
        cmocka_unit_test(test_store_away),
        cmocka_unit_test(test_progress),
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_session_ends_during_login),
        cmocka_unit_test(test_reload_while_arriving),
        cmocka_unit_test(test_session_ends_during_select),
        cmocka_unit_test(test_authenticate),
        cmocka_unit_test(test_append),
        cmocka_unit_test(test_hidden_capabilities),
        cmocka_unit_test(test_literals_and_limits),
        cmocka_unit_test(test_status_ahead),
        cmocka_unit_test(test_status_not_ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
