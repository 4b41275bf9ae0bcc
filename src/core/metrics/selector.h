// SPDX-License-Identifier: Apache-2.0
/*
 * Series selector as the demand configuration writes it: `name` or `name{label="value",other="x"}`.
 * A series matches when its name is equal and each label named here has exactly that value
 * (label="" also matches a series without the label); labels not named here are free. Values of all
 * matching series are added up by the reader; no match is unknown, never 0.
 */
#pragma once

#include "base/err.h"
#include "core/metrics/prom_parse.h"

struct selector {
    struct str name;
    struct prom_label *labels;
    size_t n_labels;
};

// One allocation, holding copies of all. 0, ERR_NOMEM, ERR_LIMIT or ERR_PARSE (the message has the
// column and what was expected; !=, =~ and !~ are refused by name).
int selector_parse(struct selector **ret, struct str text, struct err *e);
struct selector *selector_free(struct selector *s);

bool selector_matches(const struct selector *s, const struct prom_sample *sample);
