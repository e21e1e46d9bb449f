/* scan_bench.c: microseconds of CPU to scan and encode one message.
 *
 *   scan_bench [FILE …]     the given messages, or made-up ones of 10 KB
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "scan/scan_message.h"

#define ROUNDS_MAX 20000
#define NS_ENOUGH  300000000 /* of CPU time for each message */

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void measure(const char *name, struct slice message)
{
    struct wire_scan_task task = {
        .kind = BODY_MX, .size = message.len, .hostname = SLICE("mail.example.org")};
    AUTO_ARENA struct arena *arena = arena_new(SCAN_ARENA_MAX);
    struct charset_set *set = charset_set_new();
    AUTO_BUF struct buf out = buf_new(FACTS_MAX_ENCODED);
    struct facts facts = {0};
    uint64_t begin = cpu_ns(), spent = 0;
    unsigned rounds = 0;
    for (; rounds < ROUNDS_MAX && spent < NS_ENOUGH; rounds++) {
        arena_reset(arena);
        buf_clear(&out);
        if (scan_message_in(arena, set, &task, message, &facts, NULL) != ERR_OK)
            break;
        facts_encode(&facts, &out);
        spent = cpu_ns() - begin;
    }
    printf("%-28s %8zu bytes %9.1f us, facts %zu bytes\n", name, message.len,
           (double)spent / 1000.0 / (rounds ? rounds : 1), out.len);
    charset_set_free(&set);
}

static const char head[] =
    "Received: from mx.example.net (mx.example.net [192.0.2.7]) by mail.example.org\r\n"
    "\twith ESMTPS id 0123456789; Sat, 21 Nov 2026 03:42:49 +0000\r\n"
    "From: =?utf-8?q?J=C3=BCrgen?= Example <juergen@example.net>\r\n"
    "To: Somebody <somebody@example.org>, \"Else, Somebody\" <else@example.org>\r\n"
    "Subject: Re: a message of a common size\r\n"
    "Date: Sat, 21 Nov 2026 03:42:49 +0100\r\n"
    "Message-ID: <0123456789.abcdef@example.net>\r\n"
    "In-Reply-To: <9876543210.fedcba@example.org>\r\n"
    "References: <1@example.org> <9876543210.fedcba@example.org>\r\n"
    "MIME-Version: 1.0\r\n";

static void add_lines(struct buf *out, const char *line, size_t size)
{
    while (out->len < size)
        buf_add_str(out, line);
}

static void made_up(const char *name, const char *middle, const char *line, const char *end)
{
    AUTO_BUF struct buf message = buf_new(1 << 20);
    buf_add_str(&message, head);
    buf_add_str(&message, middle);
    add_lines(&message, line, 10000);
    buf_add_str(&message, end);
    measure(name, buf_slice(&message));
}

static void all_made_up(void)
{
    made_up("plain ASCII", "\r\n",
            "A line of plain text as people write it, about as long as most lines are.\r\n", "");
    made_up("UTF-8, quoted-printable",
            "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n",
            "Gr=C3=BC=C3=9Fe aus M=C3=BCnchen, wo das Wetter sch=C3=B6n ist und bleibt.=20\r\n", "");
    made_up(
        "alternative with HTML",
        "Content-Type: multipart/alternative; boundary=\"=_b\"\r\n\r\n--=_b\r\n\r\nplain text\r\n--=_b\r\n"
        "Content-Type: text/html; charset=utf-8\r\n\r\n<html><body>\r\n",
        "<p style=\"color: black; font: 12px sans-serif\">A <b>paragraph</b> &amp; more of it</p>\r\n",
        "--=_b--\r\n");
    made_up("attachment, base64",
            "Content-Type: multipart/mixed; boundary=\"=_b\"\r\n\r\n--=_b\r\n\r\nplain text\r\n--=_b\r\n"
            "Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n",
            "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAxMjM0\r\n",
            "--=_b--\r\n");
    made_up("koi8-r, 8bit",
            "Content-Type: text/plain; charset=koi8-r\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
            "\xf0\xf2\xe9\xf7\xe5\xf4 \xed\xe9\xf2, \xf0\xf2\xe9\xf7\xe5\xf4 \xf7\xf3\xe5\xed \xe9 "
            "\xf7\xf3\xe5\xed\r\n",
            "");
}

static void from_file(const char *path)
{
    AUTO_BUF struct buf message = buf_new(64 << 20);
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        exit(1);
    }
    uint8_t *room;
    size_t got;
    while ((room = buf_reserve(&message, 65536)) && (got = fread(room, 1, 65536, file)) > 0)
        buf_added(&message, got);
    fclose(file);
    measure(path, buf_slice(&message));
}

int main(int argc, char **argv)
{
    charset_load();
    if (argc < 2)
        all_made_up();
    for (int i = 1; i < argc; i++)
        from_file(argv[i]);
    return 0;
}
