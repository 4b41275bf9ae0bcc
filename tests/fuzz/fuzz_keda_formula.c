// SPDX-License-Identifier: Apache-2.0
/*
 * Formulas of scalingModifiers: any text is compiled or refused with a reason that a person can
 * read; what is compiled gives the same answer each time.
 */
#include <math.h>

#include "core/hpa/keda_formula.h"
#include "fuzz.h"

static bool same(double a, double b) {
    return a == b || (isnan(a) && isnan(b));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const names[] = {"gpu", "queue", "kv"};
    static const double values[] = {81.5, 3, -0.0};
    struct str text = {(const char *)data, size};
    struct keda_formula *f = NULL;
    struct err e = {0};
    if (keda_formula_parse(&f, text, names, 3, &e) < 0) {
        require(e.msg[0] != '\0');
        return 0;
    }
    for (uint32_t nil = 0; nil < 8; nil++) {
        double x = 0, again = 0;
        bool is_nil, is_nil_again;
        int r = keda_formula_eval(f, values, nil, &x, &is_nil, &e);
        require(keda_formula_eval(f, values, nil, &again, &is_nil_again, NULL) == r);
        require(r < 0 ? e.msg[0] != '\0' : is_nil == is_nil_again && (is_nil || same(x, again)));
    }
    keda_formula_free(f);
    return 0;
}
