// SPDX-License-Identifier: Apache-2.0
/*
 * `gpuscale generate`: any bytes as a file of Kubernetes objects give manifests in every style, or
 * refusals of one printable line. What is written is read back: one document, whose trigger has the
 * very keys and values of the plan, whatever names and texts the input had.
 */
#include "base/limits.h"
#include "base/mem.h"
#include "fuzz.h"
#include "tools/generate_write.h"

FUZZ_LIBFYAML_LEAKS

static struct generate_flags flags;
static struct arena flags_arena;

static void load_flags(void) {
    static char name[] = "generate", demand[] = "--demand=gateway";
    static char capacity[] = "--capacity=2", place[] = "--namespace=ml";
    char *argv[] = {name, demand, capacity, place, NULL};
    struct conf_outcome outcome;
    struct err e = {0};
    if (flags_arena.max > 0)
        return;
    arena_init(&flags_arena, LIMIT_CONFIG_ARENA_BYTES);
    require(conf_load(&generate_spec, 4, argv, &flags, &flags_arena, &outcome, &e) == 0);
}

static const struct conf_node *at(const struct conf_node *map, const char *key) {
    for (const struct conf_node *n = map && map->kind == CONF_NODE_MAP ? map->first : NULL; n;
         n = n->next)
        if (str_eqc(n->key, key))
            return n;
    return NULL;
}

static const struct conf_node *read_back(const struct buf *out, struct arena *a) {
    struct conf_node *root = NULL;
    struct err e = {0};
    const struct conf_text t = {.text = buf_str(out),
                                .name = "out",
                                .line = 1,
                                .column = 1,
                                .max_bytes = LIMIT_ANSWER_BYTES,
                                .max_key_bytes = LIMIT_ANSWER_BYTES,
                                .bytes_limit = "B",
                                .tree_limit = "T"};
    int r = conf_tree_read(&t, a, &root, &e);
    // What was read at the deepest level is written a level deeper.
    if (r == ERR_LIMIT)
        return NULL;
    require(r == 0 && root && root->kind == CONF_NODE_MAP);
    return root;
}

static void check_trigger(const struct generate_plan *p, const struct conf_node *root) {
    const struct conf_node *spec = at(root, "spec");
    require(str_eqc(at(at(root, "metadata"), "name")->text, p->name));
    require(str_eqc(at(at(spec, "scaleTargetRef"), "name")->text, p->target_name));
    const struct conf_node *triggers = at(spec, "triggers");
    require(triggers && triggers->kind == CONF_NODE_LIST && triggers->first);
    const struct conf_node *metadata = at(triggers->first, "metadata");
    require(metadata && metadata->children == p->n_settings + 1);
    for (size_t i = 0; i < p->n_settings; i++) {
        const struct conf_node *n = at(metadata, p->settings[i].key);
        require(n && n->quoted && str_eqc(n->text, p->settings[i].value));
    }
    const struct conf_node *kept = triggers->first->next;
    for (size_t i = 0; i < p->n_kept; i++, kept = kept->next)
        require(kept && str_eqc(at(kept, "type")->text, p->kept[i]->type));
}

static void write_parts(struct generate_plan *p, struct arena *a) {
    struct generate_part parts[GENERATE_PARTS];
    size_t n = generate_parts(p, parts);
    if (p->r < 0) {
        require_message(p->e);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        struct buf out;
        buf_init(&out, LIMIT_ANSWER_BYTES);
        struct yaml_writer w = {.out = &out};
        parts[i].write(p, &w);
        require(out.err == 0);
        const struct conf_node *root = read_back(&out, a);
        if (root && parts[i].write == write_scaled_object)
            check_trigger(p, root);
        buf_done(&out);
    }
}

static void plan(const struct manifest_scalable *w, const struct manifest_scaled *s, int style,
                 struct arena *a) {
    struct generate_flags f = flags;
    f.style = style;
    struct err e = {0};
    struct generate_plan *p = arena_zalloc(a, sizeof(*p));
    require(p != NULL);
    *p = (struct generate_plan){.flags = &f, .a = a, .e = &e, .workload = w, .from = s};
    p->closed = true;
    if (generate_plan_make(p) < 0)
        require_message(&e);
    else
        write_parts(p, a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    load_flags();
    struct manifest_objects o;
    struct err e = {0};
    manifest_objects_init(&o);
    if (manifest_objects_read(&o, (struct str){(const char *)data, size}, "f", 0, &e) < 0)
        require_message(&e);
    struct manifest_scalable w;
    struct manifest_scaled s;
    bool has_w = false, has_s = false;
    for (size_t i = 0; i < o.objects.n && i < 64; i++) {
        struct manifest_reader r = {.file = "f", .a = &o.arena, .e = &e};
        const struct manifest_object *object = &o.objects.items[i];
        const char *why = NULL;
        if (manifest_is_scaled(object)) {
            manifest_scaled_read(&r, object, &s);
            has_s = r.r == 0;
        } else if (manifest_is_scalable(object, &why)) {
            manifest_scalable_read(&r, object, &w);
            has_w = r.r == 0;
        }
        if (r.r < 0)
            require_message(&e);
    }
    for (int style = STYLE_GPUSCALE; style <= STYLE_HPA && (has_w || has_s); style++)
        plan(has_w ? &w : NULL, has_s ? &s : NULL, style, &o.arena);
    manifest_objects_done(&o);
    return 0;
}
