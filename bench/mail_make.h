/* mail_make.h: messages as people have them, the same for the same number: what the IMAP benches fill every
 * server's mailboxes with. */
#ifndef BENCH_MAIL_MAKE_H
#define BENCH_MAIL_MAKE_H

#include <stddef.h>
#include <stdint.h>

#define MAIL_PEOPLE 500 /* correspondents; the first is PersonA0 <persona0@...> */
/* This word stands in the text of every thousandth message only. */
#define MAIL_RARE_WORD  "quetzalcoatl"
#define MAIL_RARE_EVERY 1000u

struct mail {
    char *text;
    size_t len, cap;
    uint64_t random;
    int64_t date; /* unix seconds, for INTERNALDATE too */
};

/* Makes message `number` in `mail`, whose memory is used again. A zeroed struct begins. */
void mail_make(struct mail *mail, uint32_t number);
void mail_free(struct mail *mail);
/* "21-Nov-2026 10:00:00 +0000" into `to`, at least 32 bytes. */
void mail_date_imap(int64_t date, char *to);

#endif
