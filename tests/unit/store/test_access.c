/* What a network role that was taken over gets at through the grants of its sessions when mailboxes are
 * shared: what their accounts may do, and nothing else. The test plays such an imap. */
#include "../role_rig.h"

#include "store/store.h"
#include "grammar/imap_acl.h"
#include "store/hearsay.h"
#include "wire/append_row.h"
#include "wire/event_row.h"
#include "wire/facts.h"
#include "wire/facts_row.h"
#include "wire/mailbox.h"

#define PEERS (1u << ROLE_SCAN | 1u << ROLE_AUTH | 1u << ROLE_QUEUE | 1u << ROLE_SMTP | 1u << ROLE_IMAP)
#define ANN   1 /* names of grants */
#define BOB   2
#define EVE   3

static const char yaml[] = "hostname: mail.example.org\n"
                           "data: /tmp/unused\n"
                           "listeners:\n"
                           "  - { name: mx, service: mx, address: \"127.0.0.1:2525\", tls: none }\n"
                           "domains:\n"
                           "  - { name: example.test }\n"
                           "free_space_reserve: 0\n";
static const struct rig_file files[] = {{0}};
static const char *const accounts[] = {
    [ANN] = "ann@example.test", [BOB] = "bob@example.test", [EVE] = "eve@example.test"};

/* The order in which imap heard of things. */
struct seen {
    unsigned lost, gone, at_lost, clock;
    char who[64];
    struct heard {
        uint64_t watch;
        bool hears; /* somebody listens */
        unsigned rows, forgets, overflows;
        uint32_t what;
        struct mailbox_row row; /* the last one, without its name */
        char name[200], old[200];
    } heard[4]; /* by grant */
};

/* Rows for an ear: what it hears is kept for whoever's it is. */
static void on_events(struct seen *seen, struct slice packet)
{
    struct wire_mbox_events m;
    struct event_row row;
    struct heard *h = seen->heard;
    assert_int_equal(wire_decode(WIRE_MBOX_EVENTS, packet, &m), ERR_OK);
    for (unsigned i = ANN; i <= EVE; i++)
        if (seen->heard[i].hears && seen->heard[i].watch == m.watch)
            h = &seen->heard[i];
    h->overflows += m.lost != 0;
    while (event_row_take(&m.rows, &row)) {
        h->forgets += row.what == MAILBOX_EVENT_LOST;
        h->rows += row.what != MAILBOX_EVENT_LOST;
        h->what = row.what;
        h->row = row.row;
        (void)snprintf(h->name, sizeof h->name, "%.*s", SLICE_ARG(row.row.name));
        (void)snprintf(h->old, sizeof h->old, "%.*s", SLICE_ARG(row.old));
        h->row.name = SLICE_EMPTY;
    }
    assert_int_equal(m.rows.len, 0);
}

static void answer_scan(struct ipc_link *link, struct ipc_packet *packet)
{
    struct wire_scan_task task;
    assert_int_equal(wire_decode(WIRE_SCAN_TASK, packet->body, &task), ERR_OK);
    struct facts_part parts[2] = {{.kind = FACTS_MESSAGE,
                                   .type = SLICE("message"),
                                   .subtype = SLICE("rfc822"),
                                   .body_len = task.size,
                                   .inner_header_len = task.size},
                                  {.number = 1,
                                   .type = SLICE("text"),
                                   .subtype = SLICE("plain"),
                                   .header_len = task.size,
                                   .body_off = task.size}};
    struct facts facts = {.flags = FACTS_TEXT_COMPLETE | FACTS_PARTS_COMPLETE,
                          .size = task.size,
                          .header_len = task.size,
                          .sent = FACTS_NO_DATE,
                          .envelope = SLICE("(NIL)"),
                          .body = SLICE("(NIL)"),
                          .bodystructure = SLICE("(NIL)"),
                          .parts = parts,
                          .part_count = 2};
    AUTO_BUF struct buf encoded = buf_new(FACTS_MAX_ENCODED);
    facts_encode(&facts, &encoded);
    const struct wire_scan_facts reply = {.facts = buf_slice(&encoded)};
    wire_reply(link, packet->request, WIRE_SCAN_FACTS, false, &reply);
}

static bool handle(struct rig *rig, enum role self, struct ipc_link *link, struct ipc_packet *packet)
{
    struct seen *seen = rig->test;
    if (self == ROLE_SCAN && packet->type == WIRE_SCAN_TASK)
        answer_scan(link, packet);
    if (self == ROLE_IMAP && packet->type == WIRE_MBOX_CHANGED) {
        struct wire_mbox_changed m;
        assert_int_equal(wire_decode(WIRE_MBOX_CHANGED, packet->body, &m), ERR_OK);
        seen->clock++;
        seen->gone += m.gone != 0;
        if (m.lost.len) {
            seen->lost++;
            seen->at_lost = seen->clock;
            (void)snprintf(seen->who, sizeof seen->who, "%.*s", SLICE_ARG(m.lost));
        }
    }
    if (self == ROLE_IMAP && packet->type == WIRE_MBOX_EVENTS)
        on_events(seen, packet->body);
    return true;
}

static struct grant grant_of(uint8_t n)
{
    struct grant g = {{0}};
    g.name[0] = n;
    g.name[15] = 1;
    return g;
}

static uint32_t result(struct rig *rig, enum role as, enum wire_type type, const void *message,
                       uint32_t *code)
{
    struct rig_answer a;
    struct wire_result r;
    rig_ask(rig, as, type, message, &a);
    rig_get(rig, &a, WIRE_RESULT, &r);
    if (code)
        *code = r.code;
    return r.err;
}

static struct rig *start(struct seen *seen)
{
    *seen = (struct seen){0};
    struct rig *rig = rig_new(&store_role, PEERS, yaml, files, handle, seen);
    const struct wire_grant_replayed told = {.count = 1};
    rig_tell(rig, ROLE_AUTH, WIRE_GRANT_REPLAYED, &told);
    for (uint8_t n = ANN; n <= EVE; n++) {
        const struct wire_grant_add m = {.grant = grant_of(n),
                                         .holder = ROLE_IMAP,
                                         .account = slice_of(accounts[n]),
                                         .session = SLICE("s")};
        assert_int_equal(result(rig, ROLE_AUTH, WIRE_GRANT_ADD, &m, NULL), ERR_OK);
    }
    return rig;
}

static uint32_t create(struct rig *rig, uint8_t who, const char *name)
{
    const struct wire_mbox_create m = {.grant = grant_of(who), .name = slice_of(name)};
    return result(rig, ROLE_IMAP, WIRE_MBOX_CREATE, &m, NULL);
}

static uint32_t acl(struct rig *rig, uint8_t who, const char *mailbox, uint8_t whom, enum acl_mode mode,
                    uint32_t rights)
{
    const struct wire_acl_set m = {.grant = grant_of(who),
                                   .mode = mode,
                                   .rights = rights,
                                   .mailbox = slice_of(mailbox),
                                   .identifier = slice_of(accounts[whom])};
    return result(rig, ROLE_IMAP, WIRE_ACL_SET, &m, NULL);
}

static void append(struct rig *rig, uint8_t who, const char *mailbox, uint64_t body)
{
    struct rig_answer a;
    struct wire_body_done done;
    struct wire_appended appended;
    AUTO_BUF struct buf rows = buf_new(1000);
    const struct wire_body_chunk chunk = {.body = body,
                                          .flags = BODY_FIRST | BODY_LAST,
                                          .kind = BODY_APPEND,
                                          .data = SLICE("Subject: test\r\n\r\n")};
    rig_ask(rig, ROLE_IMAP, WIRE_BODY_CHUNK, &chunk, &a);
    rig_get(rig, &a, WIRE_BODY_DONE, &done);
    assert_int_equal(done.err, ERR_OK);
    append_row_add(&rows, &(struct append_row){.body = body});
    const struct wire_append m = {
        .grant = grant_of(who), .mailbox = slice_of(mailbox), .messages = buf_slice(&rows)};
    rig_ask(rig, ROLE_IMAP, WIRE_APPEND, &m, &a);
    rig_get(rig, &a, WIRE_APPENDED, &appended);
    assert_int_equal(appended.err, ERR_OK);
}

static struct wire_mbox_selected sel(struct rig *rig, uint8_t who, const char *name)
{
    const struct wire_mbox_select m = {.grant = grant_of(who), .name = slice_of(name)};
    struct rig_answer a;
    struct wire_mbox_selected s;
    rig_ask(rig, ROLE_IMAP, WIRE_MBOX_SELECT, &m, &a);
    rig_get(rig, &a, WIRE_MBOX_SELECTED, &s);
    return s;
}

/* Whether facts of the message are given out. */
static bool facts_of(struct rig *rig, uint8_t who, uint64_t watch, uint64_t message)
{
    struct rig_answer a;
    struct wire_facts_rows rows;
    struct facts_row row;
    AUTO_BUF struct buf ids = buf_new(8);
    buf_add_le64(&ids, message);
    const struct wire_facts_get m = {
        .grant = grant_of(who), .watch = watch, .want = FACTS_WANT_RECORD, .messages = buf_slice(&ids)};
    rig_ask(rig, ROLE_IMAP, WIRE_FACTS_GET, &m, &a);
    rig_get(rig, &a, WIRE_FACTS_ROWS, &rows);
    return !rows.err && facts_row_take(&rows.rows, FACTS_WANT_RECORD, &row) && row.found;
}

static uint32_t open_file(struct rig *rig, uint8_t who, uint64_t watch, uint64_t message)
{
    struct rig_answer a;
    struct wire_body_file file;
    AUTO_BUF struct buf id = buf_new(8);
    buf_add_le64(&id, message);
    const struct wire_body_open m = {.grant = grant_of(who), .watch = watch, .messages = buf_slice(&id)};
    rig_ask(rig, ROLE_IMAP, WIRE_BODY_OPEN, &m, &a);
    rig_get(rig, &a, WIRE_BODY_FILE, &file);
    return file.err;
}

static uint64_t messages(struct rig *rig, uint8_t who, const char *name)
{
    struct rig_answer a;
    struct wire_mbox_rows rows;
    struct mailbox_row row;
    const struct wire_mbox_name m = {.grant = grant_of(who), .name = slice_of(name)};
    rig_ask(rig, ROLE_IMAP, WIRE_MBOX_STATUS, &m, &a);
    rig_get(rig, &a, WIRE_MBOX_ROWS, &rows);
    return !rows.err && mailbox_row_take(&rows.rows, &row) ? row.messages : UINT64_MAX;
}

/* Ann's INBOX holds message 1, her Team, which Bob may read, message 2. */
static struct rig *share(struct seen *seen)
{
    struct rig *rig = start(seen);
    assert_int_equal(create(rig, ANN, "Team"), ERR_OK);
    append(rig, ANN, "INBOX", 1);
    append(rig, ANN, "Team", 2);
    assert_int_equal(acl(rig, ANN, "Team", BOB, ACL_REPLACE, RIGHT_LOOKUP | RIGHT_READ), ERR_OK);
    return rig;
}

#define TEAM "Other Users/ann@example.test/Team"

static void test_messages_of_other_mailboxes(void **state)
{
    (void)state;
    struct seen seen;
    struct rig *rig = share(&seen);
    struct wire_mbox_selected s = sel(rig, BOB, TEAM);
    assert_int_equal(s.err, ERR_OK);
    assert_int_equal(s.rights, RIGHT_LOOKUP | RIGHT_READ);
    assert_true(facts_of(rig, BOB, s.watch, 2));
    assert_int_equal(open_file(rig, BOB, s.watch, 2), ERR_OK);
    assert_false(facts_of(rig, BOB, s.watch, 1)); /* it is in Ann's INBOX */
    assert_int_equal(open_file(rig, BOB, s.watch, 1), ERR_ABSENT);
    assert_false(facts_of(rig, BOB, s.watch, 99));
    s = sel(rig, ANN, "Team");
    assert_true(facts_of(rig, ANN, s.watch, 1)); /* her own */
    assert_int_equal(rig->condemned, 0);
    rig_free(rig);
}

/* Eve never selected it: naming the watch shows that imap was taken over. */
static void test_a_watch_of_others(void **state)
{
    (void)state;
    struct seen seen;
    struct rig *rig = share(&seen);
    struct wire_mbox_selected s = sel(rig, BOB, TEAM);
    const struct wire_vanished_get get = {.grant = grant_of(EVE), .watch = s.watch};
    struct rig_answer a;
    rig_ask(rig, ROLE_IMAP, WIRE_VANISHED_GET, &get, &a);
    rig_until(rig, &a.done);
    assert_int_equal(a.err, ERR_LATER);
    rig_for(rig, 20);
    assert_int_equal(rig->condemned, 1u << ROLE_IMAP);
    rig_free(rig);
}

static void test_rights_of_each_request(void **state)
{
    (void)state;
    struct seen seen;
    struct rig *rig = share(&seen);
    struct wire_mbox_selected s = sel(rig, BOB, TEAM);
    struct rig_answer a;
    AUTO_BUF struct buf uids = buf_new(8);
    wire_range_add(&uids, 1, 1);
    const struct wire_flags_store flags = {
        .grant = grant_of(BOB), .watch = s.watch, .mode = FLAGS_ADD, .flags = 1, .uids = buf_slice(&uids)};
    struct wire_flags_stored stored;
    rig_ask(rig, ROLE_IMAP, WIRE_FLAGS_STORE, &flags, &a);
    rig_get(rig, &a, WIRE_FLAGS_STORED, &stored);
    assert_int_equal(stored.code, STORE_CODE_NOPERM);
    const struct wire_expunge expunge = {.grant = grant_of(BOB), .watch = s.watch, .uids = buf_slice(&uids)};
    struct wire_expunged expunged;
    rig_ask(rig, ROLE_IMAP, WIRE_EXPUNGE, &expunge, &a);
    rig_get(rig, &a, WIRE_EXPUNGED, &expunged);
    assert_int_equal(expunged.code, STORE_CODE_NOPERM);
    assert_int_equal(acl(rig, BOB, TEAM, EVE, ACL_ADD, RIGHT_READ), ERR_REFUSED);
    assert_int_equal(acl(rig, EVE, TEAM, EVE, ACL_ADD, RIGHT_READ), ERR_ABSENT);
    assert_int_equal(create(rig, BOB, TEAM "/x"), ERR_REFUSED);
    assert_int_equal(create(rig, BOB, "Other Users/ann@example.test/x"), ERR_ABSENT);
    /* "Drafts" is Bob's here, whatever mailbox is open */
    const struct wire_copy copy = {
        .grant = grant_of(BOB), .watch = s.watch, .target = SLICE("Drafts"), .uids = buf_slice(&uids)};
    struct wire_copied copied;
    rig_ask(rig, ROLE_IMAP, WIRE_COPY, &copy, &a);
    rig_get(rig, &a, WIRE_COPIED, &copied);
    assert_int_equal(copied.err, ERR_OK);
    assert_int_equal(messages(rig, BOB, "Drafts"), 1);
    assert_int_equal(messages(rig, ANN, "Drafts"), 0);
    assert_int_equal(messages(rig, ANN, "Team"), 1);
    assert_int_equal(rig->condemned, 0);
    rig_free(rig);
}

static void test_a_right_that_is_taken_away(void **state)
{
    (void)state;
    struct seen seen;
    struct rig *rig = share(&seen);
    struct wire_mbox_selected own = sel(rig, ANN, "Team"), s = sel(rig, BOB, TEAM);
    assert_int_equal(own.watch, s.watch); /* one for all of imap */
    assert_int_equal(acl(rig, ANN, "Team", BOB, ACL_REMOVE, RIGHT_LOOKUP), ERR_OK);
    assert_true(facts_of(rig, BOB, s.watch, 2)); /* who has it open may read on */
    assert_int_equal(seen.lost, 0);
    assert_int_equal(acl(rig, ANN, "Team", BOB, ACL_DELETE, 0), ERR_OK);
    assert_int_equal(seen.lost, 1); /* told before Ann was answered */
    assert_string_equal(seen.who, "bob@example.test");
    assert_false(facts_of(rig, BOB, s.watch, 2));
    assert_int_equal(open_file(rig, BOB, s.watch, 2), ERR_ABSENT);
    assert_int_equal(sel(rig, BOB, TEAM).code, STORE_CODE_NONEXISTENT);
    assert_true(facts_of(rig, ANN, own.watch, 2));
    const struct wire_mbox_unselect left = {.grant = grant_of(BOB), .watch = s.watch};
    rig_tell(rig, ROLE_IMAP, WIRE_MBOX_UNSELECT, &left);
    rig_for(rig, 20);
    assert_int_equal(rig->condemned, 0);
    rig_tell(rig, ROLE_IMAP, WIRE_MBOX_UNSELECT, &left); /* once too often */
    rig_for(rig, 20);
    assert_int_equal(rig->condemned, 1u << ROLE_IMAP);
    rig_free(rig);
}

/* Imap has died and store, which has not noticed yet, wants to tell it something: the link ends while the
 * watches on it are being walked. */
static void test_an_imap_that_cannot_be_told(void **state)
{
    (void)state;
    struct seen seen;
    struct rig *rig = share(&seen);
    assert_int_equal(acl(rig, ANN, "Team", EVE, ACL_REPLACE, RIGHT_LOOKUP | RIGHT_READ), ERR_OK);
    assert_int_equal(sel(rig, ANN, "INBOX").err, ERR_OK);
    assert_int_equal(sel(rig, BOB, TEAM).err, ERR_OK);
    assert_int_equal(sel(rig, EVE, TEAM).err, ERR_OK);
    const struct wire_acl_set m = {
        .grant = grant_of(ANN), .mode = ACL_DELETE, .mailbox = SLICE("Team"), .identifier = SLICE("anyone")};
    const struct wire_acl_set bob = {.grant = grant_of(ANN),
                                     .mode = ACL_DELETE,
                                     .mailbox = SLICE("Team"),
                                     .identifier = slice_of(accounts[BOB])};
    struct rig_answer a, b;
    int raw = dup(rig->peer_fds[ROLE_IMAP]); /* what was asked is still there, what is answered has no way */
    rig_ask(rig, ROLE_IMAP, WIRE_ACL_SET, &bob, &a);
    rig_ask(rig, ROLE_IMAP, WIRE_ACL_SET, &m, &b);
    ipc_link_close(rig->peers[ROLE_IMAP]);
    assert_int_equal(shutdown(raw, SHUT_RD), 0);
    rig_for(rig, 300);
    (void)close(raw);
    rig_connect(rig, ROLE_IMAP);
    rig_for(rig, 20);
    assert_int_equal(sel(rig, BOB, TEAM).code, STORE_CODE_NONEXISTENT);
    assert_int_equal(sel(rig, EVE, TEAM).err, ERR_OK);
    assert_int_equal(rig->condemned, 0);
    rig_free(rig);
}

static void listen_to(struct rig *rig, uint8_t who, bool others)
{
    struct seen *seen = rig->test;
    const struct wire_mbox_listen m = {.grant = grant_of(who), .others = others};
    struct rig_answer a;
    struct wire_mbox_listening listening;
    rig_ask(rig, ROLE_IMAP, WIRE_MBOX_LISTEN, &m, &a);
    rig_get(rig, &a, WIRE_MBOX_LISTENING, &listening);
    assert_int_equal(listening.err, ERR_OK);
    seen->heard[who] = (struct heard){.hears = true, .watch = listening.watch};
}

static void rename_to(struct rig *rig, const char *from, const char *to)
{
    const struct wire_mbox_rename m = {.grant = grant_of(ANN), .from = slice_of(from), .to = slice_of(to)};
    assert_int_equal(result(rig, ROLE_IMAP, WIRE_MBOX_RENAME, &m, NULL), ERR_OK);
}

#define QUIET_MS (2 * HEARSAY_MS + 50) /* whatever was held back is told */

/* Imap is told what its sessions' accounts may know, in their words; nothing more, and that when it is taken
 * away. */
static void test_what_an_ear_hears(void **state)
{
    (void)state;
    struct seen seen;
    struct rig *rig = share(&seen);
    const struct heard *bob = &seen.heard[BOB], *eve = &seen.heard[EVE];
    assert_int_equal(acl(rig, ANN, "Team", EVE, ACL_REPLACE, RIGHT_LOOKUP), ERR_OK);
    listen_to(rig, BOB, true);
    listen_to(rig, EVE, true);
    append(rig, ANN, "INBOX", 3);
    append(rig, ANN, "Team", 4);
    rig_for(rig, QUIET_MS);
    assert_int_equal(bob->rows, 1);
    assert_int_equal(bob->what, MAILBOX_EVENT_NEW);
    assert_string_equal(bob->name, TEAM);
    assert_int_equal(bob->row.messages, 2);
    assert_int_equal(bob->row.rights, RIGHT_LOOKUP | RIGHT_READ);
    assert_int_equal(eve->rows, 0);
    rename_to(rig, "Team", "Crew");
    rig_for(rig, QUIET_MS);
    assert_string_equal(bob->name, "Other Users/ann@example.test/Crew");
    assert_string_equal(bob->old, TEAM);
    assert_int_equal(eve->rows, 1);
    assert_string_equal(eve->old, TEAM);
    assert_int_equal(eve->row.messages + eve->row.uidvalidity + eve->row.modseq,
                     0); /* names are all it may see */
    append(rig, ANN, "Crew", 5);
    append(rig, ANN, "Crew", 6); /* is held back, with the list of then */
    unsigned rows = bob->rows;
    assert_int_equal(acl(rig, ANN, "Crew", BOB, ACL_REMOVE, RIGHT_READ), ERR_OK);
    assert_int_equal(bob->forgets, 1); /* before Ann is answered */
    assert_int_equal(bob->row.rights, RIGHT_LOOKUP);
    append(rig, ANN, "Crew", 7);
    rig_for(rig, QUIET_MS);
    assert_int_equal(bob->rows, rows);
    assert_int_equal(acl(rig, ANN, "Crew", BOB, ACL_DELETE, 0), ERR_OK);
    assert_int_equal(bob->forgets, 2);
    assert_int_equal(eve->forgets, 0);
    rename_to(rig, "Crew", "Team");
    rig_for(rig, QUIET_MS);
    assert_int_equal(bob->rows, rows);
    assert_int_equal(eve->rows, 2);
    assert_int_equal(rig->condemned, 0);
    rig_free(rig);
}

/* Rights given and taken in turns: told and called back now and then, however often. */
static void test_a_list_that_flutters(void **state)
{
    (void)state;
    struct seen seen;
    struct rig *rig = share(&seen);
    const struct heard *eve = &seen.heard[EVE];
    listen_to(rig, BOB, true);
    listen_to(rig, EVE, true);
    uint64_t began = loop_now_ms(rig->loop);
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(acl(rig, ANN, "Team", EVE, ACL_REPLACE, RIGHT_LOOKUP | RIGHT_READ), ERR_OK);
        assert_int_equal(acl(rig, ANN, "Team", EVE, ACL_DELETE, 0), ERR_OK);
    }
    rig_for(rig, QUIET_MS);
    uint64_t most = (loop_now_ms(rig->loop) - began) / HEARSAY_MS + 1;
    assert_in_range(eve->rows, 1, most); /* LIST of what is new to it */
    assert_int_equal(eve->what, MAILBOX_EVENT_LOST);
    assert_in_range(eve->forgets, 1, eve->rows);
    assert_int_equal(seen.heard[BOB].rows + seen.heard[BOB].forgets, 0); /* nothing is new to it */
    rig_free(rig);
}

/* What is given again before it was told is told once. */
static void test_given_again(void **state)
{
    (void)state;
    struct seen seen;
    struct rig *rig = share(&seen);
    const struct heard *eve = &seen.heard[EVE];
    listen_to(rig, BOB, true);
    listen_to(rig, EVE, true);
    append(rig, ANN, "Team", 3); /* told at once: what follows is gathered */
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(acl(rig, ANN, "Team", EVE, i % 2 ? ACL_DELETE : ACL_REPLACE,
                             i % 2 ? 0 : RIGHT_LOOKUP | RIGHT_READ),
                         ERR_OK);
    assert_int_equal(acl(rig, ANN, "Team", EVE, ACL_REPLACE, RIGHT_LOOKUP | RIGHT_READ), ERR_OK);
    assert_int_equal(eve->rows, 0);
    rig_for(rig, QUIET_MS);
    assert_int_equal(eve->rows, 1);
    assert_string_equal(eve->name, TEAM);
    assert_int_equal(eve->row.rights, RIGHT_LOOKUP | RIGHT_READ);
    rig_free(rig);
}

/* Who did not ask for others' hears nothing of them; a link that ends takes its ears along. */
static void test_who_does_not_listen(void **state)
{
    (void)state;
    struct seen seen;
    struct rig *rig = share(&seen);
    listen_to(rig, EVE, true);
    listen_to(rig, BOB, false);
    append(rig, ANN, "Team", 3);
    rig_for(rig, QUIET_MS);
    assert_int_equal(seen.heard[BOB].rows, 0);
    listen_to(rig, BOB, true);
    append(rig, ANN, "Team", 4);
    append(rig, ANN, "Team", 5);
    ipc_link_close(rig->peers[ROLE_IMAP]);
    rig_connect(rig, ROLE_IMAP);
    rig_for(rig, QUIET_MS);
    unsigned rows = seen.heard[BOB].rows;
    append(rig, ANN, "Team", 6);
    rig_for(rig, QUIET_MS);
    assert_int_equal(seen.heard[BOB].rows, rows);
    assert_int_equal(rig->condemned, 0);
    rig_free(rig);
}

/* What is too much to be told is told as that, to those who could have heard it. */
static void test_too_much_to_tell(void **state)
{
    (void)state;
    struct seen seen;
    struct rig *rig = share(&seen);
    for (unsigned i = 0; i <= OVERHEARD_MAX; i++) {
        char name[40];
        (void)snprintf(name, sizeof name, "Team/%u", i); /* with the list of Team */
        assert_int_equal(create(rig, ANN, name), ERR_OK);
    }
    listen_to(rig, BOB, true);
    listen_to(rig, EVE, true);
    rename_to(rig, "Team", "Crew");
    rig_for(rig, QUIET_MS);
    assert_int_equal(seen.heard[BOB].overflows, 1);
    assert_int_equal(seen.heard[BOB].rows, 0);
    assert_int_equal(seen.heard[EVE].overflows, 0);
    rename_to(rig, "Crew/1", "Crew/one");
    rig_for(rig, QUIET_MS);
    assert_int_equal(seen.heard[BOB].rows, 1);
    assert_int_equal(seen.heard[BOB].overflows, 1);
    rig_free(rig);
}

int main(void)
{
    assert_int_equal(metric_attach(&metrics_table, -1, "store", NULL), ERR_OK);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_of_other_mailboxes), cmocka_unit_test(test_a_watch_of_others),
        cmocka_unit_test(test_rights_of_each_request),      cmocka_unit_test(test_a_right_that_is_taken_away),
        cmocka_unit_test(test_an_imap_that_cannot_be_told), cmocka_unit_test(test_what_an_ear_hears),
        cmocka_unit_test(test_who_does_not_listen),         cmocka_unit_test(test_too_much_to_tell),
        cmocka_unit_test(test_a_list_that_flutters),        cmocka_unit_test(test_given_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
