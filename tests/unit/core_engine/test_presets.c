// SPDX-License-Identifier: Apache-2.0
/*
 * Whole pages of every engine, and what an engineer reads off them by hand; and every row on a page
 * made of its own names, one of them renamed at a time.
 */
#include <math.h>

#include "page_read.h"
#include "repo_file.h"

#include "base/mem.h"

// Values that the page does not have, though the row looks for them.
#define NOT_THERE (-1.0)
// Values that the row does not look for.
#define NOT_TOLD (-2.0)

struct sample_page {
    const char *file, *preset;
    double value[ENGINE_VALUE_MAX];
    // Of each histogram: number of edges, one edge in seconds and its count, and all observations;
    // `edges` NOT_THERE or NOT_TOLD: none.
    struct {
        double edges, le_s, at, all;
    } histogram[ENGINE_HISTOGRAM_MAX];
};

#define NO_HISTOGRAMS .histogram = {{NOT_TOLD, 0, 0, 0}, {NOT_TOLD, 0, 0, 0}}
// A server's values, the others NOT_TOLD.
#define SERVER(queue_, running_, requests_)                                                        \
    .value = {queue_,   running_, NOT_TOLD, requests_, NOT_TOLD,                                   \
              NOT_TOLD, NOT_TOLD, NOT_TOLD, NOT_TOLD}

// Order of the values: queue, running, kvCache, requests, prompt tokens, generated tokens, sum and
// count of inter-token latency, awake.
static const struct sample_page sample_pages[] = {
    // 180 + 20 + 0 + 0 finished; 68,380 of 81,244 prompt tokens were computed, the prefix cache had
    // the rest
    {"vllm",
     "vllm",
     {12, 37, 0.8137, 200, 68380, 27453, 251.44, 27253, 1},
     {{23, 2.5, 188, 200}, {20, 0.05, 27100, 27253}}},
    {"sglang",
     "sglang",
     {7, 24, 0.83, 100, 94108, 27453, NOT_THERE, NOT_THERE, NOT_TOLD},
     {{19, 2, 97, 100}, {NOT_THERE, 0, 0, 0}}},
    {"trtllm",
     "trtllm",
     {3, 12, 0.4875, 2, 66, 600, NOT_THERE, NOT_THERE, NOT_TOLD},
     {{23, 0.04, 1, 2}, {NOT_THERE, 0, 0, 0}}},
    // the page has no counters of Triton itself
    {"triton_trtllm",
     "triton-trtllm",
     {1, 1, 0.4875, NOT_THERE, NOT_TOLD, NOT_TOLD, NOT_TOLD, NOT_TOLD, NOT_TOLD},
     {{NOT_THERE, 0, 0, 0}, {NOT_TOLD, 0, 0, 0}}},
    // 57,344 of 65,536 tokens
    {"tgi",
     "tgi",
     {6, 32, 0.875, 1207, NOT_THERE, NOT_THERE, NOT_TOLD, NOT_TOLD, NOT_TOLD},
     NO_HISTOGRAMS},
    // 14 in flight, 5 of them without a first token yet
    {"dynamo",
     "dynamo",
     {5, 9, 0, 1, NOT_THERE, 300, NOT_THERE, NOT_THERE, NOT_TOLD},
     {{19, 2.2, 1, 1}, {NOT_THERE, 0, 0, 0}}},
    {"llamacpp",
     "llamacpp",
     {46, 4, NOT_TOLD, NOT_TOLD, 143, 673, 29.567, 673, NOT_TOLD},
     NO_HISTOGRAMS},
    // 7 at Ray's handle and 4 in vLLM
    {"ray_serve",
     "ray-serve-llm",
     {11, NOT_THERE, NOT_THERE, NOT_THERE, NOT_THERE, NOT_THERE, NOT_THERE, NOT_THERE, NOT_TOLD},
     {{NOT_THERE, 0, 0, 0}, {NOT_THERE, 0, 0, 0}}},
    // 19 together: what the page's ray_serve_autoscaling_total_requests says
    {"ray_serve", "ray-serve", SERVER(7, 12, 4116), NO_HISTOGRAMS},
    // 0 and 4 waiting; 0 + 3 succeeded, none failed
    {"triton", "triton", SERVER(4, NOT_TOLD, 3), NO_HISTOGRAMS},
    {"torchserve", "torchserve", SERVER(NOT_TOLD, NOT_TOLD, 3), NO_HISTOGRAMS},
    {"kserve_python", "kserve", SERVER(NOT_TOLD, NOT_TOLD, 150), NO_HISTOGRAMS},
    // the queue depth of 5 is not read: it never falls by itself
    {"knative_queue_proxy", "kserve", SERVER(NOT_TOLD, NOT_TOLD, 60), NO_HISTOGRAMS},
    {"knative_queue_proxy_le_1_18", "kserve", SERVER(NOT_TOLD, NOT_TOLD, 60), NO_HISTOGRAMS},
    {"ollama", "ollama", SERVER(NOT_TOLD, NOT_TOLD, NOT_TOLD), NO_HISTOGRAMS},
};

static char text[1 << 20];

static double state_of(const struct engine_preset *p, const struct engine_page_result *r,
                       uint32_t bit) {
    assert_false(r->bad & bit);
    return !(engine_preset_provides(p) & bit) ? NOT_TOLD : r->missing & bit ? NOT_THERE : 0;
}

static void check_sample_histogram(const struct sample_page *c, enum engine_histogram h,
                                   const struct engine_page_result *r) {
    const struct engine_buckets *b = &r->sample.histograms[h];
    double got = b->n ? (double)b->n
                      : state_of(preset_named(c->preset), r, ENGINE_HISTOGRAM_BIT(h));
    if (got != c->histogram[h].edges)
        fail_msg("%s %s: %g edges, want %g", c->file, engine_histogram_name(h), got,
                 c->histogram[h].edges);
    if (!b->n)
        return;
    uint32_t i = 0;
    while (i < b->n && fabs(b->le_s[i] - c->histogram[h].le_s) > 1e-12)
        i++;
    if (i == b->n || b->count[i] != c->histogram[h].at || b->count[b->n - 1] != c->histogram[h].all)
        fail_msg("%s %s: edge %u of %u", c->file, engine_histogram_name(h), i, b->n);
}

static void test_sample_pages_give_what_is_written_on_them(void **state) {
    for (size_t i = 0; i < COUNT_OF(sample_pages); i++) {
        const struct sample_page *c = &sample_pages[i];
        const struct engine_preset *p = preset_named(c->preset);
        struct engine_page_result r = {0};
        struct err e = {0};
        if (!sample_page(c->file, text, sizeof(text)))
            return;
        int rc = page_read(p, text, strlen(text) / 3, &r, &e);
        if (rc && !(rc == ERR_NOTFOUND && !p->path))
            fail_msg("%s: %s", c->file, e.msg);
        for (int v = 0; v < ENGINE_VALUE_MAX; v++) {
            double got = SAMPLE_HAS(&r.sample, v) ? r.sample.v[v] : state_of(p, &r, 1u << v);
            if (!(fabs(got - c->value[v]) < 1e-9))
                fail_msg("%s through %s: %s is %.12g, want %.12g", c->file, c->preset,
                         engine_value_name((enum engine_value)v), got, c->value[v]);
        }
        for (int h = 0; h < ENGINE_HISTOGRAM_MAX; h++)
            check_sample_histogram(c, (enum engine_histogram)h, &r);
    }
}

static void test_an_optional_histogram_in_milliseconds_is_read_in_seconds(void **state) {
    struct engine_page_result r = {0};
    static const char page[] =
        "nv_trt_llm_request_metrics{model=\"tensorrt_llm\",request_type=\"waiting\"} 1\n"
        "nv_inference_first_response_histogram_ms_count{model=\"tensorrt_llm\"} 37\n"
        "nv_inference_first_response_histogram_ms_bucket{model=\"tensorrt_llm\",le=\"500\"} 30\n"
        "nv_inference_first_response_histogram_ms_bucket{model=\"ensemble\",le=\"500\"} 3\n"
        "nv_inference_first_response_histogram_ms_bucket{model=\"tensorrt_llm\",le=\"+Inf\"} 37\n";
    assert_int_equal(page_read(preset_named("triton-trtllm"), page, 40, &r, NULL), 0);
    assert_int_equal(r.sample.histograms[ENGINE_TTFT].n, 2);
    assert_true(fabs(r.sample.histograms[ENGINE_TTFT].le_s[0] - 0.5) < 1e-12);
    assert_true(r.sample.histograms[ENGINE_TTFT].count[0] == 30);
}

// Appends one series that the term wants, unless it is there.
static void emit(struct buf *out, const struct engine_term *t, const char *renamed,
                 const char *le) {
    char line[512];
    bool is_renamed = renamed && strcmp(t->name, renamed) == 0;
    size_t at = (size_t)snprintf(line, sizeof(line), "\n%s%s{x=\"y\"", t->name,
                                 is_renamed ? "_renamed" : "");
    for (const struct engine_filter *f = t->where; f && f->label; f++)
        if (f->op == ENGINE_LABEL_IS && f->value[0])
            at += (size_t)snprintf(line + at, sizeof(line) - at, ",%s=\"%s\"", f->label, f->value);
    if (le)
        at += (size_t)snprintf(line + at, sizeof(line) - at, ",le=\"%s\"", le);
    snprintf(line + at, sizeof(line) - at, "} 1");
    if (out->len == 0 || !memmem(out->p, out->len, line, strlen(line)))
        assert_int_equal(buf_addc(out, line), 0);
}

// A page with every name of the row's first ways; `renamed` has got another name.
static void make_page(struct buf *out, const struct engine_preset *p, const char *renamed) {
    for (int v = 0; v < ENGINE_VALUE_MAX; v++) {
        const struct engine_way *way = p->values[v].ways;
        for (const struct engine_term *t = way ? way->add : NULL; t && t->name; t++)
            emit(out, t, renamed, NULL);
        if (way && way->per)
            emit(out, way->per, renamed, NULL);
    }
    for (int h = 0; h < ENGINE_HISTOGRAM_MAX; h++)
        if (p->histograms[h].ways) {
            emit(out, p->histograms[h].ways, renamed, "1");
            emit(out, p->histograms[h].ways, renamed, "+Inf");
        }
    assert_int_equal(buf_add(out, "\n", 2), 0); // and a NUL
}

static bool needs(const struct engine_way *way, const char *name) {
    for (const struct engine_term *t = way->add; t->name; t++)
        if (!t->optional && strcmp(t->name, name) == 0)
            return true;
    return way->per && strcmp(way->per->name, name) == 0;
}

// The values that the made page cannot give when `name` is renamed.
static uint32_t lost_with(const struct engine_preset *p, const char *name) {
    uint32_t lost = 0;
    for (int v = 0; v < ENGINE_VALUE_MAX; v++)
        if (p->values[v].ways && needs(p->values[v].ways, name))
            lost |= 1u << v;
    for (int h = 0; h < ENGINE_HISTOGRAM_MAX; h++)
        if (p->histograms[h].ways && strcmp(p->histograms[h].ways->name, name) == 0)
            lost |= ENGINE_HISTOGRAM_BIT(h);
    return lost;
}

static uint32_t known(const struct engine_page_result *r) {
    uint32_t bits = r->sample.valid;
    for (int h = 0; h < ENGINE_HISTOGRAM_MAX; h++)
        bits |= r->sample.histograms[h].n ? ENGINE_HISTOGRAM_BIT(h) : 0;
    return bits;
}

static void check_renamed(const struct engine_preset *p, const char *name) {
    CLEANUP_BUF struct buf page, said;
    buf_init(&page, 1 << 16);
    buf_init(&said, 1 << 16);
    make_page(&page, p, name);
    struct engine_page_result r = {0};
    struct err e = {0};
    int rc = page_read(p, page.p, 10, &r, &e);
    uint32_t all = engine_preset_provides(p), lost = name ? lost_with(p, name) : 0;
    if (rc != (lost == all ? ERR_NOTFOUND : 0))
        fail_msg("%s without %s: %d %s", p->name, name ? name : "nothing", rc, e.msg);
    if (r.missing != lost || r.bad || known(&r) != (all & ~lost))
        fail_msg("%s without %s: missing %x, want %x; bad %x; known %x of %x", p->name,
                 name ? name : "nothing", r.missing, lost, r.bad, known(&r), all);
    if (!lost)
        return;
    assert_int_equal(engine_page_describe(p, r.missing, &said), 0);
    assert_int_equal(buf_add_byte(&said, '\0'), 0);
    if (!strstr(said.p, name))
        fail_msg("%s: \"%s\" does not name %s", p->name, said.p, name);
}

static void test_a_renamed_metric_is_unknown_and_named(void **state) {
    for (unsigned i = 0; i < engine_presets_n; i++) {
        const struct engine_preset *p = engine_presets[i];
        if (!p->path)
            continue;
        check_renamed(p, NULL);
        for (int v = 0; v < ENGINE_VALUE_MAX; v++) {
            const struct engine_way *way = p->values[v].ways;
            for (const struct engine_term *t = way ? way->add : NULL; t && t->name; t++)
                if (!t->optional)
                    check_renamed(p, t->name);
        }
        for (int h = 0; h < ENGINE_HISTOGRAM_MAX; h++)
            if (p->histograms[h].ways)
                check_renamed(p, p->histograms[h].ways->name);
    }
}

// Each spelling alone gives the value.
static void test_every_spelling_is_read(void **state) {
    for (unsigned i = 0; i < engine_presets_n; i++)
        for (int v = 0; v < ENGINE_VALUE_MAX; v++)
            for (const struct engine_way *w = engine_presets[i]->values[v].ways; w && w->add; w++) {
                CLEANUP_BUF struct buf page;
                buf_init(&page, 1 << 16);
                for (const struct engine_term *t = w->add; t->name; t++)
                    emit(&page, t, NULL, NULL);
                if (w->per)
                    emit(&page, w->per, NULL, NULL);
                assert_int_equal(buf_add(&page, "\n", 2), 0);
                struct engine_page_result r = {0};
                if (page_read(engine_presets[i], page.p, 3, &r, NULL) || !SAMPLE_HAS(&r.sample, v))
                    fail_msg("%s: %s alone is not read", engine_presets[i]->name, w->add->name);
            }
}

// What servers really write.
static void test_pages_as_they_come(void **state) {
    struct engine_page_result r = {0};
    struct err e = {0};
    // TorchServe's comma before the brace
    assert_int_equal(
        page_read(preset_named("torchserve"),
                  "ts_inference_requests_total{model_name=\"a\",hostname=\"h\",} 3.0\n"
                  "ts_inference_requests_total{model_name=\"b\",hostname=\"h\",} 4.0\n",
                  9, &r, &e),
        0);
    assert_true(r.sample.v[ENGINE_REQUESTS_TOTAL] == 7);
    // a llama.cpp of late 2025 quoted the whole page as JSON: unknown, and said where
    assert_int_equal(page_read(preset_named("llamacpp"),
                               "\"# HELP llamacpp:requests_deferred x\\nllamacpp:requests_deferred "
                               "4\\n\"",
                               9, &r, &e),
                     ERR_PARSE);
    // trtllm-serve's /metrics is JSON: the page is at /prometheus/metrics
    assert_int_equal(page_read(preset_named("trtllm"), "[{\"iter\":1}]\n", 3, &r, &e), ERR_PARSE);
    assert_string_equal(preset_named("trtllm")->path, "/prometheus/metrics");
    // Ollama answers 404; even a page with something on it has nothing of it
    assert_int_equal(page_read(preset_named("ollama"), "x 1\n", 0, &r, &e), ERR_NOTFOUND);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sample_pages_give_what_is_written_on_them),
        cmocka_unit_test(test_an_optional_histogram_in_milliseconds_is_read_in_seconds),
        cmocka_unit_test(test_a_renamed_metric_is_unknown_and_named),
        cmocka_unit_test(test_every_spelling_is_read),
        cmocka_unit_test(test_pages_as_they_come),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
