/* add.h: messages come into an account: by delivery and by APPEND.
 *
 * Several that wait for the same account are committed together (add_commit); their files may have been
 * written before, by any thread (add_write). Those of one APPEND stand behind each other as a set: all of
 * them come in, or none (RFC 3502); with REPLACE another message goes in the same commit (RFC 8508).
 */
#ifndef STORE_ADD_H
#define STORE_ADD_H

#include "store/account.h"
#include "store/blob.h"

#define ADD_GROUP_MAX 64 /* messages in one commit */

/* A whole body and what scan found in it. */
struct add_body {
    int fd;
    uint64_t size;       /* as received */
    struct slice record; /* encoded facts without the text */
    const struct facts *facts;
};

struct addition {
    const struct add_body *body;
    struct slice header;   /* our header block */
    struct slice queue_id; /* empty: no delivery */
    struct slice mailbox;  /* empty: INBOX; a delivery to one that is not there goes to INBOX too */
    struct slice by;       /* who asks and needs the right to; empty: a delivery, which needs none */
    struct slice keywords; /* wire_strings */
    uint64_t flags;        /* system flags */
    uint32_t date;         /* INTERNALDATE */
    bool joined;           /* of one set with the one before it in the list */
    uint32_t replaces;     /* 0, or the UID in mailbox `replaces_in` that goes */
    uint64_t replaces_in;

    bool written; /* by add_write(): */
    uint64_t message;
    struct blob_made made;
    struct buf text; /* text_pack(); freed with addition_free() */

    enum err err; /* the result */
    struct refusal refusal;
    struct mailbox *target;
    uint32_t uid, uidvalidity;
    bool repeated; /* the same queue id was delivered before; uid and message are those of then */
};

/* Writes the message's file: durable with its name. Any thread, once the account is open. */
enum err add_write(struct account *account, struct addition *addition, struct why *why) MUST_CHECK;
/* Removes the file of one that was written and will not be committed. */
void add_drop(struct account *account, struct addition *addition);
/* On the strand: writes what is not written, commits all in one transaction. Each addition has its own
 * result; those of a set have the same.
 */
void add_commit(struct account *account, struct addition *const *additions, size_t count);
void addition_free(struct addition *addition);

#endif
