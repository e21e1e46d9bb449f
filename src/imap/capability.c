/* capability.c: CAPABILITY, per state and account. */
#include "imap/capability.h"

#include "grammar/imap_acl.h"

#include "imap/login.h"

enum when { WHEN_LOGIN = 1, WHEN_IN = 2, WHEN_ALWAYS = 3 }; /* before login, after it */

static const struct {
    const char *name;
    uint64_t bit;
    enum when when;
} rows[] = {
    {"IMAP4rev2", CAP_IMAP4REV2, WHEN_ALWAYS},               /* RFC 9051, once it is enabled */
    {"SASL-IR", CAP_SASL_IR, WHEN_ALWAYS},                   /* RFC 4959 */
    {"LITERAL+", CAP_LITERAL_PLUS, WHEN_ALWAYS},             /* RFC 7888 */
    {"ID", CAP_ID, WHEN_ALWAYS},                             /* RFC 2971 */
    {"ENABLE", CAP_ENABLE, WHEN_ALWAYS},                     /* RFC 5161 */
    {"IDLE", CAP_IDLE, WHEN_ALWAYS},                         /* RFC 2177 */
    {"NAMESPACE", CAP_NAMESPACE, WHEN_IN},                   /* RFC 2342 */
    {"UIDPLUS", CAP_UIDPLUS, WHEN_IN},                       /* RFC 4315 */
    {"MULTIAPPEND", CAP_MULTIAPPEND, WHEN_IN},               /* RFC 3502 */
    {"URLAUTH", CAP_URLAUTH, WHEN_IN},                       /* RFC 4467 */
    {"REPLACE", CAP_REPLACE, WHEN_IN},                       /* RFC 8508 */
    {"CATENATE", CAP_CATENATE, WHEN_IN},                     /* RFC 4469 */
    {"BINARY", CAP_BINARY, WHEN_IN},                         /* RFC 3516 */
    {"MOVE", CAP_MOVE, WHEN_IN},                             /* RFC 6851 */
    {"UNSELECT", CAP_UNSELECT, WHEN_IN},                     /* RFC 3691 */
    {"CHILDREN", CAP_CHILDREN, WHEN_IN},                     /* RFC 3348 */
    {"SPECIAL-USE", CAP_SPECIAL_USE, WHEN_IN},               /* RFC 6154 */
    {"CREATE-SPECIAL-USE", CAP_CREATE_SPECIAL_USE, WHEN_IN}, /* RFC 6154 */
    {"LIST-EXTENDED", CAP_LIST_EXTENDED, WHEN_IN},           /* RFC 5258 */
    {"LIST-STATUS", CAP_LIST_STATUS, WHEN_IN},               /* RFC 5819 */
    {"ESEARCH", CAP_ESEARCH, WHEN_IN},                       /* RFC 4731 */
    {"CONDSTORE", CAP_CONDSTORE, WHEN_IN},                   /* RFC 7162 */
    {"QRESYNC", CAP_QRESYNC, WHEN_IN},                       /* RFC 7162 */
    {"STATUS=SIZE", CAP_STATUS_SIZE, WHEN_IN},               /* RFC 8438 */
    {"QUOTA", CAP_QUOTA, WHEN_IN},                           /* RFC 9208 */
    {"QUOTA=RES-STORAGE", CAP_QUOTA, WHEN_IN},
    {"QUOTA=RES-MESSAGE", CAP_QUOTA, WHEN_IN},
    {"SEARCHRES", CAP_SEARCHRES, WHEN_IN},                         /* RFC 5182 */
    {"SEARCH=FUZZY", CAP_SEARCH_FUZZY, WHEN_IN},                   /* RFC 6203 */
    {"CONTEXT=SEARCH", CAP_CONTEXT_SEARCH, WHEN_IN},               /* RFC 5267 */
    {"CONTEXT=SORT", CAP_CONTEXT_SORT, WHEN_IN},                   /* RFC 5267 */
    {"MULTISEARCH", CAP_MULTISEARCH, WHEN_IN},                     /* RFC 7377 */
    {"PARTIAL", CAP_PARTIAL, WHEN_IN},                             /* RFC 9394 */
    {"SORT", CAP_SORT, WHEN_IN},                                   /* RFC 5256 */
    {"SORT=DISPLAY", CAP_SORT_DISPLAY, WHEN_IN},                   /* RFC 5957 */
    {"ESORT", CAP_ESORT, WHEN_IN},                                 /* RFC 5267 */
    {"THREAD=ORDEREDSUBJECT", CAP_THREAD_ORDEREDSUBJECT, WHEN_IN}, /* RFC 5256 */
    {"THREAD=REFERENCES", CAP_THREAD_REFERENCES, WHEN_IN},         /* RFC 5256 */
    {"THREAD=REFS", CAP_THREAD_REFS, WHEN_IN},                     /* draft-ietf-morg-inthread */
    {"OBJECTID", CAP_OBJECTID, WHEN_IN},                           /* RFC 8474 */
    {"SAVEDATE", CAP_SAVEDATE, WHEN_IN},                           /* RFC 8514 */
    {"WITHIN", CAP_WITHIN, WHEN_IN},                               /* RFC 5032 */
    {"PREVIEW", CAP_PREVIEW, WHEN_IN},                             /* RFC 8970 */
    {"APPENDLIMIT", CAP_APPENDLIMIT, WHEN_IN},                     /* RFC 7889 */
    {"UNAUTHENTICATE", CAP_UNAUTHENTICATE, WHEN_IN},               /* RFC 8437 */
    {"UTF8=ACCEPT", CAP_UTF8_ACCEPT, WHEN_IN},                     /* RFC 9755 */
    {"QUOTASET", CAP_QUOTASET, WHEN_IN},                           /* RFC 9208 */
    {"METADATA", CAP_METADATA, WHEN_IN},                           /* RFC 5464 */
    {"METADATA-SERVER", CAP_METADATA_SERVER, WHEN_IN},             /* RFC 5464 */
    {"LIST-METADATA", CAP_LIST_METADATA, WHEN_IN},                 /* RFC 9590 */
    {"NOTIFY", CAP_NOTIFY, WHEN_IN},                               /* RFC 5465 */
    {"I18NLEVEL=1", CAP_I18NLEVEL, WHEN_IN},                       /* RFC 5255 */
    {"INPROGRESS", CAP_INPROGRESS, WHEN_IN},                       /* RFC 9585 */
    {"UIDONLY", CAP_UIDONLY, WHEN_IN},                             /* RFC 9586 */
    {"COMPRESS=DEFLATE", CAP_COMPRESS, WHEN_IN},                   /* RFC 4978 */
    {"MESSAGELIMIT", CAP_MESSAGELIMIT, WHEN_IN},                   /* RFC 9738 */
    {"ACL", CAP_ACL, WHEN_IN},                                     /* RFC 4314 */
    {"RIGHTS=" IMAP_RIGHTS_NEW, CAP_ACL, WHEN_IN},                 /* RFC 4314 */
    {"LIST-MYRIGHTS", CAP_LIST_MYRIGHTS, WHEN_IN},                 /* RFC 8440 */
};
#define ROWS (sizeof rows / sizeof *rows)

uint64_t imap_capability_hidden(const struct settings *settings, struct slice account)
{
    uint64_t bits = settings->imap.message_limit ? 0 : CAP_MESSAGELIMIT; /* what the configuration lacks */
    bits |= settings->imap.compress ? 0 : CAP_COMPRESS;
    for (size_t i = 0; i < ROWS; i++)
        if (settings_hides(settings, account, slice_of(rows[i].name)))
            bits |= rows[i].bit;
    return bits;
}

bool imap_capability_has(const struct session *s, uint64_t bits)
{
    return (s->hidden & bits) == 0;
}

static void write_login(const struct session *s, struct buf *out)
{
    if (s->caller.starttls && !stream_is_tls(s->stream))
        buf_add_str(out, " STARTTLS");
    if (!imap_session_may_login(s)) {
        buf_add_str(out, " LOGINDISABLED");
        return;
    }
    struct slice names = slice_make(s->imap->mechanisms, s->imap->mechanisms_len), name;
    while (login_next_mechanism(&s->caller, s->stream, &names, &name)) {
        buf_add_str(out, " AUTH=");
        buf_add(out, name);
    }
}

/* "=NUMBER" of those that have one. */
static void write_value(const struct session *s, uint64_t bit, struct buf *out)
{
    const struct settings *settings = role_settings(s->imap->run);
    if (bit == CAP_APPENDLIMIT)
        buf_addf(out, "=%llu", (unsigned long long)settings->limits.message_size);
    else if (bit == CAP_MESSAGELIMIT)
        buf_addf(out, "=%llu", (unsigned long long)settings->imap.message_limit);
}

void imap_capability_write(const struct session *s, struct buf *out)
{
    bool in = s->state != SESSION_GREETED;
    buf_add_str(out, "IMAP4rev1");
    for (size_t i = 0; i < ROWS; i++) {
        if (!(rows[i].when & (in ? WHEN_IN : WHEN_LOGIN)) || !imap_capability_has(s, rows[i].bit))
            continue;
        buf_add_byte(out, ' ');
        buf_add_str(out, rows[i].name);
        write_value(s, rows[i].bit, out);
    }
    if (!in)
        write_login(s, out);
}
