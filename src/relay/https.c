/* https.c: libcurl's multi interface on the role's loop. What web servers say is a stranger's; bounded here,
 * parsed by whoever asked. Called by sts.c and http_call.c. */
#include "relay/https.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/coll.h"
#include "base/mem.h"
#include "relay/curl_load.h"

#define HEADERS_MAX (64u << 10) /* bytes of all header lines */
#define CONNECT_MS  15000
#define URL_MAX     1024

struct https {
    struct loop *loop;
    CURLM *multi;
    struct loop_timer *timer;
    X509_STORE *store;
    struct list running, waiting;
    size_t count; /* running */
};

struct https_fetch {
    struct list node;
    struct https *https;
    https_done *done;
    https_piece *piece;
    void *ctx;
    CURL *easy; /* NULL: waits */
    struct curl_slist *pinned, *lines;
    struct buf body, sent;
    size_t headers, received, max;
    uint64_t ms;
    bool plain, literal, post, too_long, unread;
    char url[URL_MAX], pin[URL_MAX], error[CURL_ERROR_SIZE];
};

/* A descriptor curl wants watched. */
struct watched {
    struct https *https;
    int fd;
    struct loop_watch *watch;
};

/* ---- the bundle ---- */

static enum err read_bundle(struct slice pem, X509_STORE **result, struct why *why)
{
    X509_STORE *store = X509_STORE_new();
    BIO *bio = store && pem.len <= INT32_MAX
                   ? BIO_new_mem_buf(pem.ptr ? (const void *)pem.ptr : "", (int)pem.len)
                   : NULL;
    size_t count = 0;
    for (X509 *cert; bio && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL; X509_free(cert))
        count += X509_STORE_add_cert(store, cert) == 1;
    BIO_free(bio);
    ERR_clear_error();
    if (!bio || (pem.len && count == 0)) {
        X509_STORE_free(store);
        return err_set(why, ERR_BAD, "the CA bundle holds no certificate");
    }
    (void)X509_STORE_set_flags(store, X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN);
    *result = store;
    return ERR_OK;
}

/* ---- one transfer ---- */

static bool is_success(const struct https_fetch *fetch)
{
    long status = 0;
    (void)curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);
    return status >= 200 && status < 300;
}

static size_t on_body(char *bytes, size_t one, size_t len, void *arg)
{
    struct https_fetch *fetch = arg;
    fetch->received += one * len;
    fetch->too_long = fetch->received > fetch->max;
    if (fetch->too_long)
        return 0; /* ends the transfer */
    if (!fetch->piece)
        buf_add(&fetch->body, slice_make(bytes, one * len));
    else if (is_success(fetch))
        fetch->unread = !fetch->piece(fetch->ctx, slice_make(bytes, one * len));
    return fetch->unread ? 0 : one * len;
}

static size_t on_header(char *bytes, size_t one, size_t len, void *arg)
{
    struct https_fetch *fetch = arg;
    (void)bytes;
    fetch->headers += one * len;
    return fetch->headers > HEADERS_MAX ? 0 : one * len;
}

/* Our own store instead of a bundle parsed anew for each connection. */
static CURLcode on_ssl(CURL *easy, void *ssl, void *arg)
{
    struct https_fetch *fetch = arg;
    (void)easy;
    SSL_CTX_set1_cert_store(ssl, fetch->https->store);
    return CURLE_OK;
}

/* Names are pinned: a look-up by curl would be a mistake, and could not work behind seccomp. */
static int on_resolver(void *state, void *reserved, void *arg)
{
    (void)state;
    (void)reserved;
    (void)arg;
    return 1;
}

static bool set_target(struct https_fetch *f)
{
    bool ok = true;
#define SET(option, value) ok = ok && curl_easy_setopt(f->easy, option, value) == CURLE_OK
    SET(CURLOPT_URL, f->url);
    SET(CURLOPT_RESOLVE, f->pinned);
    if (!f->literal) /* which curl reads itself */
        SET(CURLOPT_RESOLVER_START_FUNCTION, on_resolver);
    SET(CURLOPT_PROTOCOLS_STR, f->plain ? "http" : "https");
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_FOLLOWLOCATION, 0L); /* RFC 8461 section 3.3 */
    SET(CURLOPT_FORBID_REUSE, 1L);
    SET(CURLOPT_FRESH_CONNECT, 1L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_USERAGENT, "Rockdove");
    SET(CURLOPT_TIMEOUT_MS, (long)f->ms);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    return ok;
}

static bool set_request(struct https_fetch *f)
{
    bool ok = true;
    SET(CURLOPT_HTTPHEADER, f->lines);
    if (f->post) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDSIZE, (long)f->sent.len);
        SET(CURLOPT_POSTFIELDS, (const char *)f->sent.data);
    }
    return ok;
}

static bool set_security(struct https_fetch *f)
{
    bool ok = true;
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_CAINFO, NULL); /* no files */
    SET(CURLOPT_CAPATH, NULL);
    SET(CURLOPT_CA_CACHE_TIMEOUT, 0L);
    SET(CURLOPT_SSL_CTX_FUNCTION, on_ssl);
    SET(CURLOPT_SSL_CTX_DATA, f);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, f);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, f);
    SET(CURLOPT_ERRORBUFFER, f->error);
    SET(CURLOPT_PRIVATE, f);
#undef SET
    return ok;
}

static void start(struct https_fetch *fetch)
{
    struct https *https = fetch->https;
    list_remove(&fetch->node);
    list_push_back(&https->running, &fetch->node);
    https->count++;
    fetch->pinned = fetch->literal ? NULL : curl_slist_append(NULL, fetch->pin);
    fetch->easy = curl_easy_init();
    if ((!fetch->literal && !fetch->pinned) || !fetch->easy || !set_target(fetch) || !set_request(fetch) ||
        !set_security(fetch) || curl_multi_add_handle(https->multi, fetch->easy) != CURLM_OK)
        abort(); /* no memory, or a curl that is not the one we were built for */
}

static void start_waiting(struct https *https)
{
    while (https->count < HTTPS_AT_ONCE && !list_empty(&https->waiting))
        start(CONTAINER_OF(https->waiting.next, struct https_fetch, node));
}

/* They hold keys. */
static void free_lines(struct https_fetch *fetch)
{
    for (struct curl_slist *line = fetch->lines; line; line = line->next)
        mem_wipe(line->data, strlen(line->data));
    curl_slist_free_all(fetch->lines);
}

static void fetch_free(struct https_fetch *fetch)
{
    struct https *https = fetch->https;
    list_remove(&fetch->node);
    if (fetch->easy) {
        (void)curl_multi_remove_handle(https->multi, fetch->easy);
        curl_easy_cleanup(fetch->easy);
        https->count--;
    }
    curl_slist_free_all(fetch->pinned);
    free_lines(fetch);
    buf_free(&fetch->body);
    if (fetch->sent.data)
        mem_wipe(fetch->sent.data, fetch->sent.len);
    buf_free(&fetch->sent);
    free(fetch);
}

static bool is_tls_failure(CURLcode code)
{
    return code == CURLE_SSL_CONNECT_ERROR || code == CURLE_PEER_FAILED_VERIFICATION ||
           code == CURLE_SSL_CERTPROBLEM || code == CURLE_SSL_CIPHER || code == CURLE_SSL_ISSUER_ERROR ||
           code == CURLE_SSL_INVALIDCERTSTATUS;
}

static void judge(const struct https_fetch *fetch, CURLcode code, struct https_answer *answer)
{
    bool success = answer->status == 200 || (fetch->post && answer->status / 100 == 2);
    if (fetch->too_long) {
        answer->outcome = HTTPS_LONG;
        answer->text = "the answer is too long";
    } else if (fetch->unread) {
        answer->outcome = HTTPS_UNREAD;
        answer->text = "the answer cannot be read";
    } else if (code != CURLE_OK) {
        answer->outcome = is_tls_failure(code) ? HTTPS_TLS : HTTPS_FAILED;
        answer->text = fetch->error[0] ? fetch->error : curl_easy_strerror(code);
    } else if (!success) {
        answer->outcome = HTTPS_STATUS;
        answer->text = fetch->post ? "the status is not 2xx" : "the status is not 200";
    }
}

static void finish(struct https_fetch *fetch, CURLcode code)
{
    struct https_answer answer = {.outcome = HTTPS_OK, .body = buf_slice(&fetch->body), .text = ""};
    char *type = NULL;
    long status = 0;
    (void)curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(fetch->easy, CURLINFO_CONTENT_TYPE, &type);
    answer.status = (unsigned)status;
    answer.type = slice_sub(slice_of(type), 0, HTTPS_TYPE_MAX);
    judge(fetch, code, &answer);
    fetch->done(fetch->ctx, &answer);
    fetch_free(fetch);
}

/* ---- curl on the loop ---- */

static void collect(struct https *https)
{
    int left;
    for (CURLMsg *message; (message = curl_multi_info_read(https->multi, &left)) != NULL;) {
        struct https_fetch *fetch = NULL;
        if (message->msg == CURLMSG_DONE &&
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&fetch) == CURLE_OK && fetch)
            finish(fetch, message->data.result);
    }
    start_waiting(https);
}

static void on_ready(void *arg, unsigned events)
{
    struct watched *w = arg;
    struct https *https = w->https;
    int running;
    (void)curl_multi_socket_action(
        https->multi, w->fd,
        (events & LOOP_READ ? CURL_CSELECT_IN : 0) | (events & LOOP_WRITE ? CURL_CSELECT_OUT : 0), &running);
    collect(https);
}

static void on_timer(void *arg)
{
    struct https *https = arg;
    int running;
    (void)curl_multi_socket_action(https->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect(https);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct https *https = arg;
    struct watched *w = socket_arg;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (w)
            loop_watch_free(&w->watch);
        free(w);
        return 0;
    }
    if (!w) {
        w = mem_zero(1, sizeof *w);
        *w = (struct watched){.https = https, .fd = fd};
        w->watch = loop_watch_new(https->loop, fd, on_ready, w);
        (void)curl_multi_assign(https->multi, fd, w);
    }
    loop_watch_set(w->watch,
                   (what & CURL_POLL_IN ? LOOP_READ : 0u) | (what & CURL_POLL_OUT ? LOOP_WRITE : 0u));
    return 0;
}

static int on_timeout(CURLM *multi, long ms, void *arg)
{
    struct https *https = arg;
    (void)multi;
    if (ms < 0)
        loop_timer_stop(https->timer);
    else
        loop_timer_set(https->timer, (uint64_t)ms);
    return 0;
}

/* ---- life ---- */

enum err https_new(struct loop *loop, struct slice bundle, struct https **result, struct why *why)
{
    X509_STORE *store;
    enum err err = curl_load(why);
    if (!err)
        err = read_bundle(bundle, &store, why);
    if (err)
        return err;
    struct https *https = mem_zero(1, sizeof *https);
    *https = (struct https){.loop = loop, .store = store};
    list_init(&https->running);
    list_init(&https->waiting);
    https->timer = loop_timer_new(loop, on_timer, https);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || !(https->multi = curl_multi_init())) {
        https_free(&https);
        return err_set(why, ERR_INTERNAL, "libcurl does not start");
    }
    (void)curl_multi_setopt(https->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    (void)curl_multi_setopt(https->multi, CURLMOPT_SOCKETDATA, https);
    (void)curl_multi_setopt(https->multi, CURLMOPT_TIMERFUNCTION, on_timeout);
    (void)curl_multi_setopt(https->multi, CURLMOPT_TIMERDATA, https);
    *result = https;
    return ERR_OK;
}

enum err https_update(struct https *https, struct slice bundle, struct why *why)
{
    X509_STORE *store;
    enum err err = read_bundle(bundle, &store, why);
    if (err)
        return err;
    X509_STORE_free(https->store);
    https->store = store;
    return ERR_OK;
}

void https_free(struct https **https)
{
    struct https *h = *https;
    if (!h)
        return;
    for (struct list *node; (node = list_pop_front(&h->running)) != NULL;)
        fetch_free(CONTAINER_OF(node, struct https_fetch, node));
    for (struct list *node; (node = list_pop_front(&h->waiting)) != NULL;)
        fetch_free(CONTAINER_OF(node, struct https_fetch, node));
    if (h->multi)
        (void)curl_multi_cleanup(h->multi);
    loop_timer_free(&h->timer);
    X509_STORE_free(h->store);
    free(h);
    *https = NULL;
}

/* "+HOST:PORT:ADDRESS,[ADDRESS]": curl's own cache of names, filled by us. */
static void write_pin(struct https_fetch *fetch, struct slice host, uint16_t port,
                      const struct netaddr *addresses, size_t count)
{
    AUTO_BUF struct buf pin = buf_new(URL_MAX - 1);
    buf_addf(&pin, "+%.*s:%u:", SLICE_ARG(host), port);
    for (size_t i = 0; i < count && i < HTTPS_ADDRESSES_MAX; i++) {
        bool six = addresses[i].family == NETADDR_V6;
        buf_addf(&pin, "%s%s%s%s", i ? "," : "", six ? "[" : "", netaddr_text(&addresses[i]).text,
                 six ? "]" : "");
    }
    if (buf_ok(&pin)) /* past the bound nothing is pinned, and the fetch fails */
        memcpy(fetch->pin, pin.data, pin.len);
}

static void add_line(struct https_fetch *fetch, const char *line)
{
    struct curl_slist *longer = curl_slist_append(fetch->lines, line);
    if (!longer)
        abort(); /* no memory */
    fetch->lines = longer;
}

static void write_lines(struct https_fetch *fetch, struct slice headers, const char *type)
{
    char text[HTTPS_HEADER_MAX + 1];
    struct slice line;
    while (slice_token(&headers, '\n', &line)) {
        line = slice_sub(line, 0, HTTPS_HEADER_MAX);
        memcpy(text, line.ptr, line.len);
        text[line.len] = '\0';
        add_line(fetch, text);
    }
    mem_wipe(text, sizeof text);
    if (fetch->post) {
        AUTO_BUF struct buf field = buf_new(HTTPS_TYPE_MAX);
        buf_addf(&field, "Content-Type: %s", type ? type : "application/json");
        buf_add_byte(&field, '\0');
        add_line(fetch, (const char *)field.data);
        add_line(fetch, "Expect:"); /* curl would ask for leave first */
    }
}

static void write_url(struct https_fetch *fetch, const struct https_request *r)
{
    AUTO_BUF struct buf url = buf_new(URL_MAX - 1);
    buf_addf(&url, "%s://%.*s:%u%.*s", r->plain ? "http" : "https", SLICE_ARG(r->host), r->port,
             SLICE_ARG(r->path));
    if (buf_ok(&url)) /* past the bound there is none, and the fetch fails */
        memcpy(fetch->url, url.data, url.len);
}

struct https_fetch *https_send(struct https *https, const struct https_request *r)
{
    struct https_fetch *fetch = mem_zero(1, sizeof *fetch);
    struct netaddr address;
    *fetch =
        (struct https_fetch){.https = https,
                             .done = r->done,
                             .piece = r->piece,
                             .ctx = r->ctx,
                             .body = buf_new(r->max),
                             .sent = buf_new(r->body.len),
                             .max = r->max,
                             .ms = r->ms,
                             .plain = r->plain,
                             .literal = slice_starts(r->host, SLICE("[")) || netaddr_parse(r->host, &address),
                             .post = r->post};
    buf_add(&fetch->sent, r->body);
    write_url(fetch, r);
    write_lines(fetch, r->headers, r->type);
    write_pin(fetch, r->host, r->port, r->addresses, r->count);
    list_push_back(&https->waiting, &fetch->node);
    start_waiting(https);
    return fetch;
}

struct https_fetch *https_get(struct https *https, struct slice host, uint16_t port,
                              const struct netaddr *addresses, size_t count, struct slice path, size_t max,
                              https_done *done, void *ctx)
{
    const struct https_request request = {.host = host,
                                          .port = port,
                                          .addresses = addresses,
                                          .count = count,
                                          .path = path,
                                          .max = max,
                                          .ms = HTTPS_TIMEOUT_MS,
                                          .done = done,
                                          .ctx = ctx};
    return https_send(https, &request);
}

void https_cancel(struct https_fetch **fetch)
{
    if (*fetch)
        fetch_free(*fetch);
    *fetch = NULL;
}
