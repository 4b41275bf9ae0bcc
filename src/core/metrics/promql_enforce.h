// SPDX-License-Identifier: Apache-2.0
/*
 * PromQL that sees only what carries one label: label="value" is added to every vector selector.
 *
 * The query is read by the grammar of Prometheus 2.x and 3.x and written anew from what was read,
 * token by token: only double-quoted strings, no comments, each selector with its braces. So the
 * server reads what we read, whatever its lexer makes of odd spaces, quotes or comments in the
 * text that the tenant gave. What is not understood is refused with its place: unknown functions
 * (info() reads series that no selector names), `or` between matchers and all else that other
 * engines add. Matchers are joined by "and", so a matcher of the tenant's own on the same label
 * cannot widen anything; one that names another value is refused, for it could only give nothing.
 *
 * Types are not checked (a range where a number is wanted): the server does that, and says so.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

// Appends the query. `label` is a label name, `value` UTF-8. 0; ERR_PARSE with place and what was
// expected; ERR_INVALID: refused, with the reason; ERR_LIMIT (LIMIT_PROMQL_BYTES, of text and of
// what is written; LIMIT_PROMQL_DEPTH); ERR_NOMEM. On failure `out` is as it was.
int promql_enforce(struct buf *out, struct str query, struct str label, struct str value,
                   struct err *e);
