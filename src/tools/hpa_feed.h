// SPDX-License-Identifier: Apache-2.0
/*
 * A stream of cases, cut into single values as its bytes come: JSON values one after the other
 * (with or without newlines, commas or a list around them), or YAML documents. A broken one is
 * reported at its place and costs nothing else: JSON goes on behind its last bracket or, where
 * brackets do not match, at the next line that begins with {; YAML at the next "---". Any input
 * takes time in proportion to its length.
 */
#pragma once

#include "base/buf.h"
#include "conf/tree.h"

enum hpa_feed_format { HPA_FEED_SNIFF, HPA_FEED_JSON, HPA_FEED_YAML };

struct hpa_feed {
    // the owner's
    const char *file;
    enum hpa_feed_format format;
    void *ctx;
    // A value, in the arena that is reset after the call; or (NULL) why it is none.
    void (*on_value)(void *ctx, const struct conf_node *root, struct arena *a, const struct err *e);
    // the feed's
    struct buf in;         // what is not cut off yet
    struct arena arena;    // of one value
    unsigned line, column; // of in.p[0]
    size_t at;             // looked at so far
    unsigned depth;        // brackets open in the value; 0: between values
    size_t resync;         // of the first line in the value that begins with {; 0: none
    bool in_string, escaped, in_junk, in_list, sniffed, stopped;
};

void hpa_feed_init(struct hpa_feed *f);
void hpa_feed_done(struct hpa_feed *f);
// Some more bytes; values that end in them are told at once. After an error that ends everything
// (ERR_LIMIT, ERR_NOMEM, told through on_value) the rest is ignored.
void hpa_feed_bytes(struct hpa_feed *f, struct str bytes);
// The input has ended: what is left is a value, or broken.
void hpa_feed_end(struct hpa_feed *f);
