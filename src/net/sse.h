// SPDX-License-Identifier: Apache-2.0
/*
 * A feed of server-sent events over net/http_server: many readers of one log, each at its own
 * place. Nothing is queued for a reader beyond what http_request_send() holds: who reads slowly is
 * sent what the log still has when he goes on, who reads nothing is ended by the server's stall_ms.
 */
#pragma once

#include "net/http_server.h"

struct sse_feed;

struct sse_source {
    // The event after the cursor (all zero: at the beginning), whole, with its blank line; valid
    // until the log changes. False: none yet.
    bool (*next)(void *ctx, uint64_t cursor[2], struct str *ret);
    // Of the number of readers, after one came or went by itself; may be NULL.
    void (*readers)(void *ctx, unsigned n);
    void *ctx;
    // An answer so old ends, at the latest 15 s later, so that its reader shows anew who he is; he
    // is told to come again at once. 0: never.
    int64_t end_after_ns;
};

// NULL without memory. One thread: the loop's.
struct sse_feed *sse_feed_new(uv_loop_t *loop, const struct sse_source *source,
                              unsigned max_readers);
// Ends every reader's answer and frees; calls nothing of the source.
struct sse_feed *sse_feed_free(struct sse_feed *f);
// Takes over the request: sends what there is, and goes on. Over max_readers or without memory it
// is answered 503.
void sse_feed_join(struct sse_feed *f, struct http_request *r);
void sse_feed_changed(struct sse_feed *f); // the log has more
unsigned sse_feed_readers(const struct sse_feed *f);
