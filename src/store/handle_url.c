/* handle_url.c: messages that are named by a URL: mailbox, UIDVALIDITY and UID (RFC 5092) instead of a place
 * in an open mailbox. From imap, under a grant. CATENATE needs the right to read; URLFETCH a token that was
 * made of the URL with the mailbox's key (RFC 4467), whoever the asker is. */
#include "base/clock.h"
#include "base/io.h"
#include "grammar/base64.h"
#include "grammar/imap_acl.h"
#include "grammar/imap_list.h"
#include "grammar/imap_url.h"
#include "store/context.h"
#include "store/urlkey.h"

/* The message's number; 0 and the job has failed: no such mailbox, or another one of that name, or no such
 * message. */
static uint64_t find_message(struct job *job, const struct mailbox *m, uint32_t uidvalidity, uint32_t uid)
{
    struct mailbox *open = NULL;
    uint64_t at = UINT64_MAX;
    if (!uidvalidity || uidvalidity == m->uidvalidity)
        job->err = account_view(job->account, m->id, &open, &job->refusal.why);
    if (open && !job->err)
        at = view_find(open->view, uid);
    if (at != UINT64_MAX)
        return view_entry(open->view, at).message;
    if (!job->err)
        store_fail(&job->err, &job->refusal, ERR_ABSENT, STORE_CODE_NONEXISTENT, "no such message");
    return 0;
}

/* Its file for the answer; `m` may be NULL. */
static void open_message(struct job *job, struct mailbox *m, uint32_t uidvalidity, uint32_t uid)
{
    uint64_t message = m ? find_message(job, m, uidvalidity, uid) : 0;
    if (message) {
        job->mailbox = m->id; /* where a reader must have found it */
        AUTO_BUF struct buf id = buf_new(sizeof message);
        buf_add_le64(&id, message);
        message_open(job, buf_slice(&id));
    }
    if (m)
        account_release_view(m);
}

static void open_work(struct job *job)
{
    const struct wire_url_open *url = job->message;
    open_message(job, job_mailbox(job, url->mailbox, RIGHT_READ), url->uidvalidity, url->uid);
}

static const struct job_op open_op = {.work = open_work, .answer = message_answer_open};

bool url_on_open(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    const struct wire_url_open *m = message;
    return store_start_named(ctx, link, packet, &m->grant, m->mailbox, &open_op);
}

/* ---- URLFETCH ---- */

/* What is asked of the URL beside its token. */
static bool is_good_for(const struct imap_url *url, struct slice asker)
{
    if (!url->absolute || !slice_ieq(url->mechanism, SLICE("INTERNAL")) ||
        (url->expires && clock_unix_s() >= url->expire))
        return false;
    switch (url->access) {
    case IMAP_URL_USER:
        return imap_url_is_for(url, asker);
    case IMAP_URL_AUTHUSER:
    case IMAP_URL_ANONYMOUS:
        return true; /* nobody reads here without having logged in */
    default:
        return false; /* for submission servers: none of them comes by IMAP */
    }
}

/* The account whose message it is; false when there is no such account. */
static bool find_owner(struct store *store, const struct imap_url *url, struct buf *owner)
{
    char folder[PATHS_FOLDER_MAX];
    struct stat st;
    for (size_t i = 0; i < url->user.len; i++)
        buf_add_byte(owner, ascii_lower(url->user.ptr[i]));
    if (slice_find(url->user, '@') < 0) {
        buf_add_byte(owner, '@');
        for (size_t i = 0; i < url->host.len; i++)
            buf_add_byte(owner, ascii_lower(url->host.ptr[i]));
    }
    if (!buf_ok(owner) || !imap_url_is_here(url, role_settings(store->run)->hostname, buf_slice(owner)))
        return false;
    paths_account(buf_slice(owner), folder);
    return io_stat_at(store->root.dir, folder, &st, NULL) == ERR_OK;
}

static bool token_is_good(struct job *job, const struct mailbox *m, const struct imap_url *url)
{
    uint8_t mac[URLKEY_LEN];
    struct slice token;
    enum err err = urlkey_sign(job->account, m->id, url->rump, NULL, mac, &job->refusal.why);
    if (err && err != ERR_ABSENT)
        job->err = err;
    return !err && hex_decode_in(job->arena, url->token, &token) && token.len == URLKEY_LEN &&
           urlkey_equal(token.ptr, mac);
}

static void fetch_work(struct job *job)
{
    const struct wire_url_fetch *fetch = job->message;
    struct imap_url url;
    job->err = imap_url_parse_in(job->arena, fetch->url, &url, &job->refusal.why);
    struct mailbox *m = job->err ? NULL : account_mailbox(job->account, url.mailbox);
    if (m && !(m->flags & MAILBOX_NOSELECT) && token_is_good(job, m, &url))
        open_message(job, m, url.uidvalidity, url.uid);
    else if (!job->err)
        store_fail(&job->err, &job->refusal, ERR_ABSENT, STORE_CODE_NONEXISTENT, "not a good URL");
}

static const struct job_op fetch_op = {.work = fetch_work, .answer = message_answer_open};

bool url_on_fetch(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct store *store = ctx;
    const struct wire_url_fetch *m = message;
    struct slot *own;
    if (!packet->request || !store_check_grant(store, link, packet, &m->grant, &fetch_op, &own))
        return false;
    if (!own)
        return true;
    AUTO_ARENA struct arena *arena = arena_new(STORE_REQUEST_ARENA);
    AUTO_BUF struct buf owner = buf_new(WIRE_NAME_MAX);
    struct imap_url url;
    struct why why;
    bool good = imap_url_parse_in(arena, m->url, &url, &why) == ERR_OK && is_good_for(&url, store->asker) &&
                find_owner(store, &url, &owner);
    struct slot *slot = good ? slot_get(store, buf_slice(&owner)) : NULL;
    if (slot)
        job_start(store, slot, &fetch_op, link, packet, 0, 0);
    else
        job_answer_now(store, link, packet, &fetch_op, ERR_ABSENT, STORE_CODE_NONEXISTENT, "not a good URL");
    return true;
}

/* ---- GENURLAUTH and RESETKEY: of the asker's own mailboxes ---- */

static void sign_work(struct job *job)
{
    const struct wire_url_sign *sign = job->message;
    uint8_t fresh[URLKEY_LEN], mac[URLKEY_LEN];
    struct imap_url url;
    job->err = imap_url_parse_in(job->arena, sign->rump, &url, &job->refusal.why);
    bool own = !job->err && url.absolute && url.access != IMAP_URL_NOT_AUTHORISED && !url.mechanism.len &&
               imap_url_is_here(&url, role_settings(job->store->run)->hostname, job->account->address) &&
               imap_url_is_of(&url, job->account->address);
    const struct mailbox *m = own ? account_mailbox(job->account, url.mailbox) : NULL;
    if (!m || m->flags & MAILBOX_NOSELECT || (url.uidvalidity && url.uidvalidity != m->uidvalidity)) {
        store_fail(&job->err, &job->refusal, ERR_ABSENT, own ? STORE_CODE_NONEXISTENT : STORE_CODE_NOPERM,
                   own ? "no such mailbox" : "not the URL of a message of yours");
        return;
    }
    role_random(fresh, sizeof fresh);
    job->err = urlkey_sign(job->account, m->id, sign->rump, fresh, mac, &job->refusal.why);
    if (job->err)
        return;
    struct slice *token = ARENA_NEW(job->arena, struct slice);
    *token = hex_encode_in(job->arena, slice_make(mac, sizeof mac));
    job->state = token;
}

static void sign_answer(struct job *job)
{
    struct wire_url_signed reply = {.err = job_err(job), .code = job_code(job), .text = job_text(job)};
    if (!job->err && job->state)
        reply.token = *(const struct slice *)job->state;
    wire_reply(job->link, job->request, WIRE_URL_SIGNED, false, &reply);
}

static const struct job_op sign_op = {.work = sign_work, .answer = sign_answer};

static void reset_work(struct job *job)
{
    const struct wire_url_reset *reset = job->message;
    const struct mailbox *m = NULL;
    if (reset->mailbox.len)
        m = account_mailbox(job->account, imap_mailbox_canonical_in(job->arena, reset->mailbox, '/'));
    if (reset->mailbox.len && !m)
        store_fail(&job->err, &job->refusal, ERR_ABSENT, STORE_CODE_NONEXISTENT, "no such mailbox");
    else
        job->err = urlkey_reset(job->account, m ? m->id : 0, &job->refusal.why);
}

static const struct job_op reset_op = {.work = reset_work, .answer = job_answer_result};

static bool start_own(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const struct grant *grant,
                      const struct job_op *op)
{
    struct slot *slot;
    if (!packet->request || !store_check_grant(ctx, link, packet, grant, op, &slot))
        return false;
    if (slot)
        job_start(ctx, slot, op, link, packet, 0, 0);
    return true;
}

bool url_on_sign(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    return start_own(ctx, link, packet, &((const struct wire_url_sign *)message)->grant, &sign_op);
}

bool url_on_reset(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    return start_own(ctx, link, packet, &((const struct wire_url_reset *)message)->grant, &reset_op);
}
