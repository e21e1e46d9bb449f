/* greeter.c: what the smtp role holds for greet.c: the strangers it knows, saved with auth now and then, and
 * the DNS lists. Called by role.c. */
#include "smtp/greet.h"

#include <stdlib.h>

#include "base/mem.h"

static void on_save(void *arg)
{
    struct smtp_greeter *g = arg;
    smtp_greeter_save(g);
    loop_timer_set(g->save, SMTP_KNOWN_SAVE_MS);
}

struct smtp_greeter *smtp_greeter_new(struct smtp *smtp)
{
    struct smtp_greeter *g = mem_zero(1, sizeof *g);
    g->smtp = smtp;
    g->known = smtp_known_new(SMTP_KNOWN_MAX);
    list_init(&g->waiting);
    list_init(&g->again);
    g->due = loop_timer_new(smtp->loop, smtp_greet_due, g);
    g->save = loop_timer_new(smtp->loop, on_save, g);
    loop_timer_set(g->save, SMTP_KNOWN_SAVE_MS);
    return g;
}

void smtp_greeter_start(struct smtp_greeter *g)
{
    smtp_lists_free(&g->lists);
    g->lists = smtp_lists_new(g->smtp->loop, g->smtp->dns, g->smtp->settings);
    LIST_EACH(&g->waiting, node) /* what was found counts by the places of the lists before */
    {
        CONTAINER_OF(node, struct smtp_waiting, node)->listing.found = 0;
    }
}

void smtp_greeter_free(struct smtp_greeter **ref)
{
    struct smtp_greeter *g = *ref;
    *ref = NULL;
    if (!g)
        return;
    smtp_lists_free(&g->lists); /* ends those that are asked about again */
    smtp_known_free(&g->known);
    loop_timer_free(&g->due);
    loop_timer_free(&g->save);
    free(g);
}

/* ---- the known clients, kept by auth ---- */

void smtp_greeter_save(struct smtp_greeter *g)
{
    struct ipc_link *auth = g->smtp->auth;
    uint32_t at = 0, flags = DOOR_FIRST;
    if (!auth || !ipc_link_is_up(auth) || !smtp_known_changed(g->known))
        return;
    do {
        AUTO_BUF struct buf piece = buf_new(SMTP_KNOWN_PIECE);
        smtp_known_write(g->known, &at, &piece);
        const struct wire_door_save message = {.flags = flags | (at ? 0 : DOOR_LAST),
                                               .data = buf_slice(&piece)};
        if (wire_send(auth, WIRE_DOOR_SAVE, &message) != ERR_OK)
            return; /* it went away: there will be a next time */
        flags = 0;
    } while (at);
}

bool smtp_greeter_take(struct smtp_greeter *g, const struct wire_door_save *saved)
{
    enum err err = smtp_known_read(g->known, saved->data, (uint64_t)clock_unix_s() / 60);
    metric_set(METRIC_CLIENTS_KNOWN, 0, smtp_known_count(g->known));
    return err == ERR_OK;
}
