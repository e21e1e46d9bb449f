/* dkim_body.c: canonical message bodies and their hash (RFC 6376 sections 3.4.3 and 3.4.4). Reads any bytes;
 * called by scan for what is sent and for signatures of what came. */
#include <openssl/evp.h>
#include <string.h>

#include "base/mem.h"
#include "policy/dkim_inside.h"

#define CHUNK ((size_t)8 * 1024) /* hashed at once */

struct body {
    EVP_MD_CTX *digest;
    bool relaxed;
    bool cr;     /* a CR that may begin a line end */
    bool blank;  /* relaxed: white space, which counts if text follows on the line */
    bool any;    /* something was written */
    size_t ends; /* line ends that count if text follows */
    size_t len;
    uint8_t chunk[CHUNK];
};

static void flush(struct body *b)
{
    (void)EVP_DigestUpdate(b->digest, b->chunk, b->len);
    b->len = 0;
}

static void put(struct body *b, const uint8_t *bytes, size_t len)
{
    if (b->len + len > CHUNK)
        flush(b);
    if (len > CHUNK / 2) {
        flush(b);
        (void)EVP_DigestUpdate(b->digest, bytes, len);
        return;
    }
    memcpy(b->chunk + b->len, bytes, len);
    b->len += len;
}

/* Text follows: what was held back counts. */
static void release(struct body *b)
{
    for (; b->ends; b->ends--)
        put(b, (const uint8_t *)"\r\n", 2);
    if (b->blank)
        put(b, (const uint8_t *)" ", 1);
    b->blank = false;
    b->any = true;
}

static bool is_blank(const struct body *b, uint8_t c)
{
    return b->relaxed && (c == ' ' || c == '\t');
}

/* How much from `at` on goes out as it is. A single space between two words does in both forms. */
static size_t plain_run(const struct body *b, struct slice s, size_t at)
{
    size_t i = at;
    for (; i < s.len && s.ptr[i] != '\r'; i++) {
        if (!is_blank(b, s.ptr[i]))
            continue;
        if (s.ptr[i] != ' ' || i == at || i + 1 >= s.len || s.ptr[i + 1] <= ' ')
            break;
    }
    return i - at;
}

static void end_line(struct body *b)
{
    b->cr = false;
    b->blank = false;
    b->ends++;
}

static void feed(struct body *b, struct slice s)
{
    for (size_t i = 0; i < s.len;) {
        uint8_t c = s.ptr[i];
        if (b->cr && c == '\n') {
            end_line(b);
            i++;
            continue;
        }
        if (b->cr) {
            release(b);
            put(b, (const uint8_t *)"\r", 1);
            b->cr = false;
        }
        if (c == '\r' || is_blank(b, c)) {
            *(c == '\r' ? &b->cr : &b->blank) = true;
            i++;
            continue;
        }
        size_t run = plain_run(b, s, i);
        release(b);
        put(b, s.ptr + i, run);
        i += run;
    }
}

/* A last line without an end gets one; an empty body is CRLF in the simple form, nothing in the relaxed. */
static void finish(struct body *b, uint8_t hash[DKIM_HASH_LEN])
{
    if (b->cr) {
        release(b);
        put(b, (const uint8_t *)"\r", 1);
    }
    if (b->any || !b->relaxed)
        put(b, (const uint8_t *)"\r\n", 2);
    flush(b);
    (void)EVP_DigestFinal_ex(b->digest, hash, NULL);
    EVP_MD_CTX_free(b->digest);
}

void dkim_body_hash(enum dkim_canon canon, const struct slice *pieces, size_t count,
                    uint8_t hash[DKIM_HASH_LEN])
{
    struct body b;
    memset(&b, 0, offsetof(struct body, chunk));
    b.relaxed = canon == DKIM_RELAXED;
    b.digest = EVP_MD_CTX_new();
    memset(hash, 0, DKIM_HASH_LEN);
    if (!b.digest || !EVP_DigestInit_ex(b.digest, EVP_sha256(), NULL)) {
        EVP_MD_CTX_free(b.digest);
        return; /* no memory: a hash that nothing matches */
    }
    for (size_t i = 0; i < count; i++)
        feed(&b, pieces[i]);
    finish(&b, hash);
}

void dkim_sha256(struct slice first, struct slice second, uint8_t hash[DKIM_HASH_LEN])
{
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    memset(hash, 0, DKIM_HASH_LEN);
    if (digest && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) &&
        EVP_DigestUpdate(digest, first.ptr, first.len) && EVP_DigestUpdate(digest, second.ptr, second.len))
        (void)EVP_DigestFinal_ex(digest, hash, NULL);
    EVP_MD_CTX_free(digest);
}
