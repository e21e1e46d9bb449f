/* control.c: `account …` as the queue passes it on from the control socket, and `gateways` for `rockdove
 * check`. `account` runs on the strand of secrets.db; then the table is built anew. Called by role.c's
 * dispatch. */
#include <stdlib.h>
#include <string.h>

#include "auth/context.h"
#include "base/log.h"
#include "base/mem.h"

#define ARGUMENTS_MAX 8
#define BAN_COMMAND   SLICE("\003ban") /* as the first of wire_strings */
#define OUTPUT_MAX    (1u << 20)

struct command {
    struct auth *auth;
    uint32_t request, epoch, exit_code;
    bool json;
    struct slice arguments[ARGUMENTS_MAX];
    size_t count;
    struct buf out;
    struct vec rows;
    enum err rows_err;
    struct why why;
    size_t text_len;
    uint8_t text[];
};

/* Long lists go out in pieces; the last one carries the exit code. */
static void answer(struct command *c)
{
    struct slice text = buf_slice(&c->out);
    struct ipc_link *queue = role_link(c->auth->run, ROLE_QUEUE);
    do {
        const struct wire_control_output out = {.exit_code = text.len > WIRE_BLOB_MAX ? 0 : c->exit_code,
                                                .text = slice_sub(text, 0, WIRE_BLOB_MAX)};
        text = slice_from(text, out.text.len);
        if (c->epoch == c->auth->epochs[ROLE_QUEUE])
            wire_reply(queue, c->request, WIRE_CONTROL_OUTPUT, text.len > 0, &out);
    } while (text.len);
    buf_free(&c->out);
    mem_wipe(c->text, c->text_len);
    free(c);
}

static void work(void *arg)
{
    struct command *c = arg;
    c->exit_code = account_command(c->auth->secrets, c->arguments + 1, c->count - 1, c->json, &c->out);
    c->rows_err = auth_read_rows(c->auth->secrets, &c->rows, &c->why);
}

static void finish(void *arg)
{
    struct command *c = arg;
    if (c->rows_err)
        log_error("auth.secrets", LOG_WHY(&c->why));
    else
        auth_take_rows(c->auth, &c->rows);
    if (c->exit_code == 0)
        log_info("auth.account", LOG_STR("what", c->arguments[1]),
                 LOG_STR("account", c->count > 2 ? c->arguments[2] : SLICE_EMPTY));
    auth_free_rows(&c->rows);
    answer(c);
}

/* With the ones from files, which the database does not know. */
static void list_all(struct command *c)
{
    const struct accounts *accounts = c->auth->accounts;
    if (c->json)
        buf_add_byte(&c->out, '[');
    for (size_t i = 0; i < accounts->count; i++) {
        const struct account *a = &accounts->items[i];
        if (c->json) {
            buf_addf(&c->out, "%s{\"address\":", i ? "," : "");
            buf_add_json_string(&c->out, a->address);
            buf_add_str(&c->out, ",\"source\":");
            buf_add_json_string(&c->out, a->source);
            buf_addf(&c->out, ",\"usable\":%s,\"scram\":%s}", a->usable ? "true" : "false",
                     a->has_verifier ? "true" : "false");
        } else {
            buf_addf(&c->out, "%.*s  %.*s%s\n", SLICE_ARG(a->address), SLICE_ARG(a->source),
                     a->usable ? "" : "  (cannot log in: the hash is of no kind we know)");
        }
    }
    if (c->json)
        buf_add_str(&c->out, "]\n");
    answer(c);
}

static bool take_arguments(struct command *c)
{
    struct slice rest = slice_make(c->text, c->text_len), argument;
    while (rest.len) {
        if (c->count == ARGUMENTS_MAX || !wire_strings_take(&rest, &argument))
            return false;
        c->arguments[c->count++] = argument;
    }
    if (c->count == 1)
        return slice_eq(c->arguments[0], SLICE("gateways"));
    return c->count >= 2 && slice_eq(c->arguments[0], SLICE("account"));
}

/* One address, one place: what stands in a file is changed in the file. */
static bool stands_in_file(struct command *c)
{
    if (c->count < 3)
        return false;
    const struct account *account = accounts_find(c->auth->accounts, c->arguments[2]);
    if (!account || slice_eq(account->source, SLICE(SECRETS_PATH)))
        return false;
    buf_addf(&c->out, "%.*s stands in %.*s: change it there\n", SLICE_ARG(account->address),
             SLICE_ARG(account->source));
    c->exit_code = 1;
    return true;
}

bool auth_control_on_command(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct auth *auth = ctx;
    const struct wire_control *m = message;
    (void)link;
    if (!packet->request)
        return false;
    if (slice_starts(m->arguments, BAN_COMMAND) && auth->accounts) {
        auth_bans_control(auth->bans, packet->request, m);
        return true;
    }
    struct command *c = mem_zero(1, sizeof *c + m->arguments.len);
    c->auth = auth;
    c->request = packet->request;
    c->epoch = auth->epochs[ROLE_QUEUE];
    c->json = m->json;
    c->out = buf_new(OUTPUT_MAX);
    c->text_len = m->arguments.len;
    if (m->arguments.len)
        memcpy(c->text, m->arguments.ptr, m->arguments.len);
    if (!take_arguments(c)) {
        buf_add_str(&c->out, "usage: account add ADDRESS | passwd ADDRESS | remove ADDRESS | list\n");
        c->exit_code = 2;
        answer(c);
    } else if (c->count == 1) {
        auth_gateways_print(&auth->gateways, auth->settings, c->json, &c->out);
        answer(c);
    } else if (c->count == 2 && slice_eq(c->arguments[1], SLICE("list"))) {
        list_all(c);
    } else if (stands_in_file(c)) {
        answer(c);
    } else {
        loop_strand_run(auth->strand, work, finish, c);
    }
    return true;
}
