// SPDX-License-Identifier: Apache-2.0
/* What each kind of metric asks for, worked by hand. */
#include "hpa_unit.h"

static void add_utilization(struct world *w, int32_t pct) {
    world_metric(w, HPA_RESOURCE, "cpu")->target = (struct hpa_target){
        .type = HPA_UTILIZATION, .has_utilization = true, .utilization_pct = pct};
}

struct row {
    const char *why, *pods;
    int64_t values[6];
    size_t n_values; // beyond the pods: of pods that are not listed
    int64_t target;
    int32_t current, want;
    enum hpa_path path;
};

static void check_row(struct world *w, const struct row *row) {
    world_step(w);
    const struct hpa_metric_result *m = &w->r.metrics[0];
    if (m->error || m->proposal != row->want || m->path != row->path)
        fail_msg("%s: error %d, %d replicas by path %d", row->why, m->error, m->proposal, m->path);
}

static void utilization_asks_for(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"50 of 30", "rrr", {300, 500, 700}, 3, 30, 3, 5, HPA_PATH_READY},
        {"54 of 50 is near", "rrr", {540, 540, 540}, 3, 50, 3, 3, HPA_PATH_WITHIN},
        {"1.1 is within 10 %", "rrr", {550, 550, 550}, 3, 50, 3, 3, HPA_PATH_WITHIN},
        {"the percentage is cut: 56.9 is 56", "rr", {569, 569}, 2, 51, 2, 2, HPA_PATH_WITHIN},
        {"ready pods count, not replicas", "rr", {900, 900}, 2, 50, 7, 4, HPA_PATH_READY},
        {"ready pods only", "rrdf", {100, 100, 900, 900}, 4, 50, 4, 1, HPA_PATH_READY},
        {"one that succeeded counts", "rs", {800, 800}, 2, 50, 2, 4, HPA_PATH_READY},
        {"down: the missing run at 100 %",
         "rrrr",
         {100, 100, 100, -1},
         4,
         50,
         4,
         3,
         HPA_PATH_FILLED},
        {"down: two missing hide it",
         "rrrr",
         {100, 100, -1, -1},
         4,
         50,
         4,
         4,
         HPA_PATH_FILLED_WITHIN},
        {"down: the missing run at a target above 100",
         "rrrr",
         {600, 600, 600, -1},
         4,
         150,
         4,
         3,
         HPA_PATH_FILLED},
        {"up: the missing run at 0", "rrr", {1500, 1500, -1}, 3, 50, 3, 6, HPA_PATH_FILLED},
        {"up: the pending run at 0", "rpp", {900, -1, -1}, 3, 30, 3, 3, HPA_PATH_FILLED_WITHIN},
        {"down: the pending are no matter",
         "rrpp",
         {100, 100, -1, -1},
         4,
         50,
         4,
         1,
         HPA_PATH_READY},
        {"the filled ratio turns", "rrrr", {600, -1, -1, -1}, 4, 50, 4, 4, HPA_PATH_FILLED_TURNED},
        {"more use, fewer pods", "rrr", {1000, 1000, -1}, 3, 50, 10, 10, HPA_PATH_FILLED_AGAINST},
        {"an unlisted pod adds to the count",
         "rrr",
         {900, 900, -1, 7000},
         4,
         30,
         3,
         8,
         HPA_PATH_FILLED},
        {"down: the missing run, the pending are no matter",
         "rrrrp",
         {400, 400, 400, -1, -1},
         5,
         50,
         5,
         5,
         HPA_PATH_FILLED_WITHIN},
        {"one listed, one not", "r", {900, 7000}, 2, 30, 1, 3, HPA_PATH_READY},
        {"exactly at target with one missing",
         "rr",
         {500, -1},
         2,
         50,
         2,
         2,
         HPA_PATH_FILLED_WITHIN},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        static struct world w;
        world_init(&w, rows[i].current);
        world_pods(&w, rows[i].pods);
        add_utilization(&w, (int32_t)rows[i].target);
        world_values(&w, 0, rows[i].values, rows[i].n_values);
        check_row(&w, &rows[i]);
    }
}

static void an_average_of_pods_asks_for(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"20 of 10", "rr", {10000, 30000}, 2, 10000, 2, 4, HPA_PATH_READY},
        {"the average is cut: 10999/10000 is near",
         "rr",
         {11000, 10999},
         2,
         10000,
         2,
         2,
         HPA_PATH_WITHIN},
        {"0.9 is within 10 %", "rr", {9000, 9000}, 2, 10000, 2, 2, HPA_PATH_WITHIN},
        {"unready pods count like others", "ru", {10000, 30000}, 2, 10000, 2, 4, HPA_PATH_READY},
        {"an unlisted pod's value counts",
         "rr",
         {10000, 20000, 60000},
         3,
         15000,
         2,
         4,
         HPA_PATH_READY},
        {"down: the missing are at the target",
         "rrrr",
         {1000, 1000, 1000, -1},
         4,
         10000,
         4,
         2,
         HPA_PATH_FILLED},
        {"up: the missing are at 0", "rrr", {30000, 30000, -1}, 3, 10000, 3, 6, HPA_PATH_FILLED},
        {"up: the pending are at 0", "rp", {30000, -1}, 2, 10000, 2, 3, HPA_PATH_FILLED},
        {"all idle", "rr", {0, 0}, 2, 10000, 2, 0, HPA_PATH_READY},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        static struct world w;
        world_init(&w, rows[i].current);
        world_pods(&w, rows[i].pods);
        world_metric(&w, HPA_PODS, "cpu")->target = (struct hpa_target){
            .type = HPA_AVERAGE_VALUE, .has_average = true, .average_milli = rows[i].target};
        world_values(&w, 0, rows[i].values, rows[i].n_values);
        check_row(&w, &rows[i]);
    }
}

// A cpu value counts once the pod was ready for a window; a pod that fell unready later counts.
static void cpu_of_a_starting_pod_is_not_believed(void **state) {
    (void)state;
    static const struct {
        const char *why;
        enum hpa_status ready;
        int64_t started_s, since_s, value_s; // ago
        bool unready;
    } rows[] = {
        {"starting, ready for longer than a window", HPA_TRUE, 200, 100, 60, false},
        {"starting, the value's window began before", HPA_TRUE, 200, 100, 71, true},
        {"starting, the window began just then", HPA_TRUE, 200, 100, 70, false},
        {"starting, not ready", HPA_FALSE, 200, 100, 0, true},
        {"starting, readiness unknown, window over", HPA_UNKNOWN, 200, 100, 60, false},
        {"the period ends now", HPA_TRUE, 300, 0, 0, false},
        {"old, fell unready", HPA_FALSE, 400, 100, 0, false},
        {"old, unready since shortly after its start", HPA_FALSE, 400, 371, 0, true},
        {"old, unready since 30 s after its start", HPA_FALSE, 400, 370, 0, false},
        {"no condition", HPA_ABSENT, 400, 100, 0, true},
        {"no start time", HPA_TRUE, 0, 100, 0, true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        static struct world w;
        static const int64_t values[] = {100, 100};
        world_init(&w, 2);
        world_pods(&w, "rr");
        add_utilization(&w, 50);
        world_values(&w, 0, values, 2);
        struct hpa_pod *p = &w.pods[1];
        p->ready = rows[i].ready;
        p->started_ns = rows[i].started_s ? w.in.now_ns - rows[i].started_s * NS_PER_S
                                          : HPA_TIME_NONE;
        p->ready_since_ns = w.in.now_ns - rows[i].since_s * NS_PER_S;
        w.values[0][1].at_ns = w.in.now_ns - rows[i].value_s * NS_PER_S;
        world_step(&w);
        if (w.r.metrics[0].unready != rows[i].unready ||
            w.r.metrics[0].ready != (rows[i].unready ? 1u : 2u))
            fail_msg("%s: %u unready", rows[i].why, w.r.metrics[0].unready);
        w.metrics[0].name = "memory"; // of which every value is believed
        world_step(&w);
        assert_int_equal(w.r.metrics[0].unready, 0);
    }
}

static void an_average_of_cpu_believes_no_starting_pod_either(void **state) {
    (void)state;
    static struct world w;
    static const int64_t values[] = {500, 500, 500, 500};
    world_init(&w, 4);
    world_pods(&w, "rudf");
    world_metric(&w, HPA_RESOURCE, "cpu")->target = (struct hpa_target){
        .type = HPA_AVERAGE_VALUE, .has_average = true, .average_milli = 100};
    world_values(&w, 0, values, 4);
    world_step(&w);
    assert_int_equal(w.r.metrics[0].ready, 1);
    assert_int_equal(w.r.metrics[0].unready, 1);
    assert_int_equal(w.r.metrics[0].ignored, 2);
    assert_int_equal(w.r.metrics[0].current_milli, 500);
    assert_int_equal(w.r.metrics[0].proposal, 5); // 500 and 0 over two pods, of 100
}

static void the_older_tolerance_is_a_distance(void **state) {
    (void)state;
    static struct world w;
    static const int64_t values[] = {550, 550, 550};
    world_init(&w, 3);
    world_pods(&w, "rrr");
    add_utilization(&w, 50);
    world_values(&w, 0, values, 3);
    world_step(&w);
    assert_int_equal(w.r.metrics[0].proposal, 3); // 1.1 <= 1 + 0.1
    hpa_controller_init(&w.c, 32);
    world_step(&w);
    assert_int_equal(w.r.metrics[0].proposal, 4); // |1 - 1.1| > 0.1
    w.c.tolerance = 0.5;
    static const int64_t half[] = {250, 250, 250};
    world_values(&w, 0, half, 3);
    world_step(&w);
    assert_int_equal(w.r.metrics[0].proposal, 3); // |1 - 0.5| <= 0.5
}

static void each_direction_may_have_its_tolerance(void **state) {
    (void)state;
    static const struct {
        int64_t use;
        double up, down;
        int minor;
        int32_t want;
    } rows[] = {
        {650, 0.3, HPA_UNSET, 37, 2}, {651, 0.29, HPA_UNSET, 37, 3}, {520, 0, HPA_UNSET, 37, 3},
        {400, HPA_UNSET, 0.2, 37, 2}, {240, HPA_UNSET, 0.5, 37, 1},  {490, 0, 0, 37, 2},
        {520, 0, HPA_UNSET, 34, 2},   {240, HPA_UNSET, 0.9, 34, 1},  {240, HPA_UNSET, 0.9, 35, 2},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        static struct world w;
        const int64_t values[] = {rows[i].use, rows[i].use};
        world_init(&w, 2);
        hpa_controller_init(&w.c, rows[i].minor);
        world_pods(&w, "rr");
        add_utilization(&w, 50);
        world_values(&w, 0, values, 2);
        w.spec.up.tolerance = rows[i].up;
        w.spec.down.tolerance = rows[i].down;
        w.spec.has_behavior = true;
        world_step(&w);
        if (w.r.metrics[0].proposal != rows[i].want)
            fail_msg("row %zu: %d", i, w.r.metrics[0].proposal);
        if (rows[i].up == 0 && rows[i].down == 0) // 0 is a tolerance, not "unset"
            assert_int_equal(w.r.metrics[0].path, HPA_PATH_READY);
        w.spec.has_behavior = false; // then there are none
        world_step(&w);
        assert_int_equal(w.r.metrics[0].proposal, rows[i].use > 550   ? 3
                                                  : rows[i].use < 250 ? 1
                                                                      : 2);
    }
}

struct outside_row {
    const char *why;
    enum hpa_metric_type type;
    bool average;
    int64_t series[3];
    size_t n_series;
    int64_t target;
    int32_t spec, status;
    const char *pods;
    int minor;
    int32_t want;
    int64_t current;
    enum hpa_path path;
};

static void values_of_objects_and_the_outside_ask_for(void **state) {
    (void)state;
    const int64_t big = INT64_MAX - 5;
    static const char *const two = "rrup";
    const struct outside_row rows[] = {
        {"a value times the ready pods",
         HPA_OBJECT,
         false,
         {30000},
         1,
         10000,
         4,
         4,
         two,
         37,
         6,
         30000,
         HPA_PATH_READY},
        {"a pod that is being deleted is ready too",
         HPA_OBJECT,
         false,
         {30000},
         1,
         10000,
         4,
         4,
         "rd",
         37,
         6,
         30000,
         HPA_PATH_READY},
        {"starting pods pull it down",
         HPA_EXTERNAL,
         false,
         {6000, 6000},
         2,
         10000,
         4,
         4,
         two,
         37,
         3,
         12000,
         HPA_PATH_READY},
        {"within",
         HPA_EXTERNAL,
         false,
         {5500, 5500},
         2,
         10000,
         4,
         9,
         "",
         37,
         4,
         11000,
         HPA_PATH_WITHIN},
        {"from zero no tolerance",
         HPA_EXTERNAL,
         false,
         {10500},
         1,
         10000,
         0,
         0,
         "",
         37,
         2,
         10500,
         HPA_PATH_FROM_ZERO},
        {"zero at zero",
         HPA_EXTERNAL,
         false,
         {0},
         1,
         10000,
         0,
         0,
         "",
         37,
         0,
         0,
         HPA_PATH_FROM_ZERO},
        {"an average: pods are no matter",
         HPA_EXTERNAL,
         true,
         {20000, 15000},
         2,
         10000,
         1,
         1,
         "",
         37,
         4,
         35000,
         HPA_PATH_SUM},
        {"against status.replicas",
         HPA_EXTERNAL,
         true,
         {41000},
         1,
         10000,
         3,
         4,
         "",
         37,
         4,
         10250,
         HPA_PATH_WITHIN},
        {"by distance too",
         HPA_EXTERNAL,
         true,
         {38000},
         1,
         10000,
         3,
         4,
         "",
         32,
         4,
         9500,
         HPA_PATH_WITHIN},
        {"the average is rounded up",
         HPA_OBJECT,
         true,
         {31001},
         1,
         10000,
         2,
         2,
         "",
         37,
         4,
         15501,
         HPA_PATH_SUM},
        {"nothing over no replicas",
         HPA_EXTERNAL,
         true,
         {0},
         1,
         10000,
         0,
         0,
         "",
         37,
         0,
         INT64_MIN,
         HPA_PATH_SUM},
        {"in 1.32 that is within",
         HPA_EXTERNAL,
         true,
         {0},
         1,
         10000,
         0,
         0,
         "",
         32,
         0,
         INT64_MIN,
         HPA_PATH_WITHIN},
        {"something over no replicas",
         HPA_EXTERNAL,
         true,
         {1},
         1,
         10000,
         0,
         0,
         "",
         37,
         1,
         INT64_MIN,
         HPA_PATH_SUM},
        {"too many",
         HPA_EXTERNAL,
         true,
         {big},
         1,
         1,
         2,
         2,
         "",
         37,
         INT32_MAX,
         INT64_MAX,
         HPA_PATH_SUM},
        {"too many before 1.34",
         HPA_EXTERNAL,
         true,
         {big},
         1,
         1,
         2,
         2,
         "",
         33,
         INT32_MIN,
         INT64_C(1) << 62,
         HPA_PATH_SUM},
        {"too many of an object",
         HPA_OBJECT,
         true,
         {big},
         1,
         1,
         2,
         2,
         "",
         37,
         INT32_MIN,
         INT64_C(1) << 62,
         HPA_PATH_SUM},
        {"a sum that does not fit",
         HPA_EXTERNAL,
         true,
         {big, 10},
         2,
         INT64_MAX,
         2,
         2,
         "",
         37,
         1,
         INT64_MAX,
         HPA_PATH_SUM},
        {"a negative sum is taken for that",
         HPA_EXTERNAL,
         true,
         {-1, 5},
         2,
         10000,
         2,
         2,
         "",
         37,
         INT32_MAX,
         INT64_MAX,
         HPA_PATH_SUM},
        {"not before 1.34",
         HPA_EXTERNAL,
         true,
         {-1, 30001},
         2,
         10000,
         2,
         2,
         "",
         33,
         3,
         15000,
         HPA_PATH_SUM},
        {"a value that does not fit",
         HPA_EXTERNAL,
         false,
         {big, 10},
         2,
         1,
         2,
         2,
         "rr",
         37,
         INT32_MAX,
         INT64_MAX,
         HPA_PATH_READY},
        {"before 1.35 it wraps around",
         HPA_EXTERNAL,
         false,
         {big, 10},
         2,
         1,
         2,
         2,
         "rr",
         34,
         INT32_MIN,
         INT64_MIN + 4,
         HPA_PATH_READY},
        {"from zero there is no bound",
         HPA_OBJECT,
         false,
         {big},
         1,
         1,
         0,
         0,
         "",
         37,
         INT32_MIN,
         big,
         HPA_PATH_FROM_ZERO},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct outside_row *row = &rows[i];
        static struct world w;
        world_init(&w, row->spec);
        hpa_controller_init(&w.c, row->minor);
        w.spec.min_replicas = 0;
        w.s.conditions[HPA_SCALED_TO_ZERO].status = HPA_TRUE;
        w.in.status_replicas = row->status;
        world_pods(&w, row->pods);
        struct hpa_metric *m = world_metric(&w, row->type, "queue");
        m->target = (struct hpa_target){.type = row->average ? HPA_AVERAGE_VALUE : HPA_VALUE,
                                        .has_value = !row->average,
                                        .has_average = row->average,
                                        .value_milli = row->target,
                                        .average_milli = row->target};
        memcpy(w.series[0], row->series, sizeof(row->series));
        w.readings[0].n_series = row->n_series;
        world_step(&w);
        const struct hpa_metric_result *got = &w.r.metrics[0];
        if (got->error || got->proposal != row->want || got->path != row->path ||
            got->current_milli != row->current)
            fail_msg("%s: error %d, %d replicas by path %d, current %" PRId64, row->why, got->error,
                     got->proposal, got->path, got->current_milli);
    }
}

static void which_target_counts(void **state) {
    (void)state;
    static struct world w;
    static const int64_t values[] = {800, 800};
    world_init(&w, 2);
    world_pods(&w, "rr");
    add_utilization(&w, 50);
    w.metrics[0].target.has_average = true;
    w.metrics[0].target.average_milli = 200;
    world_external(&w, 60000, 10000);
    w.metrics[1].target.has_value = true;
    w.metrics[1].target.value_milli = 60000;
    w.metrics[1].target.type = HPA_VALUE;
    world_metric(&w, HPA_OBJECT, "rps")->target = (struct hpa_target){.type = HPA_AVERAGE_VALUE,
                                                                      .has_value = true,
                                                                      .value_milli = 5,
                                                                      .has_average = true,
                                                                      .average_milli = 10000};
    w.series[2][0] = 90000;
    w.readings[2].n_series = 1;
    world_values(&w, 0, values, 2);
    world_step(&w);
    assert_int_equal(w.r.metrics[0].proposal, 8); // averageValue before averageUtilization
    assert_int_equal(w.r.metrics[1].proposal, 6); // averageValue before value, whatever the type
    assert_int_equal(w.r.metrics[2].proposal, 9); // the type's
}

static void what_cannot_be_computed_says_why(void **state) {
    (void)state;
    static const int64_t none[] = {-1, -1}, some[] = {500, 500};
    static const struct {
        const char *pods;
        const int64_t *values;
        int64_t request;
        const char *client, *request_error;
        enum hpa_metric_error want;
    } rows[] = {
        {"rr", some, 1000, "down", NULL, HPA_METRIC_CLIENT},
        {"", some, 1000, NULL, NULL, HPA_METRIC_NO_PODS},
        {"rr", none, 1000, NULL, "no request", HPA_METRIC_NO_VALUES},
        {"pp", some, 1000, NULL, NULL, HPA_METRIC_NO_VALUES},
        {"dd", some, 1000, NULL, NULL, HPA_METRIC_NO_VALUES},
        {"rr", some, 1000, NULL, "no request", HPA_METRIC_NO_REQUEST},
        {"rr", some, 0, NULL, NULL, HPA_METRIC_NO_REQUESTS},
        {"rr", some, 1000, NULL, NULL, HPA_METRIC_OK},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        static struct world w;
        world_init(&w, 2);
        world_pods(&w, rows[i].pods);
        add_utilization(&w, 50);
        world_values(&w, 0, rows[i].values, w.in.n_pods);
        w.requests[0] = w.requests[1] = rows[i].request;
        w.readings[0].error = rows[i].client;
        w.readings[0].request_error = rows[i].request_error;
        world_step(&w);
        if (w.r.metrics[0].error != rows[i].want)
            fail_msg("row %zu: %d", i, w.r.metrics[0].error);
        assert_int_equal(w.r.failed, rows[i].want != HPA_METRIC_OK);
    }
}

static void an_outside_metric_may_lack_pods_or_target(void **state) {
    (void)state;
    static struct world w;
    world_init(&w, 2);
    struct hpa_metric *m = world_metric(&w, HPA_EXTERNAL, "queue");
    w.series[0][0] = 90000;
    w.readings[0].n_series = 1;
    world_step(&w);
    assert_int_equal(w.r.metrics[0].error, HPA_METRIC_NO_TARGET);
    m->target = (struct hpa_target){.has_value = true, .value_milli = 10000};
    world_step(&w);
    assert_int_equal(w.r.metrics[0].error, HPA_METRIC_NO_PODS);
    m->selector_error = "not a valid label";
    world_step(&w);
    assert_int_equal(w.r.metrics[0].error, HPA_METRIC_SELECTOR);
    *m = (struct hpa_metric){
        .type = HPA_OBJECT,
        .name = "rps",
        .target = {.type = HPA_VALUE, .has_average = true, .average_milli = 1}};
    world_step(&w); // the type says Value and there is none
    assert_int_equal(w.r.metrics[0].error, HPA_METRIC_NO_TARGET);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utilization_asks_for),
        cmocka_unit_test(an_average_of_pods_asks_for),
        cmocka_unit_test(cpu_of_a_starting_pod_is_not_believed),
        cmocka_unit_test(an_average_of_cpu_believes_no_starting_pod_either),
        cmocka_unit_test(the_older_tolerance_is_a_distance),
        cmocka_unit_test(each_direction_may_have_its_tolerance),
        cmocka_unit_test(values_of_objects_and_the_outside_ask_for),
        cmocka_unit_test(which_target_counts),
        cmocka_unit_test(what_cannot_be_computed_says_why),
        cmocka_unit_test(an_outside_metric_may_lack_pods_or_target),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
