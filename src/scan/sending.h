/* sending.h: what sending a message on asks for: found beside its facts, not kept with them. */
#ifndef SCAN_SENDING_H
#define SCAN_SENDING_H

#include "base/buf.h"
#include "policy/dkim.h"
#include "wire/facts.h"

struct sending {
    bool eightbit;       /* bytes over 127 in the body: RFC 6152 */
    bool utf8_header;    /* in the header: RFC 6531 */
    bool can_sign;       /* the rest is set */
    uint64_t header_len; /* of the converted form, see seven_bit.h */
    uint8_t hash[DKIM_HASH_LEN];
    struct buf names, fields; /* struct dkim_summary's */
};

struct sending sending_new(void);
void sending_free(struct sending *sending);
/* About the message as it will be served: `received` without facts->cuts, behind facts->added. With `sign`
 * also what a DKIM signature covers; a header too long to be read whole, or one without From, cannot be
 * signed. */
void sending_fill(struct arena *arena, struct slice received, const struct facts *facts, bool sign,
                  struct sending *sending);
/* The same for a message that is served as it is. */
void sending_fill_whole(struct arena *arena, struct slice header, struct slice body, bool sign,
                        struct sending *sending);

#endif
