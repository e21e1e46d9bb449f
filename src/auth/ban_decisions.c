/* ban_decisions.c: CrowdSec's decisions in the auth role: taken from relay, which parses a LAPI's answers,
 * and kept on disk. Called by role.c's dispatch and ban_role.c. */
#include <stdlib.h>

#include "auth/ban_inside.h"
#include "auth/decisions_file.h"
#include "base/log.h"
#include "base/mem.h"

#define KEEP_SOON_MS  500   /* CrowdSec's decisions are written to disk so soon … */
#define KEEP_PAUSE_MS 20000 /* … but not more often than that */

struct keeping {
    struct decisions *decisions;
    enum err err;
    struct why why;
};

static void keep_work(void *arg)
{
    struct keeping *k = arg;
    k->err = decisions_file_save(k->decisions, (uint64_t)clock_unix_s(), &k->why);
    decisions_free(&k->decisions);
}

static void keep_done(void *arg)
{
    struct keeping *k = arg;
    if (k->err)
        log_warn("auth.decisions", LOG_CSTR("err", err_name(k->err)), LOG_WHY(&k->why));
    free(k);
}

void auth_bans_keep(void *arg)
{
    struct auth_bans *b = arg;
    struct keeping *k = mem_zero(1, sizeof *k);
    b->kept_soon = false;
    b->kept_ms = loop_now_ms(b->auth->loop);
    k->decisions = decisions_copy(b->bans->decisions);
    loop_strand_run(b->auth->strand, keep_work, keep_done, k);
}

static void decisions_changed(struct auth_bans *b)
{
    uint64_t next = b->kept_ms + KEEP_PAUSE_MS, now = loop_now_ms(b->auth->loop);
    ban_image_changed(b->image, false);
    if (!b->kept_soon)
        loop_timer_set(b->keep, b->kept_ms && next > now ? next - now : KEEP_SOON_MS);
    b->kept_soon = true;
}

/* A reload without CrowdSec: what it once said counts no more, as after a restart. */
void auth_bans_forget_decisions(struct auth_bans *b)
{
    if (b->auth->settings->crowdsec.url.len || decisions_count(b->bans->decisions) == 0)
        return;
    decisions_free(&b->bans->next_decisions);
    decisions_free(&b->bans->decisions);
    b->bans->decisions = decisions_new();
    decisions_changed(b);
}

/* They count until relay has heard from the LAPI. */
void auth_bans_load_decisions(struct auth_bans *b)
{
    struct why why;
    if (b->auth->settings->crowdsec.url.len == 0)
        return;
    enum err err = decisions_file_load(b->bans->decisions, (uint64_t)clock_unix_s(), &why);
    if (err && err != ERR_ABSENT)
        log_warn("auth.decisions", LOG_CSTR("err", err_name(err)), LOG_WHY(&why));
}

bool auth_bans_on_decisions(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct auth *auth = ctx;
    struct bans *bans = auth->bans->bans;
    const struct wire_decisions *m = message;
    struct slice rest = m->entries, line;
    uint64_t now_s = (uint64_t)clock_unix_s();
    if (!packet->request)
        return false;
    if (!auth->bans->image) {
        wire_reply_result(link, packet->request, ERR_LATER, STORE_CODE_NONE, SLICE_EMPTY);
        return true;
    }
    if (m->flags & DECISIONS_FIRST) {
        decisions_free(&bans->next_decisions);
        bans->next_decisions = decisions_new();
    }
    struct decisions *into = bans->next_decisions ? bans->next_decisions : bans->decisions;
    while (rest.len)
        if (!wire_strings_take(&rest, &line) || !decisions_take(into, line, now_s))
            return false;
    bool whole = bans->next_decisions && m->flags & DECISIONS_LAST;
    if (whole) {
        decisions_free(&bans->decisions);
        bans->decisions = bans->next_decisions;
        bans->next_decisions = NULL;
        log_info("auth.decisions", LOG_U64("count", decisions_count(bans->decisions)),
                 LOG_U64("refused", decisions_refused(bans->decisions)));
    }
    if (whole || (!bans->next_decisions && m->entries.len))
        decisions_changed(auth->bans);
    wire_reply_result(link, packet->request, ERR_OK, STORE_CODE_NONE, SLICE_EMPTY);
    return true;
}
