/* pop3_login.c: USER, PASS (RFC 1939 section 7), AUTH (RFC 5034), and the maildrop that opens behind them.
 * Input: names and passwords of anyone who connects; login.c takes them to auth. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "grammar/base64.h"
#include "imap/pop3.h"

#define LOGIN_ARENA (256u << 10) /* bytes of one login: lines, decoded messages */

void pop3_login_free(struct pop3 *p)
{
    struct pop3_login *login = p->login;
    if (!login)
        return;
    p->login = NULL;
    login_leave(login->login);
    mailbox_open_leave(login->open);
    arena_free(&login->arena);
    free(login);
}

static void over(struct pop3 *p)
{
    pop3_login_free(p);
    pop3_done(p);
}

/* ---- the maildrop ---- */

static void on_opened(void *ctx, enum err err, struct imap_mailbox *mailbox,
                      const struct wire_mbox_selected *reply)
{
    struct pop3 *p = ctx;
    pop3_enter(p);
    p->login->open = NULL;
    if (err) {
        pop3_refused(p, err == ERR_ABSENT ? ERR_INTERNAL : err, reply->code);
        pop3_close(p, true);
    } else {
        pop3_drop_open(p, mailbox, reply->uidvalidity);
        p->state = POP3_TRANSACTION;
        stream_set_deadline(p->stream, 0);
        stream_set_timeout(p->stream, role_settings(p->caller.imap->run)->timeouts.pop3_idle);
        pop3_ok(p, "Logged in, %u messages", p->drop->count);
        over(p);
    }
    pop3_leave(p);
}

/* \Recent stays for IMAP: as if by EXAMINE. */
static void open_drop(struct pop3 *p, const struct wire_auth_result *result)
{
    p->grant = result->grant;
    p->account = mem_dup(result->account.ptr, result->account.len);
    p->login->open = mailbox_open_new(p->caller.imap, &p->grant, SLICE("INBOX"), true, on_opened, p);
}

/* ---- answers of auth ---- */

static void challenge(struct pop3 *p, const struct wire_auth_result *result)
{
    struct buf *out = pop3_output(p);
    buf_add_str(out, "+ ");
    base64_encode(out, result->challenge, 0);
    buf_add_str(out, "\r\n");
    p->login->reads = true;
}

static void refuse(struct pop3 *p, enum login_outcome outcome)
{
    static const char *const texts[] = {
        [LOGIN_FAILED] = "[AUTH] Authentication failed",
        [LOGIN_MALFORMED] = "Malformed authentication message",
        [LOGIN_NO_MECHANISM] = "Authentication mechanism not supported",
        [LOGIN_LATER] = "[SYS/TEMP] Logins are not possible at the moment",
        [LOGIN_CROWDED] = "[IN-USE] Too many connections of this user from your address",
    };
    pop3_err(p, "%s", texts[outcome]);
    if (outcome == LOGIN_CROWDED || login_is_hopeless(&p->caller))
        pop3_close(p, true);
    over(p);
}

static void on_answered(void *session, enum login_outcome outcome, const struct wire_auth_result *result)
{
    struct pop3 *p = session;
    pop3_enter(p);
    if (outcome == LOGIN_OK) {
        open_drop(p, result);
    } else if (outcome == LOGIN_CONTINUE) {
        challenge(p, result);
        pop3_go_on(p);
    } else {
        refuse(p, outcome);
    }
    pop3_leave(p);
}

/* ---- commands ---- */

static bool refuse_insecure(struct pop3 *p)
{
    if (pop3_may_login(p))
        return false;
    pop3_err(p, "Logins need TLS here");
    return true;
}

static struct pop3_login *login_begin_new(struct pop3 *p)
{
    struct pop3_login *login = mem_zero(1, sizeof *login);
    login->arena = arena_new(LOGIN_ARENA);
    login->login = login_new_in(login->arena, &p->caller, p->stream, on_answered, p);
    p->login = login;
    p->waits = true;
    return login;
}

static void forget_user(struct pop3 *p)
{
    free(p->user);
    p->user = NULL;
}

void pop3_cmd_user(struct pop3 *p, const struct pop3_command *command)
{
    if (refuse_insecure(p))
        return;
    forget_user(p);
    p->user = mem_dup(command->text.ptr, command->text.len);
    pop3_ok(p, "Say PASS");
}

void pop3_cmd_pass(struct pop3 *p, const struct pop3_command *command)
{
    if (refuse_insecure(p))
        return;
    if (!p->user) {
        pop3_err(p, "Say USER first");
        return;
    }
    struct pop3_login *login = login_begin_new(p);
    struct slice user = arena_dup(login->arena, slice_of(p->user));
    forget_user(p);
    login_password(login->login, user, command->text);
}

/* Without a mechanism: which ones there are, as clients of before RFC 2449 ask. */
static void list_mechanisms(struct pop3 *p)
{
    const struct imap *imap = p->caller.imap;
    struct slice names = slice_make(imap->mechanisms, imap->mechanisms_len), name;
    struct buf *out = pop3_output(p);
    pop3_ok(p, "Mechanisms");
    while (login_next_mechanism(&p->caller, p->stream, &names, &name)) {
        buf_add(out, name);
        buf_add_str(out, "\r\n");
    }
    buf_add_str(out, ".\r\n");
}

void pop3_cmd_auth(struct pop3 *p, const struct pop3_command *command)
{
    struct slice initial = SLICE_EMPTY;
    if (refuse_insecure(p))
        return;
    forget_user(p);
    if (!command->text.len) {
        list_mechanisms(p);
        return;
    }
    if (!login_offers(&p->caller, p->stream, command->text)) {
        pop3_err(p, "Authentication mechanism not supported");
        return;
    }
    struct pop3_login *login = login_begin_new(p);
    if (command->initial.len &&
        (!base64_decode_in(login->arena, command->initial, &initial) || initial.len > LOGIN_MESSAGE_MAX)) {
        pop3_err(p, "Malformed base64");
        pop3_login_free(p);
        p->waits = false;
        return;
    }
    login_begin(login->login, command->text, command->has_initial, initial);
}

bool pop3_login_line(struct pop3 *p, struct slice line)
{
    struct pop3_login *login = p->login;
    struct slice data;
    if (!login || !login->reads)
        return false;
    login->reads = false;
    bool gave_up = slice_eq(line, SLICE("*"));
    if (gave_up || !base64_decode_in(login->arena, line, &data) || data.len > LOGIN_MESSAGE_MAX) {
        pop3_err(p, gave_up ? "Authentication cancelled" : "Malformed base64");
        over(p);
        return true;
    }
    login_step(login->login, data);
    return true;
}
