// SPDX-License-Identifier: Apache-2.0
/* Objects of a kind out of a text. */
#pragma once

#include "base/clock.h"
#include "base/mem.h"
#include "kube/kinds.h"
#include "unit.h"

static inline struct kube_object *kind_read(const struct kube_kind *kind, const char *text) {
    json_t *json = NULL;
    struct kube_object *o = NULL;
    struct err e = {0};
    if (kube_json_parse(str_from(text), &json, &e) < 0 || kube_object_read(&o, kind, json, &e) < 0)
        fail_msg("%s", e.msg);
    json_decref(json);
    return o;
}

// Whatever the parts are, they read as absent; each end of memory is an error.
static inline void kind_survives(const struct kube_kind *kind, const char *text) {
    static const char *const instead[] = {"null", "1", "\"x\"", "[]", "{}", "[1,null,[]]", "true"};
    json_t *json = NULL;
    struct err e = {0};
    assert_int_equal(kube_json_parse(str_from(text), &json, &e), 0);
    for (long n = 1;; n++) {
        struct kube_object *o = NULL;
        mem_fail_from(n);
        int r = kube_object_read(&o, kind, json, &e);
        mem_fail_never();
        kube_object_free(o);
        if (r == 0)
            break;
        assert_int_equal(r, ERR_NOMEM);
    }
    json_decref(json);
    // Each value of the text, replaced.
    size_t len = strlen(text);
    char *damaged = malloc(len + 20);
    for (size_t at = 0; at < len; at++) {
        if (text[at] != ':')
            continue;
        size_t end = at + 1, depth = 0;
        bool in_string = false;
        for (; end < len; end++) {
            char c = text[end];
            in_string ^= c == '"';
            if (!in_string && depth == 0 && (c == ',' || c == '}' || c == ']'))
                break;
            depth += !in_string && (c == '{' || c == '[');
            depth -= !in_string && (c == '}' || c == ']');
        }
        for (size_t i = 0; i < COUNT_OF(instead); i++) {
            struct kube_object *o = NULL;
            snprintf(damaged, len + 20, "%.*s%s%s", (int)at + 1, text, instead[i], text + end);
            if (kube_json_parse(str_from(damaged), &json, &e) < 0)
                continue; // a colon inside of a string
            int r = kube_object_read(&o, kind, json, &e);
            assert_true(r == 0 || r == ERR_PARSE); // without a name
            kube_object_free(o);
            json_decref(json);
        }
    }
    free(damaged);
}
