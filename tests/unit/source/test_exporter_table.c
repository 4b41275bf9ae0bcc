// SPDX-License-Identifier: Apache-2.0
/* The GPU table of exporters: who tells a GPU, when its values are of, and what a page removes. */
#include "unit.h"

#include "base/clock.h"
#include "base/mem.h"
#include "source/exporter_table.h"

enum { GPUS = 8 };
#define S(n) ((n)*NS_PER_S)

struct told {
    char uuid[64];
    int calls, owners;
    unsigned changed;
    double busy;
    int64_t at_ns;
    bool known, lost, removed;
};

struct world {
    struct exporters_options o;
    struct exporter_table table;
    struct exporter_source a, b;
    struct told told[GPUS];
    int n, stuck_calls;
    bool stuck;
};

static struct told *told_of(struct world *w, const char *uuid) {
    for (int i = 0; i < w->n; i++)
        if (!strcmp(w->told[i].uuid, uuid))
            return &w->told[i];
    assert_true(w->n < GPUS);
    snprintf(w->told[w->n].uuid, sizeof(w->told[0].uuid), "%s", uuid);
    return &w->told[w->n++];
}

static void on_gpu(void *ctx, const struct agents_gpu *g, unsigned changed, void **user) {
    struct told *t = told_of(ctx, g->uuid);
    if (changed & AGENTS_NEW)
        *user = t;
    assert_ptr_equal(*user, t); // kept with the GPU
    t->calls++;
    t->changed = changed;
    t->owners = (int)g->n_owners;
    t->known = g->owners_known;
    t->busy = -1;
    gpu_reading_get(g->reading, GPU_UTILIZATION_PCT, &t->busy);
    t->at_ns = g->reading_at_ns;
    t->lost = g->lost;
    t->removed = false;
}

static void on_removed(void *ctx, const char *node, const char *uuid, void *user) {
    struct told *t = told_of(ctx, uuid);
    assert_ptr_equal(user, t);
    t->removed = true;
}

static void on_stuck(void *ctx, const char *key, bool stuck) {
    struct world *w = ctx;
    w->stuck = stuck;
    w->stuck_calls++;
}

static void source_init(struct exporter_source *s, char *url) {
    *s = (struct exporter_source){.url = url, .shown = url, .target = url, .kind = ""};
    vec_init(&s->records, 256);
    s->good_ns = s->changed_ns = INT64_MIN;
}

static int set_up(void **state) {
    static char a[] = "http://a:1/metrics", b[] = "http://b:1/metrics";
    struct world *w = calloc(1, sizeof(*w));
    w->o = (struct exporters_options){.interval_ns = S(10),
                                      .collect_interval_ns = S(30),
                                      .gpu = on_gpu,
                                      .gpu_removed = on_removed,
                                      .stuck = on_stuck,
                                      .ctx = w};
    exporter_table_init(&w->table, &w->o);
    source_init(&w->a, a);
    source_init(&w->b, b);
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    struct world *w = *state;
    exporter_table_forget(&w->table, &w->a);
    exporter_table_forget(&w->table, &w->b);
    assert_int_equal(w->table.n, 0);
    exporter_table_done(&w->table);
    free(w);
    return 0;
}

static int take_at(struct world *w, struct exporter_source *s, const char *text, int64_t at_ns,
                   int64_t real_ms) {
    struct exporter_page *pg;
    struct exporter_page_result res;
    struct err e = {0};
    if (exporter_page_new(&pg, &e) < 0 || exporter_page_feed(pg, text, strlen(text), &e) < 0 ||
        exporter_page_finish(pg, false, &res, &e) < 0)
        fail_msg("%s", e.msg);
    int r = exporter_table_take(&w->table, s, pg, &res, at_ns, real_ms);
    exporter_page_free(pg);
    return r;
}

static void take(struct world *w, struct exporter_source *s, const char *text, int64_t at_ns) {
    assert_int_equal(take_at(w, s, text, at_ns, 0), 0);
}

#define POD(p) ",namespace=\"ns\",pod=\"" p "\""
#define BUSY(uuid, more, v) "DCGM_FI_DEV_GPU_UTIL{UUID=\"" uuid "\"" more "} " v "\n"
#define ENERGY(v) "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{UUID=\"G1\"} " v "\n"

static void only_what_changed_is_said_to_have_changed(void **state) {
    struct world *w = *state;
    struct told *g = told_of(w, "G1");
    take(w, &w->a, BUSY("G1", POD("p"), "5"), S(100));
    assert_true(g->changed & AGENTS_NEW);
    assert_true(g->known && g->owners == 1 && g->busy == 5 && g->at_ns == S(100));
    take(w, &w->a, BUSY("G1", POD("p"), "5"), S(110));
    assert_int_equal(g->changed, AGENTS_AGE);
    take(w, &w->a, BUSY("G1", POD("p"), "6"), S(110));
    assert_int_equal(g->changed, AGENTS_READING);
    take(w, &w->a, BUSY("G1", POD("q"), "6"), S(120));
    assert_int_equal(g->changed, AGENTS_INFO | AGENTS_OWNERS | AGENTS_AGE);
    take(w, &w->a, BUSY("G1", "", "6"), S(120)); // no pod on the page
    assert_true((g->changed & AGENTS_OWNERS) && !g->known && g->owners == 0);
    assert_int_equal(g->calls, 5);
}

static void values_stand_for_a_collection_and_then_age(void **state) {
    struct world *w = *state;
    struct told *g = told_of(w, "G1");
    static const struct {
        int64_t at_s;
        const char *page;
        int64_t dated_s;
        bool stuck;
    } steps[] = {
        {100, BUSY("G1", "", "5") ENERGY("1"), 100, false},
        {110, BUSY("G1", "", "5") ENERGY("1"), 110, false},
        {130, BUSY("G1", "", "5") ENERGY("1"), 130, false},
        {140, BUSY("G1", "", "5") ENERGY("1"), 130, false}, // seen first at 100, for 30 s
        {180, BUSY("G1", "", "5") ENERGY("1"), 130, false},
        {200, BUSY("G1", "", "5") ENERGY("1"), 130, true}, // three collections did not come
        {210, BUSY("G1", "", "5") ENERGY("2"), 210, false},
        {250, BUSY("G1", "", "5") ENERGY("2"), 240, false},
        // Without the energy nothing would show a new collection: by the request.
        {260, BUSY("G1", "", "5"), 260, false},
        {360, BUSY("G1", "", "5"), 360, false},
    };
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        take(w, &w->a, steps[i].page, S(steps[i].at_s));
        assert_int_equal(g->at_ns, S(steps[i].dated_s));
        assert_int_equal(w->stuck, steps[i].stuck);
    }
    assert_int_equal(w->stuck_calls, 2);
}

static void a_time_on_the_sample_is_its_age(void **state) {
    struct world *w = *state;
    take_at(w, &w->a, "DCGM_FI_DEV_GPU_UTIL{UUID=\"G1\"} 5 1700000000000\n", S(100), 1700000012000);
    assert_int_equal(told_of(w, "G1")->at_ns, S(88));
    // A clock that is behind makes nothing younger than the request.
    take_at(w, &w->a, "DCGM_FI_DEV_GPU_UTIL{UUID=\"G1\"} 5 1700000020000\n", S(110), 1700000012000);
    assert_int_equal(told_of(w, "G1")->at_ns, S(110));
}

static void a_gpu_that_is_missing_is_lost_and_after_three_pages_gone(void **state) {
    struct world *w = *state;
    struct told *g = told_of(w, "G1");
    take(w, &w->a, BUSY("G1", "", "5") BUSY("G2", "", "5"), S(100));
    take(w, &w->a, BUSY("G2", "", "5"), S(110));
    assert_true(g->lost && (g->changed & AGENTS_LOST) && g->at_ns == S(100));
    take(w, &w->a, BUSY("G2", "", "5"), S(120));
    assert_false(g->removed);
    take(w, &w->a, BUSY("G1", "", "7") BUSY("G2", "", "5"), S(130)); // back in time
    assert_true(!g->lost && g->busy == 7);
    for (int i = 0; i < 3; i++)
        take(w, &w->a, BUSY("G2", "", "5"), S(140 + 10 * i));
    assert_true(g->removed);
    assert_int_equal(w->table.n, 1);
}

static void of_two_that_tell_a_gpu_the_one_that_knows_its_holder_counts(void **state) {
    struct world *w = *state;
    struct told *g = told_of(w, "G1");
    take(w, &w->a, BUSY("G1", "", "5"), S(100));
    take(w, &w->b, BUSY("G1", "", "9"), S(101)); // no better
    assert_true(g->busy == 5 && g->calls == 1);
    assert_int_equal(w->b.duplicates, 1);
    take(w, &w->b, BUSY("G1", POD("p"), "9"), S(102));
    assert_true(g->busy == 9 && g->known);
    take(w, &w->a, BUSY("G1", "", "5"), S(103));
    take(w, &w->a, BUSY("G1", POD("p"), "5"), S(104)); // both know: the one that is there stays
    assert_true(g->busy == 9);
    assert_int_equal(w->a.records.n, 0);
    // The other has not been read for three intervals.
    take(w, &w->a, BUSY("G1", "", "6"), S(132));
    assert_true(g->busy == 9);
    take(w, &w->a, BUSY("G1", "", "6"), S(133));
    assert_true(g->busy == 6);
    assert_int_equal(w->b.records.n, 0);
    assert_int_equal(w->table.n, 1);
}

static void a_gpu_is_taken_over_at_once_from_a_page_that_lost_it_or_is_gone(void **state) {
    struct world *w = *state;
    struct told *g = told_of(w, "G1");
    take(w, &w->a, BUSY("G1", "", "5") BUSY("G2", "", "1"), S(100));
    take(w, &w->a, BUSY("G2", "", "1"), S(101));
    take(w, &w->b, BUSY("G1", "", "9"), S(102));
    assert_true(g->busy == 9 && !g->lost);
    w->b.gone = true;
    take(w, &w->a, BUSY("G1", "", "5") BUSY("G2", "", "1"), S(103));
    assert_true(g->busy == 5);
}

static void a_mig_instance_is_told_with_its_parent(void **state) {
    struct world *w = *state;
    take(w, &w->a, "DCGM_FI_PROF_GR_ENGINE_ACTIVE{UUID=\"G1\",GPU_I_ID=\"13\"} 0.5\n", S(100));
    const struct exporter_record *r = exporter_table_next(&w->table, NULL);
    struct agents_gpu view;
    exporter_record_view(r, &view);
    assert_string_equal(view.uuid, "G1/gi13");
    assert_string_equal(view.parent_uuid, "G1");
    assert_int_equal(view.gpu_instance_id, 13);
    assert_string_equal(view.node, "http://a:1/metrics"); // where the page names no host
    assert_string_equal(exporter_record_key(r), "http://a:1/metrics");
}

static void without_memory_the_next_page_tries_again(void **state) {
    struct world *w = *state;
    const char *page = BUSY("G1", POD("p"), "5") BUSY("G2", POD("q"), "6");
    struct exporter_page *pg;
    struct exporter_page_result res;
    struct err e = {0};
    assert_int_equal(exporter_page_new(&pg, &e), 0);
    assert_int_equal(exporter_page_feed(pg, page, strlen(page), &e), 0);
    assert_int_equal(exporter_page_finish(pg, false, &res, &e), 0);
    int failures = 0, r;
    for (long n = 1;; n++) {
        mem_fail_from(n);
        r = exporter_table_take(&w->table, &w->a, pg, &res, S(100 + n), 0);
        mem_fail_never();
        if (r == 0)
            break;
        assert_int_equal(r, ERR_NOMEM);
        failures++;
    }
    exporter_page_free(pg);
    assert_true(failures > 3);
    assert_int_equal(w->table.n, 2);
    assert_true(told_of(w, "G1")->busy == 5 && told_of(w, "G2")->busy == 6);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(only_what_changed_is_said_to_have_changed),
        T(values_stand_for_a_collection_and_then_age),
        T(a_time_on_the_sample_is_its_age),
        T(a_gpu_that_is_missing_is_lost_and_after_three_pages_gone),
        T(of_two_that_tell_a_gpu_the_one_that_knows_its_holder_counts),
        T(a_gpu_is_taken_over_at_once_from_a_page_that_lost_it_or_is_gone),
        T(a_mig_instance_is_told_with_its_parent),
        T(without_memory_the_next_page_tries_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
