/* urlkey.h: the keys of mailboxes that sign URLs (RFC 4467). On the account's strand. */
#ifndef STORE_URLKEY_H
#define STORE_URLKEY_H

#include "store/account.h"

#define URLKEY_LEN 32 /* octets of a key, and of what it makes of a text (HMAC-SHA256) */

/* Before the role is confined: the library's first use opens files. False: it does not work. */
bool urlkey_load(void) MUST_CHECK;
/* HMAC-SHA256 of `text` under the mailbox's key. A mailbox without one gets `fresh`, durably; with `fresh`
 * NULL that is ERR_ABSENT. */
enum err urlkey_sign(struct account *account, uint64_t mailbox, struct slice text, const uint8_t *fresh,
                     uint8_t mac[URLKEY_LEN], struct why *why) MUST_CHECK;
/* Nothing that was signed under the key of the mailbox (0: of any) is good any more. */
enum err urlkey_reset(struct account *account, uint64_t mailbox, struct why *why) MUST_CHECK;
/* The same inside a commit, when the mailbox goes. */
enum err urlkey_forget(struct account *account, uint64_t mailbox, struct why *why) MUST_CHECK;
/* In constant time. */
bool urlkey_equal(const uint8_t a[URLKEY_LEN], const uint8_t b[URLKEY_LEN]);

#endif
