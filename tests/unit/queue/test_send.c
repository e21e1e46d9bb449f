/* Mail that leaves, in the whole role with a relay that answers as the test says: what becomes of each row.
 */
#include "out_rig.h"

#include "queue/keys.h"

static const char yaml[] = OUT_YAML "queue: { retry_first: 200ms, retry_max: 400ms }\n";
static const char yaml_slow[] = OUT_YAML "queue: { retry_first: 1h }\n";
static const char yaml_relay[] =
    OUT_YAML "relay: { host: relay.example.net, daily: 3 }\nqueue: { retry_first: 1h }\n";

static const struct out_mail three = {.sender = "john@example.org",
                                      .account = "john@example.org",
                                      .to = {"a@example.net", "b@example.net", "c@example.net"}};

static bool holds(const struct out *o, const char *text)
{
    return strstr(o->body, text) != NULL;
}

/* What is handed to relay, and that all is gone when it was taken. */
static void sent(void **state)
{
    (void)state;
    struct out *o = out_new(yaml, NULL);
    const char *id = out_mail(o, &three);
    const struct out_send *send = out_take(o, 0, &out_sent);
    assert_string_equal(send->id, id);
    assert_string_equal(send->host, "example.net");
    assert_string_equal(send->sender, "john@example.org");
    assert_string_equal(send->prefix, "Received: by us\r\n");
    assert_string_equal(send->first, "a@example.net");
    assert_int_equal(send->rows, 3);
    out_until_number(o, OUT_ROWS, 0);
    assert_int_equal(out_number(o, "SELECT count(*) FROM queue_message"), 0);
    rig_for(o->rig, 30);
    assert_int_equal(o->drops, 1);
    assert_int_equal(o->count, 1);
    assert_int_equal(o->bodies, 0);
    assert_int_equal(out_number(o, "SELECT sum(count) FROM attempt WHERE outcome = 0"), 1);
    out_free(o);
}

/* One transaction, three fates. */
static void each_row_its_own(void **state)
{
    (void)state;
    struct out *o = out_new(yaml_slow, NULL);
    const struct out_answer answers[] = {out_sent, out_later, out_refused};
    (void)out_mail(o, &three);
    out_reply(o, out_take(o, 0, NULL), answers, 3);
    out_until_number(o, OUT_ROWS " WHERE claimed = 0", 1);
    out_until_number(o, OUT_ROWS, 1);
    assert_int_equal(out_number(o, OUT_ROWS " WHERE target = 'b@example.net' AND attempts = 1 AND code = 452"
                                            " AND error = 'mailbox full' AND remote = 'mx.example.net'"),
                     1);
    assert_int_equal(o->bodies, 1);
    assert_true(holds(o, "c@example.net") && holds(o, "550 5.1.1 no such user"));
    assert_false(holds(o, "Final-Recipient: rfc822; a@example.net"));
    out_free(o);
}

static void tried_again(void **state)
{
    (void)state;
    struct out *o = out_new(yaml, NULL);
    (void)out_letter(o, "john@example.org", "a@example.net");
    for (size_t i = 0; i < 4; i++)
        (void)out_take(o, i, &out_later);
    for (size_t i = 1; i < 4; i++)
        assert_true(o->sends[i].at_ms >= o->sends[i - 1].at_ms + (i == 1 ? 170 : 350));
    (void)out_take(o, 4, &out_sent);
    out_until_number(o, OUT_ROWS, 0);
    out_free(o);
}

/* An answer that leaves out a row, names one of another, or has none at all. */
static void odd_results(void **state)
{
    (void)state;
    struct out *o = out_new(yaml_slow, NULL);
    (void)out_mail(o, &three);
    struct out_send *send = out_take(o, 0, NULL);
    send->rows = 2;
    send->ordinals[1] = 77;
    out_reply(o, send, &out_sent, 1);
    out_until_number(o, OUT_ROWS " WHERE claimed = 0", 2);
    assert_int_equal(out_number(o, OUT_ROWS " WHERE target = 'a@example.net'"), 0);
    assert_int_equal(out_number(o, OUT_ROWS " WHERE error = 'no result for this recipient'"), 2);
    (void)out_letter(o, "john@example.org", "d@other.example");
    send = out_take(o, 1, NULL);
    send->rows = 0;
    out_reply(o, send, &out_sent, 1);
    out_until_number(o, OUT_ROWS " WHERE claimed = 0", 3);
    out_free(o);
}

/* relay dies with a transaction under way: it may have been taken, and is tried once more. */
static void relay_dies(void **state)
{
    (void)state;
    struct out *o = out_new(yaml, NULL);
    (void)out_letter(o, "john@example.org", "a@example.net");
    (void)out_take(o, 0, NULL);
    ipc_link_close(o->rig->peers[ROLE_RELAY]);
    out_until_number(o, OUT_ROWS " WHERE claimed = 0 AND attempts = 1", 1);
    rig_for(o->rig, 300);
    assert_int_equal(o->count, 1); /* nobody is there */
    rig_connect(o->rig, ROLE_RELAY);
    (void)out_take(o, 1, &out_sent);
    out_until_number(o, OUT_ROWS, 0);
    out_free(o);
}

/* A process that dies leaves claimed rows: the next one sends them, and what was sent and settled not. */
static void queue_dies(void **state)
{
    (void)state;
    struct out *o = out_new(yaml, NULL);
    const char *first = out_letter(o, "john@example.org", "a@example.net");
    const char *second = out_letter(o, "john@example.org", "b@other.example");
    (void)out_take(o, 1, NULL);
    size_t known = strcmp(o->sends[0].id, first) == 0 ? 0 : 1;
    out_reply(o, &o->sends[known], &out_sent, 1);
    out_until_number(o, OUT_ROWS, 1);
    out_restart(o, yaml, NULL);
    assert_string_equal(out_take(o, 0, &out_sent)->id, second);
    out_until_number(o, OUT_ROWS, 0);
    rig_for(o->rig, 50);
    assert_int_equal(o->count, 1);
    out_free(o);
}

/* The 7-bit form is another file with a signature of its own; a server that wants it gets it at once. */
static void seven_bit(void **state)
{
    (void)state;
    static const struct out_answer wants = {.outcome = RELAY_OUTCOME_SEVEN_BIT};
    static const struct out_mail mail = {.sender = "john@example.org",
                                         .to = {"a@example.net"},
                                         .eightbit = true,
                                         .signature = "DKIM-Signature: d=example.org; old\r\n"};
    struct out *o = out_new(yaml, NULL);
    out_tell_key(o->rig, true);
    (void)out_mail(o, &mail);
    const struct out_send *send = out_take(o, 0, &wants);
    assert_true(send->eightbit && strstr(send->prefix, "old"));
    send = out_take(o, 1, &out_sent);
    assert_int_equal(o->seven_bit_opens, 1);
    assert_int_equal(o->signs, 1);
    assert_false(send->eightbit);
    assert_true(strstr(send->prefix, "new") && !strstr(send->prefix, "old"));
    out_until_number(o, OUT_ROWS, 0);
    o->seven_bit_err = ERR_REFUSED; /* a form that cannot be made: bounced */
    (void)out_mail(o, &mail);
    (void)out_take(o, 2, &wants);
    out_until_number(o, OUT_ROWS, 0);
    assert_int_equal(o->bodies, 1);
    assert_true(holds(o, "Status: 5.6.3"));
    assert_int_equal(o->count, 3);
    out_free(o);
}

/* SMTPUTF8 is asked of the next server for mail that came with it and needs it, and for addresses; a header
 * in raw 8-bit bytes is 8-bit text like another, whatever its charset. */
static void what_it_needs(void **state)
{
    (void)state;
    static const struct {
        struct out_mail mail;
        bool smtputf8, eightbit;
    } rows[] = {
        {{.sender = "john@example.org", .to = {"a@example.net"}}, false, false},
        {{.sender = "john@example.org", .to = {"a@example.net"}, .eightbit = true}, false, true},
        {{.sender = "john@example.org", .to = {"a@example.net"}, .utf8_header = true}, false, true},
        {{.sender = "john@example.org", .to = {"a@example.net"}, .smtputf8 = true}, false, false},
        {{.sender = "john@example.org", .to = {"a@example.net"}, .utf8_header = true, .smtputf8 = true},
         true,
         true},
        {{.sender = "j\303\266hn@example.org", .to = {"a@example.net"}}, true, false},
        {{.sender = "john@example.org", .to = {"\303\244@example.net"}, .eightbit = true}, true, true},
    };
    struct out *o = out_new(yaml, NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        (void)out_mail(o, &rows[i].mail);
        const struct out_send *send = out_take(o, i, &out_sent);
        print_message("row %zu\n", i);
        assert_int_equal(send->smtputf8, rows[i].smtputf8);
        assert_int_equal(send->eightbit, rows[i].eightbit);
    }
    out_free(o);
}

static void no_file(void **state)
{
    (void)state;
    struct out *o = out_new(yaml, NULL);
    o->open_err = ERR_LATER;
    (void)out_letter(o, "john@example.org", "a@example.net");
    out_until_number(o, OUT_ROWS " WHERE claimed = 0 AND attempts = 1", 1);
    o->open_err = ERR_ABSENT;
    out_until_number(o, OUT_ROWS, 0);
    assert_int_equal(o->count, 0);
    assert_int_equal(o->bodies, 1);
    out_free(o);
}

/* A relay that refuses our login gets nothing more until its secret changes; the mail stays, untried. */
static void login_refused(void **state)
{
    (void)state;
    static const struct out_answer login = {
        .outcome = RELAY_OUTCOME_LOGIN, .code = 535, .enhanced = "5.7.8", .text = "who are you"};
    struct out *o = out_new(yaml_relay, NULL);
    uint64_t until;
    (void)out_letter(o, "john@example.org", "a@example.net");
    assert_int_equal(out_take(o, 0, &login)->route, RELAY_ROUTE_RELAY);
    out_until_number(o, OUT_ROWS " WHERE claimed = 0 AND attempts = 0 AND code = 535", 1);
    assert_string_equal(schedule_route_state(o->q, SLICE("relay:default"), &until), "login refused");
    (void)out_letter(o, "john@example.org", "b@example.net");
    rig_for(o->rig, 100);
    assert_int_equal(o->count, 1);
    const struct wire_relay_secret_changed other = {.relay = 7}, changed = {.relay = 0};
    rig_tell(o->rig, ROLE_RELAY, WIRE_RELAY_SECRET_CHANGED, &other);
    rig_for(o->rig, 50);
    assert_int_equal(o->count, 1);
    rig_tell(o->rig, ROLE_RELAY, WIRE_RELAY_SECRET_CHANGED, &changed);
    (void)out_take(o, 1, &out_sent);
    (void)out_take(o, 2, &out_sent);
    out_until_number(o, OUT_ROWS, 0);
    out_free(o);
}

/* Other settings: mail that waits for a login is tried with them, another relay's way if theirs is gone. */
static void login_refused_settings(void **state)
{
    (void)state;
    static const struct out_answer login = {
        .outcome = RELAY_OUTCOME_LOGIN, .code = 535, .enhanced = "5.7.8", .text = "who are you"};
    static const char yaml_gone[] = OUT_YAML "queue: { retry_first: 1h }\n";
    const char *const after[] = {yaml_relay, yaml_gone};
    for (size_t i = 0; i < ARRAY_LEN(after); i++) {
        struct out *o = out_new(yaml_relay, NULL);
        (void)out_letter(o, "john@example.org", "a@example.net");
        (void)out_take(o, 0, &login);
        out_until_number(o, OUT_ROWS " WHERE claimed = 0 AND code = 535", 1);
        rig_for(o->rig, 50);
        rig_reload(o->rig, after[i], NULL);
        const struct out_send *send = out_take(o, 1, &out_sent);
        assert_int_equal(send->route, i ? RELAY_ROUTE_DIRECT : RELAY_ROUTE_RELAY);
        out_until_number(o, OUT_ROWS, 0);
        out_free(o);
    }
}

/* The relay that takes over has it, also what the first one's refusal met; and where that one refuses us too,
 * it goes on when either's secret is another. */
static void login_refused_twice(void **state)
{
    (void)state;
    static const struct out_answer login = {
        .outcome = RELAY_OUTCOME_LOGIN, .code = 535, .enhanced = "5.7.8", .text = "who are you"};
    static const char yaml_two[] = OUT_YAML "relay: { host: relay.example.net, next: second }\n"
                                            "relays: [ { name: second, host: two.example.net } ]\n";
    struct out *o = out_new(yaml_two, NULL);
    const struct wire_relay_secret_changed second = {.relay = 1};
    (void)out_letter(o, "john@example.org", "a@example.net");
    assert_int_equal(out_take(o, 0, &login)->relay, 0);
    assert_int_equal(out_take(o, 1, &login)->relay, 1);
    rig_for(o->rig, 100);
    assert_int_equal(o->count, 2);
    rig_tell(o->rig, ROLE_RELAY, WIRE_RELAY_SECRET_CHANGED, &second);
    assert_int_equal(out_take(o, 2, &out_sent)->relay, 1);
    out_until_number(o, OUT_ROWS, 0);
    out_free(o);
}

/* What the relay did not take of what was on its way is there for others, today. */
static void quota_given_back(void **state)
{
    (void)state;
    struct out *o = out_new(yaml_relay, NULL);
    (void)out_mail(o, &three);
    (void)out_take(o, 0, NULL);
    (void)out_letter(o, "john@example.org", "d@example.net");
    rig_for(o->rig, 100);
    assert_int_equal(o->count, 1); /* all three may be taken yet */
    out_reply(o, &o->sends[0], &out_refused, 1);
    assert_string_equal(out_take(o, 1, &out_sent)->first, "d@example.net");
    out_free(o);
}

/* What exceeds the relay's day waits, in the database, as such. */
static void quota(void **state)
{
    (void)state;
    struct out *o = out_new(yaml_relay, NULL);
    uint64_t until;
    o->at_once = true;
    (void)out_mail(o, &three);
    out_until_number(o, OUT_ROWS, 0);
    (void)out_mail(o, &three);
    out_until_number(o, OUT_ROWS " WHERE claimed = 0 AND attempts = 0", 3);
    rig_for(o->rig, 50);
    assert_int_equal(o->count, 1);
    assert_string_equal(schedule_route_state(o->q, SLICE("relay:default"), &until), "waiting for quota");
    assert_int_equal(out_number(o, "SELECT used FROM relay_usage"), 3);
    out_restart(o, yaml_relay, NULL);
    rig_for(o->rig, 100);
    assert_int_equal(o->count, 0); /* what was used is known after a restart */
    out_free(o);
}

/* The news of a success cannot be written: only that is tried again, also by the next process. */
static void only_the_news_again(void **state)
{
    (void)state;
    static const struct out_mail wants = {
        .sender = "john@example.org", .to = {"a@example.net", "b@example.net"}, .notify = 2};
    const struct out_answer half[] = {out_sent, out_later};
    struct out *o = out_new(yaml_slow, NULL);
    o->body_fails = true;
    const char *id = out_mail(o, &wants);
    out_reply(o, out_take(o, 0, NULL), half, 2);
    out_until_number(o, OUT_ROWS " WHERE claimed = 1 AND route = 'told' AND ordinal = 0 AND code = 250", 1);
    out_until_number(o, OUT_ROWS " WHERE claimed = 0 AND route = 'direct:example.net'", 1);
    rig_for(o->rig, 50);
    assert_true(o->bodies > 0 && o->deliveries == 0);
    out_restart(o, yaml_slow, NULL); /* still fails */
    out_until_number(o, OUT_ROWS " WHERE claimed = 1 AND route = 'told'", 1);
    o->body_fails = false;
    out_restart(o, yaml_slow, NULL);
    out_until_number(o, OUT_ROWS " WHERE message <> '' AND route = 'told'", 0);
    rig_for(o->rig, 50);
    assert_int_equal(o->count, 0); /* nothing was sent */
    assert_int_equal(o->deliveries, 1);
    assert_true(holds(o, "Action: relayed") && holds(o, "a@example.net") && holds(o, id));
    assert_false(holds(o, "b@example.net"));
    assert_int_equal(out_number(o, OUT_ROWS), 1);
    out_free(o);
}

/* A notification tells the time of the attempt, not its own; where nobody knows it any more, none. */
static void last_attempt(void **state)
{
    (void)state;
    static const char quick[] = OUT_YAML "queue: { retry_first: 1h, expire: 1h, warn: 500ms }\n";
    struct out *o = out_new(quick, NULL);
    (void)out_letter(o, "john@example.org", "a@example.net");
    (void)out_take(o, 0, &out_refused);
    out_until_number(o, OUT_ROWS, 0);
    assert_true(holds(o, "Action: failed") && holds(o, "Last-Attempt-Date: "));
    (void)out_letter(o, "john@example.org", "b@example.net");
    (void)out_take(o, 1, &out_later);
    out_until_number(o, "SELECT count(*) FROM queue_message WHERE warned = 1", 1);
    assert_true(holds(o, "Action: delayed") && holds(o, "Will-Retry-Until: "));
    assert_false(holds(o, "Last-Attempt-Date: "));
    out_free(o);
}

/* Such a row does not expire as failed, and is not late. */
static void news_do_not_expire(void **state)
{
    (void)state;
    static const char quick[] = OUT_YAML "queue: { retry_first: 200ms, expire: 4s, warn: 500ms }\n";
    static const struct out_mail wants = {
        .sender = "john@example.org", .to = {"a@example.net"}, .notify = 14};
    struct out *o = out_new(yaml_slow, NULL);
    o->body_fails = true;
    (void)out_mail(o, &wants);
    (void)out_take(o, 0, &out_sent);
    out_until_number(o, OUT_ROWS " WHERE route = 'told'", 1);
    out_exec(o, "UPDATE queue_recipient SET claimed = 2"); /* held, so that the start does not take it */
    out_restart(o, quick, NULL);
    o->body_fails = false;
    o->bodies = 0;
    out_exec(o,
             "UPDATE queue_recipient SET claimed = 0; DELETE FROM queue_route"); /* found by its age alone */
    out_until_number(o, "SELECT count(*) FROM queue_message WHERE warned = 1", 1);
    assert_int_equal(o->bodies, 0);
    out_until_number(o, OUT_ROWS, 0);
    assert_int_equal(o->bodies, 1);
    assert_true(holds(o, "Action: relayed") && !holds(o, "Action: failed"));
    assert_int_equal(o->count, 0);
    out_free(o);
}

/* A notification that cannot be written keeps no other mail from being returned. */
static void one_stuck_notification(void **state)
{
    (void)state;
    static const char quick[] = OUT_YAML "queue: { retry_first: 1h, expire: 1s }\n";
    struct out *o = out_new(quick, NULL);
    o->body_fails = true;
    (void)out_letter(o, "john@example.org", "a@example.net");
    (void)out_take(o, 0, &out_refused);
    (void)out_letter(o, "john@example.org", "b@example.net");
    (void)out_take(o, 1, &out_later);
    out_until_number(o, OUT_ROWS " WHERE claimed = 0", 1);
    out_until_number(o, OUT_ROWS " WHERE claimed = 0", 0);
    assert_int_equal(out_number(o, OUT_ROWS), 2);
    out_free(o);
}

static const char yaml_hold[] =
    OUT_YAML "dkim: [ { domain: example.org, selector: mail, key_file: /key } ]\n"
             "dkim_missing: hold\nqueue: { retry_first: 100ms, retry_max: 100ms }\n";

/* What the commands do at a release. */
static void release(struct out *o)
{
    out_exec(o, "UPDATE queue_recipient SET claimed = 0, due = 0, hold = '';"
                "INSERT OR REPLACE INTO queue_route (route, due) VALUES ('direct:example.net', 0)");
    schedule_look(o->q);
}

/* Held for want of a key and released when there is one: signed, once, and so it stays. */
static void released_is_signed(void **state)
{
    (void)state;
    struct out *o = out_new(yaml_hold, NULL);
    AUTO_BUF struct buf from = buf_new(100), kept = buf_new(1000);
    wire_strings_add(&from, SLICE("john@example.org"));
    const struct keys_facts facts = {.from = buf_slice(&from),
                                     .hash = SLICE("01234567890123456789012345678901"),
                                     .names = SLICE("from"),
                                     .fields = SLICE("from:x\r\n")};
    keys_facts_add(&kept, &facts);
    const struct out_mail held = {
        .sender = "john@example.org", .to = {"a@example.net"}, .hold = "no key", .to_sign = buf_slice(&kept)};
    out_tell_key(o->rig, false);
    (void)out_mail(o, &held);
    rig_for(o->rig, 50);
    assert_int_equal(o->count, 0);
    out_tell_key(o->rig, true);
    o->sign_err = ERR_LATER; /* auth is away for a moment: it waits for that */
    release(o);
    out_until_number(o, OUT_ROWS " WHERE attempts > 0", 1);
    assert_int_equal(o->count, 0);
    o->sign_err = ERR_OK;
    const struct out_send *send = out_take(o, 0, &out_later);
    assert_string_equal(send->prefix, "DKIM-Signature: d=example.org; new\r\nReceived: by us\r\n");
    unsigned signs = o->signs;
    out_tell_key(o->rig, false); /* the key goes; the signature is there */
    assert_non_null(strstr(out_take(o, 1, &out_later)->prefix, "DKIM-Signature: d=example.org; new"));
    out_restart(o, yaml_hold, NULL);
    out_tell_key(o->rig, false);
    assert_non_null(strstr(out_take(o, 0, &out_sent)->prefix, "DKIM-Signature: d=example.org; new"));
    assert_int_equal(o->signs, signs);
    out_until_number(o, OUT_ROWS, 0);
    /* no key can sign it, and it is released all the same */
    (void)out_mail(o, &held);
    release(o);
    assert_string_equal(out_take(o, 1, &out_later)->prefix, "Received: by us\r\n");
    out_tell_key(o->rig, true); /* the next attempt finds one */
    assert_non_null(strstr(out_take(o, 2, &out_sent)->prefix, "DKIM-Signature: d=example.org; new"));
    out_until_number(o, OUT_ROWS, 0);
    out_free(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sent),
        cmocka_unit_test(each_row_its_own),
        cmocka_unit_test(tried_again),
        cmocka_unit_test(odd_results),
        cmocka_unit_test(relay_dies),
        cmocka_unit_test(queue_dies),
        cmocka_unit_test(seven_bit),
        cmocka_unit_test(what_it_needs),
        cmocka_unit_test(no_file),
        cmocka_unit_test(quota),
        cmocka_unit_test(login_refused),
        cmocka_unit_test(login_refused_settings),
        cmocka_unit_test(login_refused_twice),
        cmocka_unit_test(quota_given_back),
        cmocka_unit_test(only_the_news_again),
        cmocka_unit_test(released_is_signed),
        cmocka_unit_test(last_attempt),
        cmocka_unit_test(news_do_not_expire),
        cmocka_unit_test(one_stuck_notification),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
