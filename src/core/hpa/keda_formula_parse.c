// SPDX-License-Identifier: Apache-2.0
/*
 * The formula's tokens and grammar: precedence climbing with expr-lang's table, into a tree of
 * indices. Depth and nodes are bounded.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/vec.h"
#include "core/hpa/keda_formula_tree.h"

enum token { TOKEN_END, TOKEN_NUMBER, TOKEN_WORD, TOKEN_OPERATOR };

struct parser {
    struct str text; // the formula as KEDA wraps it
    size_t before;   // bytes in front of the person's own text
    size_t own;      // its length
    const struct formula_names *names;
    size_t at, after; // of the token
    enum token kind;
    unsigned depth;
    unsigned over; // inside so many predicates
    struct VEC(struct formula_node) nodes;
    struct err *e;
};

static const struct binary {
    const char *text;
    uint8_t precedence;
    uint8_t op;
    bool right, comparison;
} binaries[] = {
    {"or", 10, FORMULA_OR, false, false},   {"||", 10, FORMULA_OR, false, false},
    {"and", 15, FORMULA_AND, false, false}, {"&&", 15, FORMULA_AND, false, false},
    {"==", 20, FORMULA_EQ, false, false},   {"!=", 20, FORMULA_NE, false, false},
    {"<", 20, FORMULA_LT, false, true},     {">", 20, FORMULA_GT, false, true},
    {">=", 20, FORMULA_GE, false, true},    {"<=", 20, FORMULA_LE, false, true},
    {"+", 30, FORMULA_ADD, false, false},   {"-", 30, FORMULA_SUB, false, false},
    {"*", 60, FORMULA_MUL, false, false},   {"/", 60, FORMULA_DIV, false, false},
    {"%", 60, FORMULA_MOD, false, false},   {"**", 100, FORMULA_POW, true, false},
    {"^", 100, FORMULA_POW, true, false},   {"??", 200, FORMULA_ELSE_NIL, false, false},
};

static const struct {
    const char *text;
    uint8_t precedence;
    uint8_t op;
} unaries[] = {{"not", 50, FORMULA_NOT},
               {"!", 50, FORMULA_NOT},
               {"-", 90, FORMULA_MINUS},
               {"+", 90, FORMULA_PLUS}};

static const char *const functions[] = {"float", "int",  "abs",  "ceil", "floor", "round",
                                        "min",   "max",  "mean", "sum",  "count", "any",
                                        "all",   "none", "one",  NULL};

// Of expr-lang, but not of ours: the message says so instead of "unknown".
static const char *const foreign[] = {
    "let",    "in",     "matches", "contains", "startsWith", "endsWith", "median", "len",
    "filter", "map",    "find",    "reduce",   "string",     "type",     "get",    "keys",
    "values", "sort",   "sortBy",  "groupBy",  "first",      "last",     "now",    "duration",
    "date",   "concat", "flatten", "uniq",     "bitand",     "bitor",    NULL,
};

const char *formula_fn_name(enum formula_fn fn) {
    return functions[fn];
}

static size_t column(const struct parser *p, size_t at) {
    return at >= p->before ? at - p->before + 1 : 1;
}

static struct str token(const struct parser *p) {
    return (struct str){p->text.p + p->at, p->after - p->at};
}

static bool is(const struct parser *p, const char *text) {
    return p->kind != TOKEN_END && p->kind != TOKEN_NUMBER && str_eqc(token(p), text);
}

static int fail(struct parser *p, const char *expected) {
    struct str t = token(p);
    if (p->kind == TOKEN_END || p->at >= p->before + p->own)
        return err_set(p->e, ERR_PARSE, "column %zu: expected %s, found the end", column(p, p->at),
                       expected);
    return err_set(p->e, ERR_PARSE, "column %zu: expected %s, found \"%.*s\"", column(p, p->at),
                   expected, (int)(t.n < 64 ? t.n : 64), t.p);
}

static int unsupported(struct parser *p, const char *what) {
    struct str t = token(p);
    return err_set(p->e, ERR_UNSUPPORTED,
                   "column %zu: %s (\"%.*s\") is of KEDA's expression language, but not supported "
                   "here",
                   column(p, p->at), what, (int)(t.n < 64 ? t.n : 64), t.p);
}

// ---- Tokens ---------------------------------------------------------------------------------

static int peek(const struct parser *p, size_t i) {
    return i < p->text.n ? (unsigned char)p->text.p[i] : -1;
}

static bool is_word(int c) {
    return c >= 0 && (isalnum(c) || c == '_' || c == '$');
}

// Blanks and comments.
static int skip(struct parser *p) {
    for (;;) {
        while (p->after < p->text.n && isspace(peek(p, p->after)))
            p->after++;
        if (peek(p, p->after) != '/')
            return 0;
        if (peek(p, p->after + 1) == '/') {
            while (p->after < p->text.n && peek(p, p->after) != '\n')
                p->after++;
        } else if (peek(p, p->after + 1) == '*') {
            size_t end = p->after + 2;
            while (end + 1 < p->text.n && !(peek(p, end) == '*' && peek(p, end + 1) == '/'))
                end++;
            if (end + 1 >= p->text.n)
                return err_set(p->e, ERR_PARSE, "column %zu: the comment has no end",
                               column(p, p->after));
            p->after = end + 2;
        } else {
            return 0;
        }
    }
}

static void digits(struct parser *p, const char *set) {
    while (p->after < p->text.n && peek(p, p->after) > 0 && strchr(set, peek(p, p->after)) != NULL)
        p->after++;
}

static int number(struct parser *p) {
    const char *set = "0123456789_";
    p->kind = TOKEN_NUMBER;
    if (peek(p, p->after) == '0') {
        int c = tolower(peek(p, p->after + 1));
        set = c == 'x'   ? "0123456789abcdefABCDEF_"
              : c == 'o' ? "01234567_"
              : c == 'b' ? "01_"
                         : set;
        p->after += c == 'x' || c == 'o' || c == 'b' ? 2 : 1;
    }
    digits(p, set);
    if (peek(p, p->after) == '.' && peek(p, p->after + 1) != '.') {
        p->after++;
        digits(p, set);
    }
    if (peek(p, p->after) == 'e' || peek(p, p->after) == 'E') {
        p->after++;
        if (peek(p, p->after) == '+' || peek(p, p->after) == '-')
            p->after++;
        digits(p, set);
    }
    if (is_word(peek(p, p->after)) || peek(p, p->after) >= 0x80)
        return err_set(p->e, ERR_PARSE, "column %zu: a number must not end in a letter",
                       column(p, p->after));
    return 0;
}

static int next(struct parser *p) {
    int r = skip(p);
    if (r < 0)
        return r;
    p->at = p->after;
    int c = peek(p, p->at), d = peek(p, p->at + 1);
    if (c < 0) {
        p->kind = TOKEN_END;
        return 0;
    }
    if (isdigit(c) || (c == '.' && d >= 0 && isdigit(d)))
        return number(p);
    if (is_word(c)) {
        p->kind = TOKEN_WORD;
        while (is_word(peek(p, p->after)))
            p->after++;
        return 0;
    }
    p->kind = TOKEN_OPERATOR;
    p->after++;
    // As its lexer takes them: a second character of the set joins, whatever the two then mean.
    bool pair = (strchr("&!=*<>", c) && d > 0 && strchr("&=*", d)) ||
                (c == '?' && (d == '?' || d == '.')) || ((c == '|' || c == '.') && d == c);
    p->after += pair;
    if (c == '\'' || c == '"' || c == '`')
        return unsupported(p, "a string");
    if (!isprint(c) || !strchr("&!=*<>?|.,;%+-^/()[]{}:#", c))
        return err_set(p->e, ERR_PARSE,
                       isprint(c) ? "column %zu: unexpected '%c'"
                                  : "column %zu: unexpected byte 0x%02x",
                       column(p, p->at), c);
    return 0;
}

static int expect(struct parser *p, const char *text) {
    char quoted[16];
    if (is(p, text))
        return next(p);
    snprintf(quoted, sizeof(quoted), "`%s`", text);
    return fail(p, quoted);
}

// ---- Nodes ------------------------------------------------------------------------------------

static int node(struct parser *p, struct formula_node n, size_t at, uint16_t *ret) {
    n.column = (uint16_t)column(p, at);
    n.next = FORMULA_NONE;
    if (p->nodes.n >= LIMIT_FORMULA_NODES)
        return err_set(p->e, ERR_LIMIT, "more than %d terms and operators", LIMIT_FORMULA_NODES);
    int r = vec_push(&p->nodes, n);
    if (r)
        return err_set(p->e, r, "no memory for a formula");
    *ret = (uint16_t)(p->nodes.n - 1);
    return 0;
}

static int leaf(struct parser *p, struct formula_node n, uint16_t *ret) {
    int r = node(p, n, p->at, ret);
    return r ? r : next(p);
}

static int parse(struct parser *p, unsigned precedence, uint16_t *ret);
static int primary(struct parser *p, uint16_t *ret);

static int number_leaf(struct parser *p, uint16_t *ret) {
    char text[64];
    size_t n = 0;
    struct str t = token(p);
    for (size_t i = 0; i < t.n; i++) {
        if (t.p[i] == '_')
            continue;
        if (n + 1 >= sizeof(text))
            return err_set(p->e, ERR_PARSE, "column %zu: a number of more than %zu digits",
                           column(p, p->at), sizeof(text) - 1);
        text[n++] = (char)tolower((unsigned char)t.p[i]);
    }
    text[n] = '\0';
    int base = n > 1 && text[0] == '0' ? text[1] == 'x' ? 16 : text[1] == 'o' ? 8 : 10 : 10;
    base = n > 1 && text[0] == '0' && text[1] == 'b' ? 2 : base;
    char *end = text;
    struct formula_node leaf_node = {.op = FORMULA_INT};
    errno = 0;
    if (base == 10 && strpbrk(text, ".e")) {
        leaf_node.op = FORMULA_FLOAT;
        leaf_node.d = strtod(text, &end);
        if (errno == ERANGE && leaf_node.d < 1) // too small: 0, as in Go
            errno = 0;
    } else {
        leaf_node.i = strtoll(text + (base == 10 ? 0 : 2), &end, base);
        if (base != 10 && n == 2)
            end = text; // no digit behind the prefix
    }
    if (*end != '\0' || errno == ERANGE || n == 0)
        return err_set(p->e, ERR_PARSE, "column %zu: \"%.*s\" is no number%s", column(p, p->at),
                       (int)(t.n < 64 ? t.n : 64), t.p, errno == ERANGE ? " that fits" : "");
    return leaf(p, leaf_node, ret);
}

static int name_leaf(struct parser *p, uint16_t *ret) {
    struct str t = token(p);
    const char *known[LIMIT_KEDA_TRIGGERS + 1];
    size_t n_known = 0;
    for (size_t i = 0; i < p->names->n; i++) {
        if (!p->names->names[i])
            continue;
        if (str_eqc(t, p->names->names[i]))
            return leaf(p, (struct formula_node){.op = FORMULA_NAME, .i = (int64_t)i}, ret);
        known[n_known++] = p->names->names[i];
    }
    known[n_known] = NULL;
    for (size_t i = 0; foreign[i]; i++)
        if (str_eqc(t, foreign[i]))
            return unsupported(p, "a word");
    const char *near = str_nearest(t, known);
    return err_set(p->e, ERR_PARSE, "column %zu: no trigger is named \"%.*s\"%s%s%s",
                   column(p, p->at), (int)(t.n < 64 ? t.n : 64), t.p,
                   near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

typedef int item_fn(struct parser *p, uint16_t *ret);

// Items up to `close`, linked by `next`; a comma stands between them, and may follow the last.
static int items(struct parser *p, const char *close, item_fn *item, uint16_t *ret_first) {
    uint16_t last = FORMULA_NONE, one;
    char missing[48];
    int r = 0;
    snprintf(missing, sizeof(missing), "an operator, `,` or `%s`", close);
    *ret_first = FORMULA_NONE;
    while (r == 0 && !is(p, close)) {
        if (last != FORMULA_NONE)
            r = is(p, ",") ? next(p) : fail(p, missing);
        if (r == 0 && is(p, close))
            break;
        r = r ? r : item(p, &one);
        if (r)
            return r;
        *(last == FORMULA_NONE ? ret_first : &p->nodes.items[last].next) = one;
        last = one;
    }
    return r ? r : expect(p, close);
}

static int element(struct parser *p, uint16_t *ret) {
    return parse(p, 0, ret);
}

// [a, b, c], only as an argument.
static int list(struct parser *p, uint16_t *ret) {
    size_t at = p->at;
    uint16_t first;
    int r = expect(p, "[");
    r = r ? r : items(p, "]", element, &first);
    return r ? r : node(p, (struct formula_node){.op = FORMULA_LIST, .a = first}, at, ret);
}

static int argument(struct parser *p, uint16_t *ret) {
    return is(p, "[") ? list(p, ret) : parse(p, 0, ret);
}

static int call(struct parser *p, enum formula_fn fn, size_t at, uint16_t *ret) {
    uint16_t first;
    int r = expect(p, "(");
    r = r ? r : items(p, ")", argument, &first);
    return r ? r : node(p, (struct formula_node){.op = FORMULA_CALL, .a = first, .i = fn}, at, ret);
}

// count([a, b], {# > 1}); braces may be left out.
static int over(struct parser *p, enum formula_fn fn, size_t at, uint16_t *ret) {
    struct formula_node n = {.op = FORMULA_OVER, .b = FORMULA_NONE, .i = fn};
    int r = expect(p, "(");
    if (r == 0 && !is(p, "["))
        r = fail(p, "a list: `[`");
    r = r ? r : list(p, &n.a);
    if (r == 0 && is(p, ",")) {
        r = next(p);
        if (r == 0 && !is(p, ")")) {
            bool braces = is(p, "{");
            r = braces ? next(p) : 0;
            p->over++;
            r = r ? r : parse(p, 0, &n.b);
            p->over--;
            r = r ? r : braces ? expect(p, "}") : 0;
            if (r == 0 && is(p, ","))
                r = next(p);
        }
    }
    if (r == 0 && n.b == FORMULA_NONE && fn != FN_COUNT && fn != FN_SUM)
        r = fail(p, "a predicate such as `{# > 1}`");
    r = r ? r : expect(p, ")");
    return r ? r : node(p, n, at, ret);
}

static int word(struct parser *p, uint16_t *ret) {
    size_t at = p->at;
    if (is(p, "true") || is(p, "false"))
        return leaf(p, (struct formula_node){.op = FORMULA_BOOL, .i = is(p, "true")}, ret);
    if (is(p, "nil"))
        return leaf(p, (struct formula_node){.op = FORMULA_NIL}, ret);
    size_t after = p->after;
    while (after < p->text.n && isspace(peek(p, after)))
        after++;
    if (peek(p, after) != '(')
        return name_leaf(p, ret);
    for (int fn = 0; functions[fn]; fn++)
        if (is(p, functions[fn])) {
            int r = next(p);
            return r             ? r
                   : fn < FN_SUM ? call(p, (enum formula_fn)fn, at, ret)
                                 : over(p, (enum formula_fn)fn, at, ret);
        }
    for (size_t i = 0; foreign[i]; i++)
        if (is(p, foreign[i]))
            return unsupported(p, "a function");
    const char *near = str_nearest(token(p), functions);
    return err_set(p->e, ERR_PARSE, "column %zu: no function \"%.*s\"%s%s%s", at + 1,
                   (int)(token(p).n < 64 ? token(p).n : 64), token(p).p,
                   near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

// Only to refuse what would follow a value: a.b, a[0], a?.b.
static int postfix(struct parser *p, int r) {
    if (r == 0 && (is(p, ".") || is(p, "[") || is(p, "?.")))
        return unsupported(p, "a member");
    return r;
}

static int unary(struct parser *p, unsigned precedence, uint8_t op, uint16_t *ret) {
    size_t at = p->at;
    uint16_t inner;
    int r = next(p);
    r = r ? r : parse(p, precedence, &inner);
    return r ? r : node(p, (struct formula_node){.op = op, .a = inner}, at, ret);
}

static int primary(struct parser *p, uint16_t *ret) {
    for (size_t i = 0; i < COUNT_OF(unaries); i++)
        if (is(p, unaries[i].text))
            return postfix(p, unary(p, unaries[i].precedence, unaries[i].op, ret));
    if (is(p, "(")) {
        int r = next(p);
        r = r ? r : parse(p, 0, ret);
        r = r ? r : is(p, ";") ? unsupported(p, "a sequence") : 0;
        return postfix(p, r ? r : expect(p, ")"));
    }
    if (is(p, "#") && p->over)
        return postfix(p, leaf(p, (struct formula_node){.op = FORMULA_ELEMENT}, ret));
    if (p->kind == TOKEN_NUMBER)
        return number_leaf(p, ret);
    if (p->kind == TOKEN_WORD && !is(p, "and") && !is(p, "or") && !is(p, "else") && !is(p, "if"))
        return postfix(p, word(p, ret));
    if (is(p, "["))
        return unsupported(p, "a list that is no argument");
    if (is(p, "{"))
        return unsupported(p, "a map");
    return fail(p, "a number, a trigger's name, a function or `(`");
}

static const struct binary *binary(const struct parser *p, unsigned precedence) {
    for (size_t i = 0; i < COUNT_OF(binaries); i++)
        if (is(p, binaries[i].text))
            return binaries[i].precedence >= precedence ? &binaries[i] : NULL;
    return NULL;
}

static int two(struct parser *p, uint8_t op, uint16_t a, uint16_t b, size_t at, uint16_t *ret) {
    return node(p, (struct formula_node){.op = op, .a = a, .b = b}, at, ret);
}

// a < b <= c: each neighbour is compared once, joined by `and`; b stands in both.
static int comparison(struct parser *p, const struct binary *b, uint16_t left, size_t at,
                      uint16_t *ret) {
    uint16_t all = FORMULA_NONE;
    for (;;) {
        uint16_t right, one;
        int r = parse(p, b->precedence + 1u, &right);
        r = r ? r : two(p, b->op, left, right, at, &one);
        if (r == 0 && all != FORMULA_NONE)
            r = two(p, FORMULA_AND, all, one, at, &one);
        if (r)
            return r;
        all = one;
        left = right;
        b = binary(p, 0);
        if (!b || !b->comparison)
            break;
        at = p->at;
        r = next(p);
        if (r)
            return r;
    }
    *ret = all;
    return 0;
}

static int conditional(struct parser *p, uint16_t *ret) {
    while (is(p, "?")) {
        size_t at = p->at;
        uint16_t yes = *ret, no = FORMULA_NONE;
        int r = next(p);
        if (r == 0 && !is(p, ":"))
            r = parse(p, 0, &yes);
        r = r ? r : expect(p, ":");
        r = r ? r : parse(p, 0, &no);
        struct formula_node n = {.op = FORMULA_COND, .a = *ret, .b = yes, .c = no};
        r = r ? r : node(p, n, at, ret);
        if (r)
            return r;
    }
    return 0;
}

static int branch(struct parser *p, uint16_t *ret) {
    int r = expect(p, "{");
    r = r ? r : parse(p, 0, ret);
    r = r ? r : is(p, ";") ? unsupported(p, "a sequence") : 0;
    return r ? r : expect(p, "}");
}

static int parse_if(struct parser *p, uint16_t *ret) {
    size_t at = p->at;
    struct formula_node n = {.op = FORMULA_COND};
    if (++p->depth > LIMIT_FORMULA_DEPTH)
        return err_set(p->e, ERR_LIMIT, "column %zu: nested deeper than %d", column(p, p->at),
                       LIMIT_FORMULA_DEPTH);
    int r = next(p);
    r = r ? r : parse(p, 0, &n.a);
    r = r ? r : branch(p, &n.b);
    r = r ? r : expect(p, "else");
    r = r ? r : is(p, "if") ? parse_if(p, &n.c) : branch(p, &n.c);
    p->depth--;
    return r ? r : node(p, n, at, ret);
}

static int binary_tail(struct parser *p, unsigned precedence, uint16_t *ret) {
    const struct binary *b, *before = NULL;
    while ((b = binary(p, precedence)) != NULL) {
        size_t at = p->at;
        if (before && before->op == FORMULA_ELSE_NIL && b->op != FORMULA_ELSE_NIL)
            return err_set(p->e, ERR_PARSE,
                           "column %zu: %s cannot follow ??: put one of them into parentheses",
                           column(p, at), b->text);
        uint16_t right;
        int r = next(p);
        if (r)
            return r;
        if (b->comparison) {
            r = comparison(p, b, *ret, at, ret);
        } else {
            r = parse(p, b->precedence + (b->right ? 0u : 1u), &right);
            r = r ? r : two(p, b->op, *ret, right, at, ret);
        }
        if (r)
            return r;
        before = b;
    }
    return is(p, "|") ? unsupported(p, "a pipe") : is(p, "..") ? unsupported(p, "a range") : 0;
}

static int parse(struct parser *p, unsigned precedence, uint16_t *ret) {
    if (precedence == 0 && is(p, "if"))
        return parse_if(p, ret);
    if (++p->depth > LIMIT_FORMULA_DEPTH)
        return err_set(p->e, ERR_LIMIT, "column %zu: nested deeper than %d", column(p, p->at),
                       LIMIT_FORMULA_DEPTH);
    int r = primary(p, ret);
    r = r ? r : binary_tail(p, precedence, ret);
    if (r == 0 && precedence == 0)
        r = conditional(p, ret);
    p->depth--;
    return r;
}

// castToFloatIfNecessary: KEDA puts the formula into float(...), or, with ??, into parentheses; one
// that begins with float( stays as it is. So `1,` and `1) + (2` are formulas too.
static int wrap(struct keda_formula *f, struct parser *p, struct str text, struct buf *b) {
    bool coalesces = memmem(text.p, text.n, "??", 2) != NULL;
    f->may_be_nil = coalesces;
    f->bare = !coalesces && str_starts(text, "float(");
    const char *before = coalesces ? "(" : f->bare ? "" : "float(";
    p->before = strlen(before);
    p->own = text.n;
    int r = buf_addc(b, before);
    r = r ? r : buf_add_str(b, text);
    r = r || f->bare ? r : buf_add_byte(b, ')');
    p->text = buf_str(b);
    return r;
}

int formula_parse(struct keda_formula *f, struct str text, const struct formula_names *names,
                  struct err *e) {
    CLEANUP_BUF struct buf b;
    struct parser p = {.names = names, .e = e};
    buf_init(&b, LIMIT_FORMULA_BYTES + 16);
    if (text.n > LIMIT_FORMULA_BYTES)
        return err_set(e, ERR_LIMIT, "a formula of %zu bytes, at most %d", text.n,
                       LIMIT_FORMULA_BYTES);
    if (text.n == 0)
        return err_set(e, ERR_PARSE, "column 1: the formula is empty");
    vec_init(&p.nodes, LIMIT_FORMULA_NODES);
    int r = wrap(f, &p, text, &b);
    if (r < 0)
        return err_set(e, r, "no memory for a formula");
    r = next(&p);
    r = r ? r : parse(&p, 0, &f->root);
    if (r == 0 && is(&p, ";"))
        r = unsupported(&p, "a sequence");
    if (r == 0 && p.kind != TOKEN_END)
        r = fail(&p, "an operator or the end");
    if (r == 0) {
        f->n = (uint16_t)p.nodes.n;
        f->nodes = TAKE_PTR(p.nodes.items);
    }
    vec_done(&p.nodes);
    return r;
}
