// SPDX-License-Identifier: Apache-2.0
/*
 * Server-sent events (the HTML standard, 9.2.6), as far as a clock needs them: when does an event
 * with data end. Bytes in, in any split. "data: [DONE]", with which OpenAI's streams end, is no
 * event.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sse { // zeroed: the start of a stream
    uint64_t events;
    bool done; // [DONE] came

    // Private.
    char start[16]; // of the current line
    size_t line_n;
    bool after_cr, has_data, is_done;
};

// Returns how many events with data ended in these bytes.
uint64_t sse_feed(struct sse *s, const char *p, size_t n);
