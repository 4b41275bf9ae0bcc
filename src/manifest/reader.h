// SPDX-License-Identifier: Apache-2.0
/*
 * Reading fields out of a tree of conf/tree.h, loosely, as the API server prints objects: unknown
 * fields are nobody's business, null is absent, a field of the wrong type is an error at its place:
 *     case.json:3:14: 'maxReplicas': found 'x', expected a whole number
 * The first failure sticks: `r` holds its code, and every later call gives its absent value, so
 * that a whole object is read before one look at `r`.
 */
#pragma once

#include <stdint.h>

#include "conf/tree.h"
#include "manifest/quantity.h"

struct manifest_reader {
    const char *file; // for messages
    struct arena *a;  // what is read lives here
    struct err *e;
    int r;
};

// The error of a value (NULL: of no place in the file): "FILE:LINE:COLUMN: ...". Returns `code`.
int manifest_fail(struct manifest_reader *r, const struct conf_node *at, int code, const char *fmt,
                  ...) __attribute__((format(printf, 4, 5)));
// After an allocation from the arena failed: ERR_LIMIT or ERR_NOMEM.
int manifest_no_memory(struct manifest_reader *r);
// arena_array with that error.
void *manifest_array(struct manifest_reader *r, size_t count, size_t size);

// Is this a map (a list)? Else an error that calls it `what`; false for NULL.
bool manifest_is_map(struct manifest_reader *r, const struct conf_node *n, const char *what);
bool manifest_is_list(struct manifest_reader *r, const struct conf_node *n, const char *what);
// An unquoted null, or NULL.
bool manifest_is_null(const struct conf_node *n);

// The value of a key of a map; NULL: not there, or null. A key given twice is an error.
const struct conf_node *manifest_get(struct manifest_reader *r, const struct conf_node *map,
                                     const char *key);
// The same, of a kind.
const struct conf_node *manifest_map(struct manifest_reader *r, const struct conf_node *map,
                                     const char *key);
const struct conf_node *manifest_list(struct manifest_reader *r, const struct conf_node *map,
                                      const char *key);

// Values; false: not there (or a failure). A string must not look like a number or a boolean
// without quotes, except where `manifest_text` takes any scalar's text.
const char *manifest_string(struct manifest_reader *r, const struct conf_node *map,
                            const char *key);
const char *manifest_text(struct manifest_reader *r, const struct conf_node *map, const char *key);
bool manifest_int32(struct manifest_reader *r, const struct conf_node *map, const char *key,
                    int32_t *ret);
bool manifest_number(struct manifest_reader *r, const struct conf_node *map, const char *key,
                     double *ret);
bool manifest_quantity(struct manifest_reader *r, const struct conf_node *map, const char *key,
                       struct quantity *ret);
bool manifest_time(struct manifest_reader *r, const struct conf_node *map, const char *key,
                   int64_t *ret_ns);
// Index into names (NULL at the end).
bool manifest_enum(struct manifest_reader *r, const struct conf_node *map, const char *key,
                   const char *const *names, unsigned *ret);

// A value itself, whose key (for messages) it carries.
bool manifest_quantity_of(struct manifest_reader *r, const struct conf_node *n,
                          struct quantity *ret);
// What a person calls the value: "a map", "'x'".
const char *manifest_found(const struct conf_node *n, char *dst, size_t cap);
