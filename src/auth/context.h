/* context.h: the one context of the auth role, and what its files ask of each other. Private to auth/. */
#ifndef AUTH_CONTEXT_H
#define AUTH_CONTEXT_H

#include "auth/accounts.h"
#include "auth/ban_role.h"
#include "auth/dkim.h"
#include "auth/door.h"
#include "auth/gateways.h"
#include "auth/memory.h"
#include "auth/sasl.h"
#include "auth/secrets.h"
#include "auth/verify.h"
#include "policy/srs.h"
#include "policy/token.h"
#include "role/role.h"
#include "settings/metrics.h"

#define AUTH_EXCHANGES_MAX 20000  /* logins under way, failed ones that wait out their delay among them */
#define AUTH_EXCHANGE_MS   120000 /* a client's time for one exchange */
/* A right password that took longer to verify is "try later": the network roles wait 60 s for an answer, and
 * nobody would ever end the grant of one that comes after that. Store or queue has AUTH_GRANT_MS of it. */
#define AUTH_ANSWER_MS  45000
#define AUTH_ARENA_MAX  (128u << 10) /* memory of one exchange: a token, its parts and its claims */
#define AUTH_GRANTS_MAX 100000
#define AUTH_GRANT_MS   10000 /* deadline of store and queue */
#define AUTH_STEPS_MAX  8

struct auth;
struct exchange;

/* ---- mechanisms.c: what each mechanism does with a message of the client ---- */

struct mechanism {
    const char *name;
    const char *greeting; /* the challenge when the client has sent nothing yet */
    bool binds;           /* to the TLS channel */
    void (*step)(struct exchange *x, struct slice data);
};
const struct mechanism *mechanism_find(struct slice name);
void mechanism_scram_done(void *ctx, enum err err);

/* ---- exchange.c: one login from WIRE_AUTH_BEGIN to its answer ---- */

struct exchange {
    struct list node; /* in auth->exchanges */
    struct auth *auth;
    struct arena *arena;
    uint64_t id;
    enum role peer;
    uint32_t epoch; /* of the peer's link */
    uint32_t request;
    enum auth_service service;
    uint32_t listener; /* index in settings */
    bool tls, trusted;
    bool busy;     /* a job or the answer of store or queue is awaited: must not be freed */
    bool gone;     /* the client is: end as soon as possible */
    bool waits;    /* for its delay: only the answer is left */
    bool repeated; /* the wrong password it sent before, too */
    unsigned steps;
    const struct mechanism *mechanism;
    struct slice client, session, user;
    uint64_t begun_ns;
    uint64_t asked_ms; /* when the peer asked what is not answered yet */
    struct loop_timer *timer;
    uint8_t tag[MEMORY_TAG_LEN];
    bool has_tag;
    struct slice verified_address, verified_secret; /* what the verification was made with */
    /* SCRAM */
    unsigned scram_state;
    struct sasl_scram_first scram_first;
    struct slice bindings; /* of the client's connection: pairs of type and data (wire_strings) */
    struct slice scram_nonce, scram_server_first, scram_channel;
    struct verify_proof proof;
    /* OAUTHBEARER, XOAUTH2 */
    struct slice token;
    bool token_refused; /* and the client was told: only its acknowledgement is missing */
    const char *why;    /* of a failure, for the log */
    uint64_t guess;     /* keyed hash of name and password; 0: the password was not shown */
    struct auth_grant *grant;
};

bool exchange_on_begin(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message);
bool exchange_on_step(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message);
bool exchange_on_cancel(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message);
/* What a mechanism asks for. Each ends the handling of the client's message. */
void exchange_challenge(struct exchange *x, struct slice challenge);
void exchange_malformed(struct exchange *x);
void exchange_password(struct exchange *x, struct slice user, struct slice password);
/* What tells another secret from the same once more (score_login()), and nothing else. `account` may be NULL.
 */
uint64_t exchange_guess(struct exchange *x, const struct account *account, struct slice secret);
/* Verified: a grant, then AUTH_OK. The account is looked up again: it may have changed meanwhile. */
void exchange_verified(struct exchange *x);
/* Wrong, whatever the reason: said after the delay, in one way for all reasons. */
void exchange_failed(struct exchange *x, const char *why);
void exchange_later(struct exchange *x, const char *text);
/* The peer is gone. */
void exchange_drop_peer(struct auth *auth, enum role peer);
void exchange_drop_all(struct auth *auth);
void exchange_free(struct exchange *x);
void exchange_answer(struct exchange *x, enum auth_status status, struct slice challenge, struct slice text);

/* ---- failure.c: log lines of a login, and its place in the metrics ---- */

/* Each logs and counts. */
void failure_log(const struct exchange *x);
void success_log(const struct exchange *x, struct slice account, bool remembered);
/* For what could not be decided. */
void login_count(enum auth_service service, enum metric_login result);

/* ---- grants.c: who acts for whom ---- */

struct auth_grant {
    struct grant grant;
    enum role holder, target;
    struct exchange *pending; /* the login that still waits for the target to have it; NULL later */
    bool counted;
    struct slice key; /* account NUL client: counts connections */
    size_t account_len;
    struct slice session;
    uint8_t text[];
};
struct auth_grants {
    struct map *alive;
    struct map *counts;
};
void auth_grants_init(struct auth_grants *grants);
void auth_grants_free(struct auth_grants *grants);
/* Connections of this account from this address. */
size_t auth_grants_count(const struct auth_grants *grants, struct slice account, struct slice client);
/* A new one; NULL when there are too many. `target` is the role that is to know it. */
struct auth_grant *auth_grants_new(struct auth_grants *grants, enum role holder, enum role target,
                                   struct slice account, struct slice client, struct slice session);
struct slice auth_grants_account(const struct auth_grant *grant);
void auth_grants_message(const struct auth_grant *grant, bool replay, struct wire_grant_add *message);
/* Ends it and tells its target; a login that waits for it has none any more. */
void auth_grants_drop(struct auth *auth, struct auth_grant *grant);
void auth_grants_drop_holder(struct auth *auth, enum role holder);
/* Those of accounts that are not in the table any more. */
void auth_grants_drop_removed(struct auth *auth);
/* The target was started anew: tells it everything. */
void auth_grants_replay(struct auth *auth, enum role target);
bool auth_grants_on_logout(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message);

/* ---- oauth.c: logins with access tokens ---- */

/* Are such logins configured, and possible? */
bool oauth_is_on(const struct auth *auth);
/* Reads the keys of the generation in use. */
void oauth_use(struct auth *auth);
void oauth_step_bearer(struct exchange *x, struct slice data);
void oauth_step_xoauth2(struct exchange *x, struct slice data);

/* ---- control.c ---- */

bool auth_control_on_command(void *ctx, struct ipc_link *link, struct ipc_packet *packet,
                             const void *message);

/* ---- srs_address.c ---- */

/* Reads the secrets of the generation in use. */
void srs_use(struct auth *auth);
/* WIRE_SRS. */
bool srs_on_address(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message);

/* ---- role.c ---- */

struct kept_row {
    struct slice address, hash, scram; /* heap */
};

struct auth {
    struct role_run *run;
    struct loop *loop;
    const struct settings *settings;
    struct secrets *secrets;
    struct loop_strand *strand; /* of everything on secrets.db after start */
    struct vec rows;            /* struct kept_row: secrets.db as it was read last */
    struct accounts *accounts, *next_accounts;
    uint64_t generation;
    struct memory *memory;
    struct verify *verify;
    struct idmap *by_id;
    struct list exchanges;
    size_t exchange_count;
    uint64_t next_exchange;
    uint32_t epochs[ROLE_COUNT];
    struct auth_grants grants;
    struct dkim_ring *dkim, *next_dkim;
    struct auth_door door;
    struct loop_pool *signers;
    struct srs_secrets srs;        /* slices of the file handed in */
    struct token_keys *token_keys; /* NULL: none */
    size_t tokens_asked;           /* that relay was asked about */
    struct auth_gateways gateways;
    struct auth_bans *bans;
    uint64_t answer_ms; /* AUTH_ANSWER_MS; a test sets less */
    bool draining;
};

/* Reads the rows of secrets.db; on the strand or before it is used. */
enum err auth_read_rows(struct secrets *secrets, struct vec *rows, struct why *why) MUST_CHECK;
void auth_free_rows(struct vec *rows);
/* secrets.db changed: takes the rows, builds the table anew, tells everybody. */
void auth_take_rows(struct auth *auth, struct vec *rows);

#endif
