/* The register of bans: who is banned when, who never is, what is remembered of it, on disk too; CrowdSec's
 * decisions; what `rockdove ban` says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/ban_command.h"
#include "base/clock.h"
#include "base/io.h"
#include "db/db.h"

#define DAY 86400u

static struct arena *arena;
static struct bans_now now;

static const struct settings *settings_with(const char *more)
{
    struct settings *settings;
    struct conf_origin *origin;
    AUTO_BUF struct buf yaml = buf_new(10000);
    buf_add_str(&yaml, "hostname: mail.example.org\ndata: /tmp/unused\n"
                       "listeners: [ { name: mx, service: mx, address: \"127.0.0.1:2525\", tls: none } ]\n");
    buf_add_str(&yaml, more);
    struct problems *problems = problems_new_in(arena);
    assert_int_equal(settings_parse_in(arena, arena_dup(arena, buf_slice(&yaml)), SLICE("test.yaml"), NULL,
                                       NULL, &settings, &origin, problems),
                     ERR_OK);
    return settings;
}

static struct bans *bans_with(const char *more)
{
    now = (struct bans_now){1800000000, 1000000};
    return bans_new(settings_with(more));
}

static void pass(uint64_t seconds)
{
    now.unix_s += seconds;
    now.mono_ms += seconds * 1000;
}

static struct netaddr address(const char *text)
{
    struct netaddr addr;
    assert_true(netaddr_parse(slice_of(text), &addr));
    return addr;
}

static struct bans_verdict offend(struct bans *bans, const char *from, enum score_kind kind, uint32_t count)
{
    const struct netaddr client = address(from);
    const struct bans_offence offence = {
        .kind = kind, .count = count, .client = &client, .where = SLICE("mx"), .detail = SLICE("who@ever")};
    return bans_offend(bans, &offence, &now);
}

static struct bans_verdict guess(struct bans *bans, const char *from, uint64_t name, uint64_t password)
{
    const struct netaddr client = address(from);
    const struct bans_offence offence = {.kind = SCORE_FAILED_LOGIN,
                                         .count = 1,
                                         .client = &client,
                                         .where = SLICE("imap"),
                                         .detail = SLICE("jane@example.org"),
                                         .name = name,
                                         .guess = password,
                                         .known = true};
    return bans_offend(bans, &offence, &now);
}

/* Guesses until something comes of it; how many it took. */
static unsigned guess_on(struct bans *bans, const char *from, struct bans_verdict *verdict)
{
    static uint64_t password = 1000; /* never the same twice */
    for (unsigned i = 1; i <= 100; i++) {
        *verdict = guess(bans, from, 7, ++password);
        if (verdict->outcome != BANS_NOTED)
            return i;
    }
    return 0;
}

/* What the image says. */
static uint64_t refused_until(const struct bans *bans, const char *from)
{
    size_t count;
    struct ban_entry *entries = bans_snapshot(bans, &now, &count);
    struct ban_list *list = NULL;
    const struct netaddr client = address(from);
    uint64_t until = 0;
    int fd = -1;
    assert_int_equal(ban_list_make(entries, count, &fd, NULL), ERR_OK);
    assert_int_equal(ban_list_map(fd, &list, NULL), ERR_OK);
    bool has = ban_list_has(list, &client, now.unix_s, &until);
    ban_list_free(&list);
    io_close(&fd);
    free(entries);
    return has ? until : 0;
}

/* ---- by score ---- */

static void test_rising(void **state)
{
    (void)state;
    struct bans *bans = bans_with("bans: local\n");
    static const uint64_t lengths[] = {900, 1800, 3600, 7200};
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        struct bans_verdict v;
        assert_int_equal(guess_on(bans, "203.0.113.9", &v), 10);
        assert_int_equal(v.outcome, BANS_MADE);
        assert_int_equal(v.ban->number, i + 1);
        assert_int_equal(v.ban->until, now.unix_s + lengths[i]);
        assert_int_equal(v.ban->total, 10);
        assert_false(v.ban->simulated);
        assert_int_equal(refused_until(bans, "203.0.113.9"), v.ban->until);
        assert_int_equal(refused_until(bans, "203.0.113.10"), 0);
        /* who is banned earns no other one */
        assert_int_equal(offend(bans, "203.0.113.9", SCORE_SPAM_TRAP, 10).outcome, BANS_NOTED);
        pass(lengths[i] + DAY);
        assert_int_equal(refused_until(bans, "203.0.113.9"), 0);
    }
    bans_free(&bans);
}

static void test_ipv6(void **state)
{
    (void)state;
    struct bans *bans = bans_with("bans: local\n");
    for (int i = 0; i < 9; i++)
        assert_int_equal(guess(bans, i % 2 ? "2001:db8::1" : "2001:db8::2:2", 7, 50 + i).outcome, BANS_NOTED);
    assert_int_equal(guess(bans, "2001:db8::3", 7, 100).outcome, BANS_MADE);
    assert_true(refused_until(bans, "2001:db8::ffff:1"));
    assert_false(refused_until(bans, "2001:db8:0:1::1"));
    bans_free(&bans);
    bans = bans_with("bans: local\nlimits: { ipv4_prefix: 24 }\n");
    assert_int_equal(offend(bans, "203.0.113.9", SCORE_SPAM_TRAP, 1).outcome, BANS_NOTED);
    assert_int_equal(offend(bans, "::ffff:203.0.113.77", SCORE_SPAM_TRAP, 1).outcome, BANS_MADE);
    assert_true(refused_until(bans, "203.0.113.200"));
    bans_free(&bans);
}

static void test_modes(void **state)
{
    (void)state;
    struct bans_verdict v;
    struct bans *bans = bans_with("bans: off\n");
    assert_int_equal(offend(bans, "203.0.113.9", SCORE_SPAM_TRAP, 100).outcome, BANS_IGNORED);
    assert_int_equal(guess_on(bans, "203.0.113.9", &v), 0);
    assert_int_equal(v.outcome, BANS_NOTED);
    bans_free(&bans);
    bans = bans_with("bans: observe\n");
    assert_int_equal(guess_on(bans, "203.0.113.9", &v), 10);
    assert_int_equal(v.outcome, BANS_MADE);
    assert_true(v.ban->simulated);
    assert_false(refused_until(bans, "203.0.113.9"));
    /* one that would be banned would not come again: nothing new is told */
    for (int i = 0; i < 100; i++)
        assert_int_equal(offend(bans, "203.0.113.9", SCORE_SPAM_TRAP, 1).outcome, BANS_NOTED);
    /* what was only told does not become real, what comes then does */
    bans_use(bans, settings_with("bans: local\n"));
    assert_false(refused_until(bans, "203.0.113.9"));
    assert_int_equal(offend(bans, "203.0.113.9", SCORE_SPAM_TRAP, 1).outcome, BANS_NOTED);
    v = offend(bans, "203.0.113.9", SCORE_SPAM_TRAP, 1);
    assert_int_equal(v.outcome, BANS_MADE);
    assert_false(v.ban->simulated);
    assert_true(refused_until(bans, "203.0.113.9"));
    bans_use(bans, settings_with("bans: observe\n"));
    assert_false(refused_until(bans, "203.0.113.9"));
    bans_free(&bans);
}

static void test_old_password(void **state)
{
    (void)state;
    struct bans *bans = bans_with("bans: local\n");
    unsigned told = 0;
    for (unsigned i = 1; i <= 1000; i++, pass(1)) {
        struct bans_verdict v = guess(bans, "203.0.113.9", 7, 42);
        told += v.outcome == BANS_OLD_PASSWORD_SEEN;
        assert_true(v.outcome == BANS_OLD_PASSWORD_SEEN || v.outcome == BANS_NOTED);
        if (i - 1 == 5 || i - 1 == 10 || i - 1 == 20 || i - 1 == 640)
            assert_int_equal(v.outcome, BANS_OLD_PASSWORD_SEEN);
    }
    assert_int_equal(told, 8); /* 5, 10, 20, 40 … 640 */
    bans_free(&bans);
}

static void test_who_is_spared(void **state)
{
    (void)state;
    struct bans *bans = bans_with("bans: local\ntrusted_networks: [ 203.0.113.0/28 ]\n"
                                  "proxy_trusted_networks: [ 203.0.113.16/28 ]\n"
                                  "ban_policy: { except: [ 203.0.113.32/28 ] }\n");
    static const char *const never[] = {"203.0.113.1", "203.0.113.17", "203.0.113.33", "127.0.0.1", "::1"};
    for (size_t i = 0; i < ARRAY_LEN(never); i++)
        assert_int_equal(offend(bans, never[i], SCORE_SPAM_TRAP, 10).outcome, BANS_IGNORED);
    static const char *const inside[] = {"10.1.2.3", "192.168.7.7", "172.16.0.9", "fd00::1", "100.64.1.1"};
    for (size_t i = 0; i < ARRAY_LEN(inside); i++) {
        struct bans_verdict v = offend(bans, inside[i], SCORE_SPAM_TRAP, 10);
        assert_int_equal(v.outcome, BANS_LET_GO);
        assert_non_null(v.spared);
    }
    assert_int_equal(offend(bans, "203.0.113.99", SCORE_LIMIT, 1000).outcome, BANS_NOTED);
    bans_free(&bans);
}

static void test_owner(void **state)
{
    (void)state;
    struct bans *bans = bans_with("bans: local\nban_policy: { owner_memory: 2d }\n");
    struct bans_verdict v;
    const struct netaddr phone = address("203.0.113.9");
    const struct ban *lifted;
    assert_non_null(bans_login(bans, &phone, &now, &lifted));
    assert_null(lifted);
    assert_null(bans_login(bans, &phone, &now, &lifted)); /* written down a moment ago */
    pass(2 * 3600);
    assert_non_null(bans_login(bans, &phone, &now, &lifted));
    assert_int_equal(guess_on(bans, "203.0.113.9", &v), 10);
    assert_int_equal(v.outcome, BANS_LET_GO);
    assert_false(refused_until(bans, "203.0.113.9"));
    /* CrowdSec's word does not lock the owner out, the administrator's does */
    assert_true(
        decisions_take(bans->decisions, SLICE("+ 1 203.0.113.0/24 3600 ban cscli manual"), now.unix_s));
    assert_false(refused_until(bans, "203.0.113.9"));
    assert_true(refused_until(bans, "203.0.113.10"));
    struct conf_network network;
    const struct ban *ban;
    assert_true(bans_read_network(SLICE("203.0.113.9"), &network));
    assert_int_equal(bans_add(bans, &network, BANS_FOR_EVER, SLICE("stolen"), &now, &ban, NULL), ERR_OK);
    assert_true(refused_until(bans, "203.0.113.9") == BANS_FOR_EVER);
    assert_int_equal(bans_remove(bans, &network, &now), 1u << BAN_HAND);
    assert_false(refused_until(bans, "203.0.113.9"));
    /* too long ago */
    pass(2 * DAY + 10);
    assert_int_equal(guess_on(bans, "203.0.113.9", &v), 10);
    assert_int_equal(v.outcome, BANS_MADE);
    /* a session that was open before the ban logs in: the owner after all */
    assert_non_null(bans_login(bans, &phone, &now, &lifted));
    assert_ptr_equal(lifted, v.ban);
    assert_false(bans_is_alive(v.ban, &now));
    bans_free(&bans);
    bans = bans_with("bans: local\nban_policy: { owner_memory: 0s }\n");
    assert_null(bans_login(bans, &phone, &now, &lifted));
    assert_int_equal(guess_on(bans, "203.0.113.9", &v), 10);
    assert_int_equal(v.outcome, BANS_MADE);
    bans_free(&bans);
}

/* A hundred thousand strangers: memory stays bounded, the one that goes on is not forgotten. */
static void test_bounds(void **state)
{
    (void)state;
    struct bans *bans = bans_with("bans: local\n");
    char text[64];
    struct bans_verdict v = {0};
    for (unsigned i = 0; i < BANS_TRACKS_MAX * 3; i++) {
        (void)snprintf(text, sizeof text, "198.18.%u.%u", i >> 8 & 255, i & 255);
        if (i >> 16)
            (void)snprintf(text, sizeof text, "198.19.%u.%u", i >> 8 & 255, i & 255);
        (void)offend(bans, text, SCORE_UNKNOWN_RECIPIENT, 1);
        if (i % 5000 == 0 && v.outcome != BANS_MADE)
            v = guess(bans, "203.0.113.9", 7, 100 + i);
    }
    assert_int_equal(map_count(bans->tracks), BANS_TRACKS_MAX);
    assert_int_equal(v.outcome, BANS_MADE);
    bans_free(&bans);
}

/* ---- on disk ---- */

static void none_ended(void *arg, const struct ban *ban)
{
    (void)ban;
    ++*(unsigned *)arg;
}

static void none_forgotten(void *arg, const struct ban_owner *owner)
{
    (void)owner;
    ++*(unsigned *)arg;
}

static void test_store(void **state)
{
    (void)state;
    char folder[] = "/tmp/rd-bans-XXXXXX", path[64], command[80];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/bans.db", folder);
    struct bans *bans = bans_with("bans: local\n"), *again = bans_new(bans->settings);
    struct ban_store *store = NULL;
    struct bans_verdict v;
    struct conf_network network;
    const struct ban *hand;
    assert_int_equal(ban_store_open(path, true, &store, NULL), ERR_ABSENT);
    assert_int_equal(ban_store_open(path, false, &store, NULL), ERR_OK);
    (void)offend(bans, "203.0.113.9", SCORE_EARLY_TALKER, 1);
    assert_int_equal(guess_on(bans, "203.0.113.9", &v), 8);
    assert_true(bans_read_network(SLICE("2001:db8::/32"), &network));
    assert_int_equal(bans_add(bans, &network, BANS_FOR_EVER, SLICE("why not"), &now, &hand, NULL), ERR_OK);
    const struct ban_write writes[] = {
        {.kind = BAN_WRITE_PUT, .ban = *v.ban},
        {.kind = BAN_WRITE_PUT, .ban = *hand},
        {.kind = BAN_WRITE_OWNER, .ban = {.network = network}, .seen = now.unix_s},
    };
    assert_int_equal(ban_store_write(store, writes, ARRAY_LEN(writes), NULL), ERR_OK);
    ban_store_close(&store);
    assert_int_equal(ban_store_open(path, true, &store, NULL), ERR_OK);
    assert_int_equal(ban_store_load(store, again, now.unix_s, NULL), ERR_OK);
    const struct ban *ban = bans_ours(again, &v.ban->network);
    assert_non_null(ban);
    assert_int_equal(ban->until, v.ban->until);
    assert_int_equal(ban->number, 1);
    assert_int_equal(ban->rule, SCORE_FAILED_LOGIN);
    assert_int_equal(ban->event_count, 2);
    assert_string_equal(ban->events[0].where, "mx");
    assert_string_equal(ban->events[1].detail, "jane@example.org");
    assert_int_equal(ban->events[1].count, 8);
    assert_string_equal(bans_by_hand(again, &network)->reason, "why not");
    assert_true(bans_by_hand(again, &network)->until == BANS_FOR_EVER);
    assert_int_equal(bans_owner_seen(again, &network, &now), now.unix_s);
    assert_true(refused_until(again, "203.0.113.9"));
    bans_free(&again);
    /* longer than it counts: gone */
    again = bans_new(bans->settings);
    assert_int_equal(ban_store_load(store, again, now.unix_s + 60 * DAY, NULL), ERR_OK);
    assert_null(bans_ours(again, &v.ban->network));
    assert_int_equal(map_count(again->owners), 0);
    assert_non_null(bans_by_hand(again, &network));
    const struct ban_write gone = {.kind = BAN_WRITE_DROP, .ban = {.network = network, .source = BAN_HAND}};
    assert_int_equal(ban_store_write(store, &gone, 1, NULL), ERR_OK);
    bans_free(&again);
    again = bans_new(bans->settings);
    assert_int_equal(ban_store_load(store, again, now.unix_s, NULL), ERR_OK);
    assert_null(bans_by_hand(again, &network));
    bans_free(&again);
    ban_store_close(&store);
    /* time */
    unsigned seen = 0;
    const struct bans_sweep sweep = {none_ended, none_ended, none_forgotten, &seen};
    bans_expire(bans, &now, &sweep);
    assert_int_equal(seen, 0);
    pass(901);
    bans_expire(bans, &now, &sweep);
    bans_expire(bans, &now, &sweep);
    assert_int_equal(seen, 1); /* ended, once */
    pass(8 * DAY);
    bans_expire(bans, &now, &sweep);
    assert_int_equal(seen, 2); /* forgotten */
    assert_int_equal(map_count(bans->ours), 0);
    bans_free(&bans);
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
}

static uint64_t rows_in(const char *path, const char *sql)
{
    static const struct db_step step = {.sql = ""};
    static const struct db_schema schema = {.name = "test", .steps = &step, .count = 1};
    AUTO_DB struct db *db = NULL;
    uint64_t count = 0;
    assert_int_equal(db_open(path, DB_EXISTING, &schema, NULL, &db, NULL), ERR_OK);
    assert_int_equal(db_number(db, sql, DB_NO_ARGS, 0, &count, NULL), ERR_OK);
    return count;
}

/* What the register has no room for does not stay on disk for ever. */
static void test_store_is_bounded(void **state)
{
    (void)state;
    enum { BATCH = 5000, BATCHES = 14, OWNERS = 25000 };
    static const char bans_sql[] = "SELECT count(*) FROM ban", owners_sql[] = "SELECT count(*) FROM owner";
    char folder[] = "/tmp/rd-bans-XXXXXX", path[64], command[80];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/bans.db", folder);
    struct bans *bans = bans_with("bans: local\n");
    struct ban_store *store = NULL;
    struct ban_write *writes = calloc(OWNERS, sizeof *writes);
    assert_non_null(writes);
    assert_int_equal(ban_store_open(path, false, &store, NULL), ERR_OK);
    for (unsigned batch = 0; batch < BATCHES; batch++) {
        for (unsigned i = 0; i < BATCH; i++) {
            struct ban *ban = &writes[i].ban;
            *ban = (struct ban){.source = BAN_OURS, .made = now.unix_s + batch * BATCH + i, .event_count = 6};
            ban->until = ban->made + DAY;
            memset(ban->reason, 'r', sizeof ban->reason - 1);
            ban->network =
                (struct conf_network){.ip = {0x20, 1, (uint8_t)batch, (uint8_t)(i >> 8), (uint8_t)i}};
            ban->network.bits = 64;
        }
        assert_int_equal(ban_store_write(store, writes, BATCH, NULL), ERR_OK);
    }
    for (unsigned i = 0; i < OWNERS; i++)
        writes[i] =
            (struct ban_write){.kind = BAN_WRITE_OWNER,
                               .ban.network = {.ip = {0x20, 1, (uint8_t)(i >> 8), (uint8_t)i}, .bits = 64},
                               .seen = now.unix_s + i};
    assert_int_equal(ban_store_write(store, writes, OWNERS, NULL), ERR_OK);
    ban_store_close(&store);
    assert_true(rows_in(path, bans_sql) < BATCH * BATCHES);
    assert_int_equal(ban_store_open(path, true, &store, NULL), ERR_OK);
    assert_int_equal(ban_store_load(store, bans, now.unix_s, NULL), ERR_OK);
    ban_store_close(&store);
    assert_int_equal(map_count(bans->ours), BANS_OURS_MAX);
    assert_int_equal(map_count(bans->owners), BANS_OWNERS_MAX);
    assert_int_equal(rows_in(path, bans_sql), BANS_OURS_MAX);
    assert_int_equal(rows_in(path, owners_sql), BANS_OWNERS_MAX);
    /* the newest of both */
    const struct conf_network last = {.ip = {0x20, 1, (uint8_t)((OWNERS - 1) >> 8), (uint8_t)(OWNERS - 1)},
                                      .bits = 64};
    assert_true(bans_owner_seen(bans, &last, &now) != 0);
    free(writes);
    bans_free(&bans);
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
}

/* A row of the file that was damaged shuts nobody out, and lets nobody in. */
static void test_damaged_row(void **state)
{
    (void)state;
    struct bans *bans = bans_with("bans: local\n");
    struct ban ban = {.source = BAN_HAND, .until = BANS_FOR_EVER};
    assert_false(bans_restore(bans, &ban));
    assert_false(bans_restore_owner(bans, &ban.network, now.unix_s));
    assert_int_equal(refused_until(bans, "203.0.113.9"), 0);
    bans_free(&bans);
}

/* IPv4 stands in IPv6 as ::ffff:0:0/96: a network around that is all of it. */
static void test_all_of_ipv4(void **state)
{
    (void)state;
    static const char *const networks[] = {"::/16", "::/64", "::/80", "::fffe:0:0/95"};
    struct bans *bans = bans_with("bans: local\n");
    const struct ban *ban;
    struct conf_network network;
    struct why why;
    for (size_t i = 0; i < ARRAY_LEN(networks); i++) {
        char line[100];
        assert_true(bans_read_network(slice_of(networks[i]), &network));
        assert_int_equal(bans_add(bans, &network, BANS_FOR_EVER, SLICE_EMPTY, &now, &ban, &why), ERR_REFUSED);
        assert_non_null(strstr(why.text, "IPv4"));
        (void)snprintf(line, sizeof line, "+ %zu %s 600 ban crowdsec x", i, networks[i]);
        assert_true(decisions_take(bans->decisions, slice_of(line), now.unix_s));
    }
    assert_int_equal(decisions_count(bans->decisions), 0);
    assert_int_equal(offend(bans, "::5", SCORE_SPAM_TRAP, 10).outcome, BANS_MADE);
    assert_true(refused_until(bans, "::5"));
    assert_int_equal(refused_until(bans, "203.0.113.9"), 0);
    assert_true(bans_read_network(SLICE("::fffe:0:0/96"), &network));
    assert_int_equal(bans_add(bans, &network, BANS_FOR_EVER, SLICE_EMPTY, &now, &ban, &why), ERR_OK);
    bans_free(&bans);
}

/* ---- CrowdSec ---- */

static void test_decisions(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        bool taken;
        size_t count;
        uint64_t refused;
    } rows[] = {
        {"+ 1 203.0.113.1 3600 ban crowdsec crowdsecurity/postfix-spam", true, 1, 0},
        {"+ 1 203.0.113.1 7200 ban crowdsec crowdsecurity/postfix-spam", true, 1, 0},
        {"+ 2 203.0.113.1 60 ban cscli manual", true, 2, 0},
        {"+ 3 203.0.113.77/24 60 ban cscli manual", true, 3, 0}, /* bits behind the prefix */
        {"+ 4 2001:db8::/48 60 ban CAPI http:scan", true, 4, 0},
        {"- 9 203.0.113.1 0 ban crowdsec x", true, 4, 0},
        {"- 2 203.0.113.1 0 ban cscli manual", true, 3, 0},
        {"- 4 2001:db8::/48 0 ban CAPI http:scan", true, 2, 0}, /* which has moved */
        {"- 4 2001:db8::/48 0 ban CAPI http:scan", true, 2, 0},
        {"+ 4 2001:db8::/48 60 ban CAPI http:scan", true, 3, 0},
        {"+ 5 0.0.0.0/0 60 ban cscli manual", true, 3, 1},
        {"+ 5 ::/0 60 ban cscli manual", true, 3, 2},
        {"+ 5 ::ffff:0.0.0.0/96 60 ban cscli manual", true, 3, 3},
        {"+ 5 example.org 60 ban cscli manual", true, 3, 4},
        {"+ 5 203.0.113.1/99 60 ban cscli manual", true, 3, 5},
        {"", false, 3, 5},
        {"+", false, 3, 5},
        {"* 5 203.0.113.1 60 ban cscli manual", false, 3, 5},
        {"+ x 203.0.113.1 60 ban cscli manual", false, 3, 5},
        {"+ 5 203.0.113.1 -60 ban cscli manual", false, 3, 5},
        {"+ 5 203.0.113.2 18446744073709551615 ban cscli manual", true, 4, 5},
        {"+ 18446744073709551615 203.0.113.3 1 ban cscli manual", true, 5, 5},
    };
    struct bans *bans = bans_with("bans: observe\n");
    struct decisions *d = bans->decisions;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(decisions_take(d, slice_of(rows[i].line), now.unix_s), rows[i].taken);
        assert_int_equal(decisions_count(d), rows[i].count);
        assert_int_equal(decisions_refused(d), rows[i].refused);
    }
    assert_int_equal(refused_until(bans, "203.0.113.1"), now.unix_s + 7200);
    assert_int_equal(refused_until(bans, "203.0.113.200"), now.unix_s + 60);
    assert_true(refused_until(bans, "2001:db8::9"));
    struct conf_network network;
    assert_true(bans_read_network(SLICE("203.0.113.1"), &network));
    const struct decision *found = decisions_find(d, &network, now.unix_s);
    assert_int_equal(found->id, 1);
    assert_string_equal(decisions_word(d, found->scenario), "crowdsecurity/postfix-spam");
    decisions_expire(d, now.unix_s + 100);
    assert_int_equal(decisions_count(d), 2);
    assert_true(decisions_take(d, SLICE("- 1 203.0.113.1 0 ban x y"), now.unix_s));
    assert_false(refused_until(bans, "203.0.113.1"));
    /* more different words than are kept */
    for (unsigned i = 0; i < 400; i++) {
        char line[80];
        (void)snprintf(line, sizeof line, "+ %u 203.0.113.1 60 ban o%u s%u", 1000 + i, i, i);
        assert_true(decisions_take(d, slice_of(line), now.unix_s));
    }
    bans_free(&bans);
}

static void test_many_decisions(void **state)
{
    (void)state;
    struct bans *bans = bans_with("bans: observe\n");
    uint64_t begun = clock_mono_ms();
    for (unsigned i = 0; i < 100000; i++) {
        char line[100];
        (void)snprintf(line, sizeof line, "+ %u %u.%u.%u.0/24 3600 ban CAPI ssh:bruteforce", i,
                       11 + (i >> 16), i >> 8 & 255, i & 255);
        assert_true(decisions_take(bans->decisions, slice_of(line), now.unix_s));
    }
    uint64_t taken = clock_mono_ms() - begun;
    size_t count;
    begun = clock_mono_ns();
    free(bans_snapshot(bans, &now, &count));
    uint64_t snapshot = (clock_mono_ns() - begun) / 1000;
    begun = clock_mono_ns();
    struct decisions *old = bans->decisions;
    bans->decisions = decisions_new();
    decisions_free(&old);
    uint64_t freed = (clock_mono_ns() - begun) / 1000;
    print_message("100,000 decisions: taken in %llu ms, a snapshot %llu us, forgotten in %llu us\n",
                  (unsigned long long)taken, (unsigned long long)snapshot, (unsigned long long)freed);
    assert_true(count >= 100000);
    assert_true(snapshot < 200000);
    bans_free(&bans);
}

/* ---- the command ---- */

static uint32_t run(struct bans *bans, bool json, struct buf *out, const char *a, const char *b,
                    const char *c, const char *d)
{
    const char *words[] = {a, b, c, d};
    struct slice arguments[4];
    struct ban_command command = {.bans = bans, .now = now, .json = json, .arguments = arguments, .out = out};
    for (size_t i = 0; i < 4 && words[i]; i++)
        arguments[command.count++] = slice_of(words[i]);
    buf_clear(out);
    do
        ban_command(&command);
    while (command.more);
    buf_add_byte(out, 0);
    return command.exit_code;
}

static void expect(struct buf *out, const char *text)
{
    if (!strstr((const char *)out->data, text))
        print_message("%s\nhas no: %s\n", (const char *)out->data, text);
    assert_non_null(strstr((const char *)out->data, text));
}

static void test_command(void **state)
{
    (void)state;
    AUTO_BUF struct buf out = buf_new(1 << 20);
    struct bans *bans = bans_with("bans: local\ntrusted_networks: [ 198.51.100.0/24 ]\n");
    struct bans_verdict v;
    assert_int_equal(run(bans, false, &out, NULL, NULL, NULL, NULL), 2);
    assert_int_equal(run(bans, false, &out, "list", "x", NULL, NULL), 2);
    assert_int_equal(run(bans, false, &out, "list", NULL, NULL, NULL), 0);
    expect(&out, "nobody is banned\n");
    assert_int_equal(run(bans, true, &out, "list", NULL, NULL, NULL), 0);
    assert_string_equal((const char *)out.data, "[]\n");
    assert_int_equal(guess_on(bans, "203.0.113.9", &v), 10);
    assert_int_equal(run(bans, false, &out, "explain", "203.0.113.9", NULL, NULL), 0);
    expect(&out, "203.0.113.9 is refused until 2027-01-15T08:15:00Z\n");
    expect(&out, "ban of ours, number 1: failed_login, made 2027-01-15T08:00:00Z");
    expect(&out, "10x failed_login on imap: jane@example.org, 10 points each");
    assert_int_equal(run(bans, true, &out, "explain", "203.0.113.9", NULL, NULL), 0);
    expect(&out, "{\"address\":\"203.0.113.9\",\"banned\":true,");
    expect(&out, "\"evidence\":[{\"kind\":\"failed_login\",\"at\":\"2027-01-15T08:00:00Z\",\"count\":10,");
    assert_int_equal(run(bans, false, &out, "add", "192.0.2.0/24", "--for", "2h"), 0);
    expect(&out, "192.0.2.0/24 is banned until 2027-01-15T10:00:00Z\n");
    assert_int_equal(run(bans, false, &out, "add", "2001:db8::/64", "--reason", "be\"ast"), 0);
    expect(&out, "2001:db8::/64 is banned until it is removed\n");
    assert_int_equal(run(bans, false, &out, "list", NULL, NULL, NULL), 0);
    expect(&out, "2001:db8::/64        hand      until it is removed; be\"ast\n");
    expect(
        &out,
        "203.0.113.9          ours      until 2027-01-15T08:15:00Z; failed_login, 10 events, ban number 1\n");
    assert_int_equal(run(bans, true, &out, "list", "--source", "hand", NULL), 0);
    expect(&out, "\"reason\":\"be\\\"ast\"");
    assert_null(strstr((const char *)out.data, "203.0.113.9"));
    assert_int_equal(run(bans, false, &out, "explain", "192.0.2.7", NULL, NULL), 0);
    expect(&out, "banned by hand: 192.0.2.0/24, since");
    /* what cannot be */
    assert_int_equal(run(bans, false, &out, "add", "198.51.100.7", NULL, NULL), 1);
    expect(&out, "198.51.100.7 is never banned: trusted_networks covers it");
    assert_int_equal(run(bans, false, &out, "add", "0.0.0.0/0", NULL, NULL), 1);
    assert_int_equal(run(bans, false, &out, "add", "::/0", NULL, NULL), 1);
    assert_int_equal(run(bans, false, &out, "add", "127.0.0.1", NULL, NULL), 1);
    assert_int_equal(run(bans, false, &out, "add", "192.0.2.1/24", NULL, NULL), 2);
    expect(&out, "is no address or network");
    assert_int_equal(run(bans, false, &out, "add", "\x1b[2Jx", NULL, NULL), 2);
    assert_null(strchr((const char *)out.data, 0x1b));
    assert_int_equal(run(bans, false, &out, "add", "192.0.2.1", "--for", "x"), 2);
    assert_int_equal(run(bans, false, &out, "add", "192.0.2.1", "--for", NULL), 2);
    /* removing */
    assert_int_equal(run(bans, false, &out, "remove", "192.0.2.7", NULL, NULL), 1);
    expect(&out, "still banned by hand, as part of 192.0.2.0/24");
    assert_int_equal(run(bans, false, &out, "remove", "192.0.2.0/24", NULL, NULL), 0);
    assert_int_equal(run(bans, false, &out, "remove", "192.0.2.0/24", NULL, NULL), 1);
    assert_int_equal(run(bans, false, &out, "remove", "203.0.113.9", NULL, NULL), 0);
    assert_false(refused_until(bans, "203.0.113.9"));
    assert_true(decisions_take(bans->decisions, SLICE("+ 12 203.0.113.9 60 ban cscli manual"), now.unix_s));
    assert_int_equal(run(bans, false, &out, "remove", "203.0.113.9", NULL, NULL), 1);
    expect(&out, "cscli decisions delete --id 12");
    assert_int_equal(run(bans, false, &out, "explain", "198.51.100.7", NULL, NULL), 0);
    expect(&out, "198.51.100.7 is not banned\n  never banned: trusted_networks covers it\n");
    bans_use(bans, settings_with("bans: off\n"));
    assert_int_equal(run(bans, false, &out, "add", "192.0.2.1", NULL, NULL), 1);
    assert_int_equal(run(bans, false, &out, "explain", "203.0.113.9", NULL, NULL), 0);
    expect(&out, "203.0.113.9 is not banned\n");
    bans_free(&bans);
}

/* A thousand rows of each kind, in pages, as one JSON array. */
/* What is shown on a terminal commands none, and stays UTF-8 where it is cut; times that nobody can mean. */
static void test_texts(void **state)
{
    (void)state;
    struct bans *bans = bans_with("bans: local\n");
    AUTO_BUF struct buf out = buf_new(100000);
    const struct netaddr client = address("203.0.113.9");
    const struct bans_offence offence = {.kind = SCORE_SPAM_TRAP,
                                         .count = 1,
                                         .client = &client,
                                         .where = SLICE("mx"),
                                         .detail = SLICE("a\xc2\x9b"
                                                         "2J\xc3\xa4\x7f")};
    struct bans_verdict v = bans_offend(bans, &offence, &now);
    assert_string_equal(v.track->events[0].detail, "a??2J\xc3\xa4?");
    char reason[BANS_REASON_MAX + 20];
    memset(reason, 'r', sizeof reason);
    memcpy(reason + BANS_REASON_MAX - 2, "\xc3\xa4", 2);
    memcpy(reason, "line\n\x1b[2J", 9);
    struct conf_network network;
    const struct ban *ban;
    assert_true(bans_read_network(SLICE("192.0.2.1"), &network));
    assert_int_equal(
        bans_add(bans, &network, BANS_FOR_EVER, slice_make(reason, sizeof reason), &now, &ban, NULL), ERR_OK);
    assert_true(slice_is_utf8(slice_of(ban->reason)));
    assert_int_equal(strlen(ban->reason), BANS_REASON_MAX - 2);
    assert_memory_equal(ban->reason, "line??[2J", 9);
    static const char *const times[] = {"18446744073709551615ms", "213503982334d", "99999999d", "0"};
    for (size_t i = 0; i < ARRAY_LEN(times); i++)
        assert_int_equal(run(bans, false, &out, "add", "192.0.2.2", "--for", times[i]), 2);
    assert_int_equal(run(bans, false, &out, "add", "192.0.2.2", "--for", "1ms"), 0);
    assert_int_equal(run(bans, false, &out, "add", "192.0.2.2", "--for", "36500d"), 0);
    bans_free(&bans);
}

static void test_long_list(void **state)
{
    (void)state;
    AUTO_BUF struct buf out = buf_new(4 << 20);
    struct bans *bans = bans_with("bans: local\n");
    size_t rows = 0;
    for (unsigned i = 0; i < 1000; i++) {
        char text[100];
        struct conf_network network;
        const struct ban *ban;
        (void)snprintf(text, sizeof text, "198.18.%u.%u", i >> 8, i & 255);
        assert_int_equal(offend(bans, text, SCORE_SPAM_TRAP, 2).outcome, BANS_MADE);
        (void)snprintf(text, sizeof text, "198.19.%u.%u", i >> 8, i & 255);
        assert_true(bans_read_network(slice_of(text), &network));
        assert_int_equal(bans_add(bans, &network, BANS_FOR_EVER, SLICE_EMPTY, &now, &ban, NULL), ERR_OK);
        (void)snprintf(text, sizeof text, "+ %u 203.0.%u.%u 60 ban cscli manual", i, i >> 8, i & 255);
        assert_true(decisions_take(bans->decisions, slice_of(text), now.unix_s));
    }
    assert_int_equal(run(bans, true, &out, "list", NULL, NULL, NULL), 0);
    for (const char *at = (const char *)out.data; (at = strstr(at, "{\"network\"")) != NULL; at++)
        rows++;
    assert_int_equal(rows, 3000);
    assert_int_equal(out.data[0], '[');
    assert_non_null(strstr((const char *)out.data, "}]\n"));
    bans_free(&bans);
}

/* ---- evidence ---- */

static void test_evidence(void **state)
{
    (void)state;
    struct bans *bans = bans_with("bans: observe\n");
    const struct netaddr client = address("203.0.113.9");
    static const struct {
        struct slice in;
        const char *kept;
    } rows[] = {
        {SLICE("plain@example.org"), "plain@example.org"},
        {SLICE("a\r\nb\x1b[2J\x7f"), "a??b?[2J?"},
        {SLICE("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f"},
        {SLICE("bad \xff\xfe"), "bad ??"},
        {SLICE("nul\0nul"), "nul?nul"},
        {SLICE_EMPTY, ""},
        /* cut between two characters: 54 bytes, then one of two bytes */
        {SLICE("123456789012345678901234567890123456789012345678901234\xc3\xbc tail"),
         "123456789012345678901234567890123456789012345678901234"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct bans_offence offence = {.kind = SCORE_UNKNOWN_RECIPIENT,
                                             .count = 1,
                                             .client = &client,
                                             .where = SLICE("mx"),
                                             .detail = rows[i].in};
        struct bans_verdict v = bans_offend(bans, &offence, &now);
        assert_string_equal(v.track->events[(v.track->event_count - 1) % BANS_EVENTS].detail, rows[i].kept);
    }
    bans_free(&bans);
}

static int begin(void **state)
{
    (void)state;
    arena = arena_new(64u << 20);
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rising),
        cmocka_unit_test(test_ipv6),
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_old_password),
        cmocka_unit_test(test_who_is_spared),
        cmocka_unit_test(test_owner),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_store),
        cmocka_unit_test(test_decisions),
        cmocka_unit_test(test_many_decisions),
        cmocka_unit_test(test_command),
        cmocka_unit_test(test_long_list),
        cmocka_unit_test(test_evidence),
        cmocka_unit_test(test_damaged_row),
        cmocka_unit_test(test_all_of_ipv4),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_store_is_bounded),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
