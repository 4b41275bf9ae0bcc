// SPDX-License-Identifier: Apache-2.0
/*
 * `when` expressions: any text. What parses must evaluate within Kleene's logic: knowing more
 * never contradicts, and a text that is parsed again means the same.
 */
#include "core/policy/expr.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct expr x = {0}, again = {0};
    struct err e = {0};
    struct str text = {(const char *)data, size};
    int r = expr_parse(&x, text, &e);
    if (r < 0) {
        if (x.nodes || e.msg[0] == '\0' || strchr(e.msg, '\n'))
            abort();
        return 0;
    }
    uint8_t unknown[SIGNAL_MAX], truth[SIGNAL_MAX], mixed[SIGNAL_MAX];
    for (int s = 0; s < SIGNAL_MAX; s++) {
        unknown[s] = TRI_UNKNOWN;
        truth[s] = TRI_TRUE;
        mixed[s] = (uint8_t)((size + (size_t)s * 7) % 3);
    }
    enum tri none = expr_eval(&x, unknown, 0);
    if (none != TRI_UNKNOWN || x.n == 0 || x.signals == 0)
        abort(); // nothing known: nothing follows
    if (expr_eval(&x, truth, 0) == TRI_UNKNOWN || expr_eval(&x, truth, x.signals) != TRI_UNKNOWN)
        abort();
    if (expr_parse(&again, text, &e) || expr_eval(&again, mixed, 0) != expr_eval(&x, mixed, 0))
        abort();
    expr_done(&again);
    expr_done(&x);
    return 0;
}
