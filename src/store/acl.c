/* acl.c: access control lists of an account's mailboxes. Input: identifiers and rights of a peer, checked
 * here again. Called by the role's jobs, names.c and load.c. */
#include "store/acl.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static struct slice own(struct slice s)
{
    return slice_make(mem_dup(s.ptr, s.len), s.len);
}

void acl_free(struct acl **acl)
{
    struct acl *a = *acl;
    if (!a)
        return;
    for (size_t i = 0; i < a->count; i++)
        free((void *)(uintptr_t)a->entries[i].identifier.ptr);
    free(a);
    *acl = NULL;
}

static struct acl_entry *find(const struct acl *acl, struct slice identifier)
{
    for (size_t i = 0; acl && i < acl->count; i++)
        if (slice_eq(acl->entries[i].identifier, identifier))
            return (struct acl_entry *)(uintptr_t)&acl->entries[i];
    return NULL;
}

/* Is the identifier this account's, or everybody's? `negative`: with "-" in front. */
static bool names(struct slice identifier, struct slice who, bool negative)
{
    if (slice_starts(identifier, SLICE("-")) != negative)
        return false;
    if (negative)
        identifier = slice_from(identifier, 1);
    return slice_eq(identifier, who) || slice_eq(identifier, SLICE("anyone"));
}

uint32_t acl_rights(const struct acl *acl, struct slice owner, struct slice who)
{
    bool owns = !who.len || slice_eq(who, owner);
    if (owns)
        who = owner;
    uint32_t given = owns && !find(acl, owner) ? RIGHT_ALL : 0, taken = 0;
    for (size_t i = 0; acl && i < acl->count; i++) {
        const struct acl_entry *e = &acl->entries[i];
        given |= names(e->identifier, who, false) ? e->rights : 0;
        taken |= names(e->identifier, who, true) ? e->rights : 0;
    }
    return (given & ~taken) | (owns ? RIGHT_OWNER : 0);
}

uint64_t acl_flags(uint32_t rights)
{
    return (rights & RIGHT_SEEN ? IMAGE_SEEN : 0) | (rights & RIGHT_DELETED_FLAG ? IMAGE_DELETED : 0) |
           (rights & RIGHT_WRITE ? ~(uint64_t)(IMAGE_SEEN | IMAGE_DELETED) : 0);
}

const struct acl *acl_dup_in(struct arena *arena, const struct acl *acl)
{
    size_t count = acl ? acl->count : 0;
    struct acl *copy = arena_must(arena, sizeof *copy + count * sizeof *copy->entries);
    copy->count = count;
    for (size_t i = 0; i < count; i++)
        copy->entries[i] =
            (struct acl_entry){arena_dup(arena, acl->entries[i].identifier), acl->entries[i].rights};
    return copy;
}

struct acl *acl_dup(const struct acl *acl)
{
    size_t count = acl ? acl->count : 0;
    struct acl *copy = mem_zero(1, sizeof *copy + count * sizeof *copy->entries);
    copy->count = count;
    for (size_t i = 0; i < count; i++)
        copy->entries[i] = (struct acl_entry){own(acl->entries[i].identifier), acl->entries[i].rights};
    return copy;
}

/* ---- in memory ---- */

void acl_adopt(struct account *account, struct mailbox *m, struct slice identifier, uint32_t rights)
{
    struct acl_entry *e = find(m->acl, identifier);
    if (e) {
        e->rights = rights;
        return;
    }
    size_t count = m->acl ? m->acl->count : 0;
    m->acl = mem_realloc(m->acl, sizeof *m->acl + (count + 1) * sizeof *m->acl->entries);
    m->acl->entries[count] = (struct acl_entry){own(identifier), rights};
    m->acl->count = count + 1;
    account->acl_entries++;
}

static void take_out(struct account *account, struct mailbox *m, struct slice identifier)
{
    struct acl_entry *e = find(m->acl, identifier);
    if (!e)
        return;
    free((void *)(uintptr_t)e->identifier.ptr);
    *e = m->acl->entries[--m->acl->count];
    account->acl_entries--;
    if (!m->acl->count)
        acl_free(&m->acl);
}

void acl_drop(struct account *account, struct mailbox *m)
{
    account->acl_entries -= m->acl ? m->acl->count : 0;
    acl_free(&m->acl);
}

/* ---- changes ---- */

static enum err refuse(struct refusal *refusal, enum store_code code, const char *text)
{
    refusal->code = code;
    return err_set(&refusal->why, ERR_REFUSED, "%s", text);
}

static enum err save(struct account *account, uint64_t mailbox, struct slice identifier, uint32_t rights,
                     struct why *why)
{
    if (!rights)
        return db_run(account->db, "DELETE FROM acl WHERE mailbox = ? AND identifier = ?",
                      DB_ARGS(DB_U64(mailbox), DB_TEXT(identifier)), why);
    return db_run(account->db, "INSERT OR REPLACE INTO acl (mailbox, identifier, rights) VALUES (?, ?, ?)",
                  DB_ARGS(DB_U64(mailbox), DB_TEXT(identifier), DB_U64(rights)), why);
}

/* The owner is not in the list as long as it has all; to take rights away from that is to write the rest
 * down.
 */
static uint32_t rights_now(const struct account *account, const struct mailbox *m, struct slice identifier)
{
    const struct acl_entry *e = find(m->acl, identifier);
    if (e)
        return e->rights;
    return slice_eq(identifier, account->address) ? RIGHT_ALL : 0;
}

enum err acl_set(struct account *account, struct mailbox *m, struct slice identifier, enum acl_mode mode,
                 uint32_t rights, struct refusal *refusal)
{
    rights &= RIGHT_ALL;
    uint32_t now = rights_now(account, m, identifier);
    uint32_t next = mode == ACL_ADD      ? now | rights
                    : mode == ACL_REMOVE ? now & ~rights
                    : mode == ACL_DELETE ? 0
                                         : rights;
    bool owner = slice_eq(identifier, account->address);
    if (owner && mode != ACL_DELETE) /* without an entry it has all: its entry stays, whatever it holds */
        next |= RIGHT_OWNER;
    if (!imap_acl_identifier_is_valid(identifier))
        return refuse(refusal, STORE_CODE_CANNOT, "not an identifier");
    bool adds = next && !find(m->acl, identifier);
    if (adds && ((m->acl && m->acl->count >= ACL_ENTRIES_MAX) || account->acl_entries >= ACL_TOTAL_MAX))
        return refuse(refusal, STORE_CODE_LIMIT, "too many identifiers");
    enum err err = save(account, m->id, identifier, next, &refusal->why);
    if (err) {
        refusal->code = STORE_CODE_UNAVAILABLE;
        return err;
    }
    if (next)
        acl_adopt(account, m, identifier, next);
    else
        take_out(account, m, identifier);
    return ERR_OK;
}

enum err acl_inherit(struct account *account, const struct mailbox *from, struct mailbox *m, struct why *why)
{
    enum err err = ERR_OK;
    for (size_t i = 0; !err && from->acl && i < from->acl->count; i++) {
        const struct acl_entry *e = &from->acl->entries[i];
        err = save(account, m->id, e->identifier, e->rights, why);
        if (!err)
            acl_adopt(account, m, e->identifier, e->rights);
    }
    return err;
}

enum err acl_forget(struct account *account, uint64_t mailbox, struct why *why)
{
    return db_run(account->db, "DELETE FROM acl WHERE mailbox = ?", DB_ARGS(DB_U64(mailbox)), why);
}

/* ---- reading ---- */

enum err acl_load(struct account *account, struct why *why)
{
    struct db_rows rows;
    enum err err =
        db_query(account->db, "SELECT mailbox, identifier, rights FROM acl", DB_NO_ARGS, &rows, why);
    if (err)
        return err;
    account->acl_entries = 0;
    while (db_next(&rows)) {
        struct mailbox *m = account_mailbox_by_id(account, db_u64(&rows, 0));
        struct slice identifier = db_slice(&rows, 1);
        if (m && imap_acl_identifier_is_valid(identifier))
            acl_adopt(account, m, identifier, (uint32_t)db_u64(&rows, 2) & RIGHT_ALL);
    }
    return db_end(&rows, why);
}

void acl_list(const struct acl *acl, struct slice owner, struct buf *entries)
{
    wire_strings_add(entries, owner);
    const struct acl_entry *named = find(acl, owner);
    buf_add_varint(entries, named ? named->rights | RIGHT_OWNER : RIGHT_ALL);
    for (size_t i = 0; acl && i < acl->count; i++) {
        if (&acl->entries[i] == named)
            continue;
        wire_strings_add(entries, acl->entries[i].identifier);
        buf_add_varint(entries, acl->entries[i].rights);
    }
}

static int by_bytes(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

void acl_sharers(const struct account *account, struct buf *identifiers)
{
    struct slice *all = mem_alloc((account->acl_entries + 1) * sizeof *all);
    size_t count = 0, at = 0;
    const struct mailbox *m;
    while ((m = idmap_next(account->by_id, &at, NULL)))
        for (size_t i = 0; m->acl && i < m->acl->count; i++) {
            struct slice identifier = m->acl->entries[i].identifier;
            if (!slice_starts(identifier, SLICE("-")) && !slice_eq(identifier, account->address))
                all[count++] = identifier;
        }
    qsort(all, count, sizeof *all, by_bytes);
    for (size_t i = 0; i < count; i++)
        if (!i || !slice_eq(all[i], all[i - 1]))
            wire_strings_add(identifiers, all[i]);
    free(all);
}
