// SPDX-License-Identifier: Apache-2.0
/* A line that tells load: any bytes; what is accepted is within its bounds. */
#include "base/clock.h"
#include "fuzz.h"
#include "gpu/sim_load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sim_load_line line = {0};
    struct err e = {0};
    int r = sim_load_parse((struct str){(const char *)data, size}, 8, &line, &e);
    if (r < 0) {
        if (e.msg[0] == '\0')
            abort();
        return 0;
    }
    if (line.gpu >= 8 && line.gpu != UINT32_MAX)
        abort();
    if (!(line.activity.busy >= 0 && line.activity.busy <= 1) || line.ttl_ns < NS_PER_MS ||
        line.ttl_ns > 600 * NS_PER_S)
        abort();
    if (line.pid && (line.activity.sm >= 0 || line.activity.tensor >= 0))
        abort();
    return 0;
}
