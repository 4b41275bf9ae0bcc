// SPDX-License-Identifier: Apache-2.0
/*
 * What expr-lang's optimizer changes in what one can see: constants that decide `and` and `or` keep
 * the other side from being run (and from failing), an integer divided by a constant zero is
 * refused, and count(...) compared with an integer stops counting early.
 */
#include <math.h>

#include "core/hpa/keda_formula_tree.h"

static bool is_literal(const struct formula_node *n, enum formula_op op) {
    return n->op == op;
}

// The node takes the other's place in the tree, not in its list of siblings.
static void become(struct formula_node *n, const struct formula_node *other) {
    uint16_t next = n->next;
    *n = *other;
    n->next = next;
}

static void become_int(struct formula_node *n, uint64_t i) {
    n->op = FORMULA_INT;
    n->i = (int64_t)i;
}

static void become_bool(struct formula_node *n, bool b) {
    n->op = FORMULA_BOOL;
    n->i = b;
}

static void become_float(struct formula_node *n, double d) {
    n->op = FORMULA_FLOAT;
    n->d = d;
}

static void fold_unary(struct formula_node *n, const struct formula_node *a) {
    if (n->op == FORMULA_NOT && is_literal(a, FORMULA_BOOL))
        become_bool(n, a->i == 0);
    else if (n->op != FORMULA_NOT && is_literal(a, FORMULA_INT))
        become_int(n, n->op == FORMULA_MINUS ? -(uint64_t)a->i : (uint64_t)a->i);
    else if (n->op != FORMULA_NOT && is_literal(a, FORMULA_FLOAT))
        become_float(n, n->op == FORMULA_MINUS ? -a->d : a->d);
}

static void fold_logic(struct formula_node *n, const struct formula_node *a,
                       const struct formula_node *b) {
    bool neutral = n->op == FORMULA_AND;
    if (is_literal(a, FORMULA_BOOL) && (a->i != 0) == neutral)
        become(n, b);
    else if (is_literal(b, FORMULA_BOOL) && (b->i != 0) == neutral)
        become(n, a);
    else if (is_literal(a, FORMULA_BOOL) || is_literal(b, FORMULA_BOOL))
        become_bool(n, !neutral);
}

static int fold_integers(struct formula_node *n, uint64_t a, uint64_t b, struct err *e) {
    switch (n->op) {
    case FORMULA_ADD:
        become_int(n, a + b);
        break;
    case FORMULA_SUB:
        become_int(n, a - b);
        break;
    case FORMULA_MUL:
        become_int(n, a * b);
        break;
    case FORMULA_EQ:
        become_bool(n, a == b);
        break;
    case FORMULA_MOD:
        if (b == 0)
            return err_set(e, ERR_INVALID, "column %u: an integer divided by zero", n->column);
        become_int(n, (int64_t)b == -1 ? 0 : (uint64_t)((int64_t)a % (int64_t)b));
        break;
    default:
        break;
    }
    return 0;
}

// count(LIST, {..}) against an integer: enough is enough.
static void fold_count(struct formula_node *n, struct formula_node *count, int64_t limit) {
    if ((n->op == FORMULA_GT && limit == 0) || (n->op == FORMULA_GE && limit == 1)) {
        become(n, count);
        n->i = FN_ANY;
        return;
    }
    int64_t enough = n->op == FORMULA_GT || n->op == FORMULA_LE   ? limit + 1
                     : n->op == FORMULA_GE || n->op == FORMULA_LT ? limit
                                                                  : 0;
    if (limit >= 0 && enough > 1 && enough < FORMULA_NONE)
        count->c = (uint16_t)enough;
}

static int fold_binary(struct formula_node *n, struct formula_node *a, struct formula_node *b,
                       struct err *e) {
    if (n->op == FORMULA_AND || n->op == FORMULA_OR)
        fold_logic(n, a, b);
    else if (is_literal(a, FORMULA_INT) && is_literal(b, FORMULA_INT))
        return fold_integers(n, (uint64_t)a->i, (uint64_t)b->i, e);
    else if (n->op == FORMULA_EQ && is_literal(a, FORMULA_BOOL) && is_literal(b, FORMULA_BOOL))
        become_bool(n, a->i == b->i);
    else if (a->op == FORMULA_OVER && a->i == FN_COUNT && a->b != FORMULA_NONE &&
             is_literal(b, FORMULA_INT))
        fold_count(n, a, b->i);
    return 0;
}

// Children first. A node that two comparisons share is folded twice, which changes nothing more.
static int fold(struct keda_formula *f, uint16_t i, struct err *e) {
    struct formula_node *n = &f->nodes[i];
    int r = 0;
    if (n->op <= FORMULA_ELEMENT)
        return 0;
    if (n->op == FORMULA_LIST || n->op == FORMULA_CALL) {
        for (uint16_t j = n->a; r == 0 && j != FORMULA_NONE; j = f->nodes[j].next)
            r = fold(f, j, e);
        return r;
    }
    r = fold(f, n->a, e);
    if (n->op == FORMULA_PLUS || n->op == FORMULA_MINUS || n->op == FORMULA_NOT) {
        fold_unary(n, &f->nodes[n->a]);
        return r;
    }
    if (r == 0 && n->b != FORMULA_NONE)
        r = fold(f, n->b, e);
    if (r == 0 && n->op == FORMULA_COND)
        r = fold(f, n->c, e);
    if (r == 0 && n->op != FORMULA_COND && n->op != FORMULA_OVER)
        r = fold_binary(n, &f->nodes[n->a], &f->nodes[n->b], e);
    return r;
}

int formula_fold(struct keda_formula *f, struct err *e) {
    return fold(f, f->root, e);
}
