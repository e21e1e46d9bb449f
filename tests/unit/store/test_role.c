/* The store role, whole: bodies, deliveries, open mailboxes, grants, what a restart finds. */
#include "../role_rig.h"

#include "base/coll.h"
#include "grammar/imap_search.h"
#include "store/store.h"
#include "wire/append_row.h"
#include "wire/facts.h"
#include "wire/facts_row.h"
#include "wire/image.h"
#include "wire/mailbox.h"

#include <sys/mman.h>

#define PEERS (1u << ROLE_SCAN | 1u << ROLE_AUTH | 1u << ROLE_QUEUE | 1u << ROLE_SMTP | 1u << ROLE_IMAP)
#define ANN   SLICE("ann@example.test")
#define BOB   SLICE("bob@example.test")

static const char yaml[] = "hostname: mail.example.org\n"
                           "data: /tmp/unused\n"
                           "listeners:\n"
                           "  - { name: mx, service: mx, address: \"127.0.0.1:2525\", tls: none }\n"
                           "domains:\n"
                           "  - { name: example.test }\n"
                           "limits: { message_size: 2M }\n"
                           "free_space_reserve: 0\n"
                           "quota: { files: [ /quotas.cf ] }\n";
static const struct rig_file files[] = {{SUP_FILE_QUOTAS, 0, "/quotas.cf", "bob@example.test:3K\n"}, {0}};

/* What the peers see. */
struct seen {
    bool scan_fails, scan_lies;
    uint64_t changed, changed_modseq; /* of the last notice */
    unsigned notices, gone;
    int image; /* a moved one */
    bool space_low;
};

static void answer_scan(struct seen *seen, struct ipc_link *link, struct ipc_packet *packet)
{
    struct wire_scan_task task;
    assert_int_equal(wire_decode(WIRE_SCAN_TASK, packet->body, &task), ERR_OK);
    int fd = ipc_take_fd(packet, 0);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "x", 1), -1); /* nobody writes it any more */
    char *bytes = mem_zero(1, task.size + 1);
    size_t got = 0;
    assert_int_equal(io_pread(fd, bytes, task.size, 0, &got, NULL), ERR_OK);
    assert_int_equal(got, task.size);
    (void)close(fd);
    const char *end = strstr(bytes, "\r\n\r\n");
    uint64_t header = end ? (uint64_t)(end - bytes) + 4 : task.size;
    struct facts_part parts[2] = {
        {.kind = FACTS_MESSAGE,
         .type = SLICE("message"),
         .subtype = SLICE("rfc822"),
         .body_len = task.size + (seen->scan_lies ? 1 : 0),
         .inner_header_len = header},
        {.number = 1,
         .type = SLICE("text"),
         .subtype = SLICE("plain"),
         .header_len = header,
         .body_off = header,
         .body_len = task.size - header},
    };
    struct facts facts = {
        .flags = FACTS_TEXT_COMPLETE | FACTS_PARTS_COMPLETE,
        .size = task.size,
        .header_len = header,
        .sent = FACTS_NO_DATE,
        .envelope = SLICE("(NIL)"),
        .body = SLICE("(NIL)"),
        .bodystructure = SLICE("(NIL)"),
        .subject = SLICE("found by scan"),
        .parts = parts,
        .part_count = 2,
        .text = slice_make(bytes + header, task.size - header > 1000 ? 1000 : task.size - header)};
    AUTO_BUF struct buf encoded = buf_new(FACTS_MAX_ENCODED);
    facts_encode(&facts, &encoded);
    const struct wire_scan_facts reply = {.err = seen->scan_fails ? ERR_LATER : ERR_OK,
                                          .facts = seen->scan_fails ? SLICE_EMPTY : buf_slice(&encoded)};
    wire_reply(link, packet->request, WIRE_SCAN_FACTS, false, &reply);
    free(bytes);
}

static bool handle(struct rig *rig, enum role self, struct ipc_link *link, struct ipc_packet *packet)
{
    struct seen *seen = rig->test;
    if (self == ROLE_SCAN && packet->type == WIRE_SCAN_TASK) {
        answer_scan(seen, link, packet);
        return true;
    }
    if (packet->type == WIRE_STORE_STATE) {
        struct wire_store_state m;
        assert_int_equal(wire_decode(WIRE_STORE_STATE, packet->body, &m), ERR_OK);
        seen->space_low = m.space_low;
        return true;
    }
    if (self == ROLE_IMAP && packet->type == WIRE_MBOX_CHANGED) {
        struct wire_mbox_changed m;
        assert_int_equal(wire_decode(WIRE_MBOX_CHANGED, packet->body, &m), ERR_OK);
        seen->changed = m.watch;
        seen->changed_modseq = m.modseq;
        seen->notices++;
        seen->gone += m.gone;
        int fd = ipc_take_fd(packet, 0);
        if (fd >= 0) {
            if (seen->image >= 0)
                (void)close(seen->image);
            seen->image = fd;
        }
        return true;
    }
    return false;
}

static struct rig *start(struct seen *seen)
{
    *seen = (struct seen){.image = -1};
    return rig_new(&store_role, PEERS, yaml, files, handle, seen);
}

static struct grant grant_of(uint8_t n)
{
    struct grant g = {{0}};
    g.name[0] = n;
    g.name[15] = 1;
    return g;
}

static void give(struct rig *rig, uint8_t n, enum role holder, struct slice account)
{
    const struct wire_grant_add m = {
        .grant = grant_of(n), .holder = holder, .account = account, .session = SLICE("s")};
    struct rig_answer a;
    struct wire_result result;
    rig_ask(rig, ROLE_AUTH, WIRE_GRANT_ADD, &m, &a);
    rig_get(rig, &a, WIRE_RESULT, &result);
    assert_int_equal(result.err, ERR_OK);
}

static void all_told(struct rig *rig)
{
    const struct wire_grant_replayed m = {.count = 1};
    rig_tell(rig, ROLE_AUTH, WIRE_GRANT_REPLAYED, &m);
    rig_for(rig, 10);
}

static struct wire_body_done send_body(struct rig *rig, enum role as, uint64_t number, enum body_kind kind,
                                       size_t size)
{
    static const char head[] = "Subject: test\r\n\r\n";
    struct rig_answer a;
    struct wire_body_done done;
    char *bytes = mem_alloc(size + sizeof head);
    memcpy(bytes, head, sizeof head - 1);
    for (size_t i = sizeof head - 1; i < size; i++)
        bytes[i] = i % 78 == 77 ? '\n' : 'a';
    for (size_t at = 0; at < size; at += 50000) {
        bool last = at + 50000 >= size;
        const struct wire_body_chunk m = {.body = number,
                                          .flags = (at ? 0 : BODY_FIRST) | (last ? BODY_LAST : 0),
                                          .kind = kind,
                                          .data = slice_make(bytes + at, last ? size - at : 50000)};
        if (last)
            rig_ask(rig, as, WIRE_BODY_CHUNK, &m, &a);
        else
            rig_tell(rig, as, WIRE_BODY_CHUNK, &m);
    }
    rig_get(rig, &a, WIRE_BODY_DONE, &done);
    free(bytes);
    return done;
}

static void ask_deliver(struct rig *rig, const char *id, uint64_t body, struct slice account,
                        struct rig_answer *a)
{
    const struct wire_deliver m = {.queue_id = slice_of(id),
                                   .body = body,
                                   .account = account,
                                   .header = SLICE("Return-Path: <x@example.com>\r\n"),
                                   .session = SLICE("sess")};
    rig_ask(rig, ROLE_QUEUE, WIRE_DELIVER, &m, a);
}

static struct wire_delivered deliver(struct rig *rig, const char *id, uint64_t body, struct slice account)
{
    struct rig_answer a;
    struct wire_delivered delivered;
    ask_deliver(rig, id, body, account, &a);
    rig_get(rig, &a, WIRE_DELIVERED, &delivered);
    return delivered;
}

/* The descriptor of an answer is lost in the rig; the image is checked in select(). */
struct selected {
    struct wire_mbox_selected m;
    struct image *image;
    size_t size;
};

static void on_selected(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct selected *s = ctx;
    assert_int_equal(err, ERR_OK);
    assert_int_equal(wire_decode(WIRE_MBOX_SELECTED, packet->body, &s->m), ERR_OK);
    int fd = ipc_take_fd(packet, 0);
    struct stat st;
    if (fd >= 0) {
        assert_int_equal(fstat(fd, &st), 0);
        s->size = (size_t)st.st_size;
        assert_ptr_equal(mmap(NULL, s->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
        s->image = mmap(NULL, s->size, PROT_READ, MAP_SHARED, fd, 0);
        assert_ptr_not_equal(s->image, MAP_FAILED);
        assert_true(image_valid(s->image, s->size));
        (void)close(fd);
    }
    s->m.text = SLICE_EMPTY;
    s->size = s->size ? s->size : 1;
}

static struct selected sel(struct rig *rig, uint8_t grant, const char *name)
{
    const struct wire_mbox_select m = {.grant = grant_of(grant), .name = slice_of(name)};
    struct selected s = {0};
    (void)wire_call(rig->peers[ROLE_IMAP], WIRE_MBOX_SELECT, &m, RIG_PATIENCE_MS, on_selected, &s);
    for (int i = 0; i < 3000 && !s.size; i++)
        rig_turn(rig);
    assert_true(s.size);
    return s;
}

static void test_delivery(void **state)
{
    (void)state;
    struct seen seen;
    struct rig *rig = start(&seen);
    all_told(rig);
    give(rig, 1, ROLE_IMAP, ANN);
    struct wire_body_done done = send_body(rig, ROLE_SMTP, 100, BODY_MX, 3000);
    assert_int_equal(done.err, ERR_OK);
    assert_int_equal(done.size, 3000);
    struct wire_delivered d = deliver(rig, "Q1", 100, ANN);
    assert_int_equal(d.err, ERR_OK);
    assert_int_equal(d.uid, 1);
    assert_int_equal(deliver(rig, "Q1x", 100, ANN).err, ERR_LATER); /* the body is used up */
    struct selected s = sel(rig, 1, "inbox");
    assert_int_equal(s.m.err, ERR_OK);
    assert_non_null(s.image);
    assert_int_equal(s.image->count, 1);
    assert_int_equal(image_octets(&s.image->entries[0]), 3000 + 30);
    /* the image holds a delivery before anybody is told */
    assert_int_equal(send_body(rig, ROLE_SMTP, 101, BODY_MX, 500).err, ERR_OK);
    assert_int_equal(deliver(rig, "Q2", 101, ANN).uid, 2);
    assert_int_equal(s.image->count, 2);
    rig_for(rig, 20);
    assert_int_equal(seen.notices, 1);
    assert_int_equal(seen.changed, s.m.watch);
    assert_int_equal(seen.changed_modseq, s.image->modseq);
    /* delivered once more: the same answer, nothing new */
    assert_int_equal(send_body(rig, ROLE_SMTP, 102, BODY_MX, 500).err, ERR_OK);
    assert_int_equal(deliver(rig, "Q2", 102, ANN).uid, 2);
    assert_int_equal(s.image->count, 2);
    munmap(s.image, s.size);
    assert_int_equal(rig->condemned, 0);
    rig_free(rig);
}

static void test_large_and_refused_bodies(void **state)
{
    (void)state;
    struct seen seen;
    struct rig *rig = start(&seen);
    all_told(rig);
    assert_int_equal(send_body(rig, ROLE_SMTP, 1, BODY_MX, 1500000).err, ERR_OK); /* through the spool */
    assert_int_equal(deliver(rig, "L1", 1, ANN).err, ERR_OK);
    assert_int_equal(send_body(rig, ROLE_SMTP, 2, BODY_MX, 3000000).err, ERR_REFUSED);
    seen.scan_fails = true;
    assert_int_equal(send_body(rig, ROLE_SMTP, 3, BODY_MX, 500).err, ERR_LATER);
    seen.scan_fails = false;
    seen.scan_lies = true;
    assert_int_equal(send_body(rig, ROLE_SMTP, 4, BODY_MX, 500).err, ERR_LATER);
    seen.scan_lies = false;
    assert_int_equal(deliver(rig, "L4", 4, ANN).err, ERR_LATER); /* never became whole */
    assert_int_equal(rig->condemned, 0);
    rig_free(rig);
}

/* What smtp gave to queue before it died is still delivered; its number is not another message's meanwhile.
 */
static void test_smtp_dies(void **state)
{
    (void)state;
    struct seen seen;
    struct rig *rig = start(&seen);
    all_told(rig);
    assert_int_equal(send_body(rig, ROLE_SMTP, 7, BODY_MX, 500).err, ERR_OK);
    rig_connect(rig, ROLE_SMTP);
    rig_for(rig, 30);
    assert_int_equal(send_body(rig, ROLE_SMTP, 7, BODY_MX, 900).err, ERR_LATER);
    assert_int_equal(send_body(rig, ROLE_SMTP, 8, BODY_MX, 900).err, ERR_OK);
    struct wire_delivered d = deliver(rig, "S7", 7, ANN);
    assert_int_equal(d.err, ERR_OK);
    give(rig, 1, ROLE_IMAP, ANN);
    struct selected s = sel(rig, 1, "INBOX");
    assert_int_equal(image_octets(&s.image->entries[0]), 500 + 30);
    munmap(s.image, s.size);
    rig_free(rig);
}

static void test_queue_files(void **state)
{
    (void)state;
    struct seen seen;
    struct rig *rig = start(&seen);
    struct rig_answer a;
    struct wire_result result;
    all_told(rig);
    assert_int_equal(send_body(rig, ROLE_SMTP, 5, BODY_MX, 700).err, ERR_OK);
    const struct wire_queue_file file = {.queue_id = SLICE("many1"), .body = 5};
    rig_ask(rig, ROLE_QUEUE, WIRE_QUEUE_FILE_PUT, &file, &a);
    rig_get(rig, &a, WIRE_RESULT, &result);
    assert_int_equal(result.err, ERR_OK);
    assert_int_equal(access("queue/many1.eml", R_OK), 0);
    assert_int_equal(deliver(rig, "many1", 0, ANN).err, ERR_OK);
    assert_int_equal(deliver(rig, "many1", 0, BOB).err, ERR_OK);
    assert_int_equal(deliver(rig, "many1", 0, BOB).uid, 1);
    rig_ask(rig, ROLE_QUEUE, WIRE_QUEUE_FILE_DROP, &file, &a);
    rig_get(rig, &a, WIRE_RESULT, &result);
    assert_int_equal(access("queue/many1.eml", R_OK), -1);
    rig_free(rig);
}

static void put_empty(const char *path)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
}

/* What a crash left between the file and the rows of a message goes, once all of the list has come; what the
 * queue knows, what is new and what is none of its files stays. */
static void test_queue_leftovers(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        bool stays;
    } rows[] = {
        {"queue/aaa1.eml", false}, {"queue/aaa2.eml", true},  {"queue/aaa3.eml", true},
        {"queue/bbb1.eml", true},  {"queue/bbb0.eml", true},  {"queue/aaa1.txt", true},
        {"queue/aa.eml", true},    {"queue/aaa0.eml", false},
    };
    struct seen seen;
    struct rig *rig = start(&seen);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        put_empty(rows[i].path);
    const struct wire_queue_files first = {.more = 1, .before = SLICE("bbb0"), .ids = SLICE("\4aaa2")};
    const struct wire_queue_files last = {.before = SLICE("bbb0"), .ids = SLICE("\4aaa3\4zzz9")};
    rig_tell(rig, ROLE_QUEUE, WIRE_QUEUE_FILES, &first);
    rig_for(rig, 30);
    assert_int_equal(access("queue/aaa1.eml", F_OK), 0);
    rig_tell(rig, ROLE_QUEUE, WIRE_QUEUE_FILES, &last);
    rig_for(rig, 100);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if ((access(rows[i].path, F_OK) == 0) != rows[i].stays)
            print_message("%s\n", rows[i].path);
        assert_int_equal(access(rows[i].path, F_OK) == 0, rows[i].stays);
    }
    rig_free(rig);
}

static void test_many_at_once(void **state)
{
    (void)state;
    struct seen seen;
    struct rig *rig = start(&seen);
    struct rig_answer answers[60];
    char ids[60][16];
    all_told(rig);
    for (unsigned i = 0; i < 60; i++) {
        assert_int_equal(send_body(rig, ROLE_SMTP, 1000 + i, BODY_MX, 400).err, ERR_OK);
        (void)snprintf(ids[i], sizeof ids[i], "M%u", i);
    }
    for (unsigned i = 0; i < 60; i++)
        ask_deliver(rig, ids[i], 1000 + i, i % 3 ? ANN : BOB, &answers[i]);
    bool uids[61] = {false};
    unsigned refused = 0;
    for (unsigned i = 0; i < 60; i++) {
        struct wire_delivered d;
        rig_get(rig, &answers[i], WIRE_DELIVERED, &d);
        if (i % 3 == 0) { /* bob's quota is 3 KB */
            assert_true(d.err == ERR_OK || d.code == STORE_CODE_OVERQUOTA);
            refused += d.err != ERR_OK;
            continue;
        }
        assert_int_equal(d.err, ERR_OK);
        assert_in_range(d.uid, 1, 40);
        assert_false(uids[d.uid]);
        uids[d.uid] = true;
    }
    assert_int_equal(refused, 13); /* 7 of 430 bytes fit */
    const struct wire_quota_check check = {.account = BOB, .size = 3000};
    struct rig_answer a;
    struct wire_result result;
    rig_ask(rig, ROLE_QUEUE, WIRE_QUOTA_CHECK, &check, &a);
    rig_get(rig, &a, WIRE_RESULT, &result);
    assert_int_equal(result.err, ERR_REFUSED);
    rig_free(rig);
}

/* ---- sessions ---- */

static void append(struct rig *rig, uint64_t body, const char *mailbox)
{
    struct rig_answer a;
    struct wire_appended appended;
    assert_int_equal(send_body(rig, ROLE_IMAP, body, BODY_APPEND, 300).err, ERR_OK);
    AUTO_BUF struct buf rows = buf_new(1000);
    append_row_add(&rows, &(struct append_row){.body = body, .date = 1000000, .flags = IMAGE_SEEN});
    const struct wire_append m = {
        .grant = grant_of(1), .mailbox = slice_of(mailbox), .messages = buf_slice(&rows)};
    rig_ask(rig, ROLE_IMAP, WIRE_APPEND, &m, &a);
    rig_get(rig, &a, WIRE_APPENDED, &appended);
    assert_int_equal(appended.err, ERR_OK);
    assert_true(appended.uid > 0);
}

/* Bodies `first` to `first` + 2 at once, of which `sent` are there; `replaces` in the mailbox of `watch`. */
static struct wire_appended append_three(struct rig *rig, uint64_t first, unsigned sent, uint64_t watch,
                                         uint32_t replaces)
{
    struct rig_answer a;
    struct wire_appended appended;
    AUTO_BUF struct buf rows = buf_new(1000);
    for (unsigned i = 0; i < 3; i++) {
        append_row_add(&rows, &(struct append_row){.body = first + i});
        if (i < sent)
            assert_int_equal(send_body(rig, ROLE_IMAP, first + i, BODY_APPEND, 300).err, ERR_OK);
    }
    const struct wire_append m = {.grant = grant_of(1),
                                  .watch = watch,
                                  .replaces = replaces,
                                  .mailbox = SLICE("Drafts"),
                                  .messages = buf_slice(&rows)};
    rig_ask(rig, ROLE_IMAP, WIRE_APPEND, &m, &a);
    rig_get(rig, &a, WIRE_APPENDED, &appended);
    return appended;
}

/* All messages of an APPEND or none; what REPLACE takes away goes in the same commit. */
static void test_append_sets(void **state)
{
    (void)state;
    struct seen seen;
    struct rig *rig = start(&seen);
    all_told(rig);
    give(rig, 1, ROLE_IMAP, ANN);
    struct selected s = sel(rig, 1, "Drafts");
    assert_int_equal(append_three(rig, 10, 2, 0, 0).err, ERR_LATER); /* one is missing */
    assert_int_equal(s.image->count, 0);
    assert_int_equal(append_three(rig, 20, 3, 0, 0).uid, 1);
    assert_int_equal(s.image->count, 3);
    assert_int_equal(append_three(rig, 30, 3, s.m.watch, 2).uid, 4);
    assert_int_equal(s.image->count, 6);
    assert_true(image_read(&s.image->entries[1]).flags & IMAGE_EXPUNGED);
    assert_false(image_read(&s.image->entries[0]).flags & IMAGE_EXPUNGED);
    struct wire_appended gone = append_three(rig, 40, 3, s.m.watch, 2);
    assert_int_equal(gone.err, ERR_ABSENT);
    assert_int_equal(gone.code, STORE_CODE_EXPUNGEISSUED);
    assert_int_equal(s.image->count, 6);
    munmap(s.image, s.size);
    rig_free(rig);
}

static struct slice pair(struct buf *b, uint32_t first, uint32_t last)
{
    buf_clear(b);
    wire_range_add(b, first, last);
    return buf_slice(b);
}

static uint64_t file_size;
static void on_file(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct wire_body_file m;
    assert_int_equal(err, ERR_OK);
    assert_int_equal(wire_decode(WIRE_BODY_FILE, packet->body, &m), ERR_OK);
    int fd = ipc_take_fd(packet, 0);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, m.size);
    assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    file_size = m.size;
    (void)close(fd);
    *(bool *)ctx = true;
}

static void test_session(void **state)
{
    (void)state;
    struct seen seen;
    struct rig *rig = start(&seen);
    struct rig_answer a;
    AUTO_BUF struct buf uids = buf_new(100), ids = buf_new(1000), program = buf_new(1000), none = buf_new(8);
    all_told(rig);
    give(rig, 1, ROLE_IMAP, ANN);
    for (uint64_t i = 1; i <= 5; i++)
        append(rig, i, "Drafts");
    struct selected s = sel(rig, 1, "Drafts"), again = sel(rig, 1, "Drafts");
    assert_int_equal(s.m.watch, again.m.watch);
    assert_null(again.image); /* the link has it */
    assert_int_equal(s.m.recent_from, 1);
    assert_int_equal(again.m.recent_from, 6);
    assert_int_equal(image_date(&s.image->entries[0]), 1000000);
    /* facts */
    for (uint64_t i = 0; i < 5; i++)
        buf_add_le64(&ids, image_message(&s.image->entries[i]));
    buf_add_le64(&ids, 999);
    const struct wire_facts_get get = {
        .grant = grant_of(1), .watch = s.m.watch, .want = FACTS_WANT_RECORD, .messages = buf_slice(&ids)};
    struct wire_facts_rows rows;
    rig_ask(rig, ROLE_IMAP, WIRE_FACTS_GET, &get, &a);
    rig_get(rig, &a, WIRE_FACTS_ROWS, &rows);
    struct facts_row row;
    for (int i = 0; i < 5; i++)
        assert_true(facts_row_take(&rows.rows, FACTS_WANT_RECORD, &row) && row.found && row.facts.len);
    assert_true(facts_row_take(&rows.rows, FACTS_WANT_RECORD, &row) && !row.found);
    /* the file */
    buf_clear(&ids);
    buf_add_le64(&ids, image_message(&s.image->entries[2]));
    const struct wire_body_open open_m = {
        .grant = grant_of(1), .watch = s.m.watch, .messages = buf_slice(&ids)};
    bool opened = false;
    (void)wire_call(rig->peers[ROLE_IMAP], WIRE_BODY_OPEN, &open_m, RIG_PATIENCE_MS, on_file, &opened);
    rig_until(rig, &opened);
    assert_int_equal(file_size, 300);
    /* flags: in the image before the answer */
    const struct wire_flags_store flags = {.grant = grant_of(1),
                                           .watch = s.m.watch,
                                           .mode = FLAGS_ADD,
                                           .flags = IMAGE_DELETED,
                                           .uids = pair(&uids, 2, 3)};
    struct wire_flags_stored stored;
    rig_ask(rig, ROLE_IMAP, WIRE_FLAGS_STORE, &flags, &a);
    rig_get(rig, &a, WIRE_FLAGS_STORED, &stored);
    assert_int_equal(stored.err, ERR_OK);
    assert_int_equal(image_read(&s.image->entries[1]).flags, IMAGE_SEEN | IMAGE_DELETED);
    assert_int_equal(image_read(&s.image->entries[1]).modseq, stored.modseq);
    /* copy, search, expunge */
    const struct wire_copy copy = {
        .grant = grant_of(1), .watch = s.m.watch, .target = SLICE("Sent"), .uids = pair(&uids, 1, 2)};
    struct wire_copied copied;
    rig_ask(rig, ROLE_IMAP, WIRE_COPY, &copy, &a);
    rig_get(rig, &a, WIRE_COPIED, &copied);
    assert_int_equal(copied.err, ERR_OK);
    assert_int_equal(copied.target.len, 8);
    AUTO_ARENA struct arena *arena = arena_new(100000);
    struct imap_search_node text = {.op = IMAP_SEARCH_TEXT, .needle = imap_needle_in(arena, SLICE("aaaa"))};
    struct imap_search_node deleted = {.op = IMAP_SEARCH_FLAG, .number = 8, .next = &text};
    struct imap_search_node both = {.op = IMAP_SEARCH_AND, .child = &deleted};
    struct why why;
    assert_int_equal(imap_search_encode(&program, &both, &why), ERR_OK);
    const struct wire_search search = {
        .grant = grant_of(1), .watch = s.m.watch, .max_uid = 2, .program = buf_slice(&program)};
    struct wire_searched searched;
    rig_ask(rig, ROLE_IMAP, WIRE_SEARCH, &search, &a);
    rig_get(rig, &a, WIRE_SEARCHED, &searched);
    uint32_t first, last;
    assert_int_equal(searched.err, ERR_OK);
    assert_true(wire_range_take(&searched.uids, &first, &last) && first == 2 && last == 2);
    const struct wire_expunge expunge = {.grant = grant_of(1), .watch = s.m.watch, .uids = buf_slice(&none)};
    struct wire_expunged expunged;
    rig_ask(rig, ROLE_IMAP, WIRE_EXPUNGE, &expunge, &a);
    rig_get(rig, &a, WIRE_EXPUNGED, &expunged);
    assert_int_equal(expunged.count, 2);
    assert_true(image_read(&s.image->entries[1]).flags & IMAGE_EXPUNGED);
    const struct wire_vanished_get gone = {.grant = grant_of(1), .watch = s.m.watch, .modseq = s.m.modseq};
    struct wire_vanished vanished;
    rig_ask(rig, ROLE_IMAP, WIRE_VANISHED_GET, &gone, &a);
    rig_get(rig, &a, WIRE_VANISHED, &vanished);
    assert_true(wire_range_take(&vanished.uids, &first, &last) && first == 2 && last == 3);
    /* names */
    const struct wire_mbox_create create = {.grant = grant_of(1), .name = SLICE("a/b/c")};
    struct wire_result result;
    rig_ask(rig, ROLE_IMAP, WIRE_MBOX_CREATE, &create, &a);
    rig_get(rig, &a, WIRE_RESULT, &result);
    assert_int_equal(result.err, ERR_OK);
    rig_ask(rig, ROLE_IMAP, WIRE_MBOX_CREATE, &create, &a);
    rig_get(rig, &a, WIRE_RESULT, &result);
    assert_int_equal(result.code, STORE_CODE_ALREADYEXISTS);
    const struct wire_mbox_name drafts = {.grant = grant_of(1), .name = SLICE("Drafts")};
    rig_ask(rig, ROLE_IMAP, WIRE_MBOX_DELETE, &drafts, &a);
    rig_get(rig, &a, WIRE_RESULT, &result);
    assert_int_equal(result.err, ERR_OK);
    rig_for(rig, 20);
    assert_int_equal(seen.gone, 1);
    rig_ask(rig, ROLE_IMAP, WIRE_EXPUNGE, &expunge, &a);
    rig_get(rig, &a, WIRE_EXPUNGED, &expunged);
    assert_int_equal(expunged.code, STORE_CODE_NONEXISTENT);
    const struct wire_mbox_list list = {.grant = grant_of(1)};
    struct wire_mbox_rows names;
    rig_ask(rig, ROLE_IMAP, WIRE_MBOX_LIST, &list, &a);
    rig_get(rig, &a, WIRE_MBOX_ROWS, &names);
    struct mailbox_row name;
    unsigned count = 0;
    while (mailbox_row_take(&names.rows, &name))
        count++;
    assert_int_equal(count, 9); /* INBOX Sent Junk Trash Archive, a a/b a/b/c, and Drafts is subscribed */
    munmap(s.image, s.size);
    assert_int_equal(rig->condemned, 0);
    rig_free(rig);
}

/* An image that is full moves; who has it open is told before any answer that needs it. */
static void test_image_moves(void **state)
{
    (void)state;
    struct seen seen;
    struct rig *rig = start(&seen);
    all_told(rig);
    give(rig, 1, ROLE_IMAP, ANN);
    for (uint64_t i = 1; i <= 20; i++)
        append(rig, i, "INBOX");
    struct selected s = sel(rig, 1, "INBOX");
    AUTO_BUF struct buf uids = buf_new(100);
    struct rig_answer a;
    struct wire_copied copied;
    for (int round = 0; round < 8 && seen.image < 0; round++) {
        const struct wire_copy copy = {.grant = grant_of(1),
                                       .watch = s.m.watch,
                                       .target = SLICE("INBOX"),
                                       .uids = pair(&uids, 1, UINT32_MAX)};
        rig_ask(rig, ROLE_IMAP, WIRE_COPY, &copy, &a);
        rig_get(rig, &a, WIRE_COPIED, &copied);
        assert_int_equal(copied.err, ERR_OK);
    }
    assert_true(seen.image >= 0);
    struct stat st;
    assert_int_equal(fstat(seen.image, &st), 0);
    struct image *moved = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, seen.image, 0);
    assert_true(moved->count > s.image->capacity);
    assert_int_equal(moved->uidnext, moved->count + 1);
    munmap(moved, (size_t)st.st_size);
    munmap(s.image, s.size);
    (void)close(seen.image);
    rig_free(rig);
}

static enum err ask_list(struct rig *rig, uint8_t grant, uint32_t *code)
{
    const struct wire_mbox_list m = {.grant = grant_of(grant)};
    struct rig_answer a;
    struct wire_mbox_rows rows = {0};
    rig_ask(rig, ROLE_IMAP, WIRE_MBOX_LIST, &m, &a);
    rig_until(rig, &a.done);
    if (a.err)
        return ERR_INTERNAL; /* the link was closed */
    assert_int_equal(wire_decode(WIRE_MBOX_ROWS, a.body, &rows), ERR_OK);
    *code = rows.code;
    return (enum err)rows.err;
}

static void test_grants(void **state)
{
    (void)state;
    struct seen seen;
    struct rig *rig = start(&seen);
    uint32_t code = 0;
    assert_int_equal(ask_list(rig, 1, &code), ERR_LATER); /* auth has not told us yet */
    assert_int_equal(code, STORE_CODE_UNAVAILABLE);
    give(rig, 1, ROLE_IMAP, ANN);
    give(rig, 2, ROLE_HTTP, ANN);
    assert_int_equal(ask_list(rig, 1, &code), ERR_OK);
    all_told(rig);
    const struct wire_grant_drop drop = {.grant = grant_of(1)};
    rig_tell(rig, ROLE_AUTH, WIRE_GRANT_DROP, &drop);
    rig_for(rig, 20);
    assert_int_equal(ask_list(rig, 1, &code), ERR_REFUSED);
    assert_int_equal(code, STORE_CODE_EXPIRED);
    assert_int_equal(rig->condemned, 0);
    assert_int_equal(ask_list(rig, 9, &code), ERR_INTERNAL); /* never issued */
    rig_for(rig, 20);
    assert_int_equal(rig->condemned, 1u << ROLE_IMAP);
    rig->condemned = 0;
    rig_connect(rig, ROLE_IMAP);
    rig_for(rig, 20);
    assert_int_equal(ask_list(rig, 2, &code), ERR_INTERNAL); /* another role's */
    rig_for(rig, 20);
    assert_int_equal(rig->condemned, 1u << ROLE_IMAP);
    rig_free(rig);
}

/* Whoever logs in finds the account open; those who were there before the store began are not all opened. */
static void test_login_opens(void **state)
{
    (void)state;
    static const char index[] = "accounts/ann@example.test/index.db";
    struct seen seen;
    struct rig *rig = start(&seen);
    give(rig, 1, ROLE_IMAP, ANN);
    all_told(rig);
    give(rig, 2, ROLE_HTTP, ANN);
    rig_for(rig, 50);
    assert_int_equal(access(index, F_OK), -1);
    give(rig, 3, ROLE_IMAP, ANN);
    for (unsigned i = 0; i < 500 && access(index, F_OK); i++)
        rig_for(rig, 10);
    assert_int_equal(access(index, F_OK), 0);
    uint32_t code = 0;
    assert_int_equal(ask_list(rig, 3, &code), ERR_OK);
    rig_free(rig);
}

static void on_removed(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct wire_expunged m = {.count = UINT32_MAX};
    if (!err)
        assert_int_equal(wire_decode(WIRE_EXPUNGED, packet->body, &m), ERR_OK);
    *(uint32_t *)ctx = m.count;
}

/* REMOVE with its UIDs in memory of `len` bytes: how many went, UINT32_MAX when the link broke. */
static uint32_t remove_listed(struct rig *rig, uint64_t watch, const uint8_t *pairs, size_t len, bool sealed)
{
    const struct wire_remove m = {.grant = grant_of(1), .watch = watch};
    uint32_t count = UINT32_MAX - 1;
    int fd = -1;
    assert_int_equal(io_memfd("remove", &fd, NULL), ERR_OK);
    assert_int_equal(io_write_all(fd, slice_make(pairs, len), NULL), ERR_OK);
    assert_true(!sealed || io_seal(fd, NULL) == ERR_OK);
    (void)wire_call_fds(rig->peers[ROLE_IMAP], WIRE_REMOVE, &m, &fd, 1, RIG_PATIENCE_MS, on_removed, &count);
    (void)close(fd);
    while (count == UINT32_MAX - 1)
        rig_turn(rig);
    rig_for(rig, 20);
    return count;
}

/* What is named goes without \Deleted. A list in memory is believed only when nobody can change it, and is as
 * orderly as one in a packet; nothing named is not everything. */
static void test_remove(void **state)
{
    (void)state;
    static const struct {
        uint32_t pairs[4];
        size_t len;
        bool sealed;
    } bad[] = {
        {{2, 3}, 8, false}, {{2, 3}, 7, true}, {{3, 2}, 8, true}, {{4, 4, 2, 2}, 16, true}, {{0}, 0, true}};
    struct seen seen;
    struct rig *rig = start(&seen);
    AUTO_BUF struct buf uids = buf_new(100), none = buf_new(8);
    struct rig_answer a;
    struct wire_expunged gone;
    all_told(rig);
    give(rig, 1, ROLE_IMAP, ANN);
    for (uint64_t i = 1; i <= 5; i++)
        append(rig, i, "Sent");
    struct selected s = sel(rig, 1, "Sent");
    const struct wire_remove one = {.grant = grant_of(1), .watch = s.m.watch, .uids = pair(&uids, 5, 70)};
    rig_ask(rig, ROLE_IMAP, WIRE_REMOVE, &one, &a);
    rig_get(rig, &a, WIRE_EXPUNGED, &gone);
    assert_int_equal(gone.count, 1);
    const uint32_t listed[] = {1, 1, 3, 4};
    assert_int_equal(remove_listed(rig, s.m.watch, (const uint8_t *)listed, sizeof listed, true), 3);
    assert_int_equal(image_read(&s.image->entries[1]).flags & IMAGE_EXPUNGED, 0);
    assert_int_equal(rig->condemned, 0);
    munmap(s.image, s.size);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        rig_connect(rig, ROLE_IMAP);
        rig_for(rig, 20);
        s = sel(rig, 1, "Sent");
        assert_int_equal(s.m.err, ERR_OK);
        uint32_t count =
            remove_listed(rig, s.m.watch, (const uint8_t *)bad[i].pairs, bad[i].len, bad[i].sealed);
        assert_int_equal(count, UINT32_MAX);
        assert_int_equal(rig->condemned, 1u << ROLE_IMAP);
        rig->condemned = 0;
        munmap(s.image, s.size);
    }
    rig_connect(rig, ROLE_IMAP);
    rig_for(rig, 20);
    s = sel(rig, 1, "Sent");
    const struct wire_remove all = {.grant = grant_of(1), .watch = s.m.watch, .uids = buf_slice(&none)};
    rig_ask(rig, ROLE_IMAP, WIRE_REMOVE, &all, &a);
    rig_until(rig, &a.done);
    assert_int_equal(a.err, ERR_LATER);
    rig_for(rig, 20);
    assert_int_equal(rig->condemned, 1u << ROLE_IMAP);
    munmap(s.image, s.size);
    rig_free(rig);
}

/* A watch belongs to the account of its grant. */
static void test_foreign_watch(void **state)
{
    (void)state;
    struct seen seen;
    struct rig *rig = start(&seen);
    all_told(rig);
    give(rig, 1, ROLE_IMAP, ANN);
    give(rig, 2, ROLE_IMAP, BOB);
    struct selected s = sel(rig, 1, "INBOX");
    const struct wire_vanished_get get = {.grant = grant_of(2), .watch = s.m.watch};
    struct rig_answer a;
    rig_ask(rig, ROLE_IMAP, WIRE_VANISHED_GET, &get, &a);
    rig_until(rig, &a.done);
    assert_int_equal(a.err, ERR_LATER);
    rig_for(rig, 20);
    assert_int_equal(rig->condemned, 1u << ROLE_IMAP);
    munmap(s.image, s.size);
    rig_free(rig);
}

/* What was answered is there after the end; a watch of the earlier life is none. */
static void test_restart(void **state)
{
    (void)state;
    struct seen seen;
    struct rig *rig = start(&seen);
    all_told(rig);
    give(rig, 1, ROLE_IMAP, ANN);
    for (uint64_t i = 1; i <= 5; i++)
        append(rig, i, "INBOX");
    struct selected s = sel(rig, 1, "INBOX");
    rig_halt(rig);
    rig_boot(rig, yaml, files);
    all_told(rig);
    give(rig, 1, ROLE_IMAP, ANN);
    const struct wire_vanished_get get = {.grant = grant_of(1), .watch = s.m.watch};
    struct rig_answer a;
    struct wire_vanished vanished;
    rig_ask(rig, ROLE_IMAP, WIRE_VANISHED_GET, &get, &a);
    rig_get(rig, &a, WIRE_VANISHED, &vanished);
    assert_int_equal(vanished.code, STORE_CODE_UNAVAILABLE);
    struct selected again = sel(rig, 1, "INBOX");
    assert_int_equal(again.image->count, 5);
    assert_int_equal(again.m.uidvalidity, s.m.uidvalidity);
    assert_int_equal(rig->condemned, 0);
    munmap(s.image, s.size);
    munmap(again.image, again.size);
    rig_free(rig);
}

/* An end in order leaves no write-ahead log behind: nothing to do at the next start. */
static void test_drain(void **state)
{
    (void)state;
    struct seen seen;
    struct rig *rig = start(&seen);
    all_told(rig);
    give(rig, 1, ROLE_IMAP, ANN);
    append(rig, 1, "INBOX");
    struct selected s = sel(rig, 1, "INBOX");
    assert_int_equal(access("accounts/ann@example.test/index.db-wal", F_OK), 0);
    const struct wire_sup_drain drain = {.ms = 5000};
    assert_int_equal(wire_send(rig->supervisor, WIRE_SUP_DRAIN, &drain), ERR_OK);
    rig_until(rig, &rig->drained);
    assert_int_equal(access("accounts/ann@example.test/index.db-wal", F_OK), -1);
    munmap(s.image, s.size);
    rig_free(rig);
}

int main(void)
{
    assert_int_equal(metric_attach(&metrics_table, -1, "store", NULL), ERR_OK);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delivery),        cmocka_unit_test(test_large_and_refused_bodies),
        cmocka_unit_test(test_smtp_dies),       cmocka_unit_test(test_queue_files),
        cmocka_unit_test(test_queue_leftovers), cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_session),         cmocka_unit_test(test_append_sets),
        cmocka_unit_test(test_image_moves),     cmocka_unit_test(test_grants),
        cmocka_unit_test(test_login_opens),     cmocka_unit_test(test_remove),
        cmocka_unit_test(test_foreign_watch),   cmocka_unit_test(test_restart),
        cmocka_unit_test(test_drain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
