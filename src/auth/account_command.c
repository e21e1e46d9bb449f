/* account_command.c: `rockdove account …` on the database. Input is the administrator's. Called on a strand
 * of the auth role, or directly by the command line while no server runs. */
#include "auth/password.h"
#include "auth/scram.h"
#include "auth/secrets.h"
#include "base/clock.h"
#include "base/coll.h"
#include "base/mem.h"
#include "base/random.h"
#include "directory/input.h"

#define COMMAND_ARENA 65536
#define HASH_TEXT_MAX 400

static uint32_t usage(struct buf *out)
{
    buf_add_str(out, "usage: account add ADDRESS | passwd ADDRESS | remove ADDRESS | list\n");
    return 2;
}

static uint32_t fail(struct buf *out, struct slice address, const char *text)
{
    buf_addf(out, "%.*s: %s\n", SLICE_ARG(address), text);
    return 1;
}

static enum err make_row(struct slice password, struct buf *hash, struct buf *scram)
{
    struct scram_verifier verifier = {.iterations = SCRAM_ITERATIONS, .salt_len = SCRAM_SALT_LEN};
    random_fill(verifier.salt, SCRAM_SALT_LEN);
    enum err err = password_hash(password, hash);
    if (!err)
        err = scram_derive(password, &verifier);
    if (!err)
        scram_verifier_write(&verifier, scram);
    mem_wipe(&verifier, sizeof verifier);
    return err ? err : buf_ok(hash) && buf_ok(scram) ? ERR_OK : ERR_INTERNAL;
}

static uint32_t set_password(struct secrets *secrets, struct slice address, struct slice key,
                             struct slice password, bool is_new, struct buf *out)
{
    AUTO_BUF struct buf hash = buf_new(HASH_TEXT_MAX), scram = buf_new(HASH_TEXT_MAX);
    struct why why = {.text = "the password cannot be hashed"};
    if (!sasl_text_ok(password, SASL_PASSWORD_MAX))
        return fail(out, address, "a password has 1 to 512 bytes of UTF-8 without control characters");
    enum err err = make_row(password, &hash, &scram);
    const struct secrets_row row = {.address = key, .hash = buf_slice(&hash), .scram = buf_slice(&scram)};
    if (!err)
        err = is_new ? secrets_add(secrets, &row, &why) : secrets_change(secrets, &row, &why);
    if (err)
        return fail(out, address, why.text);
    buf_addf(out, "%.*s: %s\n", SLICE_ARG(key), is_new ? "added" : "password changed");
    return 0;
}

struct listing {
    struct buf *out;
    bool json, any;
};

static void list_row(void *arg, const struct secrets_row *row)
{
    struct listing *l = arg;
    char created[CLOCK_TEXT_MAX], changed[CLOCK_TEXT_MAX];
    clock_rfc3339(row->created_unix_s * 1000, created);
    clock_rfc3339(row->changed_unix_s * 1000, changed);
    if (l->json) /* a folded address holds no quote, backslash or control character */
        buf_addf(l->out, "%s{\"address\":\"%.*s\",\"created\":\"%s\",\"changed\":\"%s\"}", l->any ? "," : "",
                 SLICE_ARG(row->address), created, changed);
    else
        buf_addf(l->out, "%.*s  created %s  changed %s\n", SLICE_ARG(row->address), created, changed);
    l->any = true;
}

static uint32_t list_all(struct secrets *secrets, bool json, struct buf *out)
{
    struct listing l = {.out = out, .json = json};
    struct why why;
    if (json)
        buf_add_byte(out, '[');
    enum err err = secrets_walk(secrets, list_row, &l, &why);
    if (json)
        buf_add_str(out, "]\n");
    return err ? fail(out, SLICE("accounts"), why.text) : 0;
}

/* A name that is fine as an account: no quoted or exotic local parts, which would need care in every file
 * name and log. */
static bool is_plain(struct slice key)
{
    for (size_t i = 0; i < key.len; i++)
        if (key.ptr[i] <= 0x20 || key.ptr[i] == 0x7f || slice_find(SLICE("\"\\/|<>:,;()[]"), key.ptr[i]) >= 0)
            return false;
    return key.len > 0 && slice_find(key, '@') > 0;
}

uint32_t account_command(struct secrets *secrets, const struct slice *arguments, size_t count, bool json,
                         struct buf *out)
{
    if (count == 1 && slice_eq(arguments[0], SLICE("list")))
        return list_all(secrets, json, out);
    if (count < 2)
        return usage(out);
    AUTO_ARENA struct arena *arena = arena_new(COMMAND_ARENA);
    struct slice key = directory_fold_in(arena, slice_sub(arguments[1], 0, 1000));
    if (!is_plain(key))
        return fail(out, arguments[1], "not an address that can be an account");
    if (count == 3 && slice_eq(arguments[0], SLICE("add")))
        return set_password(secrets, arguments[1], key, arguments[2], true, out);
    if (count == 3 && slice_eq(arguments[0], SLICE("passwd")))
        return set_password(secrets, arguments[1], key, arguments[2], false, out);
    if (count == 2 && slice_eq(arguments[0], SLICE("remove"))) {
        struct why why;
        if (secrets_remove(secrets, key, &why))
            return fail(out, arguments[1], why.text);
        buf_addf(out, "%.*s: removed\n", SLICE_ARG(key));
        return 0;
    }
    return usage(out);
}
