/* Any bytes as the value of a DKIM-Signature field: what is accepted is complete and within its bounds;
 * verifying it with keys of both kinds says no, and touches nothing it should not. */
#include <stdlib.h>

#include "grammar/domain.h"
#include "policy/dkim.h"

#define ED25519 "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
#define RSA                                                                                                  \
    "v=DKIM1; t=s; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYt"       \
    "IxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhi"           \
    "tdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB"

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void verify(struct arena *arena, struct slice value, const struct dkim_signature *signature)
{
    AUTO_BUF struct buf header = buf_new(value.len + 1000);
    static const char *const records[] = {ED25519, RSA};
    const struct slice body = SLICE("text\r\n");
    buf_add_str(&header, "Subject: x\r\nDKIM-Signature:");
    buf_add(&header, value);
    buf_add_str(&header, "\r\nFrom: a@b\r\nFrom: c@d\r\n");
    const struct dkim_message message = {buf_slice(&header), &body, 1};
    for (size_t i = 0; i < 2; i++) {
        struct dkim_record record;
        struct why why = {""};
        require(dkim_record_parse_in(arena, slice_of(records[i]), &record, NULL) == ERR_OK);
        require(dkim_verify_in(arena, signature, &record, &message, 12, 1, &why) != DKIM_PASS);
        require(why.text[0] != '\0');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO_ARENA struct arena *arena = arena_new(16u << 20);
    struct dkim_signature signature;
    struct slice value = slice_make(data, len);
    if (dkim_signature_parse_in(arena, value, &signature, NULL))
        return 0;
    require(len <= DKIM_VALUE_MAX && domain_is_host(signature.domain) && domain_is_host(signature.selector));
    require(signature.name_count && signature.name_count <= DKIM_SIGNED_MAX && signature.signature.len);
    require(slice_find(signature.identity, '@') >= 0);
    require(!signature.algorithm || signature.body_hash.len == DKIM_HASH_LEN);
    verify(arena, value, &signature);
    return 0;
}
