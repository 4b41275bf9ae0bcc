// SPDX-License-Identifier: Apache-2.0
/*
 * What Prometheus' HTTP API answered to an instant query (POST /api/v1/query): one number, or why
 * there is none. One sample of a vector and a scalar are numbers; nothing else is.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "core/signal/external.h"

enum { PROM_ANSWER_TEXT_MAX = 400 };

struct prom_answer {
    enum external_state state; // EXTERNAL_GOOD: `value`; never WAITING, NO_SECRET, NO_ANSWER
    double value;
    char text[PROM_ANSWER_TEXT_MAX]; // a sentence for a person, "" when good; UTF-8, no newline
};

// A whole body. 0; ERR_PARSE: it is no answer of this API, with the reason.
int prom_answer_parse(struct str body, struct prom_answer *ret, struct err *e);

// The body of such a request: query, timeout, and lookback_delta when lookback_s is not 0. Numbers
// are seconds: Prometheus' durations have no fractions. 0, ERR_LIMIT, ERR_NOMEM.
int prom_answer_form(struct buf *out, struct str query, double timeout_s, double lookback_s);
