/* table.c: the address table: the accounts auth tells of, the alias and quota files the supervisor handed in,
 * and the settings, made into one directory_table. Also explains it to the administrator. Called by role.c
 * and control.c. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "queue/context.h"
#include "queue/routes.h"

#define TABLE_ARENA_MAX (1u << 30)
#define ACCOUNTS_MAX    (64u << 20)
#define EXPLAIN_ARENA   (4u << 20)
#define PROBLEMS_LOGGED 20

static const struct role_file *file_at(struct queue *q, bool next, enum sup_file kind, uint32_t index)
{
    return next ? role_next_file(q->run, kind, index) : role_file(q->run, kind, index);
}

typedef void read_file(struct directory_input *input, struct slice text, struct slice file);

static void read_files(struct queue *q, bool next, enum sup_file kind, size_t count, read_file *read,
                       struct directory_input *input)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct role_file *file = file_at(q, next, kind, i);
        if (file && file->missing.len == 0)
            read(input, file->content, file->path);
        else
            log_error("queue.aliases", LOG_STR("file", file ? file->path : SLICE("?")),
                      LOG_STR("why", file ? file->missing : SLICE("not handed in")));
    }
}

static enum err check_files(struct queue *q, bool next, enum sup_file kind, size_t count, struct why *why)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct role_file *file = file_at(q, next, kind, i);
        if (!file || file->missing.len)
            return err_set(why, ERR_BAD, "%.*s: %.*s",
                           SLICE_ARG(file ? slice_sub(file->path, 0, 100) : SLICE("a file of aliases")),
                           SLICE_ARG(file ? slice_sub(file->missing, 0, 100) : SLICE("not handed in")));
    }
    return ERR_OK;
}

enum err table_check_files(struct queue *q, bool next, struct why *why)
{
    const struct settings *settings = next ? role_next_settings(q->run) : role_settings(q->run);
    enum err err = check_files(q, next, SUP_FILE_ALIASES, settings->aliases.count, why);
    return err ? err : check_files(q, next, SUP_FILE_REGEXP, settings->regexp_aliases.count, why);
}

static void log_problems(const struct problems *problems)
{
    for (size_t i = 0; i < problems->count && i < PROBLEMS_LOGGED; i++) {
        const struct problem *p = &problems->items[i];
        log_warn("queue.directory", LOG_STR("file", p->file), LOG_U64("line", p->line),
                 LOG_STR("what", p->text));
    }
}

/* An address, or the quota of the one before. */
static void add_account(struct directory_input *input, struct slice text)
{
    uint64_t bytes;
    if (!slice_starts(text, SLICE(" ")))
        directory_add_account(input, text, SLICE_EMPTY, SLICE("accounts"));
    else if (slice_u64(slice_from(text, 1), UINT64_MAX, &bytes))
        directory_limit_account(input, bytes);
}

struct queue_table *table_build(struct queue *q, bool next, struct slice accounts)
{
    const struct settings *settings = next ? role_next_settings(q->run) : role_settings(q->run);
    struct queue_table *made = mem_zero(1, sizeof *made);
    made->arena = arena_new(TABLE_ARENA_MAX);
    struct problems *problems = problems_new_in(made->arena);
    struct directory_input *input = directory_input_new_in(made->arena, problems);
    struct slice address;
    while (wire_strings_take(&accounts, &address))
        add_account(input, address);
    read_files(q, next, SUP_FILE_ALIASES, settings->aliases.count, directory_read_virtual, input);
    read_files(q, next, SUP_FILE_REGEXP, settings->regexp_aliases.count, directory_read_regexp, input);
    read_files(q, next, SUP_FILE_QUOTAS, settings->quota.files.count, directory_read_quotas, input);
    made->table = directory_table_new_in(made->arena, input, settings, NULL, SLICE_EMPTY);
    log_problems(problems);
    log_info("queue.table", LOG_U64("accounts", directory_table_accounts(made->table)),
             LOG_U64("problems", problems->errors + problems->warnings),
             LOG_U64("bytes", arena_used(made->arena)));
    return made;
}

void table_free(struct queue_table **table)
{
    if (!*table)
        return;
    arena_free(&(*table)->arena);
    free(*table);
    *table = NULL;
}

void table_refresh(struct queue *q)
{
    if (!q->accounts_known)
        return;
    struct queue_table *made = table_build(q, false, slice_make(q->accounts, q->accounts_len));
    table_free(&q->table);
    q->table = made;
}

/* Our copy: the memfd is sealed, but a mapping of 100,000 addresses is kept for the next reload anyway. */
static bool read_accounts(struct queue *q, int fd)
{
    struct stat st;
    struct why why;
    if (fd < 0 || !io_is_sealed(fd) || io_fstat(fd, &st, &why) || st.st_size > ACCOUNTS_MAX)
        return false;
    size_t len = (size_t)st.st_size, got = 0;
    uint8_t *bytes = mem_alloc(len);
    if (io_pread(fd, bytes, len, 0, &got, &why) || got != len) {
        free(bytes);
        return false;
    }
    free(q->accounts);
    q->accounts = bytes;
    q->accounts_len = len;
    return true;
}

bool table_on_accounts(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct queue *q = ctx;
    AUTO_FD int fd = ipc_take_fd(packet, 0);
    (void)message;
    if (!read_accounts(q, fd))
        return false;
    q->accounts_known = true;
    table_refresh(q);
    role_ready(q->run);
    if (packet->request)
        wire_reply_result(link, packet->request, ERR_OK, STORE_CODE_NONE, SLICE_EMPTY);
    deliver_wake(q, 0);
    return true;
}

/* ---- for people ---- */

static const char *outcome_text(enum directory_outcome outcome)
{
    switch (outcome) {
    case DIRECTORY_DELIVER:
        return "deliver";
    case DIRECTORY_UNKNOWN:
        return "unknown";
    case DIRECTORY_REMOTE:
        return "remote";
    case DIRECTORY_TOO_MANY:
        return "too many targets";
    case DIRECTORY_INVALID:
        break;
    }
    return "no valid address";
}

/* "direct:example.org" or "relay:default" for a target that leaves. The sender is not known here: rules by
 * sender do not show. */
static void add_way(const struct queue *q, const struct directory_target *target, struct buf *out)
{
    AUTO_BUF struct buf key = buf_new(ROUTES_KEY_MAX);
    if (q->routes)
        routes_find(q->routes, SLICE_EMPTY, target->address, &key);
    buf_add(out, buf_slice(&key));
}

static void explain_json(const struct queue *q, const struct directory_route *route, struct slice address,
                         struct buf *out)
{
    buf_add_str(out, "{\"address\":");
    buf_add_json_string(out, address);
    buf_addf(out, ",\"outcome\":\"%s\",\"targets\":[", outcome_text(route->outcome));
    for (size_t i = 0; i < route->count; i++) {
        buf_addf(out, "%s{\"local\":%s,\"address\":", i ? "," : "",
                 route->targets[i].local ? "true" : "false");
        buf_add_json_string(out, route->targets[i].address);
        if (!route->targets[i].local) {
            buf_add_str(out, ",\"route\":\"");
            add_way(q, &route->targets[i], out);
            buf_add_byte(out, '"');
        }
        buf_add_byte(out, '}');
    }
    buf_add_str(out, "],\"steps\":[");
    for (size_t i = 0; i < route->step_count; i++) {
        const struct directory_step *step = &route->steps[i];
        buf_addf(out, "%s{\"depth\":%u,\"rule\":\"%s\",\"address\":", i ? "," : "", step->depth,
                 directory_rule_name(step->rule));
        buf_add_json_string(out, step->address);
        buf_add_str(out, ",\"to\":");
        buf_add_json_string(out, step->to);
        if (step->place) {
            buf_add_str(out, ",\"file\":");
            buf_add_json_string(out, step->place->file);
            buf_addf(out, ",\"line\":%u", step->place->line);
        }
        buf_add_byte(out, '}');
    }
    buf_add_str(out, "]}\n");
}

static void explain_text(const struct queue *q, const struct directory_route *route, struct buf *out)
{
    for (size_t i = 0; i < route->step_count; i++) {
        const struct directory_step *step = &route->steps[i];
        buf_addf(out, "%*s%.*s: %s", (int)(2 * step->depth), "", SLICE_ARG(step->address),
                 directory_rule_name(step->rule));
        if (step->to.len)
            buf_addf(out, " -> %.*s", SLICE_ARG(step->to));
        if (step->place && step->place->file.len)
            buf_addf(out, "  (%.*s:%u)", SLICE_ARG(step->place->file), step->place->line);
        buf_add_byte(out, '\n');
    }
    buf_addf(out, "%s\n", outcome_text(route->outcome));
    for (size_t i = 0; i < route->count; i++) {
        buf_addf(out, "  %s %.*s", route->targets[i].local ? "account" : "remote",
                 SLICE_ARG(route->targets[i].address));
        if (!route->targets[i].local) {
            buf_add_str(out, " via ");
            add_way(q, &route->targets[i], out);
        }
        buf_add_byte(out, '\n');
    }
}

uint32_t table_explain(struct queue *q, struct slice address, bool json, struct buf *out)
{
    if (!q->table) {
        buf_add_str(out, "the accounts are not known yet\n");
        return 1;
    }
    AUTO_ARENA struct arena *arena = arena_new(EXPLAIN_ARENA);
    struct directory_route route = {0};
    directory_route_in(arena, q->table->table, address, true, &route);
    if (json)
        explain_json(q, &route, address, out);
    else
        explain_text(q, &route, out);
    return route.outcome == DIRECTORY_DELIVER || route.outcome == DIRECTORY_REMOTE ? 0 : 1;
}

struct comparison {
    struct buf *out;
    bool json, any;
};

static void add_difference(void *arg, struct slice address, struct slice here, struct slice there)
{
    struct comparison *c = arg;
    if (!c->json) {
        buf_addf(c->out, "%.*s\n  here:    %.*s\n  postfix: %.*s\n", SLICE_ARG(address), SLICE_ARG(here),
                 SLICE_ARG(there));
        return;
    }
    buf_add_str(c->out, c->any ? ",{\"address\":" : "{\"address\":");
    buf_add_json_string(c->out, address);
    buf_add_str(c->out, ",\"here\":");
    buf_add_json_string(c->out, here);
    buf_add_str(c->out, ",\"postfix\":");
    buf_add_json_string(c->out, there);
    buf_add_byte(c->out, '}');
    c->any = true;
}

uint32_t table_compare(struct queue *q, bool json, struct buf *out)
{
    if (!q->table) {
        buf_add_str(out, "the accounts are not known yet\n");
        return 1;
    }
    struct comparison c = {.out = out, .json = json};
    if (json)
        buf_add_byte(out, '[');
    size_t count = directory_compare_postfix(q->table->table, add_difference, &c);
    if (json)
        buf_add_str(out, "]\n");
    else
        buf_addf(out, "%zu %s mail would go elsewhere\n", count,
                 count == 1 ? "address whose" : "addresses whose");
    return 0;
}
