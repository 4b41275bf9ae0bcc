// SPDX-License-Identifier: Apache-2.0
/* What the tests of the page's JSON share: reading it back with a real parser. */
#pragma once

#include <jansson.h>

#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "report/live.h"
#include "unit.h"

static inline json_t *unit_json(struct str text) {
    json_error_t why;
    json_t *j = json_loadb(text.p, text.n, 0, &why);
    if (j == NULL)
        fail_msg("%s at %d: %.*s", why.text, why.position, (int)(text.n < 2000 ? text.n : 2000),
                 text.p);
    return j;
}

// "replicas.wanted" of an object; lists by number: "gpus.0.state".
static inline json_t *unit_at(json_t *j, const char *path) {
    struct str rest = str_from(path);
    while (rest.n > 0 && j != NULL) {
        struct str name = str_cut(&rest, '.');
        char key[64];
        assert_int_equal(str_copy(key, sizeof(key), name), 0);
        j = json_is_array(j) ? json_array_get(j, strtoul(key, NULL, 10)) : json_object_get(j, key);
    }
    if (j == NULL)
        fail_msg("no %s", path);
    return j;
}

static inline struct frame unit_frame(const char *policy, double t_s) {
    struct frame f = frame_unknown;
    f.policy = policy;
    f.t_s = t_s;
    return f;
}

static inline struct frame_hello unit_hello(const char *run) {
    static const struct frame_policy policies[] = {{"cpu", "CPU 70 %", NULL},
                                                   {"gpuscale", "gpuscale", "ours"}};
    return (struct frame_hello){.run = run,
                                .title = "a test",
                                .policies = policies,
                                .policy_n = COUNT_OF(policies),
                                .gpus = 8,
                                .usd_per_gpu_hour = 4,
                                .speed = 10,
                                .act_s = 40,
                                .start_unix_s = NAN};
}
