// SPDX-License-Identifier: Apache-2.0
/* gpuscale scaler: the KEDA external scaler. */
#include <stdio.h>

#include "base/limits.h"
#include "cmd/verbs.h"
#include "scaler/scaler.h"

int verb_scaler(int argc, char **argv) {
    CLEANUP_ARENA struct arena arena;
    arena_init(&arena, LIMIT_CONFIG_ARENA_BYTES);
    struct scaler_config config = {0};
    struct conf_outcome outcome;
    struct err e = {0};
    if (conf_load(&scaler_config_spec, argc, argv, &config, &arena, &outcome, &e) < 0) {
        (void)fprintf(stderr, "gpuscale scaler: %s\n", e.msg);
        return 2;
    }
    if (outcome.text != NULL) {
        (void)fputs(outcome.text, stdout);
        return 0;
    }
    if (scaler_run(&config, &e) < 0) {
        (void)fprintf(stderr, "gpuscale scaler: %s\n", e.msg);
        return 1;
    }
    return 0;
}
