/* command.c: reads what an operator typed behind `rockdove queue`. Called by cli/ and control_queue.c. */
#include "queue/command.h"

#include "base/coll.h"
#include "base/conf.h"

#define LIMIT_MAX 1000000

static const struct {
    const char *name;
    bool changes;  /* needs ids, a filter or --all */
    bool ids_only; /* takes one id, nothing else */
    bool bare;     /* takes nothing */
} verbs[QUEUE_VERB_COUNT] = {
    [QUEUE_LIST] = {"list", false, false, false},
    [QUEUE_SHOW] = {"show", true, true, false},
    [QUEUE_RETRY] = {"retry", true, false, false},
    [QUEUE_HOLD] = {"hold", true, false, false},
    [QUEUE_RELEASE] = {"release", true, false, false},
    [QUEUE_BOUNCE] = {"bounce", true, false, false},
    [QUEUE_DELETE] = {"delete", true, false, false},
    [QUEUE_FLUSH] = {"flush", false, false, true},
    [QUEUE_DESTINATIONS] = {"destinations", false, false, false},
};

static const char *const states[QUEUE_STATE_COUNT] = {
    [QUEUE_WAITING] = "waiting", [QUEUE_SENDING] = "sending", [QUEUE_DEFERRED] = "deferred",
    [QUEUE_QUOTA] = "quota",     [QUEUE_STOPPED] = "stopped", [QUEUE_HELD] = "held",
};

const char *queue_verb_name(enum queue_verb verb)
{
    return (unsigned)verb < QUEUE_VERB_COUNT ? verbs[verb].name : "?";
}

const char *queue_state_name(enum queue_state state)
{
    return (unsigned)state < QUEUE_STATE_COUNT ? states[state] : "?";
}

int queue_state_by_name(struct slice name)
{
    for (int i = 0; i < QUEUE_STATE_COUNT; i++)
        if (slice_ieq(name, slice_of(states[i])))
            return i;
    return -1;
}

/* ---- options ---- */

static bool take_sender(struct queue_command *c, struct slice value)
{
    c->has_sender = true;
    c->sender = slice_eq(value, SLICE("<>")) ? SLICE_EMPTY : value;
    return true;
}

static bool take_recipient(struct queue_command *c, struct slice value)
{
    c->recipient = value;
    return slice_find(value, '@') >= 0;
}

static bool take_domain(struct queue_command *c, struct slice value)
{
    c->domain = slice_starts(value, SLICE("@")) ? slice_from(value, 1) : value;
    return c->domain.len > 0 && slice_find(c->domain, '@') < 0;
}

static bool take_reason(struct queue_command *c, struct slice value)
{
    c->reason = value;
    return value.len > 0;
}

static bool take_state(struct queue_command *c, struct slice value)
{
    c->state = queue_state_by_name(value);
    return c->state >= 0;
}

static bool take_older(struct queue_command *c, struct slice value)
{
    return conf_read_duration(value, &c->older_ms) && c->older_ms;
}

static bool take_newer(struct queue_command *c, struct slice value)
{
    return conf_read_duration(value, &c->newer_ms) && c->newer_ms;
}

static bool take_limit(struct queue_command *c, struct slice value)
{
    return slice_u64(value, LIMIT_MAX, &c->limit) && c->limit &&
           (c->verb == QUEUE_LIST || c->verb == QUEUE_DESTINATIONS);
}

static const struct option {
    const char *name;
    bool (*take)(struct queue_command *command, struct slice value);
    const char *wants;
} options[] = {
    {"--sender", take_sender, "an address, @domain, or <>"},
    {"--recipient", take_recipient, "an address or @domain"},
    {"--domain", take_domain, "a domain"},
    {"--reason", take_reason, "a part of the last error"},
    {"--state", take_state, "waiting, sending, deferred, quota, stopped or held"},
    {"--older", take_older, "a time, as 90s, 15m, 4h or 5d"},
    {"--newer", take_newer, "a time, as 90s, 15m, 4h or 5d"},
    {"--limit", take_limit, "a number of rows, and is for list and destinations"},
};

static const struct option *find_option(struct slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        if (slice_eq(name, slice_of(options[i].name)))
            return &options[i];
    return NULL;
}

static enum err take_id(struct queue_command *c, struct slice word, struct why *why)
{
    if (!queue_id_ok(word))
        return err_set(why, ERR_BAD, "this is no queue id and no option; ids look like 01jd3k5m7p9rtvx");
    if (c->id_count == COMMAND_IDS_MAX)
        return err_set(why, ERR_BAD, "more than %d ids", COMMAND_IDS_MAX);
    c->ids[c->id_count++] = word;
    return ERR_OK;
}

static enum err take_word(struct queue_command *c, const struct slice *arguments, size_t count, size_t *at,
                          struct why *why)
{
    struct slice word = arguments[(*at)++];
    const struct option *option = find_option(word);
    if (word.len > COMMAND_TEXT_MAX)
        return err_set(why, ERR_BAD, "an argument is too long");
    if (slice_eq(word, SLICE("--all"))) {
        c->all = true;
        return ERR_OK;
    }
    if (!option)
        return slice_starts(word, SLICE("-")) ? err_set(why, ERR_BAD, "there is no such option")
                                              : take_id(c, word, why);
    if (*at == count || arguments[*at].len > COMMAND_TEXT_MAX || !option->take(c, arguments[(*at)++]))
        return err_set(why, ERR_BAD, "%s wants %s", option->name, option->wants);
    return ERR_OK;
}

static bool has_filter(const struct queue_command *c)
{
    return c->has_sender || c->recipient.len || c->domain.len || c->reason.len || c->state >= 0 ||
           c->older_ms || c->newer_ms;
}

bool queue_command_selects(const struct queue_command *c)
{
    return c->id_count || has_filter(c);
}

static enum err check(const struct queue_command *c, size_t count, struct why *why)
{
    const char *name = verbs[c->verb].name;
    if (verbs[c->verb].bare && count > 1)
        return err_set(why, ERR_BAD, "%s takes nothing more; retry takes filters", name);
    if (verbs[c->verb].ids_only && (c->id_count == 0 || c->all || has_filter(c)))
        return err_set(why, ERR_BAD, "%s takes ids only", name);
    if (c->verb == QUEUE_DESTINATIONS && (c->all || queue_command_selects(c)))
        return err_set(why, ERR_BAD, "%s takes --limit only", name);
    if (verbs[c->verb].changes && !c->all && !c->id_count && !has_filter(c))
        return err_set(why, ERR_BAD, "%s which? Name ids, a filter, or --all", name);
    if (c->all && (c->id_count || has_filter(c)))
        return err_set(why, ERR_BAD, "--all and a filter or ids contradict each other");
    return ERR_OK;
}

enum err queue_command_parse(const struct slice *arguments, size_t count, struct queue_command *command,
                             struct why *why)
{
    struct queue_command c = {.state = -1, .verb = QUEUE_VERB_COUNT};
    for (int i = 0; count && i < QUEUE_VERB_COUNT; i++)
        if (slice_eq(arguments[0], slice_of(verbs[i].name)))
            c.verb = (enum queue_verb)i;
    if (c.verb == QUEUE_VERB_COUNT)
        return err_set(why, ERR_BAD,
                       "list, show, destinations, retry, hold, release, bounce, delete or flush?");
    enum err err = ERR_OK;
    for (size_t at = 1; !err && at < count;)
        err = take_word(&c, arguments, count, &at, why);
    if (!err)
        err = check(&c, count, why);
    if (!err)
        *command = c;
    return err;
}
