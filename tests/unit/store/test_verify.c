/* verify and rebuild: what is broken is found, what is lost is told, what can be kept is kept. */
#include "rig.h"

#include "store/acl.h"
#include "store/metadata.h"
#include "store/rebuild.h"
#include "store/verify.h"

struct findings {
    unsigned count;
    char last[400];
};

static void on_finding(void *arg, struct slice account, const char *text)
{
    struct findings *f = arg;
    (void)account;
    f->count++;
    (void)snprintf(f->last, sizeof f->last, "%s", text);
}

static unsigned verify(struct rig *rig, struct findings *f)
{
    *f = (struct findings){0};
    struct verify_report report = {.finding = on_finding, .arg = f};
    account_free(&rig->account);
    enum err err = store_verify(rig->path, SLICE_EMPTY, &report, &rig->why);
    assert_int_equal(err, ERR_OK);
    assert_int_equal(report.findings, f->count);
    return f->count;
}

static void file_of(struct rig *rig, uint64_t id, char path[400])
{
    char folder[PATHS_FOLDER_MAX], file[PATHS_FILE_MAX];
    paths_account(RIG_ADDRESS, folder);
    paths_message(folder, id, file);
    (void)snprintf(path, 400, "%s/%s", rig->path, file);
}

static void fill(struct rig *rig)
{
    char id[16];
    rig_start(rig);
    for (int i = 1; i <= 6; i++) {
        (void)snprintf(id, sizeof id, "v%d", i);
        rig_deliver(rig, id, i > 4 ? "Junk" : "");
    }
    struct mailbox *m = rig_view(rig, "INBOX");
    AUTO_BUF struct buf uids = buf_new(100), keywords = buf_new(100), modified = buf_new(100),
                        source = buf_new(100), target = buf_new(100);
    wire_strings_add(&keywords, SLICE("Mine"));
    struct alter_flags how = {.mode = FLAGS_ADD,
                              .flags = IMAGE_SEEN,
                              .keywords = buf_slice(&keywords),
                              .uids = rig_uids(&uids, 2, 3)};
    uint64_t modseq;
    assert_int_equal(alter_flags(rig->account, m, &how, &modseq, &modified, &rig->refusal), ERR_OK);
    assert_int_equal(alter_copy(rig->account, m, rig_view(rig, "Sent"), rig_uids(&uids, 1, 1), 0, false,
                                &source, &target, &rig->refusal),
                     ERR_OK);
    assert_int_equal(names_create(rig->account, SLICE("a/b"), SPECIAL_NONE, &rig->refusal), ERR_OK);
}

static void test_clean(void **state)
{
    (void)state;
    struct rig rig;
    struct findings f;
    fill(&rig);
    unsigned count = verify(&rig, &f);
    if (count)
        print_error("%s\n", f.last);
    assert_int_equal(count, 0);
    rig_stop(&rig);
}

static void test_damage(void **state)
{
    (void)state;
    struct rig rig;
    struct findings f;
    char path[400], other[400];
    fill(&rig);
    /* one byte changed */
    file_of(&rig, 2, path);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    (void)fputc('X', file);
    (void)fclose(file);
    assert_int_equal(verify(&rig, &f), 1);
    assert_non_null(strstr(f.last, "checksum"));
    /* cut */
    file_of(&rig, 2, path);
    assert_int_equal(truncate(path, 10), 0);
    assert_int_equal(verify(&rig, &f), 1);
    assert_non_null(strstr(f.last, "10 bytes"));
    /* gone: the row has no file, told twice (opening it, and listing) */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(verify(&rig, &f), 2);
    /* a file nobody knows, too old to be of a crash */
    file_of(&rig, 3, path);
    file_of(&rig, 250, other);
    int fd = open(other, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0 && write(fd, "old\n", 4) == 4);
    const struct timespec old[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    assert_int_equal(futimens(fd, old), 0);
    (void)close(fd);
    assert_int_equal(verify(&rig, &f), 3);
    rig_unmark(&rig);
    /* and the next message does not take its name */
    rig_open(&rig);
    assert_int_equal(rig.account->strays, 1);
    rig_deliver(&rig, "after", "");
    assert_int_equal(account_mailbox(rig.account, SLICE("INBOX"))->messages, 5);
    assert_int_equal(atomic_load(&rig.account->next_message), 252);
    rig_stop(&rig);
}

/* A row that lies about its mailbox: the database is changed behind the store's back. */
static void test_wrong_rows(void **state)
{
    (void)state;
    static const struct {
        const char *sql, *expect;
    } rows[] = {
        {"UPDATE mailbox SET unseen = unseen + 1 WHERE name = 'INBOX'", "counters"},
        {"INSERT INTO shared (id, uses) VALUES (2, 7)", "the index says 7"},
        {"DELETE FROM shared", "stands in 2 mailboxes"},
        {"DELETE FROM packed WHERE id >> 32 = 4", "counters"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct rig rig;
        struct findings f;
        fill(&rig);
        assert_int_equal(account_fold(rig.account, 1, &rig.why), ERR_OK);
        assert_int_equal(db_exec(rig.account->db, rows[i].sql, &rig.why), ERR_OK);
        db_close(&rig.account->db);
        assert_true(verify(&rig, &f) > 0);
        bool found = strstr(f.last, rows[i].expect) || i == 3;
        if (!found)
            print_error("%s\n", f.last);
        assert_true(found);
        rig_stop(&rig);
    }
}

static enum err scan(void *arg, struct arena *arena, struct slice message, struct facts *facts,
                     struct why *why)
{
    (void)arg;
    (void)why;
    ptrdiff_t end = slice_search(message, SLICE("\r\n\r\n"));
    *facts = (struct facts){.size = message.len,
                            .header_len = end < 0 ? message.len : (uint64_t)end + 4,
                            .flags = FACTS_TEXT_COMPLETE,
                            .sent = FACTS_NO_DATE,
                            .envelope = SLICE("(NIL)"),
                            .body = SLICE("(NIL)"),
                            .bodystructure = SLICE("(NIL)"),
                            .subject = arena_dup(arena, SLICE("again"))};
    facts->text = slice_from(message, (size_t)facts->header_len);
    facts->text_len = facts->text.len;
    return ERR_OK;
}

static void rebuild(struct rig *rig, struct rebuild_report *report)
{
    account_free(&rig->account);
    enum err err = store_rebuild(rig->path, RIG_ADDRESS, scan, NULL, report, &rig->why);
    if (err)
        print_error("%s\n", rig->why.text);
    assert_int_equal(err, ERR_OK);
}

static void test_rebuild_keeps(void **state)
{
    (void)state;
    struct rig rig;
    struct findings f;
    struct rebuild_report report;
    fill(&rig);
    uint32_t validity = account_mailbox(rig.account, SLICE("INBOX"))->uidvalidity;
    uint64_t modseq = rig.account->modseq;
    rebuild(&rig, &report);
    assert_int_equal(report.messages, 6);
    assert_int_equal(report.kept, 7); /* one stands in two mailboxes */
    assert_int_equal(report.missing + report.unreadable, 0);
    assert_string_equal(report.old_index, "index.db.broken-1");
    assert_int_equal(verify(&rig, &f), 0);
    rig_open(&rig);
    struct mailbox *m = rig_view(&rig, "INBOX");
    assert_int_equal(m->uidvalidity, validity);
    assert_int_equal(m->messages, 4);
    assert_int_equal(m->unseen, 2);
    assert_int_equal(m->uidnext, 5);
    assert_true(m->modseq > modseq);
    assert_int_equal(view_entry(m->view, 1).flags, IMAGE_SEEN | 1ull << IMAGE_KEYWORD_SHIFT);
    assert_non_null(account_mailbox(rig.account, SLICE("a/b")));
    AUTO_ARENA struct arena *arena = arena_new(1 << 20);
    struct fetch_message message;
    assert_int_equal(fetch_message_in(rig.account, arena, 1, &message, &rig.why), ERR_OK);
    assert_true(slice_starts(message.header, SLICE("Return-Path"))); /* our block is known apart */
    rig_deliver(&rig, "next", "");
    rig_check_against_disk(&rig, "INBOX");
    rig_stop(&rig);
}

/* No index at all, or one that is not a database: every file is a message of INBOX. */
/* What people have put beside their mailboxes. */
static void test_rebuild_keeps_rights(void **state)
{
    (void)state;
    struct rig rig;
    struct rebuild_report report;
    fill(&rig);
    struct mailbox *m = account_mailbox(rig.account, SLICE("a/b"));
    AUTO_BUF struct buf changes = buf_new(100);
    wire_strings_add(&changes, SLICE("/shared/comment"));
    wire_strings_add(&changes, SLICE("=kept"));
    assert_int_equal(metadata_set(rig.account, m->id, SLICE_EMPTY, buf_slice(&changes), &rig.refusal),
                     ERR_OK);
    assert_int_equal(acl_set(rig.account, m, SLICE("bob@example.test"), ACL_ADD, RIGHT_READ, &rig.refusal),
                     ERR_OK);
    assert_int_equal(account_set_own_limits(rig.account, (struct account_limits){.messages = 9}, &rig.why),
                     ERR_OK);
    uint64_t id = m->id;
    rebuild(&rig, &report);
    rig_open(&rig);
    m = account_mailbox(rig.account, SLICE("a/b"));
    assert_int_equal(m->id, id);
    assert_int_equal(acl_rights(m->acl, RIG_ADDRESS, SLICE("bob@example.test")), RIGHT_READ);
    assert_int_equal(account_limits(rig.account).messages, 9);
    uint64_t kept = 0;
    assert_int_equal(db_number(rig.account->db,
                               "SELECT count(*) FROM metadata WHERE mailbox = ? AND value = ?",
                               DB_ARGS(DB_U64(id), DB_BLOB(SLICE("kept"))), 0, &kept, &rig.why),
                     ERR_OK);
    assert_int_equal(kept, 1);
    rig_stop(&rig);
}

static void test_rebuild_from_files(void **state)
{
    (void)state;
    for (int broken = 0; broken < 2; broken++) {
        struct rig rig;
        struct findings f;
        struct rebuild_report report;
        char command[200];
        fill(&rig);
        account_free(&rig.account);
        (void)snprintf(command, sizeof command,
                       broken ? "for f in %s/accounts/*/index.db; do echo nonsense > $f; done"
                              : "rm %s/accounts/*/index.db*",
                       rig.path);
        assert_int_equal(system(command), 0);
        rebuild(&rig, &report);
        assert_int_equal(report.messages, 6);
        assert_int_equal(report.kept, 0);
        assert_string_equal(report.old_index, broken ? "index.db.broken-1" : "");
        assert_int_equal(verify(&rig, &f), 0);
        rig_open(&rig);
        assert_int_equal(account_mailbox(rig.account, SLICE("INBOX"))->messages, 6);
        rig_check_against_disk(&rig, "INBOX");
        rig_stop(&rig);
    }
}

int main(void)
{
    (void)!metric_attach(&metrics_table, -1, "test", NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clean),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_wrong_rows),
        cmocka_unit_test(test_rebuild_keeps),
        cmocka_unit_test(test_rebuild_keeps_rights),
        cmocka_unit_test(test_rebuild_from_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
