/* imap_time.c: one IMAP connection that does what standard input says and tells how long each thing took.
 * Started by bench/imap.py.
 *
 *   imap_time --port P [--tls]
 * Lines of standard input, each answered by one line of JSON:
 *   open                           closes, connects, reads the greeting
 *   run COMMAND                    one command up to its tagged answer
 *   repeat COUNT FIRST COMMAND     the command COUNT times one after the other, # in it being FIRST, FIRST+1,
 * … append COUNT FIRST DEPTH BOX   messages FIRST, … (mail_make.h), at most DEPTH unanswered An answer that
 * is not OK ends the program. Trusts the server as far as memory goes: nothing of an answer is kept but the
 * beginning and the end.
 */
#include "mail_make.h"

#include "conn.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define IN_MAX      (256u * 1024)
#define KEPT        600 /* of a line */
#define COMMAND_MAX 65536
#define SECONDS_MAX 900

static struct {
    int fd;
    SSL *ssl;
    SSL_CTX *context;
    char in[IN_MAX];
    size_t at, end;
    uint64_t bytes, untagged;
    unsigned tag;
    char line[KEPT + 1]; /* the last line that began a response, cut */
    size_t line_len;
    char first[KEPT + 1]; /* the first untagged one since the command */
} c = {.fd = -1};

static _Noreturn void give_up(const char *what, const char *detail)
{
    fprintf(stderr, "%s: %.300s\n", what, detail);
    exit(1);
}

static void fill(void)
{
    ssize_t got = c.ssl ? SSL_read(c.ssl, c.in, IN_MAX) : read(c.fd, c.in, IN_MAX);
    if (got <= 0)
        give_up("the connection is over", c.line);
    c.at = 0;
    c.end = (size_t)got;
    c.bytes += (uint64_t)got;
}

static void skip(uint64_t count)
{
    while (count > 0) {
        if (c.at == c.end)
            fill();
        size_t here = c.end - c.at < count ? c.end - c.at : (size_t)count;
        c.at += here;
        count -= here;
    }
}

/* One line: its first bytes are added to c.line, its last ones stay in `tail`. */
static void take_line(char tail[32], size_t *tail_len)
{
    *tail_len = 0;
    for (;;) {
        if (c.at == c.end)
            fill();
        const char *from = c.in + c.at, *lf = memchr(from, '\n', c.end - c.at);
        size_t len = lf ? (size_t)(lf - from) : c.end - c.at;
        size_t keep = len < KEPT - c.line_len ? len : KEPT - c.line_len;
        memcpy(c.line + c.line_len, from, keep);
        c.line_len += keep;
        size_t last = len < 31 ? len : 31, old = *tail_len < 31 - last ? *tail_len : 31 - last;
        memmove(tail, tail + *tail_len - old, old);
        memcpy(tail + old, from + len - last, last);
        *tail_len = old + last;
        c.at += len + (lf ? 1 : 0);
        if (lf)
            return;
    }
}

/* Octets of the literal a line announces; 0 for none. */
static bool literal_of(char *tail, size_t len, uint64_t *size)
{
    if (len < 3 || tail[len - 1] != '\r' || tail[len - 2] != '}')
        return false;
    tail[len - 2] = 0;
    const char *brace = strrchr(tail, '{');
    return brace && sscanf(brace + 1, "%lu", size) == 1;
}

/* A whole response with its literals; its beginning is in c.line. */
static void take_response(void)
{
    char tail[33];
    size_t tail_len;
    uint64_t size;
    c.line_len = 0;
    take_line(tail, &tail_len);
    while (literal_of(tail, tail_len, &size)) {
        skip(size);
        take_line(tail, &tail_len);
    }
    while (c.line_len > 0 && c.line[c.line_len - 1] == '\r')
        c.line_len--;
    c.line[c.line_len] = 0;
}

static void send_all(const char *data, size_t len)
{
    while (len > 0) {
        ssize_t sent = c.ssl ? SSL_write(c.ssl, data, (int)len) : write(c.fd, data, len);
        if (sent <= 0)
            give_up("the connection is over", "while sending");
        data += sent;
        len -= (size_t)sent;
    }
}

/* Reads up to the answer with this tag. */
static void await(unsigned tag)
{
    char wanted[32];
    int len = snprintf(wanted, sizeof wanted, "z%u ", tag);
    for (;;) {
        take_response();
        if (strncmp(c.line, wanted, (size_t)len) == 0)
            break;
        if (c.untagged++ == 0)
            memcpy(c.first, c.line, sizeof c.first);
    }
    if (strncmp(c.line + len, "OK", 2) != 0)
        give_up("refused", c.line);
}

static void print_text(const char *name, const char *text)
{
    printf(", \"%s\": \"", name);
    for (; *text; text++)
        putchar(*text == '"' || *text == '\\' || (unsigned char)*text < ' ' || (unsigned char)*text > '~'
                    ? '?'
                    : *text);
    putchar('"');
}

static void report(double begun)
{
    printf("{\"ms\": %.4f, \"bytes\": %lu, \"untagged\": %lu", (conn_now() - begun) * 1000, c.bytes,
           c.untagged);
    print_text("first", c.first);
    print_text("last", c.line);
    printf("}\n");
    fflush(stdout);
}

static void do_open(uint16_t port, bool tls)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    SSL_free(c.ssl);
    c.ssl = NULL;
    if (c.fd >= 0)
        close(c.fd);
    c.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    c.at = c.end = 0;
    setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (connect(c.fd, (struct sockaddr *)&to, sizeof to) != 0)
        give_up("connect", "refused");
    if (tls) {
        c.ssl = SSL_new(c.context);
        SSL_set_fd(c.ssl, c.fd);
        if (SSL_connect(c.ssl) != 1)
            give_up("TLS", "no handshake");
    }
    take_response();
}

static void do_run(const char *command)
{
    static char line[COMMAND_MAX + 64];
    int len = snprintf(line, sizeof line, "z%u %s\r\n", ++c.tag, command);
    send_all(line, (size_t)len);
    await(c.tag);
}

static void do_repeat(const char *words)
{
    unsigned count, first;
    int used = 0;
    if (sscanf(words, "%u %u %n", &count, &first, &used) != 2)
        give_up("repeat", words);
    const char *text = words + used, *hash = strchr(text, '#');
    for (unsigned i = 0; i < count; i++) {
        char command[1000];
        int before = hash ? (int)(hash - text) : (int)strlen(text);
        snprintf(command, sizeof command, hash ? "%.*s%u%s" : "%.*s", before, text, first + i,
                 hash ? hash + 1 : "");
        do_run(command);
    }
}

static void do_append(const char *words)
{
    static struct mail mail;
    unsigned count, first, depth;
    int used = 0;
    if (sscanf(words, "%u %u %u %n", &count, &first, &depth, &used) != 3)
        give_up("append", words);
    unsigned answered = c.tag;
    for (unsigned i = 0; i < count; i++) {
        char head[300], date[32];
        mail_make(&mail, first + i);
        mail_date_imap(mail.date, date);
        int len = snprintf(head, sizeof head, "z%u APPEND %s \"%s\" {%zu+}\r\n", ++c.tag, words + used, date,
                           mail.len);
        send_all(head, (size_t)len);
        send_all(mail.text, mail.len);
        send_all("\r\n", 2);
        while (c.tag - answered >= depth)
            await(++answered);
    }
    while (answered < c.tag)
        await(++answered);
}

static bool starts(const char *line, const char *word, const char **rest)
{
    size_t len = strlen(word);
    *rest = line + len;
    return strncmp(line, word, len) == 0;
}

int main(int argc, char **argv)
{
    static char line[COMMAND_MAX];
    uint16_t port = (uint16_t)option_number(argc, argv, "port", 143);
    bool tls = option_set(argc, argv, "tls");
    c.context = SSL_CTX_new(TLS_client_method());
    while (fgets(line, sizeof line, stdin)) {
        const char *rest;
        alarm(SECONDS_MAX); /* for each line */
        line[strcspn(line, "\n")] = 0;
        c.bytes = c.untagged = 0;
        c.first[0] = 0;
        double begun = conn_now();
        if (starts(line, "run ", &rest))
            do_run(rest);
        else if (starts(line, "repeat ", &rest))
            do_repeat(rest);
        else if (starts(line, "append ", &rest))
            do_append(rest);
        else
            do_open(port, tls);
        report(begun);
    }
    return 0;
}
