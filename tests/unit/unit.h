// SPDX-License-Identifier: Apache-2.0
/* What every unit test includes: cmocka with its prerequisites, and the printed seed. */
#pragma once

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// The seed of property tests: $GPUSCALE_SEED or the default, printed as a TAP comment so that a
// failure can be repeated.
static inline uint64_t unit_seed(void) {
    const char *s = getenv("GPUSCALE_SEED");
    uint64_t seed = s ? strtoull(s, NULL, 0) : UINT64_C(20261123);
    printf("# seed %" PRIu64 "\n", seed);
    return seed;
}
