// SPDX-License-Identifier: Apache-2.0
/* What the fuzz targets share: the requirement, and what every message for people must be. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void require(bool ok) {
    if (!ok)
        abort();
}

// One line that a terminal shows as it is: bounded, UTF-8, no control characters.
static inline void require_message(const struct err *e) {
    size_t n = strnlen(e->msg, sizeof(e->msg));
    require(e->code < 0 && n > 0 && n < sizeof(e->msg) && utf8_valid(e->msg, n));
    for (size_t i = 0; i < n; i++)
        require((unsigned char)e->msg[i] >= 0x20 && e->msg[i] != 0x7f);
}

// The bytes as a file that a path names (memory, not disk), for what is read by name. One at a
// time; the path is good until the next call.
static inline const char *fuzz_file(const uint8_t *data, size_t size) {
    static int fd = -1;
    static char path[32];
    if (fd < 0) {
        fd = memfd_create("fuzz", MFD_CLOEXEC);
        require(fd >= 0);
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    }
    require(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
    return path;
}

// For targets that read YAML: libfyaml 0.7.12 forgets the buffer of a long quoted string that ends
// in an error (one for each refused file); our own memory is still counted.
#define FUZZ_LIBFYAML_LEAKS                                                                        \
    const char *__lsan_default_suppressions(void);                                                 \
    const char *__lsan_default_suppressions(void) {                                                \
        return "leak:libfyaml.so\n";                                                               \
    }
