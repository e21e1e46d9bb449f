/* bodystructure.h: BODYSTRUCTURE and BODY as ready IMAP text (RFC 3501 section 7.4.2, RFC 9051
 * section 7.5.2). Pure. */
#ifndef GRAMMAR_BODYSTRUCTURE_H
#define GRAMMAR_BODYSTRUCTURE_H

#include "base/buf.h"
#include "grammar/mime.h"

/* Of the ENVELOPE of a message inside another one. */
#define BODYSTRUCTURE_MAX_ADDRESSES 64
#define BODYSTRUCTURE_MAX_VALUE     (4 * 1024)

/* Appends the structure of the parsed `message`; `extended` gives BODYSTRUCTURE, otherwise BODY. A part that
 * could not be split is shown as application/octet-stream, so that the text stays well-formed. */
void bodystructure_write(const struct mime_part *root, struct slice message, bool extended, struct buf *out);

#endif
