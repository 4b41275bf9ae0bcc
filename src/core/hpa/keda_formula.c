// SPDX-License-Identifier: Apache-2.0
/* Runs a formula: a walk over the tree with Go's arithmetic; see keda_formula.h. */
#include "core/hpa/keda_formula.h"

#include <math.h>

#include "base/mem.h"
#include "core/hpa/keda_formula_tree.h"

struct value {
    uint8_t type; // T_INT, T_FLOAT, T_BOOL, T_NIL
    union {
        int64_t i; // T_BOOL: 0 or 1
        double d;
    };
};

struct run {
    const struct formula_node *nodes;
    const double *values;
    uint32_t nil;
    struct value element;
    struct err *e;
};

static int run(struct run *x, uint16_t i, struct value *ret);

static struct value of_int(int64_t i) {
    return (struct value){.type = T_INT, .i = i};
}

static struct value of_float(double d) {
    return (struct value){.type = T_FLOAT, .d = d};
}

static struct value of_bool(bool b) {
    return (struct value){.type = T_BOOL, .i = b};
}

static bool is_number(struct value v) {
    return v.type == T_INT || v.type == T_FLOAT;
}

static double as_float(struct value v) {
    return v.type == T_INT ? (double)v.i : v.d;
}

// A Go conversion on amd64: what does not fit is the smallest integer.
static int64_t go_int(double d) {
    return d >= -0x1p63 && d < 0x1p63 ? (int64_t)d : INT64_MIN;
}

static int64_t wrap(uint64_t x) {
    return (int64_t)x;
}

static int bad(const struct run *x, const struct formula_node *n, const char *what,
               struct value v) {
    return err_set(x->e, ERR_INVALID, "column %u: %s, not %s", n->column, what,
                   v.type == T_NIL    ? "nil"
                   : v.type == T_BOOL ? "a boolean"
                   : v.type == T_INT  ? "an integer"
                                      : "a float");
}

static bool less(struct value a, struct value b) {
    return a.type == T_INT && b.type == T_INT ? a.i < b.i : as_float(a) < as_float(b);
}

static bool equal(struct value a, struct value b) {
    if (is_number(a) && is_number(b))
        return a.type == T_INT && b.type == T_INT ? a.i == b.i : as_float(a) == as_float(b);
    return a.type == b.type && (a.type == T_NIL || a.i == b.i);
}

static int compare(const struct formula_node *n, struct value a, struct value b,
                   struct value *ret) {
    bool both_int = a.type == T_INT && b.type == T_INT;
    double p = as_float(a), q = as_float(b);
    switch (n->op) {
    case FORMULA_LT:
        *ret = of_bool(both_int ? a.i < b.i : p < q);
        break;
    case FORMULA_GT:
        *ret = of_bool(both_int ? a.i > b.i : p > q);
        break;
    case FORMULA_GE:
        *ret = of_bool(both_int ? a.i >= b.i : p >= q);
        break;
    default:
        *ret = of_bool(both_int ? a.i <= b.i : p <= q);
        break;
    }
    return 0;
}

static int modulo(const struct run *x, const struct formula_node *n, struct value a, struct value b,
                  struct value *ret) {
    if (a.type != T_INT || b.type != T_INT)
        return bad(x, n, "% wants integers", a.type == T_INT ? b : a);
    if (b.i == 0)
        return err_set(x->e, ERR_INVALID, "column %u: an integer divided by zero", n->column);
    *ret = of_int(b.i == -1 ? 0 : a.i % b.i);
    return 0;
}

static int arithmetic(const struct run *x, const struct formula_node *n, struct value a,
                      struct value b, struct value *ret) {
    if (!is_number(a) || !is_number(b))
        return bad(x, n,
                   n->op >= FORMULA_LT && n->op <= FORMULA_LE ? "a comparison wants numbers"
                                                              : "arithmetic wants numbers",
                   is_number(a) ? b : a);
    bool both_int = a.type == T_INT && b.type == T_INT;
    double p = as_float(a), q = as_float(b);
    uint64_t i = (uint64_t)a.i, j = (uint64_t)b.i; // integers wrap around
    switch (n->op) {
    case FORMULA_ADD:
        *ret = both_int ? of_int(wrap(i + j)) : of_float(p + q);
        return 0;
    case FORMULA_SUB:
        *ret = both_int ? of_int(wrap(i - j)) : of_float(p - q);
        return 0;
    case FORMULA_MUL:
        *ret = both_int ? of_int(wrap(i * j)) : of_float(p * q);
        return 0;
    case FORMULA_DIV:
        *ret = of_float(p / q);
        return 0;
    case FORMULA_POW:
        *ret = of_float(pow(p, q));
        return 0;
    case FORMULA_MOD:
        return modulo(x, n, a, b, ret);
    default:
        return compare(n, a, b, ret);
    }
}

static int truth(struct run *x, uint16_t i, bool *ret) {
    struct value v;
    int r = run(x, i, &v);
    if (r < 0)
        return r;
    if (v.type != T_BOOL)
        return bad(x, &x->nodes[i], "a boolean is wanted", v);
    *ret = v.i != 0;
    return 0;
}

// Its type is taken for int. min(1, gpu) is one too: expr-lang goes by the first argument.
static bool is_int(const struct run *x, uint16_t i) {
    return x->nodes[i].type == T_INT;
}

// The second side of `and` and `or` is not run where the first decides, and of ?? only for nil. The
// last operand of and/or is handed on as it is.
static int run_binary(struct run *x, const struct formula_node *n, struct value *ret) {
    struct value a, b;
    int r = run(x, n->a, &a);
    if (r < 0)
        return r;
    if (n->op == FORMULA_OR || n->op == FORMULA_AND) {
        if (a.type != T_BOOL)
            return bad(x, &x->nodes[n->a], "a boolean is wanted", a);
        if ((a.i != 0) == (n->op == FORMULA_AND))
            return run(x, n->b, ret);
        *ret = a;
        return 0;
    }
    if (n->op == FORMULA_ELSE_NIL && a.type != T_NIL) {
        *ret = a;
        return 0;
    }
    r = run(x, n->b, &b);
    if (r < 0)
        return r;
    if (n->op == FORMULA_ELSE_NIL)
        *ret = b;
    else if ((n->op == FORMULA_EQ || n->op == FORMULA_NE) && is_int(x, n->a) && is_int(x, n->b) &&
             (a.type != T_INT || b.type != T_INT))
        return bad(x, n, "KEDA compares as integers here", a.type == T_INT ? b : a);
    else if (n->op == FORMULA_EQ || n->op == FORMULA_NE)
        *ret = of_bool(equal(a, b) == (n->op == FORMULA_EQ));
    else
        return arithmetic(x, n, a, b, ret);
    return 0;
}

static int run_unary(struct run *x, const struct formula_node *n, struct value *ret) {
    bool b = false;
    int r = n->op == FORMULA_NOT ? truth(x, n->a, &b) : run(x, n->a, ret);
    if (r < 0)
        return r;
    if (n->op == FORMULA_NOT)
        *ret = of_bool(!b);
    else if (n->op == FORMULA_MINUS && !is_number(*ret))
        return bad(x, n, "a sign wants a number", *ret);
    else if (n->op == FORMULA_MINUS)
        *ret = ret->type == T_INT ? of_int(wrap(-(uint64_t)ret->i)) : of_float(-ret->d);
    return 0;
}

struct gather {
    enum formula_fn fn;
    struct value best; // of min and max; T_NIL: none yet
    double total;
    int64_t n;
};

static void gather(struct gather *g, struct value v) {
    bool better = g->fn == FN_MIN ? less(v, g->best) : less(g->best, v);
    if (g->best.type == T_NIL || better)
        g->best = v;
    g->total += as_float(v);
    g->n++;
}

static int gather_arg(struct run *x, struct gather *g, uint16_t i, bool only) {
    const struct formula_node *n = &x->nodes[i];
    struct value v;
    if (n->op == FORMULA_LIST) {
        for (uint16_t j = n->a; j != FORMULA_NONE; j = x->nodes[j].next) {
            int r = run(x, j, &v);
            if (r < 0)
                return r;
            if (!is_number(v))
                return bad(x, &x->nodes[j], "a number is wanted", v);
            gather(g, v);
        }
        return 0;
    }
    int r = run(x, i, &v);
    if (r < 0)
        return r;
    if (!is_number(v) && only && g->fn != FN_MEAN) {
        g->best = v; // min(nil) and max(nil) hand on what they got
        return 0;
    }
    if (!is_number(v))
        return bad(x, n, "a number is wanted", v);
    gather(g, v);
    return 0;
}

static int aggregate(struct run *x, const struct formula_node *n, struct value *ret) {
    struct gather g = {.fn = (enum formula_fn)n->i, .best = {.type = T_NIL}};
    for (uint16_t i = n->a; i != FORMULA_NONE; i = x->nodes[i].next) {
        int r = gather_arg(x, &g, i, i == n->a && x->nodes[i].next == FORMULA_NONE);
        if (r < 0)
            return r;
    }
    *ret = g.fn == FN_MEAN ? of_float(g.n ? g.total / (double)g.n : 0) : g.best;
    return 0;
}

static int run_call(struct run *x, const struct formula_node *n, struct value *ret) {
    if (n->i == FN_MIN || n->i == FN_MAX || n->i == FN_MEAN)
        return aggregate(x, n, ret);
    struct value v;
    int r = run(x, n->a, &v);
    if (r < 0)
        return r;
    if (!is_number(v))
        return bad(x, &x->nodes[n->a], "the function wants a number", v);
    bool whole = v.type == T_INT;
    double d = as_float(v);
    switch ((enum formula_fn)n->i) {
    case FN_INT:
        *ret = whole ? v : of_int(go_int(d));
        break;
    case FN_ABS:
        *ret = whole ? of_int(v.i < 0 ? wrap(-(uint64_t)v.i) : v.i) : of_float(d < 0 ? -d : d);
        break;
    case FN_CEIL:
        *ret = of_float(whole ? d : ceil(d));
        break;
    case FN_FLOOR:
        *ret = of_float(whole ? d : floor(d));
        break;
    case FN_ROUND:
        *ret = of_float(whole ? d : round(d));
        break;
    default:
        *ret = of_float(d);
        break;
    }
    return 0;
}

static bool is_constant(const struct run *x, const struct formula_node *list) {
    for (uint16_t i = list->a; i != FORMULA_NONE; i = x->nodes[i].next)
        if (x->nodes[i].op > FORMULA_BOOL)
            return false;
    return true;
}

// sum([a, b, c]) is a + (b + c): expr-lang folds a list so; with a predicate, and where all are
// constants, it is added up from the left.
static int sum_right(struct run *x, const struct formula_node *n, uint16_t i, struct value *ret) {
    struct value first, rest;
    int r = run(x, i, &first);
    if (r < 0)
        return r;
    if (x->nodes[i].next == FORMULA_NONE) {
        *ret = first;
        return 0;
    }
    r = sum_right(x, n, x->nodes[i].next, &rest);
    if (r < 0)
        return r;
    struct formula_node add = {.op = FORMULA_ADD, .column = n->column};
    return arithmetic(x, &add, first, rest, ret);
}

static int run_sum(struct run *x, const struct formula_node *n, struct value *ret) {
    const struct formula_node *list = &x->nodes[n->a];
    struct formula_node add = {.op = FORMULA_ADD, .column = n->column};
    struct value total = of_int(0), v, outer = x->element;
    int r = 0;
    if (n->b == FORMULA_NONE && list->a != FORMULA_NONE && !is_constant(x, list) &&
        x->nodes[list->a].next != FORMULA_NONE)
        return sum_right(x, n, list->a, ret);
    for (uint16_t i = list->a; r == 0 && i != FORMULA_NONE; i = x->nodes[i].next) {
        r = run(x, i, &v);
        if (r == 0 && n->b != FORMULA_NONE) {
            x->element = v;
            r = run(x, n->b, &v);
            x->element = outer;
        }
        r = r ? r : arithmetic(x, &add, total, v, &total);
    }
    *ret = total;
    return r;
}

static int run_over(struct run *x, const struct formula_node *n, struct value *ret) {
    struct value items[LIMIT_FORMULA_NODES], outer = x->element;
    int64_t total = 0, yes = 0;
    int r = 0;
    if (n->i == FN_SUM)
        return run_sum(x, n, ret);
    for (uint16_t i = x->nodes[n->a].a; i != FORMULA_NONE; i = x->nodes[i].next) {
        r = run(x, i, &items[total]);
        if (r < 0)
            return r;
        total++;
    }
    for (int64_t i = 0; r == 0 && i < total; i++) {
        bool b = false;
        if (n->b == FORMULA_NONE) {
            if (items[i].type != T_BOOL)
                return bad(x, &x->nodes[n->a], "count() without a predicate counts booleans",
                           items[i]);
            b = items[i].i != 0;
        } else {
            x->element = items[i];
            r = truth(x, n->b, &b);
            x->element = outer;
        }
        yes += b;
        if ((n->i == FN_ANY && b) || (n->i == FN_ALL && !b) || (n->i == FN_NO_ONE && b) ||
            (n->c && yes == n->c))
            break;
    }
    if (r < 0)
        return r;
    *ret = n->i == FN_COUNT    ? of_int(yes)
           : n->i == FN_ANY    ? of_bool(yes > 0)
           : n->i == FN_ALL    ? of_bool(yes == total)
           : n->i == FN_NO_ONE ? of_bool(yes == 0)
                               : of_bool(yes == 1);
    return 0;
}

static int run(struct run *x, uint16_t i, struct value *ret) {
    const struct formula_node *n = &x->nodes[i];
    bool b = false;
    int r;
    switch ((enum formula_op)n->op) {
    case FORMULA_INT:
        *ret = of_int(n->i);
        return 0;
    case FORMULA_FLOAT:
        *ret = of_float(n->d);
        return 0;
    case FORMULA_BOOL:
        *ret = of_bool(n->i != 0);
        return 0;
    case FORMULA_NIL:
        *ret = (struct value){.type = T_NIL};
        return 0;
    case FORMULA_NAME:
        *ret = x->nil >> n->i & 1 ? (struct value){.type = T_NIL} : of_float(x->values[n->i]);
        return 0;
    case FORMULA_ELEMENT:
        *ret = x->element;
        return 0;
    case FORMULA_PLUS:
    case FORMULA_MINUS:
    case FORMULA_NOT:
        return run_unary(x, n, ret);
    case FORMULA_COND:
        r = truth(x, n->a, &b);
        return r ? r : run(x, b ? n->b : n->c, ret);
    case FORMULA_CALL:
        return run_call(x, n, ret);
    case FORMULA_OVER:
        return run_over(x, n, ret);
    default:
        return run_binary(x, n, ret);
    }
}

static int run_root(const struct keda_formula *f, const double *values, uint32_t nil,
                    struct value *ret, struct err *e) {
    struct run x = {.nodes = f->nodes, .values = values, .nil = nil, .e = e};
    x.element.type = T_NIL;
    int r = run(&x, f->root, ret);
    if (r == 0 && f->may_be_nil && !is_number(*ret) && ret->type != T_NIL)
        return bad(&x, &f->nodes[f->root], "the formula must give a number", *ret);
    return r;
}

int keda_formula_eval(const struct keda_formula *f, const double *values, uint32_t nil, double *ret,
                      bool *ret_nil, struct err *e) {
    struct run x = {.nodes = f->nodes, .e = e};
    struct value v;
    int r = run_root(f, values, nil, &v, e);
    if (r < 0)
        return r;
    if (!f->may_be_nil && v.type != T_FLOAT && v.type != T_NIL)
        return bad(&x, &f->nodes[f->root],
                   "a formula that begins with float( must give a float: KEDA does not convert it",
                   v);
    *ret_nil = v.type == T_NIL;
    *ret = *ret_nil ? 0 : as_float(v);
    return 0;
}

int keda_formula_parse(struct keda_formula **ret, struct str text, const char *const *names,
                       size_t n, struct err *e) {
    struct formula_names known = {names, n};
    double values[LIMIT_KEDA_TRIGGERS];
    struct value unused;
    if (n > LIMIT_KEDA_TRIGGERS)
        return err_set(e, ERR_LIMIT, "%zu triggers, at most %d", n, LIMIT_KEDA_TRIGGERS);
    struct keda_formula *f = mem_zalloc(sizeof(*f));
    if (!f)
        return err_set(e, ERR_NOMEM, "no memory for a formula");
    for (size_t i = 0; i < LIMIT_KEDA_TRIGGERS; i++)
        values[i] = -1;
    int r = formula_parse(f, text, &known, e);
    r = r ? r : formula_check(f, e);
    r = r ? r : formula_fold(f, e);
    if (r == 0) {
        r = run_root(f, values, 0, &unused, e);
        if (r < 0)
            err_wrap(e, "KEDA tries a formula with -1 for every trigger");
    }
    if (r < 0)
        f = keda_formula_free(f);
    else
        *ret = f;
    return r;
}

struct keda_formula *keda_formula_free(struct keda_formula *f) {
    if (f)
        mem_free(f->nodes);
    mem_free(f);
    return NULL;
}
