/* wire.c: the table of all messages (who may send it to whom, its fields), and one coder for all of them.
 * Decodes what less trusted roles send; pure. */
#include "wire/wire.h"

#include <string.h>

enum kind { KIND_U32, KIND_U64, KIND_BYTES, KIND_GRANT };

struct field {
    uint8_t kind;
    uint16_t offset;
    uint32_t max; /* KIND_BYTES */
};

struct row {
    const char *name;
    uint32_t from, to; /* sets of roles; replies are not checked, they answer what was asked */
    uint16_t size;
    uint8_t count;
    const struct field *fields;
};

#define U32(s, f)                                                                                            \
    {                                                                                                        \
        KIND_U32, offsetof(struct s, f), 0                                                                   \
    }
#define U64(s, f)                                                                                            \
    {                                                                                                        \
        KIND_U64, offsetof(struct s, f), 0                                                                   \
    }
#define BYTES(s, f, max)                                                                                     \
    {                                                                                                        \
        KIND_BYTES, offsetof(struct s, f), max                                                               \
    }
#define GRANT(s)                                                                                             \
    {                                                                                                        \
        KIND_GRANT, offsetof(struct s, grant), 0                                                             \
    }
#define FIELDS(...)                                                                                          \
    (const struct field[])                                                                                   \
    {                                                                                                        \
        __VA_ARGS__                                                                                          \
    }
#define ROW(type, from, to, s, ...)                                                                          \
    [type] = {#s,                                                                                            \
              from,                                                                                          \
              to,                                                                                            \
              sizeof(struct s),                                                                              \
              sizeof(FIELDS(__VA_ARGS__)) / sizeof(struct field),                                            \
              FIELDS(__VA_ARGS__)}
#define EMPTY(type, from, to) [type] = {#type, from, to, 0, 0, NULL}

enum {
    SUP = 1 << ROLE_SUPERVISOR,
    DNS = 1 << ROLE_DNS,
    SCAN = 1 << ROLE_SCAN,
    STORE = 1 << ROLE_STORE,
    AUTH = 1 << ROLE_AUTH,
    QUEUE = 1 << ROLE_QUEUE,
    RELAY = 1 << ROLE_RELAY,
    SMTP = 1 << ROLE_SMTP,
    IMAP = 1 << ROLE_IMAP,
    HTTP = 1 << ROLE_HTTP,
    CTL = 1 << ROLE_CONTROL,
    ANY = SUP | DNS | SCAN | STORE | AUTH | QUEUE | RELAY | SMTP | IMAP | HTTP | CTL,
    ROLES = DNS | SCAN | STORE | AUTH | QUEUE | RELAY | SMTP | IMAP | HTTP
};

/* clang-format off: a table is read by its columns */
static const struct row table[WIRE_COUNT] = {
    ROW(WIRE_RESULT, ANY, ANY, wire_result, U32(wire_result, err), U32(wire_result, code),
        BYTES(wire_result, text, WIRE_TEXT_MAX)),

    ROW(WIRE_SUP_SETTINGS, SUP, ROLES, wire_sup_settings, U64(wire_sup_settings, generation)),
    ROW(WIRE_SUP_FILE, SUP, ROLES, wire_sup_file, U64(wire_sup_file, generation), U32(wire_sup_file, kind),
        U32(wire_sup_file, index), BYTES(wire_sup_file, path, 4096),
        BYTES(wire_sup_file, text, WIRE_TEXT_MAX)),
    ROW(WIRE_SUP_LISTENER, SUP, ROLES, wire_sup_listener, U64(wire_sup_listener, generation),
        U32(wire_sup_listener, index)),
    ROW(WIRE_SUP_LOG, SUP, ROLES, wire_sup_log, U64(wire_sup_log, generation), U32(wire_sup_log, index)),
    ROW(WIRE_SUP_METRICS, SUP, ROLES, wire_sup_metrics, U32(wire_sup_metrics, role)),
    ROW(WIRE_SUP_PEER, SUP, ROLES, wire_sup_peer, U32(wire_sup_peer, role)),
    ROW(WIRE_SUP_START, SUP, ROLES, wire_sup_phase, U64(wire_sup_phase, generation)),
    ROW(WIRE_SUP_PREPARE, SUP, ROLES, wire_sup_phase, U64(wire_sup_phase, generation)),
    ROW(WIRE_SUP_COMMIT, SUP, ROLES, wire_sup_phase, U64(wire_sup_phase, generation)),
    ROW(WIRE_SUP_ABORT, SUP, ROLES, wire_sup_phase, U64(wire_sup_phase, generation)),
    ROW(WIRE_SUP_DRAIN, SUP, ROLES, wire_sup_drain, U64(wire_sup_drain, ms)),
    EMPTY(WIRE_ROLE_READY, ROLES, SUP),
    ROW(WIRE_ROLE_PREPARED, ROLES, SUP, wire_role_prepared, U64(wire_role_prepared, generation),
        U32(wire_role_prepared, err), BYTES(wire_role_prepared, text, WIRE_TEXT_MAX)),
    EMPTY(WIRE_ROLE_DRAINED, ROLES, SUP),
    ROW(WIRE_ROLE_CONDEMN, ROLES, SUP, wire_role_condemn, U32(wire_role_condemn, role),
        BYTES(wire_role_condemn, text, WIRE_TEXT_MAX)),

    ROW(WIRE_AUTH_BEGIN, SMTP | IMAP | HTTP, AUTH, wire_auth_begin, U32(wire_auth_begin, service),
        U32(wire_auth_begin, listener), U32(wire_auth_begin, tls), U32(wire_auth_begin, has_initial),
        BYTES(wire_auth_begin, mechanism, 32), BYTES(wire_auth_begin, initial, 16384),
        BYTES(wire_auth_begin, client, 64), BYTES(wire_auth_begin, session, 64),
        BYTES(wire_auth_begin, bindings, 512)),
    ROW(WIRE_AUTH_STEP, SMTP | IMAP | HTTP, AUTH, wire_auth_step, U64(wire_auth_step, exchange),
        BYTES(wire_auth_step, data, 16384)),
    ROW(WIRE_AUTH_CANCEL, SMTP | IMAP | HTTP, AUTH, wire_auth_cancel, U64(wire_auth_cancel, exchange)),
    ROW(WIRE_AUTH_RESULT, AUTH, SMTP | IMAP | HTTP, wire_auth_result, U32(wire_auth_result, status),
        U32(wire_auth_result, repeated), U64(wire_auth_result, exchange),
        BYTES(wire_auth_result, challenge, 4096), BYTES(wire_auth_result, account, WIRE_NAME_MAX),
        GRANT(wire_auth_result), BYTES(wire_auth_result, text, WIRE_TEXT_MAX)),
    ROW(WIRE_AUTH_LOGOUT, SMTP | IMAP | HTTP, AUTH, wire_auth_logout, GRANT(wire_auth_logout)),
    ROW(WIRE_AUTH_MECHANISMS, AUTH, SMTP | IMAP | HTTP, wire_auth_mechanisms,
        BYTES(wire_auth_mechanisms, names, 256)),

    ROW(WIRE_GRANT_ADD, AUTH, STORE | QUEUE, wire_grant_add, GRANT(wire_grant_add),
        U32(wire_grant_add, holder), U32(wire_grant_add, replay),
        BYTES(wire_grant_add, account, WIRE_NAME_MAX), BYTES(wire_grant_add, session, 64)),
    ROW(WIRE_GRANT_DROP, AUTH, STORE | QUEUE, wire_grant_drop, GRANT(wire_grant_drop)),
    ROW(WIRE_GRANT_REPLAYED, AUTH, STORE | QUEUE, wire_grant_replayed, U32(wire_grant_replayed, count)),
    ROW(WIRE_ACCOUNTS, AUTH, QUEUE, wire_accounts, U64(wire_accounts, generation), U32(wire_accounts, count)),

    ROW(WIRE_QUEUE_MAIL, SMTP, QUEUE, wire_queue_mail, U64(wire_queue_mail, txn), GRANT(wire_queue_mail),
        U32(wire_queue_mail, listener), U32(wire_queue_mail, smtputf8), U32(wire_queue_mail, eightbit),
        U32(wire_queue_mail, requiretls), U32(wire_queue_mail, ret), U64(wire_queue_mail, size),
        BYTES(wire_queue_mail, sender, WIRE_NAME_MAX), BYTES(wire_queue_mail, envid, 256),
        BYTES(wire_queue_mail, client, 64), BYTES(wire_queue_mail, client_name, 256),
        BYTES(wire_queue_mail, helo, 256), BYTES(wire_queue_mail, protocol, 32),
        BYTES(wire_queue_mail, tls, 128), BYTES(wire_queue_mail, session, 64)),
    ROW(WIRE_QUEUE_RCPT, SMTP, QUEUE, wire_queue_rcpt, U64(wire_queue_rcpt, txn),
        U32(wire_queue_rcpt, notify), BYTES(wire_queue_rcpt, address, WIRE_NAME_MAX),
        BYTES(wire_queue_rcpt, orcpt, WIRE_NAME_MAX)),
    ROW(WIRE_QUEUE_COMMIT, SMTP, QUEUE, wire_queue_commit, U64(wire_queue_commit, txn),
        U64(wire_queue_commit, body)),
    ROW(WIRE_QUEUE_RESET, SMTP, QUEUE, wire_queue_reset, U64(wire_queue_reset, txn)),
    ROW(WIRE_SMTP_REPLY, QUEUE, SMTP, wire_smtp_reply, U32(wire_smtp_reply, code),
        BYTES(wire_smtp_reply, enhanced, 16), BYTES(wire_smtp_reply, text, WIRE_TEXT_MAX),
        BYTES(wire_smtp_reply, id, 32)),

    ROW(WIRE_BODY_CHUNK, SMTP | IMAP | QUEUE, STORE, wire_body_chunk, U64(wire_body_chunk, body),
        U32(wire_body_chunk, flags), U32(wire_body_chunk, kind), BYTES(wire_body_chunk, data, WIRE_BLOB_MAX)),
    ROW(WIRE_BODY_DONE, STORE, SMTP | IMAP | QUEUE, wire_body_done, U32(wire_body_done, err),
        U64(wire_body_done, size), U32(wire_body_done, hops), BYTES(wire_body_done, text, WIRE_TEXT_MAX)),
    ROW(WIRE_BODY_DROP, SMTP | IMAP | QUEUE, STORE, wire_body_drop, U64(wire_body_drop, body)),
    ROW(WIRE_SCAN_TASK, STORE, SCAN, wire_scan_task, U32(wire_scan_task, kind), U64(wire_scan_task, size),
        BYTES(wire_scan_task, hostname, 256), BYTES(wire_scan_task, date, 64),
        BYTES(wire_scan_task, message_id, 320)),
    ROW(WIRE_SCAN_FACTS, SCAN, STORE, wire_scan_facts, U32(wire_scan_facts, err),
        U32(wire_scan_facts, eightbit), U32(wire_scan_facts, utf8_header), U64(wire_scan_facts, header_len),
        BYTES(wire_scan_facts, facts, WIRE_BLOB_MAX), BYTES(wire_scan_facts, dkim_hash, 32),
        BYTES(wire_scan_facts, dkim_names, 1024), BYTES(wire_scan_facts, dkim_fields, WIRE_FIELDS_MAX),
        BYTES(wire_scan_facts, text, WIRE_TEXT_MAX)),

    ROW(WIRE_BODY_INFO, QUEUE, STORE, wire_body_info, U64(wire_body_info, body)),
    ROW(WIRE_BODY_FACTS, STORE, QUEUE, wire_body_facts, U32(wire_body_facts, err), U64(wire_body_facts, size),
        U32(wire_body_facts, hops), U32(wire_body_facts, eightbit), U32(wire_body_facts, utf8_header),
        BYTES(wire_body_facts, from, 16384), BYTES(wire_body_facts, delivered_to, 16384),
        BYTES(wire_body_facts, message_id, 2048), BYTES(wire_body_facts, subject, WIRE_TEXT_MAX),
        BYTES(wire_body_facts, dkim_hash, 32), BYTES(wire_body_facts, dkim_names, 1024),
        BYTES(wire_body_facts, dkim_fields, WIRE_FIELDS_MAX)),
    ROW(WIRE_DELIVER, QUEUE, STORE, wire_deliver, BYTES(wire_deliver, queue_id, 32), U64(wire_deliver, body),
        U32(wire_deliver, keep), BYTES(wire_deliver, account, WIRE_NAME_MAX),
        BYTES(wire_deliver, mailbox, WIRE_MAILBOX_MAX), BYTES(wire_deliver, header, WIRE_HEADER_MAX),
        BYTES(wire_deliver, session, 64)),
    ROW(WIRE_DELIVERED, STORE, QUEUE, wire_delivered, U32(wire_delivered, err), U32(wire_delivered, code),
        U32(wire_delivered, uid), U64(wire_delivered, message), BYTES(wire_delivered, text, WIRE_TEXT_MAX)),
    ROW(WIRE_QUEUE_FILE_PUT, QUEUE, STORE, wire_queue_file, BYTES(wire_queue_file, queue_id, 32),
        U64(wire_queue_file, body)),
    ROW(WIRE_QUEUE_FILE_DROP, QUEUE, STORE, wire_queue_file, BYTES(wire_queue_file, queue_id, 32),
        U64(wire_queue_file, body)),
    ROW(WIRE_QUEUE_FILES, QUEUE, STORE, wire_queue_files, U32(wire_queue_files, more),
        BYTES(wire_queue_files, before, 32), BYTES(wire_queue_files, ids, WIRE_BLOB_MAX)),
    ROW(WIRE_QUEUE_FILE_OPEN, QUEUE, STORE, wire_queue_file_open, BYTES(wire_queue_file_open, queue_id, 32),
        U32(wire_queue_file_open, seven_bit)),
    ROW(WIRE_QUEUE_FILE_FD, STORE, QUEUE, wire_queue_file_fd, U32(wire_queue_file_fd, err),
        U64(wire_queue_file_fd, size), U64(wire_queue_file_fd, header_len),
        BYTES(wire_queue_file_fd, dkim_hash, 32), BYTES(wire_queue_file_fd, dkim_names, 1024),
        BYTES(wire_queue_file_fd, dkim_fields, WIRE_FIELDS_MAX),
        BYTES(wire_queue_file_fd, text, WIRE_TEXT_MAX)),
    ROW(WIRE_QUOTA_CHECK, QUEUE, STORE, wire_quota_check, BYTES(wire_quota_check, account, WIRE_NAME_MAX),
        U64(wire_quota_check, size)),
    ROW(WIRE_STORE_STATE, STORE, QUEUE | IMAP, wire_store_state, U32(wire_store_state, space_low)),

    ROW(WIRE_MBOX_LIST, IMAP | HTTP, STORE, wire_mbox_list, GRANT(wire_mbox_list)),
    ROW(WIRE_MBOX_ROWS, STORE, IMAP | HTTP, wire_mbox_rows, U32(wire_mbox_rows, err),
        U32(wire_mbox_rows, code), BYTES(wire_mbox_rows, rows, WIRE_BLOB_MAX),
        BYTES(wire_mbox_rows, text, WIRE_TEXT_MAX)),
    ROW(WIRE_MBOX_STATUS, IMAP | HTTP, STORE, wire_mbox_name, GRANT(wire_mbox_name),
        BYTES(wire_mbox_name, name, WIRE_MAILBOX_MAX)),
    ROW(WIRE_MBOX_CREATE, IMAP | HTTP, STORE, wire_mbox_create, GRANT(wire_mbox_create),
        U32(wire_mbox_create, special_use), BYTES(wire_mbox_create, name, WIRE_MAILBOX_MAX)),
    ROW(WIRE_MBOX_DELETE, IMAP | HTTP, STORE, wire_mbox_name, GRANT(wire_mbox_name),
        BYTES(wire_mbox_name, name, WIRE_MAILBOX_MAX)),
    ROW(WIRE_MBOX_RENAME, IMAP | HTTP, STORE, wire_mbox_rename, GRANT(wire_mbox_rename),
        BYTES(wire_mbox_rename, from, WIRE_MAILBOX_MAX), BYTES(wire_mbox_rename, to, WIRE_MAILBOX_MAX)),
    ROW(WIRE_MBOX_SUBSCRIBE, IMAP | HTTP, STORE, wire_mbox_subscribe, GRANT(wire_mbox_subscribe),
        U32(wire_mbox_subscribe, on), BYTES(wire_mbox_subscribe, name, WIRE_MAILBOX_MAX)),
    ROW(WIRE_MBOX_SELECT, IMAP | HTTP, STORE, wire_mbox_select, GRANT(wire_mbox_select),
        U32(wire_mbox_select, read_only), U64(wire_mbox_select, mailbox),
        BYTES(wire_mbox_select, name, WIRE_MAILBOX_MAX)),
    ROW(WIRE_MBOX_SELECTED, STORE, IMAP | HTTP, wire_mbox_selected, U32(wire_mbox_selected, err),
        U32(wire_mbox_selected, code), U64(wire_mbox_selected, watch), U64(wire_mbox_selected, mailbox),
        U64(wire_mbox_selected, modseq), U32(wire_mbox_selected, uidvalidity),
        U32(wire_mbox_selected, uidnext), U32(wire_mbox_selected, recent_from),
        U32(wire_mbox_selected, rights), U32(wire_mbox_selected, tag),
        BYTES(wire_mbox_selected, text, WIRE_TEXT_MAX)),
    ROW(WIRE_MBOX_UNSELECT, IMAP | HTTP, STORE, wire_mbox_unselect, GRANT(wire_mbox_unselect),
        U64(wire_mbox_unselect, watch), U32(wire_mbox_unselect, read_only)),
    ROW(WIRE_MBOX_CHANGED, STORE, IMAP | HTTP, wire_mbox_changed, U64(wire_mbox_changed, watch),
        U64(wire_mbox_changed, modseq), U32(wire_mbox_changed, gone),
        BYTES(wire_mbox_changed, lost, WIRE_NAME_MAX)),
    ROW(WIRE_FACTS_GET, IMAP | HTTP, STORE, wire_facts_get, GRANT(wire_facts_get), U64(wire_facts_get, watch),
        U32(wire_facts_get, want), BYTES(wire_facts_get, messages, WIRE_BLOB_MAX)),
    ROW(WIRE_FACTS_ROWS, STORE, IMAP | HTTP, wire_facts_rows, U32(wire_facts_rows, err),
        U32(wire_facts_rows, code), BYTES(wire_facts_rows, rows, WIRE_BLOB_MAX),
        BYTES(wire_facts_rows, text, WIRE_TEXT_MAX)),
    ROW(WIRE_BODY_OPEN, IMAP | HTTP, STORE, wire_body_open, GRANT(wire_body_open), U64(wire_body_open, watch),
        BYTES(wire_body_open, messages, WIRE_OPEN_MAX * 8)),
    ROW(WIRE_BODY_FILE, STORE, IMAP | HTTP, wire_body_file, U32(wire_body_file, err),
        U32(wire_body_file, code), U64(wire_body_file, size), U32(wire_body_file, header_len),
        BYTES(wire_body_file, facts, WIRE_BLOB_MAX), BYTES(wire_body_file, text, WIRE_TEXT_MAX)),
    ROW(WIRE_FLAGS_STORE, IMAP | HTTP, STORE, wire_flags_store, GRANT(wire_flags_store),
        U64(wire_flags_store, watch), U64(wire_flags_store, told), U32(wire_flags_store, mode),
        U32(wire_flags_store, conditional), U64(wire_flags_store, unchanged_since),
        U64(wire_flags_store, flags), BYTES(wire_flags_store, keywords, 4096),
        BYTES(wire_flags_store, uids, WIRE_BLOB_MAX)),
    ROW(WIRE_FLAGS_STORED, STORE, IMAP | HTTP, wire_flags_stored, U32(wire_flags_stored, err),
        U32(wire_flags_stored, code), U32(wire_flags_stored, overtaken), U64(wire_flags_stored, modseq),
        BYTES(wire_flags_stored, modified, WIRE_BLOB_MAX), BYTES(wire_flags_stored, text, WIRE_TEXT_MAX)),
    ROW(WIRE_EXPUNGE, IMAP | HTTP, STORE, wire_expunge, GRANT(wire_expunge), U64(wire_expunge, watch),
        BYTES(wire_expunge, uids, WIRE_BLOB_MAX)),
    ROW(WIRE_REMOVE, IMAP | HTTP, STORE, wire_remove, GRANT(wire_remove), U64(wire_remove, watch),
        BYTES(wire_remove, uids, WIRE_BLOB_MAX)),
    ROW(WIRE_EXPUNGED, STORE, IMAP | HTTP, wire_expunged, U32(wire_expunged, err), U32(wire_expunged, code),
        U64(wire_expunged, modseq), U32(wire_expunged, count), BYTES(wire_expunged, text, WIRE_TEXT_MAX)),
    ROW(WIRE_COPY, IMAP | HTTP, STORE, wire_copy, GRANT(wire_copy), U64(wire_copy, watch),
        U32(wire_copy, move), U32(wire_copy, expect), BYTES(wire_copy, target, WIRE_MAILBOX_MAX),
        BYTES(wire_copy, uids, WIRE_BLOB_MAX)),
    ROW(WIRE_COPIED, STORE, IMAP | HTTP, wire_copied, U32(wire_copied, err), U32(wire_copied, code),
        U32(wire_copied, uidvalidity), BYTES(wire_copied, source, WIRE_BLOB_MAX / 2),
        BYTES(wire_copied, target, WIRE_BLOB_MAX / 2), BYTES(wire_copied, text, WIRE_TEXT_MAX)),
    ROW(WIRE_APPEND, IMAP | HTTP, STORE, wire_append, GRANT(wire_append), U64(wire_append, watch),
        U32(wire_append, replaces), BYTES(wire_append, mailbox, WIRE_MAILBOX_MAX),
        BYTES(wire_append, messages, WIRE_BLOB_MAX)),
    ROW(WIRE_APPENDED, STORE, IMAP | HTTP, wire_appended, U32(wire_appended, err), U32(wire_appended, code),
        U32(wire_appended, uidvalidity), U32(wire_appended, uid), BYTES(wire_appended, text, WIRE_TEXT_MAX)),
    ROW(WIRE_CANCEL, IMAP | HTTP, STORE, wire_cancel, U32(wire_cancel, request)),
    ROW(WIRE_SEARCH, IMAP | HTTP, STORE, wire_search, GRANT(wire_search), U64(wire_search, watch),
        U32(wire_search, max_uid), BYTES(wire_search, program, WIRE_BLOB_MAX)),
    ROW(WIRE_SEARCHED, STORE, IMAP | HTTP, wire_searched, U32(wire_searched, err), U32(wire_searched, code),
        U64(wire_searched, modseq), BYTES(wire_searched, uids, WIRE_BLOB_MAX),
        BYTES(wire_searched, text, WIRE_TEXT_MAX)),
    ROW(WIRE_SORT, IMAP | HTTP, STORE, wire_sort, GRANT(wire_sort), U64(wire_sort, watch),
        U32(wire_sort, max_uid), BYTES(wire_sort, keys, 16), BYTES(wire_sort, program, WIRE_BLOB_MAX),
        BYTES(wire_sort, strict, WIRE_STRICT_MAX)),
    ROW(WIRE_THREAD, IMAP | HTTP, STORE, wire_thread, GRANT(wire_thread), U64(wire_thread, watch),
        U32(wire_thread, max_uid), U32(wire_thread, algorithm), BYTES(wire_thread, program, WIRE_BLOB_MAX)),
    ROW(WIRE_ARRANGED, STORE, IMAP | HTTP, wire_arranged, U32(wire_arranged, err), U32(wire_arranged, code),
        U64(wire_arranged, modseq), BYTES(wire_arranged, list, WIRE_BLOB_MAX),
        BYTES(wire_arranged, text, WIRE_TEXT_MAX)),
    ROW(WIRE_VANISHED_GET, IMAP | HTTP, STORE, wire_vanished_get, GRANT(wire_vanished_get),
        U64(wire_vanished_get, watch), U64(wire_vanished_get, modseq)),
    ROW(WIRE_VANISHED, STORE, IMAP | HTTP, wire_vanished, U32(wire_vanished, err), U32(wire_vanished, code),
        BYTES(wire_vanished, uids, WIRE_BLOB_MAX), BYTES(wire_vanished, text, WIRE_TEXT_MAX)),
    ROW(WIRE_SAVED_GET, IMAP | HTTP, STORE, wire_saved_get, GRANT(wire_saved_get),
        U64(wire_saved_get, watch)),
    ROW(WIRE_SAVED, STORE, IMAP | HTTP, wire_saved, U32(wire_saved, err), U32(wire_saved, code),
        BYTES(wire_saved, ranges, WIRE_BLOB_MAX), BYTES(wire_saved, text, WIRE_TEXT_MAX)),
    ROW(WIRE_QUOTA_GET, IMAP | HTTP, STORE, wire_quota_get, GRANT(wire_quota_get)),
    ROW(WIRE_QUOTA, STORE, IMAP | HTTP, wire_quota, U32(wire_quota, err), U32(wire_quota, code),
        U64(wire_quota, used_bytes), U64(wire_quota, limit_bytes), U64(wire_quota, used_messages),
        U64(wire_quota, limit_messages), BYTES(wire_quota, text, WIRE_TEXT_MAX)),
    ROW(WIRE_URL_OPEN, IMAP, STORE, wire_url_open, GRANT(wire_url_open), U32(wire_url_open, uidvalidity),
        U32(wire_url_open, uid), BYTES(wire_url_open, mailbox, WIRE_MAILBOX_MAX)),
    ROW(WIRE_URL_FETCH, IMAP, STORE, wire_url_fetch, GRANT(wire_url_fetch),
        BYTES(wire_url_fetch, url, WIRE_URL_MAX)),
    ROW(WIRE_URL_SIGN, IMAP, STORE, wire_url_sign, GRANT(wire_url_sign),
        BYTES(wire_url_sign, rump, WIRE_URL_MAX)),
    ROW(WIRE_URL_SIGNED, STORE, IMAP, wire_url_signed, U32(wire_url_signed, err), U32(wire_url_signed, code),
        BYTES(wire_url_signed, token, WIRE_TOKEN_MAX), BYTES(wire_url_signed, text, WIRE_TEXT_MAX)),
    ROW(WIRE_URL_RESET, IMAP, STORE, wire_url_reset, GRANT(wire_url_reset),
        BYTES(wire_url_reset, mailbox, WIRE_MAILBOX_MAX)),
    ROW(WIRE_QUOTA_SET, IMAP | HTTP, STORE, wire_quota_set, GRANT(wire_quota_set), U64(wire_quota_set, bytes),
        U64(wire_quota_set, messages)),
    ROW(WIRE_METADATA_GET, IMAP | HTTP, STORE, wire_metadata_get, GRANT(wire_metadata_get),
        U32(wire_metadata_get, every), U32(wire_metadata_get, depth), U64(wire_metadata_get, max_size),
        BYTES(wire_metadata_get, mailbox, WIRE_MAILBOX_MAX),
        BYTES(wire_metadata_get, entries, WIRE_BLOB_MAX)),
    ROW(WIRE_METADATA_ROWS, STORE, IMAP | HTTP, wire_metadata_rows, U32(wire_metadata_rows, err),
        U32(wire_metadata_rows, code), U64(wire_metadata_rows, longest),
        BYTES(wire_metadata_rows, rows, WIRE_BLOB_MAX), BYTES(wire_metadata_rows, text, WIRE_TEXT_MAX)),
    ROW(WIRE_METADATA_SET, IMAP | HTTP, STORE, wire_metadata_set, GRANT(wire_metadata_set),
        BYTES(wire_metadata_set, mailbox, WIRE_MAILBOX_MAX),
        BYTES(wire_metadata_set, changes, WIRE_BLOB_MAX)),
    ROW(WIRE_ACL_GET, IMAP | HTTP, STORE, wire_acl_get, GRANT(wire_acl_get), U32(wire_acl_get, own),
        BYTES(wire_acl_get, mailbox, WIRE_MAILBOX_MAX)),
    ROW(WIRE_ACL, STORE, IMAP | HTTP, wire_acl, U32(wire_acl, err), U32(wire_acl, code),
        U32(wire_acl, rights), BYTES(wire_acl, owner, WIRE_NAME_MAX), BYTES(wire_acl, entries, WIRE_BLOB_MAX),
        BYTES(wire_acl, text, WIRE_TEXT_MAX)),
    ROW(WIRE_ACL_SET, IMAP | HTTP, STORE, wire_acl_set, GRANT(wire_acl_set), U32(wire_acl_set, mode),
        U32(wire_acl_set, rights), BYTES(wire_acl_set, mailbox, WIRE_MAILBOX_MAX),
        BYTES(wire_acl_set, identifier, WIRE_NAME_MAX)),
    ROW(WIRE_MBOX_LISTEN, IMAP | HTTP, STORE, wire_mbox_listen, GRANT(wire_mbox_listen),
        U32(wire_mbox_listen, others)),
    ROW(WIRE_MBOX_LISTENING, STORE, IMAP | HTTP, wire_mbox_listening, U32(wire_mbox_listening, err),
        U32(wire_mbox_listening, code), U64(wire_mbox_listening, watch),
        BYTES(wire_mbox_listening, text, WIRE_TEXT_MAX)),
    ROW(WIRE_MBOX_EVENTS, STORE, IMAP | HTTP, wire_mbox_events, GRANT(wire_mbox_events),
        U64(wire_mbox_events, watch), U32(wire_mbox_events, lost),
        BYTES(wire_mbox_events, rows, WIRE_BLOB_MAX)),

    ROW(WIRE_DKIM_KEYS, AUTH, QUEUE, wire_dkim_keys, U32(wire_dkim_keys, more),
        BYTES(wire_dkim_keys, keys, WIRE_BLOB_MAX)),
    ROW(WIRE_DKIM_SIGN, QUEUE, AUTH, wire_dkim_sign, U64(wire_dkim_sign, time),
        BYTES(wire_dkim_sign, domain, 256), BYTES(wire_dkim_sign, selectors, 1024),
        BYTES(wire_dkim_sign, hash, 32), BYTES(wire_dkim_sign, names, 1024),
        BYTES(wire_dkim_sign, fields, WIRE_FIELDS_MAX)),
    ROW(WIRE_DKIM_SIGNED, AUTH, QUEUE, wire_dkim_signed, U32(wire_dkim_signed, err),
        BYTES(wire_dkim_signed, header, WIRE_HEADER_MAX), BYTES(wire_dkim_signed, text, WIRE_TEXT_MAX)),
    ROW(WIRE_SRS, QUEUE, AUTH, wire_srs, U32(wire_srs, reverse), BYTES(wire_srs, address, WIRE_NAME_MAX)),
    ROW(WIRE_SRS_ADDRESS, AUTH, QUEUE, wire_srs_address, U32(wire_srs_address, err),
        BYTES(wire_srs_address, address, WIRE_NAME_MAX), BYTES(wire_srs_address, text, WIRE_TEXT_MAX)),

    ROW(WIRE_RELAY_SEND, QUEUE, RELAY, wire_relay_send, U32(wire_relay_send, route),
        U32(wire_relay_send, relay), U32(wire_relay_send, port), U32(wire_relay_send, no_mx),
        U32(wire_relay_send, smtputf8), U32(wire_relay_send, eightbit), U32(wire_relay_send, requiretls),
        U32(wire_relay_send, ret), U64(wire_relay_send, size), BYTES(wire_relay_send, host, 256),
        BYTES(wire_relay_send, sender, WIRE_NAME_MAX), BYTES(wire_relay_send, envid, 256),
        BYTES(wire_relay_send, prefix, WIRE_HEADER_MAX), BYTES(wire_relay_send, recipients, 40000),
        BYTES(wire_relay_send, queue_id, 32), BYTES(wire_relay_send, session, 64)),
    ROW(WIRE_RELAY_SENT, RELAY, QUEUE, wire_relay_sent, U32(wire_relay_sent, scope),
        U32(wire_relay_sent, slow_down), U32(wire_relay_sent, dsn), U32(wire_relay_sent, reused),
        U32(wire_relay_sent, lookup_ms), U32(wire_relay_sent, connect_ms), U32(wire_relay_sent, session_ms),
        U32(wire_relay_sent, data_ms), BYTES(wire_relay_sent, results, WIRE_BLOB_MAX),
        BYTES(wire_relay_sent, remote, 256), BYTES(wire_relay_sent, address, 64),
        BYTES(wire_relay_sent, tls, 128), BYTES(wire_relay_sent, policy, 32),
        BYTES(wire_relay_sent, tls_result, 64)),
    ROW(WIRE_RELAY_FORGET, QUEUE, RELAY, wire_relay_forget, BYTES(wire_relay_forget, host, 256)),
    ROW(WIRE_RELAY_SECRET_CHANGED, RELAY, QUEUE, wire_relay_secret_changed,
        U32(wire_relay_secret_changed, relay)),
    ROW(WIRE_RELAY_TEST, QUEUE, RELAY, wire_relay_test, U32(wire_relay_test, relay),
        U32(wire_relay_test, json), U64(wire_relay_test, size), BYTES(wire_relay_test, sender, WIRE_NAME_MAX),
        BYTES(wire_relay_test, to, WIRE_NAME_MAX)),
    ROW(WIRE_DKIM_CHECK, QUEUE, RELAY, wire_dkim_check, BYTES(wire_dkim_check, domain, 256),
        BYTES(wire_dkim_check, selector, 256)),
    ROW(WIRE_DKIM_PUBLISHED, RELAY, QUEUE, wire_dkim_published, U32(wire_dkim_published, status),
        U32(wire_dkim_published, forbids), BYTES(wire_dkim_published, algorithm, 32),
        BYTES(wire_dkim_published, key, 4096)),

    ROW(WIRE_DNS_QUERY, SMTP | SCAN | RELAY, DNS, wire_dns_query, U32(wire_dns_query, rrtype),
        BYTES(wire_dns_query, name, 256)),
    ROW(WIRE_DNS_ANSWER, DNS, SMTP | SCAN | RELAY, wire_dns_answer, U32(wire_dns_answer, status),
        U32(wire_dns_answer, secure), U32(wire_dns_answer, ttl), BYTES(wire_dns_answer, canonical, 256),
        BYTES(wire_dns_answer, records, WIRE_BLOB_MAX)),

    ROW(WIRE_OFFENCE, SMTP | IMAP | HTTP, AUTH, wire_offence, U32(wire_offence, kind),
        U32(wire_offence, count), U32(wire_offence, listener), BYTES(wire_offence, client, 16),
        BYTES(wire_offence, detail, WIRE_TEXT_MAX), BYTES(wire_offence, session, 64)),
    ROW(WIRE_BAN_LIST, AUTH, SMTP | IMAP | HTTP, wire_ban_list, U32(wire_ban_list, count)),
    ROW(WIRE_DOOR_SAVE, SMTP, AUTH, wire_door_save, U32(wire_door_save, flags),
        BYTES(wire_door_save, data, WIRE_BLOB_MAX)),
    ROW(WIRE_DOOR_SAVED, AUTH, SMTP, wire_door_save, U32(wire_door_save, flags),
        BYTES(wire_door_save, data, WIRE_BLOB_MAX)),
    ROW(WIRE_GATEWAY_SEEN, SMTP, AUTH, wire_gateway_seen, U32(wire_gateway_seen, names),
        U32(wire_gateway_seen, listener), BYTES(wire_gateway_seen, client, 16)),
    ROW(WIRE_DECISIONS, RELAY, AUTH, wire_decisions, U32(wire_decisions, flags),
        BYTES(wire_decisions, entries, WIRE_BLOB_MAX)),
    ROW(WIRE_BAN_REPORT, AUTH, RELAY, wire_ban_report, U32(wire_ban_report, simulated),
        U32(wire_ban_report, events), U64(wire_ban_report, begun), U64(wire_ban_report, ended),
        U64(wire_ban_report, seconds), BYTES(wire_ban_report, address, 64),
        BYTES(wire_ban_report, scenario, 128), BYTES(wire_ban_report, message, WIRE_TEXT_MAX)),

    ROW(WIRE_TOKEN_CHECK, AUTH, RELAY, wire_token_check, BYTES(wire_token_check, token, 12000)),
    ROW(WIRE_TOKEN_CHECKED, RELAY, AUTH, wire_token_checked, U32(wire_token_checked, err),
        BYTES(wire_token_checked, claims, 16384), BYTES(wire_token_checked, text, WIRE_TEXT_MAX)),

    ROW(WIRE_CONTROL, CTL | QUEUE, QUEUE | AUTH | STORE | SUP, wire_control, U32(wire_control, json),
        BYTES(wire_control, arguments, WIRE_BLOB_MAX)),
    ROW(WIRE_CONTROL_OUTPUT, QUEUE | AUTH | STORE | RELAY | SUP, CTL | QUEUE, wire_control_output,
        U32(wire_control_output, exit_code), BYTES(wire_control_output, text, WIRE_BLOB_MAX)),
};
/* clang-format on */

static const char *const role_names[ROLE_COUNT] = {
    [ROLE_SUPERVISOR] = "supervisor",
    [ROLE_DNS] = "dns",
    [ROLE_SCAN] = "scan",
    [ROLE_STORE] = "store",
    [ROLE_AUTH] = "auth",
    [ROLE_QUEUE] = "queue",
    [ROLE_RELAY] = "relay",
    [ROLE_SMTP] = "smtp",
    [ROLE_IMAP] = "imap",
    [ROLE_HTTP] = "http",
    [ROLE_CONTROL] = "control",
};

const char *role_name(enum role role)
{
    return role < ROLE_COUNT ? role_names[role] : "unknown";
}

static const struct row *row_of(enum wire_type type)
{
    return type > WIRE_NONE && type < WIRE_COUNT && table[type].name ? &table[type] : NULL;
}

const char *wire_name(enum wire_type type)
{
    const struct row *row = row_of(type);
    return row ? row->name : "unknown";
}

const struct grant *wire_grant(enum wire_type type, const void *message)
{
    const struct row *row = &table[type];
    for (size_t i = 0; i < row->count; i++)
        if (row->fields[i].kind == KIND_GRANT)
            return (const struct grant *)((const uint8_t *)message + row->fields[i].offset);
    return NULL;
}

size_t wire_size(enum wire_type type)
{
    const struct row *row = row_of(type);
    return row ? row->size : 0;
}

bool wire_allowed(enum wire_type type, enum role from, enum role to)
{
    const struct row *row = row_of(type);
    return row && from < ROLE_COUNT && to < ROLE_COUNT && (row->from & 1u << from) && (row->to & 1u << to);
}

void wire_encode(enum wire_type type, const void *message, struct buf *out)
{
    const struct row *row = row_of(type);
    for (unsigned i = 0; row && i < row->count; i++) {
        const struct field *f = &row->fields[i];
        const uint8_t *at = (const uint8_t *)message + f->offset;
        switch ((enum kind)f->kind) {
        case KIND_U32:
            buf_add_varint(out, *(const uint32_t *)(const void *)at);
            break;
        case KIND_U64:
            buf_add_varint(out, *(const uint64_t *)(const void *)at);
            break;
        case KIND_GRANT:
            buf_add(out, slice_make(at, sizeof(struct grant)));
            break;
        case KIND_BYTES: {
            const struct slice *s = (const struct slice *)(const void *)at;
            if (s->len > f->max)
                out->overflow = true;
            wire_strings_add(out, *s);
            break;
        }
        }
    }
}

static bool decode_field(const struct field *f, struct slice *body, uint8_t *at)
{
    uint64_t number;
    struct slice bytes;
    switch ((enum kind)f->kind) {
    case KIND_U32:
        if (!slice_take_varint(body, &number) || number > UINT32_MAX)
            return false;
        *(uint32_t *)(void *)at = (uint32_t)number;
        return true;
    case KIND_U64:
        return slice_take_varint(body, (uint64_t *)(void *)at);
    case KIND_GRANT:
        if (!slice_take_bytes(body, sizeof(struct grant), &bytes))
            return false;
        memcpy(at, bytes.ptr, bytes.len);
        return true;
    case KIND_BYTES:
        if (!wire_strings_take(body, &bytes) || bytes.len > f->max)
            return false;
        *(struct slice *)(void *)at = bytes;
        return true;
    }
    return false;
}

enum err wire_decode(enum wire_type type, struct slice body, void *message)
{
    const struct row *row = row_of(type);
    if (!row)
        return ERR_BAD;
    if (row->size)
        memset(message, 0, row->size);
    for (unsigned i = 0; i < row->count; i++)
        if (!decode_field(&row->fields[i], &body, (uint8_t *)message + row->fields[i].offset))
            return ERR_BAD;
    return body.len ? ERR_BAD : ERR_OK;
}

void wire_strings_add(struct buf *list, struct slice s)
{
    buf_add_varint(list, s.len);
    buf_add(list, s);
}

bool wire_strings_take(struct slice *list, struct slice *s)
{
    struct slice rest = *list;
    uint64_t len;
    if (!slice_take_varint(&rest, &len) || len > rest.len || !slice_take_bytes(&rest, (size_t)len, s))
        return false;
    *list = rest;
    return true;
}

void wire_range_add(struct buf *list, uint32_t first, uint32_t last)
{
    if (list->len >= 8) {
        struct slice end = slice_from(buf_slice(list), list->len - 4);
        uint32_t previous;
        if (slice_take_le32(&end, &previous) && previous != UINT32_MAX && previous + 1 == first) {
            buf_truncate(list, list->len - 4);
            buf_add_le32(list, last);
            return;
        }
    }
    buf_add_le32(list, first);
    buf_add_le32(list, last);
}

bool wire_range_take(struct slice *list, uint32_t *first, uint32_t *last)
{
    struct slice rest = *list;
    uint32_t a, b;
    if (!slice_take_le32(&rest, &a) || !slice_take_le32(&rest, &b) || a > b || a == 0)
        return false;
    *first = a;
    *last = b;
    *list = rest;
    return true;
}

bool grant_is_none(const struct grant *grant)
{
    static const struct grant none;
    return grant_eq(grant, &none);
}

bool grant_eq(const struct grant *a, const struct grant *b)
{
    return memcmp(a->name, b->name, sizeof a->name) == 0;
}
