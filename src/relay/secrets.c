/* secrets.c: relays' passwords, read by policy/relay_secrets.c from the administrator's files. */
#include "relay/secrets.h"

#include <stdlib.h>
#include <string.h>

#include "base/coll.h"
#include "base/log.h"
#include "base/mem.h"
#include "grammar/smtp_ehlo.h"
#include "policy/relay_secrets.h"

#define SECRETS_ARENA_MAX (64u << 20)

/* What came of one or more files. */
struct source {
    struct relay_secrets *secrets;
    struct slice flaw; /* why nothing can be read; empty: none */
    bool named;        /* the settings name a file */
    bool lost;         /* and it, or one of them, could not be had */
    uint8_t sum[HASH_SUM_LEN];
};

/* One configured relay. */
struct entry {
    struct slice name;
    struct source source;
};

struct secrets {
    unsigned refs;
    struct arena *arena;
    struct entry *relays; /* by settings_relay_at() index */
    size_t count;
    struct source maps; /* of all relay maps */
};

static void log_problems(const struct problems *problems)
{
    for (size_t i = 0; i < problems->count; i++) {
        const struct problem *p = &problems->items[i];
        log_warn("relay.secret_file", LOG_STR("file", p->file), LOG_U64("line", p->line),
                 LOG_STR("why", p->text));
    }
}

static void read_file(struct secrets *s, struct source *source, const struct role_file *file,
                      struct hash_sum *sum)
{
    struct slice path = file ? file->path : SLICE_EMPTY;
    source->named = true;
    if (!file || file->missing.len) {
        source->flaw = arena_dup(s->arena, file ? file->missing : SLICE("the file was not handed in"));
        source->lost = true;
        log_warn("relay.secret_file", LOG_STR("file", path), LOG_STR("why", source->flaw));
        return;
    }
    AUTO_ARENA struct arena *scratch = arena_new(SECRETS_ARENA_MAX);
    struct problems *problems = problems_new_in(scratch);
    hash_sum_add(sum, file->content);
    if (!relay_secrets_read(source->secrets, file->content, path, problems) && !source->lost)
        source->flaw = SLICE("the file holds no name and password");
    log_problems(problems);
}

typedef const struct role_file *file_getter(struct role_run *run, enum sup_file kind, uint32_t index);

static void load_relay(struct secrets *s, uint32_t index, const struct settings_relay *relay,
                       struct role_run *run, file_getter *get)
{
    static const struct hash_key fixed = {1, 2}; /* finds changes; keeps no secret */
    struct entry *entry = &s->relays[index];
    struct hash_sum sum;
    hash_sum_begin(&sum, &fixed);
    entry->source.secrets = relay_secrets_new_in(s->arena);
    if (relay) {
        entry->name = arena_dup(s->arena, relay->name);
        if (relay->sasl_file.len)
            read_file(s, &entry->source, get(run, SUP_FILE_RELAY_SECRET, index), &sum);
    }
    hash_sum_end(&sum, entry->source.sum);
}

static void load_maps(struct secrets *s, const struct settings *settings, struct role_run *run,
                      file_getter *get)
{
    static const struct hash_key fixed = {1, 2};
    struct hash_sum sum;
    hash_sum_begin(&sum, &fixed);
    s->maps.secrets = relay_secrets_new_in(s->arena);
    for (uint32_t i = 0; i < settings->relay_maps.count; i++)
        if (settings->relay_maps.items[i].sasl_file.len)
            read_file(s, &s->maps, get(run, SUP_FILE_RELAY_MAP_SECRET, i), &sum);
    hash_sum_end(&sum, s->maps.sum);
}

struct secrets *secrets_load(struct role_run *run, bool next)
{
    const struct settings *settings = next ? role_next_settings(run) : role_settings(run);
    file_getter *get = next ? role_next_file : role_file;
    struct secrets *s = mem_zero(1, sizeof *s);
    s->refs = 1;
    s->arena = arena_new(SECRETS_ARENA_MAX);
    s->count = settings->relays.count + 1;
    s->relays = ARENA_ARRAY(s->arena, struct entry, s->count);
    for (uint32_t i = 0; i < s->count; i++)
        load_relay(s, i, settings_relay_at(settings, i), run, get);
    load_maps(s, settings, run, get);
    return s;
}

struct secrets *secrets_ref(struct secrets *s)
{
    s->refs++;
    return s;
}

void secrets_free(struct secrets **ref)
{
    struct secrets *s = ref ? *ref : NULL;
    if (!s)
        return;
    *ref = NULL;
    if (--s->refs > 0)
        return;
    arena_free(&s->arena);
    free(s);
}

/* ---- logins ---- */

static unsigned mechanisms_of(enum settings_relay_auth auth)
{
    switch (auth) {
    case SETTINGS_RELAY_AUTH_PLAIN:
        return SMTP_SASL_PLAIN;
    case SETTINGS_RELAY_AUTH_LOGIN:
        return SMTP_SASL_LOGIN;
    case SETTINGS_RELAY_AUTH_SCRAM_SHA_256:
        return SMTP_SASL_SCRAM_SHA_256;
    case SETTINGS_RELAY_AUTH_XOAUTH2:
        return SMTP_SASL_XOAUTH2;
    case SETTINGS_RELAY_AUTH_AUTO:
        break;
    }
    return 0;
}

static struct slice bare(struct slice host)
{
    bool brackets = slice_starts(host, SLICE("[")) && slice_ends(host, SLICE("]"));
    return brackets ? slice_sub(host, 1, host.len - 2) : host;
}

bool secrets_of_relay(const struct secrets *s, const struct settings *settings, uint32_t index,
                      struct sasl_login *login, struct slice *flaw)
{
    const struct settings_relay *relay = settings_relay_at(settings, index);
    *login = (struct sasl_login){0};
    *flaw = SLICE_EMPTY;
    if (!relay || index >= s->count || !s->relays[index].source.named)
        return true;
    const struct source *source = &s->relays[index].source;
    const struct relay_secret *found =
        relay_secrets_find(source->secrets, SLICE_EMPTY, bare(relay->host), (uint16_t)relay->port);
    if (!found) {
        *flaw = source->flaw.len ? source->flaw : SLICE("the file holds no name and password for this relay");
        return false;
    }
    *login = (struct sasl_login){
        .user = found->user, .secret = found->password, .mechanisms = mechanisms_of(relay->auth)};
    return true;
}

bool secrets_of_map(const struct secrets *s, struct slice sender, struct slice host, uint16_t port,
                    struct sasl_login *login, struct slice *flaw)
{
    const struct relay_secret *found = relay_secrets_find(s->maps.secrets, sender, bare(host), port);
    *login = (struct sasl_login){0};
    *flaw = found ? SLICE_EMPTY : s->maps.flaw;
    if (found)
        *login = (struct sasl_login){.user = found->user, .secret = found->password};
    return found || !s->maps.lost;
}

/* ---- what changed ---- */

static bool differs(const struct source *a, const struct source *b)
{
    return memcmp(a->sum, b->sum, sizeof a->sum) != 0 || !slice_eq(a->flaw, b->flaw);
}

static const struct entry *entry_named(const struct secrets *s, struct slice name)
{
    for (size_t i = 0; i < s->count; i++)
        if (slice_eq(s->relays[i].name, name))
            return &s->relays[i];
    return NULL;
}

void secrets_compare(const struct secrets *before, const struct secrets *now,
                     void (*changed)(void *ctx, uint32_t relay), void *ctx)
{
    for (uint32_t i = 0; i < now->count; i++) {
        const struct entry *entry = &now->relays[i], *old = entry_named(before, entry->name);
        if (entry->name.len && (!old || differs(&old->source, &entry->source)))
            changed(ctx, i);
    }
    if (differs(&before->maps, &now->maps))
        changed(ctx, UINT32_MAX);
}
