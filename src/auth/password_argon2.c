/* password_argon2.c: argon2 hashes (RFC 9106) with bounded memory and passes, computed on the calling thread
 * whatever the number of lanes. Called by password.c. */
#include <argon2.h>
#include <openssl/crypto.h>
#include <string.h>

#include "auth/password.h"
#include "base/arena.h"
#include "base/random.h"
#include "grammar/base64.h"

#define SALT_MAX 64
#define HASH_MAX 128
#define NEW_SALT 16
#define NEW_HASH 32

struct parsed {
    argon2_type type;
    uint32_t version, kib, passes, lanes;
    size_t salt_len, hash_len;
    uint8_t salt[SALT_MAX], hash[HASH_MAX];
};

static bool take_number(struct slice *rest, char name, uint8_t sep, uint32_t *number)
{
    struct slice part;
    uint64_t n;
    if (!slice_token(rest, sep, &part) || part.len < 3 || part.ptr[0] != (uint8_t)name ||
        part.ptr[1] != '=' || !slice_u64(slice_from(part, 2), UINT32_MAX, &n))
        return false;
    *number = (uint32_t)n;
    return true;
}

/* Base64 without padding, as argon2's encoding has it. */
static bool take_bytes(struct slice *rest, uint8_t *bytes, size_t max, size_t *len)
{
    struct slice text;
    if (!slice_token(rest, '$', &text) || text.len == 0 || text.len > 4 * max / 3 + 3)
        return false;
    AUTO_BUF struct buf out = buf_new(2 * max + 8);
    struct base64_decoder decoder = {0};
    base64_feed(&decoder, text, &out);
    base64_finish(&decoder, &out);
    if (!buf_ok(&out) || out.len == 0 || out.len > max)
        return false;
    memcpy(bytes, out.data, out.len);
    *len = out.len;
    return true;
}

/* $argon2id$v=19$m=65536,t=3,p=1$SALT$HASH */
static bool parse(struct slice body, struct parsed *p)
{
    memset(p, 0, sizeof *p);
    p->type = slice_starts(body, SLICE("$argon2id$")) ? Argon2_id : Argon2_i;
    struct slice rest = slice_from(body, p->type == Argon2_id ? 10 : 9);
    return take_number(&rest, 'v', '$', &p->version) && take_number(&rest, 'm', ',', &p->kib) &&
           take_number(&rest, 't', ',', &p->passes) && take_number(&rest, 'p', '$', &p->lanes) &&
           take_bytes(&rest, p->salt, sizeof p->salt, &p->salt_len) &&
           take_bytes(&rest, p->hash, sizeof p->hash, &p->hash_len) && rest.len == 0;
}

enum err password_argon2_check(struct slice body, struct why *why)
{
    struct parsed p;
    if (!parse(body, &p) || (p.version != 0x10 && p.version != 0x13) || p.passes == 0 || p.lanes == 0)
        return err_set(why, ERR_BAD, "a damaged argon2 hash");
    if (p.kib > PASSWORD_ARGON2_KIB_MAX || p.passes > PASSWORD_ARGON2_PASSES_MAX ||
        p.lanes > PASSWORD_ARGON2_LANES_MAX || (uint64_t)p.kib * p.passes > PASSWORD_ARGON2_WORK_MAX)
        return err_set(why, ERR_REFUSED, "argon2 with more memory or passes than is allowed here");
    return ERR_OK;
}

static enum err compute(const struct parsed *p, struct slice password, uint8_t *out)
{
    uint8_t copy[PASSWORD_SECRET_MAX], salt[SALT_MAX];
    if (password.len > sizeof copy)
        return ERR_REFUSED;
    memcpy(copy, password.ptr, password.len);
    memcpy(salt, p->salt, p->salt_len);
    argon2_context context = {.out = out,
                              .outlen = (uint32_t)p->hash_len,
                              .pwd = copy,
                              .pwdlen = (uint32_t)password.len,
                              .salt = salt,
                              .saltlen = (uint32_t)p->salt_len,
                              .t_cost = p->passes,
                              .m_cost = p->kib,
                              .lanes = p->lanes,
                              .threads = 1,
                              .version = p->version};
    int rc = argon2_ctx(&context, p->type);
    OPENSSL_cleanse(copy, sizeof copy);
    return rc == ARGON2_OK ? ERR_OK : ERR_INTERNAL;
}

enum err password_argon2_verify(struct slice body, struct slice password)
{
    struct parsed p;
    uint8_t made[HASH_MAX];
    if (!parse(body, &p))
        return ERR_INTERNAL;
    enum err err = compute(&p, password, made);
    if (!err && CRYPTO_memcmp(made, p.hash, p.hash_len) != 0)
        err = ERR_REFUSED;
    return err;
}

static void add_unpadded(struct buf *out, const uint8_t *bytes, size_t len)
{
    base64_encode(out, slice_make(bytes, len), 0);
    while (out->len && out->data[out->len - 1] == '=')
        buf_truncate(out, out->len - 1);
}

enum err password_hash(struct slice password, struct buf *out)
{
    struct parsed p = {.type = Argon2_id,
                       .version = ARGON2_VERSION_13,
                       .kib = PASSWORD_NEW_KIB,
                       .passes = PASSWORD_NEW_PASSES,
                       .lanes = 1,
                       .salt_len = NEW_SALT,
                       .hash_len = NEW_HASH};
    random_fill(p.salt, NEW_SALT);
    enum err err = compute(&p, password, p.hash);
    if (err)
        return err;
    buf_addf(out, "{ARGON2ID}$argon2id$v=%u$m=%u,t=%u,p=%u$", p.version, p.kib, p.passes, p.lanes);
    add_unpadded(out, p.salt, NEW_SALT);
    buf_add_byte(out, '$');
    add_unpadded(out, p.hash, NEW_HASH);
    return ERR_OK;
}
