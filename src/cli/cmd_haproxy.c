/* cmd_haproxy.c: the configuration HAProxy needs in front of this server: one frontend and one backend for
 * each listener that reads PROXY headers, with checks such a listener answers. Reads the configuration and
 * the command line; writes to standard output and nowhere else. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

#define TEXT_MAX     ((size_t)1 << 20)
#define BACKENDS_MAX 256
#define BINDS_MAX    64
#define SLACK_MS     60000 /* a proxy that ends a connection before we do leaves the client without a reason */

/* `[LISTENER=]HOST[:PORT]` of --backend and --bind. */
struct place {
    struct slice listener; /* empty: any */
    struct slice host;     /* IPv6 in brackets; empty: all addresses (--bind) */
    struct slice port;     /* empty: the standard one (--bind), the listener's own (--backend) */
};

struct plan {
    const struct settings *settings;
    struct place backends[BACKENDS_MAX], binds[BINDS_MAX];
    size_t backend_count, bind_count;
    bool fields;
};

/* ---- the command line ---- */

/* What may stand in HAProxy's file without meaning something else there. */
static bool is_plain(struct slice s, const char *more)
{
    for (size_t i = 0; s.ptr && i < s.len; i++)
        if (!ascii_is_alnum(s.ptr[i]) && !strchr(more, s.ptr[i]))
            return false;
    return true;
}

static bool read_port(struct slice text)
{
    uint64_t port;
    return slice_u64(text, 65535, &port) && port > 0;
}

/* [LISTENER=]HOST, [LISTENER=]HOST:PORT, [LISTENER=][IPV6]:PORT, [LISTENER=]:PORT (--bind) */
static bool read_place(struct slice text, bool needs_host, struct place *place)
{
    *place = (struct place){0};
    ptrdiff_t equals = slice_find(text, '=');
    if (equals == 0)
        return false;
    if (equals > 0) {
        place->listener = slice_sub(text, 0, (size_t)equals);
        text = slice_from(text, (size_t)equals + 1);
    }
    ptrdiff_t colon = slice_rfind(text, ':'), bracket = slice_rfind(text, ']');
    if (colon > bracket && (bracket >= 0 || slice_find(text, ':') == colon)) {
        place->port = slice_from(text, (size_t)colon + 1);
        text = slice_sub(text, 0, (size_t)colon);
        if (!read_port(place->port))
            return false;
    }
    place->host = text;
    return (text.len || (!needs_host && place->port.len)) &&
           is_plain(text, text.ptr && *text.ptr == '[' ? "[]:." : ".-_*");
}

static bool add_place(struct slice text, bool needs_host, struct place *places, size_t max, size_t *count)
{
    return *count < max && read_place(text, needs_host, &places[(*count)++]);
}

static bool read_options(const struct cli *cli, struct plan *plan)
{
    for (int i = 0; i < cli->argc; i += 2) {
        const char *name = cli->argv[i], *value = i + 1 < cli->argc ? cli->argv[i + 1] : NULL;
        if (!value)
            return false;
        if (strcmp(name, "--backend") == 0) {
            if (!add_place(slice_of(value), true, plan->backends, BACKENDS_MAX, &plan->backend_count))
                return false;
        } else if (strcmp(name, "--bind") == 0) {
            if (!add_place(slice_of(value), false, plan->binds, BINDS_MAX, &plan->bind_count))
                return false;
        } else if (strcmp(name, "--format") == 0 && strcmp(value, "fields") == 0) {
            plan->fields = true;
        } else if (strcmp(name, "--format") != 0 || strcmp(value, "config") != 0) {
            return false;
        }
    }
    return plan->backend_count > 0;
}

/* ---- listeners and what belongs to them ---- */

static bool is_behind(const struct settings_listener *listener)
{
    return listener->proxy != SETTINGS_PROXY_OFF && listener->service != SETTINGS_METRICS;
}

/* The port the world knows the service by (RFC 5321, 6409, 8314, 9051, 1939). */
static unsigned standard_port(const struct settings_listener *listener)
{
    bool implicit = listener->tls == SETTINGS_TLS_IMPLICIT;
    switch (listener->service) {
    case SETTINGS_MX:
        return 25;
    case SETTINGS_SUBMISSION:
        return implicit ? 465 : 587;
    case SETTINGS_IMAP:
        return implicit ? 993 : 143;
    case SETTINGS_POP3:
        return implicit ? 995 : 110;
    case SETTINGS_METRICS:
        break;
    }
    return listener->address.port;
}

/* Of two listeners of a kind the first gets the standard port, the others keep their own. */
static unsigned public_port(const struct plan *plan, const struct settings_listener *listener)
{
    unsigned port = standard_port(listener);
    for (size_t i = 0; i < plan->settings->listeners.count; i++) {
        const struct settings_listener *other = &plan->settings->listeners.items[i];
        if (other == listener)
            return port;
        if (is_behind(other) && standard_port(other) == port)
            return listener->address.port;
    }
    return port;
}

static bool has_own_port(const struct settings_listener *listener, struct slice port)
{
    uint64_t number;
    return slice_u64(port, 65535, &number) && number == listener->address.port;
}

/* A backend without a listener's name and with a port is the listener's of that port. */
static bool belongs(const struct place *place, const struct settings_listener *listener)
{
    if (place->listener.len)
        return slice_eq(place->listener, listener->name);
    return !place->port.len || has_own_port(listener, place->port);
}

static size_t count_behind(const struct plan *plan, const struct settings_listener **only)
{
    size_t count = 0;
    for (size_t i = 0; i < plan->settings->listeners.count; i++) {
        if (!is_behind(&plan->settings->listeners.items[i]))
            continue;
        *only = &plan->settings->listeners.items[i];
        count++;
    }
    return count;
}

static bool has_listener(const struct plan *plan, const struct place *place)
{
    for (size_t i = 0; i < plan->settings->listeners.count; i++) {
        const struct settings_listener *listener = &plan->settings->listeners.items[i];
        if (is_behind(listener) && belongs(place, listener))
            return true;
    }
    return false;
}

static int complain(const struct cli *cli, const struct plan *plan, const struct place *place)
{
    (void)fprintf(
        stderr,
        place->listener.len
            ? "rockdove haproxy: no listener %.*s reads PROXY headers; these do:"
            : "rockdove haproxy: port %.*s is no listener's own: write LISTENER=HOST:PORT with one of:",
        SLICE_ARG(place->listener.len ? place->listener : place->port));
    for (size_t i = 0; i < plan->settings->listeners.count; i++)
        if (is_behind(&plan->settings->listeners.items[i]))
            (void)fprintf(stderr, " %.*s", SLICE_ARG(plan->settings->listeners.items[i].name));
    (void)fputc('\n', stderr);
    (void)cli;
    return CLI_FAILED;
}

/* Every backend and bind is some listener's. */
static int resolve(struct cli *cli, struct plan *plan)
{
    const struct settings_listener *only = NULL;
    size_t count = count_behind(plan, &only);
    if (count == 0)
        return cli_fail(
            cli, "no listener has proxy: required or optional: HAProxy would hide every client's address");
    for (size_t i = 0; i < plan->backend_count; i++) {
        if (count == 1 && !plan->backends[i].listener.len)
            plan->backends[i].listener = only->name;
        if (!has_listener(plan, &plan->backends[i]))
            return complain(cli, plan, &plan->backends[i]);
    }
    for (size_t i = 0; i < plan->bind_count; i++)
        if (plan->binds[i].listener.len && !has_listener(plan, &plan->binds[i]))
            return complain(cli, plan, &plan->binds[i]);
    return CLI_OK;
}

static bool has_backend(const struct plan *plan, const struct settings_listener *listener)
{
    for (size_t i = 0; i < plan->backend_count; i++)
        if (belongs(&plan->backends[i], listener))
            return true;
    return false;
}

/* ---- the pieces ---- */

/* HAProxy's names are letters, digits and "-_.:". */
static void put_name(struct buf *out, struct slice name)
{
    for (size_t i = 0; i < name.len; i++)
        buf_add_byte(out, ascii_is_alnum(name.ptr[i]) || strchr("-_.", name.ptr[i]) ? name.ptr[i] : '_');
}

static void put_bind(struct buf *out, const struct plan *plan, const struct settings_listener *listener)
{
    const struct place *chosen = NULL;
    for (size_t i = 0; i < plan->bind_count; i++)
        if (!plan->binds[i].listener.len || slice_eq(plan->binds[i].listener, listener->name))
            chosen = &plan->binds[i];
    if (chosen && chosen->host.len)
        buf_addf(out, "%.*s:", SLICE_ARG(chosen->host));
    else
        buf_add_str(out, ":::");
    if (chosen && chosen->port.len)
        buf_addf(out, "%.*s", SLICE_ARG(chosen->port));
    else
        buf_addf(out, "%u", public_port(plan, listener));
    if (!chosen || !chosen->host.len)
        buf_add_str(out, " v4v6");
}

static void put_address(struct buf *out, const struct place *backend,
                        const struct settings_listener *listener)
{
    buf_addf(out, "%.*s:", SLICE_ARG(backend->host));
    if (backend->port.len)
        buf_addf(out, "%.*s", SLICE_ARG(backend->port));
    else
        buf_addf(out, "%u", listener->address.port);
}

/* A dialogue we answer without counting it: the check's PROXY header is of kind LOCAL. The server that goes
 * down says 421 or BYE to it before anything else (timeouts.drain_notice). */
static const char *const smtp_check[] = {"option smtpchk EHLO haproxy.invalid", NULL};
static const char *const imap_check[] = {"option tcp-check",
                                         "tcp-check connect default",
                                         "tcp-check expect rstring ^\\*\\ OK",
                                         "tcp-check send a\\ LOGOUT\\r\\n",
                                         "tcp-check expect string BYE",
                                         NULL};
static const char *const pop3_check[] = {
    "option tcp-check",          "tcp-check connect default",       "tcp-check expect rstring ^\\+OK",
    "tcp-check send QUIT\\r\\n", "tcp-check expect rstring ^\\+OK", NULL};

static const char *const *check_lines(const struct settings_listener *listener)
{
    return listener->service == SETTINGS_IMAP   ? imap_check
           : listener->service == SETTINGS_POP3 ? pop3_check
                                                : smtp_check;
}

static void put_words(struct buf *out, const struct settings_listener *listener)
{
    buf_add_str(out, "send-proxy-v2 check check-send-proxy");
    if (listener->tls == SETTINGS_TLS_IMPLICIT)
        buf_add_str(out, " check-ssl verify none");
    buf_add_str(out, " inter 2s fastinter 500ms downinter 5s fall 3 rise 2");
}

/* ---- three forms of it ---- */

static void put_frontend(struct buf *out, const struct plan *plan, const struct settings_listener *listener)
{
    buf_addf(out, "\n# listener %.*s%s\nfrontend mail_", SLICE_ARG(listener->name),
             listener->proxy == SETTINGS_PROXY_OPTIONAL ? " (serves direct clients too)" : "");
    put_name(out, listener->name);
    buf_add_str(out, "\n    bind ");
    put_bind(out, plan, listener);
    buf_add_str(out, "\n    default_backend pool_");
    put_name(out, listener->name);
    buf_add_str(out, "\nbackend pool_");
    put_name(out, listener->name);
    for (const char *const *line = check_lines(listener); *line; line++)
        buf_addf(out, "\n    %s", *line);
    buf_add_str(out, "\n    default-server ");
    put_words(out, listener);
    buf_add_byte(out, '\n');
    unsigned number = 0;
    for (size_t i = 0; i < plan->backend_count; i++) {
        if (!belongs(&plan->backends[i], listener))
            continue;
        buf_addf(out, "    server n%u ", ++number);
        put_address(out, &plan->backends[i], listener);
        buf_add_byte(out, '\n');
    }
}

/* As long as the most patient of our own clocks. */
static uint64_t idle_seconds(const struct settings *settings)
{
    uint64_t most = settings->timeouts.imap_idle;
    if (settings->timeouts.smtp_command > most)
        most = settings->timeouts.smtp_command;
    if (settings->timeouts.smtp_data > most)
        most = settings->timeouts.smtp_data;
    return (most + SLACK_MS) / 1000;
}

static void put_head(struct buf *out, const struct cli *cli, const struct settings *settings)
{
    unsigned long long idle = idle_seconds(settings);
    buf_addf(out,
             "# For the listeners of %s. Try it with: haproxy -c -f FILE\n"
             "# proxy_trusted_networks there must hold the addresses this HAProxy connects from%s.\n"
             "defaults\n    mode tcp\n"
             "    option redispatch 1   # a server that went down between two checks costs no client its "
             "connection\n"
             "    retries 3\n"
             "    timeout connect 5s\n    timeout check 10s\n"
             "    timeout client %llus  # the server's own clocks end a session first, with a reason\n"
             "    timeout server %llus\n",
             cli->config_path, settings->proxy_trusted_networks.count ? "" : " (IT IS EMPTY)", idle, idle);
}

/* One line for each server of each listener; `json`: objects in an array. */
static void put_server(struct buf *out, const struct plan *plan, const struct settings_listener *listener,
                       const struct place *backend, unsigned number, bool json)
{
    AUTO_BUF struct buf bind = buf_new(TEXT_MAX), address = buf_new(TEXT_MAX), words = buf_new(TEXT_MAX);
    put_bind(&bind, plan, listener);
    put_address(&address, backend, listener);
    put_words(&words, listener);
    if (!json) {
        buf_addf(out, "%.*s\t%.*s\tn%u\t%.*s\t%.*s\t", SLICE_ARG(listener->name), SLICE_ARG(buf_slice(&bind)),
                 number, SLICE_ARG(buf_slice(&address)), SLICE_ARG(buf_slice(&words)));
        for (const char *const *line = check_lines(listener); *line; line++)
            buf_addf(out, "%s%s", line == check_lines(listener) ? "" : "; ", *line);
        buf_add_byte(out, '\n');
        return;
    }
    buf_add_str(out, out->len > 1 ? ",\n{\"listener\":" : "{\"listener\":");
    buf_add_json_string(out, listener->name);
    buf_addf(out, ",\"service\":\"%s\",\"bind\":", settings_service_names[listener->service]);
    buf_add_json_string(out, buf_slice(&bind));
    buf_addf(out, ",\"server\":\"n%u\",\"address\":", number);
    buf_add_json_string(out, buf_slice(&address));
    buf_add_str(out, ",\"server_fields\":");
    buf_add_json_string(out, buf_slice(&words));
    buf_add_str(out, ",\"backend_lines\":[");
    for (const char *const *line = check_lines(listener); *line; line++) {
        buf_add_str(out, line == check_lines(listener) ? "" : ",");
        buf_add_json_string(out, slice_of(*line));
    }
    buf_add_str(out, "]}");
}

static void put_servers(struct buf *out, const struct plan *plan, const struct settings_listener *listener,
                        bool json)
{
    unsigned number = 0;
    for (size_t i = 0; i < plan->backend_count; i++)
        if (belongs(&plan->backends[i], listener))
            put_server(out, plan, listener, &plan->backends[i], ++number, json);
}

static void print(const struct cli *cli, const struct plan *plan, struct buf *out)
{
    if (cli->json)
        buf_add_byte(out, '[');
    else if (plan->fields)
        buf_add_str(out, "# listener\tbind\tserver\taddress\tserver fields\tbackend lines\n");
    else
        put_head(out, cli, plan->settings);
    for (size_t i = 0; i < plan->settings->listeners.count; i++) {
        const struct settings_listener *listener = &plan->settings->listeners.items[i];
        if (!is_behind(listener))
            continue;
        if (!has_backend(plan, listener))
            (void)fprintf(stderr, "rockdove haproxy: listener %.*s has no --backend and is left out\n",
                          SLICE_ARG(listener->name));
        else if (cli->json || plan->fields)
            put_servers(out, plan, listener, cli->json);
        else
            put_frontend(out, plan, listener);
    }
    if (cli->json)
        buf_add_str(out, "]\n");
}

int cmd_haproxy(struct cli *cli)
{
    struct settings *settings = NULL;
    struct conf_origin *origin = NULL;
    struct plan plan = {0};
    AUTO_BUF struct buf out = buf_new(TEXT_MAX);
    if (!read_options(cli, &plan))
        return cli_usage(cli);
    if (!cli_settings(cli, NULL, &settings, &origin))
        return CLI_FAILED;
    plan.settings = settings;
    int code = resolve(cli, &plan);
    if (code != CLI_OK)
        return code;
    print(cli, &plan, &out);
    if (!buf_ok(&out))
        return cli_fail(cli, "too much of everything");
    (void)fwrite(out.data, 1, out.len, stdout);
    return CLI_OK;
}
