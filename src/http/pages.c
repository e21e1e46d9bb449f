/* pages.c: what the metrics listener serves: /metrics, /livez, /readyz. Reads the counter blocks the other
 * roles write (mapped read-only); asks nobody. Called by session.c. */
#include <stdatomic.h>

#include "base/clock.h"
#include "http/session.h"

/* A role whose loop has not beaten for so long hangs. */
#define BEAT_OLD_MS 10000u

static const char text_type[] = "text/plain; charset=utf-8";

typedef void page_fn(struct http *http, struct http_page *page);

static bool is_started(const struct metric_head *head)
{
    return atomic_load(&head->pid) != 0 && atomic_load(&head->beats) != 0;
}

static bool is_hanging(const struct metric_head *head)
{
    uint64_t now = clock_mono_ms(), beat = atomic_load(&head->beat_mono_ms);
    return is_started(head) && now > beat && now - beat > BEAT_OLD_MS;
}

static void page_metrics(struct http *http, struct http_page *page)
{
    const struct metric_block *blocks[ROLE_COUNT];
    size_t count = 0;
    for (int r = 0; r < ROLE_COUNT; r++) {
        const struct metric_block *block = http->metrics(http, (enum role)r);
        if (block)
            blocks[count++] = block;
    }
    page->type = "text/plain; version=0.0.4; charset=utf-8";
    metric_render(&metrics_table, blocks, count, &page->body);
}

/* Alive: no role hangs. One that died is being restarted and is no reason to kill the others. The supervisor
 * has counters but does not beat. */
static void page_livez(struct http *http, struct http_page *page)
{
    for (int r = ROLE_SUPERVISOR + 1; r < ROLE_COUNT; r++) {
        const struct metric_block *block = http->metrics(http, (enum role)r);
        if (!block || !is_hanging(metric_block_head(block)))
            continue;
        page->status = 503;
        buf_addf(&page->body, "%s hangs\n", role_name((enum role)r));
    }
    if (page->status == 200)
        buf_add_str(&page->body, "ok\n");
}

/* NULL, or why this role cannot take part in accepting mail. */
static const char *unready(const struct metric_block *block)
{
    if (!block || !is_started(metric_block_head(block)))
        return "not started";
    const struct metric_head *head = metric_block_head(block);
    uint64_t state = atomic_load(&head->state);
    if (state & METRIC_DRAINING)
        return "going down";
    if (state & METRIC_BROKEN)
        return "broken";
    if (state & METRIC_SPACE_LOW)
        return "free space is below the reserve";
    if (!(state & METRIC_READY))
        return "not ready";
    return is_hanging(head) ? "hangs" : NULL;
}

/* Ready: mail can be accepted and logins are possible. Names, relays and ban lists have no say: a server that
 * cannot send still receives. */
static void page_readyz(struct http *http, struct http_page *page)
{
    static const enum role needed[] = {ROLE_SMTP, ROLE_QUEUE, ROLE_STORE, ROLE_AUTH};
    for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
        const char *why = unready(http->metrics(http, needed[i]));
        if (!why)
            continue;
        page->status = 503;
        buf_addf(&page->body, "%s: %s\n", role_name(needed[i]), why);
    }
    if (page->status == 200)
        buf_add_str(&page->body, "ok\n");
}

static const struct {
    const char *path;
    page_fn *serve;
} pages[] = {
    {"/metrics", page_metrics},
    {"/livez", page_livez},
    {"/readyz", page_readyz},
};

static page_fn *find(struct slice path)
{
    for (size_t i = 0; i < ARRAY_LEN(pages); i++)
        if (slice_eq(path, slice_of(pages[i].path)))
            return pages[i].serve;
    return NULL;
}

void http_page_serve(struct http *http, const struct http_request *request, struct http_page *page)
{
    page_fn *serve = find(request->path);
    *page = (struct http_page){.status = 200, .type = text_type, .body = buf_new(HTTP_PAGE_MAX)};
    if (!serve) {
        page->status = 404;
        buf_add_str(&page->body, "not found: try /metrics, /livez, /readyz\n");
    } else if (request->method != HTTP_GET && request->method != HTTP_HEAD) {
        page->status = 405;
        buf_add_str(&page->body, "only GET and HEAD\n");
    } else {
        serve(http, page);
    }
}
