// SPDX-License-Identifier: Apache-2.0
/*
 * Recorded requests: any bytes as a trace. The first byte chooses the format and the split; rows
 * and verdict must be those of the unsplit input, rows ascend from 0.
 */
#include "core/trace/trace.h"
#include "fuzz.h"

enum { ROWS = 4096 };

static int read_all(const uint8_t *data, size_t size, size_t piece, enum trace_format format,
                    struct trace *t, struct err *e) {
    int r = 0;
    trace_init(t, format, ROWS);
    for (size_t at = 0; at < size && r == 0; at += piece)
        r = trace_feed(t, data + at, size - at < piece ? size - at : piece, e);
    return r == 0 ? trace_finish(t, e) : r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    enum trace_format format = (enum trace_format)(data[0] % TRACE_FORMAT_COUNT);
    struct trace whole, split;
    struct err e = {0}, f = {0};
    int r = read_all(data + 1, size - 1, size, format, &whole, &e);
    int s = read_all(data + 1, size - 1, 1u + data[0] / TRACE_FORMAT_COUNT, format, &split, &f);
    require(r == s && strcmp(e.msg, f.msg) == 0);
    if (r < 0) {
        require_message(&e);
    } else {
        require(whole.rows.n > 0 && whole.rows.n <= ROWS && whole.rows.n == split.rows.n);
        require(whole.rows.items[0].at_ns == 0 && whole.format != TRACE_AUTO);
        for (size_t i = 1; i < whole.rows.n; i++)
            require(whole.rows.items[i].at_ns >= whole.rows.items[i - 1].at_ns);
        require(memcmp(whole.rows.items, split.rows.items,
                       whole.rows.n * sizeof(*whole.rows.items)) == 0);
    }
    trace_done(&whole);
    trace_done(&split);
    return 0;
}
