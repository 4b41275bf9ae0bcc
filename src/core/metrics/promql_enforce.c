// SPDX-License-Identifier: Apache-2.0
/*
 * Recursive descent over PromQL with a bounded depth. Precedence does not matter here: operands and
 * operators are written in the order in which they were read, with the same parentheses.
 */
#include "core/metrics/promql_enforce.h"

#include "base/limits.h"
#include "base/utf8.h"
#include "core/metrics/prom.h"
#include "core/metrics/promql_lex.h"

struct enforcer {
    struct promql_lexer lex;
    struct buf *out;
    struct str label, value;
    unsigned depth;
};

static int expression(struct enforcer *x);

static bool is(const struct enforcer *x, const char *symbol) {
    return x->lex.token.kind == PROMQL_SYMBOL && str_eqc(x->lex.token.text, symbol);
}

static bool is_any(const struct enforcer *x, const char *symbols) {
    return x->lex.token.kind == PROMQL_SYMBOL && x->lex.token.text.n == 1 &&
           strchr(symbols, x->lex.token.text.p[0]);
}

static bool is_word(const struct enforcer *x, const char *word) {
    return x->lex.token.kind == PROMQL_WORD && str_eq_nocase(x->lex.token.text, str_from(word));
}

static int too_long(struct enforcer *x, int r) {
    if (r == ERR_LIMIT)
        return err_set(x->lex.e, r, "longer than %d bytes", LIMIT_PROMQL_BYTES);
    return r == ERR_NOMEM ? err_set(x->lex.e, r, "no memory") : r;
}

static int put(struct enforcer *x, const char *text) {
    return too_long(x, buf_addc(x->out, text));
}

// Writes the token and reads the next.
static int copy(struct enforcer *x) {
    int r = x->lex.token.kind == PROMQL_STRING ? promql_add_string(&x->lex, x->out)
                                               : buf_add_str(x->out, x->lex.token.text);
    return r ? too_long(x, r) : promql_next(&x->lex);
}

static int copy_spaced(struct enforcer *x) {
    bool blank = x->out->len > 0 && x->out->p[x->out->len - 1] == ' ';
    int r = put(x, blank ? "" : " ");
    r = r ? r : copy(x);
    return r ? r : put(x, " ");
}

static int expected(struct enforcer *x, const char *what) {
    struct str t = x->lex.token.text;
    if (x->lex.token.kind == PROMQL_END)
        return promql_fail(&x->lex, ERR_PARSE, "expected %s, found the end", what);
    return promql_fail(&x->lex, ERR_PARSE, "expected %s, found \"%.*s\"", what,
                       (int)(t.n < 64 ? t.n : 64), t.p);
}

static int copy_symbol(struct enforcer *x, const char *symbol) {
    char what[8] = {'\'', symbol[0], '\'', '\0'};
    return is(x, symbol) ? copy(x) : expected(x, what);
}

static int deeper(struct enforcer *x) {
    if (++x->depth <= LIMIT_PROMQL_DEPTH)
        return 0;
    return promql_fail(&x->lex, ERR_LIMIT, "nested deeper than %d", LIMIT_PROMQL_DEPTH);
}

// A comma-separated list with an optional comma at its end, up to `close`.
static int list(struct enforcer *x, const char *close, int (*item)(struct enforcer *x)) {
    int r = 0;
    while (r == 0 && !is(x, close)) {
        r = item(x);
        if (r || is(x, close))
            break;
        if (!is(x, ","))
            return expected(x, close[0] == '}' ? "',' or '}'" : "',' or ')'");
        r = copy(x);
    }
    return r ? r : copy(x);
}

static int label_name(struct enforcer *x) {
    bool ok = x->lex.token.kind == PROMQL_STRING ||
              (x->lex.token.kind == PROMQL_WORD && prom_label_name_valid(x->lex.token.text));
    return ok ? copy(x) : expected(x, "a label name");
}

// by (a, b)
static int label_list(struct enforcer *x) {
    int r = copy_spaced(x);
    r = r ? r : copy_symbol(x, "(");
    return r ? r : list(x, ")", label_name);
}

// The tenant's own matcher on the enforced label, with = and another value, can only give nothing.
static int check_value(struct enforcer *x, size_t from) {
    struct buf want;
    buf_init(&want, LIMIT_PROMQL_BYTES);
    int r = buf_add_json(&want, x->value);
    struct str got = {x->out->p + from, x->out->len - from};
    bool same = r == 0 && str_eq(buf_str(&want), got);
    buf_done(&want);
    if (r)
        return too_long(x, r);
    if (same)
        return 0;
    return promql_fail(&x->lex, ERR_INVALID,
                       "only series with " STR_FMT "=\"" STR_FMT
                       "\" can be read here, which is added by itself: leave the matcher out",
                       STR_ARG(x->label), STR_ARG(x->value));
}

static int matcher(struct enforcer *x) {
    bool quoted = x->lex.token.kind == PROMQL_STRING;
    bool word = x->lex.token.kind == PROMQL_WORD && prom_label_name_valid(x->lex.token.text);
    if (!quoted && !word)
        return expected(x, "a label name");
    struct str name = x->lex.token.text;
    if (quoted)
        name = (struct str){name.p + 1, name.n - 2};
    bool ours = str_eq(name, x->label);
    int r = copy(x);
    if (r || (quoted && is_any(x, ",}")))
        return r; // a metric's name in quotes
    bool equals = is(x, "=");
    if (!equals && !is(x, "!=") && !is(x, "=~") && !is(x, "!~"))
        return expected(x, "=, !=, =~ or !~");
    r = copy(x);
    if (r)
        return r;
    if (x->lex.token.kind != PROMQL_STRING)
        return expected(x, "a string in quotes");
    size_t from = x->out->len;
    struct promql_token value = x->lex.token;
    r = copy(x);
    if (r || !ours || !equals)
        return r;
    struct promql_token next = x->lex.token;
    x->lex.token = value;
    r = check_value(x, from);
    x->lex.token = next;
    return r;
}

// The braces of a selector, written or not, with our matcher.
static int matchers(struct enforcer *x) {
    int r = put(x, "{");
    bool braces = is(x, "{");
    if (r == 0 && braces)
        r = promql_next(&x->lex);
    for (bool more = braces; r == 0 && more && !is(x, "}");) {
        r = matcher(x);
        r = r ? r : put(x, ",");
        more = is(x, ",");
        if (r == 0 && more)
            r = promql_next(&x->lex);
        else if (r == 0 && !is(x, "}"))
            r = expected(x, "',' or '}'");
    }
    if (r == 0 && braces)
        r = promql_next(&x->lex); // the closing brace
    r = r ? r : too_long(x, buf_add_str(x->out, x->label));
    r = r ? r : put(x, "=");
    r = r ? r : too_long(x, buf_add_json(x->out, x->value));
    return r ? r : put(x, "}");
}

static int arguments(struct enforcer *x) {
    int r = deeper(x);
    r = r ? r : copy_symbol(x, "(");
    r = r ? r : list(x, ")", expression);
    x->depth--;
    return r;
}

// sum by (a) (expr) or sum (expr) by (a)
static int aggregation(struct enforcer *x) {
    int r = copy(x);
    bool before = is_word(x, "by") || is_word(x, "without");
    if (r == 0 && before)
        r = label_list(x);
    r = r ? r : put(x, before ? " " : "");
    r = r ? r : arguments(x);
    if (r == 0 && !before && (is_word(x, "by") || is_word(x, "without")))
        r = label_list(x);
    return r;
}

static int fail_word(struct enforcer *x, struct promql_token word) {
    x->lex.token = word;
    return promql_fail(&x->lex, ERR_INVALID,
                       "\"" STR_FMT "\" is a word of PromQL: a metric of this name is written "
                       "{__name__=\"" STR_FMT "\"}",
                       STR_ARG(word.text), STR_ARG(word.text));
}

static int fail_function(struct enforcer *x, struct promql_token word) {
    const char *near = promql_nearest_function(word.text);
    x->lex.token = word;
    return promql_fail(&x->lex, ERR_INVALID, "%.*s(): no function that may be used here%s%s%s",
                       (int)(word.text.n < 64 ? word.text.n : 64), word.text.p,
                       near ? "; did you mean " : "", near ? near : "", near ? "()?" : "");
}

static int word(struct enforcer *x) {
    struct promql_token name = x->lex.token;
    if (promql_is_aggregation(name.text)) {
        struct promql_lexer ahead = x->lex;
        int r = promql_next(&ahead);
        struct enforcer peek = {.lex = ahead};
        if (r)
            return r;
        if (is(&peek, "(") || is_word(&peek, "by") || is_word(&peek, "without"))
            return aggregation(x);
    }
    if (str_eq_nocase(name.text, STR("inf")) || str_eq_nocase(name.text, STR("nan")))
        return copy(x);
    if (promql_is_reserved(name.text))
        return fail_word(x, name);
    int r = copy(x);
    if (r)
        return r;
    if (!is(x, "("))
        return matchers(x);
    return promql_is_function(name.text) ? arguments(x) : fail_function(x, name);
}

static int primary(struct enforcer *x) {
    if (x->lex.token.kind == PROMQL_NUMBER || x->lex.token.kind == PROMQL_STRING)
        return copy(x);
    if (x->lex.token.kind == PROMQL_WORD)
        return word(x);
    if (is(x, "{"))
        return matchers(x);
    if (!is(x, "("))
        return expected(x, "a metric, a number, a function or '('");
    int r = deeper(x);
    r = r ? r : copy(x);
    r = r ? r : expression(x);
    r = r ? r : copy_symbol(x, ")");
    x->depth--;
    return r;
}

static int number(struct enforcer *x) {
    if (x->lex.token.kind != PROMQL_NUMBER)
        return expected(x, "a duration such as 5m");
    return copy(x);
}

// [5m], [1h:5m], [1h:]
static int brackets(struct enforcer *x) {
    x->lex.in_range = true;
    int r = copy(x);
    r = r ? r : number(x);
    if (r == 0 && is(x, ":")) {
        r = copy(x);
        if (r == 0 && !is(x, "]"))
            r = number(x);
    }
    x->lex.in_range = false;
    return r ? r : copy_symbol(x, "]");
}

// offset -5m, @ 1700000000, @ start()
static int shift(struct enforcer *x) {
    bool at = is(x, "@");
    int r = copy_spaced(x);
    if (r == 0 && at && (is_word(x, "start") || is_word(x, "end"))) {
        r = copy(x);
        r = r ? r : copy_symbol(x, "(");
        return r ? r : copy_symbol(x, ")");
    }
    if (r == 0 && is_any(x, "+-"))
        r = copy(x);
    return r ? r : number(x);
}

static int operand(struct enforcer *x) {
    int r = 0;
    while (r == 0 && is_any(x, "+-"))
        r = copy(x);
    r = r ? r : primary(x);
    while (r == 0) {
        if (is(x, "["))
            r = brackets(x);
        else if (is(x, "@") || is_word(x, "offset"))
            r = shift(x);
        else
            break;
    }
    return r;
}

static bool is_operator(const struct enforcer *x) {
    if (x->lex.token.kind == PROMQL_WORD)
        return promql_is_operator(x->lex.token.text);
    return is_any(x, "+-*/%^<>") || is(x, "==") || is(x, "!=") || is(x, "<=") || is(x, ">=");
}

// bool, on (a), ignoring (b), group_left (c)
static int modifiers(struct enforcer *x) {
    int r = 0;
    if (is_word(x, "bool")) {
        r = copy(x);
        r = r ? r : put(x, " ");
    }
    if (r || !(is_word(x, "on") || is_word(x, "ignoring")))
        return r;
    r = label_list(x);
    if (r == 0 && (is_word(x, "group_left") || is_word(x, "group_right"))) {
        r = copy_spaced(x);
        // Parentheses behind it are its labels, also where they were meant as the next operand.
        if (r == 0 && is(x, "(")) {
            r = copy(x);
            r = r ? r : list(x, ")", label_name);
        }
    }
    return r ? r : put(x, " ");
}

static int expression(struct enforcer *x) {
    int r = operand(x);
    while (r == 0 && is_operator(x)) {
        r = copy_spaced(x);
        r = r ? r : modifiers(x);
        r = r ? r : operand(x);
    }
    return r;
}

int promql_enforce(struct buf *out, struct str query, struct str label, struct str value,
                   struct err *e) {
    if (query.n > LIMIT_PROMQL_BYTES)
        return err_set(e, ERR_LIMIT, "longer than %d bytes", LIMIT_PROMQL_BYTES);
    if (!utf8_valid(query.p, query.n) || !utf8_valid(value.p, value.n) ||
        !prom_label_name_valid(label))
        return err_set(e, ERR_PARSE, "not text (UTF-8)");
    size_t before = out->len;
    struct enforcer x = {
        .lex = {.text = query, .e = e}, .out = out, .label = label, .value = value};
    int r = promql_next(&x.lex);
    r = r ? r : expression(&x);
    if (r == 0 && x.lex.token.kind != PROMQL_END)
        r = expected(&x, "an operator or the end");
    if (r == 0 && out->len - before > LIMIT_PROMQL_BYTES)
        r = too_long(&x, ERR_LIMIT);
    if (r)
        buf_truncate(out, before);
    return r;
}
