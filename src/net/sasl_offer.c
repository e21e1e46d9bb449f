/* sasl_offer.c: mechanisms per connection, channel bindings. The mechanism's name is a stranger's. Called by
 * the roles with logins. */
#include "net/sasl_offer.h"

#include "wire/wire.h"

bool sasl_offer_next(struct slice *names, bool binds, struct slice *mechanism)
{
    while (slice_token(names, ' ', mechanism))
        if (mechanism->len && (binds || !slice_ends(*mechanism, SLICE("-PLUS"))))
            return true;
    return false;
}

bool sasl_offer_has(struct slice names, bool binds, struct slice mechanism)
{
    struct slice name;
    while (sasl_offer_next(&names, binds, &name))
        if (slice_ieq(name, mechanism))
            return true;
    return false;
}

/* Without channel binding too: a client may say that it would have used it ("y"), had it been offered. */
void sasl_offer_bindings(const struct stream *stream, struct slice mechanism, struct buf *pairs)
{
    static const char *const types[] = {
        [STREAM_BINDING_EXPORTER] = "tls-exporter",
        [STREAM_BINDING_END_POINT] = "tls-server-end-point",
        [STREAM_BINDING_UNIQUE] = "tls-unique",
    };
    uint8_t data[STREAM_BINDING_MAX];
    if (!slice_istarts(mechanism, SLICE("SCRAM-")) || !stream_is_tls(stream))
        return;
    for (unsigned i = 0; i < sizeof types / sizeof *types; i++) {
        size_t len = stream_binding(stream, (enum stream_binding)i, data);
        if (len == 0)
            continue;
        wire_strings_add(pairs, slice_of(types[i]));
        wire_strings_add(pairs, slice_make(data, len));
    }
}
