/* dkim_verify.c: does a signature fit the message and the key (RFC 6376 section 6.1)? Messages, signatures
 * and key records are strangers'. */
#include <string.h>

#include "policy/dkim_inside.h"

const char *dkim_result_name(enum dkim_result result)
{
    static const char *const names[] = {"none", "pass", "fail", "policy", "neutral", "permerror"};
    return names[result];
}

static enum dkim_result say(struct why *why, enum dkim_result result, const char *text)
{
    (void)err_set(why, ERR_BAD, "%s", text);
    return result;
}

/* Section 6.1.2: may this key verify this signature? */
static enum dkim_result check_record(const struct dkim_signature *signature, const struct dkim_record *record,
                                     struct why *why)
{
    struct slice host = slice_from(signature->identity, (size_t)slice_rfind(signature->identity, '@') + 1);
    if (!signature->algorithm)
        return say(why, DKIM_PERMERROR, "the algorithm is none that is verified");
    if (signature->algorithm != record->algorithm)
        return say(why, DKIM_PERMERROR, "the key record has a key of another kind");
    if (!record->key.len)
        return say(why, DKIM_PERMERROR, "the key was revoked");
    if (!record->sha256 || !record->email)
        return say(why, DKIM_PERMERROR,
                   record->email ? "the key is not for SHA-256" : "the key is not for mail");
    if (record->strict && !slice_ieq(host, signature->domain))
        return say(why, DKIM_PERMERROR, "the key is not for subdomains");
    unsigned bits = dkim_public_bits(record->algorithm, record->key);
    if (!bits)
        return say(why, DKIM_PERMERROR, "the key record holds no such key");
    if (record->algorithm == DKIM_RSA_SHA256 && (bits < DKIM_RSA_BITS_MIN || bits > DKIM_RSA_BITS_MAX))
        return say(why, DKIM_POLICY,
                   bits < DKIM_RSA_BITS_MIN ? "the key is too short" : "the key is too long");
    return DKIM_PASS;
}

static bool fits_body(const struct dkim_signature *signature, const struct dkim_message *message)
{
    uint8_t hash[DKIM_HASH_LEN];
    dkim_body_hash(signature->body_canon, message->body, message->body_count, hash);
    return slice_eq(signature->body_hash, slice_make(hash, sizeof hash));
}

/* Section 3.5: the signature field itself, with the value of b= taken as empty, without its CRLF. */
static bool canon_own_in(struct arena *arena, enum dkim_canon canon, struct slice header, size_t offset,
                         struct buf *out)
{
    struct dkim_tags tags;
    struct header_field field;
    struct header_iter iter = header_iter_new(slice_from(header, offset));
    if (!header_next(&iter, &field) || !header_is(&field, SLICE("DKIM-Signature")) ||
        dkim_tags_parse(field.value, &tags, NULL))
        return false;
    const struct dkim_tag *b = dkim_tags_find(&tags, "b");
    if (!b)
        return false;
    size_t before = (size_t)(b->whole.ptr - field.raw.ptr);
    size_t after = (size_t)(field.value.ptr + field.value.len - b->whole.ptr) - b->whole.len;
    AUTO_BUF struct buf text = buf_new(field.raw.len + 2);
    buf_add(&text, slice_sub(field.raw, 0, before));
    buf_add(&text, slice_make(b->whole.ptr + b->whole.len, after));
    buf_add_str(&text, "\r\n");
    iter = header_iter_new(arena_dup(arena, buf_slice(&text)));
    if (!header_next(&iter, &field))
        return false;
    dkim_canon_field(canon, &field, out);
    buf_truncate(out, buf_ok(out) ? out->len - 2 : 0);
    return true;
}

/* The field to verify is none of those it names (section 3.5, h=). */
static void set_aside(struct dkim_fields *fields, size_t offset)
{
    for (size_t i = 0; i < fields->count; i++)
        fields->at[i].taken = fields->at[i].field.offset == offset;
}

static bool digest_in(struct arena *arena, const struct dkim_signature *signature, struct slice header,
                      size_t offset, uint8_t digest[DKIM_HASH_LEN])
{
    AUTO_BUF struct buf signed_fields = buf_new(DKIM_VERIFY_MAX), own = buf_new(DKIM_VERIFY_MAX);
    struct dkim_fields fields = dkim_fields_in(arena, header);
    set_aside(&fields, offset);
    for (size_t i = 0; i < signature->name_count; i++) {
        const struct header_field *field = dkim_fields_take(&fields, signature->names[i]);
        if (field)
            dkim_canon_field(signature->header_canon, field, &signed_fields);
    }
    if (!canon_own_in(arena, signature->header_canon, header, offset, &own) || !buf_ok(&signed_fields) ||
        !buf_ok(&own))
        return false;
    dkim_sha256(buf_slice(&signed_fields), buf_slice(&own), digest);
    return true;
}

enum dkim_result dkim_verify_in(struct arena *arena, const struct dkim_signature *signature,
                                const struct dkim_record *record, const struct dkim_message *message,
                                size_t offset, uint64_t now, struct why *why)
{
    uint8_t digest[DKIM_HASH_LEN];
    enum dkim_result result = check_record(signature, record, why);
    if (result != DKIM_PASS)
        return result;
    if (signature->expires && now > signature->expires)
        return say(why, DKIM_POLICY, "the signature has expired");
    if (!fits_body(signature, message))
        return say(why, DKIM_FAIL,
                   signature->has_length ? "the body was changed, or is not signed to its end (l=)"
                                         : "the body was changed");
    if (!digest_in(arena, signature, message->header, offset, digest))
        return say(why, DKIM_PERMERROR, "the header is too long");
    if (!dkim_public_verify(signature->algorithm, record->key, digest, signature->signature))
        return say(why, DKIM_FAIL, "the signature does not fit header and key");
    return DKIM_PASS;
}
