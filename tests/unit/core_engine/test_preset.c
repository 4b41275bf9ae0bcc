// SPDX-License-Identifier: Apache-2.0
/* The rows: each well-formed, found by name, and in step with docs/engines.md. */
#include "page_read.h"
#include "repo_file.h"

#include "base/mem.h"

static void check_term(const struct engine_preset *p, const struct engine_term *t) {
    if (!prom_name_valid(str_from(t->name)))
        fail_msg("%s: metric name %s", p->name, t->name);
    for (const struct engine_filter *f = t->where; f && f->label; f++) {
        assert_true(prom_label_name_valid(str_from(f->label)));
        assert_non_null(f->value);
    }
}

static void check_way(const struct engine_preset *p, enum engine_value v,
                      const struct engine_way *way) {
    assert_non_null(way->add[0].name);
    assert_false(way->add[0].optional);
    for (const struct engine_term *t = way->add; t->name; t++) {
        check_term(p, t);
        if (t->copies)
            assert_int_equal(way->combine, ENGINE_SUM);
    }
    if (way->per)
        check_term(p, way->per);
    if (engine_value_is_counter(v))
        assert_int_equal(way->combine, ENGINE_SUM); // counters of ranks always add up
    if (v == ENGINE_KV_CACHE_RATIO && !way->per)
        assert_int_equal(way->combine, ENGINE_MAX); // ratios never do
}

static void check_value(const struct engine_preset *p, enum engine_value v) {
    unsigned n = 0;
    for (const struct engine_way *way = p->values[v].ways; way && way->add; way++, n++)
        check_way(p, v, way);
    assert_int_equal(n > 0, p->values[v].ways != NULL);
}

static void check_histogram(const struct engine_preset *p, enum engine_histogram h) {
    const struct engine_term *way = p->histograms[h].ways;
    assert_true(!way || way->name);
    for (; way && way->name; way++) {
        check_term(p, way);
        assert_true(str_ends(str_from(way->name), "_bucket"));
        assert_true(way->factor >= 0);
        assert_null(way->copies);
        assert_false(way->optional);
    }
}

static void test_every_row_is_well_formed(void **state) {
    for (unsigned i = 0; i < engine_presets_n; i++) {
        const struct engine_preset *p = engine_presets[i];
        assert_true(p->port > 0);
        if (p->path)
            assert_int_equal(p->path[0], '/');
        // Without a page there is nothing to tell, and the other way round.
        assert_int_equal(p->path != NULL, engine_preset_provides(p) != 0);
        assert_non_null(p->title);
        assert_true(p->kv_ceiling_ratio >= 0 && p->kv_ceiling_ratio <= 1);
        // A row has a KV ceiling exactly when it has a KV cache.
        assert_int_equal(p->kv_ceiling_ratio > 0,
                         engine_preset_metric(p, ENGINE_KV_CACHE_RATIO) != NULL);
        // Continuous batching saturates the GPU's activity.
        assert_false(p->continuous_batching && p->linear);
        for (int v = 0; v < ENGINE_VALUE_MAX; v++)
            check_value(p, (enum engine_value)v);
        for (int h = 0; h < ENGINE_HISTOGRAM_MAX; h++)
            check_histogram(p, (enum engine_histogram)h);
        for (unsigned j = 0; j < i; j++)
            assert_string_not_equal(p->name, engine_presets[j]->name);
    }
}

static void test_values_have_distinct_names(void **state) {
    for (int v = 0; v < ENGINE_VALUE_MAX; v++) {
        assert_non_null(engine_value_name((enum engine_value)v));
        for (int w = 0; w < v; w++)
            assert_string_not_equal(engine_value_name((enum engine_value)v),
                                    engine_value_name((enum engine_value)w));
    }
}

static void test_what_the_policy_asks_of_a_row(void **state) {
    const struct engine_preset *vllm = preset_named("vllm"), *custom = preset_named("custom");
    assert_true(vllm->continuous_batching);
    assert_int_equal(vllm->linear, 0);
    assert_int_equal(vllm->port, 8000);
    assert_int_equal(vllm->requests, ENGINE_COUNTS_FINISHED);
    assert_false(custom->continuous_batching);
    assert_int_equal(custom->linear, ENGINE_LINEAR_GPU_UTILIZATION | ENGINE_LINEAR_SM_ACTIVITY);
    assert_string_equal(engine_preset_metric(custom, ENGINE_QUEUE), "inference_queue_length");
    assert_null(engine_preset_metric(custom, ENGINE_ITL_COUNT));
}

static void test_an_unknown_name_gets_the_nearest_and_all(void **state) {
    const struct engine_preset *p = NULL;
    struct err e = {0};
    assert_int_equal(engine_preset_find(STR("vlm"), &p, &e), ERR_NOTFOUND);
    assert_null(p);
    assert_non_null(
        strstr(e.msg, "no engine \"vlm\", did you mean \"vllm\"?; there are: vllm, sglang, "));
    assert_int_equal(engine_preset_find(STR("zzzzzzzz"), &p, &e), ERR_NOTFOUND);
    assert_string_equal(e.msg, "no engine \"zzzzzzzz\"; there are: vllm, sglang, trtllm, "
                               "triton-trtllm, tgi, dynamo, llamacpp, ollama, ray-serve, "
                               "ray-serve-llm, triton, torchserve, kserve, custom");
    assert_int_equal(engine_preset_find(STR(""), &p, &e), ERR_NOTFOUND);
    assert_int_equal(engine_preset_find(STR("VLLM"), &p, &e), ERR_NOTFOUND);
}

static void check_documented(const char *text, const struct engine_preset *p, const char *name) {
    struct str stem = str_from(name);
    if (str_ends(stem, "_seconds_count"))
        stem.n -= strlen("_count"); // written `X_seconds_sum` and `_count`
    char wanted[256];
    assert_int_equal(str_copy(wanted, sizeof(wanted), stem), 0);
    if (!strstr(text, wanted))
        fail_msg("docs/engines.md lacks %s of preset %s", wanted, p->name);
}

static void test_the_documentation_has_every_name_that_is_read(void **state) {
    static char text[1 << 18], rules[1 << 18];
    assert_true(repo_file("docs/engines.md", text, sizeof(text)));
    assert_true(repo_file("docs/signals.md", rules, sizeof(rules)));
    for (unsigned i = 0; i < engine_presets_n; i++) {
        const struct engine_preset *p = engine_presets[i];
        char wanted[256];
        snprintf(wanted, sizeof(wanted), "`%s`", p->name);
        check_documented(text, p, wanted);
        if (!strstr(rules, wanted))
            fail_msg("docs/signals.md lacks preset %s", p->name);
        for (int h = 0; h < ENGINE_HISTOGRAM_MAX; h++)
            for (const struct engine_term *w = p->histograms[h].ways; w && w->name; w++)
                check_documented(text, p, w->name);
        for (int v = 0; v < ENGINE_VALUE_MAX; v++)
            for (const struct engine_way *w = p->values[v].ways; w && w->add; w++)
                for (const struct engine_term *t = w->add; t->name; t++)
                    check_documented(text, p, t->name);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row_is_well_formed),
        cmocka_unit_test(test_values_have_distinct_names),
        cmocka_unit_test(test_what_the_policy_asks_of_a_row),
        cmocka_unit_test(test_an_unknown_name_gets_the_nearest_and_all),
        cmocka_unit_test(test_the_documentation_has_every_name_that_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
