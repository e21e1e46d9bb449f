/* paths.c: names of folders and files. Input: canonical addresses and queue ids made by our own roles,
 * checked all the same: whatever they hold, the result stays below the store's folder. */
#include "store/paths.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "wire/image.h"

#define ACCOUNTS "accounts/"
#define CLOSED   "closed."
/* Longest encoded address; what is longer keeps its beginning and gets "%%" and 16 digits of a hash. */
#define NAME_MAX_KEPT 200

static bool is_plain(uint8_t c)
{
    return ascii_is_alnum(c) || c == '-' || c == '_' || c == '@' || c == '+' || c == '.';
}

void paths_account(struct slice address, char folder[PATHS_FOLDER_MAX])
{
    static const char hex[] = "0123456789ABCDEF";
    size_t at = sizeof ACCOUNTS - 1;
    memcpy(folder, ACCOUNTS, at);
    size_t start = at, i = 0;
    for (; i < address.len && at - start <= NAME_MAX_KEPT - 3; i++) {
        uint8_t c = address.ptr[i];
        if (is_plain(c) && !(c == '.' && i == 0)) {
            folder[at++] = (char)c;
        } else {
            folder[at++] = '%';
            folder[at++] = hex[c >> 4];
            folder[at++] = hex[c & 15];
        }
    }
    folder[at] = 0;
    if (i < address.len)
        (void)snprintf(folder + at, PATHS_FOLDER_MAX - at, "%%%%%016" PRIx64, slice_hash(address, 0));
}

bool paths_address(struct slice name, uint8_t *address, size_t *len)
{
    size_t at = 0;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i];
        if (at + 1 >= PATHS_FOLDER_MAX || (c != '%' && !is_plain(c)))
            return false;
        if (c == '%') {
            int high = i + 2 < name.len ? ascii_hex_value(name.ptr[i + 1]) : -1;
            int low = i + 2 < name.len ? ascii_hex_value(name.ptr[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (uint8_t)(high << 4 | low);
            i += 2;
        }
        address[at++] = c;
    }
    *len = at;
    return at > 0;
}

void paths_index(const char *folder, char path[PATHS_FILE_MAX])
{
    (void)snprintf(path, PATHS_FILE_MAX, "%s/index.db", folder);
}

void paths_index_log(const char *folder, char path[PATHS_FILE_MAX])
{
    (void)snprintf(path, PATHS_FILE_MAX, "%s/index.db-wal", folder);
}

void paths_asleep(const char *folder, char path[PATHS_FILE_MAX])
{
    (void)snprintf(path, PATHS_FILE_MAX, "%s/asleep", folder);
}

void paths_search(const char *folder, char path[PATHS_FILE_MAX])
{
    (void)snprintf(path, PATHS_FILE_MAX, "%s/search.db", folder);
}

void paths_state_folder(const char *folder, char path[PATHS_FILE_MAX])
{
    (void)snprintf(path, PATHS_FILE_MAX, "%s/state", folder);
}

void paths_state(const char *folder, uint64_t mailbox, char path[PATHS_FILE_MAX])
{
    (void)snprintf(path, PATHS_FILE_MAX, "%s/state/%" PRIu64, folder, mailbox);
}

void paths_state_new(const char *folder, uint64_t mailbox, char path[PATHS_FILE_MAX])
{
    (void)snprintf(path, PATHS_FILE_MAX, "%s/state/%" PRIu64 ".new", folder, mailbox);
}

void paths_message_folder(const char *folder, uint64_t id, char path[PATHS_FILE_MAX])
{
    (void)snprintf(path, PATHS_FILE_MAX, "%s/msg/%02x", folder, (unsigned)(id >> 8 & 0xff));
}

void paths_message(const char *folder, uint64_t id, char path[PATHS_FILE_MAX])
{
    (void)snprintf(path, PATHS_FILE_MAX, "%s/msg/%02x/%" PRIu64 ".eml", folder, (unsigned)(id >> 8 & 0xff),
                   id);
}

bool paths_message_id(const char *name, uint64_t *id)
{
    struct slice s = slice_of(name);
    return slice_ends(s, SLICE(".eml")) && slice_u64(slice_sub(s, 0, s.len - 4), IMAGE_MESSAGE_MAX, id);
}

void paths_closed(const char *folder, uint64_t id, uint64_t stamp, char path[PATHS_FILE_MAX])
{
    (void)snprintf(path, PATHS_FILE_MAX, "%s/msg/%02x/" CLOSED "%016" PRIx64, folder,
                   (unsigned)(id >> 8 & 0xff), stamp);
}

bool paths_is_closed(const char *name)
{
    struct slice s = slice_of(name);
    if (s.len != sizeof CLOSED - 1 + 16 || memcmp(name, CLOSED, sizeof CLOSED - 1) != 0)
        return false;
    for (size_t i = sizeof CLOSED - 1; i < s.len; i++)
        if (ascii_hex_value(s.ptr[i]) < 0)
            return false;
    return true;
}

enum err paths_queue(struct slice queue_id, char path[PATHS_FILE_MAX])
{
    if (queue_id.len == 0 || queue_id.len > PATHS_QUEUE_ID)
        return ERR_BAD;
    for (size_t i = 0; i < queue_id.len; i++)
        if (!ascii_is_alnum(queue_id.ptr[i]))
            return ERR_BAD;
    (void)snprintf(path, PATHS_FILE_MAX, "queue/%.*s.eml", SLICE_ARG(queue_id));
    return ERR_OK;
}

enum err paths_full(const struct store_root *root, const char *path, char *full, size_t size)
{
    int len = strcmp(root->path, ".") == 0 ? snprintf(full, size, "%s", path)
                                           : snprintf(full, size, "%s/%s", root->path, path);
    return len > 0 && (size_t)len < size ? ERR_OK : ERR_INTERNAL;
}
