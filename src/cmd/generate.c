// SPDX-License-Identifier: Apache-2.0
/* gpuscale generate [FLAGS] [FILE | KIND/NAME ...]: manifests for a workload. */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "cmd/verbs.h"
#include "tools/generate.h"

// Does the flag take the next argument?
static bool takes_value(const char *flag) {
    if (strchr(flag, '=') != NULL)
        return false;
    for (const struct conf_field *f = generate_spec.fields; f->key != NULL; f++)
        if (f->flag != NULL && strcmp(f->flag, flag + 2) == 0)
            return f->kind != CONF_KIND_BOOL;
    return false; // --help, or none: its message follows
}

// As kubectl has it: flags may stand behind what they are about, and -n is --namespace. argv in the
// order that conf_load() wants, NULL without memory.
static char **in_order(int argc, char **argv, struct arena *a) {
    static char namespace_flag[] = "--namespace";
    char **flags = arena_array(a, (size_t)argc + 1, sizeof(*flags));
    char **rest = arena_array(a, (size_t)argc + 1, sizeof(*rest));
    if (flags == NULL || rest == NULL)
        return NULL;
    int n = 0, n_rest = 0;
    flags[n++] = argv[0];
    for (int i = 1; i < argc; i++) {
        bool flag = argv[i][0] == '-' && argv[i][1] != '\0';
        if (strcmp(argv[i], "-n") == 0)
            argv[i] = namespace_flag;
        if (strcmp(argv[i], "--") == 0) {
            while (++i < argc)
                rest[n_rest++] = argv[i];
            break;
        }
        if (!flag) {
            rest[n_rest++] = argv[i];
            continue;
        }
        flags[n++] = argv[i];
        if (strncmp(argv[i], "--", 2) == 0 && takes_value(argv[i]) && i + 1 < argc)
            flags[n++] = argv[++i];
    }
    for (int i = 0; i < n_rest; i++)
        flags[n + i] = rest[i];
    return flags;
}

int verb_generate(int argc, char **argv) {
    CLEANUP_ARENA struct arena arena;
    arena_init(&arena, LIMIT_CONFIG_ARENA_BYTES);
    struct generate_flags flags = {0};
    struct conf_outcome outcome;
    struct err e = {0};
    argv = in_order(argc, argv, &arena);
    if (argv == NULL) {
        (void)fputs("gpuscale generate: out of memory\n", stderr);
        return 1;
    }
    if (conf_load(&generate_spec, argc, argv, &flags, &arena, &outcome, &e) < 0) {
        (void)fprintf(stderr, "gpuscale generate: %s\n", e.msg);
        return 2;
    }
    if (outcome.text != NULL) {
        (void)fputs(outcome.text, stdout);
        return 0;
    }
    flags.inputs = argv + outcome.rest;
    flags.n_inputs = argc - outcome.rest;
    unsigned refused = 0;
    int r = generate_main(&flags, &refused, &e);
    if (r == 0)
        return refused > 0 ? 2 : 0;
    (void)fprintf(stderr, "gpuscale generate: %s\n", e.msg);
    return r == ERR_INVALID || r == ERR_LIMIT || r == ERR_PARSE ? 2 : 1;
}
