/* relay_secrets.c: reads and asks the secrets for relays. The file is the operator's; its texts go nowhere
 * but into the answer. Called by relay, and by `rockdove check`. */
#include "policy/relay_secrets.h"

#include <string.h>

#include "base/coll.h"
#include "base/mem.h"
#include "grammar/address.h"
#include "grammar/domain.h"
#include "grammar/nexthop.h"

#define SCRATCH_MAX (1u << 18) /* for one line, or one question */

struct kept {
    struct relay_secret secret; /* of `bytes` */
    size_t len;
    uint8_t bytes[];
};

struct relay_secrets {
    struct arena *arena;
    struct map *by_key; /* "@domain", "user@domain", "host:port", "host" */
    struct relay_secret *everybody;
    size_t count;
};

static void wipe(void *arg)
{
    struct kept *kept = arg;
    mem_wipe(kept->bytes, kept->len);
}

static void free_map(void *arg)
{
    struct relay_secrets *secrets = arg;
    map_free(&secrets->by_key);
}

struct relay_secrets *relay_secrets_new_in(struct arena *arena)
{
    struct relay_secrets *secrets = ARENA_NEW(arena, struct relay_secrets);
    secrets->arena = arena;
    secrets->by_key = map_new(RELAY_SECRETS_MAX);
    arena_defer(arena, free_map, secrets);
    return secrets;
}

/* ---- keys ---- */

static struct slice host_key_in(struct arena *arena, struct slice host, uint16_t port)
{
    return port ? arena_printf(arena, "%.*s:%u", SLICE_ARG(host), port) : host;
}

/* The key a line's first word stands for; empty when it is none. */
static struct slice key_in(struct arena *arena, struct slice word)
{
    struct slice domain;
    struct address address;
    struct nexthop nexthop;
    if (slice_starts(word, SLICE("@")))
        return domain_to_alabel_in(arena, slice_from(word, 1), &domain, NULL) == ERR_OK
                   ? arena_printf(arena, "@%.*s", SLICE_ARG(domain))
                   : SLICE_EMPTY;
    if (slice_find(word, '@') >= 0)
        return address_parse_in(arena, word, ADDRESS_ALLOW_UTF8, &address, NULL) == ERR_OK
                   ? address_key_in(arena, &address)
                   : SLICE_EMPTY;
    if (nexthop_parse_in(arena, word, &nexthop, NULL) != ERR_OK)
        return SLICE_EMPTY;
    return host_key_in(arena, nexthop.host, nexthop.port);
}

/* ---- reading ---- */

static void complain(struct problems *problems, struct slice file, uint32_t line, const char *what)
{
    problem_add(problems, PROBLEM_ERROR, file, line,
                SLICE("write @example.org user:password, or [host]:587 user:password"), "%s", what);
}

static size_t first_word(struct slice line)
{
    size_t end = 0;
    while (end < line.len && !ascii_is_space(line.ptr[end]))
        end++;
    return end;
}

/* user ":" password */
static struct relay_secret *read_secret(struct relay_secrets *secrets, struct slice text)
{
    struct slice password = text, user;
    if (slice_find(text, ':') < 0 || !slice_token(&password, ':', &user))
        return NULL;
    if (user.len == 0 || user.len > RELAY_SECRET_USER_MAX || password.len == 0 ||
        password.len > RELAY_SECRET_MAX || slice_find(text, 0) >= 0)
        return NULL;
    struct kept *kept = arena_must(secrets->arena, sizeof *kept + text.len);
    memcpy(kept->bytes, text.ptr, text.len);
    kept->len = text.len;
    kept->secret.user = slice_make(kept->bytes, user.len);
    kept->secret.password = slice_make(kept->bytes + user.len + 1, password.len);
    arena_defer(secrets->arena, wipe, kept);
    return &kept->secret;
}

static bool keep(struct relay_secrets *secrets, struct slice key, struct relay_secret *secret)
{
    bool known = key.len ? map_get(secrets->by_key, key) != NULL : secrets->everybody != NULL;
    if (known)
        return true; /* the first counts */
    if (key.len == 0)
        secrets->everybody = secret;
    else if (!map_put(secrets->by_key, arena_dup(secrets->arena, key), secret))
        return false;
    secrets->count++;
    return true;
}

/* A line without a key: its first word is not followed by "user:password", or is itself no key (user:part of
 * a password with blanks). */
static bool has_key(struct arena *scratch, struct slice line, struct slice *key, struct slice *rest)
{
    size_t end = first_word(line);
    *rest = slice_trim(slice_from(line, end));
    *key = slice_find(*rest, ':') >= 0 ? key_in(scratch, slice_sub(line, 0, end)) : SLICE_EMPTY;
    return key->len > 0;
}

static const char *read_line(struct relay_secrets *secrets, struct slice line, struct arena *scratch)
{
    struct slice key, rest;
    struct relay_secret *secret;
    if (has_key(scratch, line, &key, &rest)) {
        secret = read_secret(secrets, rest);
    } else if (slice_find(slice_sub(line, 0, first_word(line)), ':') > 0 && !slice_starts(line, SLICE("[")) &&
               !slice_starts(line, SLICE("@"))) {
        secret = read_secret(secrets, line);
    } else {
        return "this line has no sender or relay with user:password behind it; ignored";
    }
    if (!secret)
        return "this line has no user:password, or a longer one than can be used; ignored";
    return keep(secrets, key, secret) ? NULL : "too many lines with secrets; the rest is not read";
}

bool relay_secrets_read(struct relay_secrets *secrets, struct slice text, struct slice file,
                        struct problems *problems)
{
    struct slice line;
    size_t before = secrets->count;
    uint32_t number = 0;
    if (text.len > RELAY_SECRETS_FILE_MAX) {
        complain(problems, file, 0, "larger than any file of secrets; not read");
        return false;
    }
    struct arena *scratch = arena_new(SCRATCH_MAX);
    if (slice_starts(text, SLICE("\xef\xbb\xbf"))) /* an editor's byte order mark */
        text = slice_from(text, 3);
    while (slice_token(&text, '\n', &line)) {
        number++;
        line = slice_trim(line);
        const char *wrong = line.len && line.ptr[0] != '#' ? read_line(secrets, line, scratch) : NULL;
        if (wrong)
            complain(problems, file, number, wrong);
        arena_reset(scratch);
    }
    arena_free(&scratch);
    return secrets->count > before;
}

size_t relay_secrets_count(const struct relay_secrets *secrets)
{
    return secrets->count;
}

/* ---- asking ---- */

static const struct relay_secret *of_sender(const struct relay_secrets *secrets, struct arena *scratch,
                                            struct slice sender)
{
    struct address address;
    struct slice user, tag;
    if (sender.len == 0 || address_parse_in(scratch, sender, ADDRESS_ALLOW_UTF8, &address, NULL) != ERR_OK)
        return NULL;
    struct slice key = address_key_in(scratch, &address);
    const struct relay_secret *secret = map_get(secrets->by_key, key);
    if (!secret && address_split_tag(address.local, '+', &user, &tag)) {
        struct address base = address_with_local_in(scratch, &address, user);
        secret = map_get(secrets->by_key, address_key_in(scratch, &base));
    }
    return secret ? secret : map_get(secrets->by_key, slice_from(key, (size_t)slice_rfind(key, '@')));
}

static const struct relay_secret *of_host(const struct relay_secrets *secrets, struct arena *scratch,
                                          struct slice host, uint16_t port)
{
    struct nexthop nexthop;
    struct slice text = arena_printf(scratch, "[%.*s]", SLICE_ARG(host));
    if (nexthop_parse_in(scratch, text, &nexthop, NULL) != ERR_OK)
        return NULL;
    const struct relay_secret *secret = map_get(secrets->by_key, host_key_in(scratch, nexthop.host, port));
    return secret ? secret : map_get(secrets->by_key, nexthop.host);
}

const struct relay_secret *relay_secrets_find(const struct relay_secrets *secrets, struct slice sender,
                                              struct slice host, uint16_t port)
{
    AUTO_ARENA struct arena *scratch = arena_new(SCRATCH_MAX);
    const struct relay_secret *secret = of_sender(secrets, scratch, sender);
    if (!secret && host.len <= DOMAIN_UTF8_MAX)
        secret = of_host(secrets, scratch, host, port);
    return secret ? secret : secrets->everybody;
}
