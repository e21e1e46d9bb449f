/* srs_address.c: rewritten senders of forwarded mail, and whom they stand for: the secrets are here, the rest
 * is policy/srs.c. Addresses come from queue, which has them from strangers. */
#include "auth/context.h"
#include "base/clock.h"
#include "base/log.h"

#define SRS_ARENA_MAX (64u << 10)

void srs_use(struct auth *auth)
{
    const struct settings *settings = role_settings(auth->run);
    const struct role_file *file = role_file(auth->run, SUP_FILE_SRS_SECRET, 0);
    auth->srs = (struct srs_secrets){0};
    if (!settings->srs.domain.len)
        return;
    if (!file || file->missing.len)
        log_error("auth.srs", LOG_STR("file", settings->srs.secret_file),
                  LOG_STR("why", file ? file->missing : SLICE("not handed in")));
    else if (!srs_read_secrets(file->content, &auth->srs))
        log_error("auth.srs", LOG_STR("file", settings->srs.secret_file),
                  LOG_CSTR("why", "holds no secret, too many, or one that is too long: one per line"));
}

/* What cannot be rewritten keeps its sender: better the forwarder's SPF failing than mail not sent. */
static void forward_in(struct arena *arena, const struct auth *auth, struct slice sender,
                       struct wire_srs_address *reply)
{
    struct slice rewritten = sender;
    if (auth->srs.count) {
        enum srs_status status = srs_forward_in(arena, &auth->srs, role_settings(auth->run)->srs.domain,
                                                sender, clock_unix_s(), &rewritten);
        if (status != SRS_OK) {
            rewritten = sender;
            reply->text = slice_of(srs_status_text(status));
        }
    }
    reply->address = rewritten;
}

static void reverse_in(struct arena *arena, const struct auth *auth, struct slice recipient,
                       struct wire_srs_address *reply)
{
    enum srs_status status = SRS_NOT_SRS;
    if (srs_is_address(recipient) && role_settings(auth->run)->srs.domain.len)
        status = srs_reverse_in(arena, &auth->srs, recipient, clock_unix_s(), &reply->address);
    reply->err = status == SRS_OK ? ERR_OK : status == SRS_NOT_SRS ? ERR_ABSENT : ERR_REFUSED;
    /* With a secret we cannot read nothing is forged: the bounce may come again. */
    if (status != SRS_OK && status != SRS_NOT_SRS && !auth->srs.count)
        reply->err = ERR_LATER;
    if (status != SRS_OK)
        reply->text = slice_of(srs_status_text(status));
}

bool srs_on_address(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    const struct auth *auth = ctx;
    const struct wire_srs *m = message;
    struct wire_srs_address reply = {0};
    AUTO_ARENA struct arena *arena = arena_new(SRS_ARENA_MAX);
    if (!packet->request || m->reverse > 1)
        return false;
    if (m->reverse)
        reverse_in(arena, auth, m->address, &reply);
    else
        forward_in(arena, auth, m->address, &reply);
    wire_reply(link, packet->request, WIRE_SRS_ADDRESS, false, &reply);
    return true;
}
