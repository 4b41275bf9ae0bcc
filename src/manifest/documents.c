// SPDX-License-Identifier: Apache-2.0
/* Documents and Lists; see the header. */
#include "manifest/documents.h"

#include "base/limits.h"
#include "manifest/reader.h"

void manifest_objects_init(struct manifest_objects *o) {
    *o = (struct manifest_objects){0};
    arena_init(&o->arena, LIMIT_CASE_TREE_BYTES);
    vec_init(&o->objects, LIMIT_CASE_MANIFESTS);
}

void manifest_objects_done(struct manifest_objects *o) {
    vec_done(&o->objects);
    arena_done(&o->arena);
    *o = (struct manifest_objects){0};
}

struct reading {
    struct manifest_objects *o;
    struct manifest_reader r;
    const char *name;
    unsigned origin;
};

static int add(struct reading *d, const struct manifest_object *item) {
    int r = vec_push(&d->o->objects, *item);
    return r == 0 ? 0
                  : manifest_fail(&d->r, item->root, r, "%s",
                                  r == ERR_LIMIT ? "more than 65536 objects (LIMIT_CASE_MANIFESTS)"
                                                 : "out of memory");
}

// The API server does not repeat in each entry of a DeploymentList that it is a Deployment.
static const char *kind_in(struct reading *d, const struct manifest_object *list) {
    struct str kind = str_from(list ? list->kind : "");
    if (kind.n <= 4 || str_eqc(kind, "List"))
        return NULL;
    return arena_strdup(&d->o->arena, (struct str){kind.p, kind.n - 4});
}

// An object, or a List of them (which may hold Lists no more). `list`: what it is in; NULL:
// nothing.
static int add_value(struct reading *d, const struct conf_node *root,
                     const struct manifest_object *list) {
    if (!manifest_is_map(&d->r, root, "a Kubernetes object"))
        return d->r.r;
    const char *kind = manifest_string(&d->r, root, "kind");
    const char *version = manifest_text(&d->r, root, "apiVersion");
    if (d->r.r < 0)
        return d->r.r;
    if (!kind)
        kind = kind_in(d, list);
    if (!version && list)
        version = list->api_version;
    if (!kind)
        return manifest_fail(
            &d->r, root, ERR_PARSE,
            "this is no Kubernetes object: it has no 'kind'; expected what kubectl "
            "apply takes (apiVersion, kind, metadata, spec)");
    const struct manifest_object item = {.file = d->name,
                                         .root = root,
                                         .kind = kind,
                                         .api_version = version ? version : "",
                                         .origin = d->origin};
    const struct conf_node *items = manifest_get(&d->r, root, "items");
    if (list || !str_ends(str_from(kind), "List") || (items && items->kind != CONF_NODE_LIST) ||
        (!items && !str_eqc(str_from(kind), "List")))
        return add(d, &item);
    for (const struct conf_node *n = items ? items->first : NULL; n && d->r.r == 0; n = n->next)
        (void)add_value(d, n, &item);
    return d->r.r;
}

static int read_text(struct reading *d, struct str text, unsigned line, bool json) {
    const struct conf_text t = {
        .text = text,
        .name = d->name,
        .line = line,
        .column = 1,
        .json = json,
        .max_bytes = LIMIT_CASE_BYTES,
        .max_key_bytes = LIMIT_CASE_KEY_BYTES,
        .bytes_limit = "LIMIT_CASE_BYTES",
        .tree_limit = "LIMIT_CASE_TREE_BYTES",
    };
    struct conf_node *root = NULL;
    int r = conf_tree_read(&t, &d->o->arena, &root, d->r.e);
    if (r < 0)
        return d->r.r = r;
    // Between two "---" there may be nothing.
    bool empty = !root || (root->kind == CONF_NODE_SCALAR && !root->quoted && root->text.n == 0);
    return empty ? 0 : add_value(d, root, NULL);
}

// "---" or "...", alone or before white space: a document ends with the line before.
static bool is_marker(struct str line) {
    return (str_starts(line, "---") || str_starts(line, "...")) &&
           (line.n == 3 || line.p[3] == ' ' || line.p[3] == '\t' || line.p[3] == '\r');
}

static int read_yaml(struct reading *d, struct str text) {
    struct str rest = text;
    const char *from = text.p; // where the document at hand begins
    unsigned line = 0, first = 1;
    while (rest.n > 0 && d->r.r == 0) {
        const char *at = rest.p;
        struct str l = str_cut(&rest, '\n');
        line++;
        if (!is_marker(l))
            continue;
        (void)read_text(d, (struct str){from, (size_t)(at - from)}, first, false);
        bool dots = l.p[0] == '.';
        from = dots ? l.p + l.n + (rest.n > 0 ? 1 : 0) : at;
        first = dots ? line + 1 : line;
    }
    if (d->r.r == 0)
        (void)read_text(d, (struct str){from, (size_t)(text.p + text.n - from)}, first, false);
    return d->r.r;
}

static bool is_json(struct str text, const char *name) {
    struct str trimmed = str_trim(text);
    return str_ends(str_from(name), ".json") || str_starts(trimmed, "{") ||
           str_starts(trimmed, "[");
}

int manifest_objects_read(struct manifest_objects *o, struct str text, const char *name,
                          unsigned origin, struct err *e) {
    struct reading d = {
        .o = o, .r = {.file = name, .a = &o->arena, .e = e}, .name = name, .origin = origin};
    size_t before = o->objects.n;
    if (text.n > LIMIT_CASE_BYTES)
        return err_set(e, ERR_LIMIT, "%s: larger than 32 MiB (LIMIT_CASE_BYTES)", name);
    if (str_starts(text, "\xef\xbb\xbf"))
        text = (struct str){text.p + 3, text.n - 3};
    int r = is_json(text, name) ? read_text(&d, text, 1, true) : read_yaml(&d, text);
    if (r < 0)
        return r;
    if (o->objects.n == before)
        return err_set(e, ERR_PARSE, "%s: there is no Kubernetes object in it", name);
    return 0;
}
