// SPDX-License-Identifier: Apache-2.0
/*
 * Files of Kubernetes objects, as people write them and kubectl prints them: YAML of any number of
 * documents, JSON, Lists inside. Every object is found once, with its place; what it holds is read
 * by others (manifest/reader.h).
 */
#pragma once

#include "base/vec.h"
#include "conf/tree.h"

struct manifest_object {
    const char *file; // for messages
    const struct conf_node *root;
    const char *api_version, *kind;
    unsigned origin; // the caller's, of the reading
};

struct manifest_objects {
    struct arena arena;
    struct VEC(struct manifest_object) objects;
};

void manifest_objects_init(struct manifest_objects *o);
void manifest_objects_done(struct manifest_objects *o);

// Adds a file's objects. `name` is kept. JSON where the text begins with a bracket or the name ends
// with .json. ERR_PARSE (also: a document that is no object, no kind, no object at all), ERR_LIMIT
// (LIMIT_CASE_BYTES, LIMIT_CASE_TREE_BYTES), ERR_NOMEM, with place and remedy.
int manifest_objects_read(struct manifest_objects *o, struct str text, const char *name,
                          unsigned origin, struct err *e);
