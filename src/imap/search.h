/* search.h: what SEARCH, SORT and THREAD share: the program made fit for store, what was found, its answer.
 */
#ifndef IMAP_SEARCH_H
#define IMAP_SEARCH_H

#include "imap/session.h"

#define IMAP_LIST_MAX  (64u << 20) /* bytes of sorted UIDs or threads of one answer */
#define IMAP_SAVED_MAX (4u << 20)  /* bytes of ranges of one saved result ("$") */

/* What was found, in the order of the answer and in the client's numbers. */
struct search_found {
    bool listed;         /* SORT: `numbers`; otherwise `set` */
    struct imap_set set; /* normalised */
    const uint32_t *numbers;
    uint64_t count;
};

/* Walks the results from the `at`-th (from 0) up to `end` as ranges that ascend. */
struct search_runs {
    const struct search_found *found;
    uint64_t at, end;
    size_t range; /* of the set */
    uint64_t before;
};
struct search_runs imap_search_runs(const struct search_found *found, uint64_t from, uint64_t end);
bool imap_search_next_run(struct search_runs *runs, struct imap_range *run) MUST_CHECK;
/* The results RETURN (PARTIAL …) wants of `count`: from `*from` (counted from 0) up to `*end`; none when
 * equal (RFC 9394 section 3.1). */
void imap_search_partial(const struct imap_search *search, uint64_t count, uint64_t *from, uint64_t *end);

/* Another mailbox than the selected one (ESEARCH). */
struct search_place {
    struct imap_mailbox *mailbox;
    struct imap_view view;
    struct slice name;
};

/* The state of a command that searches; in its arena. */
struct search_work {
    struct imap_set_builder at_store; /* what store found */
    struct imap_set_builder uids;     /* what was found and is in the view */
    struct imap_set_builder numbers;  /* the same in the client's numbers, unless those are UIDs */
    struct buf list;                  /* SORT, THREAD: what store said, see struct wire_arranged */
    uint64_t modseq;                  /* the highest of those found */
    uint64_t begun_modseq;            /* of the mailbox when the command began */
    const uint32_t *order;            /* SORT: UIDs */
    struct search_found found;
    struct search_runs runs; /* the answer under way */
    struct imap_range run;   /* plain numbers: what is left of one */
    unsigned item;           /* of ESEARCH */
    bool begun;              /* with the item, the run */
    struct slice tokens;     /* THREAD: not written yet */
    bool number_before;
    const uint8_t *scores; /* RFC 6203: by place in `found`; NULL: not asked for */
    uint64_t score_at;
    struct arena *arena;                 /* of what is made for one place; NULL: the command's */
    struct search_place *place;          /* NULL: the selected mailbox */
    bool correlate;                      /* the answer names the mailbox (RFC 7377) */
    void (*finished)(struct session *s); /* instead of the tagged answer */
};

struct search_work *imap_search_work(struct session *s);
struct imap_search *imap_search_of(struct session *s);

/* Where the command searches. */
const struct imap_view *imap_search_view(struct session *s);
uint64_t imap_search_watch(struct session *s);

/* Checks and translates the command's program; false: it was answered. The work is in run->state. */
bool imap_search_begin(struct session *s) MUST_CHECK;
/* The two parts of that, without MESSAGELIMIT. */
bool imap_search_check(struct session *s) MUST_CHECK;
bool imap_search_translate(struct session *s) MUST_CHECK;
/* The rest of a command whose results have no order: here or at store, then the answer. */
void imap_search_run(struct session *s);
/* The program for store; false: it was answered. */
bool imap_search_program(struct session *s, struct buf *program) MUST_CHECK;
/* The same without FUZZY. */
bool imap_search_strict(struct session *s, struct buf *program) MUST_CHECK;
/* The rest of a command whose results have an order or scores: asks store, then answers. */
void imap_search_sorted(struct session *s, const struct imap_sort *sort);
/* Keys for wire_sort; how many. */
size_t imap_search_sort_keys(const struct imap_sort *sort, uint8_t keys[IMAP_SORT_KEYS_MAX]);
/* What it costs to look at one message, in plain keys, when the image can answer the whole program, else 0;
 * whether so many messages may be looked at here, where other sessions wait meanwhile; and whether a message
 * matches such a program. Expunged ones never do. */
uint64_t imap_search_local_cost(struct imap_search_node *root);
bool imap_search_fits_here(uint64_t cost, uint64_t messages);
bool imap_search_matches(const struct imap_view *view, const struct imap_search_node *root,
                         const struct imap_message *m);
/* The messages that can match such a program: all of them, fewer when it names UIDs, or asks for unseen or
 * deleted ones. `all`: every UID. */
struct imap_view_walk imap_search_walk_here(const struct imap_view *view, const struct imap_search_node *root,
                                            const struct imap_set *all);
/* Adds a message of the view to what was found. */
void imap_search_add(struct session *s, const struct imap_message *m);

/* Answers from work->found: "* SEARCH", "* SORT" or "* ESEARCH", as was asked, and saves the result. */
void imap_search_answer(struct session *s);

/* ---- "$" (RFC 5182); saved.c ---- */

/* The saved result becomes empty. */
void imap_saved_clear(struct session *s);
/* Saves what the command found and its RETURN options want saved. False: too much. */
bool imap_saved_set(struct session *s) MUST_CHECK;
/* "$" as a set, of UIDs or of sequence numbers. */
struct imap_set imap_saved_in(struct session *s, bool by_uid);

#endif
