// SPDX-License-Identifier: Apache-2.0
/* gpuscale load: HTTP requests at a rate of their own, and how they fared. */
#include <stdio.h>

#include "base/limits.h"
#include "cmd/verbs.h"
#include "load/load.h"

int verb_load(int argc, char **argv) {
    CLEANUP_ARENA struct arena arena;
    arena_init(&arena, LIMIT_CONFIG_ARENA_BYTES);
    struct load_flags flags = {0};
    struct conf_outcome outcome;
    struct err e = {0};
    if (conf_load(&load_spec, argc, argv, &flags, &arena, &outcome, &e) < 0) {
        (void)fprintf(stderr, "gpuscale load: %s\n", e.msg);
        return 2;
    }
    if (outcome.text != NULL) {
        (void)fputs(outcome.text, stdout);
        return 0;
    }
    int r = load_main(&flags, &e);
    if (r == 0)
        return 0;
    (void)fprintf(stderr, "gpuscale load: %s\n", e.msg);
    return r == ERR_INVALID || r == ERR_LIMIT || r == ERR_PARSE ? 2 : 1;
}
