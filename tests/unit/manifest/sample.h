// SPDX-License-Identifier: Apache-2.0
/* A YAML text as a tree, for tests of what reads trees. */
#pragma once

#include "base/limits.h"
#include "manifest/reader.h"
#include "unit.h"

struct sample {
    struct arena a;
    struct err e;
    struct manifest_reader r;
    const struct conf_node *root;
};

static inline void sample_start(struct sample *s, const char *text) {
    *s = (struct sample){0};
    arena_init(&s->a, 16 << 20);
    s->r = (struct manifest_reader){.file = "f.yaml", .a = &s->a, .e = &s->e};
    const struct conf_text t = {.text = str_from(text),
                                .name = "f.yaml",
                                .line = 1,
                                .column = 1,
                                .max_bytes = 1 << 20,
                                .max_key_bytes = 256,
                                .bytes_limit = "B",
                                .tree_limit = "T"};
    struct conf_node *root = NULL;
    if (conf_tree_read(&t, &s->a, &root, &s->e) < 0)
        fail_msg("%s", s->e.msg);
    s->root = root;
}

static inline void sample_end(struct sample *s) {
    arena_done(&s->a);
}
