/* log.h: one line per event, with the facts in it.
 *
 *     log_info("smtp.accepted", LOG_STR("client", ip), LOG_STR("id", id), LOG_U64("size", n), LOG_MS("took",
 * ms));
 *
 * Only roles and commands log; libraries return errors. The event name is "role.what"; keys are lower case
 * words. Values may be any bytes of a stranger: they are escaped, so that no byte breaks or forges a line;
 * UTF-8 text stays readable. A line is bounded (LOG_LINE_MAX): long values are cut and marked, and goes out
 * in one write(2) per output, without allocating. Safe from any thread.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/clock.h"
#include "base/err.h"

#define LOG_LINE_MAX    4096 /* one line, with its line feed */
#define LOG_VALUE_MAX   1024 /* bytes of one value, after escaping */
#define LOG_OUTPUTS_MAX 8
#define LOG_REPEAT_MAX  5     /* the same warning or error … */
#define LOG_REPEAT_MS   60000 /* … per so many ms; what is left out is counted in `repeated=` of the next */

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR, LOG_LEVEL_COUNT };
/* Postfix: syslog-style lines, only for events that carry LOG_COMPAT, for tools that read Postfix's and
 * Dovecot's logs. */
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON, LOG_FORMAT_POSTFIX, LOG_FORMAT_COUNT };
extern const char *const log_level_names[LOG_LEVEL_COUNT + 1]; /* NULL at the end */
extern const char *const log_format_names[LOG_FORMAT_COUNT + 1];

struct log_output {
    int fd;
    enum log_format format;
    enum log_level level; /* the least that is written */
};

enum log_kind {
    LOG_KIND_END,
    LOG_KIND_TEXT,
    LOG_KIND_U64,
    LOG_KIND_I64,
    LOG_KIND_BOOL,
    LOG_KIND_MS,
    LOG_KIND_COMPAT
};

struct log_field {
    const char *key;
    enum log_kind kind;
    struct slice text;   /* TEXT; COMPAT: the message */
    const char *program; /* COMPAT */
    uint64_t number;
};

#define LOG_STR(k, s)          ((struct log_field){.key = (k), .kind = LOG_KIND_TEXT, .text = (s)})
#define LOG_CSTR(k, c)         ((struct log_field){.key = (k), .kind = LOG_KIND_TEXT, .text = slice_of(c)})
#define LOG_WHY(why)           ((struct log_field){.key = "why", .kind = LOG_KIND_TEXT, .text = slice_of((why)->text)})
#define LOG_ADDR(k, text_addr) LOG_STR(k, text_addr)
#define LOG_U64(k, n)          ((struct log_field){.key = (k), .kind = LOG_KIND_U64, .number = (n)})
#define LOG_I64(k, n)          ((struct log_field){.key = (k), .kind = LOG_KIND_I64, .number = (uint64_t)(int64_t)(n)})
#define LOG_BOOL(k, b)         ((struct log_field){.key = (k), .kind = LOG_KIND_BOOL, .number = (b)})
#define LOG_MS(k, ms)                                                                                        \
    ((struct log_field){.key = (k), .kind = LOG_KIND_MS, .number = (ms)}) /* took=12ms; JSON "took_ms":12 */
/* The second form of the event: `program` is a constant such as "postfix/smtpd", `message` was built with
 * log_compat_sanitize() for whatever a client can choose (settings/compat.h has the ready lines). At most one
 * per event. */
#define LOG_COMPAT(prog, message)                                                                            \
    ((struct log_field){.key = "compat", .kind = LOG_KIND_COMPAT, .text = (message), .program = (prog)})

#ifdef __cppcheck__ /* which does not know __VA_OPT__ */
#define LOG_FIELDS(...) NULL
#else
#define LOG_FIELDS(...) ((const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){.kind = LOG_KIND_END}})
#endif
#define log_event(level, event, ...) log_write(level, event, LOG_FIELDS(__VA_ARGS__))
#define log_debug(event, ...)        log_write(LOG_LEVEL_DEBUG, event, LOG_FIELDS(__VA_ARGS__))
#define log_info(event, ...)         log_write(LOG_LEVEL_INFO, event, LOG_FIELDS(__VA_ARGS__))
#define log_warn(event, ...)         log_write(LOG_LEVEL_WARN, event, LOG_FIELDS(__VA_ARGS__))
#define log_error(event, ...)        log_write(LOG_LEVEL_ERROR, event, LOG_FIELDS(__VA_ARGS__))

/* Once at the start of a process before it is confined, and again after a reload (the old descriptors stay
 * the caller's to close, a second later). `role` and `hostname` are copied. Without it events go to stderr as
 * text. */
void log_setup(const char *role, struct slice hostname, const struct log_output *outputs, size_t count);
/* Whether any output takes this level: skip costly preparations. */
bool log_wants(enum log_level level);
/* Lines left out because they repeated, since the start of the process. */
uint64_t log_suppressed(void);
void log_write(enum log_level level, const char *event, const struct log_field *fields);

/* The formatter alone, for tests and for `trace`: one line with its line feed into `line`; returns its
 * length, 0 when this format has no line for the event. */
struct log_head {
    const char *role, *hostname;
    int pid;
    uint64_t unix_ms, repeated;
};
size_t log_format_line(enum log_format format, const struct log_head *head, enum log_level level,
                       const char *event, const struct log_field *fields, char line[LOG_LINE_MAX]);

/* A client's bytes made safe for a postfix-style line: everything but printable ASCII without space [ ] < > ,
 * = becomes '?', and no more than `max` bytes. Writes no NUL; returns the length. */
size_t log_compat_sanitize(struct slice raw, char *out, size_t max);

#endif
