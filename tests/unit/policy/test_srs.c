/* SRS addresses. Everything under "first secret" and srs.example.org was written, or answered, by
 * PostSRSd 1.10 on the day NOW lies in; hashes of what it refuses or breaks were computed apart (HMAC-SHA1 in
 * Python). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/coll.h"
#include "policy/srs.h"

#define NOW       1795262580u /* its day is "JK" */
#define DAY       86400u
#define HOME      "srs.example.org"
#define ARENA_MAX (1u << 20)

#define X64 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define Y60 "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"

static struct srs_secrets secrets_of(const char *text)
{
    struct srs_secrets secrets;
    assert_true(srs_read_secrets(slice_of(text), &secrets));
    return secrets;
}

#define CHECK(row, what, got_status, want_status, got, want)                                                 \
    do {                                                                                                     \
        if ((got_status) != (want_status) || !slice_eq(got, slice_of(want)))                                 \
            fail_msg("row %zu, %s: %s \"%.*s\"", row, what, srs_status_text(got_status), SLICE_ARG(got));    \
    } while (0)

static void test_forward(void **state)
{
    static const struct {
        const char *sender, *rewritten;
        enum srs_status status;
    } rows[] = {
        {"bob@remote.example", "SRS0=o79w=JK=remote.example=bob@" HOME, SRS_OK},
        {"Bob.Smith@Remote.Example", "SRS0=qoRX=JK=remote.example=Bob.Smith@" HOME, SRS_OK},
        {"a=b@x.test", "SRS0=xq47=JK=x.test=a=b@" HOME, SRS_OK},
        {X64 "@" Y60 ".example", "SRS0=jIux=JK=" Y60 ".example=" X64 "@" HOME, SRS_OK},
        {"SRS0=abcd=ef=third.test=user@other.test", "SRS1=mJrg=other.test==abcd=ef=third.test=user@" HOME,
         SRS_OK},
        {"srs0+abcd=ef=third.test=user@other.test", "SRS1=6JRe=other.test=+abcd=ef=third.test=user@" HOME,
         SRS_OK},
        {"SRS1=hhhh=first.test==abcd=ef=third.test=user@second.test",
         "SRS1=z3q0=first.test==abcd=ef=third.test=user@" HOME, SRS_OK},
        /* left as they are: nobody, our own, signed by us already */
        {"", "", SRS_OK},
        {"me@" HOME, "me@" HOME, SRS_OK},
        {"me@SRS.example.ORG", "me@" HOME, SRS_OK},
        {"SRS0=o79w=JK=remote.example=bob@elsewhere.test", "SRS0=o79w=JK=remote.example=bob@elsewhere.test",
         SRS_OK},
        /* only look like SRS: ordinary addresses (PostSRSd leaves the first two alone or breaks them) */
        {"SRS1=foo@second.test", "SRS0=vdEi=JK=second.test=SRS1=foo@" HOME, SRS_OK},
        {"SRS1=h=first=zzz@second.test", "SRS0=qTcu=JK=second.test=SRS1=h=first=zzz@" HOME, SRS_OK},
        {"SRS0@x.test", "SRS0=FHw3=JK=x.test=SRS0@" HOME, SRS_OK},
        {"srs0=@x.test", "SRS0=D1rQ=JK=x.test=srs0=@" HOME, SRS_OK},
        {"\"john doe\"@x.test", "\"SRS0=RRjl=JK=x.test=john doe\"@" HOME, SRS_OK},
        {"nobody", "unset", SRS_MALFORMED},
        {"a b@x.test", "unset", SRS_MALFORMED},
        {X64 X64 "@" Y60 "." Y60, "unset", SRS_TOO_LONG},
    };
    struct srs_secrets secrets = secrets_of("first secret\nold\n");
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
        struct slice rewritten = SLICE("unset");
        enum srs_status status =
            srs_forward_in(arena, &secrets, SLICE(HOME), slice_of(rows[i].sender), NOW, &rewritten);
        CHECK(i, rows[i].sender, status, rows[i].status, rewritten, rows[i].rewritten);
    }
}

static void test_reverse(void **state)
{
    static const struct {
        const char *recipient, *original;
        enum srs_status status;
    } rows[] = {
        {"SRS0=o79w=JK=remote.example=Bob@" HOME, "Bob@remote.example", SRS_OK},
        {"srs0=o79w=jk=remote.example=bob@" HOME, "bob@remote.example", SRS_OK},
        {"SRS0=O79W=JK=REMOTE.EXAMPLE=BOB@SRS.EXAMPLE.ORG", "BOB@remote.example", SRS_OK},
        {"SRS0+o79w=JK=remote.example=Bob@" HOME, "Bob@remote.example", SRS_OK},
        {"SRS0-o79w=JK=remote.example=Bob@" HOME, "Bob@remote.example", SRS_OK},
        {"SRS0=xq47=JK=x.test=a=b@" HOME, "a=b@x.test", SRS_OK},
        {"\"SRS0=RRjl=JK=x.test=john doe\"@" HOME, "\"john doe\"@x.test", SRS_OK},
        {"SRS0=jIux=JK=" Y60 ".example=" X64 "@" HOME, X64 "@" Y60 ".example", SRS_OK},
        {"SRS1=z3q0=first.test==abcd=ef=third.test=user@" HOME, "SRS0=abcd=ef=third.test=user@first.test",
         SRS_OK},
        {"srs1-Z3Q0=first.test==abcd=ef=third.test=user@x", "SRS0=abcd=ef=third.test=user@first.test",
         SRS_OK},
        {"SRS1=6JRe=other.test=+abcd=ef=third.test=user@" HOME, "SRS0+abcd=ef=third.test=user@other.test",
         SRS_OK},
        /* under the second secret, and of the edge of its life */
        {"SRS0=6DFl=JK=remote.example=bob@" HOME, "bob@remote.example", SRS_OK},
        {"SRS0=KW3U=JJ=remote.example=bob@" HOME, "bob@remote.example", SRS_OK},
        {"SRS0=MpRA=IV=remote.example=bob@" HOME, "bob@remote.example", SRS_OK},
        {"SRS0=TRxH=IU=remote.example=bob@" HOME, "unset", SRS_EXPIRED},
        {"SRS0=qTxs=JL=remote.example=bob@" HOME, "unset", SRS_EXPIRED}, /* tomorrow */
        /* not ours, or altered */
        {"SRS0=71bw=JK=remote.example=bob@other.test", "unset", SRS_BAD_SIGNATURE},
        {"SRS0=o79w=JK=remote.example=bobby@" HOME, "unset", SRS_BAD_SIGNATURE},
        {"SRS0=o79w=JK=victim.example=bob@" HOME, "unset", SRS_BAD_SIGNATURE},
        {"SRS0=o79w=JJ=remote.example=bob@" HOME, "unset", SRS_BAD_SIGNATURE},
        {"SRS0=o79=JK=remote.example=bob@" HOME, "unset", SRS_BAD_SIGNATURE},
        {"SRS0=o79wA=JK=remote.example=bob@" HOME, "unset", SRS_BAD_SIGNATURE},
        {"SRS1=z3q1=first.test==abcd=ef=third.test=user@" HOME, "unset", SRS_BAD_SIGNATURE},
        {"SRS1=z3q0=second.test==abcd=ef=third.test=user@" HOME, "unset", SRS_BAD_SIGNATURE},
        /* lacks something */
        {"SRS0=abcd@" HOME, "unset", SRS_MALFORMED},
        {"SRS0=abcd=JK@" HOME, "unset", SRS_MALFORMED},
        {"SRS0=abcd=JK=x.test@" HOME, "unset", SRS_MALFORMED},
        {"SRS0=abcd=JK=x.test=@" HOME, "unset", SRS_MALFORMED},
        {"SRS0=abcd=JK==bob@" HOME, "unset", SRS_MALFORMED},
        {"SRS0==JK=x.test=bob@" HOME, "unset", SRS_MALFORMED},
        {"SRS0=o79w=JKA=remote.example=bob@" HOME, "unset", SRS_MALFORMED},
        {"SRS0=o79w=J1=remote.example=bob@" HOME, "unset", SRS_MALFORMED},
        {"SRS1=abcd=first.test@" HOME, "unset", SRS_MALFORMED},
        {"SRS1=qhLy=first=zzz@" HOME, "unset", SRS_MALFORMED}, /* PostSRSd: SRS0zzz@first */
        {"SRS0=a b=JK=x=bob@" HOME, "unset", SRS_MALFORMED},
        /* none */
        {"user@" HOME, "unset", SRS_NOT_SRS},
        {"SRS0@" HOME, "unset", SRS_NOT_SRS},
        {"SRS0=@" HOME, "unset", SRS_NOT_SRS},
        {"SRS2=abcd=JK=x=bob@" HOME, "unset", SRS_NOT_SRS},
        {"SRS0.abcd=JK=x=bob@" HOME, "unset", SRS_NOT_SRS},
        {"", "unset", SRS_NOT_SRS},
    };
    struct srs_secrets secrets = secrets_of("first secret\nold\n");
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
        struct slice original = SLICE("unset");
        enum srs_status status = srs_reverse_in(arena, &secrets, slice_of(rows[i].recipient), NOW, &original);
        CHECK(i, rows[i].recipient, status, rows[i].status, original, rows[i].original);
    }
}

/* A bounce that comes back on any later day, over the turn of the stamp's 1024 days too. */
static void test_days(void **state)
{
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    struct srs_secrets secrets = secrets_of("one\n");
    (void)state;
    for (uint64_t made = 1023 * (uint64_t)DAY; made < 1026 * (uint64_t)DAY; made += DAY / 2)
        for (unsigned age = 0; age < 1024; age++) {
            struct slice rewritten, original;
            arena_reset(arena);
            assert_int_equal(
                srs_forward_in(arena, &secrets, SLICE(HOME), SLICE("a@b.test"), made, &rewritten), SRS_OK);
            enum srs_status status =
                srs_reverse_in(arena, &secrets, rewritten, made + age * (uint64_t)DAY, &original);
            assert_int_equal(status, age <= SRS_DAYS ? SRS_OK : SRS_EXPIRED);
        }
}

/* Over three servers and back, each with its own secret. */
static void test_hops(void **state)
{
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    struct srs_secrets one = secrets_of("one"), two = secrets_of("two"), three = secrets_of("three");
    struct slice first, second, third, back;
    (void)state;
    assert_int_equal(srs_forward_in(arena, &one, SLICE("one.test"), SLICE("a@b.test"), NOW, &first), SRS_OK);
    assert_int_equal(srs_forward_in(arena, &two, SLICE("two.test"), first, NOW, &second), SRS_OK);
    assert_int_equal(srs_forward_in(arena, &three, SLICE("three.test"), second, NOW, &third), SRS_OK);
    assert_true(slice_starts(third, SLICE("SRS1=")) && slice_ends(third, SLICE("=a@three.test")));
    assert_int_equal(srs_reverse_in(arena, &two, third, NOW, &back), SRS_BAD_SIGNATURE);
    assert_int_equal(srs_reverse_in(arena, &three, third, NOW, &back), SRS_OK);
    assert_true(slice_eq(back, first));
    assert_int_equal(srs_reverse_in(arena, &one, back, NOW, &back), SRS_OK);
    assert_true(slice_eq(back, SLICE("a@b.test")));
}

static void test_secrets(void **state)
{
    static const struct {
        const char *text;
        size_t count; /* 0: refused */
        const char *last;
    } rows[] = {
        {"one", 1, "one"},
        {"one\n", 1, "one"},
        {"one\r\ntwo \r\n", 2, "two "},
        {"\n\n# no comment\n\n", 1, "# no comment"},
        {"", 0, NULL},
        {"\r\n\n", 0, NULL},
    };
    struct srs_secrets secrets;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(srs_read_secrets(slice_of(rows[i].text), &secrets), rows[i].count > 0);
        assert_int_equal(secrets.count, rows[i].count);
        assert_true(!rows[i].count || slice_eq(secrets.items[rows[i].count - 1], slice_of(rows[i].last)));
    }
    char many[2 * SRS_SECRETS_MAX + 3], longest[SRS_SECRET_MAX + 2];
    for (size_t i = 0; i + 1 < sizeof many; i += 2)
        memcpy(many + i, "s\n", 2);
    memset(longest, 's', sizeof longest);
    assert_true(srs_read_secrets(slice_make(many, 2 * SRS_SECRETS_MAX), &secrets));
    assert_false(srs_read_secrets(slice_make(many, 2 * SRS_SECRETS_MAX + 2), &secrets));
    assert_true(srs_read_secrets(slice_make(longest, SRS_SECRET_MAX), &secrets));
    assert_false(srs_read_secrets(slice_make(longest, SRS_SECRET_MAX + 1), &secrets));
    assert_int_equal(secrets.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward), cmocka_unit_test(test_reverse), cmocka_unit_test(test_days),
        cmocka_unit_test(test_hops),    cmocka_unit_test(test_secrets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
