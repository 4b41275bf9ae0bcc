// SPDX-License-Identifier: Apache-2.0
/* The tree between the formula's parser, its type check and its evaluation; private to them. */
#pragma once

#include "base/limits.h"
#include "core/hpa/keda_formula.h"

enum formula_op {
    FORMULA_INT,
    FORMULA_FLOAT,
    FORMULA_BOOL,
    FORMULA_NIL,
    FORMULA_NAME,    // i: which
    FORMULA_ELEMENT, // #
    FORMULA_PLUS,    // unary
    FORMULA_MINUS,
    FORMULA_NOT,
    FORMULA_OR,
    FORMULA_AND,
    FORMULA_EQ,
    FORMULA_NE,
    FORMULA_LT,
    FORMULA_GT,
    FORMULA_GE,
    FORMULA_LE,
    FORMULA_ADD,
    FORMULA_SUB,
    FORMULA_MUL,
    FORMULA_DIV,
    FORMULA_MOD,
    FORMULA_POW,
    FORMULA_ELSE_NIL, // ??
    FORMULA_COND,     // a ? b : c
    FORMULA_LIST,     // a: first element
    FORMULA_CALL,     // i: enum formula_fn; a: first argument
    FORMULA_OVER,     // i: enum formula_fn; a: the list; b: the predicate or FORMULA_NONE;
                      // c: of count, how many are enough (0: all are counted)
};

enum formula_fn {
    FN_FLOAT,
    FN_INT,
    FN_ABS,
    FN_CEIL,
    FN_FLOOR,
    FN_ROUND,
    FN_MIN,
    FN_MAX,
    FN_MEAN,
    FN_SUM, // from here on: over a list
    FN_COUNT,
    FN_ANY,
    FN_ALL,
    FN_NO_ONE,
    FN_ONE,
};

// What is known of a value before it is computed. ANY is Go's interface type, UNKNOWN no type at
// all: expr-lang tells them apart in one place (a choice between two types).
enum formula_type { T_UNKNOWN, T_ANY, T_INT, T_FLOAT, T_BOOL, T_NIL, T_LIST };

enum { FORMULA_NONE = UINT16_MAX };

struct formula_node {
    uint8_t op;
    uint8_t type;     // enum formula_type, by the check
    uint8_t elements; // of a list: its elements' type
    uint16_t a, b, c; // children
    uint16_t next;    // in a list or among arguments
    uint16_t column;  // from 1
    union {
        int64_t i;
        double d;
    };
};

struct keda_formula {
    struct formula_node *nodes;
    uint16_t n, root;
    bool may_be_nil; // has ??: KEDA then lets a nil through
    bool bare;       // begins with float(: KEDA does not convert its result
};

struct formula_names {
    const char *const *names;
    size_t n;
};

const char *formula_fn_name(enum formula_fn fn);
int formula_parse(struct keda_formula *f, struct str text, const struct formula_names *names,
                  struct err *e);
int formula_check(struct keda_formula *f, struct err *e);
int formula_fold(struct keda_formula *f, struct err *e);
