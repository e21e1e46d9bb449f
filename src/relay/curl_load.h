/* curl_load.h: libcurl, loaded by the one process that uses it. Linked, it would bring two dozen libraries
 * into the address space of every role: half a megabyte each, and code that strangers' bytes could be led to.
 *
 * Include it instead of <curl/curl.h>; call curl_load() before confinement and before anything else of curl.
 * The functions used are listed here.
 */
#ifndef RELAY_CURL_LOAD_H
#define RELAY_CURL_LOAD_H

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt

#include "base/err.h"

#define CURL_CALLS(X)                                                                                        \
    X(curl_easy_cleanup)                                                                                     \
    X(curl_easy_getinfo)                                                                                     \
    X(curl_easy_init)                                                                                        \
    X(curl_easy_setopt)                                                                                      \
    X(curl_easy_strerror)                                                                                    \
    X(curl_global_init)                                                                                      \
    X(curl_multi_add_handle)                                                                                 \
    X(curl_multi_assign)                                                                                     \
    X(curl_multi_cleanup)                                                                                    \
    X(curl_multi_info_read)                                                                                  \
    X(curl_multi_init)                                                                                       \
    X(curl_multi_remove_handle)                                                                              \
    X(curl_multi_setopt)                                                                                     \
    X(curl_multi_socket_action)                                                                              \
    X(curl_slist_append)                                                                                     \
    X(curl_slist_free_all)

#define CURL_CALL(name) __typeof__(name) *call_##name;
struct curl_calls {
    CURL_CALLS(CURL_CALL)
};
#undef CURL_CALL

/* Loads the library once; ERR_INTERNAL with the loader's words when it, or a function, is missing. */
enum err curl_load(struct why *why) MUST_CHECK;
/* After curl_load(). */
const struct curl_calls *curl_calls(void) __attribute__((const));

#define curl_easy_cleanup        curl_calls()->call_curl_easy_cleanup
#define curl_easy_getinfo        curl_calls()->call_curl_easy_getinfo
#define curl_easy_init           curl_calls()->call_curl_easy_init
#define curl_easy_setopt         curl_calls()->call_curl_easy_setopt
#define curl_easy_strerror       curl_calls()->call_curl_easy_strerror
#define curl_global_init         curl_calls()->call_curl_global_init
#define curl_multi_add_handle    curl_calls()->call_curl_multi_add_handle
#define curl_multi_assign        curl_calls()->call_curl_multi_assign
#define curl_multi_cleanup       curl_calls()->call_curl_multi_cleanup
#define curl_multi_info_read     curl_calls()->call_curl_multi_info_read
#define curl_multi_init          curl_calls()->call_curl_multi_init
#define curl_multi_remove_handle curl_calls()->call_curl_multi_remove_handle
#define curl_multi_setopt        curl_calls()->call_curl_multi_setopt
#define curl_multi_socket_action curl_calls()->call_curl_multi_socket_action
#define curl_slist_append        curl_calls()->call_curl_slist_append
#define curl_slist_free_all      curl_calls()->call_curl_slist_free_all

#endif
