/* URLs of web services. RFC 9110 section 4.2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/coll.h"
#include "grammar/http_url.h"

static void test_urls(void **state)
{
    static const struct {
        const char *text, *host; /* NULL: none */
        const char *path;
        unsigned port;
        bool plain, address;
    } rows[] = {
        {"http://127.0.0.1:8080/", "127.0.0.1", "", 8080, true, true},
        {"http://127.0.0.1", "127.0.0.1", "", 80, true, true},
        {"https://lapi.example.org", "lapi.example.org", "", 443, false, false},
        {"HTTPS://lapi.example.org:1/a/b-c_~.1//", "lapi.example.org", "/a/b-c_~.1", 1, false, false},
        {"http://[::1]:8080", "::1", "", 8080, true, true},
        {"http://[2001:db8::1]/x", "2001:db8::1", "/x", 80, true, true},
        {"http://crowdsec:8080/", "crowdsec", "", 8080, true, false},
        {"http://crowdsec:65535", "crowdsec", "", 65535, true, false},
        {"", NULL, NULL, 0, false, false},
        {"crowdsec:8080", NULL, NULL, 0, false, false},
        {"ftp://x/", NULL, NULL, 0, false, false},
        {"http:/x", NULL, NULL, 0, false, false},
        {"http://", NULL, NULL, 0, false, false},
        {"http:///x", NULL, NULL, 0, false, false},
        {"http://:80/", NULL, NULL, 0, false, false},
        {"http://x:/", NULL, NULL, 0, false, false},
        {"http://x:0/", NULL, NULL, 0, false, false},
        {"http://x:65536/", NULL, NULL, 0, false, false},
        {"http://x:000080/", NULL, NULL, 0, false, false},
        {"http://x:8a/", NULL, NULL, 0, false, false},
        {"http://user:word@x/", NULL, NULL, 0, false, false},
        {"http://x/?a=b", NULL, NULL, 0, false, false},
        {"http://x/#a", NULL, NULL, 0, false, false},
        {"http://x/a b", NULL, NULL, 0, false, false},
        {"http://x /", NULL, NULL, 0, false, false},
        {"http://x\r\nHost: y/", NULL, NULL, 0, false, false},
        {"http://a_b/", NULL, NULL, 0, false, false},
        {"http://::1/", NULL, NULL, 0, false, false},
        {"http://[::1/", NULL, NULL, 0, false, false},
        {"http://[::1]x/", NULL, NULL, 0, false, false},
        {"http://[127.0.0.1]/", NULL, NULL, 0, false, false},
        {"http://[x]/", NULL, NULL, 0, false, false},
        {"http://\xc3\xa9/", NULL, NULL, 0, false, false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct http_url url;
        struct why why;
        enum err err = http_url_parse(slice_of(rows[i].text), &url, &why);
        if (!err != (rows[i].host != NULL))
            fail_msg("%s: %d", rows[i].text, err);
        if (err)
            continue;
        assert_true(slice_eq(url.host, slice_of(rows[i].host)));
        assert_true(slice_eq(url.path, slice_of(rows[i].path)));
        assert_int_equal(url.port, rows[i].port);
        assert_int_equal(url.plain, rows[i].plain);
        assert_int_equal(url.address.family != NETADDR_NONE, rows[i].address);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_urls)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
