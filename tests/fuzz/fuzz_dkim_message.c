/* Any bytes as a message to be signed: the body's hash is that of a plain reading of the RFC, wherever the
 * pieces are cut; whatever can be signed verifies, and does not when a field or a line is added. */
#include <stdlib.h>
#include <string.h>

#include "grammar/header.h"
#include "policy/dkim.h"
#include "policy/dkim_inside.h"

#define SEED "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=" /* RFC 8463 appendix A.2 */

static void require(bool ok)
{
    if (!ok)
        abort();
}

/* Line by line, as RFC 6376 sections 3.4.3 and 3.4.4 say it. */
static void canonical(enum dkim_canon canon, struct slice body, struct buf *out)
{
    size_t end = 0; /* behind the last line that is not empty */
    while (body.len) {
        ptrdiff_t at = slice_search(body, SLICE("\r\n"));
        struct slice line = at < 0 ? body : slice_sub(body, 0, (size_t)at);
        body = at < 0 ? SLICE_EMPTY : slice_from(body, (size_t)at + 2);
        size_t before = out->len;
        for (size_t i = 0; i < line.len; i++) {
            bool blank = canon == DKIM_RELAXED && (line.ptr[i] == ' ' || line.ptr[i] == '\t');
            bool next_blank = i + 1 == line.len || line.ptr[i + 1] == ' ' || line.ptr[i + 1] == '\t';
            if (!blank)
                buf_add_byte(out, line.ptr[i]);
            else if (!next_blank)
                buf_add_byte(out, ' ');
        }
        bool empty = out->len == before;
        buf_add_str(out, "\r\n");
        if (!empty)
            end = out->len;
    }
    buf_truncate(out, end);
    if (!end && canon == DKIM_SIMPLE)
        buf_add_str(out, "\r\n");
}

static void check_body(enum dkim_canon canon, struct slice body, size_t cut)
{
    AUTO_BUF struct buf out = buf_new(body.len + 2);
    uint8_t wanted[DKIM_HASH_LEN], whole[DKIM_HASH_LEN], cut_up[DKIM_HASH_LEN];
    const struct slice pieces[] = {slice_sub(body, 0, cut), slice_from(body, cut)};
    canonical(canon, body, &out);
    dkim_sha256(buf_slice(&out), SLICE_EMPTY, wanted);
    dkim_body_hash(canon, &body, 1, whole);
    dkim_body_hash(canon, pieces, 2, cut_up);
    require(memcmp(wanted, whole, sizeof wanted) == 0 && memcmp(wanted, cut_up, sizeof wanted) == 0);
}

static enum dkim_result verify(struct arena *arena, const struct dkim_key *key, struct slice message)
{
    struct slice header, body;
    struct dkim_signature signature;
    struct header_field field;
    const struct dkim_record record = {
        .algorithm = DKIM_ED25519_SHA256, .key = dkim_key_public(key), .sha256 = true, .email = true};
    header_split(message, &header, &body);
    const struct dkim_message m = {header, &body, 1};
    require(header_find(header, SLICE("DKIM-Signature"), &field));
    require(dkim_signature_parse_in(arena, field.value, &signature, NULL) == ERR_OK);
    return dkim_verify_in(arena, &signature, &record, &m, field.offset, 1, NULL);
}

static void check_signing(struct slice message)
{
    AUTO_ARENA struct arena *arena = arena_new(64u << 20);
    struct dkim_key *key = NULL;
    struct dkim_summary summary;
    struct slice header, body, field;
    header_split(message, &header, &body);
    if (dkim_summarize_in(arena, header, &body, 1, &summary, NULL))
        return;
    const struct dkim_signing signing = {SLICE("example.org"), SLICE("s"), 1, 0, &summary};
    require(dkim_key_read(SLICE(SEED), &key, NULL) == ERR_OK);
    require(dkim_sign_in(arena, key, &signing, &field, NULL) == ERR_OK);
    bool glued = header.len && (header.ptr[0] == ' ' || header.ptr[0] == '\t'); /* would continue our field */
    if (!glued && !memchr(message.ptr, '\0', message.len)) {
        struct slice sent = arena_printf(arena, "%.*s%.*s", SLICE_ARG(field), SLICE_ARG(message));
        require(verify(arena, key, sent) == DKIM_PASS);
        sent = arena_printf(arena, "From: x@y\r\n%.*s%.*s", SLICE_ARG(field), SLICE_ARG(message));
        require(verify(arena, key, sent) == DKIM_FAIL);
    }
    dkim_key_free(&key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (!len)
        return 0;
    struct slice message = slice_make(data + 1, len - 1);
    check_body(DKIM_SIMPLE, message, data[0]);
    check_body(DKIM_RELAXED, message, data[0]);
    if (len < 100000)
        check_signing(message);
    return 0;
}
