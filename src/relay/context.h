/* context.h: the relay role's one context. */
#ifndef RELAY_CONTEXT_H
#define RELAY_CONTEXT_H

#include "relay/crowdsec.h"
#include "relay/dkim_check.h"
#include "relay/https.h"
#include "relay/identity.h"
#include "relay/introspect.h"
#include "relay/pool.h"
#include "relay/resolve.h"
#include "relay/secrets.h"
#include "relay/sts.h"
#include "relay/test_login.h"

struct relay {
    struct role_run *run;
    struct loop *loop;
    const struct settings *settings;
    struct tls_client *tls, *next_tls;
    struct secrets *secrets, *next_secrets;
    struct https *https;
    struct sts *sts;
    struct crowdsec *crowdsec;
    struct introspect *introspect;
    struct resolve *resolve;
    struct identity *identity;
    struct dkim_check *dkim_check;
    struct test_logins *tests;
    struct pool *pool;
    struct list jobs;
    size_t job_count;
    bool draining;
    struct loop_timer *drain;
};

#endif
