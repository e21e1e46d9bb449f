/* dkim_record.c: key records, read from strangers' DNS and printed for our own (RFC 6376 section 3.6.1). */
#include "policy/dkim_record.h"

#include <string.h>

#include "grammar/base64.h"
#include "policy/dkim_inside.h"

/* DER of SubjectPublicKeyInfo up to the RSAPublicKey (RFC 3279 section 2.3.1), lengths left out. */
static const uint8_t rsa_algorithm[] = {0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
                                        0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00};

/* Tag and definite length of a value of at most 64 KiB (X.690 section 8.1.3). */
static size_t der_head(uint8_t tag, size_t len, uint8_t head[4])
{
    head[0] = tag;
    if (len < 0x80) {
        head[1] = (uint8_t)len;
        return 2;
    }
    if (len < 0x100) {
        head[1] = 0x81;
        head[2] = (uint8_t)len;
        return 3;
    }
    head[1] = 0x82;
    head[2] = (uint8_t)(len >> 8);
    head[3] = (uint8_t)len;
    return 4;
}

/* RSAPublicKey = SEQUENCE { modulus INTEGER, … }; SubjectPublicKeyInfo begins SEQUENCE { SEQUENCE. */
static bool is_bare_rsa(struct slice der)
{
    if (der.len < 8 || der.ptr[0] != 0x30)
        return false;
    size_t at = der.ptr[1] < 0x80 ? 2 : 2 + (size_t)(der.ptr[1] & 0x7f);
    return at < der.len && der.ptr[at] == 0x02;
}

static struct slice wrap_rsa_in(struct arena *arena, struct slice bare)
{
    uint8_t outer[4], bits[4];
    size_t bits_len = der_head(0x03, bare.len + 1, bits);
    size_t outer_len = der_head(0x30, sizeof rsa_algorithm + bits_len + 1 + bare.len, outer);
    AUTO_BUF struct buf der = buf_new(DKIM_PUBLIC_MAX + 64);
    buf_add(&der, slice_make(outer, outer_len));
    buf_add(&der, slice_make(rsa_algorithm, sizeof rsa_algorithm));
    buf_add(&der, slice_make(bits, bits_len));
    buf_add_byte(&der, 0); /* no unused bits */
    buf_add(&der, bare);
    return arena_dup(arena, buf_slice(&der));
}

/* key-p-tag = %x70 [FWS] "=" [ [FWS] base64string ] */
static enum err parse_key_in(struct arena *arena, struct slice value, struct dkim_record *record,
                             struct why *why)
{
    struct slice key;
    if (!value.len)
        return ERR_OK;
    if (!dkim_tag_base64_in(arena, value, &key))
        return err_set(why, ERR_BAD, "p= is no base64");
    if (!key.len || key.len > DKIM_PUBLIC_MAX)
        return err_set(why, ERR_BAD, "p= has an impossible length");
    if (record->algorithm == DKIM_ED25519_SHA256 && key.len != DKIM_ED25519_LEN)
        return err_set(why, ERR_BAD, "p= is no Ed25519 key of 32 bytes");
    record->key = record->algorithm == DKIM_RSA_SHA256 && is_bare_rsa(key) ? wrap_rsa_in(arena, key) : key;
    return ERR_OK;
}

static bool has_word(const struct dkim_tag *tag, struct slice wanted)
{
    struct slice rest = tag->value, word;
    while (dkim_tag_word(&rest, ':', &word))
        if (slice_ieq(word, wanted))
            return true;
    return false;
}

static enum err fill_in(struct arena *arena, const struct dkim_tags *tags, struct dkim_record *record,
                        struct why *why)
{
    const struct dkim_tag *k = dkim_tags_find(tags, "k"), *p = dkim_tags_find(tags, "p");
    const struct dkim_tag *h = dkim_tags_find(tags, "h"), *s = dkim_tags_find(tags, "s");
    const struct dkim_tag *t = dkim_tags_find(tags, "t"), *n = dkim_tags_find(tags, "n");
    *record = (struct dkim_record){
        .algorithm = k ? dkim_key_type(k->value) : DKIM_RSA_SHA256,
        .testing = t && has_word(t, SLICE("y")),
        .strict = t && has_word(t, SLICE("s")),
        .sha256 = !h || has_word(h, SLICE("sha256")),
        .email = !s || has_word(s, SLICE("email")) || has_word(s, SLICE("*")),
        .notes = n ? n->value : SLICE_EMPTY,
    };
    return parse_key_in(arena, p->value, record, why);
}

/* key-v-tag = %x76 [FWS] "=" [FWS] %x44.4B.49.4D.31, the first tag if it is there at all */
enum err dkim_record_parse_in(struct arena *arena, struct slice text, struct dkim_record *record,
                              struct why *why)
{
    struct dkim_tags tags;
    struct dkim_record found;
    if (text.len > DKIM_RECORD_MAX)
        return err_set(why, ERR_BAD, "a key record of more than %d bytes", DKIM_RECORD_MAX);
    enum err err = dkim_tags_parse(text, &tags, why);
    const struct dkim_tag *v = dkim_tags_find(&tags, "v"), *p = dkim_tags_find(&tags, "p");
    bool ours = v && slice_eq(v->value, SLICE("DKIM1"));
    if (v ? !ours : !p)
        return err_set(why, ERR_ABSENT, "a TXT record that is no key record");
    if (err)
        return err;
    if (v && v != tags.at)
        return err_set(why, ERR_BAD, "v= is not the first tag");
    if (!p)
        return err_set(why, ERR_BAD, "no p=");
    err = fill_in(arena, &tags, &found, why);
    if (err == ERR_OK)
        *record = found;
    return err;
}

void dkim_record_print(enum dkim_algorithm algorithm, struct slice key, struct buf *text)
{
    buf_addf(text, "v=DKIM1; k=%s; p=", dkim_key_type_name(algorithm));
    base64_encode(text, key, 0);
}

/* `text` cut into strings with `between` between them. */
static void print_strings(struct slice text, const char *between, struct buf *out)
{
    for (size_t at = 0; at < text.len; at += DKIM_STRING_MAX) {
        if (at)
            buf_add_str(out, between);
        buf_add(out, slice_sub(text, at, DKIM_STRING_MAX));
    }
}

void dkim_record_print_zone(struct slice domain, struct slice selector, struct slice text, struct buf *line)
{
    buf_addf(line, "%.*s._domainkey.%.*s. IN TXT ( \"", SLICE_ARG(selector), SLICE_ARG(domain));
    print_strings(text, "\" \"", line);
    buf_add_str(line, "\" )");
}

void dkim_record_print_terraform(struct slice domain, struct slice selector, struct slice text,
                                 struct buf *line)
{
    buf_addf(line, "\"%.*s._domainkey.%.*s\" = { type = \"TXT\", ttl = 3600, records = [\"",
             SLICE_ARG(selector), SLICE_ARG(domain));
    print_strings(text, "\\\"\\\"", line);
    buf_add_str(line, "\"] }");
}
