/* scan_message.c: the order in which a message becomes facts. Reads strangers' messages; called by role.c. */
#include "scan/scan_message.h"

#include "scan/edit.h"
#include "scan/header_facts.h"
#include "scan/part_facts.h"
#include "scan/text_facts.h"

/* Tried in this order until the ready texts fit: the last one leaves the message unsplit. */
static const struct mime_limits limits[] = {
    {MIME_MAX_DEPTH, MIME_MAX_PARTS},
    {20, 100},
    {0, 1},
};

static bool fill_parts_in(struct arena *arena, struct charset_set *set, struct slice bytes,
                          const struct mime_part *root, const struct edit *edit, struct facts *facts)
{
    struct served served = {.header_len = edit->header_len,
                            .size = edit->header_len + bytes.len - root->header_len,
                            .received_len = root->header_len};
    if (!part_texts_in(arena, root, bytes, facts))
        return false;
    part_facts_in(arena, set, root, &served, facts);
    text_facts_in(arena, set, root, bytes, facts);
    facts->size = served.size;
    facts->header_len = served.header_len;
    facts->lines = edit->lines + root->body_lines;
    return true;
}

static void fill_header_in(struct arena *arena, struct charset_set *set, const struct wire_scan_task *task,
                           struct slice header, struct edit *edit, struct facts *facts)
{
    edit_header_in(arena, task, header, edit);
    facts->flags = edit->flags;
    facts->received_count = edit->received_count;
    facts->added = edit->added;
    facts->cuts = edit->cuts;
    facts->cut_count = edit->cut_count;
    header_facts_in(arena, set, edit->header, edit->header.len == edit->header_len, facts);
}

enum err scan_message_in(struct arena *arena, struct charset_set *set, const struct wire_scan_task *task,
                         struct slice bytes, struct facts *facts, struct why *why)
{
    struct edit edit;
    struct facts found = {0};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        bool complete;
        const struct mime_part *root = mime_parse_in(arena, bytes, &limits[i], &complete);
        if (i == 0) /* where the header ends does not depend on the limits */
            fill_header_in(arena, set, task, slice_sub(bytes, 0, root->header_len), &edit, &found);
        if (!fill_parts_in(arena, set, bytes, root, &edit, &found))
            continue;
        found.flags |= complete ? FACTS_PARTS_COMPLETE : 0;
        found.flags |= slice_find(bytes, 0) >= 0 ? FACTS_HAS_NUL : 0;
        *facts = found;
        return ERR_OK;
    }
    return err_set(why, ERR_INTERNAL, "scan: the structure of the message outgrows its bounds");
}
