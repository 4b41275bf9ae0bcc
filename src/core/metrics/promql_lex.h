// SPDX-License-Identifier: Apache-2.0
/* Inside of promql_enforce: tokens of PromQL. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum promql_kind {
    PROMQL_END,
    PROMQL_WORD,   // [a-zA-Z_:][a-zA-Z0-9_:]*
    PROMQL_NUMBER, // 1, .5, 1e-3, 0x1f; a duration too: 5m, 1h30m
    PROMQL_STRING, // with its quotes
    PROMQL_SYMBOL, // an operator, a bracket, a comma, ...
};

struct promql_token {
    enum promql_kind kind;
    struct str text;
};

struct promql_lexer {
    struct str text;
    size_t at;     // behind `token`
    bool in_range; // between brackets: ':' begins no word
    struct promql_token token;
    struct err *e;
};

// The next token into l->token. 0 or ERR_PARSE: what stands there is no token.
int promql_next(struct promql_lexer *l);
// "column 7" or "line 2, column 7" of the token, in front of the message. Returns `code`.
int promql_fail(const struct promql_lexer *l, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
// Appends the string token as one in double quotes that means the same. 0, ERR_PARSE (an escape
// that there is not), ERR_LIMIT, ERR_NOMEM.
int promql_add_string(const struct promql_lexer *l, struct buf *out);

bool promql_is_function(struct str word);
const char *promql_nearest_function(struct str word); // NULL: none is near
bool promql_is_aggregation(struct str word);
bool promql_is_operator(struct str word); // and, or, unless, atan2
bool promql_is_reserved(struct str word);
