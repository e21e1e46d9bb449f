/* curl_load.c: finds libcurl's functions. Called by https.c before the role is confined. */
#include <dlfcn.h>
#include <string.h>

#include "relay/curl_load.h"

#define LIBRARY "libcurl.so.4"

static struct curl_calls calls;

const struct curl_calls *curl_calls(void)
{
    return &calls;
}

/* dlsym() answers a data pointer where a function is meant (POSIX says they have the same form). */
static bool find(void *library, const char *name, void *call)
{
    void *symbol = dlsym(library, name);
    memcpy(call, &symbol, sizeof symbol);
    return symbol != NULL;
}

enum err curl_load(struct why *why)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    bool ok = library != NULL;
#define FIND(name) ok = ok && find(library, #name, &calls.call_##name);
    CURL_CALLS(FIND)
#undef FIND
    if (!ok)
        return err_set(why, ERR_INTERNAL, "libcurl cannot be loaded: %s", dlerror());
    return ERR_OK;
}
