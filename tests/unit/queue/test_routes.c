/* Which way mail takes: rules by sender and recipient, relay maps, what takes over; keys and what they say.
 */
#include "out_rig.h"

#include "queue/routes.h"

static const char yaml[] = OUT_YAML "relay: { host: relay.example.net, daily: 100, reserve: 10, "
                                    "reserve_senders: [ probe@example.org ], next: second }\n"
                                    "relays:\n"
                                    "  - { name: second, host: two.example.net, next: direct }\n"
                                    "  - { name: people, host: people.example.net, "
                                    "senders: [ boss@example.org, \"@branch.example\" ] }\n"
                                    "  - { name: partner, host: \"[192.0.2.7]\", "
                                    "recipients: [ partner.example, b\xc3\xbc"
                                    "cher.example ] }\n"
                                    "relay_maps:\n"
                                    "  - { file: /relaymap.cf }\n"
                                    "  - { file: /strict.cf, tls: verify }\n"
                                    "  - { file: /lax.cf, tls: none }\n";
static const struct rig_file files[] = {{SUP_FILE_RELAY_MAP, 0, "/relaymap.cf",
                                         "@mapped.example [smarthost.example.net]:587\n"
                                         "one@mapped.example plain.example.net:2525\n"
                                         "@direct.example\n"},
                                        {SUP_FILE_RELAY_MAP, 1, "/strict.cf",
                                         "@a.example plain.example.net:2525\n"
                                         "@b.example [strict.example.net]:587\n"},
                                        {SUP_FILE_RELAY_MAP, 2, "/lax.cf",
                                         "@c.example plain.example.net:2525\n"
                                         "@d.example [lax.example.net]:25\n"},
                                        {0}};
static const char yaml_direct[] = OUT_YAML;

static const char *way(struct out *o, const char *sender, const char *recipient)
{
    AUTO_BUF struct buf key = buf_new(ROUTES_KEY_MAX + WIRE_NAME_MAX);
    routes_find(o->q->routes, slice_of(sender), slice_of(recipient), &key);
    char *text = arena_must(o->rig->arena, key.len + 1);
    memcpy(text, key.data, key.len);
    text[key.len] = '\0';
    return text;
}

static void find(void **state)
{
    (void)state;
    static const struct {
        const char *sender, *recipient, *key;
    } rows[] = {
        {"john@example.org", "a@example.net", "relay:default"},
        {"", "a@example.net", "relay:default"},
        {"probe@example.org", "a@example.net", "reserve:default"},
        {"PROBE@example.org", "a@example.net", "reserve:default"},
        {"boss@example.org", "a@example.net", "relay:people"},
        {"Boss@Example.ORG", "a@example.net", "relay:people"},
        {"anyone@branch.example", "a@example.net", "relay:people"},
        {"a@sub.branch.example", "a@example.net", "relay:default"},
        {"john@example.org", "x@partner.example", "relay:partner"},
        {"john@example.org", "x@PARTNER.example", "relay:partner"},
        {"john@example.org", "x@sub.partner.example", "relay:default"},
        {"john@example.org", "x@xn--bcher-kva.example", "relay:partner"},
        {"john@example.org",
         "x@b\xc3\xbc"
         "cher.example",
         "relay:partner"},
        {"boss@example.org", "x@partner.example", "relay:partner"}, /* the recipient comes first */
        {"a@mapped.example", "a@example.net", "map:[smarthost.example.net]:587"},
        {"one@mapped.example", "a@example.net", "map:plain.example.net:2525"},
        {"one+tag@mapped.example", "a@example.net", "map:plain.example.net:2525"},
        {"a@mapped.example", "x@partner.example", "relay:partner"},
        {"a@direct.example", "a@Example.NET", "direct:example.net"},
        {"a@direct.example", "a@[192.0.2.1]", "direct:[192.0.2.1]"},
    };
    struct out *o = out_new(yaml, files);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *key = way(o, rows[i].sender, rows[i].recipient);
        if (strcmp(key, rows[i].key) != 0)
            fail_msg("row %zu: %s", i, key);
    }
    out_free(o);
    o = out_new(yaml_direct, NULL);
    assert_string_equal(way(o, "john@example.org", "a@Example.NET"), "direct:example.net");
    assert_string_equal(way(o, "john@example.org",
                            "a@b\xc3\xbc"
                            "cher.example"),
                        "direct:xn--bcher-kva.example");
    out_free(o);
}

static void read_keys(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        bool known;
        uint32_t kind, relay;
        const char *host;
        uint32_t port;
        bool no_mx, reserved;
    } rows[] = {
        {"relay:default", true, RELAY_ROUTE_RELAY, 0, "", 0, false, false},
        {"reserve:default", true, RELAY_ROUTE_RELAY, 0, "", 0, false, true},
        {"relay:partner", true, RELAY_ROUTE_RELAY, 3, "", 0, false, false},
        {"relay:gone", false, 0, 0, "", 0, false, false},
        {"map:[smarthost.example.net]:587", true, RELAY_ROUTE_MAP, UINT32_MAX, "smarthost.example.net", 587,
         true, false},
        {"map:[2001:db8::1]:465", true, RELAY_ROUTE_MAP, UINT32_MAX, "2001:db8::1", 465, true, false},
        {"map:plain.example.net:2525", true, RELAY_ROUTE_MAP, UINT32_MAX, "plain.example.net", 2525, false,
         false},
        {"map:plain.example.net:65536", false, 0, 0, "", 0, false, false},
        {"map:plain.example.net", false, 0, 0, "", 0, false, false},
        {"map:", false, 0, 0, "", 0, false, false},
        {"direct:example.net", true, RELAY_ROUTE_DIRECT, 0, "example.net", 0, false, false},
        {"direct:", false, 0, 0, "", 0, false, false},
        {"local", false, 0, 0, "", 0, false, false},
        {"", false, 0, 0, "", 0, false, false},
    };
    struct out *o = out_new(yaml, files);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct route route;
        bool known = routes_read(o->q->routes, slice_of(rows[i].key), &route);
        bool fine = known == rows[i].known;
        if (known)
            fine = fine && route.kind == rows[i].kind && route.relay == rows[i].relay &&
                   slice_eq(route.host, slice_of(rows[i].host)) && route.port == rows[i].port &&
                   route.no_mx == rows[i].no_mx && route.reserved == rows[i].reserved;
        if (!fine)
            fail_msg("row %zu: %s", i, rows[i].key);
    }
    out_free(o);
}

/* What TLS must be to a host of a relay map; in several files: the strictest. */
static void map_levels(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        enum settings_map_tls tls;
    } rows[] = {
        {"map:[smarthost.example.net]:587", SETTINGS_MAP_AUTO},
        {"map:plain.example.net:2525", SETTINGS_MAP_VERIFY},
        {"map:[plain.example.net]:2525", SETTINGS_MAP_AUTO},
        {"map:[strict.example.net]:587", SETTINGS_MAP_VERIFY},
        {"map:[strict.example.net]:25", SETTINGS_MAP_AUTO},
        {"map:[lax.example.net]:25", SETTINGS_MAP_NONE},
    };
    struct out *o = out_new(yaml, files);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct route route;
        assert_true(routes_read(o->q->routes, slice_of(rows[i].key), &route));
        assert_int_equal(route.tls, rows[i].tls);
    }
    out_free(o);
}

/* default -> second -> direct -> nothing */
static void takes_over(void **state)
{
    (void)state;
    struct out *o = out_new(yaml, files);
    static const char *const chain[] = {"relay:default", "relay:second", "direct:example.net", NULL};
    AUTO_BUF struct buf key = buf_new(ROUTES_KEY_MAX);
    for (size_t i = 0; chain[i]; i++) {
        struct route route;
        assert_true(routes_read(o->q->routes, slice_of(chain[i]), &route));
        buf_clear(&key);
        bool more =
            routes_next(o->q->routes, &route, SLICE("john@example.org"), SLICE("a@example.net"), &key);
        assert_int_equal(more, chain[i + 1] != NULL);
        if (more)
            assert_true(slice_eq(buf_slice(&key), slice_of(chain[i + 1])));
    }
    out_free(o);
}

/* A row whose relay is gone from the settings is sent the way they say now. */
static void reload(void **state)
{
    (void)state;
    struct out *o = out_new(yaml, files);
    const char *boss = "boss@example.org";
    (void)out_letter(o, boss, "a@example.net");
    assert_int_equal(out_take(o, 0, &out_later)->relay, 2);
    out_until_number(o, OUT_ROWS " WHERE claimed = 0 AND route = 'relay:people'", 1);
    rig_reload(o->rig, yaml_direct, NULL);
    schedule_unblock(o->q, SLICE_EMPTY);
    o->q->clock->kept.correction_ms -= 3600000; /* an hour later */
    schedule_look(o->q);
    assert_int_equal(out_take(o, 1, &out_sent)->route, RELAY_ROUTE_DIRECT);
    out_until_number(o, OUT_ROWS, 0);
    out_free(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(find), cmocka_unit_test(read_keys),
                                       cmocka_unit_test(map_levels), cmocka_unit_test(takes_over),
                                       cmocka_unit_test(reload)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
