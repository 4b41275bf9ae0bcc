// SPDX-License-Identifier: Apache-2.0
/* Which namespaces somebody may see in the status API and on the page. */
#pragma once

#include <stdbool.h>

#include "base/str.h"

struct view {
    bool all;
    const char *const *names; // else these, sorted, each once
    size_t n;
};

extern const struct view view_all;

bool view_has(const struct view *v, struct str namespace_);
bool view_equal(const struct view *a, const struct view *b);
// A copy, to be freed by view_free(); NULL without memory.
struct view *view_copy(const struct view *v);
struct view *view_free(struct view *v); // NULL-safe
