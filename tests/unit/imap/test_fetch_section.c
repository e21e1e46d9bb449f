/* Sections of a message as runs of its file, and their content with the transfer encoding undone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "grammar/base64.h"
#include "imap/fetch_section.h"

#define RAW 150000 /* octets: more than two pieces when encoded */

static int file_of(struct slice octets)
{
    int fd = -1;
    assert_int_equal(io_memfd("test", &fd, NULL), ERR_OK);
    assert_int_equal(io_write_all(fd, octets, NULL), ERR_OK);
    return fd;
}

/* The octets of `fd`, freed by the caller. */
static uint8_t *content(int fd, size_t offset, size_t len)
{
    uint8_t *octets = mem_alloc(len + 1);
    size_t got = 0;
    assert_int_equal(io_pread(fd, octets, len, offset, &got, NULL), ERR_OK);
    assert_int_equal(got, len);
    return octets;
}

static void fill(uint8_t *octets, size_t len)
{
    uint32_t state = 1;
    for (size_t i = 0; i < len; i++) {
        state = state * 1664525 + 1013904223;
        octets[i] = (uint8_t)(state >> 24);
    }
}

static void test_base64_in_pieces(void **state)
{
    (void)state;
    uint8_t *raw = mem_alloc(RAW);
    AUTO_BUF struct buf encoded = buf_new(RAW * 2);
    fill(raw, RAW);
    base64_encode(&encoded, slice_make(raw, RAW), 76);
    struct facts facts = {0};
    struct fetch_file file = {.facts = &facts, .fd = file_of(buf_slice(&encoded)), .size = encoded.len};
    struct fetch_range range = {.there = true, .len = encoded.len, .encoding = FACTS_ENC_BASE64};
    static const struct {
        uint32_t offset, length, size;
    } cuts[] = {{0, RAW, RAW},   {0, 1, 1},   {1, 2, 2},       {49140, 30, 30},         {65536, 70000, 70000},
                {RAW - 3, 5, 3}, {RAW, 1, 0}, {RAW + 7, 1, 0}, {5, UINT32_MAX, RAW - 5}};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        struct imap_section section = {.partial = true, .offset = cuts[i].offset, .length = cuts[i].length};
        struct fetch_decoded decoded;
        struct why why;
        assert_int_equal(fetch_decode(&file, &range, &section, true, &decoded, &why), ERR_OK);
        assert_int_equal(decoded.size, cuts[i].size);
        if (!decoded.size)
            continue;
        uint8_t *got = content(decoded.fd, 0, decoded.size);
        assert_memory_equal(got, raw + cuts[i].offset, decoded.size);
        assert_int_equal(decoded.nul, memchr(got, 0, decoded.size) != NULL);
        free(got);
        io_close(&decoded.fd);
        assert_int_equal(fetch_decode(&file, &range, &section, false, &decoded, &why), ERR_OK);
        assert_int_equal(decoded.size, RAW); /* BINARY.SIZE is of the whole */
        assert_int_equal(decoded.fd, -1);
    }
    file.size = range.len = encoded.len + 10; /* facts of another file */
    struct imap_section all = {0};
    struct fetch_decoded decoded;
    struct why why;
    assert_int_equal(fetch_decode(&file, &range, &all, true, &decoded, &why), ERR_INTERNAL);
    io_close(&file.fd);
    free(raw);
}

static void test_encodings(void **state)
{
    (void)state;
    static const struct {
        enum facts_encoding encoding;
        bool composite, decodes, plain;
    } rows[] = {
        {FACTS_ENC_7BIT, false, true, true},    {FACTS_ENC_8BIT, true, true, true},
        {FACTS_ENC_BINARY, true, true, true},   {FACTS_ENC_QP, false, true, false},
        {FACTS_ENC_QP, true, false, false},     {FACTS_ENC_BASE64, false, true, false},
        {FACTS_ENC_BASE64, true, false, false}, {FACTS_ENC_OTHER, false, false, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fetch_range range = {
            .there = true, .encoding = rows[i].encoding, .composite = rows[i].composite};
        assert_int_equal(fetch_range_decodes(&range), rows[i].decodes);
        assert_int_equal(fetch_range_is_plain(&range), rows[i].plain);
    }
    struct fetch_range none = {.encoding = FACTS_ENC_OTHER};
    assert_true(fetch_range_decodes(&none)); /* NIL */
}

static void test_opening(void **state)
{
    (void)state;
    static const char text[] = "Ours: 1\r\nSubject: s\r\n x\r\nTo: t\r\n\r\nbo\0dy\r\n";
    struct facts facts = {.header_len = 25, .flags = FACTS_HAS_NUL};
    struct fetch_file file = {.facts = &facts,
                              .fd = file_of(slice_make(text, sizeof text - 1)),
                              .size = sizeof text - 1,
                              .block_len = 9};
    struct slice subject[] = {SLICE("subject")};
    static const struct {
        enum imap_section_text text;
        bool partial, clean;
        const char *wanted;
        size_t len;
    } rows[] = {
        {IMAP_SECTION_HEADER, false, true, "Ours: 1\r\nSubject: s\r\n x\r\nTo: t\r\n\r\n", 34},
        {IMAP_SECTION_TEXT, false, true,
         "bo\x80"
         "dy\r\n",
         7},
        {IMAP_SECTION_TEXT, false, false, "bo\0dy\r\n", 7},
        {IMAP_SECTION_TEXT, true, true, "o\x80", 2},
        {IMAP_SECTION_FIELDS, false, true, "Subject: s\r\n x\r\n\r\n", 18},
        {IMAP_SECTION_FIELDS, true, true, "ub", 2},
        {IMAP_SECTION_FIELDS_NOT, false, false, "Ours: 1\r\nTo: t\r\n\r\n", 18},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct imap_section section = {.text = rows[i].text,
                                       .fields = subject,
                                       .field_count = 1,
                                       .partial = rows[i].partial,
                                       .offset = 1,
                                       .length = 2};
        int fd;
        uint64_t offset, len;
        struct why why;
        assert_int_equal(fetch_section_open(&file, &section, rows[i].clean, &fd, &offset, &len, &why),
                         ERR_OK);
        assert_int_equal(len, rows[i].len);
        uint8_t *got = content(fd, offset, len);
        assert_memory_equal(got, rows[i].wanted, len);
        free(got);
        io_close(&fd);
    }
    uint32_t nine[] = {9};
    struct imap_section absent = {.part = nine, .part_count = 1};
    int fd = 0;
    uint64_t offset, len;
    struct why why;
    assert_int_equal(fetch_section_open(&file, &absent, true, &fd, &offset, &len, &why), ERR_OK);
    assert_int_equal(fd, -1);
    io_close(&file.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_base64_in_pieces),
                                       cmocka_unit_test(test_encodings), cmocka_unit_test(test_opening)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
