/* role_rig.h: one role, whole, on the test's own loop, with the test as its supervisor and as all of its
 * peers. For tests of roles: everything goes through real links. */
#ifndef UNIT_ROLE_RIG_H
#define UNIT_ROLE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/io_vfs.h"
#include "base/loop.h"
#include "base/mem.h"
#include "role/role.h"
#include "role/role_run.h"
#include "settings/metrics.h"

#define RIG_PATIENCE_MS 10000

struct rig;
/* What a fake peer does with a packet; false fails the link. */
typedef bool rig_handler(struct rig *rig, enum role self, struct ipc_link *link, struct ipc_packet *packet);

struct rig_file {
    enum sup_file kind;
    uint32_t index;
    const char *path, *content;
};

struct rig {
    struct loop *loop;
    struct role_run *run;
    struct ipc_link *supervisor, *peers[ROLE_COUNT];
    int peer_fds[ROLE_COUNT]; /* the links' */
    const struct role_ops *ops;
    uint32_t peer_set;
    rig_handler *handler;
    void *test; /* the test's own */
    char folder[64];
    bool loaded, ready, drained, failed;
    bool ended;
    unsigned condemned; /* set of roles */
    uint64_t generation;
    struct arena *arena;
    int control_fd; /* a listening socket handed in with the first generation; -1: none */
};

/* ---- turning ---- */

static inline void rig_turn(struct rig *rig)
{
    struct timeval tick = {.tv_usec = 2000};
    (void)event_base_loopexit(loop_event_base(rig->loop), &tick);
    (void)event_base_loop(loop_event_base(rig->loop), EVLOOP_ONCE);
}

/* Turns the loop until the flag is set. */
static inline void rig_until(struct rig *rig, const bool *flag)
{
    uint64_t end = clock_mono_ms() + RIG_PATIENCE_MS;
    while (!*flag && clock_mono_ms() < end)
        rig_turn(rig);
    assert_true(*flag);
}

static inline void rig_for(struct rig *rig, uint64_t ms)
{
    uint64_t end = clock_mono_ms() + ms;
    while (clock_mono_ms() < end)
        rig_turn(rig);
}

/* ---- links ---- */

static inline bool rig_on_supervisor(void *ctx, struct ipc_link *link, struct ipc_packet *packet)
{
    struct rig *rig = ctx;
    (void)link;
    rig->ready |= packet->type == WIRE_ROLE_READY;
    rig->drained |= packet->type == WIRE_ROLE_DRAINED;
    if (packet->type == WIRE_ROLE_PREPARED) {
        struct wire_role_prepared m;
        assert_int_equal(wire_decode(WIRE_ROLE_PREPARED, packet->body, &m), ERR_OK);
        rig->failed = m.err != ERR_OK;
        if (rig->failed)
            print_message("role: %.*s\n", SLICE_ARG(m.text));
        rig->ready = true;
    }
    if (packet->type == WIRE_ROLE_CONDEMN) {
        struct wire_role_condemn m;
        assert_int_equal(wire_decode(WIRE_ROLE_CONDEMN, packet->body, &m), ERR_OK);
        rig->condemned |= 1u << m.role;
    }
    if (packet->type == WIRE_CONTROL && packet->request) {
        const struct wire_control_output out = {.text = SLICE("from the supervisor\n")};
        wire_reply(link, packet->request, WIRE_CONTROL_OUTPUT, false, &out);
    }
    return true;
}

static inline bool rig_on_peer(void *ctx, struct ipc_link *link, struct ipc_packet *packet)
{
    struct rig *rig = ctx;
    enum role self = ROLE_COUNT;
    for (int r = 0; r < ROLE_COUNT; r++)
        if (rig->peers[r] == link)
            self = (enum role)r;
    return rig->handler(rig, self, link, packet);
}

static inline void rig_down(void *ctx, struct ipc_link *link)
{
    (void)ctx;
    (void)link;
}

static const struct ipc_ops rig_supervisor_ops = {.packet = rig_on_supervisor, .down = rig_down};
static const struct ipc_ops rig_peer_ops = {.packet = rig_on_peer, .down = rig_down};

static inline void rig_loaded(void *arg, struct role_run *run)
{
    struct rig *rig = arg;
    (void)run;
    rig->loaded = true;
}

static inline void rig_ended(void *arg, struct role_run *run, int code)
{
    struct rig *rig = arg;
    (void)run;
    (void)code;
    rig->ended = true;
}

static inline void rig_pair(int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
}

/* (Re)connects a fake peer: the old link of this peer, if any, goes down on both sides. */
static inline void rig_connect(struct rig *rig, enum role peer)
{
    int fds[2];
    const struct wire_sup_peer message = {.role = peer};
    rig_pair(fds);
    ipc_link_attach(rig->peers[peer], fds[0]);
    rig->peer_fds[peer] = fds[0];
    assert_int_equal(wire_send_fds(rig->supervisor, WIRE_SUP_PEER, &message, &fds[1], 1), ERR_OK);
    (void)close(fds[1]);
}

/* ---- what the supervisor hands in ---- */

static inline int rig_memfd(struct slice content)
{
    int fd = -1;
    assert_int_equal(io_memfd("rig", &fd, NULL), ERR_OK);
    assert_int_equal(io_write_all(fd, content, NULL), ERR_OK);
    assert_int_equal(io_seal(fd, NULL), ERR_OK);
    return fd;
}

static inline void rig_send_settings(struct rig *rig, const char *yaml)
{
    struct settings *settings;
    struct conf_origin *origin;
    struct problems *problems = problems_new_in(rig->arena);
    enum err err = settings_parse_in(rig->arena, slice_of(yaml), SLICE("test.yaml"), NULL, NULL, &settings,
                                     &origin, problems);
    for (size_t i = 0; err && i < problems->count; i++)
        print_message("settings: %.*s\n", SLICE_ARG(problems->items[i].text));
    assert_int_equal(err, ERR_OK);
    AUTO_BUF struct buf bytes = buf_new(1 << 20);
    settings_encode(settings, &bytes);
    int fd = rig_memfd(buf_slice(&bytes));
    const struct wire_sup_settings message = {.generation = ++rig->generation};
    assert_int_equal(wire_send_fds(rig->supervisor, WIRE_SUP_SETTINGS, &message, &fd, 1), ERR_OK);
    (void)close(fd);
}

static inline void rig_send_files(struct rig *rig, const struct rig_file *files)
{
    for (; files && files->path; files++) {
        const struct wire_sup_file message = {.generation = rig->generation,
                                              .kind = files->kind,
                                              .index = files->index,
                                              .path = slice_of(files->path)};
        int fd = rig_memfd(slice_of(files->content));
        assert_int_equal(wire_send_fds(rig->supervisor, WIRE_SUP_FILE, &message, &fd, 1), ERR_OK);
        (void)close(fd);
    }
}

static inline void rig_phase(struct rig *rig, enum wire_type type)
{
    const struct wire_sup_phase message = {.generation = rig->generation};
    assert_int_equal(wire_send(rig->supervisor, type, &message), ERR_OK);
}

/* Set by a test: these peers' links come later than the start, and the role is not ready before. */
static uint32_t rig_late;

/* Set by a test: what peers do before the role is started. */
static void (*rig_early)(struct rig *rig);

static inline void rig_connect_late(struct rig *rig)
{
    rig_for(rig, 100);
    assert_false(rig->ready);
    for (int r = 0; r < ROLE_COUNT; r++)
        if (rig->peer_set & rig_late & 1u << r)
            rig_connect(rig, (enum role)r);
}

static inline void rig_boot(struct rig *rig, const char *yaml, const struct rig_file *files)
{
    static const struct role_hooks hooks = {.loaded = rig_loaded, .ended = rig_ended};
    struct role_hooks mine = hooks;
    int fds[2];
    mine.arg = rig;
    rig->loaded = rig->ready = false;
    rig->generation = 0;
    rig_pair(fds);
    rig->loop = loop_new();
    rig->run = role_run_new(rig->loop, rig->ops, rig->peer_set, fds[1], &mine);
    rig->supervisor = ipc_link_new(rig->loop, role_name(ROLE_SUPERVISOR), &rig_supervisor_ops, rig);
    ipc_link_attach(rig->supervisor, fds[0]);
    rig_send_settings(rig, yaml);
    rig_send_files(rig, files);
    if (rig->control_fd >= 0) {
        const struct wire_sup_file control = {
            .generation = 1, .kind = SUP_FILE_CONTROL_SOCKET, .path = SLICE("control")};
        assert_int_equal(wire_send_fds(rig->supervisor, WIRE_SUP_FILE, &control, &rig->control_fd, 1),
                         ERR_OK);
    }
    for (int r = 0; r < ROLE_COUNT; r++) {
        if (!(rig->peer_set & 1u << r))
            continue;
        rig->peers[r] = ipc_link_new(rig->loop, role_name((enum role)r), &rig_peer_ops, rig);
        if (!(rig_late & 1u << r))
            rig_connect(rig, (enum role)r);
    }
    if (rig_early)
        rig_early(rig);
    rig_phase(rig, WIRE_SUP_START);
    rig_until(rig, &rig->loaded);
    role_run_start(rig->run);
    if (rig_late)
        rig_connect_late(rig);
    if (rig->ops->role == ROLE_QUEUE)
        rig_for(rig, 20); /* queue is ready when auth told the accounts: the test's to do */
    else
        rig_until(rig, &rig->ready);
    assert_false(rig->failed);
}

/* Set by a test that wants its role to have a control socket: ./control */
static bool rig_listen;

static inline int rig_listening(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "control"};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 4), 0);
    return fd;
}

static inline int rig_dial(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "control"};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

/* A role in a fresh folder, which becomes the working folder. */
static inline struct rig *rig_new(const struct role_ops *ops, uint32_t peers, const char *yaml,
                                  const struct rig_file *files, rig_handler *handler, void *test)
{
    struct rig *rig = mem_zero(1, sizeof *rig);
    rig->ops = ops;
    rig->peer_set = peers;
    rig->handler = handler;
    rig->test = test;
    rig->arena = arena_new(64u << 20);
    (void)snprintf(rig->folder, sizeof rig->folder, "/tmp/rd-unit-XXXXXX");
    assert_non_null(mkdtemp(rig->folder));
    assert_int_equal(chdir(rig->folder), 0);
    rig->control_fd = rig_listen ? rig_listening() : -1;
    rig_boot(rig, yaml, files);
    return rig;
}

/* Ends the process of the role as a crash would, as far as one process can: nothing is drained. */
static inline void rig_halt(struct rig *rig)
{
    role_run_free(&rig->run);
    for (int r = 0; r < ROLE_COUNT; r++)
        ipc_link_free(&rig->peers[r]);
    ipc_link_free(&rig->supervisor);
    loop_free(&rig->loop);
}

static inline void rig_free(struct rig *rig)
{
    char command[100];
    rig_halt(rig);
    io_close(&rig->control_fd);
    arena_free(&rig->arena);
    (void)snprintf(command, sizeof command, "rm -rf %s", rig->folder);
    assert_int_equal(chdir("/tmp"), 0);
    assert_int_equal(system(command), 0);
    free(rig);
}

static inline void rig_reload(struct rig *rig, const char *yaml, const struct rig_file *files)
{
    rig->ready = false;
    rig_send_settings(rig, yaml);
    rig_send_files(rig, files);
    rig_phase(rig, WIRE_SUP_PREPARE);
    rig_until(rig, &rig->ready);
    assert_false(rig->failed);
    rig_phase(rig, WIRE_SUP_COMMIT);
    rig_for(rig, 20);
}

/* ---- asking the role ---- */

struct rig_answer {
    bool done;
    enum err err;
    enum wire_type type;
    bool more;
    struct slice body; /* in the rig's arena */
    unsigned count;
};

static inline void rig_on_answer(void *ctx, enum err err, struct ipc_packet *packet)
{
    void **pair = ctx;
    struct rig_answer *answer = pair[0];
    struct rig *rig = pair[1];
    answer->err = err;
    answer->count++;
    answer->more = packet && packet->more;
    if (packet) {
        answer->type = packet->type;
        answer->body = arena_dup(rig->arena, packet->body);
    }
    answer->done = !answer->more;
}

static inline void rig_ask(struct rig *rig, enum role as, enum wire_type type, const void *message,
                           struct rig_answer *answer)
{
    void **pair = arena_must(rig->arena, 2 * sizeof(void *));
    pair[0] = answer;
    pair[1] = rig;
    *answer = (struct rig_answer){0};
    (void)wire_call(rig->peers[as], type, message, RIG_PATIENCE_MS, rig_on_answer, pair);
}

/* Waits for the answer and decodes it as `expected`. */
static inline void rig_get(struct rig *rig, struct rig_answer *answer, enum wire_type expected, void *message)
{
    rig_until(rig, &answer->done);
    assert_int_equal(answer->err, ERR_OK);
    assert_int_equal(answer->type, expected);
    assert_int_equal(wire_decode(expected, answer->body, message), ERR_OK);
}

static inline void rig_tell(struct rig *rig, enum role as, enum wire_type type, const void *message)
{
    assert_int_equal(wire_send(rig->peers[as], type, message), ERR_OK);
}

#endif
