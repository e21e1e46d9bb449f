/* handle_url.c: messages that are named by a URL: mailbox, UIDVALIDITY and UID (RFC 5092) instead of a place
 * in an open mailbox. From imap, under a grant, which needs the right to read. */
#include "grammar/imap_acl.h"
#include "store/context.h"

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

static void open_work(struct job *job)
{
    const struct wire_url_open *url = job->message;
    struct mailbox *m = job_mailbox(job, url->mailbox, RIGHT_READ);
    uint64_t message = m ? find_message(job, m, url->uidvalidity, url->uid) : 0;
    if (message) {
        job->mailbox = m->id; /* where a reader must have found it */
        AUTO_BUF struct buf id = buf_new(sizeof message);
        buf_add_le64(&id, message);
        message_open(job, buf_slice(&id));
    }
    if (m)
        account_release_view(m);
}

static const struct job_op open_op = {.work = open_work, .answer = message_answer_open};

bool url_on_open(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    const struct wire_url_open *m = message;
    return store_start_named(ctx, link, packet, &m->grant, m->mailbox, &open_op);
}
