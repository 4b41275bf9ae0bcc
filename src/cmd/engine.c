// SPDX-License-Identifier: Apache-2.0
/* gpuscale engine: a mock inference server with a model of the GPU behind it. */
#include <stdbool.h>
#include <stdio.h>

#include "base/limits.h"
#include "cmd/verbs.h"
#include "engine/engine.h"

int verb_engine(int argc, char **argv) {
    CLEANUP_ARENA struct arena arena;
    arena_init(&arena, LIMIT_CONFIG_ARENA_BYTES);
    struct engine_config config = {0};
    struct conf_outcome outcome;
    struct err e = {0};
    if (conf_load(&engine_config_spec, argc, argv, &config, &arena, &outcome, &e) < 0) {
        (void)fprintf(stderr, "gpuscale engine: %s\n", e.msg);
        return 2;
    }
    if (outcome.text != NULL) {
        (void)fputs(outcome.text, stdout);
        return 0;
    }
    int r = engine_run(&config, &e);
    if (r < 0)
        (void)fprintf(stderr, "gpuscale engine: %s\n", e.msg);
    bool usage = r == ERR_INVALID || r == ERR_NOTFOUND || r == ERR_PARSE;
    return r == 0 ? 0 : usage ? 2 : 1;
}
