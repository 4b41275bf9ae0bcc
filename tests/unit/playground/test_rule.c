// SPDX-License-Identifier: Apache-2.0
/* What the scaler says of its rule: read from the very JSON that the scaler writes, over a loopback
 * port too. */
#include "playground/rule.h"

#include "base/clock.h"
#include "base/mem.h"
#include "core/policy/record.h"
#include "net/http_server.h"
#include "net/loop.h"
#include "unit.h"

static struct record_signal signal_of(enum signal s, enum trigger_role role, double lower,
                                      double upper, double target, enum tri breached) {
    return (struct record_signal){.signal = (uint8_t)s,
                                  .role = (uint8_t)role,
                                  .breached = (uint8_t)breached,
                                  .lower = lower,
                                  .upper = upper,
                                  .target = target,
                                  .pods = 2,
                                  .known = lower > 0 ? 2 : 0,
                                  .age_ns = 500 * NS_PER_MS};
}

// As api_decisions.c wraps it.
static void answer(struct buf *b) {
    struct record r = {.sequence = 7, .desired = 3, .spec = 3, .last = 2, .want = 3};
    r.signals[r.signal_n++] = signal_of(SIGNAL_REQUEST_RATE, ROLE_CAPACITY, 12.5, 20, 6, TRI_TRUE);
    r.signals[r.signal_n++] = signal_of(SIGNAL_DEMAND, ROLE_CAPACITY, 0, INFINITY, 6, TRI_UNKNOWN);
    r.signals[r.signal_n++] = signal_of(SIGNAL_QUEUE, ROLE_GUARD, 40, 40, 10, TRI_TRUE);
    r.signals[r.signal_n++] = signal_of(SIGNAL_KV_CACHE, ROLE_GUARD, 0.1, 0.1, 0.85, TRI_FALSE);
    r.signals[r.signal_n++] = signal_of(SIGNAL_SM_ACTIVITY, ROLE_SATURATING, 0, 100, 55,
                                        TRI_UNKNOWN);
    assert_int_equal(
        buf_addc(b, "{\"items\":[{\"namespace\":\"demo\",\"name\":\"llm\",\"records\":[],\"now\":"),
        0);
    assert_int_equal(record_json(b, &r), 0);
    assert_int_equal(buf_addc(b, "}],\"total\":1}\n"), 0);
}

static void signals_keep_their_names_units_values_and_states(void **state) {
    static const struct {
        const char *name, *unit;
        double value, upper, target;
        enum frame_signal_state state;
    } want[] = {
        {"requestRate", "/s", 12.5, 20, 6, FRAME_SIGNAL_SIZES},
        {"demand", "/s", NAN, NAN, 6, FRAME_SIGNAL_UNKNOWN},
        {"queue", "", 40, NAN, 10, FRAME_SIGNAL_BREACHED},
        {"kvCache", "", 0.1, NAN, 0.85, FRAME_SIGNAL_QUIET},
        {"smActivity", "%", NAN, NAN, 55, FRAME_SIGNAL_UNKNOWN},
    };
    CLEANUP_BUF struct buf b;
    buf_init(&b, 1 << 20);
    answer(&b);
    struct rule_said said;
    struct err e = {0};
    if (rule_read(&said, buf_str(&b), &e) != 0)
        fail_msg("%s", e.msg);
    assert_string_equal(said.text, "requestRate and demand size; queue and kvCache raise");
    assert_int_equal(said.n, COUNT_OF(want));
    for (size_t i = 0; i < said.n; i++) {
        const struct frame_signal *s = &said.signals[i];
        assert_string_equal(s->name, want[i].name);
        assert_string_equal(s->unit, want[i].unit);
        assert_int_equal(s->state, want[i].state);
        assert_true(s->value == want[i].value || (isnan(s->value) && isnan(want[i].value)));
        assert_true(s->upper == want[i].upper || (isnan(s->upper) && isnan(want[i].upper)));
        assert_true(s->target == want[i].target && s->age_s == 0.5);
    }
}

static void what_is_no_answer_sets_nothing(void **state) {
    static const struct {
        const char *json;
        int code;
    } cases[] = {
        {"", ERR_PARSE},
        {"{", ERR_PARSE},
        {"[]", ERR_PARSE},
        {"<html>", ERR_PARSE},
        {"{\"items\":7}", ERR_PARSE},
        {"{\"items\":[]}", ERR_NOTFOUND},
        {"{\"items\":[{\"name\":\"llm\",\"records\":[]}]}", ERR_NOTFOUND},
        {"{\"items\":[{\"now\":{\"signals\":[{\"role\":\"guard\"}]}}]}", ERR_PARSE},
        {"{\"items\":[{\"now\":{\"signals\":[7]}}]}", ERR_PARSE},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct rule_said said = {.n = 77};
        int rc = rule_read(&said, str_from(cases[i].json), NULL);
        if (rc != cases[i].code || said.n != 77)
            fail_msg("%s: %d", cases[i].json, rc);
    }
    CLEANUP_BUF struct buf b;
    buf_init(&b, 1 << 20);
    answer(&b);
    for (size_t n = 0; n + 1 < b.len; n += 7) { // cut anywhere
        struct rule_said said;
        assert_int_not_equal(rule_read(&said, (struct str){b.p, n}, NULL), 0);
    }
    for (long n = 1; n < 20; n++) {
        struct rule_said said;
        mem_fail_from(n);
        int rc = rule_read(&said, buf_str(&b), NULL);
        mem_fail_never();
        assert_true(rc == 0 || rc == ERR_NOMEM || rc == ERR_LIMIT);
    }
}

struct world {
    uv_loop_t loop;
    struct http_server *server;
    bool closed;
    int asked;
};

static void get_decisions(struct http_request *r, void *ctx) {
    struct world *w = ctx;
    CLEANUP_BUF struct buf b;
    buf_init(&b, 1 << 20);
    if (!str_eqc(http_request_header(r, "Accept"), "application/json")) { // sentences, then
        http_request_answer_text(r, 200, "default/llm");
        return;
    }
    if (w->asked++ == 0) { // nothing is decided at first
        http_request_answer(r, &(struct http_answer){.status = 200, .body = STR("{\"items\":[]}")});
        return;
    }
    answer(&b);
    http_request_answer(r, &(struct http_answer){.status = 200, .body = buf_str(&b)});
}

static void on_closed(void *ctx) {
    ((struct world *)ctx)->closed = true;
}

static void the_scaler_is_asked_each_second_and_its_silence_makes_signals_unknown(void **state) {
    static const struct http_route routes[] = {{"GET", "/api/v1/decisions", get_decisions}, {0}};
    struct world w = {0};
    uv_loop_init(&w.loop);
    const struct http_server_options o = {.listen = "127.0.0.1:0", .routes = routes, .ctx = &w};
    assert_int_equal(http_server_open(&w.server, &w.loop, &o, NULL), 0);
    char addr[64];
    net_addr_format(http_server_addr(w.server), addr, sizeof(addr));
    struct rule *rule;
    struct frame frame = frame_unknown;
    struct frame_signal room[SIGNAL_MAX];
    assert_int_equal(rule_start(&rule, &w.loop, addr, NULL), 0);
    assert_false(rule_fill(rule, clock_mono_ns(), &frame, room));
    assert_null(frame.rule.text);
    int64_t end_ns = clock_mono_ns() + 30 * NS_PER_S;
    while (!rule_fill(rule, clock_mono_ns(), &frame, room) && clock_mono_ns() < end_ns)
        uv_run(&w.loop, UV_RUN_ONCE);
    assert_int_equal(frame.rule.signal_n, 5);
    assert_int_equal(frame.rule.signals[2].state, FRAME_SIGNAL_BREACHED);
    int64_t later_ns = clock_mono_ns() + (RULE_STALE_S + 3) * NS_PER_S;
    assert_true(rule_fill(rule, later_ns, &frame, room));
    assert_int_equal(frame.rule.signals[2].state, FRAME_SIGNAL_UNKNOWN);
    assert_true(isnan(frame.rule.signals[2].value) && frame.rule.signals[2].age_s > RULE_STALE_S);
    rule = rule_stop(rule);
    http_server_close(w.server, 1000, on_closed, &w);
    while (!w.closed)
        uv_run(&w.loop, UV_RUN_ONCE);
    net_loop_drain_close(&w.loop);
}

static void stopping_while_nobody_answers_leaves_nothing(void **state) {
    uv_loop_t loop;
    uv_loop_init(&loop);
    struct rule *rule;
    assert_int_equal(rule_start(&rule, &loop, "127.0.0.1:1", NULL), 0); // nobody listens
    for (int i = 0; i < 5; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
    assert_null(rule_stop(rule));
    char longer[400];
    memset(longer, '1', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    assert_int_equal(rule_start(&rule, &loop, longer, NULL), ERR_LIMIT);
    net_loop_drain_close(&loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signals_keep_their_names_units_values_and_states),
        cmocka_unit_test(what_is_no_answer_sets_nothing),
        cmocka_unit_test(the_scaler_is_asked_each_second_and_its_silence_makes_signals_unknown),
        cmocka_unit_test(stopping_while_nobody_answers_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
