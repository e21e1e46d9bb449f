/* cmd_select.c: SELECT, EXAMINE, CLOSE, UNSELECT (RFC 9051 sections 6.3.2, 6.3.3, 6.4.1, 6.4.2; QRESYNC: RFC
 * 7162). */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "grammar/imap_acl.h"
#include "imap/capability.h"
#include "imap/command.h"
#include "imap/search_context.h"
#include "imap/notify.h"
#include "imap/mailbox_open.h"
#include "imap/vanished.h"
#include "imap/status.h"
#include "wire/objectid.h"

/* ---- leaving ---- */

void imap_session_unselect(struct session *s)
{
    struct selected *sel = s->selected;
    if (!sel)
        return;
    s->selected = NULL;
    mailbox_open_leave(sel->reopening);
    list_remove(&sel->node);
    imap_recent_leave(sel);
    imap_sync_free(&sel->sync);
    imap_contexts_free(sel);
    if (sel->saved)
        imap_set_builder_free(sel->saved);
    free(sel->saved);
    imap_view_close(&sel->view);
    imap_mailbox_release(s->imap, sel->mailbox, &s->grant, sel->read_only);
    free(sel->name);
    free(sel);
    if (s->state == SESSION_SELECTED)
        imap_session_set_state(s, SESSION_LOGGED_IN);
}

void imap_cmd_unselect(struct session *s)
{
    imap_session_unselect(s);
    imap_session_done(s, "OK Unselect completed");
}

static void on_closed(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    (void)arg;
    struct wire_expunged expunged;
    err = wire_answer(err, packet, WIRE_EXPUNGED, &expunged);
    bool kept = !err && expunged.code == STORE_CODE_NOPERM; /* RFC 4314 section 4: no error */
    if (err || (expunged.err && !kept)) {
        imap_session_refused(s, err ? err : expunged.err, expunged.code, expunged.text);
        return;
    }
    imap_session_unselect(s);
    imap_session_done(s, "OK Close completed");
}

/* Expunges without telling (RFC 9051 section 6.4.1). */
void imap_cmd_close(struct session *s)
{
    if (s->selected->read_only) {
        imap_session_unselect(s);
        imap_session_done(s, "OK Close completed");
        return;
    }
    const struct wire_expunge expunge = {.grant = s->grant, .watch = s->selected->mailbox->watch};
    imap_session_ask(s, ROLE_STORE, WIRE_EXPUNGE, &expunge, on_closed);
}

/* ---- entering ---- */

struct selected *imap_selected_new(struct session *s, struct imap_mailbox *mailbox, struct slice name,
                                   bool read_only, const struct wire_mbox_selected *reply)
{
    struct selected *sel = mem_zero(1, sizeof *sel);
    sel->session = s;
    sel->mailbox = mailbox;
    sel->name = mem_dup(name.ptr, name.len);
    sel->name_len = name.len;
    sel->rights = reply->rights;
    sel->read_only = read_only || !(reply->rights & RIGHT_CHANGES);
    sel->mailbox_id = reply->mailbox;
    sel->tag = reply->tag;
    imap_view_open(&sel->view, mailbox->live);
    imap_recent_enter(sel, reply);
    list_push_back(&mailbox->sessions, &sel->node);
    s->selected = sel;
    imap_session_set_state(s, SESSION_SELECTED);
    imap_notify_selected(s);
    return sel;
}

/* Sequence number of the first message without \Seen, 0 when all have it. */
static uint32_t first_unseen(const struct imap_view *v)
{
    for (uint64_t i = 0; (i = image_next_unseen(v->map->image, i, v->known)) < v->known; i++) {
        uint32_t seq = imap_view_seq(v, (uint32_t)i);
        if (seq)
            return seq;
    }
    return 0;
}

/* What revision 2 has no more (RFC 9051 appendix E). */
static void write_first_revision(struct session *s)
{
    const struct imap_view *v = &s->selected->view;
    struct buf *out = imap_session_output(s);
    buf_addf(out, "* %u RECENT\r\n", imap_view_recent(v));
    uint32_t unseen = s->uidonly ? 0 : first_unseen(v); /* RFC 9586 section 3.4 */
    if (unseen)
        buf_addf(out, "* OK [UNSEEN %u] First unseen\r\n", unseen);
}

static void write_mailbox_state(struct session *s, uint32_t uidvalidity)
{
    struct imap_view *v = &s->selected->view;
    struct buf *out = imap_session_output(s);
    imap_write_known_flags(s);
    buf_addf(out, "* %u EXISTS\r\n", imap_view_exists(v));
    if (!s->rev2)
        write_first_revision(s);
    buf_addf(out, "* OK [UIDVALIDITY %u] UIDs valid\r\n", uidvalidity);
    if (imap_capability_has(s, CAP_URLAUTH)) /* RFC 4467 section 9 */
        buf_add_str(out, "* OK [URLMECH INTERNAL] URLs can be authorised\r\n");
    buf_addf(out, "* OK [UIDNEXT %u] Predicted next UID\r\n", imap_view_uidnext(v));
    if (imap_capability_has(s, CAP_OBJECTID)) { /* RFC 8474 section 4.2 */
        buf_add_str(out, "* OK [MAILBOXID (");
        object_mailbox(out, s->selected->tag, s->selected->mailbox_id, uidvalidity);
        buf_add_str(out, ")] Stays with the mailbox\r\n");
    }
    if (imap_capability_has(s, CAP_CONDSTORE))
        buf_addf(out, "* OK [HIGHESTMODSEQ %llu] Highest\r\n", (unsigned long long)v->modseq);
    if (s->rev2) {
        struct slice name = s->run->command.select.mailbox;
        imap_list_write(s, "", name, imap_list_supplied(s, name)); /* RFC 9051 section 6.3.2 */
    }
}

static void finish_select(struct session *s)
{
    imap_session_done(s, "OK [READ-%s] %s completed", s->selected->read_only ? "ONLY" : "WRITE",
                      s->run->command.verb == IMAP_SELECT ? "Select" : "Examine");
}

/* ---- QRESYNC (RFC 7162 section 3.2.5) ---- */

static void tell_changed(struct session *s)
{
    /* Whatever changed since the client's modseq is news. */
    s->selected->view.modseq = s->run->command.select.modseq;
    s->run->sync = SYNC_NO_EXPUNGE;
    finish_select(s);
}

static void resynchronise(struct session *s)
{
    struct imap_select_args *args = &s->run->command.select;
    if (args->has_known_uids)
        imap_set_normalise(&args->known_uids, UINT32_MAX);
    imap_vanished_ask(s, args->modseq, args->has_known_uids ? &args->known_uids : NULL, tell_changed);
}

/* ---- the answer of store ---- */

static void opened(struct session *s, struct imap_mailbox *mailbox, const struct wire_mbox_selected *reply)
{
    struct imap_select_args *args = &s->run->command.select;
    imap_selected_new(s, mailbox, args->mailbox, s->run->command.verb == IMAP_EXAMINE, reply);
    write_mailbox_state(s, reply->uidvalidity);
    if (args->qresync && args->uid_validity == reply->uidvalidity && args->modseq < s->selected->view.modseq)
        resynchronise(s);
    else
        finish_select(s);
}

static void on_opened(void *ctx, enum err err, struct imap_mailbox *mailbox,
                      const struct wire_mbox_selected *reply)
{
    struct session *s = ctx;
    imap_session_enter(s);
    s->run->state = NULL;
    if (err)
        imap_session_refused(s, err, reply->code, reply->text);
    else
        opened(s, mailbox, reply);
    imap_session_leave(s);
}

static void session_ended(struct session *s)
{
    mailbox_open_leave(s->run->state);
}

void imap_cmd_select(struct session *s)
{
    struct imap_select_args *args = &s->run->command.select;
    if (args->qresync && !s->qresync) {
        imap_session_done(s, "BAD QRESYNC was not enabled");
        return;
    }
    if (args->has_match && s->uidonly) {
        imap_session_done(s, "BAD [UIDREQUIRED] Only UIDs are understood after ENABLE UIDONLY");
        return;
    }
    if (s->selected) {
        imap_session_unselect(s);
        buf_add_str(imap_session_output(s), "* OK [CLOSED] Previous mailbox closed\r\n");
    }
    if (args->condstore)
        imap_session_use_condstore(s);
    bool examine = s->run->command.verb == IMAP_EXAMINE;
    s->run->stop = session_ended;
    s->run->state = mailbox_open_new(s->imap, &s->grant, args->mailbox, examine, on_opened, s);
}
