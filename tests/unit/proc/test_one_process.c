/* The whole server in one process, under the sanitizers: a message comes in by SMTP and is read by IMAP. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proc/one_process.h"

#define ACCOUNTS 3

struct test {
    struct loop *loop;
    bool ready;
    uint16_t smtp, imap;
    pthread_t client;
    char error[400];
};

static uint16_t free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    (void)close(fd);
    return ntohs(at.sin_port);
}

/* Sends `line` (if any) and reads until `wanted` is seen; on anything else the test's error is set. */
static bool expect(struct test *t, int fd, const char *line, const char *wanted)
{
    char got[65536];
    size_t len = 0;
    if (line && write(fd, line, strlen(line)) != (ssize_t)strlen(line))
        return false;
    while (len < sizeof got - 1) {
        ssize_t n = read(fd, got + len, sizeof got - 1 - len);
        if (n <= 0)
            break;
        len += (size_t)n;
        got[len] = '\0';
        if (strstr(got, wanted))
            return true;
    }
    got[len] = '\0';
    (void)snprintf(t->error, sizeof t->error, "after %.100s expected %s, got %.200s", line ? line : "connect",
                   wanted, got);
    return false;
}

static int dial(uint16_t port)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval limit = {.tv_sec = 15};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (connect(fd, (struct sockaddr *)&at, sizeof at) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static bool deliver(struct test *t)
{
    int fd = dial(t->smtp);
    bool ok =
        fd >= 0 && expect(t, fd, NULL, "220 ") && expect(t, fd, "EHLO client.test\r\n", "250 ") &&
        expect(t, fd, "MAIL FROM:<a@remote.test>\r\n", "250 ") &&
        expect(t, fd, "RCPT TO:<nobody@example.test>\r\n", "550 5.1.1") &&
        expect(t, fd, "RCPT TO:<one@example.test>\r\n", "250 ") &&
        expect(t, fd, "RCPT TO:<two@example.test>\r\n", "250 ") && expect(t, fd, "DATA\r\n", "354 ") &&
        expect(t, fd, "From: a@remote.test\r\nTo: one@example.test\r\nSubject: whole\r\n\r\nbody\r\n.\r\n",
               "250 2.") &&
        expect(t, fd, "QUIT\r\n", "221 ");
    (void)close(fd);
    return ok;
}

static bool read_back(struct test *t, const char *account)
{
    char login[200];
    int fd = dial(t->imap);
    (void)snprintf(login, sizeof login, "a LOGIN %s@example.test secret-%s\r\n", account, account);
    bool ok = fd >= 0 && expect(t, fd, NULL, "* OK") && expect(t, fd, login, "a OK");
    for (int i = 0; ok && i < 50; i++) {
        /* The second recipient's copy comes after the 250. */
        if (expect(t, fd, "b STATUS INBOX (MESSAGES)\r\n", "MESSAGES 1)"))
            break;
        (void)usleep(50000);
    }
    ok = ok && expect(t, fd, "c SELECT INBOX\r\n", "c OK") &&
         expect(t, fd, "d FETCH 1 (ENVELOPE BODY[TEXT])\r\n", "d OK") &&
         expect(t, fd, "e LOGOUT\r\n", "e OK");
    (void)close(fd);
    return ok;
}

static void *client(void *arg)
{
    struct test *t = arg;
    if (deliver(t) && read_back(t, "one") && read_back(t, "two"))
        t->error[0] = '\0';
    else if (!t->error[0])
        (void)snprintf(t->error, sizeof t->error, "could not connect");
    loop_post(t->loop, (void (*)(void *))loop_stop, t->loop);
    return NULL;
}

static void on_ready(void *arg)
{
    struct test *t = arg;
    t->ready = true;
    assert_int_equal(pthread_create(&t->client, NULL, client, t), 0);
}

static void on_failed(void *arg, const char *text)
{
    struct test *t = arg;
    (void)snprintf(t->error, sizeof t->error, "%s cannot start", text);
    loop_stop(t->loop);
}

static void write_file(const char *name, const char *text)
{
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void test_mail_in_mail_out(void **state)
{
    (void)state;
    char folder[] = "/tmp/rockdove-one-XXXXXX", config[2000], command[100];
    struct test t = {.loop = loop_new(), .smtp = free_port(), .imap = free_port()};
    struct one_process *server;
    struct why why = {0};
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
    (void)snprintf(
        config, sizeof config,
        "hostname: mail.example.test\ndata: %s\n"
        "listeners:\n"
        "  - { name: mx, service: mx, address: \"127.0.0.1:%u\", tls: none }\n"
        "  - { name: imap, service: imap, address: \"127.0.0.1:%u\", tls: none, insecure_auth: true }\n"
        "domains: [ { name: example.test } ]\n"
        "accounts: [ { file: %s/accounts.json, format: json } ]\n"
        "free_space_reserve: 1M\nrole_uid_base: 0\n",
        folder, t.smtp, t.imap, folder);
    write_file("rockdove.yaml", config);
    write_file("accounts.json",
               "{\"one@example.test\": \"secret-one\", \"two@example.test\": \"secret-two\"}");
    enum err err = one_process_new(t.loop, "rockdove.yaml", on_ready, on_failed, &t, &server, &why);
    if (err != ERR_OK)
        fail_msg("%s", why.text);
    loop_run(t.loop);
    if (t.ready)
        (void)pthread_join(t.client, NULL);
    one_process_free(&server);
    loop_free(&t.loop);
    assert_int_equal(chdir("/"), 0);
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
    if (t.error[0])
        fail_msg("%s", t.error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_mail_in_mail_out)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
