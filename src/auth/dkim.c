/* dkim.c: DKIM keys of the settings, and signatures with them on threads of their own. What is signed comes
 * from queue, which has it from scan: policy/dkim_sign.c checks that it stays inside a field. No part of a
 * key is ever logged. */
#include "auth/dkim.h"

#include <stdlib.h>
#include <string.h>

#include "auth/context.h"
#include "base/log.h"
#include "base/mem.h"
#include "grammar/domain.h"

#define NAME_ARENA_MAX (1u << 16)
#define SIGN_ARENA_MAX (1u << 20) /* memory of one request */

/* ---- keys ---- */

void dkim_warm(void)
{
    AUTO_BUF struct buf pem = buf_new(DKIM_KEY_FILE_MAX);
    struct dkim_key *key = NULL, *again = NULL;
    struct why why;
    enum err err = dkim_key_generate(DKIM_ED25519_SHA256, &key, &why);
    if (!err)
        err = dkim_key_pem(key, &pem, &why);
    if (!err)
        err = dkim_key_read(buf_slice(&pem), &again, &why);
    if (!err)
        err = dkim_key_prove(again, &why);
    if (err)
        log_error("auth.dkim", LOG_WHY(&why));
    dkim_key_free(&key);
    dkim_key_free(&again);
}

static struct slice keep_in(struct arena *arena, struct slice name)
{
    struct slice alabel;
    if (domain_to_alabel_in(arena, name, &alabel, NULL))
        alabel = name;
    return slice_make(mem_dup(alabel.ptr, alabel.len), alabel.len);
}

static struct dkim_ring_key *find(const struct dkim_ring *ring, struct slice domain, struct slice selector)
{
    for (size_t i = 0; i < ring->count; i++)
        if (slice_ieq(ring->at[i].domain, domain) && slice_ieq(ring->at[i].selector, selector))
            return &ring->at[i];
    return NULL;
}

/* The same for a row of the settings, whose domain may have other letters. */
static const struct dkim_ring_key *find_row(const struct dkim_ring *ring, const struct settings_dkim *row)
{
    AUTO_ARENA struct arena *arena = arena_new(NAME_ARENA_MAX);
    struct slice domain;
    if (domain_to_alabel_in(arena, row->domain, &domain, NULL))
        domain = row->domain;
    return find(ring, domain, row->selector);
}

static enum err read_key(const struct role_file *file, struct dkim_key **key, struct why *why)
{
    if (!file || file->missing.len)
        return err_set(why, ERR_ABSENT, "%.*s", SLICE_ARG(file ? file->missing : SLICE("not handed in")));
    enum err err = dkim_key_read(file->content, key, why);
    if (!err)
        err = dkim_key_prove(*key, why);
    if (err)
        dkim_key_free(key);
    return err;
}

static void add_key(struct dkim_ring *ring, const struct settings_dkim *row, struct dkim_key *key)
{
    AUTO_ARENA struct arena *arena = arena_new(NAME_ARENA_MAX);
    ring->at[ring->count++] =
        (struct dkim_ring_key){keep_in(arena, row->domain), keep_in(arena, row->selector), key};
    log_info("auth.dkim", LOG_STR("domain", row->domain), LOG_STR("selector", row->selector),
             LOG_CSTR("algorithm", dkim_algorithm_name(dkim_key_algorithm(key))),
             LOG_U64("bits", dkim_key_bits(key)));
    if (dkim_key_algorithm(key) == DKIM_RSA_SHA256 && dkim_key_bits(key) < DKIM_RSA_BITS_GOOD)
        log_warn("auth.dkim", LOG_STR("domain", row->domain), LOG_STR("selector", row->selector),
                 LOG_CSTR("why", "an RSA key below 2048 bits: make a new one (rockdove dkim rotate)"));
}

struct dkim_ring *dkim_ring_new(struct role_run *run, bool next)
{
    const struct settings *settings = next ? role_next_settings(run) : role_settings(run);
    struct dkim_ring *ring = mem_zero(1, sizeof *ring);
    ring->refs = 1;
    ring->at = mem_zero(settings->dkim.count + 1, sizeof *ring->at);
    for (uint32_t i = 0; i < settings->dkim.count; i++) {
        const struct settings_dkim *row = &settings->dkim.items[i];
        struct dkim_key *key = NULL;
        struct why why = {0};
        enum err err = find_row(ring, row) ? err_set(&why, ERR_BAD, "the domain has this selector twice")
                                           : read_key(next ? role_next_file(run, SUP_FILE_DKIM_KEY, i)
                                                           : role_file(run, SUP_FILE_DKIM_KEY, i),
                                                      &key, &why);
        if (err)
            log_error("auth.dkim", LOG_STR("domain", row->domain), LOG_STR("selector", row->selector),
                      LOG_STR("file", row->key_file), LOG_WHY(&why));
        else
            add_key(ring, row, key);
    }
    return ring;
}

static bool is_named(const struct settings *settings, const struct settings_dkim *row)
{
    for (uint32_t i = 0; i < settings->dkim.count; i++)
        if (slice_ieq(settings->dkim.items[i].domain, row->domain) &&
            slice_ieq(settings->dkim.items[i].selector, row->selector))
            return true;
    return false;
}

enum err dkim_ring_check(struct role_run *run, const struct dkim_ring *now, const struct dkim_ring *next,
                         struct why *why)
{
    const struct settings *settings = role_next_settings(run);
    for (uint32_t i = 0; i < settings->dkim.count; i++) {
        const struct settings_dkim *row = &settings->dkim.items[i];
        bool failed_before = !find_row(now, row) && is_named(role_settings(run), row);
        struct dkim_key *key = NULL;
        struct why flaw = {0};
        if (find_row(next, row) || failed_before)
            continue;
        enum err err = read_key(role_next_file(run, SUP_FILE_DKIM_KEY, i), &key, &flaw);
        dkim_key_free(&key);
        return err_set(why, err ? err : ERR_BAD, "the DKIM key %.*s of %.*s: %s",
                       SLICE_ARG(slice_sub(row->selector, 0, 63)), SLICE_ARG(slice_sub(row->domain, 0, 100)),
                       flaw.text);
    }
    return ERR_OK;
}

void dkim_ring_release(struct dkim_ring **ring)
{
    struct dkim_ring *r = *ring;
    *ring = NULL;
    if (!r || --r->refs)
        return;
    for (size_t i = 0; i < r->count; i++) {
        dkim_key_free(&r->at[i].key);
        free((void *)(uintptr_t)r->at[i].domain.ptr);
        free((void *)(uintptr_t)r->at[i].selector.ptr);
    }
    free(r->at);
    free(r);
}

/* ---- telling queue ---- */

static void send_keys(struct ipc_link *queue, struct buf *keys, bool more)
{
    const struct wire_dkim_keys message = {.more = more, .keys = buf_slice(keys)};
    if (wire_send(queue, WIRE_DKIM_KEYS, &message))
        log_error("auth.tell", LOG_CSTR("what", "DKIM keys"));
    buf_clear(keys);
}

void dkim_tell(struct auth *auth)
{
    struct ipc_link *queue = role_link(auth->run, ROLE_QUEUE);
    AUTO_BUF struct buf keys = buf_new(WIRE_BLOB_MAX);
    if (!queue || !ipc_link_is_up(queue))
        return;
    for (size_t i = 0; i < auth->dkim->count; i++) {
        const struct dkim_ring_key *key = &auth->dkim->at[i];
        if (keys.len > WIRE_BLOB_MAX / 2)
            send_keys(queue, &keys, true);
        wire_strings_add(&keys, key->domain);
        wire_strings_add(&keys, key->selector);
        wire_strings_add(&keys, slice_of(dkim_key_type_name(dkim_key_algorithm(key->key))));
        wire_strings_add(&keys, dkim_key_public(key->key));
    }
    send_keys(queue, &keys, false);
}

/* ---- signing ---- */

struct signing {
    struct auth *auth;
    struct arena *arena; /* holds this */
    struct dkim_ring *ring;
    uint32_t request, epoch;
    const struct dkim_ring_key *with[DKIM_SIGNERS_MAX];
    size_t count;
    struct dkim_summary summary;
    uint64_t time;
    struct buf header;
    enum err err;
    struct why why;
};

static void work(void *arg)
{
    struct signing *s = arg;
    for (size_t i = 0; i < s->count && !s->err; i++) {
        const struct dkim_signing signing = {.domain = s->with[i]->domain,
                                             .selector = s->with[i]->selector,
                                             .time = s->time,
                                             .summary = &s->summary};
        struct slice field;
        s->err = dkim_sign_in(s->arena, s->with[i]->key, &signing, &field, &s->why);
        if (!s->err)
            buf_add(&s->header, field);
    }
    if (!s->err && !buf_ok(&s->header))
        s->err = err_set(&s->why, ERR_BAD, "the signatures are too long");
}

static void done(void *arg)
{
    struct signing *s = arg;
    const struct wire_dkim_signed reply = {.err = s->err,
                                           .header = s->err ? SLICE_EMPTY : buf_slice(&s->header),
                                           .text = s->err ? slice_of(s->why.text) : SLICE_EMPTY};
    if (s->err)
        log_error("auth.dkim", LOG_STR("domain", s->with[0]->domain), LOG_WHY(&s->why));
    if (s->epoch == s->auth->epochs[ROLE_QUEUE])
        wire_reply(role_link(s->auth->run, ROLE_QUEUE), s->request, WIRE_DKIM_SIGNED, false, &reply);
    dkim_ring_release(&s->ring);
    buf_free(&s->header);
    struct arena *arena = s->arena;
    arena_free(&arena);
}

static void refuse(struct ipc_link *link, struct ipc_packet *packet, enum err err, const char *text)
{
    const struct wire_dkim_signed reply = {.err = err, .text = slice_of(text)};
    wire_reply(link, packet->request, WIRE_DKIM_SIGNED, false, &reply);
}

/* The keys asked for, as far as they are still there: a reload may just have changed them. */
static bool find_keys(const struct dkim_ring *ring, const struct wire_dkim_sign *m, struct signing *s)
{
    struct slice rest = m->selectors, selector;
    while (rest.len) {
        if (!wire_strings_take(&rest, &selector) || s->count == DKIM_SIGNERS_MAX)
            return false;
        const struct dkim_ring_key *key = find(ring, m->domain, selector);
        if (key)
            s->with[s->count++] = key;
    }
    return true;
}

bool dkim_on_sign(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct auth *auth = ctx;
    const struct wire_dkim_sign *m = message;
    struct signing found = {.auth = auth, .time = m->time, .request = packet->request};
    if (!packet->request || !find_keys(auth->dkim, m, &found))
        return false;
    if (!found.count || m->hash.len != DKIM_HASH_LEN) {
        refuse(link, packet, found.count ? ERR_BAD : ERR_ABSENT, found.count ? "no hash" : "no such key");
        return true;
    }
    if (loop_pool_pending(auth->signers) >= DKIM_WAITING_MAX) {
        refuse(link, packet, ERR_LATER, "too many signatures wait");
        return true;
    }
    struct arena *arena = arena_new(SIGN_ARENA_MAX);
    struct signing *s = ARENA_NEW(arena, struct signing);
    *s = found;
    s->arena = arena;
    s->epoch = auth->epochs[ROLE_QUEUE];
    s->ring = auth->dkim;
    s->ring->refs++;
    s->header = buf_new(WIRE_HEADER_MAX);
    memcpy(s->summary.hash, m->hash.ptr, DKIM_HASH_LEN);
    s->summary.names = arena_dup(arena, m->names);
    s->summary.fields = arena_dup(arena, m->fields);
    loop_pool_run(auth->signers, work, done, s);
    return true;
}
