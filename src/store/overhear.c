/* overhear.c: events of shared mailboxes, noted on the owner's strand. Input: the account's own state. Called
 * by names.c, account.c and the jobs. */
#include "store/overhear.h"

#include <stdlib.h>

#include "base/mem.h"
#include "store/acl.h"

bool account_is_overheard(const struct account *account)
{
    return account->acl_entries > 0 && account->overhearers && atomic_load(account->overhearers) > 0;
}

void overheard_free(struct overheard *event)
{
    list_remove(&event->node);
    acl_free(&event->acl);
    acl_free(&event->knew);
    free((void *)(uintptr_t)event->row.ptr);
    free(event);
}

void overheard_news_free(struct overheard_news **ref)
{
    struct overheard_news *news = *ref;
    if (!news)
        return;
    LIST_EACH(&news->events, node)
    {
        overheard_free(CONTAINER_OF(node, struct overheard, node));
    }
    free(news);
    *ref = NULL;
}

static struct overheard_news *news_of(struct account *account)
{
    if (!account->overheard) {
        account->overheard = mem_zero(1, sizeof *account->overheard);
        list_init(&account->overheard->events);
    }
    return account->overheard;
}

static void note(struct account *account, const struct mailbox *m, const struct event_row *row,
                 const struct acl *knew)
{
    if (!m->acl || !account_is_overheard(account))
        return;
    struct overheard_news *news = news_of(account);
    AUTO_BUF struct buf bytes = buf_new(WIRE_BLOB_MAX);
    event_row_add(&bytes, row);
    if (news->count >= OVERHEARD_MAX || !buf_ok(&bytes)) {
        news->lost = true;
        return;
    }
    struct overheard *event = mem_zero(1, sizeof *event);
    *event = (struct overheard){.acl = acl_dup(m->acl),
                                .knew = knew ? acl_dup(knew) : NULL,
                                .mailbox = m->id,
                                .what = row->what,
                                .gone = row->row.flags & MAILBOX_NONEXISTENT};
    event->row = slice_make(mem_dup(bytes.data, bytes.len), bytes.len);
    list_push_back(&news->events, &event->node);
    news->count++;
}

void overhear_messages(struct account *account, const struct mailbox *m, uint32_t what)
{
    const struct event_row row = {.what = what, .row = mailbox_row_of(m)};
    note(account, m, &row, NULL);
}

void overhear_name(struct account *account, const struct mailbox *m, struct slice old)
{
    const struct event_row row = {.what = MAILBOX_EVENT_NAME, .row = mailbox_row_of(m), .old = old};
    note(account, m, &row, NULL);
}

void overhear_shared(struct account *account, const struct mailbox *m, const struct acl *before)
{
    const struct event_row row = {.what = MAILBOX_EVENT_NAME, .row = mailbox_row_of(m)};
    note(account, m, &row, before);
}

/* For whoever saw it there is nothing of this name any more, also where it stays for names below it. */
void overhear_gone(struct account *account, const struct mailbox *m)
{
    const struct event_row row = {
        .what = MAILBOX_EVENT_NAME,
        .row = {.id = m->id, .tag = m->tag, .flags = MAILBOX_NONEXISTENT, .name = m->name}};
    note(account, m, &row, NULL);
}

void overhear_metadata(struct account *account, const struct mailbox *m, struct slice entries)
{
    const struct event_row row = {
        .what = MAILBOX_EVENT_METADATA, .row = mailbox_row_of(m), .entries = entries};
    note(account, m, &row, NULL);
}
