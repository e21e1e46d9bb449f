/* state_file.c: the copy of a mailbox's packed state on disk. Input: our own files, which a crash may have
 * torn and an administrator may have put together from different days: state_read() believes what the index
 * says and nothing else, packed rows are decoded strictly. Called by loading, folding and deleting. */
#include "store/state_file.h"

#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/mem.h"
#include "store/state.h"

#define FILE_MODE   0600
#define FOLDER_MODE 0700
#define AHEAD_MAX   (4u << 20)   /* read before anybody has asked */
#define PIECE       (128u << 10) /* bytes read at once; more than any record has */
#define GATHERED    (256u << 10) /* bytes of a new file that are written at once */
#define SMALL       (256u << 10) /* bytes that are written as soon as appended to */
#define GONE_ROW    8192         /* about what a row had that is gone */

void state_file_ahead(const struct store_root *root, const char *folder, uint64_t mailbox)
{
    char path[PATHS_FILE_MAX];
    AUTO_FD int fd = -1;
    paths_state(folder, mailbox, path);
    if (!io_open_at(root->dir, path, O_RDONLY | O_NOFOLLOW, 0, &fd, NULL))
        io_read_ahead(fd, 0, AHEAD_MAX);
}

void state_file_remove(const struct account *account, uint64_t mailbox)
{
    char path[PATHS_FILE_MAX];
    paths_state(account->folder, mailbox, path);
    (void)!io_unlink(account->root.dir, path, NULL);
}

/* ---- reading ---- */

struct loader {
    struct state_reader reader;
    int fd;
    uint64_t size, read; /* of the file what counts, and how much of that was read */
    uint8_t *bytes;      /* room for a piece, or for all of a smaller file */
    size_t room;
    size_t held;   /* of them, in front */
    bool in_order; /* as far as the index knows; in the end the reader does */
    struct view *view;
};

static enum err decode(struct view *view, struct slice row, struct why *why)
{
    struct entry entries[PACKED_CHUNK];
    size_t count = 0;
    enum err err = packed_count(row, &count, why);
    if (!err && count > PACKED_CHUNK)
        err = err_set(why, ERR_BAD, "too many messages in a row");
    if (!err)
        err = packed_decode(row, entries, count, why);
    if (!err && !view_add(view, entries, count))
        err = err_set(why, ERR_REFUSED, "no room in a mailbox image");
    return err;
}

static enum err read_piece(struct loader *l, struct why *why)
{
    size_t room = l->room - l->held, got = 0;
    size_t want = room < l->size - l->read ? room : (size_t)(l->size - l->read);
    enum err err = io_pread(l->fd, l->bytes + l->held, want, l->read, &got, why);
    if (!err && (!want || got < want))
        err = err_set(why, ERR_BAD, "the state of a mailbox is cut off");
    l->held += got;
    l->read += got;
    return err;
}

/* Whole records of what is held. Those of a file that nothing was appended to go straight into the image,
 * while the kernel reads on; what is found out at the end takes them back. */
static enum err take_records(struct loader *l, struct why *why)
{
    struct slice rest = slice_make(l->bytes, l->held), row;
    enum err err;
    while (!(err = state_reader_take(&l->reader, &rest, &row, why)))
        if (l->in_order && (err = decode(l->view, row, why)))
            return err;
    if (err != ERR_LATER)
        return err;
    if (rest.len)
        memmove(l->bytes, rest.ptr, rest.len);
    l->held = rest.len;
    return ERR_OK;
}

/* Rows were written again: each is read from where the last of its kind stands. */
static enum err collect(struct loader *l, const struct mailbox *m, struct why *why)
{
    uint64_t most = l->reader.rows.len * PACKED_CHUNK;
    view_free(&l->view);
    enum err err =
        view_new_to_fill(m->id, m->uidvalidity, most > m->messages ? most : m->messages, &l->view, why);
    for (size_t i = 0; !err && i < l->reader.rows.len; i++) {
        const struct state_row *row = VEC_AT(&l->reader.rows, struct state_row, i);
        size_t got = 0;
        err = io_pread(l->fd, l->bytes, row->len, row->at, &got, why);
        if (!err)
            err = decode(l->view, slice_make(l->bytes, got), why);
    }
    return err;
}

static enum err load(struct loader *l, const struct mailbox *m, struct why *why)
{
    io_read_ahead(l->fd, 0, l->size);
    enum err err = view_new_to_fill(m->id, m->uidvalidity, m->messages, &l->view, why);
    while (!err && l->read < l->size) {
        err = read_piece(l, why);
        if (!err)
            err = take_records(l, why);
    }
    if (!err && l->held)
        err = err_set(why, ERR_BAD, "the state of a mailbox ends within a record");
    if (!err)
        err = state_reader_end(&l->reader, m->state_sum, why);
    if (!err && !(l->in_order && l->reader.in_order))
        err = collect(l, m, why);
    return err ? err : view_filled(l->view, why);
}

enum err state_file_load(struct account *account, struct mailbox *m, struct view **view, struct why *why)
{
    if (!m->state_len || m->state_len > STATE_MAX)
        return err_set(why, ERR_ABSENT, "no file with the state of a mailbox");
    char path[PATHS_FILE_MAX];
    AUTO_FD int fd = -1;
    paths_state(account->folder, m->id, path);
    enum err err = io_open_at(account->root.dir, path, O_RDONLY | O_NOFOLLOW, 0, &fd, why);
    struct loader l = {
        .reader = state_reader_new(m->id), .fd = fd, .size = m->state_len, .in_order = !m->state_dead};
    if (!err) {
        l.room = l.size < PIECE ? (size_t)l.size : PIECE;
        l.bytes = mem_alloc(l.room);
        err = load(&l, m, why);
    }
    if (err) {
        m->state_len = 0;
        view_free(&l.view);
    }
    *view = l.view;
    free(l.bytes);
    state_reader_free(&l.reader);
    return err;
}

/* ---- writing ---- */

struct state_file state_file_begin(const struct mailbox *m)
{
    return (struct state_file){.fd = -1, .len = m->state_len, .sum = m->state_sum, .dead = m->state_dead};
}

void state_file_forget(struct state_file *file)
{
    io_close(&file->fd);
    file->len = file->sum = file->dead = 0;
}

static void add_record(struct state_file *file, uint32_t first, struct slice row, struct buf *out)
{
    uint8_t head[STATE_HEAD];
    size_t from = out->len;
    state_head(first, (uint32_t)row.len, head);
    buf_add(out, slice_make(head, sizeof head));
    buf_add(out, row);
    file->sum = state_next(file->sum, slice_from(buf_slice(out), from));
}

static bool put(struct state_file *file, struct buf *out)
{
    if (!buf_ok(out) || file->len + out->len > STATE_MAX ||
        io_pwrite_all(file->fd, buf_slice(out), file->len, NULL))
        return false;
    file->len += out->len;
    buf_clear(out);
    return true;
}

void state_file_add(struct state_file *file, const struct account *account, const struct mailbox *m,
                    uint32_t first, struct slice row, bool replaces)
{
    if (!file->len)
        return;
    char path[PATHS_FILE_MAX];
    paths_state(account->folder, m->id, path);
    AUTO_BUF struct buf out = buf_new(row.len + STATE_HEAD);
    bool open =
        file->fd >= 0 || !io_open_at(account->root.dir, path, O_WRONLY | O_NOFOLLOW, 0, &file->fd, NULL);
    add_record(file, first, row, &out);
    file->dead += row.len ? (replaces ? row.len : 0) : GONE_ROW;
    if (!open || !put(file, &out))
        state_file_forget(file);
}

/* The better it is kept while nobody waits, the more openings find it in order. */
bool state_file_is_old(const struct state_file *file, bool asleep)
{
    if (!file->len || !file->dead)
        return false;
    if (asleep)
        return file->len < SMALL || file->dead > file->len / 8;
    return file->dead > SMALL && file->dead > file->len / 2;
}

static enum err open_new(struct state_file *file, const struct account *account, const struct mailbox *m)
{
    char path[PATHS_FILE_MAX];
    paths_state_new(account->folder, m->id, path);
    enum err err = io_open_at(account->root.dir, path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, FILE_MODE,
                              &file->fd, NULL);
    if (err != ERR_ABSENT)
        return err;
    char folder[PATHS_FILE_MAX];
    paths_state_folder(account->folder, folder);
    err = io_mkdir(account->root.dir, folder, FOLDER_MODE, NULL);
    return err ? err
               : io_open_at(account->root.dir, path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, FILE_MODE,
                            &file->fd, NULL);
}

static enum err write_rows(struct state_file *file, struct account *account, const struct mailbox *m)
{
    struct db_rows rows;
    AUTO_BUF struct buf out = buf_new(STATE_MAX);
    enum err err = db_query(account->db, "SELECT id, state FROM packed WHERE id BETWEEN ? AND ? ORDER BY id",
                            DB_ARGS(DB_U64(m->id << 32), DB_U64(m->id << 32 | UINT32_MAX)), &rows, NULL);
    if (err)
        return err;
    bool good = true;
    while (good && db_next(&rows)) {
        add_record(file, (uint32_t)db_u64(&rows, 0), db_slice(&rows, 1), &out);
        good = out.len < GATHERED || put(file, &out);
    }
    err = db_end(&rows, NULL);
    return err || !good || !put(file, &out) ? ERR_INTERNAL : ERR_OK;
}

void state_file_make(struct state_file *file, struct account *account, const struct mailbox *m)
{
    state_file_forget(file);
    file->sum = state_begin(m->id);
    file->made = true;
    if (open_new(file, account, m) || write_rows(file, account, m))
        state_file_forget(file);
    io_close(&file->fd);
}

void state_file_keep(struct state_file *file, const struct account *account, struct mailbox *m)
{
    char from[PATHS_FILE_MAX], to[PATHS_FILE_MAX];
    paths_state_new(account->folder, m->id, from);
    paths_state(account->folder, m->id, to);
    if (file->made && file->len && io_rename(account->root.dir, from, account->root.dir, to, NULL))
        file->len = 0;
    if (file->made)
        m->state_wanted = false;
    m->state_len = file->len;
    m->state_sum = file->sum;
    m->state_dead = file->dead;
    io_close(&file->fd);
}

void state_file_drop(struct state_file *file, const struct account *account, const struct mailbox *m)
{
    char path[PATHS_FILE_MAX];
    paths_state_new(account->folder, m->id, path);
    if (file->made)
        (void)!io_unlink(account->root.dir, path, NULL);
    io_close(&file->fd);
}
