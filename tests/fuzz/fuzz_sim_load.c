// SPDX-License-Identifier: Apache-2.0
/* A line that tells load: any bytes; what is accepted is within its bounds. */
#include "base/clock.h"
#include "fuzz.h"
#include "gpu/sim_load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint32_t gpu = 0;
    struct sim_activity a = {0};
    int64_t ttl_ns = 0;
    struct err e = {0};
    int r = sim_load_parse((struct str){(const char *)data, size}, 8, &gpu, &a, &ttl_ns, &e);
    if (r < 0) {
        if (e.msg[0] == '\0')
            abort();
        return 0;
    }
    if (gpu >= 8 && gpu != UINT32_MAX)
        abort();
    if (!(a.busy >= 0 && a.busy <= 1) || ttl_ns < NS_PER_MS || ttl_ns > 600 * NS_PER_S)
        abort();
    return 0;
}
