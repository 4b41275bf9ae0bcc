// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include <math.h>

#include "base/mem.h"
#include "core/cost/price.h"

static struct price_list list_of(const char *const *texts, size_t n) {
    struct price_list l = {0};
    struct err e = {0};
    for (size_t i = 0; i < n; i++)
        if (price_add(&l, texts[i], &e) < 0)
            fail_msg("%s: %s", texts[i], e.msg);
    return l;
}

static void the_longest_part_of_the_models_name_counts(void **state) {
    static const char *const prices[] = {
        "H100=6.88", " h100 pcie = 4", "A100=3", "A100-SXM4-80GB=3.5",
        "L4=0.8",    "L40S=1.9",       "T4=0.5", "T4=0.6"};
    static const struct {
        const char *model, *mig;
        double usd;
    } cases[] = {
        {"NVIDIA H100 80GB HBM3", "", 6.88},
        {"NVIDIA H100 PCIe", "", 4},
        {"NVIDIA A100-SXM4-40GB", "", 3},
        {"NVIDIA A100 SXM4 80GB", "", 3.5},
        {"NVIDIA L4", "", 0.8},
        {"NVIDIA L40S", "", 1.9},
        {"Tesla T4", "", 0.6}, // the last of the same length
        {"NVIDIA H200", "", NAN},
        {"", "", NAN},
        {"NVIDIA A100-SXM4-40GB", "3g.20gb", 3.0 * 3 / 7},
        {"NVIDIA H100 80GB HBM3", "1g.10gb+me", 6.88 / 7},
        {"NVIDIA H100 80GB HBM3", "1c.3g.40gb", 6.88 * 3 / 7},
        {"NVIDIA H100 80GB HBM3", "7g.80gb", 6.88},
        {"NVIDIA H100 80GB HBM3", "odd", NAN},
        {"NVIDIA H100 80GB HBM3", "9g.80gb", NAN},
    };
    struct price_list l = list_of(prices, COUNT_OF(prices));
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        double usd = price_usd_per_hour(&l, cases[i].model, cases[i].mig);
        if (isnan(cases[i].usd) ? !isnan(usd) : !(fabs(usd - cases[i].usd) < 1e-12))
            fail_msg("%s %s: %g", cases[i].model, cases[i].mig, usd);
    }
}

static void without_prices_none_is_known(void **state) {
    struct price_list none = {0};
    assert_true(isnan(price_usd_per_hour(&none, "NVIDIA H100 80GB HBM3", "")));
}

static void what_is_no_price_is_told(void **state) {
    static const char *const bad[] = {
        "H100",
        "=1",
        " =1",
        "H100=",
        "H100=x",
        "H100=-1",
        "H100=nan",
        "H100=inf",
        "H100=1e9",
        "H100=1 USD",
        "0123456789012345678901234567890123456789012345678901234567890123=1"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct price_list l = {0};
        struct err e = {0};
        assert_int_equal(price_add(&l, bad[i], &e), ERR_INVALID);
        assert_non_null(strstr(e.msg, bad[i]));
        assert_int_equal(l.n, 0);
    }
    struct price_list l = {0};
    struct err e = {0};
    for (int i = 0; i < LIMIT_PRICES; i++)
        assert_int_equal(price_add(&l, "H100=1", &e), 0);
    assert_int_equal(price_add(&l, "H100=1", &e), ERR_LIMIT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_part_of_the_models_name_counts),
        cmocka_unit_test(without_prices_none_is_known),
        cmocka_unit_test(what_is_no_price_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
