// SPDX-License-Identifier: Apache-2.0
/*
 * YAML and JSON through libfyaml's events into a small tree. Events rather than documents, because
 * each brings its place, aliases stay visible, and nothing recurses. What libfyaml 0.7.12 lets pass
 * is refused here first: bad UTF-8 (it becomes an empty value), NUL and other control bytes (text
 * after them vanishes), a second document (silently dropped), deep nesting.
 */
#include <libfyaml.h>
#include <stdio.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "conf/internal.h"

struct builder {
    const struct conf_text *in;
    const char *name;
    struct arena *scratch;
    struct conf_node *open[LIMIT_CONFIG_DEPTH]; // lists and maps that wait for their end
    unsigned depth;
    struct conf_node *root;
    struct conf_node *key; // of the map on top, waits for its value
    unsigned line, column; // of the last event that had a place
};

// Where the builder is, from a place in the text (from 1).
static void set_place(struct builder *b, unsigned line, unsigned column) {
    b->line = b->in->line - 1 + line;
    b->column = line == 1 ? b->in->column - 1 + column : column;
}

static int fail(const struct builder *b, struct err *e, const char *what) {
    return err_set(e, ERR_PARSE, "%s:%u:%u: %s", b->name, b->line, b->column, what);
}

static int no_memory(const struct builder *b, struct err *e) {
    if (b->scratch->max - b->scratch->used < sizeof(struct conf_node) + b->in->max_bytes)
        return err_set(e, ERR_LIMIT, "%s:%u:%u: too many values (%s, %zu MiB)", b->name, b->line,
                       b->column, b->in->tree_limit, b->scratch->max >> 20);
    return err_set(e, ERR_NOMEM, "%s: out of memory", b->name);
}

static struct conf_node *node_new(struct builder *b, int kind) {
    struct conf_node *n = arena_zalloc(b->scratch, sizeof(*n));
    if (n) {
        n->kind = kind;
        n->line = b->line;
        n->column = b->column;
    }
    return n;
}

// Hangs a finished scalar, or a list or map that begins, where it belongs.
static int attach(struct builder *b, struct conf_node *n, struct err *e) {
    struct conf_node *parent = b->depth ? b->open[b->depth - 1] : NULL;
    if (!parent) {
        b->root = n;
        return 0;
    }
    if (parent->kind == CONF_NODE_MAP && !b->key) {
        if (n->kind != CONF_NODE_SCALAR || n->text.n == 0)
            return fail(b, e, "a key must be a name");
        if (n->text.n > b->in->max_key_bytes)
            return err_set(e, ERR_LIMIT, "%s:%u:%u: a key is longer than %zu bytes", b->name,
                           b->line, b->column, b->in->max_key_bytes);
        if (!n->quoted && str_eqc(n->text, "<<"))
            return fail(b, e, "merge keys (<<) are not used here: write the values out");
        b->key = n;
        return 0;
    }
    if (b->key) {
        n->key = b->key->text;
        n->key_line = b->key->line;
        n->key_column = b->key->column;
        b->key = NULL;
    }
    parent->children++;
    if (parent->last)
        parent->last->next = n;
    else
        parent->first = n;
    parent->last = n;
    return 0;
}

static int on_scalar(struct builder *b, struct fy_event *event, struct err *e) {
    struct fy_token *token = event->scalar.value;
    size_t len = 0;
    const char *text = token ? fy_token_get_text(token, &len) : NULL;
    if (token && !text)
        return err_set(e, ERR_NOMEM, "%s: out of memory", b->name);
    enum fy_scalar_style style = token ? fy_token_scalar_style(token) : FYSS_PLAIN;
    if ((style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED) && b->column > 1)
        b->column--; // libfyaml's mark is behind the quote
    // Escapes can make what the text itself could not hold.
    if (len > 0 && (memchr(text, '\0', len) || !utf8_valid(text, len)))
        return fail(b, e, "the string has an escape for a character that is not allowed");
    struct conf_node *n = node_new(b, CONF_NODE_SCALAR);
    char *copy = n ? arena_strdup(b->scratch, (struct str){text, len}) : NULL;
    if (!copy)
        return no_memory(b, e);
    n->quoted = style != FYSS_PLAIN;
    n->text = (struct str){copy, len};
    return attach(b, n, e);
}

static int on_start(struct builder *b, int kind, struct err *e) {
    if (b->depth == LIMIT_CONFIG_DEPTH)
        return err_set(e, ERR_LIMIT, "%s:%u:%u: nested deeper than %d levels", b->name, b->line,
                       b->column, LIMIT_CONFIG_DEPTH);
    struct conf_node *n = node_new(b, kind);
    if (!n)
        return no_memory(b, e);
    int r = attach(b, n, e);
    if (r < 0)
        return r;
    b->open[b->depth++] = n;
    return 0;
}

static int refuse_decoration(const struct builder *b, struct fy_token *anchor, struct fy_token *tag,
                             struct err *e) {
    if (tag)
        return fail(b, e, "tags (!...) are not used here");
    if (anchor)
        return fail(b, e, "anchors (&...) are not used here: write the value out");
    return 0;
}

static int on_event(struct builder *b, struct fy_event *event, struct err *e) {
    struct fy_token *token = fy_event_get_token(event);
    const struct fy_mark *mark = token ? fy_token_start_mark(token) : NULL;
    if (mark)
        set_place(b, (unsigned)mark->line + 1, (unsigned)mark->column + 1);
    int r;
    switch (event->type) {
    case FYET_DOCUMENT_START:
        return b->root ? fail(b, e, "a second document begins; one is allowed") : 0;
    case FYET_SCALAR:
        r = refuse_decoration(b, event->scalar.anchor, event->scalar.tag, e);
        return r < 0 ? r : on_scalar(b, event, e);
    case FYET_SEQUENCE_START:
        r = refuse_decoration(b, event->sequence_start.anchor, event->sequence_start.tag, e);
        return r < 0 ? r : on_start(b, CONF_NODE_LIST, e);
    case FYET_MAPPING_START:
        r = refuse_decoration(b, event->mapping_start.anchor, event->mapping_start.tag, e);
        return r < 0 ? r : on_start(b, CONF_NODE_MAP, e);
    case FYET_SEQUENCE_END:
    case FYET_MAPPING_END:
        b->depth--;
        return 0;
    case FYET_ALIAS:
        return fail(b, e, "aliases (*...) are not used here: write the value out");
    default:
        return 0;
    }
}

// libfyaml's own complaint, at its place.
static int syntax_error(struct builder *b, struct fy_diag *diag, struct err *e) {
    void *at = NULL;
    struct fy_diag_error *d = fy_diag_errors_iterate(diag, &at);
    if (!d || !d->msg)
        return err_set(e, ERR_NOMEM, "%s: the parser stopped without a reason (out of memory?)",
                       b->name);
    set_place(b, d->line > 0 ? (unsigned)d->line : 1, d->column > 0 ? (unsigned)d->column : 1);
    return fail(b, e, d->msg);
}

static void sink(struct fy_diag *diag, void *user, const char *text, size_t len) {
}

static int parse(struct builder *b, struct str text, bool json, struct err *e) {
    struct fy_diag_cfg diag_cfg;
    fy_diag_cfg_default(&diag_cfg);
    diag_cfg.fp = NULL; // never stderr
    diag_cfg.output_fn = sink;
    diag_cfg.level = FYET_ERROR;
    diag_cfg.colorize = false;
    struct fy_diag *diag = fy_diag_create(&diag_cfg);
    if (!diag)
        return err_set(e, ERR_NOMEM, "%s: out of memory", b->name);
    fy_diag_set_collect_errors(diag, true);
    struct fy_parse_cfg cfg = {
        .flags = FYPCF_DEFAULT_VERSION_1_2 | (json ? FYPCF_JSON_FORCE : FYPCF_JSON_NONE),
        .diag = diag,
    };
    int r = 0;
    struct fy_parser *parser = fy_parser_create(&cfg);
    if (!parser || fy_parser_set_string(parser, text.p, text.n) < 0)
        r = err_set(e, ERR_NOMEM, "%s: out of memory", b->name);
    while (r == 0) {
        struct fy_event *event = fy_parser_parse(parser);
        if (!event)
            break;
        r = on_event(b, event, e);
        fy_parser_event_free(parser, event);
    }
    if (r == 0 && fy_parser_get_stream_error(parser))
        r = syntax_error(b, diag, e);
    if (parser)
        fy_parser_destroy(parser);
    fy_diag_destroy(diag);
    return r;
}

// The first byte that no text file has, at its line and column (in characters).
static int check_bytes(struct builder *b, struct str text, struct err *e) {
    size_t valid = utf8_valid_prefix(text.p, text.n);
    set_place(b, 1, 1);
    for (size_t i = 0; i < valid; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c == '\n') {
            b->line++;
            b->column = 1;
            continue;
        }
        if ((c < 0x20 && c != '\t' && c != '\r') || c == 0x7f) {
            char what[64];
            snprintf(what, sizeof(what), "control byte 0x%02x; is this a text file?", c);
            return fail(b, e, what);
        }
        b->column += (c & 0xc0) != 0x80;
    }
    if (valid < text.n) {
        char what[64];
        snprintf(what, sizeof(what), "byte 0x%02x is not UTF-8", (unsigned char)text.p[valid]);
        return fail(b, e, what);
    }
    return 0;
}

int conf_tree_read(const struct conf_text *t, struct arena *a, struct conf_node **ret_root,
                   struct err *e) {
    struct builder b = {
        .in = t, .name = t->name, .scratch = a, .line = t->line, .column = t->column};
    struct str text = t->text;
    if (text.n > t->max_bytes)
        return err_set(e, ERR_LIMIT, "%s: larger than %zu MiB (%s)", t->name, t->max_bytes >> 20,
                       t->bytes_limit);
    int r = check_bytes(&b, text, e);
    if (r < 0)
        return r;
    if (str_starts(text, "\xef\xbb\xbf"))
        text = (struct str){text.p + 3, text.n - 3};
    if (str_trim(text).n > 0) {
        set_place(&b, 1, 1);
        r = parse(&b, text, t->json, e);
        if (r < 0)
            return r;
    }
    *ret_root = b.root;
    return 0;
}

int conf_tree(struct str text, const char *name, struct arena *scratch, struct conf_node **ret_root,
              struct err *e) {
    const struct conf_text t = {
        .text = text,
        .name = name,
        .line = 1,
        .column = 1,
        .json = str_ends(str_from(name), ".json"),
        .max_bytes = LIMIT_CONFIG_BYTES,
        .max_key_bytes = LIMIT_CONFIG_KEY_BYTES,
        .bytes_limit = "LIMIT_CONFIG_BYTES",
        .tree_limit = "LIMIT_CONFIG_TREE_BYTES",
    };
    struct conf_node *root = NULL;
    int r = conf_tree_read(&t, scratch, &root, e);
    if (r == 0 && !root)
        r = err_set(e, ERR_PARSE, "%s: the file is empty; {} stands for all defaults", name);
    if (r == 0)
        *ret_root = root;
    return r;
}
