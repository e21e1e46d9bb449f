/* dkim_sign.c: DKIM-Signature fields of our own (RFC 6376 sections 3.5, 5.5 to 5.7). The summary comes from
 * scan, which may be hijacked: it is checked to stay inside the field. Called by auth. */
#include "grammar/base64.h"
#include "grammar/domain.h"
#include "policy/dkim_inside.h"

#define LINE_MAX 76 /* columns; RFC 5322 section 2.1.1 wants fewer than 79 */

/* A field under way, folded where blanks may stand. */
struct folding {
    struct buf text;
    size_t column;
};

/* Adds `s` whole, on a new line when it does not fit on this one. */
static void put(struct folding *f, struct slice s)
{
    if (f->column > 1 && f->column + s.len > LINE_MAX) {
        buf_add_str(&f->text, "\r\n\t");
        f->column = 1;
        if (s.len && s.ptr[0] == ' ')
            s = slice_from(s, 1);
    }
    buf_add(&f->text, s);
    f->column += s.len;
}

static void put_tag(struct folding *f, struct arena *arena, const char *name, struct slice value)
{
    put(f, arena_printf(arena, " %s=%.*s;", name, SLICE_ARG(value)));
}

/* sig-h-tag = %x68 [FWS] "=" [FWS] hdr-name *( [FWS] ":" [FWS] hdr-name ) */
static void put_names(struct folding *f, struct slice names)
{
    struct slice rest = names, name;
    put(f, SLICE(" h="));
    while (slice_token(&rest, ':', &name)) {
        put(f, name);
        put(f, rest.len ? SLICE(":") : SLICE(";"));
    }
}

/* All but the value of b=. */
static void put_tags(struct folding *f, struct arena *arena, enum dkim_algorithm algorithm,
                     const struct dkim_signing *signing)
{
    put(f, SLICE("DKIM-Signature: v=1;"));
    put_tag(f, arena, "a", slice_of(dkim_algorithm_name(algorithm)));
    put_tag(f, arena, "c", SLICE("relaxed/relaxed"));
    put_tag(f, arena, "d", signing->domain);
    put_tag(f, arena, "s", signing->selector);
    put_tag(f, arena, "t", arena_printf(arena, "%llu", (unsigned long long)signing->time));
    if (signing->expires)
        put_tag(f, arena, "x", arena_printf(arena, "%llu", (unsigned long long)signing->expires));
    put_names(f, signing->summary->names);
    put_tag(f, arena, "bh",
            base64_encode_in(arena, slice_make(signing->summary->hash, sizeof signing->summary->hash)));
    put(f, SLICE(" b="));
}

/* base64string may hold FWS anywhere; none stands at its ends, where some verifiers would count it. */
static void put_base64(struct folding *f, struct slice text)
{
    while (text.len) {
        size_t room = f->column < LINE_MAX ? LINE_MAX - f->column : 1;
        struct slice part = slice_sub(text, 0, room);
        put(f, part);
        text = slice_from(text, part.len);
    }
}

static bool is_names(struct slice names)
{
    for (size_t i = 0; i < names.len; i++)
        if (!ascii_is_alnum(names.ptr[i]) && names.ptr[i] != '-' && names.ptr[i] != ':')
            return false;
    return slice_starts(names, SLICE("from:")) && names.len <= DKIM_NAMES_MAX &&
           names.ptr[names.len - 1] != ':' && slice_search(names, SLICE("::")) < 0;
}

static enum err check(const struct dkim_signing *signing, struct why *why)
{
    const struct dkim_summary *summary = signing->summary;
    if (!domain_is_host(signing->domain) || !domain_is_host(signing->selector) ||
        signing->domain.len > DOMAIN_MAX || signing->selector.len > DOMAIN_MAX)
        return err_set(why, ERR_BAD, "the domain or the selector is no host name");
    if (!is_names(summary->names))
        return err_set(why, ERR_BAD, "the list of signed fields is ill-formed");
    if (summary->fields.len > DKIM_FIELDS_MAX || !slice_istarts(summary->fields, SLICE("from:")) ||
        !slice_ends(summary->fields, SLICE("\r\n")))
        return err_set(why, ERR_BAD, "the signed fields are ill-formed");
    return ERR_OK;
}

/* The field without the value of b= is hashed behind the fields it names, without its CRLF (section 3.7). */
static void digest_of(struct slice fields, struct slice own, uint8_t digest[DKIM_HASH_LEN])
{
    AUTO_BUF struct buf canonical = buf_new(DKIM_FIELD_MAX);
    struct header_field field;
    struct header_iter iter = header_iter_new(own);
    if (header_next(&iter, &field))
        dkim_canon_field(DKIM_RELAXED, &field, &canonical);
    buf_truncate(&canonical, canonical.len < 2 ? 0 : canonical.len - 2);
    dkim_sha256(fields, buf_slice(&canonical), digest);
}

enum err dkim_sign_in(struct arena *arena, const struct dkim_key *key, const struct dkim_signing *signing,
                      struct slice *field, struct why *why)
{
    uint8_t digest[DKIM_HASH_LEN];
    struct slice signature;
    struct folding f = {.text = buf_new(DKIM_FIELD_MAX)};
    enum err err = check(signing, why);
    if (err)
        return err;
    put_tags(&f, arena, dkim_key_algorithm(key), signing);
    digest_of(signing->summary->fields, buf_slice(&f.text), digest);
    err = dkim_key_sign_in(arena, key, digest, &signature, why);
    if (err == ERR_OK)
        put_base64(&f, base64_encode_in(arena, signature));
    buf_add_str(&f.text, "\r\n");
    if (err == ERR_OK && !buf_ok(&f.text))
        err = err_set(why, ERR_BAD, "the signature field is too long");
    if (err == ERR_OK)
        *field = arena_dup(arena, buf_slice(&f.text));
    buf_free(&f.text);
    return err;
}

/* ---- proof of a key ---- */

#define PROOF_DOMAIN SLICE("proof.example")
#define PROOF_TIME   1
#define PROOF_HEADER "From: a@proof.example\r\nSubject: proof\r\n"

/* As a verifier would, from the message and the record up. */
static enum err prove_in(struct arena *arena, const struct dkim_key *key, struct why *why)
{
    const struct slice body = SLICE("proof\r\n");
    AUTO_BUF struct buf text = buf_new(DKIM_RECORD_MAX);
    struct dkim_summary summary;
    struct dkim_signature signature;
    struct dkim_record record;
    struct slice field;
    const struct dkim_signing signing = {PROOF_DOMAIN, SLICE("s"), PROOF_TIME, 0, &summary};
    dkim_record_print(dkim_key_algorithm(key), dkim_key_public(key), &text);
    enum err err = dkim_record_parse_in(arena, buf_slice(&text), &record, why);
    if (!err)
        err = dkim_summarize_in(arena, SLICE(PROOF_HEADER), &body, 1, &summary, why);
    if (!err)
        err = dkim_sign_in(arena, key, &signing, &field, why);
    if (!err)
        err =
            dkim_signature_parse_in(arena, slice_from(field, sizeof "DKIM-Signature:" - 1), &signature, why);
    if (err)
        return err;
    struct slice header = arena_printf(arena, "%.*s" PROOF_HEADER, SLICE_ARG(field));
    const struct dkim_message message = {header, &body, 1};
    enum dkim_result result = dkim_verify_in(arena, &signature, &record, &message, 0, PROOF_TIME, NULL);
    return result == DKIM_PASS ? ERR_OK
                               : err_set(why, ERR_BAD, "the key's signatures do not fit its public half");
}

enum err dkim_key_prove(const struct dkim_key *key, struct why *why)
{
    AUTO_ARENA struct arena *arena = arena_new((size_t)1 << 20);
    return prove_in(arena, key, why);
}
