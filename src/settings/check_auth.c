/* check_auth.c: keys about logins that do not fit each other. Called by check.c. */
#include "grammar/http_url.h"
#include "settings/check_inside.h"

static void check_introspection(struct check *c)
{
    const struct settings *s = c->settings;
    const struct slice *at = &s->auth.oauth.introspection.url;
    struct http_url url;
    struct why why;
    if (http_url_parse(*at, &url, &why))
        PROBLEM(c, PROBLEM_ERROR, at, "write https://id.example.org/introspect",
                "auth.oauth.introspection.url %s", why.text);
    else if (url.plain && url.address.family != NETADDR_NONE && !netaddr_is_private(&url.address))
        PROBLEM(c, PROBLEM_ERROR, at, "write https://, or an address of your own network",
                "auth.oauth.introspection.url: tokens would travel in the clear");
    if (!s->auth.oauth.introspection.client_id.len != !s->auth.oauth.introspection.secret_file.len)
        PROBLEM(c, PROBLEM_ERROR, at, "give both, or none",
                "auth.oauth.introspection: a login needs both client_id and secret_file");
    settings_check_file(c, &s->auth.oauth.introspection.secret_file, s->auth.oauth.introspection.secret_file,
                        "the secret for introspection");
}

void settings_check_auth(struct check *c)
{
    const struct settings *s = c->settings;
    bool keys = s->auth.oauth.keys_file.len, asks = s->auth.oauth.introspection.url.len;
    if (asks)
        check_introspection(c);
    else if (s->auth.oauth.introspection.client_id.len || s->auth.oauth.introspection.secret_file.len)
        PROBLEM(c, PROBLEM_WARNING, &s->auth.oauth.introspection, "add url",
                "auth.oauth.introspection has no effect without its url");
    if (keys && !s->auth.oauth.issuer.len)
        PROBLEM(c, PROBLEM_ERROR, &s->auth.oauth.keys_file, "add issuer: with the `iss` of its tokens",
                "auth.oauth: any token signed with these keys would do, whoever it was made for");
    if ((keys || asks) && s->auth.oauth.audiences.count == 0)
        PROBLEM(c, PROBLEM_WARNING, &s->auth.oauth,
                "add audiences: [ ... ] with the `aud` of tokens for this server",
                "auth.oauth takes tokens that were made for other services too");
    if (!keys && !asks && s->auth.oauth.issuer.len)
        PROBLEM(c, PROBLEM_WARNING, &s->auth.oauth.issuer, "add keys_file, or introspection with a url",
                "auth.oauth has no effect: no token can be checked");
    settings_check_file(c, &s->auth.oauth.keys_file, s->auth.oauth.keys_file, "the issuer's keys");
}
