/* Fuzzes the client's messages of SCRAM-SHA-256 and the text of verifiers. A line feed cuts the input in two:
 * the first and the final message. */
#include <stdlib.h>

#include "auth/password.h"
#include "auth/scram.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void fuzz_messages(struct arena *arena, struct slice first_text, struct slice final_text)
{
    struct sasl_scram_first first;
    struct sasl_scram_final final;
    if (sasl_scram_first_parse_in(arena, first_text, &first) != ERR_OK)
        return;
    if (!sasl_text_ok(first.user, SASL_USER_MAX) || first.nonce.len == 0 || first.nonce.len > SASL_NONCE_MAX)
        abort();
    if (first.gs2_header.len + first.bare.len != first_text.len)
        abort();
    if (sasl_scram_final_parse_in(arena, final_text, first.gs2_header, SLICE_EMPTY, first.nonce, &final) ==
            ERR_OK &&
        final.without_proof.len >= final_text.len)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct slice input = slice_make(data, len), text = input;
    struct scram_verifier verifier;
    struct password_form form;
    AUTO_ARENA struct arena *arena = arena_new(1u << 20);
    AUTO_BUF struct buf out = buf_new(2000);
    ptrdiff_t cut = slice_find(input, '\n');
    fuzz_messages(arena, cut < 0 ? input : slice_sub(input, 0, (size_t)cut),
                  cut < 0 ? SLICE_EMPTY : slice_from(input, (size_t)cut + 1));
    if (scram_verifier_parse(text, &verifier) == ERR_OK) {
        scram_verifier_write(&verifier, &out);
        if (!buf_ok(&out) || scram_verifier_parse(buf_slice(&out), &verifier) != ERR_OK)
            abort();
    }
    if (password_recognise(text, &form, NULL) == ERR_OK && form.kind >= PASSWORD_KIND_COUNT)
        abort();
    return 0;
}
