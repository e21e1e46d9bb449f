/* check_gateways.c: private addresses that hide many clients. Only the running server has seen them: it is
 * asked on its control socket. Called by cmd_check.c. */
#include "cli/check_gateways.h"

#include <jansson.h>

#define ANSWER_MAX ((size_t)1 << 20)

static const void *listener_line(const struct settings *settings, const char *name)
{
    for (size_t i = 0; i < settings->listeners.count; i++)
        if (slice_eq(settings->listeners.items[i].name, slice_of(name)))
            return &settings->listeners.items[i].name;
    return &settings->listeners;
}

static void warn(struct cli *cli, const struct settings *settings, const struct conf_origin *origin,
                 struct problems *problems, const json_t *gateway)
{
    const char *address = json_string_value(json_object_get(gateway, "address"));
    const char *listener = json_string_value(json_object_get(gateway, "listener"));
    if (!address || !listener)
        return;
    problem_add(
        problems, PROBLEM_WARNING, slice_of(cli->config_path),
        conf_line(origin, listener_line(settings, listener)),
        SLICE("let it send PROXY headers to a listener with proxy: required, and name it in "
              "proxy_trusted_networks (or in trusted_networks, when all behind it is yours)"),
        "listener %s: %s hides its clients: many different servers greet from this private address. Their "
        "mail is not judged by address, and the address is never banned",
        listener, address);
}

void cli_check_gateways(struct cli *cli, const struct settings *settings, const struct conf_origin *origin,
                        struct problems *problems)
{
    const struct slice arguments[] = {SLICE("gateways")};
    AUTO_BUF struct buf answer = buf_new(ANSWER_MAX);
    int exit_code = 0;
    struct why why;
    json_error_t error;
    if (!settings->data.len || cli_control_ask(settings, arguments, 1, &answer, &exit_code, &why) != ERR_OK ||
        exit_code)
        return; /* no server, or one that is just starting: there is nothing to say */
    json_t *list = json_loadb((const char *)answer.data, answer.len, 0, &error);
    for (size_t i = 0; i < json_array_size(list); i++)
        warn(cli, settings, origin, problems, json_array_get(list, i));
    json_decref(list);
}
