// SPDX-License-Identifier: Apache-2.0
/*
 * Cuts the API server's answers into objects before anything is parsed, so that a list of 200 MB
 * costs the memory of its largest object. Two forms: a list, {"kind": ..., "items": [OBJECT, ...],
 * "metadata": ...} with its keys in any order, and a watch, one object after the other. Pure; any
 * split of the input gives the same objects.
 *
 * Only what is needed to find the ends is looked at (strings, depth, the key "items"): whoever
 * parses an object, and the rest, learns whether it is JSON.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum kube_split_form { KUBE_SPLIT_LIST, KUBE_SPLIT_STREAM };

// An object's text, good until it returns; p NULL: it is larger than the maximum, and is skipped.
// A negative return ends the splitting with that code (and e).
typedef int (*kube_split_fn)(void *ctx, struct str object, struct err *e);

struct kube_split {
    enum kube_split_form form;
    kube_split_fn fn;
    void *ctx;
    size_t max_object;
    struct buf object; // one that was not whole yet
    struct buf rest;   // the list without its items
    // Where we are. `base`: the depth at which objects lie.
    unsigned depth, base;
    bool in_string, escaped, in_object, oversized, done;
    bool key_next, in_key; // depth 1 of a list
    bool items_next;       // the key "items" was read
    char key[8];
    unsigned key_len;
    uint64_t bytes, objects;
};

void kube_split_init(struct kube_split *s, enum kube_split_form form, size_t max_object,
                     kube_split_fn fn, void *ctx);
void kube_split_done(struct kube_split *s);
// ERR_PARSE (what stands between objects is not what belongs there), ERR_LIMIT
// (LIMIT_KUBE_LIST_REST_BYTES, LIMIT_KUBE_DEPTH), ERR_NOMEM, or what fn returned. After an error
// only kube_split_done() may follow.
int kube_split_feed(struct kube_split *s, const char *p, size_t n, struct err *e);
// The answer has ended: ERR_CLOSED when it ended inside an object, or a list before its end.
int kube_split_end(const struct kube_split *s, struct err *e);
// The list without its items: {"kind":"PodList","items":[],"metadata":{...}}.
struct str kube_split_rest(const struct kube_split *s);
