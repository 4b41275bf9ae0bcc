// SPDX-License-Identifier: Apache-2.0
/*
 * Numbers of the text format: what is accepted is what strtod makes of it, to the bit; any double,
 * printed, is accepted.
 */
#include <math.h>

#include "core/metrics/prom_parse.h"
#include "fuzz.h"

static bool same_bits(double a, double b) {
    return memcmp(&a, &b, sizeof(a)) == 0 || (isnan(a) && isnan(b));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    double got, any;
    char *end, printed[64], *text = strndup((const char *)data, size);
    if (prom_parse_double(str_from(text), &got) == 0) {
        double want = strtod(text, &end);
        require(*end == '\0' && same_bits(got, want));
    }
    free(text);
    if (size >= sizeof(any)) {
        memcpy(&any, data, sizeof(any));
        for (int i = 0; i < 3; i++) {
            int n = i == 0   ? snprintf(printed, sizeof(printed), "%.17g", any)
                    : i == 1 ? snprintf(printed, sizeof(printed), "%.17e", any)
                             : snprintf(printed, sizeof(printed), "%.3f", any); // may be cut
            if (n < 0 || (size_t)n >= sizeof(printed) || !isfinite(any))
                continue;
            require(prom_parse_double(str_from(printed), &got) == 0);
            require(same_bits(got, strtod(printed, NULL)));
        }
    }
    return 0;
}
