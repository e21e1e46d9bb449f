/* conf_value.c: single values of the configuration: sizes, durations, addresses, networks, … to and from
 * text. Pure. */
#include "base/conf_node.h"

#include <arpa/inet.h>
#include <string.h>

#define HOST_MAX 255

size_t conf_names_count(const char *const *names)
{
    size_t n = 0;
    while (names && names[n])
        n++;
    return n;
}

/* A number and the unit behind it. False without digits. */
static bool split_unit(struct slice text, uint64_t *number, struct slice *unit)
{
    size_t digits = 0;
    while (digits < text.len && ascii_is_digit(text.ptr[digits]))
        digits++;
    *unit = slice_trim(slice_from(text, digits));
    return slice_u64(slice_sub(text, 0, digits), UINT64_MAX, number);
}

struct unit {
    const char *name;
    uint64_t factor;
};

static bool apply_unit(struct slice text, const struct unit *units, size_t count, uint64_t *result)
{
    uint64_t number, product;
    struct slice unit;
    if (!split_unit(text, &number, &unit))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!slice_ieq(unit, slice_of(units[i].name)))
            continue;
        if (__builtin_mul_overflow(number, units[i].factor, &product))
            return false;
        *result = product;
        return true;
    }
    return false;
}

bool conf_read_size(struct slice text, uint64_t *bytes)
{
    static const struct unit units[] = {{"", 1},
                                        {"B", 1},
                                        {"K", 1ull << 10},
                                        {"KB", 1ull << 10},
                                        {"KiB", 1ull << 10},
                                        {"M", 1ull << 20},
                                        {"MB", 1ull << 20},
                                        {"MiB", 1ull << 20},
                                        {"G", 1ull << 30},
                                        {"GB", 1ull << 30},
                                        {"GiB", 1ull << 30},
                                        {"T", 1ull << 40},
                                        {"TB", 1ull << 40},
                                        {"TiB", 1ull << 40}};
    return apply_unit(text, units, sizeof units / sizeof *units, bytes);
}

bool conf_read_duration(struct slice text, uint64_t *ms)
{
    static const struct unit units[] = {
        {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    uint64_t zero;
    if (slice_u64(text, 0, &zero)) { /* a bare 0 needs no unit; any other number would be a guess */
        *ms = 0;
        return true;
    }
    return apply_unit(text, units, sizeof units / sizeof *units, ms);
}

/* An IP address as 16 bytes, IPv4 mapped. `*bits` is its width where a prefix length is counted. */
static bool read_ip(struct slice text, uint8_t ip[16], unsigned *bits)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    char copy[INET6_ADDRSTRLEN];
    if (text.len == 0 || text.len >= sizeof copy)
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    if (strlen(copy) != text.len)
        return false;
    if (inet_pton(AF_INET, copy, ip + 12) == 1) {
        memcpy(ip, mapped, sizeof mapped);
        *bits = 32;
        return true;
    }
    *bits = 128;
    return inet_pton(AF_INET6, copy, ip) == 1;
}

static bool is_v4(const uint8_t ip[16])
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return memcmp(ip, mapped, sizeof mapped) == 0;
}

bool conf_read_network(struct slice text, struct conf_network *network)
{
    struct conf_network n = {.bits = 0};
    ptrdiff_t slash = slice_find(text, '/');
    unsigned width;
    if (!read_ip(slash < 0 ? text : slice_sub(text, 0, (size_t)slash), n.ip, &width))
        return false;
    uint64_t bits = width;
    if (slash >= 0 && !slice_u64(slice_from(text, (size_t)slash + 1), width, &bits))
        return false;
    n.bits = (uint8_t)(bits + 128 - width);
    for (unsigned i = n.bits; i < 128; i++)
        if (n.ip[i / 8] >> (7 - i % 8) & 1)
            return false; /* "10.0.0.1/8" is nearly always a slip */
    *network = n;
    return true;
}

bool conf_network_has(const struct conf_network *network, const uint8_t ip[16])
{
    unsigned whole = network->bits / 8, rest = network->bits % 8;
    if (memcmp(network->ip, ip, whole) != 0)
        return false;
    return rest == 0 || (network->ip[whole] ^ ip[whole]) >> (8 - rest) == 0;
}

static bool is_hostname(struct slice text)
{
    if (text.len == 0 || text.len > HOST_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_is_alnum(text.ptr[i]) && text.ptr[i] != '.' && text.ptr[i] != '-')
            return false;
    return true;
}

bool conf_read_address(struct slice text, struct conf_address *address)
{
    struct conf_address a = {.text = text};
    ptrdiff_t colon = slice_rfind(text, ':');
    uint64_t port;
    unsigned width;
    if (colon < 0 || !slice_u64(slice_from(text, (size_t)colon + 1), UINT16_MAX, &port) || port == 0)
        return false;
    a.port = (uint16_t)port;
    a.host = slice_sub(text, 0, (size_t)colon);
    bool brackets = slice_starts(a.host, SLICE("[")) && slice_ends(a.host, SLICE("]"));
    if (brackets)
        a.host = slice_sub(a.host, 1, a.host.len - 2);
    a.is_ip = read_ip(a.host, a.ip, &width);
    if (a.is_ip ? brackets != (width == 128) : brackets || !is_hostname(a.host))
        return false;
    a.is_v4 = a.is_ip && is_v4(a.ip);
    *address = a;
    return true;
}

/* ---- by kind ---- */

size_t conf_value_size(const struct conf_field *field, enum conf_kind kind)
{
    static const size_t sizes[CONF_KIND_COUNT] = {[CONF_BOOL] = sizeof(bool),
                                                  [CONF_STRING] = sizeof(struct slice),
                                                  [CONF_U64] = sizeof(uint64_t),
                                                  [CONF_SIZE] = sizeof(uint64_t),
                                                  [CONF_DURATION] = sizeof(uint64_t),
                                                  [CONF_ENUM] = sizeof(int),
                                                  [CONF_ADDRESS] = sizeof(struct conf_address),
                                                  [CONF_NETWORK] = sizeof(struct conf_network),
                                                  [CONF_LIST] = sizeof(struct conf_list)};
    return kind == CONF_STRUCT ? field->table->size : sizes[kind];
}

static const char *read_bool(struct slice text, void *at)
{
    static const struct {
        const char *word;
        bool value;
    } words[] = {{"true", true},   {"yes", true}, {"on", true},
                 {"false", false}, {"no", false}, {"off", false}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (slice_ieq(text, slice_of(words[i].word))) {
            memcpy(at, &words[i].value, sizeof(bool));
            return NULL;
        }
    }
    return "true or false";
}

static const char *read_enum(const struct conf_field *field, struct slice text, void *at)
{
    for (int i = 0; field->names[i]; i++) {
        if (slice_eq(text, slice_of(field->names[i]))) {
            memcpy(at, &i, sizeof i);
            return NULL;
        }
    }
    return "one of";
}

static const char *read_number(enum conf_kind kind, struct slice text, void *at)
{
    uint64_t number;
    bool ok = kind == CONF_U64    ? slice_u64(text, UINT64_MAX, &number)
              : kind == CONF_SIZE ? conf_read_size(text, &number)
                                  : conf_read_duration(text, &number);
    if (!ok)
        return kind == CONF_U64    ? "a whole number"
               : kind == CONF_SIZE ? "a size such as 500, 64K, 50M or 2G"
                                   : "a time such as 500ms, 5s, 10m, 2h or 5d";
    memcpy(at, &number, sizeof number);
    return NULL;
}

static const char *read_address(const struct conf_field *field, struct slice text, void *at)
{
    struct conf_address address;
    bool names = field->flags & CONF_HOSTNAME;
    if (!conf_read_address(text, &address) || (!names && !address.is_ip))
        return names ? "HOST:PORT, such as \"mail.example.org:25\""
                     : "ADDRESS:PORT, such as \"[::]:25\" or \"127.0.0.1:25\"";
    memcpy(at, &address, sizeof address);
    return NULL;
}

static const char *read_network(struct slice text, void *at)
{
    struct conf_network network;
    if (!conf_read_network(text, &network))
        return "a network by its first address, such as 10.0.0.0/8 or 2001:db8::/32, or one address";
    memcpy(at, &network, sizeof network);
    return NULL;
}

const char *conf_value_read_in(struct arena *arena, const struct conf_field *field, enum conf_kind kind,
                               struct slice text, void *at)
{
    struct slice copy;
    switch (kind) {
    case CONF_BOOL:
        return read_bool(text, at);
    case CONF_STRING:
        copy = arena_dup(arena, text);
        memcpy(at, &copy, sizeof copy);
        return NULL;
    case CONF_U64:
    case CONF_SIZE:
    case CONF_DURATION:
        return read_number(kind, text, at);
    case CONF_ENUM:
        return read_enum(field, text, at);
    case CONF_ADDRESS:
        return read_address(field, arena_dup(arena, text), at);
    case CONF_NETWORK:
        return read_network(text, at);
    case CONF_STRUCT:
    case CONF_LIST:
    case CONF_KIND_COUNT:
        break;
    }
    return "a group of keys";
}

/* ---- and back ---- */

static void print_unit(uint64_t number, const struct unit *units, size_t count, struct buf *text)
{
    size_t best = 0;
    for (size_t i = 0; i < count; i++)
        if (number != 0 && number % units[i].factor == 0)
            best = i;
    buf_add_u64(text, number / units[best].factor);
    buf_add_str(text, units[best].name);
}

static void print_network(const struct conf_network *n, struct buf *text)
{
    char name[INET6_ADDRSTRLEN];
    bool v4 = is_v4(n->ip) && n->bits >= 96;
    if (inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? n->ip + 12 : n->ip, name, sizeof name))
        buf_addf(text, "%s/%u", name, v4 ? n->bits - 96u : n->bits);
}

/* YAML's double-quoted form: any text at all. */
static void print_string(struct slice s, struct buf *text)
{
    buf_add_byte(text, '"');
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        if (c == '"' || c == '\\')
            buf_addf(text, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            buf_addf(text, "\\x%02x", c);
        else
            buf_add_byte(text, c);
    }
    buf_add_byte(text, '"');
}

void conf_value_print(const struct conf_field *field, enum conf_kind kind, const void *at, struct buf *text)
{
    static const struct unit sizes[] = {
        {"", 1}, {"K", 1ull << 10}, {"M", 1ull << 20}, {"G", 1ull << 30}, {"T", 1ull << 40}};
    static const struct unit times[] = {
        {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    uint64_t number = 0;
    if (kind == CONF_U64 || kind == CONF_SIZE || kind == CONF_DURATION)
        memcpy(&number, at, sizeof number);
    switch (kind) {
    case CONF_BOOL:
        buf_add_str(text, *(const bool *)at ? "true" : "false");
        return;
    case CONF_STRING:
        print_string(*(const struct slice *)at, text);
        return;
    case CONF_U64:
        buf_add_u64(text, number);
        return;
    case CONF_SIZE:
        print_unit(number, sizes, sizeof sizes / sizeof *sizes, text);
        return;
    case CONF_DURATION:
        if (number == 0)
            buf_add_byte(text, '0');
        else
            print_unit(number, times, sizeof times / sizeof *times, text);
        return;
    case CONF_ENUM:
        buf_add_str(text, field->names[*(const int *)at]);
        return;
    case CONF_ADDRESS:
        print_string(((const struct conf_address *)at)->text, text);
        return;
    case CONF_NETWORK:
        print_network(at, text);
        return;
    case CONF_STRUCT:
    case CONF_LIST:
    case CONF_KIND_COUNT:
        return;
    }
}
