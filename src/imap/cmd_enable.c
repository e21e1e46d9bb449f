/* cmd_enable.c: ENABLE (RFC 5161, RFC 9051 section 6.3.1): what the client understands and wants from now on.
 */
#include "imap/capability.h"
#include "imap/command.h"

static void enable_condstore(struct session *s)
{
    s->condstore = true;
}

static void enable_qresync(struct session *s)
{
    s->qresync = s->condstore = true;
}

static void enable_utf8(struct session *s)
{
    s->utf8 = s->utf8_accept = true;
}

/* Revision 2 knows no \\Recent, and its names are UTF-8 (RFC 9051 appendix E). */
static void enable_rev2(struct session *s)
{
    s->utf8 = s->rev2 = true;
    if (s->selected)
        imap_recent_leave(s->selected);
}

/* RFC 9586: numbers of messages are neither said nor understood any more. */
static void enable_uidonly(struct session *s)
{
    s->uidonly = true;
}

static const struct {
    const char *name;
    uint64_t needs; /* capabilities; hidden from an account: the name is unknown */
    void (*enable)(struct session *s);
} rows[] = {
    {"CONDSTORE", CAP_CONDSTORE, enable_condstore}, {"QRESYNC", CAP_QRESYNC | CAP_CONDSTORE, enable_qresync},
    {"UTF8=ACCEPT", CAP_UTF8_ACCEPT, enable_utf8},  {"IMAP4rev2", CAP_IMAP4REV2, enable_rev2},
    {"UIDONLY", CAP_UIDONLY, enable_uidonly},
};
#define ROWS (sizeof rows / sizeof *rows)

/* Names we do not know are left out of the answer. One that was on already is repeated: the client asks
 * whether it may count on it. */
void imap_cmd_enable(struct session *s)
{
    const struct imap_command *c = &s->run->command;
    struct buf *out = imap_session_output(s);
    bool told[ROWS] = {false};
    buf_add_str(out, "* ENABLED");
    for (size_t i = 0; i < c->enable.count; i++)
        for (size_t r = 0; r < ROWS; r++) {
            if (told[r] || !slice_ieq(c->enable.names[i], slice_of(rows[r].name)) ||
                !imap_capability_has(s, rows[r].needs))
                continue;
            rows[r].enable(s);
            told[r] = true;
            buf_addf(out, " %s", rows[r].name);
        }
    buf_add_str(out, "\r\n");
    imap_session_done(s, "OK Enable completed");
}
