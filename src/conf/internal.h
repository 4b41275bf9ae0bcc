// SPDX-License-Identifier: Apache-2.0
/*
 * What the files of conf/ share. A file becomes a tree (yaml.c), the tree is bound to a struct
 * (bind.c) value by value (scalar.c); flags (flags.c) bind text by the same scalar.c.
 */
#pragma once

#include "conf/conf.h"
#include "conf/tree.h"

// Reads one document of a configuration. `name` stands in messages; JSON when it ends with .json.
int conf_tree(struct str text, const char *name, struct arena *scratch, struct conf_node **ret_root,
              struct err *e);

enum conf_origin {
    CONF_PLAIN,  // unquoted in a file: YAML's core schema gives it a type
    CONF_QUOTED, // a string
    CONF_TEXT,   // of a flag or a table: the field says the type
};

// Binds one value into dst. The message is "found ..., expected ...", without a place.
int conf_scalar(const struct conf_field *f, struct str text, enum conf_origin origin, void *dst,
                struct arena *a, struct err *e);
// "a duration from 1s to 1m": what the field takes.
void conf_expected(const struct conf_field *f, char *dst, size_t cap);
size_t conf_scalar_size(enum conf_kind kind);

// A flag of the command line and where its value goes.
struct conf_flag {
    const struct conf_field *field;
    size_t offset;    // in the outermost struct
    const char *path; // "grpc.listen"
    unsigned given;   // times
};
struct conf_flags {
    struct conf_flag *items;
    size_t n;
};

// Binds a tree (root NULL: defaults alone) into the zeroed struct at base. `flags` (may be NULL)
// says what need not be in the file; required is not checked at all when `lenient`.
struct conf_binding {
    const char *name; // of the file; NULL: none
    struct arena *a, *scratch;
    const struct conf_flags *flags;
    bool lenient;
    char *base;
};
int conf_bind(const struct conf_binding *b, const struct conf_field *table,
              const struct conf_node *root, struct err *e);

int conf_file_text(const char *path, struct arena *scratch, struct str *ret, struct err *e);

// --help and --print-config, in the arena; NULL without memory.
const char *conf_help(const struct conf_spec *spec, const struct conf_flags *flags,
                      struct arena *a);
const char *conf_print(const struct conf_spec *spec, const void *bound, struct arena *a);
