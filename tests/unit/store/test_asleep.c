/* asleep.c: an account that fell asleep is there again without its index, exactly as the index would give it;
 * and a file that is not the one of the index is not believed, whatever happened to the two. */
#include "store/rig.h"

#include <sys/stat.h>
#include <utime.h>

#include "store/acl.h"
#include "store/asleep.h"
#include "store/load.h"
#include "store/state_file.h"

#define FOLDER    "accounts/ann@example.test"
#define FILE_PATH FOLDER "/asleep"

static void shell(const struct rig *rig, const char *what)
{
    char command[700];
    (void)snprintf(command, sizeof command, "cd '%s/" FOLDER "' && %s", rig->path, what);
    assert_int_equal(system(command), 0);
}

static bool is_there(const struct rig *rig)
{
    struct stat st;
    return io_stat_at(rig->root.dir, FILE_PATH, &st, NULL) == ERR_OK;
}

/* Opens it as a login does; whether that did without the index. */
static bool opens_asleep(struct rig *rig)
{
    assert_int_equal(account_open_asleep(&rig->root, RIG_ADDRESS, true, &rig->account, &rig->why), ERR_OK);
    return !rig->account->db;
}

static bool reopens_asleep(struct rig *rig)
{
    account_free(&rig->account);
    return opens_asleep(rig);
}

static void assert_same_acl(const struct acl *a, const struct acl *b)
{
    assert_int_equal(a ? a->count : 0, b ? b->count : 0);
    for (size_t i = 0; a && i < a->count; i++) {
        bool found = false;
        for (size_t k = 0; k < b->count; k++)
            found = found || (slice_eq(a->entries[i].identifier, b->entries[k].identifier) &&
                              a->entries[i].rights == b->entries[k].rights);
        assert_true(found);
    }
}

static void assert_same_mailbox(const struct mailbox *a, const struct mailbox *b)
{
    assert_non_null(b);
    assert_true(slice_eq(a->name, b->name));
    assert_int_equal(a->flags, b->flags);
    assert_int_equal(a->special_use, b->special_use);
    assert_int_equal(a->uidvalidity, b->uidvalidity);
    assert_int_equal(a->uidnext, b->uidnext);
    assert_int_equal(a->modseq, b->modseq);
    assert_int_equal(a->folded, b->folded);
    assert_int_equal(a->vanished_floor, b->vanished_floor);
    assert_int_equal(a->messages, b->messages);
    assert_int_equal(a->unseen, b->unseen);
    assert_int_equal(a->deleted, b->deleted);
    assert_int_equal(a->bytes, b->bytes);
    assert_int_equal(a->recent_from, b->recent_from);
    assert_int_equal(a->state_len, b->state_len);
    assert_true(a->state_sum == b->state_sum);
    assert_int_equal(a->state_dead, b->state_dead);
    assert_int_equal(a->tag, b->tag);
    assert_int_equal(a->keyword_count, b->keyword_count);
    assert_int_equal(a->keywords_saved, b->keywords_saved);
    for (unsigned i = 0; i < a->keyword_count; i++)
        assert_true(slice_eq(a->keywords[i], b->keywords[i]));
    assert_same_acl(a->acl, b->acl);
}

static void assert_same(const struct account *a, const struct account *b)
{
    size_t at = 0;
    const struct mailbox *m;
    const struct subscription *s;
    assert_int_equal(a->modseq, b->modseq);
    assert_int_equal(atomic_load(&a->next_message), atomic_load(&b->next_message));
    assert_int_equal(a->next_mailbox, b->next_mailbox);
    assert_int_equal(a->uidvalidity, b->uidvalidity);
    assert_int_equal(a->closed, b->closed);
    assert_int_equal(a->marked_at, b->marked_at);
    assert_int_equal(a->marked, b->marked);
    assert_int_equal(a->doomed, b->doomed);
    assert_int_equal(a->shared, b->shared);
    assert_int_equal(a->acl_entries, b->acl_entries);
    assert_int_equal(a->own.bytes, b->own.bytes);
    assert_int_equal(a->own.messages, b->own.messages);
    assert_int_equal(a->log_rows, b->log_rows);
    assert_int_equal(map_count(a->delivered), map_count(b->delivered));
    assert_int_equal(idmap_count(a->by_id), idmap_count(b->by_id));
    while ((m = idmap_next(a->by_id, &at, NULL)))
        assert_same_mailbox(m, account_mailbox_by_id(b, m->id));
    assert_int_equal(map_count(a->subscriptions), map_count(b->subscriptions));
    for (at = 0; (s = map_next(a->subscriptions, &at, NULL));)
        assert_non_null(map_get(b->subscriptions, s->name));
}

/* What the file says against what the index says. */
static void check(struct rig *rig)
{
    assert_true(reopens_asleep(rig));
    struct account *from_file = rig->account;
    struct account *from_index = NULL;
    assert_int_equal(account_open_as_is(&rig->root, FOLDER, RIG_ADDRESS, false, &from_index, &rig->why),
                     ERR_OK);
    assert_false(is_there(rig)); /* who opens the index takes the file away */
    assert_same(from_file, from_index);
    account_free(&from_index);
    assert_int_equal(account_wake(from_file, &rig->why), ERR_OK);
    rig_view(rig, "INBOX");
}

static void fill(struct rig *rig)
{
    static const struct account_limits own = {123456789, 4321};
    struct refusal *refusal = &rig->refusal;
    for (unsigned i = 0; i < 5; i++)
        rig_deliver(rig, "", "");
    assert_int_equal(names_create(rig->account, SLICE("Wörk/deep"), SPECIAL_NONE, refusal), ERR_OK);
    assert_int_equal(names_create(rig->account, SLICE("More"), SPECIAL_FLAGGED, refusal), ERR_OK);
    assert_int_equal(names_subscribe(rig->account, SLICE("More"), true, refusal), ERR_OK);
    struct mailbox *more = account_mailbox(rig->account, SLICE("More"));
    assert_int_equal(acl_set(rig->account, more, SLICE("bob@example.test"), ACL_REPLACE,
                             RIGHT_LOOKUP | RIGHT_READ, refusal),
                     ERR_OK);
    assert_int_equal(acl_set(rig->account, more, SLICE("-anyone"), ACL_REPLACE, RIGHT_SEEN, refusal), ERR_OK);
    assert_int_equal(account_set_own_limits(rig->account, own, &rig->why), ERR_OK);
    struct mailbox *inbox = rig_view(rig, "INBOX");
    assert_true(mailbox_keyword_add(inbox, SLICE("$Work")) >= 0);
    AUTO_BUF struct buf uids = buf_new(100), modified = buf_new(1000);
    struct alter_flags how = {.mode = FLAGS_ADD,
                              .flags = IMAGE_SEEN | 1ull << (IMAGE_KEYWORD_SHIFT + 0),
                              .uids = rig_uids(&uids, 2, 3)};
    uint64_t modseq = 0;
    assert_int_equal(alter_flags(rig->account, inbox, &how, &modseq, &modified, refusal), ERR_OK);
    uint32_t count;
    AUTO_BUF struct buf first = buf_new(100);
    assert_int_equal(alter_remove(rig->account, inbox, rig_uids(&first, 1, 1), &count, refusal), ERR_OK);
}

static void test_says_what_the_index_says(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    fill(&rig);
    check(&rig);
    for (unsigned i = 0; i < 3; i++) {
        rig_deliver(&rig, "", "");
        check(&rig); /* written anew each time */
    }
    assert_int_equal(names_delete(rig.account, SLICE("More"), &rig.refusal), ERR_OK);
    check(&rig);
    assert_int_equal(rig_view(&rig, "INBOX")->messages, 7);
    rig_stop(&rig);
}

/* Mailboxes are opened without it; what needs it opens it. */
static void test_views_without_the_index(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    rig_deliver(&rig, "", "");
    rig_view(&rig, "INBOX");
    rig_reopen(&rig); /* now INBOX has a file with its state */
    rig_view(&rig, "INBOX");
    assert_true(reopens_asleep(&rig));
    assert_int_equal(view_count(rig_view(&rig, "INBOX")->view), 1);
    assert_int_equal(view_count(rig_view(&rig, "Sent")->view), 0);
    assert_null(rig.account->db);
    assert_true(reopens_asleep(&rig)); /* nothing was done to it: the file still holds */
    shell(&rig, "rm state/1");
    assert_int_equal(view_count(rig_view(&rig, "INBOX")->view), 1);
    assert_non_null(rig.account->db);
    assert_false(is_there(&rig));
    rig_deliver(&rig, "", "");
    assert_true(reopens_asleep(&rig));
    assert_int_equal(view_count(rig_view(&rig, "INBOX")->view), 2);
    rig_stop(&rig);
}

/* Deliveries alone write none, but what was read once stays so. */
static void test_only_for_accounts_that_are_read(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    rig_deliver(&rig, "", "");
    assert_false(reopens_asleep(&rig));
    rig_deliver(&rig, "", "");
    account_free(&rig.account);
    assert_false(is_there(&rig));
    assert_false(opens_asleep(&rig));
    rig_view(&rig, "INBOX");
    account_free(&rig.account);
    assert_true(is_there(&rig));
    rig_open(&rig);
    assert_false(is_there(&rig));
    rig_deliver(&rig, "", "");
    assert_true(reopens_asleep(&rig));
    rig_stop(&rig);
}

static void test_other_index(void **state)
{
    (void)state;
    static const char *const changes[] = {
        "cp -p index.db new && mv new index.db", /* put back from a copy */
        "sleep 0.05; touch index.db",
        "sleep 0.05; printf x >> index.db",
        "cp index.db index.db-wal", /* not closed, or so it seems */
        "rm msg/*/closed.*",
        "rm asleep && mkdir asleep && rmdir asleep",
        ": > asleep",
        "printf x >> asleep",
        "mv asleep there && ln -s there asleep",
    };
    struct rig rig;
    rig_start(&rig);
    rig_deliver(&rig, "", "");
    for (unsigned i = 0; i < ARRAY_LEN(changes); i++) {
        rig_view(&rig, "INBOX");
        assert_true(reopens_asleep(&rig));
        account_free(&rig.account);
        assert_true(is_there(&rig));
        shell(&rig, "cp index.db kept");
        shell(&rig, changes[i]);
        if (opens_asleep(&rig))
            fail_msg("believed after: %s", changes[i]);
        assert_int_equal(rig_view(&rig, "INBOX")->messages, 1);
        account_free(&rig.account);
        shell(&rig, "rm -f there");
        rig_open(&rig);
    }
    rig_stop(&rig);
}

/* As if killed: what was committed since does not stand in the file. */
static void test_killed(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    rig_deliver(&rig, "", "");
    rig_view(&rig, "INBOX");
    account_free(&rig.account);
    pid_t pid = fork();
    if (!pid) {
        rig_open(&rig);
        rig_deliver(&rig, "", "");
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_false(opens_asleep(&rig));
    assert_int_equal(rig_view(&rig, "INBOX")->messages, 2);
    rig_stop(&rig);
}

/* While the file cannot be taken away, the index is not opened. */
static void test_cannot_be_dropped(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    rig_deliver(&rig, "", "");
    rig_view(&rig, "INBOX");
    account_free(&rig.account);
    shell(&rig, "rm asleep && mkdir asleep && touch asleep/more");
    assert_int_not_equal(account_open(&rig.root, RIG_ADDRESS, true, &rig.account, &rig.why), ERR_OK);
    assert_null(rig.account);
    shell(&rig, "rm -r asleep");
    rig_open(&rig);
    assert_int_equal(rig_view(&rig, "INBOX")->messages, 1);
    rig_stop(&rig);
}

static void test_damage(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    fill(&rig);
    const struct stat index = {.st_ino = 5, .st_size = 8192, .st_ctim = {1000, 1}};
    AUTO_BUF struct buf bytes = buf_new(ASLEEP_MAX);
    asleep_encode(rig.account, &index, &bytes);
    assert_true(buf_ok(&bytes));
    for (size_t i = 0; i <= bytes.len; i++) { /* a bit anywhere, an end anywhere */
        struct account *a = account_new(&rig.root, FOLDER, RIG_ADDRESS);
        if (i < bytes.len)
            bytes.data[i] ^= (uint8_t)(1u << i % 8);
        assert_int_equal(asleep_decode(a, buf_slice(&bytes), &index, &rig.why),
                         i < bytes.len ? ERR_BAD : ERR_OK);
        account_free(&a);
        if (i == bytes.len)
            break;
        bytes.data[i] ^= (uint8_t)(1u << i % 8);
        a = account_new(&rig.root, FOLDER, RIG_ADDRESS);
        assert_int_equal(asleep_decode(a, slice_sub(buf_slice(&bytes), 0, i), &index, &rig.why), ERR_BAD);
        account_free(&a);
    }
    struct stat others[] = {index, index, index, index};
    others[0].st_ino++;
    others[1].st_size++;
    others[2].st_ctim.tv_sec++;
    others[3].st_ctim.tv_nsec++;
    for (unsigned i = 0; i < ARRAY_LEN(others); i++) {
        struct account *a = account_new(&rig.root, FOLDER, RIG_ADDRESS);
        assert_int_equal(asleep_decode(a, buf_slice(&bytes), &others[i], &rig.why), ERR_BAD);
        account_free(&a);
    }
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_says_what_the_index_says),
                                       cmocka_unit_test(test_views_without_the_index),
                                       cmocka_unit_test(test_only_for_accounts_that_are_read),
                                       cmocka_unit_test(test_other_index),
                                       cmocka_unit_test(test_killed),
                                       cmocka_unit_test(test_cannot_be_dropped),
                                       cmocka_unit_test(test_damage)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
