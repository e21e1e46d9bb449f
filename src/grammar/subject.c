/* subject.c: extraction of the base subject. Reads decoded subjects of strangers' messages; called by scan.
 */
#include "grammar/subject.h"

#include "grammar/charset.h"

/* subj-blob = "[" *BLOBCHAR "]" *WSP; BLOBCHAR is anything but brackets. */
static size_t blob_len(struct slice s)
{
    if (!s.len || s.ptr[0] != '[')
        return 0;
    size_t n = 1;
    while (n < s.len && s.ptr[n] != '[' && s.ptr[n] != ']')
        n++;
    if (n == s.len || s.ptr[n] != ']')
        return 0;
    n++;
    while (n < s.len && s.ptr[n] == ' ')
        n++;
    return n;
}

/* subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":" */
static size_t refwd_len(struct slice s)
{
    size_t n;
    if (slice_istarts(s, SLICE("re")))
        n = 2;
    else if (slice_istarts(s, SLICE("fwd")))
        n = 3;
    else if (slice_istarts(s, SLICE("fw")))
        n = 2;
    else
        return 0;
    while (n < s.len && s.ptr[n] == ' ')
        n++;
    n += blob_len(slice_from(s, n));
    return n < s.len && s.ptr[n] == ':' ? n + 1 : 0;
}

/* subj-leader = (*subj-blob subj-refwd) / WSP. The blobs are looked at once only: no backing up over many. */
static size_t leader_len(struct slice s, bool *reply)
{
    size_t n = 0, blob;
    if (s.len && s.ptr[0] == ' ')
        return 1;
    while ((blob = blob_len(slice_from(s, n))) > 0)
        n += blob;
    size_t refwd = refwd_len(slice_from(s, n));
    *reply = *reply || refwd;
    return refwd ? n + refwd : 0;
}

/* subj-trailer = "(fwd)" / WSP */
static struct slice drop_trailers(struct slice s, bool *reply)
{
    for (;;) {
        if (s.len && s.ptr[s.len - 1] == ' ') {
            s.len--;
        } else if (slice_iends(s, SLICE("(fwd)"))) {
            s.len -= 5;
            *reply = true;
        } else {
            return s;
        }
    }
}

/* Steps 3 to 5: leaders, then one blob if something is left behind it, until nothing changes. */
static struct slice drop_leaders(struct slice s, bool *reply)
{
    size_t n;
    bool stuck = false; /* a blob that ends the subject stays */
    while (!stuck) {
        while ((n = leader_len(s, reply)) > 0)
            s = slice_from(s, n);
        n = blob_len(s);
        if (n && n < s.len)
            s = slice_from(s, n);
        else
            stuck = true;
    }
    return s;
}

/* Step 1: tabs and line ends become blanks, several blanks one. */
static void squeeze(struct slice subject, struct buf *out)
{
    bool blank = false;
    for (size_t i = 0; i < subject.len; i++) {
        bool is_blank = ascii_is_space(subject.ptr[i]);
        if (!is_blank || !blank)
            buf_add_byte(out, is_blank ? ' ' : subject.ptr[i]);
        blank = is_blank;
    }
}

void subject_base(struct slice subject, struct buf *out, bool *reply)
{
    bool ignored = false;
    AUTO_BUF struct buf text = buf_new(subject.len);
    if (!reply)
        reply = &ignored;
    *reply = false;
    subject = utf8_cut(subject, SUBJECT_MAX_BYTES);
    squeeze(subject, &text);
    struct slice s = buf_slice(&text), before;
    do {
        before = s;
        s = drop_leaders(drop_trailers(s, reply), reply);
        /* Step 6: subj-fwd = "[fwd:" subject "]" */
        if (slice_istarts(s, SLICE("[fwd:")) && slice_ends(s, SLICE("]"))) {
            s = slice_sub(s, 5, s.len - 6);
            *reply = true;
        }
    } while (s.len < before.len);
    utf8_fold(s, out);
}
