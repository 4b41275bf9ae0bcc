// SPDX-License-Identifier: Apache-2.0
/* UTF-8 validation: shortest forms only, no surrogates, nothing above U+10FFFF. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

// Length of the longest valid prefix; n when all is valid.
size_t utf8_valid_prefix(const char *p, size_t n);
static inline bool utf8_valid(const char *p, size_t n) {
    return utf8_valid_prefix(p, n) == n;
}
