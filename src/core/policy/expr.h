// SPDX-License-Identifier: Apache-2.0
/*
 * Boolean expressions over signals, in Kleene's three-valued logic:
 *     queue and (gpuUtilization or smActivity) and not kvCache
 * `not` binds closer than `and`, `and` closer than `or`; the words in any case, the names exactly.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/limits.h"
#include "base/str.h"
#include "core/signal/signal.h"

enum tri { TRI_FALSE, TRI_UNKNOWN, TRI_TRUE };

enum tri tri_not(enum tri a);
enum tri tri_and(enum tri a, enum tri b);
enum tri tri_or(enum tri a, enum tri b);
const char *tri_name(enum tri a); // "false", "unknown", "true"

enum expr_op { EXPR_SIGNAL, EXPR_NOT, EXPR_AND, EXPR_OR };

// Postfix: operands before their operator.
struct expr_node {
    uint8_t op;     // enum expr_op
    uint8_t signal; // enum signal, of EXPR_SIGNAL
};

struct expr {
    struct expr_node *nodes;
    uint32_t n;       // 0: no expression
    uint32_t signals; // bit i: names signal i
};

// 0; ERR_PARSE (the message has the column, what was expected and, for a name, the nearest);
// ERR_LIMIT (LIMIT_EXPRESSION_NODES, LIMIT_EXPRESSION_DEPTH); ERR_NOMEM. `ret` is set only on
// success.
int expr_parse(struct expr *ret, struct str text, struct err *e);
// With names for the queries: queries[i] (NULL after the last) is SIGNAL_PROMETHEUS + i.
int expr_parse_named(struct expr *ret, struct str text, const char *const *queries, struct err *e);
// All or any of the signals in the set (at least one bit).
int expr_of_set(struct expr *ret, enum expr_op op, uint32_t signals, struct err *e);
void expr_done(struct expr *x);

// bits[s]: is signal s breached? Signals in `dropped` are read as if they were not written: `a and
// dropped` is a. An expression that is dropped whole is unknown.
enum tri expr_eval(const struct expr *x, const uint8_t bits[SIGNAL_MAX], uint32_t dropped);
