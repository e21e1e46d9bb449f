/* header.c: writes Return-Path, Delivered-To and Received, and finds the Subject. What the client said of
 * itself (helo, names) is made printable here once more: these lines are part of stored mail. Pure; called by
 * commit.c. */
#include "queue/header.h"

#include "grammar/date.h"

#define WORD_MAX 255

/* Host names, address literals and protocol words: anything else in them becomes '?'. */
static void add_word(struct buf *out, struct slice word)
{
    static const char fine[] = "-._:[]";
    for (size_t i = 0; i < word.len && i < WORD_MAX; i++) {
        uint8_t c = word.ptr[i];
        bool ok = ascii_is_alnum(c) || slice_find(slice_make(fine, sizeof fine - 1), c) >= 0;
        buf_add_byte(out, ok ? c : '?');
    }
}

/* Parsed before, but never with a control byte here. */
static void add_address(struct buf *out, struct slice address)
{
    for (size_t i = 0; i < address.len; i++)
        buf_add_byte(out, address.ptr[i] < 0x20 || address.ptr[i] == 0x7f ? '?' : address.ptr[i]);
}

static void add_path(struct buf *out, struct slice address)
{
    buf_add_byte(out, '<');
    add_address(out, address);
    buf_add_byte(out, '>');
}

/* From-domain = "FROM" FWS Extended-Domain, with TCP-info: (name [address]) */
static void add_from(struct buf *out, const struct wire_queue_mail *mail)
{
    buf_add_str(out, "from ");
    if (mail->helo.len)
        add_word(out, mail->helo);
    else
        buf_add_str(out, "unknown");
    buf_add_str(out, " (");
    if (mail->client_name.len)
        add_word(out, mail->client_name);
    else
        buf_add_str(out, "unknown");
    buf_add_str(out, slice_find(mail->client, ':') >= 0 ? " [IPv6:" : " [");
    add_word(out, mail->client);
    buf_add_str(out, "])\r\n\t");
}

/* "TLSv1.3 TLS_AES_256_GCM_SHA384" as a comment. */
static void add_tls(struct buf *out, struct slice tls)
{
    struct slice version;
    if (!slice_token(&tls, ' ', &version))
        return;
    buf_add_str(out, "\r\n\t(using ");
    add_word(out, version);
    if (tls.len) {
        buf_add_str(out, " with cipher ");
        add_word(out, tls);
    }
    buf_add_byte(out, ')');
}

void header_add_received(struct buf *out, const struct header_facts *facts)
{
    buf_add_str(out, "Received: ");
    if (!facts->submission)
        add_from(out, facts->mail);
    buf_add_str(out, "by ");
    add_word(out, facts->hostname);
    buf_add_str(out, " (Rockdove) with ");
    add_word(out, facts->mail->protocol.len ? facts->mail->protocol : SLICE("SMTP"));
    buf_add_str(out, " id ");
    add_word(out, facts->id);
    add_tls(out, facts->mail->tls);
    if (facts->only_to.len) {
        buf_add_str(out, "\r\n\tfor ");
        add_path(out, facts->only_to);
    }
    buf_add_str(out, ";\r\n\t");
    buf_add_str(out, date_format_rfc5322(facts->now, 0).text);
    buf_add_str(out, "\r\n");
}

void header_add_delivered_to(struct buf *out, struct slice address)
{
    buf_add_str(out, "Delivered-To: ");
    add_address(out, address);
    buf_add_str(out, "\r\n");
}

void header_add_delivery(struct buf *out, struct slice sender, struct slice account)
{
    buf_add_str(out, "Return-Path: ");
    add_path(out, sender);
    buf_add_str(out, "\r\n");
    header_add_delivered_to(out, account);
}

struct slice header_subject(struct slice subject)
{
    subject = slice_trim(subject);
    if (subject.len > HEADER_SUBJECT_MAX)
        for (subject.len = HEADER_SUBJECT_MAX; subject.len && (subject.ptr[subject.len] & 0xc0) == 0x80;)
            subject.len--;
    return subject;
}
