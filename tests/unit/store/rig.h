/* rig.h: what the store's tests share: a folder of their own, messages with facts, an account. Included once
 * per test program. */
#ifndef TESTS_STORE_RIG_H
#define TESTS_STORE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "settings/metrics.h"
#include "store/account.h"
#include "store/add.h"
#include "store/alter.h"
#include "store/fetch.h"
#include "store/names.h"

#define RIG_ADDRESS SLICE("ann@example.test")

struct rig {
    char path[64];
    struct store_root root;
    struct account *account;
    struct why why;
    struct refusal refusal;
};

static inline void rig_open(struct rig *rig)
{
    enum err err = account_open(&rig->root, RIG_ADDRESS, true, &rig->account, &rig->why);
    if (err)
        print_error("%s\n", rig->why.text);
    assert_int_equal(err, ERR_OK);
}

static inline void rig_start(struct rig *rig)
{
    *rig = (struct rig){.root = {.dir = -1}};
    const char *base = getenv("TMPDIR");
    (void)snprintf(rig->path, sizeof rig->path, "%.40s/store-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(rig->path));
    assert_int_equal(io_open_dir(AT_FDCWD, rig->path, &rig->root.dir, &rig->why), ERR_OK);
    rig->root.path = rig->path;
    rig_open(rig);
}

static inline void rig_stop(struct rig *rig)
{
    account_free(&rig->account);
    io_close(&rig->root.dir);
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", rig->path);
    assert_int_equal(system(command), 0);
}

static inline void rig_reopen(struct rig *rig)
{
    account_free(&rig->account);
    rig_open(rig);
}

/* As if the end had been no clean one. */
static inline void rig_unmark(struct rig *rig)
{
    char command[160];
    (void)snprintf(command, sizeof command, "rm -f '%s'/accounts/*/msg/*/closed.*", rig->path);
    assert_int_equal(system(command), 0);
}

/* A message with the facts scan would find in it, as far as the store looks at them. */
struct rig_message {
    struct add_body body;
    struct facts facts;
    struct buf encoded;
};

static inline void rig_message(struct rig_message *m, const char *subject, const char *text)
{
    char bytes[4096];
    int len =
        snprintf(bytes, sizeof bytes,
                 "From: a@example.test\r\nSubject: %s\r\nX-Odd: strange value\r\n\r\n%s\r\n", subject, text);
    *m = (struct rig_message){.body = {.fd = -1}};
    m->body.fd = memfd_create("message", MFD_CLOEXEC); /* not through io: no fault is to hit it */
    assert_int_equal(write(m->body.fd, bytes, (size_t)len), len);
    const char *end = strstr(bytes, "\r\n\r\n");
    m->facts = (struct facts){.size = (uint64_t)len,
                              .header_len = (uint64_t)(end - bytes) + 4,
                              .lines = 5,
                              .sent = FACTS_NO_DATE,
                              .flags = FACTS_TEXT_COMPLETE | FACTS_PARTS_COMPLETE,
                              .envelope = SLICE("(NIL)"),
                              .body = SLICE("(NIL)"),
                              .bodystructure = SLICE("(NIL)"),
                              .subject = slice_of(subject),
                              .search_from = SLICE("<a@example.test>"),
                              .text = slice_of(text)};
    m->facts.text_len = m->facts.text.len;
    m->encoded = buf_new(FACTS_MAX_ENCODED);
    facts_encode(&m->facts, &m->encoded);
    assert_true(buf_ok(&m->encoded));
    m->body.size = (uint64_t)len;
    m->body.record = slice_sub(buf_slice(&m->encoded), 0, facts_record_len(buf_slice(&m->encoded)));
    m->body.facts = &m->facts;
}

static inline void rig_message_free(struct rig_message *m)
{
    io_close(&m->body.fd);
    buf_free(&m->encoded);
}

/* Delivers or appends one message; the result stands in *a. */
static inline void rig_add(struct rig *rig, struct addition *a, const char *subject, const char *text)
{
    struct rig_message m;
    rig_message(&m, subject, text);
    a->body = &m.body;
    a->date = a->date ? a->date : 1700000000;
    add_commit(rig->account, &a, 1);
    addition_free(a);
    a->body = NULL;
    rig_message_free(&m);
}

static inline uint32_t rig_deliver(struct rig *rig, const char *queue_id, const char *mailbox)
{
    struct addition a = {.queue_id = slice_of(queue_id),
                         .mailbox = slice_of(mailbox),
                         .header = SLICE("Return-Path: <b@example.test>\r\n")};
    rig_add(rig, &a, "hello", "some text");
    if (a.err)
        print_error("%s\n", a.refusal.why.text);
    assert_int_equal(a.err, ERR_OK);
    return a.uid;
}

static inline struct mailbox *rig_view(struct rig *rig, const char *name)
{
    struct mailbox *m = account_mailbox(rig->account, slice_of(name));
    assert_non_null(m);
    assert_int_equal(account_view(rig->account, m->id, &m, &rig->why), ERR_OK);
    return m;
}

static inline uint64_t rig_alive(const struct mailbox *m)
{
    uint64_t alive = 0;
    for (uint64_t i = 0; i < view_count(m->view); i++)
        alive += view_alive(m->view, i);
    return alive;
}

static inline bool rig_same(const struct entry *a, const struct entry *b)
{
    return a->uid == b->uid && a->size == b->size && a->date == b->date && a->modseq == b->modseq &&
           a->flags == b->flags && a->message == b->message;
}

/* The image as loaded from disk must be the image as it was changed step by step. */
static inline void rig_check_against_disk(struct rig *rig, const char *name)
{
    struct mailbox *m = rig_view(rig, name);
    size_t count = 0;
    struct entry *before = mem_zero((size_t)view_count(m->view) + 1, sizeof *before);
    struct change_counts counts = {0};
    for (uint64_t i = 0; i < view_count(m->view); i++)
        if (view_alive(m->view, i)) {
            before[count] = view_entry(m->view, i);
            mailbox_count(&counts, before[count].flags, before[count].size, 1);
            count++;
        }
    assert_int_equal(counts.messages, m->messages);
    assert_int_equal(counts.unseen, m->unseen);
    assert_int_equal(counts.deleted, m->deleted);
    assert_int_equal(counts.bytes, m->bytes);
    view_free(&m->view);
    m = rig_view(rig, name);
    size_t seen = 0;
    for (uint64_t i = 0; i < view_count(m->view); i++) {
        if (!view_alive(m->view, i))
            continue;
        struct entry e = view_entry(m->view, i);
        assert_true(seen < count);
        assert_true(rig_same(&e, &before[seen]));
        seen++;
    }
    assert_int_equal(seen, count);
    free(before);
}

static inline struct slice rig_uids(struct buf *b, uint32_t first, uint32_t last)
{
    buf_clear(b);
    wire_range_add(b, first, last);
    return buf_slice(b);
}

#endif
