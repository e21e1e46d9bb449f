/* Any bytes as a DKIM key file: what is read has a public half of its kind, and survives being written. */
#include <stdlib.h>

#include "policy/dkim.h"

static void require(bool ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct dkim_key *key = NULL, *again = NULL;
    struct why why = {""};
    if (dkim_key_read(slice_make(data, len), &key, &why)) {
        require(!key && why.text[0] != '\0');
        return 0;
    }
    AUTO_BUF struct buf pem = buf_new(DKIM_KEY_FILE_MAX);
    struct slice public = dkim_key_public(key);
    bool rsa = dkim_key_algorithm(key) == DKIM_RSA_SHA256;
    unsigned bits = dkim_key_bits(key);
    require(public.len && public.len <= DKIM_PUBLIC_MAX);
    require(rsa ? bits >= DKIM_RSA_BITS_MIN && bits <= DKIM_RSA_BITS_MAX : bits == 256 && public.len == 32);
    if (!rsa || bits <= DKIM_RSA_BITS_GOOD) {
        enum err ignored = dkim_key_prove(key, NULL); /* damaged numbers may not work */
        (void)ignored;
    }
    if (dkim_key_pem(key, &pem, NULL) == ERR_OK && dkim_key_read(buf_slice(&pem), &again, NULL) == ERR_OK)
        require(slice_eq(dkim_key_public(again), public));
    else
        require(rsa);
    dkim_key_free(&key);
    dkim_key_free(&again);
    return 0;
}
