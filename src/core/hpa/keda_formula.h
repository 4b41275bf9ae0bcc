// SPDX-License-Identifier: Apache-2.0
/*
 * Formulas of scalingModifiers, as expr-lang v1.17.8 reads them inside KEDA v2.21.0: numbers and
 * booleans only. What is supported gives KEDA's result, bit by bit save `**`, which is the C
 * library's; anything else is an error with its column, not a guess.
 *
 *     literals     1  1_000  0x1f  0o17  0b11  .5  2.5e-3  true  false  nil  and triggers' names
 *     arithmetic   + - * / % ** ^   unary + -      / and ** give floats; % wants two integers
 *     comparison   < <= > >= == !=      a < b <= c means a < b and b <= c
 *     boolean      and or not && || !
 *     choice       c ? a : b     a ?: b     if c { a } else if d { b } else { e }
 *     missing      a ?? b                        not beside another operator without parentheses
 *     functions    float int abs ceil floor round min max mean sum
 *     over a list  count(LIST, {#>1})  any  all  none  one    sum(LIST), min(LIST), ...
 *                  where LIST is [a, b, c], and # its element; count and sum work without {..}
 *     comments     // to the end of the line, and between slash-star and star-slash
 *
 * Not here: strings, maps, lists elsewhere, `let`, `in`, `..`, `|`, dates, the other functions.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct keda_formula;

// Compiles as KEDA does: checks types (a formula must give a number), then runs it once with -1 for
// each name. `names` are the triggers' names, n at most LIMIT_KEDA_TRIGGERS, NULL entries cannot be
// named (cpu and memory triggers). ERR_PARSE: syntax or types, with the column; ERR_UNSUPPORTED:
// expr-lang knows it, this does not; ERR_LIMIT; ERR_NOMEM.
int keda_formula_parse(struct keda_formula **ret, struct str text, const char *const *names,
                       size_t n, struct err *e);
struct keda_formula *keda_formula_free(struct keda_formula *f);

// values[i] of names[i]; bit i of `nil`: missing. The result is a number, or nothing (*ret_nil)
// where a formula with ?? comes out nil. ERR_INVALID: what KEDA's run fails on (arithmetic with
// nil, an integer divided by zero), with the column.
int keda_formula_eval(const struct keda_formula *f, const double *values, uint32_t nil, double *ret,
                      bool *ret_nil, struct err *e);
