// SPDX-License-Identifier: Apache-2.0
/* Event streams of targets: any bytes; the count must not depend on the split. */
#include "fuzz.h"
#include "load/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    struct sse whole = {0}, split = {0};
    const char *text = (const char *)data + 1;
    size_t n = size - 1, piece = 1u + data[0] % 31;
    uint64_t told = 0;
    require(sse_feed(&whole, text, n) == whole.events && whole.events <= n / 7); // "data:" CR LF
    for (size_t at = 0; at < n; at += piece)
        told += sse_feed(&split, text + at, n - at < piece ? n - at : piece);
    require(told == whole.events && split.events == told && split.done == whole.done);
    return 0;
}
