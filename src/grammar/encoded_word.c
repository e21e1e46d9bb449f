/* encoded_word.c: RFC 2047 and RFC 2231 to UTF-8. Reads strangers' header fields; called by scan. */
#include "grammar/encoded_word.h"

#include <string.h>

#include "grammar/base64.h"

#define CHARSET_MAX 100 /* "charset*language" of one word */

/* encoded-word = "=?" charset ["*" language] "?" encoding "?" encoded-text "?="  (RFC 2047 section 2, RFC
 * 2231 section 5) */
struct word {
    struct slice charset, text;
    bool base64;
    size_t len; /* of the whole word */
};

struct decoder {
    struct charset_set *set;
    struct buf *out;
    struct slice value;
    size_t next_end;      /* offset of the first "?=" at or behind the last place asked for, or value.len */
    struct slice charset; /* of the bytes that wait for conversion */
    struct buf bytes;
};

/* Offset of the first "?=" at or behind `from`. Asked with growing offsets only, so all calls together read
 * the value once. */
static size_t find_end(struct decoder *d, size_t from)
{
    if (d->next_end < from || d->next_end == 0) {
        ptrdiff_t at = slice_search(slice_from(d->value, from), SLICE("?="));
        d->next_end = at < 0 ? d->value.len : from + (size_t)at;
    }
    return d->next_end;
}

static bool word_at(struct decoder *d, size_t at, struct word *word)
{
    struct slice s = slice_from(d->value, at);
    if (!slice_starts(s, SLICE("=?")))
        return false;
    ptrdiff_t mark = slice_find(slice_sub(s, 2, CHARSET_MAX), '?');
    size_t text = 2 + (size_t)mark + 3; /* behind "charset?X?" */
    if (mark <= 0 || text > s.len || s.ptr[text - 1] != '?')
        return false;
    uint8_t encoding = ascii_lower(s.ptr[text - 2]);
    size_t end = find_end(d, at + text);
    if ((encoding != 'b' && encoding != 'q') || end >= d->value.len)
        return false;
    word->charset = slice_sub(s, 2, (size_t)mark);
    ptrdiff_t language = slice_find(word->charset, '*');
    if (language >= 0)
        word->charset.len = (size_t)language;
    word->text = slice_sub(s, text, end - at - text);
    word->base64 = encoding == 'b';
    word->len = end + 2 - at;
    return true;
}

static void flush(struct decoder *d)
{
    (void)charset_to_utf8(d->set, d->charset, buf_slice(&d->bytes), d->out);
    buf_clear(&d->bytes);
}

/* Decodes a word into the waiting bytes: a character may be cut in two between words of one charset. */
static void add_word(struct decoder *d, const struct word *word)
{
    if (!slice_ieq(d->charset, word->charset) || charset_is_stateful(word->charset))
        flush(d);
    d->charset = word->charset;
    if (word->base64) {
        struct base64_decoder decoder = {0};
        base64_feed(&decoder, word->text, &d->bytes);
        base64_finish(&decoder, &d->bytes);
    } else {
        struct qp_decoder decoder;
        decoder.underscore = true;
        decoder.hold_len = 0;
        decoder.blanks_len = 0;
        qp_feed(&decoder, word->text, &d->bytes);
        qp_finish(&decoder, &d->bytes);
    }
}

static void add_plain(struct decoder *d, size_t from, size_t to)
{
    flush(d);
    (void)charset_to_utf8(d->set, SLICE_EMPTY, slice_sub(d->value, from, to - from), d->out);
}

static bool is_blank(struct slice s)
{
    return slice_trim(s).len == 0;
}

/* Control characters become blanks. */
static void clean(struct buf *out, size_t from)
{
    for (size_t i = from; i < out->len; i++)
        if (out->data[i] < ' ' || out->data[i] == 0x7f)
            out->data[i] = ' ';
}

void encoded_word_decode(struct charset_set *set, struct slice value, struct buf *out)
{
    struct decoder d = {.set = set, .out = out, .value = value, .bytes = buf_new(value.len + 4)};
    size_t begin = out->len, plain = 0, at = 0;
    bool after_word = false;
    struct word word;
    while (at < value.len) {
        ptrdiff_t mark = slice_search(slice_from(value, at), SLICE("=?"));
        if (mark < 0)
            break;
        at += (size_t)mark;
        if (!word_at(&d, at, &word)) {
            at += 2;
            continue;
        }
        if (at > plain && !(after_word && is_blank(slice_sub(value, plain, at - plain))))
            add_plain(&d, plain, at);
        add_word(&d, &word);
        at += word.len;
        plain = at;
        after_word = true;
    }
    add_plain(&d, plain, value.len);
    buf_free(&d.bytes);
    clean(out, begin);
}

static void add_percent_decoded(struct slice s, struct buf *bytes)
{
    for (size_t i = 0; i < s.len; i++) {
        int high = i + 2 < s.len ? ascii_hex_value(s.ptr[i + 1]) : -1;
        int low = i + 2 < s.len ? ascii_hex_value(s.ptr[i + 2]) : -1;
        if (s.ptr[i] == '%' && high >= 0 && low >= 0) {
            buf_add_byte(bytes, (uint8_t)(high << 4 | low));
            i += 2;
        } else {
            buf_add_byte(bytes, s.ptr[i]);
        }
    }
}

/* extended-value = [charset] "'" [language] "'" extended-other-values  (RFC 2231 section 7) */
static void decode_extended(struct charset_set *set, struct slice value, struct buf *out)
{
    struct slice rest = value, charset = SLICE_EMPTY;
    ptrdiff_t first = slice_find(value, '\'');
    ptrdiff_t second = first < 0 ? -1 : slice_find(slice_from(value, (size_t)first + 1), '\'');
    if (second >= 0) {
        charset = slice_sub(value, 0, (size_t)first);
        rest = slice_from(value, (size_t)(first + second) + 2);
    }
    size_t begin = out->len;
    AUTO_BUF struct buf bytes = buf_new(value.len);
    add_percent_decoded(rest, &bytes);
    (void)charset_to_utf8(set, charset, buf_slice(&bytes), out);
    clean(out, begin);
}

void encoded_word_decode_param(struct charset_set *set, const struct mime_param *param, struct buf *out)
{
    if (param->extended)
        decode_extended(set, param->value, out);
    else
        encoded_word_decode(set, param->value, out);
}
