/* mem.c: allocation that ends the process when it fails. */
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Exit code of a process that ran out of memory; the supervisor logs it by name. */
#define EXIT_NO_MEMORY 71

static void *require(void *got)
{
    static const char text[] = "out of memory\n";
    if (got)
        return got;
    ssize_t ignored = write(STDERR_FILENO, text, sizeof text - 1);
    (void)ignored;
    _exit(EXIT_NO_MEMORY);
}

void *mem_alloc(size_t size)
{
    return require(malloc(size ? size : 1));
}

void *mem_zero(size_t count, size_t size)
{
    return require(calloc(count ? count : 1, size ? size : 1));
}

void *mem_realloc(void *old, size_t size)
{
    return require(realloc(old, size ? size : 1));
}

char *mem_dup(const void *bytes, size_t len)
{
    char *copy = mem_alloc(len + 1);
    if (len)
        memcpy(copy, bytes, len);
    copy[len] = '\0';
    return copy;
}

void mem_wipe(void *secret, size_t len)
{
    explicit_bzero(secret, len);
}
