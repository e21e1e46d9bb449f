/* srs.c: SRS0 and SRS1 addresses. Senders and recipients are strangers' text, the secrets the operator's.
 * Called by auth, for queue.
 *
 *   SRS0  = "SRS0" sep hash "=" stamp "=" host "=" user
 *   SRS1  = "SRS1" sep hash "=" host "=" rest    rest: what stood behind "SRS0" at `host`, with its sep
 *   sep   = "=" / "-" / "+"
 *   hash  = 4base64char     of HMAC-SHA1 over lower(stamp host user), or lower(host rest)
 *   stamp = 2base32char     days since 1970, modulo 1024
 */
#include "policy/srs.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <string.h>

#include "grammar/address.h"
#include "grammar/base64.h"
#include "grammar/domain.h"

#define HASH_LEN    4
#define STAMP_LEN   2
#define STAMP_SLOTS 1024 /* 5 bits in each of two characters */
#define DAY_SECONDS 86400
#define TAG_LEN     4 /* "SRS0" */

static const char stamp_digits[33] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

const char *srs_status_text(enum srs_status status)
{
    static const char *const texts[SRS_STATUS_COUNT] = {
        "ok",
        "not an SRS address",
        "malformed SRS address",
        "SRS address not signed here",
        "SRS address expired",
        "SRS address would be too long",
    };
    return status < SRS_STATUS_COUNT ? texts[status] : "?";
}

bool srs_read_secrets(struct slice text, struct srs_secrets *secrets)
{
    struct slice line;
    secrets->count = 0;
    while (slice_token(&text, '\n', &line)) {
        if (line.len && line.ptr[line.len - 1] == '\r')
            line.len--;
        if (line.len == 0)
            continue;
        if (secrets->count == SRS_SECRETS_MAX || line.len > SRS_SECRET_MAX) {
            secrets->count = 0;
            return false;
        }
        secrets->items[secrets->count++] = line;
    }
    return secrets->count > 0;
}

static bool is_separator(uint8_t c)
{
    return c == '=' || c == '-' || c == '+';
}

/* With something behind the separator. */
static bool has_tag(struct slice local, struct slice tag)
{
    return local.len > TAG_LEN + 1 && slice_istarts(local, tag) && is_separator(local.ptr[TAG_LEN]);
}

bool srs_is_address(struct slice address)
{
    if (slice_starts(address, SLICE("\"")))
        address = slice_from(address, 1); /* a local part in quotes */
    return has_tag(address, SLICE("SRS0")) || has_tag(address, SLICE("SRS1"));
}

/* ---- hash and stamp ---- */

/* The hash of `signed_text` (lower-cased already) under one secret. */
static bool make_hash(struct slice secret, struct slice signed_text, char hash[HASH_LEN])
{
    uint8_t digest[SHA_DIGEST_LENGTH];
    unsigned len = 0;
    AUTO_BUF struct buf text = buf_new(2 * SHA_DIGEST_LENGTH);
    if (!HMAC(EVP_sha1(), secret.ptr, (int)secret.len, signed_text.ptr, signed_text.len, digest, &len))
        return false;
    base64_encode(&text, slice_make(digest, len), 0);
    memcpy(hash, text.data, HASH_LEN);
    return true;
}

static struct slice signed_text_in(struct arena *arena, struct slice stamp, struct slice host,
                                   struct slice user)
{
    struct slice text =
        arena_printf(arena, "%.*s%.*s%.*s", SLICE_ARG(stamp), SLICE_ARG(host), SLICE_ARG(user));
    uint8_t *lower = arena_must(arena, text.len + 1);
    for (size_t i = 0; i < text.len; i++)
        lower[i] = ascii_lower(text.ptr[i]);
    return slice_make(lower, text.len);
}

static bool verify_hash(const struct srs_secrets *secrets, struct slice hash, struct slice signed_text)
{
    bool good = false;
    if (hash.len != HASH_LEN)
        return false;
    for (size_t i = 0; i < secrets->count; i++) {
        char ours[HASH_LEN];
        unsigned differs = 0;
        if (!make_hash(secrets->items[i], signed_text, ours))
            continue;
        for (size_t k = 0; k < HASH_LEN; k++)
            differs |= ascii_lower((uint8_t)ours[k]) ^ ascii_lower(hash.ptr[k]);
        good |= differs == 0;
    }
    return good;
}

static void make_stamp(uint64_t now, char stamp[STAMP_LEN + 1])
{
    uint64_t day = now / DAY_SECONDS % STAMP_SLOTS;
    stamp[0] = stamp_digits[day / 32];
    stamp[1] = stamp_digits[day % 32];
    stamp[STAMP_LEN] = 0;
}

static bool read_stamp(struct slice stamp, unsigned *day)
{
    unsigned value = 0;
    for (size_t i = 0; i < stamp.len; i++) {
        ptrdiff_t digit = slice_find(slice_of(stamp_digits), ascii_upper(stamp.ptr[i]));
        if (digit < 0)
            return false;
        value = value * 32 + (unsigned)digit;
    }
    *day = value;
    return stamp.len == STAMP_LEN;
}

/* A day that lies ahead counts as a thousand days past, as in libsrs2. */
static bool is_expired(unsigned day, uint64_t now)
{
    unsigned today = (unsigned)(now / DAY_SECONDS % STAMP_SLOTS);
    return (today + STAMP_SLOTS - day) % STAMP_SLOTS > SRS_DAYS;
}

/* ---- the parts of a local part ---- */

struct srs_parts {
    struct slice hash, stamp /* SRS0 */, host, user /* or rest */;
};

static bool split_srs0(struct slice local, struct srs_parts *parts)
{
    struct slice rest = slice_from(local, TAG_LEN + 1);
    return slice_token(&rest, '=', &parts->hash) && slice_token(&rest, '=', &parts->stamp) &&
           slice_token(&rest, '=', &parts->host) &&
           (parts->user = rest, parts->hash.len && parts->stamp.len) && parts->host.len && rest.len;
}

/* libsrs2 would take any rest; one that begins with no separator was never behind "SRS0". */
static bool split_srs1(struct slice local, struct srs_parts *parts)
{
    struct slice rest = slice_from(local, TAG_LEN + 1);
    parts->stamp = SLICE_EMPTY;
    return slice_token(&rest, '=', &parts->hash) && slice_token(&rest, '=', &parts->host) &&
           (parts->user = rest, parts->hash.len) && parts->host.len && rest.len > 1 &&
           is_separator(rest.ptr[0]);
}

/* local@domain as an address that others will take; false when there is none. */
static enum srs_status join_in(struct arena *arena, struct slice local, struct slice domain,
                               struct slice *address)
{
    struct address made;
    struct slice text = address_join_in(arena, local, domain);
    if (text.len > ADDRESS_MAX || local.len > ADDRESS_LOCAL_MAX)
        return SRS_TOO_LONG;
    if (address_parse_in(arena, text, ADDRESS_ALLOW_UTF8, &made, NULL))
        return SRS_MALFORMED;
    *address = made.text;
    return SRS_OK;
}

/* ---- there ---- */

static enum srs_status sign_srs1_in(struct arena *arena, const struct srs_secrets *secrets,
                                    struct slice srs_domain, struct slice host, struct slice rest,
                                    struct slice *rewritten)
{
    char hash[HASH_LEN];
    if (!make_hash(secrets->items[0], signed_text_in(arena, SLICE_EMPTY, host, rest), hash))
        return SRS_BAD_SIGNATURE;
    struct slice local =
        arena_printf(arena, "SRS1=%.*s=%.*s=%.*s", HASH_LEN, hash, SLICE_ARG(host), SLICE_ARG(rest));
    return join_in(arena, local, srs_domain, rewritten);
}

static enum srs_status sign_srs0_in(struct arena *arena, const struct srs_secrets *secrets,
                                    struct slice srs_domain, const struct address *sender, uint64_t now,
                                    struct slice *rewritten)
{
    char hash[HASH_LEN], stamp[STAMP_LEN + 1];
    make_stamp(now, stamp);
    struct slice text = signed_text_in(arena, slice_of(stamp), sender->domain, sender->local);
    if (!make_hash(secrets->items[0], text, hash))
        return SRS_BAD_SIGNATURE;
    struct slice local = arena_printf(arena, "SRS0=%.*s=%s=%.*s=%.*s", HASH_LEN, hash, stamp,
                                      SLICE_ARG(sender->domain), SLICE_ARG(sender->local));
    return join_in(arena, local, srs_domain, rewritten);
}

enum srs_status srs_forward_in(struct arena *arena, const struct srs_secrets *secrets,
                               struct slice srs_domain, struct slice sender, uint64_t now,
                               struct slice *rewritten)
{
    struct address parsed;
    struct srs_parts parts;
    struct slice original;
    if (sender.len == 0) {
        *rewritten = SLICE_EMPTY;
        return SRS_OK;
    }
    if (address_parse_in(arena, sender, ADDRESS_ALLOW_UTF8, &parsed, NULL))
        return SRS_MALFORMED;
    if (slice_ieq(parsed.domain, srs_domain) ||
        srs_reverse_in(arena, secrets, parsed.text, now, &original) == SRS_OK) {
        *rewritten = parsed.text;
        return SRS_OK;
    }
    if (secrets->count == 0)
        return SRS_BAD_SIGNATURE;
    if (has_tag(parsed.local, SLICE("SRS1")) && split_srs1(parsed.local, &parts) &&
        domain_is_host(parts.host))
        return sign_srs1_in(arena, secrets, srs_domain, parts.host, parts.user, rewritten);
    if (has_tag(parsed.local, SLICE("SRS0")))
        return sign_srs1_in(arena, secrets, srs_domain, parsed.domain, slice_from(parsed.local, TAG_LEN),
                            rewritten);
    return sign_srs0_in(arena, secrets, srs_domain, &parsed, now, rewritten);
}

/* ---- and back ---- */

static enum srs_status reverse_srs0_in(struct arena *arena, const struct srs_secrets *secrets,
                                       struct slice local, uint64_t now, struct slice *original)
{
    struct srs_parts parts;
    unsigned day;
    if (!split_srs0(local, &parts) || !read_stamp(parts.stamp, &day))
        return SRS_MALFORMED;
    if (!verify_hash(secrets, parts.hash, signed_text_in(arena, parts.stamp, parts.host, parts.user)))
        return SRS_BAD_SIGNATURE;
    if (is_expired(day, now))
        return SRS_EXPIRED;
    return join_in(arena, parts.user, parts.host, original);
}

static enum srs_status reverse_srs1_in(struct arena *arena, const struct srs_secrets *secrets,
                                       struct slice local, struct slice *original)
{
    struct srs_parts parts;
    if (!split_srs1(local, &parts))
        return SRS_MALFORMED;
    if (!verify_hash(secrets, parts.hash, signed_text_in(arena, SLICE_EMPTY, parts.host, parts.user)))
        return SRS_BAD_SIGNATURE;
    return join_in(arena, arena_printf(arena, "SRS0%.*s", SLICE_ARG(parts.user)), parts.host, original);
}

enum srs_status srs_reverse_in(struct arena *arena, const struct srs_secrets *secrets, struct slice recipient,
                               uint64_t now, struct slice *original)
{
    struct address parsed;
    if (!srs_is_address(recipient))
        return SRS_NOT_SRS;
    if (address_parse_in(arena, recipient, ADDRESS_ALLOW_UTF8, &parsed, NULL))
        return SRS_MALFORMED;
    if (has_tag(parsed.local, SLICE("SRS0")))
        return reverse_srs0_in(arena, secrets, parsed.local, now, original);
    if (has_tag(parsed.local, SLICE("SRS1")))
        return reverse_srs1_in(arena, secrets, parsed.local, original);
    return SRS_NOT_SRS;
}
