/* The full-text index is only a filter and columns are only copies: whatever is looked for, in whatever state
 * they are, the answer is the one without them. Odd texts, odd needles, random programs; damage; expunged
 * messages. The seed is printed. */
#include "rig.h"

#include <time.h>

#include "grammar/header.h"
#include "store/fulltext.h"
#include "store/search.h"
#include "store/sortkeys.h"

#define MESSAGES (1024 + ACCOUNT_WINDOW + 40) /* one whole block and some */
#define PROGRAMS 100
#define TEXT_MAX 1200

static uint64_t seed;

static unsigned draw(unsigned below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed >> 33) % below;
}

/* Case, length changes under folding, pieces of UTF-8, what looks like coding. */
static const struct slice pieces[] = {
    SLICE("a"),
    SLICE("K"),
    SLICE("k"),
    SLICE("\xe2\x84\xaa") /* KELVIN SIGN */,
    SLICE("s"),
    SLICE("S"),
    SLICE("\xc5\xbf") /* LONG S */,
    SLICE("\xc3\x9f") /* sharp s */,
    SLICE("\xe1\xba\x9e") /* its capital */,
    SLICE("ss"),
    SLICE("i"),
    SLICE("I"),
    SLICE("\xc4\xb0") /* I with a dot */,
    SLICE("\xc4\xb1") /* i without */,
    SLICE("\xce\xa3"),
    SLICE("\xcf\x83"),
    SLICE("\xcf\x82") /* three sigmas */,
    SLICE("\xc3\x84"),
    SLICE("\xc3\xa4"),
    SLICE("A\xcc\x88") /* decomposed */,
    SLICE("\xe2\xb1\xa2") /* folds shorter */,
    SLICE("\xc8\xba") /* folds longer */,
    SLICE("\xe6\x97\xa5"),
    SLICE("\xe6\x9c\xac"),
    SLICE("\xf0\x9f\x90\x98"),
    SLICE("\xf0\x90\x90\x80") /* DESERET, has case */,
    SLICE("\xff"),
    SLICE("\xc3"),
    SLICE("\xe2\x84"),
    SLICE("\xaa"),
    SLICE("\0"),
    SLICE(" "),
    SLICE("\t"),
    SLICE("\r\n "),
    SLICE("=?utf-8?q?=C3=84k?="),
    SLICE("=?utf-8?B?w4RLcw==?="),
    SLICE("=?"),
    SLICE("?="),
    SLICE("zebra"),
    SLICE("Needle"),
    SLICE("@example.test"),
    SLICE(">"),
    SLICE("e"),
    SLICE("n"),
    SLICE("\xef\xac\x80"),
};

static void add_text(struct buf *out, unsigned most)
{
    for (unsigned n = draw(most + 1); n; n--)
        buf_add(out, pieces[draw(ARRAY_LEN(pieces))]);
}

struct odd {
    struct rig_message m;
    struct buf bytes, kept, texts[6];
};

static struct slice odd_text(struct odd *o, size_t i, unsigned most)
{
    o->texts[i] = buf_new(TEXT_MAX);
    add_text(&o->texts[i], most);
    return buf_slice(&o->texts[i]);
}

static void add_header(struct buf *bytes)
{
    static const char *const names[] = {"From", "To", "Cc", "Subject", "SUBJECT", "X-Odd", "Bcc"};
    static const char *const dates[] = {"Sat, 21 Nov 2026 23:42:49 -1100", "Sun, 22 Nov 2026 00:42:49 +0000",
                                        "22 Nov 2026 09:00 +1300", "yesterday", ""};
    if (draw(4))
        buf_addf(bytes, "Date: %s\r\n", dates[draw(ARRAY_LEN(dates))]);
    if (draw(100) == 0) { /* longer than a column keeps */
        buf_add_str(bytes, "Subject: ");
        for (unsigned n = 0; n < 1500; n++)
            buf_add(bytes, pieces[draw(ARRAY_LEN(pieces))]);
        buf_add_str(bytes, "Needles end\r\n");
    }
    for (unsigned n = 1 + draw(6); n; n--) {
        buf_addf(bytes, "%s:%s", names[draw(ARRAY_LEN(names))], draw(4) ? " " : "");
        add_text(bytes, 8);
        buf_add_str(bytes, draw(8) ? "\r\n" : "\r\n\tfolded Needle\r\n");
    }
}

/* The fields facts keep of the header. */
static struct slice kept_fields(struct odd *o)
{
    struct header_iter iter = header_iter_new(buf_slice(&o->bytes));
    struct header_field field;
    o->kept = buf_new(1 << 20);
    while (header_next(&iter, &field))
        if (facts_is_cached(field.name))
            buf_add(&o->kept, field.raw);
    return buf_slice(&o->kept);
}

static void odd_new(struct odd *o, bool whole)
{
    *o = (struct odd){.bytes = buf_new(1 << 20)};
    add_header(&o->bytes);
    buf_add_str(&o->bytes, "\r\n");
    size_t header_len = o->bytes.len;
    struct facts_part *parts = mem_zero(2, sizeof *parts);
    parts[0] =
        (struct facts_part){.kind = FACTS_MESSAGE, .type = SLICE("message"), .subtype = SLICE("rfc822")};
    add_text(&o->bytes, 30);
    parts[1] = (struct facts_part){.number = 1,
                                   .type = SLICE("text"),
                                   .subtype = SLICE("plain"),
                                   .charset = SLICE("utf-8"),
                                   .body_off = header_len,
                                   .body_len = o->bytes.len - header_len};
    o->m = (struct rig_message){.body = {.fd = memfd_create("message", MFD_CLOEXEC)},
                                .encoded = buf_new(FACTS_MAX_ENCODED)};
    assert_int_equal(write(o->m.body.fd, o->bytes.data, o->bytes.len), o->bytes.len);
    struct facts *f = &o->m.facts;
    *f = (struct facts){.size = o->bytes.len,
                        .header_len = header_len,
                        .sent = FACTS_NO_DATE,
                        .flags = FACTS_PARTS_COMPLETE | (whole ? FACTS_TEXT_COMPLETE : 0),
                        .envelope = SLICE("(NIL)"),
                        .body = SLICE("(NIL)"),
                        .bodystructure = SLICE("(NIL)"),
                        .parts = parts,
                        .part_count = 2};
    if (draw(10)) {
        f->headers = slice_sub(kept_fields(o), 0, FACTS_MAX_HEADERS);
        f->flags |= f->headers.len == o->kept.len ? FACTS_HEADERS_COMPLETE : 0;
    }
    f->subject = odd_text(o, 0, 6);
    f->search_from = odd_text(o, 1, 6);
    f->search_to = odd_text(o, 2, 6);
    f->search_cc = odd_text(o, 3, 3);
    f->search_bcc = odd_text(o, 4, 3);
    f->text = odd_text(o, 5, 40);
    f->text_len = f->text.len;
    facts_encode(f, &o->m.encoded);
    assert_true(buf_ok(&o->m.encoded));
    o->m.body.size = o->bytes.len;
    o->m.body.record = slice_sub(buf_slice(&o->m.encoded), 0, facts_record_len(buf_slice(&o->m.encoded)));
    o->m.body.facts = f;
}

static void odd_free(struct odd *o)
{
    free(o->m.facts.parts);
    rig_message_free(&o->m);
    buf_free(&o->bytes);
    buf_free(&o->kept);
    for (size_t i = 0; i < ARRAY_LEN(o->texts); i++)
        buf_free(&o->texts[i]);
}

static void fill(struct rig *rig, unsigned messages)
{
    for (unsigned at = 0; at < messages;) {
        struct odd odd[ADD_GROUP_MAX];
        struct addition additions[ADD_GROUP_MAX], *list[ADD_GROUP_MAX];
        unsigned count = messages - at < ADD_GROUP_MAX ? messages - at : ADD_GROUP_MAX;
        for (unsigned i = 0; i < count; i++) {
            odd_new(&odd[i], draw(20) != 0);
            additions[i] = (struct addition){.body = &odd[i].m.body,
                                             .header = SLICE("Return-Path: <Needle@example.test>\r\n"),
                                             .date = 1700000000};
            list[i] = &additions[i];
        }
        add_commit(rig->account, list, count);
        for (unsigned i = 0; i < count; i++) {
            assert_int_equal(additions[i].err, ERR_OK);
            addition_free(&additions[i]);
            odd_free(&odd[i]);
        }
        at += count;
    }
}

/* ---- programs ---- */

static struct slice needle_text(struct arena *arena)
{
    AUTO_BUF struct buf b = buf_new(TEXT_MAX);
    if (draw(20) == 0)
        return SLICE("dles EN");
    while (!b.len)
        add_text(&b, 1 + draw(4));
    size_t from = draw(4) ? 0 : draw((unsigned)b.len); /* also in the middle of a letter */
    return arena_dup(
        arena, slice_sub(buf_slice(&b), from, b.len - from - (draw(5) ? 0 : draw((unsigned)(b.len - from)))));
}

static struct imap_search_node *program(struct arena *arena, unsigned depth)
{
    static const struct slice names[] = {SLICE("From"),        SLICE("to"),      SLICE("CC"),
                                         SLICE("Bcc"),         SLICE("Subject"), SLICE("X-Odd"),
                                         SLICE("Return-Path"), SLICE("None")};
    struct imap_search_node *node = ARENA_NEW(arena, struct imap_search_node);
    unsigned kind = draw(depth ? 9 : 5);
    if (draw(15) == 0) {
        node->op = (enum imap_search_op)(IMAP_SEARCH_SENTBEFORE + draw(3));
        node->number = 1795219200 / 86400 - 1 + draw(4); /* about 21 Nov 2026 */
        return node;
    }
    if (kind < 5) {
        node->op = kind < 2 ? IMAP_SEARCH_TEXT : kind == 2 ? IMAP_SEARCH_BODY : IMAP_SEARCH_HEADER;
        node->name = names[draw(ARRAY_LEN(names))];
        node->needle = imap_needle_in(arena, draw(30) ? needle_text(arena) : SLICE_EMPTY);
        return node;
    }
    node->op = kind < 7 ? IMAP_SEARCH_NOT : kind == 7 ? IMAP_SEARCH_AND : IMAP_SEARCH_OR;
    node->child = program(arena, depth - 1);
    if (node->op != IMAP_SEARCH_NOT)
        node->child->next = program(arena, depth - 1);
    return node;
}

static void find(struct rig *rig, const struct imap_search_node *root, bool index, bool columns,
                 struct buf *uids)
{
    AUTO_BUF struct buf blob = buf_new(1 << 20);
    struct search *search = NULL;
    const struct mailbox *m = account_mailbox(rig->account, SLICE("INBOX"));
    rig->account->fulltext_off = !index;
    rig->account->sortkeys_off = !columns;
    assert_int_equal(imap_search_encode(&blob, root, &rig->why), ERR_OK);
    assert_int_equal(search_new(buf_slice(&blob), m->id, UINT32_MAX, 0, &search, &rig->why), ERR_OK);
    for (bool done = false; !done;)
        assert_int_equal(search_step(search, rig->account, draw(2) ? UINT32_MAX : 100000, &done, &rig->why),
                         ERR_OK);
    buf_add(uids, buf_slice(search_found(search)));
    search_free(&search);
    rig->account->fulltext_off = rig->account->sortkeys_off = false;
}

static void compare(struct rig *rig, unsigned programs)
{
    for (unsigned i = 0; i < programs; i++) {
        AUTO_ARENA struct arena *arena = arena_new(1 << 20);
        AUTO_BUF struct buf with = buf_new(1 << 20), without = buf_new(1 << 20), half = buf_new(1 << 20);
        uint64_t state = seed;
        const struct imap_search_node *root = program(arena, 3);
        bool one = draw(2);
        find(rig, root, false, false, &without);
        find(rig, root, one, !one, &half);
        find(rig, root, true, true, &with);
        if (!slice_eq(buf_slice(&with), buf_slice(&without)) ||
            !slice_eq(buf_slice(&half), buf_slice(&without)))
            print_error("program %u differs, state %llu\n", i, (unsigned long long)state);
        assert_true(slice_eq(buf_slice(&half), buf_slice(&without)));
        assert_true(slice_eq(buf_slice(&with), buf_slice(&without)));
    }
}

static uint64_t index_all(struct rig *rig)
{
    uint64_t messages;
    enum err err = fulltext_rebuild(rig->account, &messages, &rig->why);
    if (err)
        print_error("%s\n", rig->why.text);
    assert_int_equal(err, ERR_OK);
    return messages;
}

static bool rules_out(struct rig *rig, uint64_t message, enum trigram_plane plane, const char *text)
{
    AUTO_ARENA struct arena *arena = arena_new(10000);
    struct imap_needle needle = imap_needle_in(arena, slice_of(text));
    struct fulltext_filter *filter = fulltext_filter_new();
    bool result = fulltext_rules_out(filter, rig->account, message, plane, &needle);
    fulltext_filter_free(&filter);
    return result;
}

static unsigned ruled_out(struct rig *rig, const char *text)
{
    unsigned count = 0;
    for (uint64_t id = 1; id < MESSAGES; id++)
        count += rules_out(rig, id, TRIGRAM_BODY, text);
    return count;
}

/* Makes what is due, by short steps; how many blocks. */
static unsigned make_young(struct rig *rig, int64_t now, bool young)
{
    unsigned made = 0;
    for (;; made++) {
        uint64_t block;
        bool found;
        assert_int_equal(fulltext_next(rig->account, now, young, &block, &found, &rig->why), ERR_OK);
        if (!found)
            return made;
        struct fulltext_build *build = fulltext_build_new(rig->account, block);
        for (bool done = false; !done;) {
            assert_int_equal(fulltext_build_step(build, rig->account, 200000, &done, &rig->why), ERR_OK);
            if (draw(3) == 0)
                account_shrink(rig->account); /* the file is closed between steps */
        }
        fulltext_build_free(&build);
    }
}

static unsigned make_due(struct rig *rig, int64_t now)
{
    return make_young(rig, now, false);
}

static void file_path(const struct rig *rig, char path[200])
{
    (void)snprintf(path, 200, "%.60s/%.120s/search.db", rig->path, rig->account->folder);
}

/* Bytes of the file are overwritten, here and there. */
static void damage(struct rig *rig, unsigned places)
{
    char path[200];
    fulltext_close(rig->account);
    file_path(rig, path);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    off_t size = lseek(fd, 0, SEEK_END);
    for (unsigned i = 0; i < places; i++) {
        uint8_t junk[64];
        for (size_t j = 0; j < sizeof junk; j++)
            junk[j] = (uint8_t)draw(256);
        assert_int_equal(pwrite(fd, junk, sizeof junk, (off_t)draw((unsigned)size - 64)), sizeof junk);
    }
    close(fd);
}

/* Rows are changed so that they can still be read. */
static void forge(struct rig *rig, const char *sql)
{
    static const struct db_step steps[] = {{.sql = "SELECT 1"}};
    static const struct db_schema schema = {.name = "forged", .steps = steps, .count = 1};
    char path[200];
    struct db *db = NULL;
    fulltext_close(rig->account);
    file_path(rig, path);
    assert_int_equal(db_open(path, DB_EXISTING, &schema, NULL, &db, &rig->why), ERR_OK);
    assert_int_equal(db_exec(db, sql, &rig->why), ERR_OK);
    db_close(&db);
}

static void test_same_answers(void **state)
{
    (void)state;
    struct rig rig;
    char path[200];
    rig_start(&rig);
    fill(&rig, MESSAGES);
    assert_true(fulltext_due(rig.account, false));
    assert_int_equal(make_due(&rig, 0), 1);
    assert_false(fulltext_due(rig.account, false));
    assert_true(ruled_out(&rig, "nowhere at all") > 900);
    assert_int_equal(ruled_out(&rig, "no"), 0); /* too short */
    assert_false(rules_out(&rig, MESSAGES - 1, TRIGRAM_BODY, "nowhere at all"));
    compare(&rig, PROGRAMS);
    rig_reopen(&rig);
    assert_true(ruled_out(&rig, "nowhere at all") > 900);
    compare(&rig, 10);

    static const char *const forgeries[] = {
        "UPDATE bits SET bytes = substr(bytes, 1, 8) || zeroblob(length(bytes) - 8) WHERE (id & 8191) < 8191",
        "UPDATE bits SET bytes = (SELECT bytes FROM bits b WHERE b.id = bits.id + iif(bits.id & 1, -1, 1))"
        " WHERE (id & 8191) < 4096",
        "DELETE FROM bits WHERE (id & 8191) < 4096",
        "DELETE FROM bits WHERE (id & 8191) = 8191",
    };
    for (size_t i = 0; i < ARRAY_LEN(forgeries); i++) {
        forge(&rig, forgeries[i]);
        compare(&rig, 10);
        assert_true(fulltext_due(rig.account, false)); /* it was seen */
        assert_int_equal(make_due(&rig, 0), 1);
        assert_true(ruled_out(&rig, "nowhere at all") > 900);
    }
    for (unsigned round = 0; round < 2; round++) { /* never believed, and mended */
        damage(&rig, round ? 400 : 40);
        compare(&rig, 30);
        make_due(&rig, 0);
        index_all(&rig);
        assert_true(ruled_out(&rig, "nowhere at all") > 900);
    }
    fulltext_close(rig.account);
    file_path(&rig, path);
    assert_int_equal(truncate(path, 100000), 0);
    compare(&rig, 10);
    fulltext_close(rig.account);
    assert_int_equal(unlink(path), 0);
    compare(&rig, 10);
    assert_int_equal(make_due(&rig, 0), 1); /* it is missed */
    compare(&rig, 10);
    rig_stop(&rig);
}

/* What another life of the account has indexed is not believed: an older copy of index.db was put back. */
static void test_other_life(void **state)
{
    (void)state;
    struct rig rig;
    char command[1400], path[200];
    rig_start(&rig);
    fill(&rig, 40);
    file_path(&rig, path);
    path[strlen(path) - strlen("/search.db")] = 0;
    account_free(&rig.account);
    (void)snprintf(command, sizeof command, "cp -r '%s' '%s.old'", path, path);
    assert_int_equal(system(command), 0);
    rig_open(&rig);
    fill(&rig, MESSAGES);
    assert_int_equal(index_all(&rig), 1024 + 256);
    account_free(&rig.account);
    (void)snprintf(command, sizeof command, "cp '%s/search.db' '%s.old/' && rm -r '%s' && mv '%s.old' '%s'",
                   path, path, path, path, path);
    assert_int_equal(system(command), 0);
    rig_open(&rig);
    fill(&rig, MESSAGES); /* the same ids, other texts */
    assert_int_equal(ruled_out(&rig, "nowhere at all"), 0);
    compare(&rig, 20);
    assert_int_equal(make_due(&rig, 0), 1);
    assert_true(ruled_out(&rig, "nowhere at all") > 900);
    compare(&rig, 20);
    rig_stop(&rig);
}

static uint64_t listed(struct rig *rig)
{
    uint64_t blocks = 0;
    assert_int_equal(
        db_number(rig->account->db, "SELECT count(*) FROM fulltext", DB_NO_ARGS, 0, &blocks, &rig->why),
        ERR_OK);
    return blocks;
}

static unsigned ruled_out_of(struct rig *rig, uint64_t from, uint64_t to)
{
    unsigned count = 0;
    for (uint64_t id = from; id < to; id++)
        count += rules_out(rig, id, TRIGRAM_BODY, "nowhere at all");
    return count;
}

/* The newest messages stand in young blocks, until a whole one takes their place. */
static void test_young(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    fill(&rig, 460);
    assert_true(fulltext_due(rig.account, true));
    assert_int_equal(make_young(&rig, 0, false), 0);
    assert_int_equal(make_young(&rig, 0, true), 3);
    assert_false(fulltext_due(rig.account, true));
    assert_int_equal(listed(&rig), 3);
    assert_true(ruled_out_of(&rig, 1, 384) > 300);
    assert_int_equal(ruled_out_of(&rig, 384, 470), 0);
    compare(&rig, 60);
    rig_reopen(&rig);
    assert_true(ruled_out_of(&rig, 1, 384) > 300);
    compare(&rig, 20);
    forge(&rig, "DELETE FROM bits WHERE (id & 8191) < 300");
    compare(&rig, 20);
    assert_int_equal(make_young(&rig, 0, true), 3); /* all anew */
    fill(&rig, 700);
    assert_int_equal(make_young(&rig, 0, true), 5);
    compare(&rig, 20);
    fill(&rig, 200);
    assert_true(fulltext_due(rig.account, false));
    assert_int_equal(make_young(&rig, 0, false), 1);
    assert_int_equal(listed(&rig), 1);
    assert_true(ruled_out_of(&rig, 1, 1024) > 900);
    compare(&rig, 20);
    assert_int_equal(make_young(&rig, 0, true), 2);
    assert_true(ruled_out_of(&rig, 1024, 1280) > 200);
    compare(&rig, 40);
    rig_stop(&rig);
}

static uint64_t column_rows(struct rig *rig)
{
    uint64_t rows = 0;
    assert_int_equal(
        db_number(rig->account->db, "SELECT count(*) FROM sortkey", DB_NO_ARGS, 0, &rows, &rig->why), ERR_OK);
    return rows;
}

static void change_columns(struct rig *rig, const char *sql)
{
    assert_int_equal(db_run(rig->account->db, sql, DB_NO_ARGS, &rig->why), ERR_OK);
    rig_reopen(rig);
}

/* Columns alone: made, in memory, from their rows, with rows damaged or gone, with messages that came after.
 */
static void test_columns(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    fill(&rig, 700);
    compare(&rig, 60);
    assert_int_equal(column_rows(&rig),
                     __builtin_popcount(SORTKEY_FOR_SEARCH)); /* of the chunk that is full */
    fill(&rig, 500);
    compare(&rig, 30);
    rig_reopen(&rig);
    compare(&rig, 30);
    assert_int_equal(column_rows(&rig), 2 * __builtin_popcount(SORTKEY_FOR_SEARCH));
    change_columns(&rig, "UPDATE sortkey SET keys = substr(keys, 1, length(keys) - 1) WHERE id < 16");
    compare(&rig, 10);
    change_columns(&rig, "UPDATE sortkey SET keys = x'0200' WHERE id % 3");
    compare(&rig, 10);
    change_columns(&rig, "DELETE FROM sortkey WHERE id % 2");
    compare(&rig, 30);
    sortkeys_free(&rig.account->sortkeys);
    compare(&rig, 5);
    rig_stop(&rig);
}

static void expunge(struct rig *rig, uint32_t from, uint32_t to)
{
    AUTO_BUF struct buf uids = buf_new(100);
    uint32_t count;
    wire_range_add(&uids, from, to);
    struct mailbox *m = rig_view(rig, "INBOX");
    struct alter_flags how = {
        .mode = FLAGS_ADD, .flags = IMAGE_DELETED, .uids = buf_slice(&uids), .conditional = false};
    AUTO_BUF struct buf modified = buf_new(1000);
    uint64_t modseq;
    assert_int_equal(alter_flags(rig->account, m, &how, &modseq, &modified, &rig->refusal), ERR_OK);
    assert_int_equal(alter_expunge(rig->account, m, buf_slice(&uids), &count, &rig->refusal), ERR_OK);
    assert_int_equal(account_purge(rig->account, INT64_MAX, UINT64_MAX, &rig->why), ERR_OK);
}

/* Expunged messages leave it: at once where many go, some time later where few do. */
static void test_expunged(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    fill(&rig, MESSAGES);
    assert_int_equal(index_all(&rig), 1024 + 128);
    time_t now = time(NULL);
    assert_true(rules_out(&rig, 5, TRIGRAM_FROM, "nowhere"));
    expunge(&rig, 5, 6);
    assert_int_equal(make_due(&rig, now), 0);
    assert_true(fulltext_due(rig.account, false)); /* not forgotten */
    assert_true(rules_out(&rig, 5, TRIGRAM_FROM, "nowhere"));
    assert_int_equal(make_due(&rig, now + 4000), 1);
    assert_false(rules_out(&rig, 5, TRIGRAM_FROM, "nowhere"));
    assert_true(rules_out(&rig, 7, TRIGRAM_FROM, "nowhere"));
    compare(&rig, 20);
    expunge(&rig, 100, 400);
    assert_int_equal(make_due(&rig, now), 1);
    assert_false(rules_out(&rig, 200, TRIGRAM_FROM, "nowhere"));
    compare(&rig, 20);
    expunge(&rig, 1, 1010);
    assert_int_equal(make_due(&rig, now), 1); /* too few are left: it knows nothing of them */
    assert_false(rules_out(&rig, 1011, TRIGRAM_FROM, "nowhere"));
    compare(&rig, 20);
    assert_int_equal(make_due(&rig, now + 4000), 0);
    assert_true(rules_out(&rig, 1030, TRIGRAM_FROM, "nowhere"));
    expunge(&rig, 1030, 1030);
    assert_int_equal(make_young(&rig, now, true), 0);
    assert_true(fulltext_due(rig.account, true));
    assert_int_equal(make_young(&rig, now + 4000, true), 1);
    assert_false(rules_out(&rig, 1030, TRIGRAM_FROM, "nowhere"));
    assert_true(rules_out(&rig, 1031, TRIGRAM_FROM, "nowhere"));
    compare(&rig, 20);
    rig_stop(&rig);
}

/* What lies in its place and is no database goes away. */
static void test_no_database(void **state)
{
    (void)state;
    struct rig rig;
    char path[200];
    uint64_t block;
    bool found, done = false;
    rig_start(&rig);
    fill(&rig, MESSAGES);
    file_path(&rig, path);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    for (int i = 0; i < 10000; i++)
        assert_int_not_equal(fputs("no database", file), EOF);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(fulltext_next(rig.account, 0, false, &block, &found, &rig.why), ERR_OK);
    assert_true(found);
    struct fulltext_build *build = fulltext_build_new(rig.account, block);
    enum err err = ERR_OK;
    while (!err && !done)
        err = fulltext_build_step(build, rig.account, UINT32_MAX, &done, &rig.why);
    fulltext_build_free(&build);
    assert_int_equal(err, ERR_INTERNAL);
    assert_true(fulltext_due(rig.account, false));
    assert_int_equal(make_due(&rig, 0), 1);
    assert_true(ruled_out(&rig, "nowhere at all") > 900);
    rig_stop(&rig);
}

/* Switched off it goes away. */
static void test_off(void **state)
{
    (void)state;
    struct rig rig;
    char path[200];
    rig_start(&rig);
    fill(&rig, MESSAGES);
    assert_int_equal(index_all(&rig), 1024 + 128);
    file_path(&rig, path);
    assert_int_equal(access(path, F_OK), 0);
    rig_reopen(&rig);
    rig.account->fulltext_off = true;
    assert_true(fulltext_due(rig.account, false));
    assert_int_equal(make_due(&rig, 0), 0);
    assert_int_equal(access(path, F_OK), -1);
    assert_false(fulltext_due(rig.account, false));
    rig_stop(&rig);
}

int main(void)
{
    (void)!metric_attach(&metrics_table, -1, "test", NULL);
    const char *given = getenv("FULLTEXT_SEED");
    seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL) * 2654435761u + 1;
    print_message("FULLTEXT_SEED=%llu\n", (unsigned long long)seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_answers), cmocka_unit_test(test_columns),
        cmocka_unit_test(test_young),        cmocka_unit_test(test_other_life),
        cmocka_unit_test(test_expunged),     cmocka_unit_test(test_no_database),
        cmocka_unit_test(test_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
