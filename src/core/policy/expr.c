// SPDX-License-Identifier: Apache-2.0
/* Recursive descent with a bounded depth, into postfix; evaluation on a small stack. */
#include "core/policy/expr.h"

#include <ctype.h>

#include "base/mem.h"
#include "base/vec.h"

enum tri tri_not(enum tri a) {
    return (enum tri)(TRI_TRUE - a);
}

enum tri tri_and(enum tri a, enum tri b) {
    return a < b ? a : b;
}

enum tri tri_or(enum tri a, enum tri b) {
    return a > b ? a : b;
}

const char *tri_name(enum tri a) {
    static const char *const names[] = {"false", "unknown", "true"};
    return names[a];
}

struct parser {
    struct str text;
    size_t at;    // of the token
    size_t after; // behind it
    unsigned depth;
    struct VEC(struct expr_node) nodes;
    uint32_t signals;
    const char *const *queries; // names of SIGNAL_PROMETHEUS and following, ends with NULL
    struct err *e;
};

static bool is_word(char c) {
    return isalnum((unsigned char)c) || c == '_' || c == '.' || c == '-';
}

// The next token into [at, after): a word, one other character, or nothing at the end.
static void next(struct parser *p) {
    p->at = p->after;
    while (p->at < p->text.n && isspace((unsigned char)p->text.p[p->at]))
        p->at++;
    p->after = p->at;
    while (p->after < p->text.n && is_word(p->text.p[p->after]))
        p->after++;
    if (p->after == p->at && p->at < p->text.n)
        p->after++;
}

static struct str token(const struct parser *p) {
    return (struct str){p->text.p + p->at, p->after - p->at};
}

static bool is_keyword(const struct parser *p, const char *word) {
    return str_eq_nocase(token(p), str_from(word));
}

static int fail(struct parser *p, const char *expected) {
    struct str t = token(p);
    if (t.n == 0)
        return err_set(p->e, ERR_PARSE, "column %zu: expected %s, found the end", p->at + 1,
                       expected);
    if (!isprint((unsigned char)t.p[0]))
        return err_set(p->e, ERR_PARSE, "column %zu: expected %s, found byte 0x%02x", p->at + 1,
                       expected, (unsigned)(unsigned char)t.p[0]);
    return err_set(p->e, ERR_PARSE, "column %zu: expected %s, found \"%.*s\"", p->at + 1, expected,
                   (int)(t.n < 64 ? t.n : 64), t.p);
}

static int emit(struct parser *p, enum expr_op op, int signal) {
    struct expr_node node = {.op = (uint8_t)op, .signal = (uint8_t)signal};
    int r = vec_push(&p->nodes, node);
    if (r == ERR_LIMIT)
        return err_set(p->e, r, "more than %d terms and operators", LIMIT_EXPRESSION_NODES);
    if (r)
        return err_set(p->e, r, "no memory");
    return 0;
}

static int parse_or(struct parser *p);

static int signal_called(const struct parser *p, struct str name) {
    for (int i = 0; p->queries[i]; i++)
        if (str_eqc(name, p->queries[i]))
            return SIGNAL_PROMETHEUS + i;
    return signal_by_name(name);
}

static const char *nearest_signal(const struct parser *p, struct str name) {
    const char *near = str_nearest(name, p->queries);
    return near ? near : str_nearest(name, signal_names);
}

static int parse_name(struct parser *p) {
    struct str t = token(p);
    bool reserved = is_keyword(p, "and") || is_keyword(p, "or");
    if (t.n == 0 || !is_word(t.p[0]) || reserved)
        return fail(p, "a signal, `not` or `(`");
    int s = signal_called(p, t);
    if (s < 0) {
        const char *near = nearest_signal(p, t);
        return err_set(p->e, ERR_PARSE, "column %zu: \"%.*s\" is no signal%s%s%s", p->at + 1,
                       (int)(t.n < 64 ? t.n : 64), t.p, near ? "; did you mean \"" : "",
                       near ? near : "", near ? "\"?" : "");
    }
    p->signals |= 1u << s;
    next(p);
    return emit(p, EXPR_SIGNAL, s);
}

static int parse_not(struct parser *p) {
    if (++p->depth > LIMIT_EXPRESSION_DEPTH)
        return err_set(p->e, ERR_LIMIT, "column %zu: nested deeper than %d", p->at + 1,
                       LIMIT_EXPRESSION_DEPTH);
    int r;
    if (is_keyword(p, "not")) {
        next(p);
        r = parse_not(p);
        r = r ? r : emit(p, EXPR_NOT, 0);
    } else if (is_keyword(p, "(")) {
        next(p);
        r = parse_or(p);
        if (r == 0 && !is_keyword(p, ")"))
            r = fail(p, "`and`, `or` or `)`");
        if (r == 0)
            next(p);
    } else {
        r = parse_name(p);
    }
    p->depth--;
    return r;
}

static int parse_and(struct parser *p) {
    int r = parse_not(p);
    while (r == 0 && is_keyword(p, "and")) {
        next(p);
        r = parse_not(p);
        r = r ? r : emit(p, EXPR_AND, 0);
    }
    return r;
}

static int parse_or(struct parser *p) {
    int r = parse_and(p);
    while (r == 0 && is_keyword(p, "or")) {
        next(p);
        r = parse_and(p);
        r = r ? r : emit(p, EXPR_OR, 0);
    }
    return r;
}

int expr_parse(struct expr *ret, struct str text, struct err *e) {
    static const char *const none[] = {NULL};
    return expr_parse_named(ret, text, none, e);
}

int expr_parse_named(struct expr *ret, struct str text, const char *const *queries, struct err *e) {
    struct parser p = {.text = text, .queries = queries, .e = e};
    vec_init(&p.nodes, LIMIT_EXPRESSION_NODES);
    next(&p);
    int r = parse_or(&p);
    if (r == 0 && token(&p).n > 0)
        r = fail(&p, "`and`, `or` or the end");
    if (r) {
        vec_done(&p.nodes);
        return r;
    }
    *ret = (struct expr){.nodes = p.nodes.items, .n = (uint32_t)p.nodes.n, .signals = p.signals};
    return 0;
}

int expr_of_set(struct expr *ret, enum expr_op op, uint32_t set, struct err *e) {
    struct parser p = {.e = e, .signals = set};
    vec_init(&p.nodes, LIMIT_EXPRESSION_NODES);
    int r = 0;
    for (int s = 0; r == 0 && s < SIGNAL_MAX; s++) {
        if (!(set >> s & 1))
            continue;
        bool first = p.nodes.n == 0;
        r = emit(&p, EXPR_SIGNAL, s);
        if (r == 0 && !first)
            r = emit(&p, op, 0);
    }
    if (r) {
        vec_done(&p.nodes);
        return r;
    }
    *ret = (struct expr){.nodes = p.nodes.items, .n = (uint32_t)p.nodes.n, .signals = set};
    return 0;
}

void expr_done(struct expr *x) {
    mem_free(x->nodes);
    *x = (struct expr){0};
}

enum { DROPPED = TRI_TRUE + 1 };

static uint8_t combine(enum expr_op op, uint8_t a, uint8_t b) {
    if (a == DROPPED)
        return b;
    if (b == DROPPED)
        return a;
    return (uint8_t)(op == EXPR_AND ? tri_and(a, b) : tri_or(a, b));
}

enum tri expr_eval(const struct expr *x, const uint8_t bits[SIGNAL_MAX], uint32_t dropped) {
    uint8_t stack[LIMIT_EXPRESSION_NODES];
    unsigned n = 0;
    for (uint32_t i = 0; i < x->n; i++) {
        const struct expr_node *node = &x->nodes[i];
        switch (node->op) {
        case EXPR_SIGNAL:
            stack[n++] = dropped >> node->signal & 1 ? DROPPED : bits[node->signal];
            break;
        case EXPR_NOT:
            if (stack[n - 1] != DROPPED)
                stack[n - 1] = (uint8_t)tri_not(stack[n - 1]);
            break;
        default:
            n--;
            stack[n - 1] = combine(node->op, stack[n - 1], stack[n]);
        }
    }
    return n == 0 || stack[0] == DROPPED ? TRI_UNKNOWN : (enum tri)stack[0];
}
