/* settings_auth.c: the part of the table about logins. */
#include "settings/tables.h"

#define I(member)                                                                                            \
    F(struct settings, auth.oauth.introspection.member) - offsetof(struct settings, auth.oauth.introspection)
static const struct conf_field introspection_fields[] = {
    {.name = "url",
     .kind = CONF_STRING,
     I(url),
     .help =
         "Where the issuer tells about a token (RFC 7662): asked about tokens that keys_file cannot verify.",
     .example = "https://id.example.org/oauth2/introspect"},
    {.name = "client_id",
     .kind = CONF_STRING,
     I(client_id),
     .help = "Our own login there.",
     .example = "rockdove"},
    {.name = "secret_file",
     .kind = CONF_STRING,
     I(secret_file),
     .help = "File with its secret.",
     .example = "/run/secrets/oauth_client"},
};
static const struct conf_table introspection_table = {
    introspection_fields, sizeof introspection_fields / sizeof *introspection_fields, 0, NULL};

#define O(member) F(struct settings, auth.oauth.member) - offsetof(struct settings, auth.oauth)
static const struct conf_field oauth_fields[] = {
    {.name = "issuer",
     .kind = CONF_STRING,
     O(issuer),
     .help = "Who makes the tokens: their claim `iss`.",
     .example = "https://id.example.org"},
    {.name = "audiences",
     .kind = CONF_LIST,
     O(audiences),
     .item = CONF_STRING,
     .help = "A token must be meant for one of these (`aud`); none given: for anybody.",
     .example = "[ rockdove ]"},
    {.name = "scopes",
     .kind = CONF_LIST,
     O(scopes),
     .item = CONF_STRING,
     .help = "What a token must allow (`scope`).",
     .example = "[ mail ]"},
    {.name = "user_claim",
     .kind = CONF_STRING,
     O(user_claim),
     .fallback = "email",
     .help = "The claim that holds the account's address."},
    {.name = "leeway",
     .kind = CONF_DURATION,
     O(leeway),
     .fallback = "30s",
     .max = HOUR,
     .help = "By which the issuer's clock may differ."},
    {.name = "keys_file",
     .kind = CONF_STRING,
     O(keys_file),
     .help = "The issuer's public keys, as a JWK Set or in PEM: tokens that are JSON Web Tokens are verified "
             "with "
             "them.",
     .example = "/etc/rockdove/oauth-keys.json"},
    {.name = "introspection", .kind = CONF_STRUCT, O(introspection), .table = &introspection_table},
};
static const struct conf_table oauth_table = {oauth_fields, sizeof oauth_fields / sizeof *oauth_fields, 0,
                                              NULL};

#define A(member) F(struct settings, auth.member) - offsetof(struct settings, auth)
static const struct conf_field auth_fields[] = {
    {.name = "workers",
     .kind = CONF_U64,
     A(workers),
     .fallback = "2",
     .min = 1,
     .max = 64,
     .help = "Passwords verified at once, each on a thread."},
    {.name = "memory",
     .kind = CONF_DURATION,
     A(memory),
     .fallback = "10m",
     .max = DAY,
     .help = "How long a verified password is remembered (as a keyed hash, in memory). 0: never."},
    {.name = "oauth", .kind = CONF_STRUCT, A(oauth), .table = &oauth_table},
};
const struct conf_table settings_auth_table = {auth_fields, sizeof auth_fields / sizeof *auth_fields, 0,
                                               NULL};
