/* reload.c: two phases, so that old and new settings never mix. Called by the supervisor. */
#include "proc/reload.h"

#include <stdlib.h>
#include <unistd.h>

#include "proc/watch.h"
#include "settings/metrics.h"

#define PREPARE_MS 10000
#define LOOK_BEGUN 3 /* exit code: a reload is under way */

void reload_use_logs(const struct plan *plan, struct log_output outputs[LOG_OUTPUTS_MAX])
{
    const struct settings *settings = plan->settings;
    size_t count = 0;
    for (size_t i = 0; i < settings->log.count && count < LOG_OUTPUTS_MAX; i++)
        outputs[count++] =
            (struct log_output){plan->logs[i], settings->log.items[i].format, settings->log.items[i].level};
    if (count == 0)
        outputs[count++] = (struct log_output){STDERR_FILENO, LOG_FORMAT_TEXT, LOG_LEVEL_INFO};
    log_setup(role_name(ROLE_SUPERVISOR), settings->hostname, outputs, count);
}

static void tell_all(struct supervisor *s, enum wire_type type, uint64_t generation)
{
    const struct wire_sup_phase message = {.generation = generation};
    for (int r = 0; r < ROLE_COUNT; r++)
        if (s->children[r].state == CHILD_READY && wire_send(s->children[r].link, type, &message) != ERR_OK)
            log_error("supervisor.reload", LOG_CSTR("unreachable", role_name((enum role)r)));
}

void reload_cancel(struct supervisor *s, const char *why)
{
    if (!s->next)
        return;
    log_error("supervisor.reload_failed", LOG_CSTR("why", why));
    metric_add(METRIC_RELOADS, METRIC_FAILED, 1);
    loop_timer_stop(s->deadline);
    tell_all(s, WIRE_SUP_ABORT, s->next->number);
    plan_free(&s->next);
}

static void on_deadline(void *arg)
{
    reload_cancel(arg, "a role did not answer in time");
}

static void warn_of_data(const struct supervisor *s)
{
    if (!slice_eq(s->plan->settings->data, s->next->settings->data))
        log_warn("supervisor.reload", LOG_CSTR("note", "a change of data: needs a restart"));
}

void reload_begin(struct supervisor *s)
{
    struct why why = {0};
    if (s->draining || s->next || !family_all_ready(s)) {
        log_warn("supervisor.reload_failed",
                 LOG_CSTR("why", "not now: starting, stopping, or already reloading"));
        return;
    }
    if (plan_new(s->config_path, s->plan->number + 1, s->plan, &s->next, &why) != ERR_OK) {
        log_error("supervisor.reload_failed", LOG_WHY(&why));
        metric_add(METRIC_RELOADS, METRIC_FAILED, 1);
        return;
    }
    warn_of_data(s);
    loop_timer_free(&s->deadline);
    s->deadline = loop_timer_new(s->loop, on_deadline, s);
    loop_timer_set(s->deadline, PREPARE_MS);
    for (int r = 0; r < ROLE_COUNT; r++) {
        s->children[r].prepared = false;
        if (proc_role((enum role)r) && plan_hand_over(s->next, (enum role)r, s->children[r].link) != ERR_OK)
            log_error("supervisor.reload", LOG_CSTR("unreachable", role_name((enum role)r)));
    }
    tell_all(s, WIRE_SUP_PREPARE, s->next->number);
}

static bool all_prepared(const struct supervisor *s)
{
    for (int r = 0; r < ROLE_COUNT; r++)
        if (proc_role((enum role)r) && !s->children[r].prepared)
            return false;
    return true;
}

void reload_prepared(struct supervisor *s, struct child *child, const struct wire_role_prepared *m)
{
    struct log_output outputs[LOG_OUTPUTS_MAX];
    if (!s->next || m->generation != s->next->number)
        return;
    if (m->err != ERR_OK) {
        log_error("supervisor.reload", LOG_CSTR("role", role_name(child->role)), LOG_STR("why", m->text));
        reload_cancel(s, "a role cannot work with the new configuration");
        return;
    }
    child->prepared = true;
    if (!all_prepared(s))
        return;
    loop_timer_stop(s->deadline);
    tell_all(s, WIRE_SUP_COMMIT, s->next->number);
    plan_free(&s->plan);
    s->plan = s->next;
    s->next = NULL;
    reload_use_logs(s->plan, outputs);
    metric_add(METRIC_RELOADS, METRIC_OK, 1);
    log_info("supervisor.reloaded", LOG_U64("generation", s->plan->number));
}

static void status_text(const struct supervisor *s, bool json, struct buf *text)
{
    static const char *const states[] = {"down", "starting", "ready", "ending"};
    uint64_t now = loop_now_ms(s->loop);
    const char *separator = json ? "[" : "";
    for (int r = 0; r < ROLE_COUNT; r++) {
        const struct child *c = &s->children[r];
        if (!proc_role((enum role)r))
            continue;
        AUTO_BUF struct buf line = buf_new(400);
        if (json)
            buf_addf(&line,
                     "%s{\"role\":\"%s\",\"state\":\"%s\",\"pid\":%d,\"uptime_ms\":%llu,\"restarts\":%u}",
                     separator, role_name(c->role), states[c->state], (int)c->pid,
                     (unsigned long long)(now - c->started_ms), c->restarts);
        else
            buf_addf(&line, "%-6s %-9s pid %-7d up %llu ms, %u restarts\n", role_name(c->role),
                     states[c->state], (int)c->pid, (unsigned long long)(now - c->started_ms), c->restarts);
        buf_add(text, buf_slice(&line));
        separator = ",";
    }
    if (json)
        buf_add_str(text, "]\n");
}

/* What is begun because of a change on disk: whoever asks waits for the end of it. */
static uint32_t look(struct supervisor *s)
{
    if (!s->next && !watch_changed(s))
        return 0;
    if (!s->next)
        reload_begin(s);
    return s->next ? LOOK_BEGUN : 1;
}

void reload_control(struct supervisor *s, struct ipc_link *link, uint32_t request,
                    const struct wire_control *m)
{
    struct slice arguments = m->arguments, command = SLICE_EMPTY;
    AUTO_BUF struct buf text = buf_new(8192);
    struct wire_control_output out = {0};
    if (wire_strings_take(&arguments, &command) && slice_eq(command, SLICE("status"))) {
        status_text(s, m->json, &text);
    } else if (slice_eq(command, SLICE("reload"))) {
        uint64_t before = s->next ? 0 : s->plan->number;
        reload_begin(s);
        out.exit_code = s->next && before ? 0 : 1;
        buf_add_str(&text, out.exit_code ? "not reloaded; the log says why\n"
                                         : "reloading; the log says how it went\n");
    } else if (slice_eq(command, SLICE("look"))) {
        out.exit_code = look(s);
    } else {
        out.exit_code = 2;
        buf_add_str(&text, "unknown command\n");
    }
    out.text = buf_slice(&text);
    wire_reply(link, request, WIRE_CONTROL_OUTPUT, false, &out);
}
