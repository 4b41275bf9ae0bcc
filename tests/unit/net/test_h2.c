// SPDX-License-Identifier: Apache-2.0
/* net/h2: the budget of control frames, and sessions whose every allocation may fail. */
#include "unit.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "net/h2.h"

static const nghttp2_frame_hd ping = {.type = NGHTTP2_PING, .length = 8};
static const nghttp2_frame_hd headers = {.type = NGHTTP2_HEADERS, .length = 50};
static const nghttp2_frame_hd empty_data = {.type = NGHTTP2_DATA, .length = 0};

static unsigned taken(struct h2_budget *b, const nghttp2_frame_hd *hd, int64_t now, unsigned most) {
    unsigned n = 0;
    while (n < most && h2_budget_take(b, hd, now))
        n++;
    return n;
}

static void a_burst_is_allowed_and_no_more(void **state) {
    struct h2_budget b;
    h2_budget_init(&b, 0);
    assert_int_equal(taken(&b, &ping, 0, 100000), LIMIT_GRPC_CONTROL_BURST);
    assert_int_equal(taken(&b, &empty_data, 0, 10), 0);
}

static void time_pays_in(void **state) {
    struct h2_budget b;
    h2_budget_init(&b, 0);
    taken(&b, &ping, 0, 100000);
    assert_int_equal(taken(&b, &ping, NS_PER_S, 100000), LIMIT_GRPC_CONTROL_RATE);
    assert_int_equal(taken(&b, &ping, 3600 * NS_PER_S, 100000), LIMIT_GRPC_CONTROL_BURST);
}

static void keepalive_each_ten_seconds_is_never_struck(void **state) {
    struct h2_budget b;
    h2_budget_init(&b, 0);
    for (int64_t i = 0; i < 100000; i++)
        assert_true(h2_budget_take(&b, &ping, i * 10 * NS_PER_S));
}

static void probes_beside_data_are_never_struck(void **state) {
    struct h2_budget b;
    h2_budget_init(&b, 0);
    for (int i = 0; i < 100000; i++) { // what grpc-go does: a PING for what it received
        h2_budget_earn(&b, &headers);
        assert_true(h2_budget_take(&b, &ping, 0));
    }
}

static void literals_are_not_copied_and_values_of_once_are(void **state) {
    nghttp2_nv nv = h2_nv("a", "bc");
    assert_int_equal(nv.namelen, 1);
    assert_int_equal(nv.valuelen, 2);
    assert_true(nv.flags & NGHTTP2_NV_FLAG_NO_COPY_VALUE);
    nv = h2_nv_once("a", (struct str){NULL, 0});
    assert_int_equal(nv.valuelen, 0);
    assert_non_null(nv.value);
    assert_false(nv.flags & NGHTTP2_NV_FLAG_NO_COPY_VALUE);
    assert_true(nv.flags & NGHTTP2_NV_FLAG_NO_INDEX);
}

static void sessions_allocate_through_base_mem(void **state) {
    nghttp2_session_callbacks *cbs;
    nghttp2_session *s;
    nghttp2_mem mem = *h2_mem();
    nghttp2_option *o;
    assert_int_equal(h2_options_new(&o), 0);
    assert_int_equal(nghttp2_session_callbacks_new(&cbs), 0);
    long i = 1;
    for (;; i++) {
        mem_fail_from(i);
        int err = nghttp2_session_server_new3(&s, cbs, NULL, o, &mem);
        mem_fail_never();
        if (err == 0)
            break;
        assert_int_equal(err, NGHTTP2_ERR_NOMEM);
    }
    assert_true(i > 1);
    nghttp2_session_del(s);
    nghttp2_session_callbacks_del(cbs);
    nghttp2_option_del(o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_is_allowed_and_no_more),
        cmocka_unit_test(time_pays_in),
        cmocka_unit_test(keepalive_each_ten_seconds_is_never_struck),
        cmocka_unit_test(probes_beside_data_are_never_struck),
        cmocka_unit_test(literals_are_not_copied_and_values_of_once_are),
        cmocka_unit_test(sessions_allocate_through_base_mem),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
