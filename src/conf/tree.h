// SPDX-License-Identifier: Apache-2.0
/*
 * A YAML or JSON text as a tree of values, each with its place: for readers whose shape no table of
 * conf.h can say (Kubernetes objects, of which only some fields are of interest). Keys keep the
 * order of the text and may repeat; scalars keep their text.
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

// A value. Lives in the arena of the reading.
struct conf_node {
    enum { CONF_NODE_SCALAR, CONF_NODE_LIST, CONF_NODE_MAP } kind;
    bool quoted;           // scalar: written in quotes or as a block
    unsigned line, column; // from 1
    unsigned children;     // lists and maps
    struct str text;       // scalar, NUL-terminated
    struct str key;        // inside a map, NUL-terminated
    unsigned key_line, key_column;
    struct conf_node *first, *last, *next;
};

struct conf_text {
    struct str text;       // one document
    const char *name;      // of the file, for messages
    unsigned line, column; // where the text begins in it; from 1
    bool json;
    size_t max_bytes, max_key_bytes;
    const char *bytes_limit, *tree_limit; // their names in base/limits.h, and the arena's
};

// ERR_PARSE (no YAML, no JSON, no UTF-8, a second document, tags, anchors, aliases, merge keys),
// ERR_LIMIT (max_bytes, max_key_bytes, LIMIT_CONFIG_DEPTH, the arena's maximum), ERR_NOMEM; the
// message begins "NAME:LINE:COLUMN: ". An empty text: 0 and a NULL root.
int conf_tree_read(const struct conf_text *t, struct arena *a, struct conf_node **ret_root,
                   struct err *e);
