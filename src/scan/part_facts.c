/* part_facts.c: rows of the parts table (RFC 3501 section 6.4.5 numbering). Reads the tree mime.c made of a
 * stranger's message; called by scan_message.c. */
#include "scan/part_facts.h"

#include "grammar/bodystructure.h"
#include "grammar/encoded_word.h"

#define TOKEN_MAX      100 /* bytes of a type, charset or disposition */
#define NAME_MAX_BYTES 255
#define CID_MAX        255
#define STRUCTURE_MAX  (256 * 1024)

struct table {
    struct arena *arena;
    struct charset_set *set;
    const struct served *served;
    struct facts *facts;
};

static void add_content(struct table *t, uint32_t row, const struct mime_part *content);

/* Lower case, other than printable ASCII replaced. */
static struct slice token_in(struct arena *arena, struct slice token)
{
    struct slice cut = slice_sub(token, 0, TOKEN_MAX);
    uint8_t *text = arena_must(arena, cut.len + 1);
    for (size_t i = 0; i < cut.len; i++)
        text[i] = ascii_is_print(cut.ptr[i]) ? ascii_lower(cut.ptr[i]) : '?';
    return slice_make(text, cut.len);
}

/* The file name: RFC 2183 filename, else the name parameter many programs write. */
static struct slice name_in(struct table *t, const struct mime_part *part)
{
    AUTO_BUF struct buf text = buf_new(NAME_MAX_BYTES);
    const struct mime_param *name = mime_params_find(&part->disposition.params, SLICE("filename"));
    if (!name)
        name = mime_params_find(&part->type.params, SLICE("name"));
    if (!name)
        return SLICE_EMPTY;
    encoded_word_decode_param(t->set, name, &text);
    return arena_dup(t->arena, slice_trim(buf_slice(&text)));
}

/* msg-id without angle brackets (RFC 2045 section 7). */
static struct slice cid_in(struct arena *arena, struct slice id)
{
    if (slice_starts(id, SLICE("<")) && slice_ends(id, SLICE(">")))
        id = slice_sub(id, 1, id.len - 2);
    struct slice cut = slice_sub(id, 0, CID_MAX);
    uint8_t *text = arena_must(arena, cut.len + 1);
    for (size_t i = 0; i < cut.len; i++)
        text[i] = ascii_is_print(cut.ptr[i]) ? cut.ptr[i] : '?';
    return slice_make(text, cut.len);
}

static const enum facts_encoding encodings[] = {
    [MIME_7BIT] = FACTS_ENC_7BIT, [MIME_8BIT] = FACTS_ENC_8BIT,     [MIME_BINARY] = FACTS_ENC_BINARY,
    [MIME_QP] = FACTS_ENC_QP,     [MIME_BASE64] = FACTS_ENC_BASE64, [MIME_OTHER] = FACTS_ENC_OTHER,
};

static const enum facts_kind kinds[] = {
    [MIME_LEAF] = FACTS_LEAF,
    [MIME_MULTIPART] = FACTS_MULTIPART,
    [MIME_MESSAGE] = FACTS_MESSAGE,
};

/* Offsets in the message as served: only the header was changed. */
static void set_offsets(const struct served *served, const struct mime_part *part, struct facts_part *row)
{
    bool is_root = !part->parent;
    row->header_off = is_root ? 0 : part->header_off - served->received_len + served->header_len;
    row->header_len = is_root ? served->header_len : part->header_len;
    row->body_off = row->header_off + row->header_len;
    row->body_len = part->body_len;
    row->inner_header_len = part->kind == MIME_MESSAGE ? part->child->header_len : 0;
}

static void set_texts(struct table *t, const struct mime_part *part, struct facts_part *row)
{
    const struct mime_param *charset = mime_params_find(&part->type.params, SLICE("charset"));
    row->type = part->opaque ? SLICE("application") : token_in(t->arena, part->type.type);
    row->subtype = part->opaque ? SLICE("octet-stream") : token_in(t->arena, part->type.subtype);
    row->charset = charset ? token_in(t->arena, charset->value) : SLICE_EMPTY;
    row->disposition = token_in(t->arena, part->disposition.name);
    row->name = name_in(t, part);
    row->cid = cid_in(t->arena, part->id);
}

static void add_row(struct table *t, uint32_t parent, uint32_t number, const struct mime_part *part)
{
    uint32_t index = (uint32_t)t->facts->part_count++;
    struct facts_part *row = &t->facts->parts[index];
    *row = (struct facts_part){
        .parent = parent, .number = number, .kind = kinds[part->kind], .encoding = encodings[part->encoding]};
    set_offsets(t->served, part, row);
    set_texts(t, part, row);
    if (part->kind == MIME_MESSAGE)
        add_content(t, index, part->child);
    number = 0;
    if (part->kind == MIME_MULTIPART)
        for (const struct mime_part *child = part->child; child; child = child->next)
            add_row(t, index, ++number, child);
}

/* The content of the message that is row `row`: the parts of a multipart, or one part that is all of its
 * body. */
static void add_content(struct table *t, uint32_t row, const struct mime_part *content)
{
    uint32_t number = 0;
    if (content->kind != MIME_MULTIPART) {
        add_row(t, row, 1, content);
        return;
    }
    for (const struct mime_part *child = content->child; child; child = child->next)
        add_row(t, row, ++number, child);
}

static bool is_signature(const struct mime_part *part)
{
    return mime_is(part, SLICE("application"), SLICE("pgp-signature")) ||
           mime_is(part, SLICE("application"), SLICE("pkcs7-signature")) ||
           mime_is(part, SLICE("application"), SLICE("x-pkcs7-signature"));
}

/* What people call an attachment: said to be one, or not text and not shown inside the text. */
static bool is_attachment(const struct mime_part *part)
{
    if (part->kind == MIME_MULTIPART || is_signature(part))
        return false;
    if (slice_ieq(part->disposition.name, SLICE("attachment")))
        return true;
    if (mime_is(part, SLICE("text"), SLICE_EMPTY) || !part->parent)
        return false;
    if (part->kind == MIME_MESSAGE)
        return true;
    bool related = mime_is(part->parent, SLICE("multipart"), SLICE("related")) ||
                   mime_is(part->parent, SLICE("multipart"), SLICE("report"));
    return !related && !(part->id.len && slice_ieq(part->disposition.name, SLICE("inline")));
}

void part_facts_in(struct arena *arena, struct charset_set *set, const struct mime_part *root,
                   const struct served *served, struct facts *facts)
{
    struct table t = {arena, set, served, facts};
    const struct mime_part *part = root;
    size_t rows = 2;
    do {
        rows++;
        if (is_attachment(part))
            facts->flags |= FACTS_HAS_ATTACHMENT;
        part = mime_walk(part);
    } while (part);
    facts->parts = ARENA_ARRAY(arena, struct facts_part, rows);
    facts->parts[0] = (struct facts_part){.kind = FACTS_MESSAGE,
                                          .encoding = FACTS_ENC_8BIT,
                                          .body_len = served->size,
                                          .inner_header_len = served->header_len,
                                          .type = SLICE("message"),
                                          .subtype = SLICE("rfc822")};
    facts->part_count = 1;
    add_content(&t, 0, root);
}

bool part_texts_in(struct arena *arena, const struct mime_part *root, struct slice message,
                   struct facts *facts)
{
    AUTO_BUF struct buf text = buf_new(STRUCTURE_MAX);
    bodystructure_write(root, message, true, &text);
    if (!buf_ok(&text))
        return false;
    facts->bodystructure = arena_dup(arena, buf_slice(&text));
    buf_clear(&text);
    bodystructure_write(root, message, false, &text); /* always shorter */
    facts->body = arena_dup(arena, buf_slice(&text));
    return true;
}
