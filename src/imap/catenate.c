/* catenate.c: parts of a new message that are named by URLs of the account's own messages (RFC 4469): opened
 * at store, cut out at the facts' offsets, sent back to store as octets of the new message. Input: URLs of
 * any logged-in client. Called by cmd_append.c. */
#include <stdlib.h>

#include "base/io.h"
#include "grammar/imap_url.h"
#include "imap/append.h"
#include "imap/fetch_section.h"

#define PIECE        32768 /* octets read and sent at once */
#define BADURL_SHOWN 1000  /* octets of a URL in the answer */

/* url-resp-text = 1*<any TEXT-CHAR except "]"> */
static void refuse_url(struct session *s, struct slice url)
{
    char *text = arena_cstr(s->run->arena, slice_sub(url, 0, BADURL_SHOWN));
    for (char *at = text; *at; at++)
        if (!ascii_is_print((uint8_t)*at) || *at == ']')
            *at = '?';
    struct slice answer = arena_printf(s->run->arena, "[BADURL %s] There is no such part of a message", text);
    imap_append_refuse(s, ERR_REFUSED, arena_cstr(s->run->arena, answer));
}

/* The URL of the step being done. */
static struct slice url_of(const struct append *a)
{
    return a->piece->steps[a->at].url;
}

/* Relative to this session: its server, its account, its selected mailbox. */
static bool resolve(struct session *s, struct imap_url *url)
{
    struct why why;
    if (imap_url_parse_in(s->run->arena, url_of(imap_append_of(s)), url, &why) != ERR_OK ||
        url->access != IMAP_URL_NOT_AUTHORISED)
        return false;
    if (url->absolute && !imap_session_owns_url(s, url))
        return false;
    if (url->mailbox.len == 0 && s->selected)
        url->mailbox = slice_make(s->selected->name, s->selected->name_len);
    return url->mailbox.len > 0;
}

/* ---- the octets ---- */

void imap_catenate_end(struct append *a)
{
    io_close(&a->part_fd);
    a->part_left = 0;
}

bool imap_catenate_send(struct session *s)
{
    struct append *a = imap_append_of(s);
    AUTO_BUF struct buf piece = buf_new(PIECE);
    while (a->part_left > 0 && !a->refused) {
        size_t want = a->part_left < PIECE ? (size_t)a->part_left : PIECE, got = 0;
        buf_clear(&piece);
        uint8_t *room = buf_reserve(&piece, want);
        if (!room || io_pread(a->part_fd, room, want, a->part_offset, &got, NULL) != ERR_OK || got < want) {
            imap_append_refuse(s, ERR_LATER, "A part could not be read");
            break;
        }
        buf_added(&piece, got);
        if (!imap_append_send(s, buf_slice(&piece), false))
            return false;
        a->part_offset += got;
        a->part_left -= got;
    }
    imap_catenate_end(a);
    return true;
}

/* ---- the file ---- */

/* Cuts the part out; false: there is no such part. */
static bool take_part(struct append *a, const struct imap_section *section, struct fetch_file file,
                      struct slice facts)
{
    AUTO_ARENA struct arena *arena = arena_new(IMAP_RUN_ARENA);
    struct facts decoded;
    struct why why;
    if (facts_decode_in(arena, facts, &decoded, &why) != ERR_OK)
        return false;
    file.facts = &decoded;
    return fetch_section_open(&file, section, false, &a->part_fd, &a->part_offset, &a->part_left, &why) ==
               ERR_OK &&
           a->part_fd >= 0;
}

static void on_file(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    const struct imap_section *section = arg;
    struct append *a = imap_append_of(s);
    struct wire_body_file reply;
    uint8_t *facts = NULL;
    size_t facts_len = 0;
    a->waits = false;
    err = wire_answer(err, packet, WIRE_BODY_FILE, &reply);
    if (err || (reply.err && reply.err != ERR_ABSENT)) {
        imap_append_refuse(s, ERR_LATER, "A part could not be read");
    } else {
        struct fetch_file file = {
            .fd = ipc_take_fd(packet, 0), .size = reply.size, .block_len = reply.header_len};
        bool there =
            !reply.err && file.fd >= 0 &&
            fetch_take_facts(reply.facts, packet->fd_count > 1 ? packet->fds[1] : -1, &facts, &facts_len) &&
            take_part(a, section, file, slice_make(facts, facts_len));
        if (!there)
            refuse_url(s, url_of(a));
        io_close(&file.fd);
        free(facts);
    }
    imap_append_part(s);
}

static void ask_file(struct session *s)
{
    struct imap_url *url = ARENA_NEW(s->run->arena, struct imap_url);
    if (!resolve(s, url)) {
        refuse_url(s, url_of(imap_append_of(s)));
        return;
    }
    const struct wire_url_open open = {
        .grant = s->grant, .uidvalidity = url->uidvalidity, .uid = url->uid, .mailbox = url->mailbox};
    imap_append_of(s)->waits = imap_session_call(s, ROLE_STORE, WIRE_URL_OPEN, &open, on_file, &url->section);
    if (!imap_append_of(s)->waits)
        imap_append_refuse(s, ERR_LATER, "Too many requests of one command");
}

/* A target that is not there is told before a URL that is wrong: the client can make it and try again. */
static void on_target(struct session *s, void *arg, enum err err, struct ipc_packet *packet)
{
    (void)arg;
    struct append *a = imap_append_of(s);
    struct wire_mbox_rows reply;
    a->waits = false;
    err = wire_answer(err, packet, WIRE_MBOX_ROWS, &reply);
    if (err || (reply.err && reply.code != STORE_CODE_NONEXISTENT))
        imap_append_refuse(s, ERR_LATER, "The mail store is away");
    else if (reply.err)
        imap_append_refuse(s, ERR_REFUSED, "[TRYCREATE] No such mailbox");
    a->target_known = true;
    imap_append_part(s);
}

void imap_catenate_begin(struct session *s)
{
    struct append *a = imap_append_of(s);
    if (a->target_known) {
        ask_file(s);
        return;
    }
    const struct wire_mbox_name target = {.grant = s->grant, .name = s->run->command.append.mailbox};
    a->waits = imap_session_call(s, ROLE_STORE, WIRE_MBOX_STATUS, &target, on_target, NULL);
    if (!a->waits)
        imap_append_refuse(s, ERR_LATER, "Too many requests of one command");
}
