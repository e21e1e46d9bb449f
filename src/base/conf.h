/* conf.h: settings as tables. One constant table says what may stand in the YAML file, where it goes in a
 * plain struct, what it defaults to, what its bounds are and what the manual says about it.
 *
 * Used by the unprivileged configuration child and the commands (conf_parse), and by every role
 * (conf_decode). Knows nothing of mail; settings/settings.c has the table.
 */
#ifndef BASE_CONF_H
#define BASE_CONF_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/problem.h"

#define CONF_FILE_MAX   (1024 * 1024) /* bytes of YAML */
#define CONF_NODES_MAX  50000         /* scalars, lists and maps in it */
#define CONF_DEPTH_MAX  16
#define CONF_SCALAR_MAX 4096 /* bytes of one value, after ${ENV} */
#define CONF_LIST_MAX   10000

/* Kind and the C type at the field's offset. */
enum conf_kind {
    CONF_BOOL,     /* bool: true | false (yes, no, on, off too) */
    CONF_STRING,   /* struct slice */
    CONF_U64,      /* uint64_t */
    CONF_SIZE,     /* uint64_t bytes: 500, 64K, 50M, 2G, 1T (powers of 1024; "MB", "MiB" too) */
    CONF_DURATION, /* uint64_t ms: 500ms, 5s, 10m, 2h, 5d */
    CONF_ENUM,     /* int: index in `names` (also for a C enum) */
    CONF_ADDRESS,  /* struct conf_address: "[::]:25", "127.0.0.1:53", "host:port" with CONF_HOSTNAME */
    CONF_NETWORK,  /* struct conf_network: 10.0.0.0/8, 2001:db8::/32, a single address */
    CONF_STRUCT,   /* the struct itself, described by `table` */
    CONF_LIST,     /* struct conf_list of items of `item` kind; a single value counts as a list of one */
    CONF_KIND_COUNT
};

enum conf_flag {
    CONF_REQUIRED = 1,
    CONF_SECRET = 2,  /* conf_show() hides it */
    CONF_NOT_YET = 4, /* accepted, has no effect so far: conf_parse() warns when it is given */
    CONF_HOSTNAME = 8 /* CONF_ADDRESS may name a host instead of an IP address */
};

struct conf_address {
    struct slice text; /* as written */
    struct slice host; /* without brackets */
    uint8_t ip[16];    /* IPv4 as ::ffff:a.b.c.d; zero when only a name is given */
    bool is_ip, is_v4;
    uint16_t port;
};
struct conf_network {
    uint8_t ip[16]; /* IPv4 as ::ffff:a.b.c.d; bits below the prefix are zero */
    uint8_t bits;   /* of 128; an IPv4 /8 is 104 */
};
struct conf_list {
    void *items; /* array of the item's C type */
    size_t count;
};
/* A member with the layout of struct conf_list and a typed pointer: CONF_LIST_OF(struct thing) things; */
#define CONF_LIST_OF(type)                                                                                   \
    struct {                                                                                                 \
        type *items;                                                                                         \
        size_t count;                                                                                        \
    }

struct conf_table;
struct conf_field {
    const char *name;
    enum conf_kind kind;
    size_t offset;
    const char *fallback; /* as it would be written in the file; NULL: zero, empty */
    uint64_t min, max;    /* U64, SIZE, DURATION (ms); LIST: of its count; 0, 0: no bounds */
    unsigned flags;
    enum conf_kind item;            /* LIST */
    const char *const *names;       /* ENUM, LIST of ENUM; NULL at the end */
    const struct conf_table *table; /* STRUCT, LIST of STRUCT */
    const char *help;               /* for the manual: one or two sentences */
    const char *example;            /* as written in the file */
};
struct conf_table {
    const struct conf_field *fields;
    size_t count, size; /* of the fields; of the C struct */
    const char *help;
};
#define CONF_TABLE(array, type, text)                                                                        \
    {                                                                                                        \
        .fields = (array), .count = sizeof(array) / sizeof *(array), .size = sizeof(type), .help = (text)    \
    }

/* Where each value came from: line 0 for defaults. Lives in the arena given to conf_parse(). */
struct conf_origin;
/* `field` is the address of a member (or of a list item) of the struct filled by conf_parse(). */
uint32_t conf_line(const struct conf_origin *origin, const void *field);

/* getenv() or a test's own; the answer lives as long as the arena. NULL: not set. */
typedef const char *conf_env(void *arg, const char *name);

/* Reads YAML into the zeroed struct `out`, texts in `arena`. Every problem is added to `problems` with its
 * line; an unknown key names the nearest known one. ERR_BAD when there was any error (the struct then holds
 * what could be read).
 * ${NAME} in a value is the environment's, $${ is a plain "${". */
enum err conf_parse_in(struct arena *arena, const struct conf_table *table, struct slice yaml,
                       struct slice file, conf_env *env, void *env_arg, void *out,
                       struct conf_origin **origin, struct problems *problems) MUST_CHECK;
/* Only the defaults. */
void conf_defaults_in(struct arena *arena, const struct conf_table *table, void *out);

/* The struct as flat bytes, and back (strict: any damage or another program's table is ERR_BAD). */
void conf_encode(const struct conf_table *table, const void *settings, struct buf *bytes);
enum err conf_decode_in(struct arena *arena, const struct conf_table *table, struct slice bytes, void *out,
                        struct why *why) MUST_CHECK;

/* The settings in effect, as YAML that could be read again but for hidden secrets. */
void conf_show(const struct conf_table *table, const void *settings, struct buf *yaml);
/* The manual in Markdown: one entry per key with type, default, bounds, text and example. */
void conf_print_manual(const struct conf_table *table, struct buf *markdown);

/* The pieces, for other readers of such values. */
bool conf_read_size(struct slice text, uint64_t *bytes) MUST_CHECK;
bool conf_read_duration(struct slice text, uint64_t *ms) MUST_CHECK;
bool conf_read_network(struct slice text, struct conf_network *network) MUST_CHECK;
bool conf_read_address(struct slice text, struct conf_address *address) MUST_CHECK;
/* `ip`: 16 bytes, IPv4 mapped. */
bool conf_network_has(const struct conf_network *network, const uint8_t ip[16]);
/* The candidate nearest to `word` by edit distance, when it is near enough to be a likely typo; or NULL. */
const char *conf_nearest(struct slice word, const char *const *candidates, size_t count);

#endif
