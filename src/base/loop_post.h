/* loop_post.h: what loop.c and pool.c share: an item that brings its own memory to the loop's list. */
#ifndef BASE_LOOP_POST_H
#define BASE_LOOP_POST_H

#include "base/loop.h"

struct loop_item {
    struct loop_item *next;
    void (*run)(struct loop_item *item); /* owns the item */
};

/* From any thread. */
void loop_post_item(struct loop *loop, struct loop_item *item);
/* Runs what is posted now; false when there was nothing. The loop's thread only. */
bool loop_run_posted(struct loop *loop);

#endif
