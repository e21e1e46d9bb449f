/* control.c: the administrator's commands that store answers while the server runs, passed on by queue:
 * `store remove ADDRESS` (what `account remove --delete-mail` ends with). Input: arguments a person typed. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/context.h"
#include "store/remove.h"

#define CONTROL_ARGUMENTS 3

struct removal {
    struct store *store;
    struct slot *slot;
    struct ipc_link *link;
    uint64_t epoch;
    uint32_t request;
    struct account_news news;
    enum err err;
    struct why why;
};

static void answer(struct ipc_link *link, uint32_t request, const char *text, uint32_t exit_code)
{
    const struct wire_control_output out = {.exit_code = exit_code, .text = slice_of(text)};
    wire_reply(link, request, WIRE_CONTROL_OUTPUT, false, &out);
}

static void note_all_gone(struct account *account)
{
    size_t at = 0;
    struct mailbox *m;
    while ((m = idmap_next(account->by_id, &at, NULL)))
        if (m->watches)
            account_note_gone(account, m->id);
}

static void remove_work(void *arg)
{
    struct removal *r = arg;
    struct account *account = r->slot->account;
    if (account) {
        note_all_gone(account);
        r->news = account_take_news(account);
        db_close(&account->db); /* nothing of it is folded: it goes */
        account_free(&r->slot->account);
    }
    r->err = remove_account(&r->store->root, r->slot->address, &r->why);
}

static void remove_done(void *arg)
{
    struct removal *r = arg;
    watches_tell(r->store, r->slot, &r->news, NULL);
    if (r->err)
        log_error("store.remove", LOG_STR("account", r->slot->address), LOG_WHY(&r->why));
    else
        log_info("store.removed", LOG_STR("account", r->slot->address));
    if (r->epoch == r->store->epochs[ROLE_QUEUE])
        answer(r->link, r->request,
               r->err ? "the mail could not be removed, see the log\n" : "mail removed\n", r->err ? 1 : 0);
    r->store->jobs--;
    slot_release(r->slot);
    free(r);
}

static void remove_mail(struct store *store, struct ipc_link *link, struct ipc_packet *packet,
                        struct slice account)
{
    struct slot *slot = account.len && store->jobs < STORE_JOBS_MAX ? slot_get(store, account) : NULL;
    if (!slot || slot->beside || slot->committing) { /* writers outside the strand hold the account */
        answer(link, packet->request, "mail is being delivered to this account, try again\n", 1);
        return;
    }
    struct removal *r = mem_zero(1, sizeof *r);
    *r = (struct removal){.store = store,
                          .slot = slot,
                          .link = link,
                          .epoch = store->epochs[ROLE_QUEUE],
                          .request = packet->request};
    slot->opened = false; /* nobody writes beside the strand from now on */
    store->jobs++;
    slot_hold(slot);
    loop_strand_run(slot->strand, remove_work, remove_done, r);
}

bool store_control_on_command(void *ctx, struct ipc_link *link, struct ipc_packet *packet,
                              const void *message)
{
    const struct wire_control *m = message;
    struct slice rest = m->arguments, arguments[CONTROL_ARGUMENTS];
    size_t count = 0;
    if (!packet->request)
        return false;
    while (count < CONTROL_ARGUMENTS && wire_strings_take(&rest, &arguments[count]))
        count++;
    if (count == CONTROL_ARGUMENTS && !rest.len && slice_eq(arguments[0], SLICE("store")) &&
        slice_eq(arguments[1], SLICE("remove")))
        remove_mail(ctx, link, packet, arguments[2]);
    else
        answer(link, packet->request, "store verify and store rebuild work while the server is stopped\n", 2);
    return true;
}
