/* stream_tls.c: the TLS layer of a stream: handshake, records, close_notify. Its input is a stranger's;
 * OpenSSL parses it. Called by stream.c and stream_io.c. */
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "net/stream_int.h"
#include "net/tls_int.h"

#define TLS_TEXT_MAX 96

/* What came before the handshake was asked for is its beginning. */
static ssize_t wire_read(void *arg, void *bytes, size_t len)
{
    struct stream *s = arg;
    struct slice early = slice_sub(buf_slice(&s->raw), s->raw_at, len);
    if (early.len == 0)
        return stream_wire_read(s, bytes, len);
    memcpy(bytes, early.ptr, early.len);
    s->raw_at += early.len;
    if (s->raw_at == s->raw.len) {
        buf_free(&s->raw);
        s->raw_at = 0;
    }
    return (ssize_t)early.len;
}

static const struct tls_wire_ops wire_ops = {.read = wire_read, .write = stream_wire_write};

/* The handshake begins when what is in the output was written. */
static void begin(struct stream *s, uint64_t ms)
{
    s->raw = s->in;
    s->raw_at = s->in_at;
    s->in = buf_new(s->raw.max);
    s->in_at = 0;
    s->input_news = false;
    s->phase = STREAM_TLS_WAITS;
    s->handshake_ms = loop_now_ms(s->loop) + ms;
    stream_flush(s);
    stream_moved(s);
}

void stream_begin_tls(struct stream *s, struct tls_context *context, uint64_t ms)
{
    if (s->ssl || s->failed)
        return;
    s->tls = tls_context_ref(context);
    s->ssl = tls_session_new(context, &wire_ops, s);
    if (s->ssl)
        begin(s, ms);
    else
        stream_fail(s, STREAM_TLS, "out of memory");
}

bool stream_start_tls(struct stream *s, struct tls_context *context)
{
    if (s->ssl || stream_input(s).len > 0)
        return false;
    stream_begin_tls(s, context, STREAM_HANDSHAKE_MS);
    return true;
}

bool stream_connect_tls(struct stream *s, struct tls_client *client, const struct tls_peer *peer, uint64_t ms)
{
    if (s->ssl || stream_input(s).len > 0)
        return false;
    if (s->failed)
        return true; /* `ended` tells */
    s->tls_client = tls_client_ref(client);
    s->ssl = tls_client_session_new(client, peer, &wire_ops, s);
    if (s->ssl)
        begin(s, ms);
    else
        stream_fail(s, STREAM_TLS, "no use can be made of the names or TLSA records given");
    return true;
}

struct tls_verdict stream_tls_verdict(const struct stream *s)
{
    struct tls_verdict verdict = s->verdict;
    if (s->tls_client && s->failed && !s->tls_text && verdict.fault == TLS_FAULT_NONE) {
        verdict.fault = TLS_FAULT_HANDSHAKE;
        verdict.text = s->end_text;
    }
    return verdict;
}

static void established(struct stream *s)
{
    char text[TLS_TEXT_MAX];
    int len = snprintf(text, sizeof text, "%s %s", SSL_get_version(s->ssl), SSL_get_cipher_name(s->ssl));
    s->tls_text = mem_dup(text, len > 0 && (size_t)len < sizeof text ? (size_t)len : 0);
    if (s->tls_client)
        s->verdict = tls_client_verdict(s->ssl);
    s->phase = STREAM_OPEN;
    s->handshake_ms = 0;
    s->secured_news = true;
}

/* TLS failed. During the handshake of a client the certificate may be the reason. */
static void fail(struct stream *s, const char *text)
{
    if (s->tls_client && s->phase == STREAM_HANDSHAKES) {
        s->verdict = tls_client_failure(s->ssl, text);
        text = s->verdict.text;
    }
    stream_fail(s, STREAM_TLS, text);
}

/* After a call of OpenSSL that gave nothing: -1 with EAGAIN, 0 at the end, or the stream failed. */
static ssize_t judge(struct stream *s, int result)
{
    switch (SSL_get_error(s->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_WANT_WRITE:
        s->read_wants_write = true;
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        s->tls_broken = true;
        if (ERR_peek_error() == 0 && errno == 0)
            return 0;
        stream_fail(s, STREAM_RESET, "connection reset");
        return -1;
    default:
        s->tls_broken = true;
        fail(s, tls_error_text());
        return -1;
    }
}

void stream_handshake(struct stream *s)
{
    ERR_clear_error();
    errno = 0;
    s->read_wants_write = false;
    int result = SSL_do_handshake(s->ssl);
    if (result == 1) {
        established(s);
        return;
    }
    if (judge(s, result) == 0) {
        s->tls_broken = true;
        stream_fail(s, s->silent ? STREAM_EOF : STREAM_TLS, "closed during the TLS handshake");
    }
}

ssize_t stream_tls_read(struct stream *s, void *bytes, size_t len)
{
    ERR_clear_error();
    errno = 0;
    s->read_wants_write = false;
    int got = SSL_read(s->ssl, bytes, len > INT_MAX ? INT_MAX : (int)len);
    s->tls_starved = got <= 0;
    return got > 0 ? got : judge(s, got);
}

ssize_t stream_tls_write(struct stream *s, const void *bytes, size_t len)
{
    ERR_clear_error();
    errno = 0;
    int put = SSL_write(s->ssl, bytes, len > INT_MAX ? INT_MAX : (int)len);
    if (put > 0)
        return put;
    ssize_t result = judge(s, put);
    s->read_wants_write = false; /* the writer waits for the socket anyway */
    return result;
}

bool stream_tls_holds_input(const struct stream *s)
{
    return s->ssl && s->phase == STREAM_OPEN && !s->tls_starved &&
           (SSL_has_pending(s->ssl) || s->raw.len > 0);
}

void stream_tls_close(struct stream *s)
{
    if (!s->ssl || s->tls_broken || !SSL_is_init_finished(s->ssl))
        return;
    ERR_clear_error();
    (void)SSL_shutdown(s->ssl); /* one way: we do not wait for the peer's */
    ERR_clear_error();
}

void stream_tls_free(struct stream *s)
{
    if (s->tls_client)
        tls_client_session_free(s->ssl);
    else
        SSL_free(s->ssl);
    s->ssl = NULL;
    tls_context_free(&s->tls);
    tls_client_free(&s->tls_client);
    free(s->tls_text);
    s->tls_text = NULL;
    buf_free(&s->raw);
}

/* ---- channel binding ---- */

static bool is_tls13(const struct stream *s)
{
    return SSL_version(s->ssl) >= TLS1_3_VERSION;
}

/* RFC 9266 section 4.2: 32 octets, the context is empty. */
static size_t exporter(const struct stream *s, uint8_t *data)
{
    static const char label[] = "EXPORTER-Channel-Binding";
    if (!is_tls13(s) && SSL_get_extms_support(s->ssl) != 1)
        return 0;
    return SSL_export_keying_material(s->ssl, data, 32, label, sizeof label - 1, NULL, 0, 1) == 1 ? 32 : 0;
}

/* RFC 5929 section 4.1: the certificate under the hash of its own signature, SHA-256 in place of weaker ones.
 */
static size_t end_point(const struct stream *s, uint8_t *data)
{
    int digest = NID_undef;
    unsigned len = 0;
    X509 *cert = SSL_get_certificate(s->ssl);
    if (!cert || X509_get_signature_info(cert, &digest, NULL, NULL, NULL) != 1 || digest == NID_undef)
        return 0;
    bool weak = digest == NID_md5 || digest == NID_sha1;
    const EVP_MD *md = weak ? EVP_sha256() : EVP_get_digestbynid(digest);
    return md && X509_digest(cert, md, data, &len) == 1 ? len : 0;
}

/* RFC 5929 section 3.1: the first Finished message of the handshake; not for TLS 1.3 (RFC 9266 section 3). */
static size_t unique(const struct stream *s, uint8_t *data)
{
    if (is_tls13(s) || SSL_get_extms_support(s->ssl) != 1)
        return 0;
    size_t len = SSL_session_reused(s->ssl) ? SSL_get_finished(s->ssl, data, STREAM_BINDING_MAX)
                                            : SSL_get_peer_finished(s->ssl, data, STREAM_BINDING_MAX);
    return len <= STREAM_BINDING_MAX ? len : 0;
}

size_t stream_binding(const struct stream *s, enum stream_binding type, uint8_t data[STREAM_BINDING_MAX])
{
    static size_t (*const by_type[])(const struct stream *s, uint8_t *data) = {
        [STREAM_BINDING_EXPORTER] = exporter,
        [STREAM_BINDING_END_POINT] = end_point,
        [STREAM_BINDING_UNIQUE] = unique,
    };
    if (!stream_is_tls(s))
        return 0;
    ERR_clear_error();
    size_t len = by_type[type](s, data);
    ERR_clear_error();
    return len;
}

bool stream_is_tls(const struct stream *s)
{
    return s->tls_text != NULL;
}

struct slice stream_tls_text(const struct stream *s)
{
    return slice_of(s->tls_text);
}
