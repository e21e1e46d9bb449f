/* imap_search.h: search programs (RFC 9051 section 6.4.4, RFC 3501, 7162 MODSEQ, 5032 WITHIN, 8514 SAVEDATE,
 * 8474).
 *
 * `imap` parses a program, replaces what only the session knows (sequence numbers, \Recent, "$") by UID sets,
 * and sends it as a blob to `store`, which decodes it strictly and evaluates it over its facts. The decoder
 * and the evaluation trust nothing; the parser trusts nothing either.
 */
#ifndef GRAMMAR_IMAP_SEARCH_H
#define GRAMMAR_IMAP_SEARCH_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/find.h"
#include "grammar/imap_set.h"

#define IMAP_SEARCH_DEPTH_MAX 32         /* nesting of NOT, OR and parentheses */
#define IMAP_SEARCH_NODES_MAX 2000       /* keys in one program */
#define IMAP_SEARCH_TEXT_MAX  4096       /* octets of one text to look for */
#define IMAP_SEARCH_BLOB_MAX  (4u << 20) /* octets of an encoded program */

enum imap_search_op {
    IMAP_SEARCH_ALL,
    IMAP_SEARCH_NONE,    /* matches nothing; made by translation */
    IMAP_SEARCH_AND,     /* children */
    IMAP_SEARCH_OR,      /* children */
    IMAP_SEARCH_NOT,     /* one child */
    IMAP_SEARCH_SEQ,     /* set; only before translation */
    IMAP_SEARCH_UID,     /* set */
    IMAP_SEARCH_FLAG,    /* number: one bit of enum imap_flag (RECENT only before translation) */
    IMAP_SEARCH_KEYWORD, /* text */
    IMAP_SEARCH_HEADER,  /* name, text (empty text: the field is there) */
    IMAP_SEARCH_BODY,    /* text */
    IMAP_SEARCH_TEXT,    /* text: header or body */
    IMAP_SEARCH_BEFORE,  /* number: days since 1970, of INTERNALDATE without time and zone */
    IMAP_SEARCH_ON,
    IMAP_SEARCH_SINCE,
    IMAP_SEARCH_SENTBEFORE, /* the same, of the Date field */
    IMAP_SEARCH_SENTON,
    IMAP_SEARCH_SENTSINCE,
    IMAP_SEARCH_SAVEDBEFORE, /* the same, of the save date */
    IMAP_SEARCH_SAVEDON,
    IMAP_SEARCH_SAVEDSINCE,
    IMAP_SEARCH_LARGER, /* number: octets */
    IMAP_SEARCH_SMALLER,
    IMAP_SEARCH_OLDER, /* number: seconds before now */
    IMAP_SEARCH_YOUNGER,
    IMAP_SEARCH_MODSEQ,   /* number: at least this */
    IMAP_SEARCH_EMAILID,  /* text */
    IMAP_SEARCH_THREADID, /* text */
    IMAP_SEARCH_OP_COUNT
};

/* Text to look for: without regard to case, as a substring of UTF-8 (i;unicode-casemap, see casefold.h). */
struct imap_needle {
    struct slice text;   /* as given, UTF-8 */
    struct slice folded; /* case folded and decomposed */
    bool ascii;          /* the folded text is ASCII */
    struct find find;    /* looks for the folded text: in any case when it is ASCII, else in folded texts */
    uint32_t *borders;   /* of `folded`, for the search */
};

struct imap_search_node {
    enum imap_search_op op;
    struct imap_search_node *next;  /* sibling */
    struct imap_search_node *child; /* AND, OR, NOT */
    uint64_t number;
    unsigned cost; /* how dear it is to answer; set by the decoder */
    struct slice name;
    struct imap_needle needle;
    struct imap_set set;
};

enum imap_search_return { /* RFC 4731, 5182, 9394 and as noted */
                          IMAP_RETURN_MIN = 1,
                          IMAP_RETURN_MAX = 2,
                          IMAP_RETURN_ALL = 4,
                          IMAP_RETURN_COUNT = 8,
                          IMAP_RETURN_SAVE = 16,
                          IMAP_RETURN_PARTIAL = 32,
                          IMAP_RETURN_RELEVANCY = 64, /* RFC 6203 */
                          IMAP_RETURN_UPDATE = 128,   /* RFC 5267 */
                          IMAP_RETURN_CONTEXT = 256
};

struct imap_search {
    struct imap_search_node *root;
    struct imap_search_node *strict;  /* with FUZZY keys in it: the same program, FUZZY left out; else NULL */
    bool extended;                    /* RETURN was there: answer with ESEARCH */
    uint32_t returns;                 /* bits of enum imap_search_return; RETURN () means ALL */
    int64_t partial_from, partial_to; /* RETURN (PARTIAL 1:100), negative counts from the end */
    struct slice charset;             /* as written; empty: not given */
    bool charset_unknown;             /* answer NO [BADCHARSET (UTF-8 US-ASCII)] */
    bool has_modseq;                  /* a MODSEQ key is in it: answer with MODSEQ */
};

/* A needle for `text` (any octets; what is not UTF-8 matches itself). */
struct imap_needle imap_needle_in(struct arena *arena, struct slice text);
/* Whether the needle is found in `text` (UTF-8, or any octets). An empty needle is found everywhere. */
bool imap_needle_match(const struct imap_needle *needle, struct slice text);

/* Every node of the program, parents first; `visit` may change the node in place. False stops and is handed
 * on. */
bool imap_search_walk(struct imap_search_node *root, bool (*visit)(struct imap_search_node *node, void *ctx),
                      void *ctx);
/* Whether some node has this op. */
bool imap_search_uses(const struct imap_search_node *root, enum imap_search_op op);

/* A copy of the nodes; texts and names are shared with the original. */
struct imap_search_node *imap_search_copy_in(struct arena *arena, const struct imap_search_node *root);

/* The program as a blob. ERR_INTERNAL when SEQ, RECENT or an unresolved set is still in it. */
enum err imap_search_encode(struct buf *out, const struct imap_search_node *root, struct why *why) MUST_CHECK;
/* Strict: depth, node count, set order, UTF-8-ness of nothing assumed; needles are folded again. The texts
 * point into `blob`. ERR_BAD for anything our encoder would not have written. */
enum err imap_search_decode_in(struct arena *arena, struct slice blob, struct imap_search_node **root,
                               struct why *why) MUST_CHECK;

enum imap_truth { IMAP_NO, IMAP_YES, IMAP_UNKNOWN };

/* One message as seen by the evaluation. Each callback supplies one fact, is called only when it decides, and
 * may be NULL or answer IMAP_UNKNOWN for what costs too much at this stage (a first pass over packed state, a
 * second with the facts record, a third with the body). Dates are days since 1970 in the zone the RFC wants.
 */
struct imap_search_subject {
    uint32_t uid;
    int64_t now; /* seconds since 1970, for OLDER and YOUNGER */
    enum imap_truth (*flag)(void *ctx, uint32_t bit);
    enum imap_truth (*keyword)(void *ctx, struct slice keyword);
    bool (*size)(void *ctx, uint64_t *octets); /* false: unknown, also below */
    bool (*internal_date)(void *ctx, int64_t *seconds, int64_t *days);
    bool (*sent_date)(void *ctx, int64_t *days); /* days INT64_MIN: the message has none */
    bool (*save_date)(void *ctx, int64_t *days);
    bool (*modseq)(void *ctx, uint64_t *modseq);
    enum imap_truth (*header)(void *ctx, struct slice name, const struct imap_needle *needle);
    enum imap_truth (*any_header)(void *ctx, const struct imap_needle *needle); /* TEXT: some header field */
    enum imap_truth (*body)(void *ctx, const struct imap_needle *needle);
    enum imap_truth (*email_id)(void *ctx, struct slice id);
    enum imap_truth (*thread_id)(void *ctx, struct slice id);
};

/* Three-valued: UNKNOWN only when the callbacks' UNKNOWN decides. The decoder has put cheap keys
 * before costly ones. */
enum imap_truth imap_search_match(const struct imap_search_node *root,
                                  const struct imap_search_subject *subject, void *ctx);

/* SORT (RFC 5256, 5957) and THREAD. */
#define IMAP_SORT_KEYS_MAX 16
enum imap_sort_key {
    IMAP_SORT_ARRIVAL,
    IMAP_SORT_CC,
    IMAP_SORT_DATE,
    IMAP_SORT_FROM,
    IMAP_SORT_SIZE,
    IMAP_SORT_SUBJECT,
    IMAP_SORT_TO,
    IMAP_SORT_DISPLAYFROM,
    IMAP_SORT_DISPLAYTO,
    IMAP_SORT_RELEVANCY /* RFC 6203: the highest score first */
};
struct imap_sort {
    struct {
        enum imap_sort_key key;
        bool reverse;
    } keys[IMAP_SORT_KEYS_MAX];
    size_t count;
};
enum imap_thread_algorithm { IMAP_THREAD_ORDEREDSUBJECT, IMAP_THREAD_REFERENCES, IMAP_THREAD_REFS };

#endif
