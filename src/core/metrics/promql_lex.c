// SPDX-License-Identifier: Apache-2.0
/* Tokens of PromQL, strictly: a byte that begins none is an error, never skipped. */
#include "core/metrics/promql_lex.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

static bool is_word_start(char c) {
    return isalpha((unsigned char)c) || c == '_' || c == ':';
}

static bool is_word(char c) {
    return is_word_start(c) || isdigit((unsigned char)c);
}

static char at(const struct promql_lexer *l, size_t i) {
    return i < l->text.n ? l->text.p[i] : '\0';
}

int promql_fail(const struct promql_lexer *l, int code, const char *fmt, ...) {
    size_t offset = (size_t)(l->token.text.p - l->text.p), line = 1, column = 1;
    char text[600];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    for (size_t i = 0; i < offset; i++, column++)
        if (l->text.p[i] == '\n') {
            line++;
            column = 0;
        }
    if (line > 1)
        return err_set(l->e, code, "line %zu, column %zu: %s", line, column, text);
    return err_set(l->e, code, "column %zu: %s", column, text);
}

// White space, and comments to the end of the line.
static void skip_blank(struct promql_lexer *l) {
    for (; l->at < l->text.n; l->at++) {
        if (l->text.p[l->at] == '#')
            while (l->at < l->text.n && at(l, l->at) != '\n' && at(l, l->at) != '\r')
                l->at++;
        char c = at(l, l->at);
        if (c != ' ' && c != '\t' && c != '\r' && c != '\n')
            return;
    }
}

static size_t digits(const struct promql_lexer *l, size_t i) {
    while (isdigit((unsigned char)at(l, i)))
        i++;
    return i;
}

// "5m", "1h30m", "250ms": behind it, or `i` when none begins there.
static size_t duration(const struct promql_lexer *l, size_t i) {
    for (;;) {
        size_t end = digits(l, i);
        if (end == i || !at(l, end) || !strchr("ywdhms", at(l, end)))
            return i;
        i = end + (at(l, end) == 'm' && at(l, end + 1) == 's' ? 2 : 1);
    }
}

static size_t number(const struct promql_lexer *l, size_t i) {
    if (at(l, i) == '0' && (at(l, i + 1) | 0x20) == 'x') {
        for (i += 2; isxdigit((unsigned char)at(l, i));)
            i++;
        return i;
    }
    i = digits(l, i);
    if (at(l, i) == '.')
        i = digits(l, i + 1);
    if ((at(l, i) | 0x20) != 'e')
        return i;
    size_t exponent = i + 1 + (at(l, i + 1) == '+' || at(l, i + 1) == '-');
    size_t end = digits(l, exponent);
    return end > exponent ? end : i;
}

static int lex_number(struct promql_lexer *l) {
    size_t start = l->at;
    size_t end = duration(l, start);
    if (end == start)
        end = number(l, start);
    l->at = end;
    l->token = (struct promql_token){PROMQL_NUMBER, {l->text.p + start, end - start}};
    if ((is_word(at(l, end)) && at(l, end) != ':') || at(l, end) == '.')
        return promql_fail(l, ERR_PARSE, "expected a number or a duration such as 0.5, 1e3 or 5m");
    return 0;
}

static int lex_string(struct promql_lexer *l) {
    size_t start = l->at++;
    char quote = l->text.p[start];
    l->token = (struct promql_token){PROMQL_STRING, {l->text.p + start, 1}};
    while (l->at < l->text.n && l->text.p[l->at] != quote) {
        char c = l->text.p[l->at++];
        if (c == '\n' && quote != '`')
            return promql_fail(l, ERR_PARSE, "a line ends inside a string");
        if (c == '\\' && quote != '`' && l->at < l->text.n)
            l->at++;
    }
    if (l->at >= l->text.n)
        return promql_fail(l, ERR_PARSE, "the string does not end");
    l->at++;
    l->token.text.n = l->at - start;
    return 0;
}

static int lex_symbol(struct promql_lexer *l) {
    static const char *const two[] = {"==", "!=", "=~", "!~", "<=", ">="};
    size_t n = 1;
    for (size_t i = 0; i < sizeof(two) / sizeof(two[0]); i++)
        if (at(l, l->at) == two[i][0] && at(l, l->at + 1) == two[i][1])
            n = 2;
    char c = l->text.p[l->at];
    l->token = (struct promql_token){PROMQL_SYMBOL, {l->text.p + l->at, n}};
    l->at += n;
    if (n == 2 || strchr("+-*/%^=<>(){}[],@:", c))
        return 0;
    if (isprint((unsigned char)c))
        return promql_fail(l, ERR_PARSE, "'%c' begins nothing in PromQL", c);
    return promql_fail(l, ERR_PARSE, "byte 0x%02x begins nothing in PromQL",
                       (unsigned)(unsigned char)c);
}

int promql_next(struct promql_lexer *l) {
    skip_blank(l);
    char c = at(l, l->at);
    l->token = (struct promql_token){PROMQL_END, {l->text.p + l->at, 0}};
    if (l->at >= l->text.n)
        return 0;
    if (isdigit((unsigned char)c) || (c == '.' && isdigit((unsigned char)at(l, l->at + 1))))
        return lex_number(l);
    if (c == '"' || c == '\'' || c == '`')
        return lex_string(l);
    if (c == '\0' || !is_word_start(c) || (c == ':' && l->in_range))
        return c == '\0' ? promql_fail(l, ERR_PARSE, "byte 0x00 begins nothing in PromQL")
                         : lex_symbol(l);
    size_t start = l->at;
    while (is_word(at(l, l->at)))
        l->at++;
    l->token = (struct promql_token){PROMQL_WORD, {l->text.p + start, l->at - start}};
    return 0;
}

// The escape at s[i] ('\\'): its length, 0 when there is none such.
static size_t escape_length(struct str s, size_t i) {
    char c = s.p[i + 1];
    size_t n = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : c >= '0' && c <= '7' ? 2 : 0;
    if (n == 0)
        return strchr("abfnrtv\\\"'", c) && c ? 2 : 0;
    for (size_t k = 0; k < n; k++) {
        char d = i + 2 + k < s.n ? s.p[i + 2 + k] : '\0';
        bool ok = c >= '0' && c <= '7' ? d >= '0' && d <= '7' : isxdigit((unsigned char)d) != 0;
        if (!ok)
            return 0;
    }
    return 2 + n;
}

// One byte of a string's inside, as it stands between double quotes.
static int add_plain(struct buf *out, char c) {
    if (c == '\n')
        return buf_addc(out, "\\n");
    if (c == '\r')
        return buf_addc(out, "\\r");
    if (c == '"' || c == '\\') {
        int r = buf_add_byte(out, '\\');
        if (r)
            return r;
    }
    return buf_add_byte(out, c);
}

int promql_add_string(const struct promql_lexer *l, struct buf *out) {
    char quote = l->token.text.p[0];
    struct str s = {l->token.text.p + 1, l->token.text.n - 2};
    int r = buf_add_byte(out, '"');
    for (size_t i = 0; r == 0 && i < s.n;) {
        if (s.p[i] != '\\' || quote == '`') {
            r = add_plain(out, s.p[i++]);
            continue;
        }
        size_t n = i + 1 < s.n ? escape_length(s, i) : 0;
        char c = n ? s.p[i + 1] : '\0';
        if (n == 0 || ((c == '"' || c == '\'') && c != quote))
            return promql_fail(l, ERR_PARSE, "the string has an escape that PromQL does not have");
        r = c == '\'' ? buf_add_byte(out, c) : buf_add(out, s.p + i, n);
        i += n;
    }
    return r ? r : buf_add_byte(out, '"');
}
