/* fetch_section.h: where a section of a message lies in its file, and its content with the transfer encoding
 * undone. Shared by FETCH, CATENATE and URLFETCH. */
#ifndef IMAP_FETCH_SECTION_H
#define IMAP_FETCH_SECTION_H

#include "base/arena.h"
#include "grammar/imap_fetch.h"
#include "wire/facts.h"

#define FETCH_HEADER_MAX (4u << 20) /* octets of a header held in memory for HEADER.FIELDS */

/* A message whose file and facts are there. */
struct fetch_file {
    const struct facts *facts;
    int fd;
    uint64_t size;      /* of the file */
    uint64_t block_len; /* of our header block in front */
};

/* A run of the file. */
struct fetch_range {
    bool there; /* false: the message has no such section */
    uint64_t offset, len;
    enum facts_encoding encoding; /* of these octets */
    bool composite; /* of a part that holds others: multipart or message (RFC 2045 section 6.4) */
};

/* HEADER.FIELDS: the header they stand in. */
struct fetch_range fetch_section_range(const struct fetch_file *file, const struct imap_section *section);
/* partial = <offset.length>, clamped to what is there */
void fetch_section_cut(const struct imap_section *section, uint64_t *offset, uint64_t *len);

/* Whether the octets stand in the file as they are meant: no transfer encoding. */
bool fetch_range_is_plain(const struct fetch_range *range);
/* Whether BINARY can be answered: the encoding is one we know, and none where there must be none. */
bool fetch_range_decodes(const struct fetch_range *range) MUST_CHECK;

/* What a section is without its transfer encoding. */
struct fetch_decoded {
    int fd; /* a memfd with the octets that were asked for; -1: none wanted or none there */
    uint64_t size;
    bool nul; /* one of them is NUL */
};
/* The octets of `section`'s partial (with `keep`), or only how many there are of all. */
enum err fetch_decode(const struct fetch_file *file, const struct fetch_range *range,
                      const struct imap_section *section, bool keep, struct fetch_decoded *decoded,
                      struct why *why) MUST_CHECK;
/* The same number of octets with 0x80 for each NUL, which cannot stand in a literal (RFC 9051 section 4.3): a
 * memfd. */
enum err fetch_without_nul(const struct fetch_file *file, uint64_t offset, uint64_t len, int *fd,
                           struct why *why) MUST_CHECK;

/* Facts longer than a packet come in a memfd (`fd`, or -1). A copy of them, to be freed. */
bool fetch_take_facts(struct slice facts, int fd, uint8_t **bytes, size_t *len) MUST_CHECK;
/* The content of a section with its partial, whatever it takes, as a run of a descriptor: -1 when there is no
 * such section. `clean`: 0x80 for each NUL. */
enum err fetch_section_open(const struct fetch_file *file, const struct imap_section *section, bool clean,
                            int *fd, uint64_t *offset, uint64_t *len, struct why *why) MUST_CHECK;
/* HEADER.FIELDS and HEADER.FIELDS.NOT: copies the chosen fields of a header, each whole with its folded
 * lines. A blank line ends the header. */
void fetch_filter_fields(struct buf *out, const struct imap_section *section, struct slice header);

#endif
