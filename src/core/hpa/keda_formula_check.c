// SPDX-License-Identifier: Apache-2.0
/*
 * Types, as expr-lang's checker finds them where each trigger's name is a float64: what cannot work
 * is refused before it runs.
 */
#include "core/hpa/keda_formula_tree.h"

struct check {
    struct keda_formula *f;
    uint8_t element; // type of # in the predicate at hand
    struct err *e;
};

static const char *type_name(unsigned t) {
    static const char *const names[] = {"unknown", "any", "int", "float", "bool", "nil", "list"};
    return names[t];
}

static bool open_type(unsigned t) {
    return t == T_UNKNOWN || t == T_ANY;
}

static bool is_number(unsigned t) {
    return t == T_INT || t == T_FLOAT;
}

// A value of type `a` where `b` is wanted.
static bool assignable(unsigned a, unsigned b) {
    return a != T_UNKNOWN && b != T_UNKNOWN && a != T_NIL && (a == b || b == T_ANY);
}

static bool number_or_open(unsigned a, unsigned b) {
    return (is_number(a) || open_type(a)) && (is_number(b) || open_type(b));
}

static int check(struct check *k, uint16_t i);

static int bad(struct check *k, const struct formula_node *n, const char *what, unsigned t) {
    return err_set(k->e, ERR_PARSE, "column %u: %s, not %s", n->column, what, type_name(t));
}

static int check_unary(struct check *k, struct formula_node *n) {
    unsigned t = k->f->nodes[n->a].type;
    if (n->op == FORMULA_NOT) {
        n->type = T_BOOL;
        return t == T_BOOL || open_type(t) ? 0 : bad(k, n, "`not` wants a boolean", t);
    }
    n->type = open_type(t) ? T_UNKNOWN : (uint8_t)t;
    return is_number(t) || open_type(t) ? 0 : bad(k, n, "a sign wants a number", t);
}

static int check_arithmetic(struct check *k, struct formula_node *n, unsigned a, unsigned b) {
    if (!number_or_open(a, b))
        return bad(k, n, "arithmetic wants numbers", is_number(a) || open_type(a) ? b : a);
    if (n->op == FORMULA_DIV || n->op == FORMULA_POW)
        n->type = T_FLOAT;
    else if (open_type(a) || open_type(b))
        n->type = T_UNKNOWN;
    else
        n->type = a == T_FLOAT || b == T_FLOAT ? T_FLOAT : T_INT;
    if (n->op != FORMULA_MOD)
        return 0;
    n->type = T_INT;
    return a == T_FLOAT || b == T_FLOAT ? bad(k, n, "% wants integers: int(...)", T_FLOAT) : 0;
}

static int check_binary(struct check *k, struct formula_node *n) {
    unsigned a = k->f->nodes[n->a].type, b = k->f->nodes[n->b].type;
    n->type = T_BOOL;
    switch (n->op) {
    case FORMULA_OR:
    case FORMULA_AND:
        if ((a != T_BOOL && !open_type(a)) || (b != T_BOOL && !open_type(b)))
            return bad(k, n, "`and` and `or` want booleans", a == T_BOOL || open_type(a) ? b : a);
        return 0;
    case FORMULA_EQ:
    case FORMULA_NE:
        if (open_type(a) || open_type(b) || a == T_NIL || b == T_NIL ||
            (is_number(a) && is_number(b)) || assignable(a, b))
            return 0;
        return bad(k, n, "the two sides are of different types", b);
    case FORMULA_LT:
    case FORMULA_GT:
    case FORMULA_GE:
    case FORMULA_LE:
        return number_or_open(a, b)
                   ? 0
                   : bad(k, n, "a comparison wants numbers", is_number(a) || open_type(a) ? b : a);
    case FORMULA_ELSE_NIL:
        n->type = a == T_NIL         ? (uint8_t)b
                  : b == T_NIL       ? (uint8_t)a
                  : assignable(b, a) ? (uint8_t)a
                                     : T_UNKNOWN;
        return 0;
    default:
        return check_arithmetic(k, n, a, b);
    }
}

static int check_cond(struct check *k, struct formula_node *n) {
    unsigned c = k->f->nodes[n->a].type;
    unsigned a = k->f->nodes[n->b].type, b = k->f->nodes[n->c].type;
    if (c != T_BOOL && !open_type(c))
        return bad(k, &k->f->nodes[n->a], "a condition wants a boolean", c);
    n->type = a == T_NIL         ? (uint8_t)b
              : b == T_NIL       ? (uint8_t)a
              : assignable(a, b) ? (uint8_t)a
                                 : T_UNKNOWN;
    return 0;
}

static int not_a_number(unsigned t, struct err *e) {
    return err_set(e, ERR_PARSE, "the formula gives a %s, KEDA wants a number%s", type_name(t),
                   t == T_BOOL ? ": append `? 1 : 0`" : "");
}

// min, max and mean take numbers and lists; a list or an open type makes the rest unchecked.
static int check_aggregate(struct check *k, struct formula_node *n) {
    n->type = k->f->nodes[n->a].type;
    for (uint16_t i = n->a; i != FORMULA_NONE; i = k->f->nodes[i].next) {
        unsigned t = k->f->nodes[i].type;
        if (open_type(t) || t == T_LIST) {
            n->type = T_ANY;
            return 0;
        }
        if (!is_number(t))
            return bad(k, &k->f->nodes[i], "the function wants numbers", t);
    }
    return 0;
}

static int check_call(struct check *k, struct formula_node *n) {
    const char *name = formula_fn_name((enum formula_fn)n->i);
    unsigned count = 0;
    for (uint16_t i = n->a; i != FORMULA_NONE; i = k->f->nodes[i].next) {
        int r = check(k, i);
        if (r < 0)
            return r;
        count++;
    }
    if (count == 0)
        return err_set(k->e, ERR_PARSE, "column %u: %s() wants an argument", n->column, name);
    if (n->i == FN_MIN || n->i == FN_MAX || n->i == FN_MEAN)
        return check_aggregate(k, n);
    if (count != 1)
        return err_set(k->e, ERR_PARSE, "column %u: %s() wants one argument, not %u", n->column,
                       name, count);
    unsigned t = k->f->nodes[n->a].type;
    if (!is_number(t) && !open_type(t)) {
        bool whole = n == &k->f->nodes[k->f->root] && !k->f->bare; // KEDA's own float(...)
        return whole ? not_a_number(t, k->e)
                     : bad(k, &k->f->nodes[n->a], "the function wants a number", t);
    }
    n->type = n->i == FN_INT   ? T_INT
              : n->i == FN_ABS ? (open_type(t) ? T_ANY : (uint8_t)t)
                               : T_FLOAT;
    return 0;
}

// nil and what is not known have no kind in Go's reflection: a list takes them for the same.
static unsigned go_kind(unsigned t) {
    return t == T_NIL ? T_UNKNOWN : t;
}

static int check_list(struct check *k, struct formula_node *n) {
    bool mixed = false;
    n->type = T_LIST;
    n->elements = T_UNKNOWN;
    for (uint16_t i = n->a; i != FORMULA_NONE; i = k->f->nodes[i].next) {
        int r = check(k, i);
        if (r < 0)
            return r;
        unsigned t = k->f->nodes[i].type;
        mixed |= i != n->a && go_kind(t) != go_kind(n->elements);
        n->elements = (uint8_t)t;
    }
    if (mixed)
        n->elements = T_ANY;
    return 0;
}

static int check_over(struct check *k, struct formula_node *n) {
    uint8_t outer = k->element, elements;
    int r = check(k, n->a);
    if (r < 0)
        return r;
    elements = k->f->nodes[n->a].elements;
    n->type = n->i == FN_COUNT ? T_INT : n->i == FN_SUM ? elements : T_BOOL;
    if (n->b == FORMULA_NONE)
        return 0;
    k->element = elements;
    r = check(k, n->b);
    k->element = outer;
    if (r < 0)
        return r;
    unsigned t = k->f->nodes[n->b].type;
    if (t == T_NIL)
        return bad(k, &k->f->nodes[n->b], "a predicate wants a value", t);
    if (n->i == FN_SUM)
        n->type = open_type(t) ? T_ANY : (uint8_t)t;
    else if (t != T_BOOL && !open_type(t))
        return bad(k, &k->f->nodes[n->b], "a predicate wants a boolean", t);
    return 0;
}

static int check(struct check *k, uint16_t i) {
    static const uint8_t leaves[] = {[FORMULA_INT] = T_INT,
                                     [FORMULA_FLOAT] = T_FLOAT,
                                     [FORMULA_BOOL] = T_BOOL,
                                     [FORMULA_NIL] = T_NIL,
                                     [FORMULA_NAME] = T_FLOAT};
    struct formula_node *n = &k->f->nodes[i];
    if (n->op <= FORMULA_NAME) {
        n->type = leaves[n->op];
        return 0;
    }
    if (n->op == FORMULA_ELEMENT) {
        n->type = k->element;
        return 0;
    }
    if (n->op == FORMULA_CALL)
        return check_call(k, n);
    if (n->op == FORMULA_LIST)
        return check_list(k, n);
    if (n->op == FORMULA_OVER)
        return check_over(k, n);
    bool one = n->op == FORMULA_PLUS || n->op == FORMULA_MINUS || n->op == FORMULA_NOT;
    int r = check(k, n->a);
    r = r || one ? r : check(k, n->b);
    r = r || n->op != FORMULA_COND ? r : check(k, n->c);
    if (r < 0)
        return r;
    return one ? check_unary(k, n) : n->op == FORMULA_COND ? check_cond(k, n) : check_binary(k, n);
}

int formula_check(struct keda_formula *f, struct err *e) {
    struct check k = {.f = f, .element = T_UNKNOWN, .e = e};
    int r = check(&k, f->root);
    if (r < 0)
        return r;
    unsigned t = f->nodes[f->root].type;
    if (is_number(t) || open_type(t) || !f->may_be_nil) // there float(...) was checked
        return 0;
    return not_a_number(t, e);
}
