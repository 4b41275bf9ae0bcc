// SPDX-License-Identifier: Apache-2.0
/* Files of the tree, and the sample pages beside it. */
#pragma once

#include <stdbool.h>

#include "unit.h"

// The file's text and a NUL; false: not there.
static inline bool repo_file(const char *name, char *text, size_t size) {
    const char *root = getenv("GPUSCALE_SOURCE_ROOT");
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", root ? root : ".", name);
    FILE *f = fopen(path, "rb");
    if (!f) {
        printf("# %s is not there: not read\n", path);
        return false;
    }
    text[fread(text, 1, size - 1, f)] = '\0';
    fclose(f);
    return true;
}

// False: said, not skip(): meson takes cmocka's TAP line of it for a failure.
static inline bool sample_page(const char *name, char *text, size_t size) {
    char path[256];
    snprintf(path, sizeof(path), "../shared/data/metrics-samples/%s.prom", name);
    return repo_file(path, text, size);
}
