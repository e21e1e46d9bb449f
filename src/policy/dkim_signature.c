/* dkim_signature.c: DKIM-Signature fields of strangers (RFC 6376 section 3.5). */
#include "grammar/domain.h"
#include "policy/dkim_inside.h"

/* sig-t-tag, sig-x-tag, sig-l-tag: up to 12 digits for times (section 3.5), 76 for lengths. */
#define TIME_MAX 999999999999u

typedef enum err parse_fn(struct arena *arena, const struct dkim_tag *tag, struct dkim_signature *signature,
                          struct why *why);

/* sig-v-tag = %x76 [FWS] "=" [FWS] 1*DIGIT */
static enum err parse_version(struct arena *arena, const struct dkim_tag *tag,
                              struct dkim_signature *signature, struct why *why)
{
    (void)arena, (void)signature;
    return slice_eq(tag->value, SLICE("1")) ? ERR_OK : err_set(why, ERR_BAD, "v= is not 1");
}

/* sig-a-tag-alg = "rsa-sha1" / "rsa-sha256" / x-sig-a-tag-alg;  RFC 8463: "ed25519-sha256" */
static enum err parse_algorithm(struct arena *arena, const struct dkim_tag *tag,
                                struct dkim_signature *signature, struct why *why)
{
    (void)arena, (void)why;
    signature->algorithm = DKIM_UNKNOWN;
    for (enum dkim_algorithm a = DKIM_RSA_SHA256; a <= DKIM_ED25519_SHA256; a++)
        if (slice_ieq(tag->value, slice_of(dkim_algorithm_name(a))))
            signature->algorithm = a;
    return ERR_OK;
}

static bool parse_canon(struct slice word, enum dkim_canon *canon)
{
    *canon = slice_ieq(word, SLICE("relaxed")) ? DKIM_RELAXED : DKIM_SIMPLE;
    return *canon == DKIM_RELAXED || slice_ieq(word, SLICE("simple"));
}

/* sig-c-tag = %x63 [FWS] "=" [FWS] sig-c-tag-alg [ "/" sig-c-tag-alg ] */
static enum err parse_canons(struct arena *arena, const struct dkim_tag *tag,
                             struct dkim_signature *signature, struct why *why)
{
    ptrdiff_t slash = slice_find(tag->value, '/');
    (void)arena;
    struct slice header = slash < 0 ? tag->value : slice_sub(tag->value, 0, (size_t)slash);
    struct slice body = slash < 0 ? SLICE("simple") : slice_from(tag->value, (size_t)slash + 1);
    if (!parse_canon(header, &signature->header_canon) || !parse_canon(body, &signature->body_canon))
        return err_set(why, ERR_BAD, "c= is unknown");
    return ERR_OK;
}

/* U-labels (RFC 8616 section 5) become A-labels: that is the name asked for. */
static enum err parse_host(struct arena *arena, struct slice value, const char *name, struct slice *host,
                           struct why *why)
{
    struct slice found = value;
    if (!slice_is_ascii(value) && domain_to_alabel_in(arena, value, &found, NULL))
        found = SLICE_EMPTY;
    if (found.len > DOMAIN_MAX || !domain_is_host(found))
        return err_set(why, ERR_BAD, "%s= is no host name", name);
    *host = found;
    return ERR_OK;
}

static enum err parse_domain(struct arena *arena, const struct dkim_tag *tag,
                             struct dkim_signature *signature, struct why *why)
{
    return parse_host(arena, tag->value, "d", &signature->domain, why);
}

static enum err parse_selector(struct arena *arena, const struct dkim_tag *tag,
                               struct dkim_signature *signature, struct why *why)
{
    return parse_host(arena, tag->value, "s", &signature->selector, why);
}

static struct slice identity_host(struct slice identity)
{
    return slice_from(identity, (size_t)(slice_rfind(identity, '@') + 1));
}

/* Its domain may hold U-labels (RFC 8616 section 5), and is compared with that of d=. */
static enum err keep_identity(struct arena *arena, struct buf *identity, struct dkim_signature *signature,
                              struct why *why)
{
    struct slice host = identity_host(buf_slice(identity)), alabel;
    if (host.len == identity->len)
        return err_set(why, ERR_BAD, "i= has no domain");
    if (!slice_is_ascii(host) && domain_to_alabel_in(arena, host, &alabel, NULL) == ERR_OK) {
        buf_truncate(identity, identity->len - host.len);
        buf_add(identity, alabel);
    }
    signature->identity = arena_dup(arena, buf_slice(identity));
    return buf_ok(identity) ? ERR_OK : err_set(why, ERR_BAD, "i= is too long");
}

/* dkim-quoted-printable (section 2.11): hex-octet = "=" 2HEXDIG; folding white space counts nothing. */
static enum err parse_identity(struct arena *arena, const struct dkim_tag *tag,
                               struct dkim_signature *signature, struct why *why)
{
    struct slice text = dkim_tag_squeeze_in(arena, tag->value);
    AUTO_BUF struct buf decoded = buf_new(text.len + DOMAIN_MAX);
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != '=') {
            buf_add_byte(&decoded, text.ptr[i]);
            continue;
        }
        int high = i + 2 < text.len ? ascii_hex_value(text.ptr[i + 1]) : -1;
        int low = high >= 0 ? ascii_hex_value(text.ptr[i + 2]) : -1;
        if (low < 0)
            return err_set(why, ERR_BAD, "i= is ill-formed");
        buf_add_byte(&decoded, (uint8_t)(high << 4 | low));
        i += 2;
    }
    return keep_identity(arena, &decoded, signature, why);
}

/* sig-h-tag = %x68 [FWS] "=" [FWS] hdr-name *( [FWS] ":" [FWS] hdr-name ), From among them (section 5.4) */
static enum err parse_names(struct arena *arena, const struct dkim_tag *tag, struct dkim_signature *signature,
                            struct why *why)
{
    struct slice rest = tag->value, name;
    bool from = false;
    size_t count = 1;
    for (size_t i = 0; i < tag->value.len; i++)
        count += tag->value.ptr[i] == ':';
    if (count > DKIM_SIGNED_MAX)
        return err_set(why, ERR_BAD, "h= names more than %d fields", DKIM_SIGNED_MAX);
    signature->names = ARENA_ARRAY(arena, struct slice, count);
    while (dkim_tag_word(&rest, ':', &name)) {
        if (!name.len)
            return err_set(why, ERR_BAD, "h= is ill-formed");
        from = from || slice_ieq(name, SLICE("from"));
        signature->names[signature->name_count++] = name;
    }
    return from ? ERR_OK : err_set(why, ERR_BAD, "h= does not name From");
}

static enum err parse_body_hash(struct arena *arena, const struct dkim_tag *tag,
                                struct dkim_signature *signature, struct why *why)
{
    return dkim_tag_base64_in(arena, tag->value, &signature->body_hash)
               ? ERR_OK
               : err_set(why, ERR_BAD, "bh= is no base64");
}

static enum err parse_signature(struct arena *arena, const struct dkim_tag *tag,
                                struct dkim_signature *signature, struct why *why)
{
    return dkim_tag_base64_in(arena, tag->value, &signature->signature) && signature->signature.len
               ? ERR_OK
               : err_set(why, ERR_BAD, "b= is no base64");
}

static enum err parse_time(struct arena *arena, const struct dkim_tag *tag, struct dkim_signature *signature,
                           struct why *why)
{
    (void)arena;
    return slice_u64(tag->value, TIME_MAX, &signature->time) ? ERR_OK
                                                             : err_set(why, ERR_BAD, "t= is no time");
}

static enum err parse_expires(struct arena *arena, const struct dkim_tag *tag,
                              struct dkim_signature *signature, struct why *why)
{
    (void)arena;
    if (!slice_u64(tag->value, TIME_MAX, &signature->expires))
        return err_set(why, ERR_BAD, "x= is no time");
    signature->expires += signature->expires == 0; /* 0 is for "absent"; both are long past */
    return ERR_OK;
}

static enum err parse_length(struct arena *arena, const struct dkim_tag *tag,
                             struct dkim_signature *signature, struct why *why)
{
    (void)arena;
    signature->has_length = true;
    return slice_u64(tag->value, UINT64_MAX, &signature->length) ? ERR_OK
                                                                 : err_set(why, ERR_BAD, "l= is no length");
}

/* sig-q-tag: a list of ways to get the key; "dns/txt" is the only one there is. */
static enum err parse_queries(struct arena *arena, const struct dkim_tag *tag,
                              struct dkim_signature *signature, struct why *why)
{
    struct slice rest = tag->value, word;
    (void)arena, (void)signature;
    while (dkim_tag_word(&rest, ':', &word))
        if (slice_ieq(word, SLICE("dns/txt")))
            return ERR_OK;
    return err_set(why, ERR_BAD, "q= is unknown");
}

static const struct {
    const char *name;
    bool required;
    parse_fn *parse;
} fields[] = {
    {"v", true, parse_version},  {"a", true, parse_algorithm},  {"c", false, parse_canons},
    {"d", true, parse_domain},   {"s", true, parse_selector},   {"i", false, parse_identity},
    {"h", true, parse_names},    {"bh", true, parse_body_hash}, {"b", true, parse_signature},
    {"t", false, parse_time},    {"x", false, parse_expires},   {"l", false, parse_length},
    {"q", false, parse_queries},
};

/* The domain of i= is d= or lies below it. */
static bool identity_fits(const struct dkim_signature *signature)
{
    struct slice host = identity_host(signature->identity), domain = signature->domain;
    if (slice_ieq(host, domain))
        return true;
    return host.len > domain.len && slice_iends(host, domain) && host.ptr[host.len - domain.len - 1] == '.';
}

static enum err check(const struct dkim_signature *signature, struct why *why)
{
    if (!identity_fits(signature))
        return err_set(why, ERR_BAD, "the domain of i= is not below d=");
    if (signature->expires && signature->time && signature->expires <= signature->time)
        return err_set(why, ERR_BAD, "x= is before t=");
    if (signature->algorithm && signature->body_hash.len != DKIM_HASH_LEN)
        return err_set(why, ERR_BAD, "bh= is no SHA-256");
    return ERR_OK;
}

enum err dkim_signature_parse_in(struct arena *arena, struct slice value, struct dkim_signature *signature,
                                 struct why *why)
{
    struct dkim_tags tags;
    struct dkim_signature found = {.header_canon = DKIM_SIMPLE, .body_canon = DKIM_SIMPLE};
    if (value.len > DKIM_VALUE_MAX)
        return err_set(why, ERR_BAD, "a signature field of more than %d bytes", DKIM_VALUE_MAX);
    enum err err = dkim_tags_parse(value, &tags, why);
    for (size_t i = 0; i < sizeof fields / sizeof *fields && err == ERR_OK; i++) {
        const struct dkim_tag *tag = dkim_tags_find(&tags, fields[i].name);
        if (tag)
            err = fields[i].parse(arena, tag, &found, why);
        else if (fields[i].required)
            err = err_set(why, ERR_BAD, "%s= is missing", fields[i].name);
    }
    if (err)
        return err;
    if (!found.identity.len)
        found.identity = arena_printf(arena, "@%.*s", SLICE_ARG(found.domain));
    err = check(&found, why);
    if (err == ERR_OK)
        *signature = found;
    return err;
}
