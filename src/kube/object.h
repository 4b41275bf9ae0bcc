// SPDX-License-Identifier: Apache-2.0
/*
 * An object of the Kubernetes API as it is kept: its metadata, and what its kind's reader took of
 * the rest. All of it lies in one piece of memory, as large as it must be: 10,000 pods are kept.
 * A kind is a row: where its objects lie and how they are read.
 */
#pragma once

#include <jansson.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/map.h"

struct kube_label {
    const char *key, *value;
};

struct kube_object {
    const struct kube_kind *kind;
    const char *key;                                 // "namespace/name"
    const char *namespace_, *name, *uid, *version;   // "": none; version: the resourceVersion
    const char *owner_kind, *owner_name, *owner_uid; // the controller among its owners; "": none
    int64_t created_ns;                              // since 1970; 0: not told
    int64_t deletion_ns; // deletionTimestamp: when it is to be gone; 0: it is not being deleted
    struct kube_label *labels;
    size_t n_labels;
    // The cache's own.
    struct arena memory;
    UT_hash_handle hh;
    unsigned generation;
};

// Reads fields of JSON into an object's memory. The first failure sticks in `r`.
struct kube_reader {
    struct arena *a;
    int r;
};

struct kube_kind {
    const char *group, *version, *resource; // as in kube_resource
    size_t size;                            // of its struct, which begins with kube_object
    // Fills what the kind adds. What is absent or of another type than the API says reads as
    // absent.
    void (*read)(struct kube_object *o, const json_t *json, struct kube_reader *r);
};

// One JSON text. ERR_PARSE with the place, ERR_NOMEM. NUL in strings (any tenant may write one into
// an annotation) is taken.
int kube_json_parse(struct str text, json_t **ret, struct err *e);
// ERR_PARSE: no name; ERR_LIMIT: LIMIT_KUBE_KEPT_BYTES; ERR_NOMEM.
int kube_object_read(struct kube_object **ret, const struct kube_kind *kind, const json_t *json,
                     struct err *e);
// The same of an answer's body.
int kube_object_parse(struct kube_object **ret, const struct kube_kind *kind, struct str body,
                      struct err *e);
struct kube_object *kube_object_free(struct kube_object *o);
// A label's value; NULL: it has none such.
const char *kube_object_label(const struct kube_object *o, const char *key);
// A condition's "True"/"False"/"Unknown" of status.conditions; "": not there.
const char *kube_json_condition(const json_t *status, const char *type);

// For the kinds' readers. `json` may be NULL or anything.
const char *kube_read_text(struct kube_reader *r, const json_t *json, const char *key); // ""
const char *kube_read_copy(struct kube_reader *r, const char *text);                    // NULL: ""
int64_t kube_read_time_ns(const json_t *json, const char *key);                         // 0
int64_t kube_read_int(const json_t *json, const char *key, int64_t otherwise);
bool kube_read_bool(const json_t *json, const char *key, bool otherwise);
void *kube_read_array(struct kube_reader *r, size_t count, size_t size); // zeroed; NULL: r->r
struct kube_label *kube_read_labels(struct kube_reader *r, const json_t *map, size_t *ret_n);
// A quantity in whole units, rounded up ("8"); 0: none.
int64_t kube_read_quantity(const json_t *json, const char *key);
#define CLEANUP_JSON __attribute__((cleanup(kube_json_cleanup)))
static inline void kube_json_cleanup(json_t **json) {
    json_decref(*json);
}
