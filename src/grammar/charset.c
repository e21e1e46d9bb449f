/* charset.c: conversion to UTF-8. Input is strangers' bytes and a stranger's charset name; called by
 * encoded_word.c, scan. ICU parses the bytes; the cheap and common cases never reach it. */
#include "grammar/charset.h"

#include <stdlib.h>
#include <string.h>
#include <unicode/uchar.h>
#include <unicode/ucnv.h>
#include <unicode/udata.h>
#include <unicode/utf8.h>

#include "base/mem.h"

#define CACHE_MAX 8 /* converters open at once in one set */
#define CHUNK     1024

struct entry {
    char name[CHARSET_NAME_MAX + 1]; /* lower case */
    UConverter *converter;           /* NULL: ICU does not know the name */
    uint64_t used;
};

struct charset_set {
    struct entry entries[CACHE_MAX];
    size_t count;
    uint64_t clock;
};

struct charset_set *charset_set_new(void)
{
    return mem_zero(1, sizeof(struct charset_set));
}

void charset_set_free(struct charset_set **set)
{
    if (!*set)
        return;
    for (size_t i = 0; i < (*set)->count; i++)
        ucnv_close((*set)->entries[i].converter);
    free(*set);
    *set = NULL;
}

/* Names that mean a superset of what they say, or that ICU lacks (WHATWG Encoding, section 4.2). */
static const struct {
    struct slice name;
    const char *icu;
} aliases[] = {
    {SLICE("gb2312"), "gb18030"},
    {SLICE("gbk"), "gb18030"},
    {SLICE("x-gbk"), "gb18030"},
    {SLICE("hz-gb-2312"), "hz"},
    {SLICE("ks_c_5601-1987"), "windows-949"},
    {SLICE("euc-kr"), "windows-949"},
    {SLICE("shift_jis"), "windows-31j"},
    {SLICE("x-sjis"), "windows-31j"},
    {SLICE("tis-620"), "windows-874"},
    {SLICE("iso-8859-11"), "windows-874"},
    {SLICE("iso-8859-9"), "windows-1254"},
    {SLICE("iso-8859-8-i"), "iso-8859-8"},
    {SLICE("x-mac-roman"), "macintosh"},
    {SLICE("x-unicode-2-0-utf-7"), "utf-7"},
};

enum family { FAMILY_UTF8, FAMILY_1252, FAMILY_UNKNOWN, FAMILY_ICU };

/* Names we convert without ICU. */
static const struct {
    struct slice name;
    enum family family;
} families[] = {
    {SLICE("utf-8"), FAMILY_UTF8},        {SLICE("utf8"), FAMILY_UTF8},
    {SLICE("us-ascii"), FAMILY_UNKNOWN},  {SLICE("iso-8859-1"), FAMILY_1252},
    {SLICE("windows-1252"), FAMILY_1252}, {SLICE("ascii"), FAMILY_UNKNOWN},
    {SLICE("latin1"), FAMILY_1252},       {SLICE("cp1252"), FAMILY_1252},
    {SLICE(""), FAMILY_UNKNOWN},          {SLICE("unknown-8bit"), FAMILY_UNKNOWN},
    {SLICE("x-unknown"), FAMILY_UNKNOWN}, {SLICE("default"), FAMILY_UNKNOWN},
};

/* Charsets whose text can be pure ASCII bytes without being ASCII text: escape sequences, shifts, 16-bit
 * units. */
static const struct slice stateful[] = {
    SLICE("iso-2022"), SLICE("utf-7"),     SLICE("x-unicode-2-0-utf-7"),
    SLICE("hz"),       SLICE("utf-16"),    SLICE("utf-32"),
    SLICE("ucs"),      SLICE("csiso2022"), SLICE("unicode-1-1-utf-7"),
    SLICE("scsu"),     SLICE("bocu"),      SLICE("cesu"),
    SLICE("imap"),     SLICE("ibm"),       SLICE("ebcdic"),
    SLICE("cp0"),      SLICE("cp37"),      SLICE("iso-10646"),
    SLICE("lmbcs"),
};

static enum family family_of(struct slice charset)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (slice_ieq(charset, families[i].name))
            return families[i].family;
    return FAMILY_ICU;
}

bool charset_is_stateful(struct slice charset)
{
    for (size_t i = 0; i < sizeof stateful / sizeof *stateful; i++)
        if (slice_istarts(charset, stateful[i]))
            return true;
    return false;
}

/* ---- output: whole characters up to the maximum ---- */

static bool add_char(struct buf *out, uint32_t c)
{
    uint8_t text[4];
    int32_t len = 0;
    if (!c)
        c = ' ';
    U8_APPEND_UNSAFE(text, len, c);
    if (out->max - out->len < (size_t)len)
        return false;
    buf_add(out, slice_make(text, (size_t)len));
    return true;
}

struct slice utf8_cut(struct slice s, size_t max)
{
    if (s.len <= max)
        return s;
    while (max && (s.ptr[max] & 0xc0) == 0x80)
        max--;
    return slice_sub(s, 0, max);
}

/* Text that is UTF-8 already; NUL becomes a blank. */
static bool add_utf8(struct buf *out, struct slice text)
{
    struct slice fits = utf8_cut(text, out->max - out->len);
    if (!fits.len)
        return !text.len;
    size_t from = out->len;
    buf_add(out, fits);
    for (uint8_t *nul = out->data + from; (nul = memchr(nul, 0, out->len - (size_t)(nul - out->data)));)
        *nul = ' ';
    return fits.len == text.len;
}

/* UTF-8 with mistakes: each maximal wrong subsequence becomes one U+FFFD. */
static bool add_broken_utf8(struct buf *out, struct slice text)
{
    size_t at = 0;
    while (at < text.len) {
        UChar32 c;
        U8_NEXT_OR_FFFD(text.ptr, at, text.len, c);
        if (!add_char(out, (uint32_t)c))
            return false;
    }
    return true;
}

/* 0x80 to 0x9f of windows-1252; the five unassigned ones stand for themselves. */
static const uint16_t windows_1252[32] = {
    0x20ac, 0x81,   0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160,
    0x2039, 0x0152, 0x8d,   0x017d, 0x8f,   0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
    0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x9d,   0x017e, 0x0178,
};

static bool add_1252(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (!add_char(out, c >= 0x80 && c < 0xa0 ? windows_1252[c - 0x80] : c))
            return false;
    }
    return true;
}

/* ---- ICU ---- */

static struct entry *slot_for(struct charset_set *set)
{
    if (set->count < CACHE_MAX)
        return &set->entries[set->count++];
    struct entry *oldest = &set->entries[0];
    for (size_t i = 1; i < CACHE_MAX; i++)
        if (set->entries[i].used < oldest->used)
            oldest = &set->entries[i];
    ucnv_close(oldest->converter);
    return oldest;
}

static const char *icu_name(const char *name)
{
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (slice_eq(slice_of(name), aliases[i].name))
            return aliases[i].icu;
    return name;
}

/* NULL when ICU does not know the charset. ICU's own names with options or paths in them are not for
 * strangers. */
static UConverter *find_converter(struct charset_set *set, struct slice charset)
{
    char name[CHARSET_NAME_MAX + 1] = "";
    if (!charset.len || charset.len > CHARSET_NAME_MAX)
        return NULL;
    for (size_t i = 0; i < charset.len; i++) {
        uint8_t c = ascii_lower(charset.ptr[i]);
        if (!ascii_is_alnum(c) && !memchr("-_.:()+", c, 7))
            return NULL;
        name[i] = (char)c;
    }
    for (size_t i = 0; i < set->count; i++) {
        if (strcmp(set->entries[i].name, name) == 0) {
            set->entries[i].used = ++set->clock;
            return set->entries[i].converter;
        }
    }
    struct entry *entry = slot_for(set);
    UErrorCode error = U_ZERO_ERROR;
    UConverter *converter = ucnv_open(icu_name(name), &error);
    *entry = (struct entry){.converter = U_SUCCESS(error) ? converter : NULL, .used = ++set->clock};
    memcpy(entry->name, name, sizeof name);
    return entry->converter;
}

/* The same without a look at the maximum for each character, when all of them fit. */
static bool add_utf16_fast(struct buf *out, const UChar *text, int32_t len)
{
    size_t most = (size_t)len * 3;
    if (out->max - out->len < most)
        return false;
    uint8_t *target = buf_reserve(out, most);
    int32_t at = 0, used = 0;
    while (target && at < len) {
        UChar32 c;
        U16_NEXT_OR_FFFD(text, at, len, c);
        U8_APPEND_UNSAFE(target, used, c ? c : ' ');
    }
    buf_added(out, (size_t)used);
    return true;
}

static bool add_utf16(struct buf *out, const UChar *text, int32_t len)
{
    int32_t at = 0;
    if (!len || add_utf16_fast(out, text, len))
        return true;
    while (at < len) {
        UChar32 c;
        U16_NEXT_OR_FFFD(text, at, len, c);
        if (!add_char(out, (uint32_t)c))
            return false;
    }
    return true;
}

static bool add_converted(struct buf *out, UConverter *converter, struct slice bytes)
{
    UChar text[CHUNK];
    const char *at = (const char *)bytes.ptr, *end = at + bytes.len;
    UErrorCode error;
    int32_t held = 0; /* a high surrogate whose other half is still to come */
    ucnv_resetToUnicode(converter);
    do {
        UChar *target = text + held;
        error = U_ZERO_ERROR;
        ucnv_toUnicode(converter, &target, text + CHUNK, &at, end, NULL, true, &error);
        int32_t len = (int32_t)(target - text);
        held = error == U_BUFFER_OVERFLOW_ERROR && len && U16_IS_LEAD(text[len - 1]);
        if (!add_utf16(out, text, len - held))
            return false;
        if (held)
            text[0] = text[len - 1];
    } while (error == U_BUFFER_OVERFLOW_ERROR);
    return true;
}

bool charset_is_known(struct charset_set *set, struct slice charset)
{
    enum family family = family_of(charset);
    return family == FAMILY_ICU ? find_converter(set, charset) != NULL : family != FAMILY_UNKNOWN;
}

bool charset_is_plain(struct slice charset, struct slice bytes)
{
    enum family family = family_of(charset);
    if (slice_find(bytes, 0) >= 0)
        return false;
    if (family == FAMILY_UTF8 || family == FAMILY_UNKNOWN)
        return slice_is_utf8(bytes);
    return slice_is_ascii(bytes) && !charset_is_stateful(charset);
}

bool charset_to_utf8(struct charset_set *set, struct slice charset, struct slice bytes, struct buf *out)
{
    enum family family = family_of(charset);
    UConverter *converter = NULL;
    if (!bytes.len)
        return true;
    if (family == FAMILY_ICU && slice_is_ascii(bytes) && !charset_is_stateful(charset))
        family = FAMILY_UTF8;
    if (family == FAMILY_ICU && !(converter = find_converter(set, charset)))
        family = FAMILY_UNKNOWN;
    if (converter)
        return add_converted(out, converter, bytes);
    if (family == FAMILY_1252 ? slice_is_ascii(bytes) : slice_is_utf8(bytes))
        return add_utf8(out, bytes);
    return family == FAMILY_UTF8 ? add_broken_utf8(out, bytes) : add_1252(out, bytes);
}

void utf8_fold(struct slice text, struct buf *out)
{
    size_t at = 0;
    while (at < text.len) {
        UChar32 c;
        if (text.ptr[at] < 0x80) {
            buf_add_byte(out, ascii_lower(text.ptr[at++]));
            continue;
        }
        U8_NEXT_OR_FFFD(text.ptr, at, text.len, c);
        if (!add_char(out, (uint32_t)u_foldCase(c, U_FOLD_CASE_DEFAULT)))
            return;
    }
}

/* One charset of each kind of converter ICU has; opening it maps its table. */
static const char *const preload[] = {
    "iso-8859-2",  "iso-8859-5",  "iso-8859-7", "iso-8859-15", "windows-1250", "windows-1251",
    "koi8-r",      "gb18030",     "big5",       "windows-949", "euc-jp",       "iso-2022-jp",
    "iso-2022-kr", "windows-31j", "utf-7",      "utf-16",
};

void charset_load(void)
{
    UErrorCode error = U_ZERO_ERROR;
    udata_setFileAccess(UDATA_NO_FILES, &error);
    for (size_t i = 0; i < sizeof preload / sizeof *preload; i++) {
        error = U_ZERO_ERROR;
        UConverter *converter = ucnv_open(preload[i], &error);
        if (U_SUCCESS(error))
            ucnv_close(converter);
    }
}
