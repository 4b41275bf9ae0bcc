// SPDX-License-Identifier: Apache-2.0
/* Objects out of JSON. Read twice: once to learn how much memory it takes, once into it. */
#include "kube/object.h"

#include "base/limits.h"
#include "base/rfc3339.h"
#include "kube/resource.h"
#include "manifest/quantity.h"

int kube_json_parse(struct str text, json_t **ret, struct err *e) {
    json_error_t error;
    json_t *json = json_loadb(text.p, text.n, JSON_ALLOW_NUL, &error);
    if (!json && json_error_code(&error) == json_error_out_of_memory)
        return err_set(e, ERR_NOMEM, "out of memory");
    if (!json)
        return err_set(e, ERR_PARSE, "no JSON at line %d, column %d", error.line, error.column);
    *ret = json;
    return 0;
}

const char *kube_read_copy(struct kube_reader *r, const char *text) {
    if (!text || !*text || r->r < 0)
        return "";
    const char *copy = arena_strdup(r->a, str_from(text));
    if (!copy)
        r->r = r->a->max - r->a->used < strlen(text) + 16 ? ERR_LIMIT : ERR_NOMEM;
    return copy ? copy : "";
}

const char *kube_read_text(struct kube_reader *r, const json_t *json, const char *key) {
    return kube_read_copy(r, json_string_value(json_object_get(json, key)));
}

int64_t kube_read_time_ns(const json_t *json, const char *key) {
    const char *text = json_string_value(json_object_get(json, key));
    int64_t ns;
    return text && rfc3339_parse(text, &ns, NULL) == 0 ? ns : 0;
}

int64_t kube_read_int(const json_t *json, const char *key, int64_t otherwise) {
    const json_t *n = json_object_get(json, key);
    return json_is_integer(n) ? json_integer_value(n) : otherwise;
}

bool kube_read_bool(const json_t *json, const char *key, bool otherwise) {
    const json_t *b = json_object_get(json, key);
    return json_is_boolean(b) ? json_is_true(b) : otherwise;
}

void *kube_read_array(struct kube_reader *r, size_t count, size_t size) {
    if (count == 0 || r->r < 0)
        return NULL;
    void *p = arena_array(r->a, count, size);
    if (!p)
        r->r = r->a->max - r->a->used < count * size + 16 ? ERR_LIMIT : ERR_NOMEM;
    return p;
}

struct kube_label *kube_read_labels(struct kube_reader *r, const json_t *map, size_t *ret_n) {
    struct kube_label *labels = kube_read_array(r, json_object_size(map), sizeof(*labels));
    size_t n = 0;
    const char *key;
    json_t *value;
    *ret_n = 0;
    if (!labels)
        return NULL;
    void *at = json_object_iter((json_t *)(uintptr_t)map);
    for (; at; at = json_object_iter_next((json_t *)(uintptr_t)map, at)) {
        key = json_object_iter_key(at);
        value = json_object_iter_value(at);
        if (json_is_string(value))
            labels[n++] = (struct kube_label){kube_read_copy(r, key),
                                              kube_read_copy(r, json_string_value(value))};
    }
    *ret_n = n;
    return labels;
}

int64_t kube_read_quantity(const json_t *json, const char *key) {
    const json_t *q = json_object_get(json, key);
    struct quantity v;
    if (json_is_integer(q))
        return json_integer_value(q) > 0 ? json_integer_value(q) : 0;
    const char *text = json_string_value(q);
    if (!text || quantity_parse(str_from(text), &v) < 0 || v.milli <= 0)
        return 0;
    return v.milli / 1000 + (v.milli % 1000 != 0);
}

const char *kube_json_condition(const json_t *status, const char *type) {
    const json_t *all = json_object_get(status, "conditions");
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *c = json_array_get(all, i);
        const char *is = json_string_value(json_object_get(c, "type"));
        const char *value = json_string_value(json_object_get(c, "status"));
        if (is && value && strcmp(is, type) == 0)
            return value;
    }
    return "";
}

const char *kube_object_label(const struct kube_object *o, const char *key) {
    for (size_t i = 0; i < o->n_labels; i++)
        if (strcmp(o->labels[i].key, key) == 0)
            return o->labels[i].value;
    return NULL;
}

static void read_owner(struct kube_object *o, const json_t *owners, struct kube_reader *r) {
    o->owner_kind = o->owner_name = o->owner_uid = "";
    for (size_t i = 0; i < json_array_size(owners); i++) {
        const json_t *owner = json_array_get(owners, i);
        if (!kube_read_bool(owner, "controller", false))
            continue;
        o->owner_kind = kube_read_text(r, owner, "kind");
        o->owner_name = kube_read_text(r, owner, "name");
        o->owner_uid = kube_read_text(r, owner, "uid");
        return;
    }
}

static void read_metadata(struct kube_object *o, const json_t *meta, struct kube_reader *r) {
    const char *ns = json_string_value(json_object_get(meta, "namespace"));
    const char *name = json_string_value(json_object_get(meta, "name"));
    o->key = arena_printf(r->a, "%s/%s", ns ? ns : "", name);
    if (!o->key) {
        r->r = r->r ? r->r : ERR_NOMEM;
        o->key = "";
    }
    const char *slash = strchr(o->key, '/');
    o->name = slash ? slash + 1 : "";
    o->namespace_ = kube_read_copy(r, ns);
    o->uid = kube_read_text(r, meta, "uid");
    o->version = kube_read_text(r, meta, "resourceVersion");
    o->created_ns = kube_read_time_ns(meta, "creationTimestamp");
    o->deletion_ns = kube_read_time_ns(meta, "deletionTimestamp");
    o->labels = kube_read_labels(r, json_object_get(meta, "labels"), &o->n_labels);
    read_owner(o, json_object_get(meta, "ownerReferences"), r);
}

static struct kube_object *read_once(const struct kube_kind *kind, const json_t *json,
                                     size_t max_bytes, int *ret_r) {
    struct kube_object *o = mem_zalloc(kind->size);
    *ret_r = ERR_NOMEM;
    if (!o)
        return NULL;
    o->kind = kind;
    arena_init(&o->memory, max_bytes);
    struct kube_reader r = {.a = &o->memory};
    read_metadata(o, json_object_get(json, "metadata"), &r);
    if (kind->read)
        kind->read(o, json, &r);
    *ret_r = r.r;
    return r.r < 0 ? kube_object_free(o) : o;
}

int kube_object_read(struct kube_object **ret, const struct kube_kind *kind, const json_t *json,
                     struct err *e) {
    const char *name = json_string_value(
        json_object_get(json_object_get(json, "metadata"), "name"));
    if (!name || !*name)
        return err_set(e, ERR_PARSE, "an object without metadata.name");
    int r;
    struct kube_object *o = read_once(kind, json, LIMIT_KUBE_KEPT_BYTES, &r);
    if (o) {
        size_t used = o->memory.used;
        kube_object_free(o);
        o = read_once(kind, json, used, &r);
    }
    char shown[128];
    kube_clean(shown, sizeof(shown), name);
    if (!o && r == ERR_LIMIT)
        return err_set(e, r,
                       "'%s': more than %d bytes would have to be kept of it "
                       "(LIMIT_KUBE_KEPT_BYTES)",
                       shown, LIMIT_KUBE_KEPT_BYTES);
    if (!o)
        return err_set(e, r, "'%s': out of memory", shown);
    *ret = o;
    return 0;
}

int kube_object_parse(struct kube_object **ret, const struct kube_kind *kind, struct str body,
                      struct err *e) {
    CLEANUP_JSON json_t *json = NULL;
    int rc = kube_json_parse(body, &json, e);
    return rc < 0 ? rc : kube_object_read(ret, kind, json, e);
}

struct kube_object *kube_object_free(struct kube_object *o) {
    if (o) {
        arena_done(&o->memory);
        mem_free(o);
    }
    return NULL;
}
