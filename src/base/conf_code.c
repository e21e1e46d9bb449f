/* conf_code.c: settings as flat bytes and back, from the same table. The bytes come from the unprivileged
 * configuration child through the supervisor: decoding is strict and bounded all the same.
 *
 *   le64 fingerprint of the table, then each field in the table's order:
 *   BOOL byte; STRING, ADDRESS varint length and bytes; numbers, ENUM varint; NETWORK 16 bytes and the prefix
 * length; STRUCT its fields; LIST varint count, its items
 */
#include "base/conf_node.h"

#include <string.h>

#include "base/hash.h"

/* ---- the table's fingerprint ---- */

static uint64_t fingerprint(const struct conf_table *table, uint64_t hash)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct conf_field *field = &table->fields[i];
        uint8_t kinds[2] = {(uint8_t)field->kind, (uint8_t)field->item};
        hash = slice_hash(slice_of(field->name), hash);
        hash = slice_hash(slice_make(kinds, sizeof kinds), hash);
        for (size_t n = 0; n < conf_names_count(field->names); n++)
            hash = slice_hash(slice_of(field->names[n]), hash);
        if (field->table)
            hash = fingerprint(field->table, hash);
    }
    return hash;
}

/* ---- encoding ---- */

static void put_struct(const struct conf_table *table, const void *from, struct buf *bytes);

static void put_text(struct slice text, struct buf *bytes)
{
    buf_add_varint(bytes, text.len);
    buf_add(bytes, text);
}

static void put_value(const struct conf_field *field, enum conf_kind kind, const void *at, struct buf *bytes)
{
    const struct conf_list *list = at;
    const struct conf_network *network = at;
    switch (kind) {
    case CONF_BOOL:
        buf_add_byte(bytes, *(const bool *)at);
        return;
    case CONF_STRING:
        put_text(*(const struct slice *)at, bytes);
        return;
    case CONF_U64:
    case CONF_SIZE:
    case CONF_DURATION:
        buf_add_varint(bytes, *(const uint64_t *)at);
        return;
    case CONF_ENUM:
        buf_add_varint(bytes, (uint64_t) * (const int *)at);
        return;
    case CONF_ADDRESS:
        put_text(((const struct conf_address *)at)->text, bytes);
        return;
    case CONF_NETWORK:
        buf_add(bytes, slice_make(network->ip, sizeof network->ip));
        buf_add_byte(bytes, network->bits);
        return;
    case CONF_STRUCT:
        put_struct(field->table, at, bytes);
        return;
    case CONF_LIST:
        buf_add_varint(bytes, list->count);
        for (size_t i = 0; i < list->count; i++)
            put_value(field, field->item, (const char *)list->items + i * conf_value_size(field, field->item),
                      bytes);
        return;
    case CONF_KIND_COUNT:
        return;
    }
}

static void put_struct(const struct conf_table *table, const void *from, struct buf *bytes)
{
    for (size_t i = 0; i < table->count; i++)
        put_value(&table->fields[i], table->fields[i].kind, (const char *)from + table->fields[i].offset,
                  bytes);
}

void conf_encode(const struct conf_table *table, const void *settings, struct buf *bytes)
{
    buf_add_le64(bytes, fingerprint(table, 0));
    put_struct(table, settings, bytes);
}

/* ---- decoding ---- */

static bool take_struct(struct arena *arena, const struct conf_table *table, struct slice *bytes, void *out);

static bool take_text(struct slice *bytes, struct slice *text)
{
    uint64_t len;
    return slice_take_varint(bytes, &len) && len <= CONF_SCALAR_MAX &&
           slice_take_bytes(bytes, (size_t)len, text);
}

static bool take_network(struct slice *bytes, void *at)
{
    struct conf_network network;
    struct slice ip;
    if (!slice_take_bytes(bytes, sizeof network.ip, &ip) || !slice_take_u8(bytes, &network.bits) ||
        network.bits > 128)
        return false;
    memcpy(network.ip, ip.ptr, sizeof network.ip);
    memcpy(at, &network, sizeof network);
    return true;
}

/* Addresses may be unset (all zero, no text). */
static bool take_address(struct arena *arena, struct slice *bytes, void *at)
{
    struct conf_address address = {.port = 0};
    struct slice text;
    if (!take_text(bytes, &text) || (text.len && !conf_read_address(arena_dup(arena, text), &address)))
        return false;
    memcpy(at, &address, sizeof address);
    return true;
}

static bool take_value(struct arena *arena, const struct conf_field *field, enum conf_kind kind,
                       struct slice *bytes, void *at);

static bool take_list(struct arena *arena, const struct conf_field *field, struct slice *bytes, void *at)
{
    uint64_t count;
    size_t size = conf_value_size(field, field->item);
    if (!slice_take_varint(bytes, &count) || count > CONF_LIST_MAX || count > bytes->len)
        return false; /* every item takes a byte at least */
    struct conf_list list = {.count = (size_t)count};
    if (count) {
        list.items = arena_try(arena, (size_t)count * size);
        if (!list.items)
            return false;
    }
    for (size_t i = 0; i < list.count; i++)
        if (!take_value(arena, field, field->item, bytes, (char *)list.items + i * size))
            return false;
    memcpy(at, &list, sizeof list);
    return true;
}

static bool take_value(struct arena *arena, const struct conf_field *field, enum conf_kind kind,
                       struct slice *bytes, void *at)
{
    uint64_t number;
    uint8_t byte;
    int choice;
    struct slice text;
    switch (kind) {
    case CONF_BOOL:
        if (!slice_take_u8(bytes, &byte) || byte > 1)
            return false;
        memcpy(at, &(bool){byte == 1}, sizeof(bool));
        return true;
    case CONF_STRING:
        if (!take_text(bytes, &text))
            return false;
        text = arena_dup(arena, text);
        memcpy(at, &text, sizeof text);
        return true;
    case CONF_U64:
    case CONF_SIZE:
    case CONF_DURATION:
        if (!slice_take_varint(bytes, &number))
            return false;
        memcpy(at, &number, sizeof number);
        return true;
    case CONF_ENUM:
        if (!slice_take_varint(bytes, &number) || number >= conf_names_count(field->names))
            return false;
        choice = (int)number;
        memcpy(at, &choice, sizeof choice);
        return true;
    case CONF_ADDRESS:
        return take_address(arena, bytes, at);
    case CONF_NETWORK:
        return take_network(bytes, at);
    case CONF_STRUCT:
        return take_struct(arena, field->table, bytes, at);
    case CONF_LIST:
        return take_list(arena, field, bytes, at);
    case CONF_KIND_COUNT:
        break;
    }
    return false;
}

static bool take_struct(struct arena *arena, const struct conf_table *table, struct slice *bytes, void *out)
{
    for (size_t i = 0; i < table->count; i++)
        if (!take_value(arena, &table->fields[i], table->fields[i].kind, bytes,
                        (char *)out + table->fields[i].offset))
            return false;
    return true;
}

enum err conf_decode_in(struct arena *arena, const struct conf_table *table, struct slice bytes, void *out,
                        struct why *why)
{
    uint64_t mark;
    if (!slice_take_le64(&bytes, &mark) || mark != fingerprint(table, 0))
        return err_set(why, ERR_BAD, "settings of another program version");
    void *fresh = arena_try(arena, table->size);
    if (!fresh || !take_struct(arena, table, &bytes, fresh) || bytes.len)
        return err_set(why, ERR_BAD, "damaged settings");
    memcpy(out, fresh, table->size);
    return ERR_OK;
}
