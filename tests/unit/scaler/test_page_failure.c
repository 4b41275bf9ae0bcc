// SPDX-License-Identifier: Apache-2.0
/* What is told of an engine page that fails, and when. */
#include "scaler/page_failure.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "source/scrape.h"
#include "unit.h"

enum { MAX_AGE_S = 30, FAILURES_MAX = 4 };

struct heard {
    int64_t at_s;
    int failure, code;
    enum page_trouble told;
};

static const struct {
    const char *what;
    struct heard heard[FAILURES_MAX];
} cases[] = {
    {"a page that wants a token is told at once, and once",
     {{1, FETCH_STATUS, ERR_AUTH, PAGE_REFUSES}, {90, FETCH_STATUS, ERR_AUTH, PAGE_NOTHING}}},
    {"a page that is not there is told at once", {{1, FETCH_STATUS, ERR_NOTFOUND, PAGE_REFUSES}}},
    {"an engine that did not listen yet and then wants a token",
     {{1, FETCH_CONNECT, ERR_IO, PAGE_FAILS},
      {6, FETCH_CONNECT, ERR_IO, PAGE_NOTHING},
      {11, FETCH_STATUS, ERR_AUTH, PAGE_REFUSES},
      {16, FETCH_STATUS, ERR_AUTH, PAGE_NOTHING}}},
    {"an engine that loads (503) and then wants a token",
     {{1, FETCH_STATUS, ERR_PROTO, PAGE_FAILS}, {6, FETCH_STATUS, ERR_AUTH, PAGE_REFUSES}}},
    {"one that loads for longer than maxAge and then wants a token",
     {{1, FETCH_STATUS, ERR_PROTO, PAGE_FAILS},
      {40, FETCH_STATUS, ERR_PROTO, PAGE_ERRS},
      {45, FETCH_STATUS, ERR_PROTO, PAGE_NOTHING},
      {50, FETCH_STATUS, ERR_AUTH, PAGE_REFUSES}}},
    {"a passing 503 is no Event",
     {{1, FETCH_STATUS, ERR_PROTO, PAGE_FAILS},
      {6, FETCH_STATUS, ERR_PROTO, PAGE_NOTHING},
      {30, FETCH_STATUS, ERR_PROTO, PAGE_NOTHING},
      {31, FETCH_STATUS, ERR_PROTO, PAGE_ERRS}}},
    {"connections that fail for ever are no Event: nobody answers",
     {{1, FETCH_CONNECT, ERR_IO, PAGE_FAILS}, {90, FETCH_TIMEOUT, ERR_TIMEOUT, PAGE_NOTHING}}},
    {"a page without the metrics looked for is not a page that is not there",
     {{1, SCRAPE_NOTHING, ERR_NOTFOUND, PAGE_FAILS},
      {90, SCRAPE_NOTHING, ERR_NOTFOUND, PAGE_NOTHING}}},
};

static void each_trouble_is_told_once_and_no_passing_one_is_an_event(void **state) {
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct page_failure f = {0};
        for (size_t k = 0; k < FAILURES_MAX && cases[i].heard[k].at_s != 0; k++) {
            const struct heard *h = &cases[i].heard[k];
            enum page_trouble told = page_failure_take(&f, h->failure, h->code, h->at_s * NS_PER_S,
                                                       MAX_AGE_S * NS_PER_S);
            if (told != h->told)
                fail_msg("%s: %u at %lld s", cases[i].what, told, (long long)h->at_s);
        }
    }
}

static void only_what_a_person_can_mend_has_a_remedy(void **state) {
    assert_non_null(strstr(page_failure_remedy(FETCH_STATUS, ERR_AUTH), "token"));
    assert_non_null(strstr(page_failure_remedy(FETCH_STATUS, ERR_NOTFOUND), "metricsPath"));
    assert_string_equal(page_failure_remedy(FETCH_STATUS, ERR_PROTO), "");
    assert_string_equal(page_failure_remedy(FETCH_TLS, ERR_AUTH), "");
    assert_string_equal(page_failure_remedy(SCRAPE_NOTHING, ERR_NOTFOUND), "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_trouble_is_told_once_and_no_passing_one_is_an_event),
        cmocka_unit_test(only_what_a_person_can_mend_has_a_remedy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
