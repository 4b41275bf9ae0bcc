// SPDX-License-Identifier: Apache-2.0
/*
 * GET of one page over HTTP/1.1: a connection of its own, closed after it. Answers whole, within a
 * deadline and a size.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/err.h"
#include "base/str.h"

struct fetch_page;

struct fetch_page_answer {
    const struct err *error; // NULL: it came. ERR_IO, ERR_PROTO, ERR_TIMEOUT, ERR_LIMIT, ...
    int status;
    struct str body; // borrowed
    bool complete;   // the body's end was told, not only the connection's
};

struct fetch_page_options {
    const char *addr;   // HOST:PORT, no DNS
    const char *path;   // "/metrics"
    const char *accept; // NULL: text/plain
    uint32_t timeout_ms;
    size_t max_bytes; // of the body
    // Once, from the loop; the fetch is gone when it returns.
    void (*done)(void *ctx, const struct fetch_page_answer *answer);
    void *ctx;
};

// `addr` and `path` are not kept. ERR_PARSE (the address), ERR_IO (the kernel refuses at once),
// ERR_NOMEM: `done` does not come then.
int fetch_page_start(struct fetch_page **ret, uv_loop_t *loop,
                     const struct fetch_page_options *options, struct err *e);
// NULL-safe; `done` does not come. Not from inside it.
struct fetch_page *fetch_page_cancel(struct fetch_page *f);
