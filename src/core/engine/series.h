// SPDX-License-Identifier: Apache-2.0
/* The series of interest already seen on a page; inside core/engine only. */
#pragma once

#include "base/vec.h"
#include "core/metrics/prom_parse.h"

struct series_seen VEC(uint64_t);

void series_seen_init(struct series_seen *seen);

// Whether `list` (words separated by blanks; NULL: none) has the word.
bool series_word_in(struct str word, const char *list);

// Hash of name and label set in any order, without the labels named in `without` (separated by
// blanks; NULL: none).
uint64_t series_hash(const struct prom_sample *s, const char *without);

// Whether this series (name and label set, in any order) came before; remembers it. *ret is set on
// 0 only; ERR_NOMEM, ERR_LIMIT.
int series_seen_before(struct series_seen *seen, const struct prom_sample *s, bool *ret,
                       struct err *e);

// The value of a label, "" when the series has none.
struct str series_label(const struct prom_sample *s, struct str name);
