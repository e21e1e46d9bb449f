/* mapping.c: mapping what store shares. Store is trusted; the size is checked all the same, because a slip
 * there must not become a read outside the mapping here. */
#include "imap/mapping.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/mem.h"

enum err imap_map_open(int fd, struct imap_map **map, struct why *why)
{
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0)
        return err_set(why, ERR_BAD, "no mailbox image came");
    size_t size = (size_t)st.st_size;
    void *at = size ? mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (at == MAP_FAILED)
        return err_errno(why, size ? errno : EINVAL, "mapping a mailbox image");
    const struct image *image = at;
    if (!image_valid(image, size) || image->capacity > UINT32_MAX) {
        munmap(at, size);
        return err_set(why, ERR_BAD, "not a mailbox image");
    }
    struct imap_map *fresh = mem_zero(1, sizeof *fresh);
    *fresh = (struct imap_map){.image = image, .size = size, .refs = 1};
    *map = fresh;
    return ERR_OK;
}

struct imap_map *imap_map_ref(struct imap_map *map)
{
    map->refs++;
    return map;
}

void imap_map_unref(struct imap_map **ref)
{
    struct imap_map *map = *ref;
    *ref = NULL;
    if (!map || --map->refs > 0)
        return;
    munmap((void *)(uintptr_t)map->image, map->size);
    free(map);
}

uint32_t imap_map_count(const struct imap_map *map)
{
    uint64_t count = atomic_load_explicit(&map->image->count, memory_order_acquire);
    return (uint32_t)(count < map->image->capacity ? count : map->image->capacity);
}
