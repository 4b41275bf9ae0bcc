// SPDX-License-Identifier: Apache-2.0
/* Frames as JSON, read back by a parser that is not ours. */
#include "report_unit.h"

static json_t *frame_of(const struct frame *f) {
    CLEANUP_BUF struct buf b;
    buf_init(&b, 1 << 20);
    assert_int_equal(frame_json(&b, f), 0);
    assert_null(memchr(b.p, '\n', b.len));
    return unit_json(buf_str(&b));
}

static void what_is_not_known_is_null_and_never_zero(void **state) {
    static const char *const nulls[] = {"tS",
                                        "replicas.wanted",
                                        "replicas.spec",
                                        "replicas.ready",
                                        "replicas.starting",
                                        "rps.arriving",
                                        "rps.served",
                                        "queue.engines",
                                        "queue.held",
                                        "latencyMs",
                                        "errors",
                                        "served",
                                        "money.gpuSeconds",
                                        "money.idleGpuSeconds",
                                        "money.burnedUsd",
                                        "money.idleUsd"};
    json_t *j = frame_of(&frame_unknown);
    for (size_t i = 0; i < COUNT_OF(nulls); i++)
        if (!json_is_null(unit_at(j, nulls[i])))
            fail_msg("%s is not null", nulls[i]);
    json_decref(j);
    struct frame_gpu gpu = {
        .index = 3, .utilization_pct = NAN, .sm_pct = INFINITY, .memory_pct = 0};
    struct frame_signal signal = {
        .name = "queue", .value = NAN, .upper = NAN, .target = 10, .age_s = NAN};
    struct frame f = unit_frame("cpu", 1);
    f.gpus = &gpu, f.gpu_n = 1;
    f.rule.signals = &signal, f.rule.signal_n = 1;
    j = frame_of(&f);
    assert_true(json_is_null(unit_at(j, "gpus.0.utilizationPct")));
    assert_true(json_is_null(unit_at(j, "gpus.0.smPct")));
    assert_true(json_real_value(unit_at(j, "gpus.0.memoryPct")) == 0);
    assert_string_equal(json_string_value(unit_at(j, "gpus.0.state")), "unknown");
    assert_true(json_is_false(unit_at(j, "rule.signals.0.known")));
    assert_true(json_is_null(unit_at(j, "rule.signals.0.value")));
    assert_string_equal(json_string_value(unit_at(j, "rule.signals.0.state")), "unknown");
    json_decref(j);
}

static void a_frame_tells_what_it_was_given(void **state) {
    const struct frame_gpu gpus[] = {{0, "llm-0", FRAME_GPU_BUSY, 97.25, 61, 88},
                                     {1, NULL, FRAME_GPU_FREE, 0, 0, 0},
                                     {2, "llm-1", FRAME_GPU_IDLE, 0, 0, 88},
                                     {3, "llm-2", FRAME_GPU_STARTING, 0, 0, 0},
                                     {4, "a", FRAME_GPU_BUSY, 30, NAN, 2, FRAME_PART_OWN},
                                     {4, "b", FRAME_GPU_BUSY, 80, 61, 9, FRAME_PART_UNKNOWN}};
    const struct frame_signal signals[] = {
        {"queue", "", 14, 20, 10, 0.5, FRAME_SIGNAL_BREACHED},
        {"requestRate", "/s", 12.34567, NAN, 6, 1, FRAME_SIGNAL_SIZES},
        {"kvCache", NULL, 0.1 + 0.2, NAN, 0.85, 1, FRAME_SIGNAL_QUIET}};
    const struct frame_decision decisions[] = {{12.5, "HPA", 4, "four \"replicas\"\n"},
                                               {13, "KEDA", -1, "a notice"}};
    struct frame f = unit_frame("gpuscale", 13);
    f.replicas.wanted = 4, f.replicas.spec = 3, f.replicas.ready = 2, f.replicas.starting = 1;
    f.rps.arriving = 24.5, f.rps.served = 20;
    f.queue.engines = 9, f.queue.held = 0;
    f.gpus = gpus, f.gpu_n = COUNT_OF(gpus);
    f.latency_ms.p50 = 420, f.latency_ms.p95 = 1e3, f.latency_ms.p99 = NAN;
    f.errors = 0, f.served = 123;
    f.money.gpu_s = 1234567.5, f.money.idle_gpu_s = 0, f.money.burned_usd = 0.12344,
    f.money.idle_usd = 0;
    f.rule.text = "queue and gpuUtilization";
    f.rule.signals = signals, f.rule.signal_n = COUNT_OF(signals);
    f.decisions = decisions, f.decision_n = COUNT_OF(decisions);
    json_t *j = frame_of(&f);
    static const struct {
        const char *path, *json;
    } cases[] = {
        {"policy", "\"gpuscale\""},
        {"tS", "13"},
        {"replicas", "{\"wanted\":4,\"spec\":3,\"ready\":2,\"starting\":1}"},
        {"rps", "{\"arriving\":24.5,\"served\":20}"},
        {"queue", "{\"engines\":9,\"held\":0}"},
        {"gpus.0", "{\"index\":0,\"pod\":\"llm-0\",\"state\":\"busy\",\"utilizationPct\":97.25,"
                   "\"smPct\":61,\"memoryPct\":88}"},
        {"gpus.1.pod", "\"\""},
        {"gpus.1.state", "\"free\""},
        {"gpus.2.state", "\"idle\""},
        {"gpus.3.state", "\"starting\""},
        {"gpus.4", "{\"index\":4,\"pod\":\"a\",\"state\":\"busy\",\"utilizationPct\":30,"
                   "\"smPct\":null,\"memoryPct\":2,\"shared\":\"own\"}"},
        {"gpus.5.shared", "\"whole\""},
        {"latencyMs", "{\"p50\":420,\"p95\":1000,\"p99\":null}"},
        {"errors", "0"},
        {"served", "123"},
        {"money",
         "{\"gpuSeconds\":1234567.5,\"idleGpuSeconds\":0,\"burnedUsd\":0.1234,\"idleUsd\":0}"},
        {"rule.text", "\"queue and gpuUtilization\""},
        {"rule.signals.0",
         "{\"name\":\"queue\",\"known\":true,\"value\":14,\"upper\":20,\"target\":10,"
         "\"unit\":\"\",\"ageS\":0.5,\"state\":\"breached\"}"},
        {"rule.signals.1.value", "12.3457"},
        {"rule.signals.1.state", "\"sizes\""},
        {"rule.signals.2.value", "0.3"},
        {"rule.signals.2.unit", "\"\""},
        {"rule.signals.2.state", "\"quiet\""},
        {"decisions.0",
         "{\"tS\":12.5,\"who\":\"HPA\",\"replicas\":4,\"text\":\"four \\\"replicas\\\"\\n\"}"},
        {"decisions.1.replicas", "null"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        json_t *want = json_loads(cases[i].json, JSON_DECODE_ANY, NULL);
        char *text = json_dumps(unit_at(j, cases[i].path), JSON_ENCODE_ANY);
        if (!json_equal(want, unit_at(j, cases[i].path)))
            fail_msg("%s is %s, not %s", cases[i].path, text, cases[i].json);
        free(text);
        json_decref(want);
    }
    json_decref(j);
}

static void a_hello_and_an_end_tell_what_they_were_given(void **state) {
    CLEANUP_BUF struct buf b;
    buf_init(&b, 1 << 20);
    struct frame_hello h = unit_hello("r1");
    static const char *const notes[] = {"one", "two"};
    h.notes = notes, h.note_n = 2, h.kind = FRAME_SCALER, h.usd_per_gpu_hour = NAN, h.gpus = -1;
    assert_int_equal(frame_hello_json(&b, &h), 0);
    assert_string_equal(
        (buf_add_byte(&b, '\0'), b.p),
        "{\"run\":\"r1\",\"title\":\"a test\",\"kind\":\"scaler\",\"policies\":["
        "{\"id\":\"cpu\",\"label\":\"CPU 70 %\",\"about\":\"\"},"
        "{\"id\":\"gpuscale\",\"label\":\"gpuscale\",\"about\":\"ours\"}],"
        "\"gpus\":null,\"usdPerGpuHour\":null,\"speed\":10,\"actSeconds\":40,\"startUnixS\":null,"
        "\"notes\":[\"one\",\"two\"]}");
    buf_clear(&b);
    const struct frame_row rows[] = {
        {"cpu", 100, 6.5, 0.111, 520, 26800, NAN, -1, 522, 4, 81.25, true}};
    const struct frame_file files[] = {{"report", "/tmp/a.html"}, {"log", "/tmp/b"}};
    struct frame_end e = {rows, 1, files, 2, "the first token within 2 s"};
    static const char row[] =
        "{\"table\":[{\"policy\":\"cpu\",\"gpuSeconds\":100,\"idleGpuSeconds\":6.5,"
        "\"usd\":0.111,\"p50Ms\":520,\"p95Ms\":26800,\"p99Ms\":null,\"errors\":null,"
        "\"served\":522,\"scaleEvents\":4,\"withinSloPct\":";
    static const char tail[] = "\"files\":{\"report\":\"/tmp/a.html\",\"log\":\"/tmp/b\"}}";
    char want[1024];
    assert_int_equal(frame_end_json(&b, &e), 0);
    snprintf(want, sizeof(want),
             "%s81.25,\"whole\":true}],\"slo\":\"the first token within 2 s\",%s", row, tail);
    assert_string_equal((buf_add_byte(&b, '\0'), b.p), want);
    buf_clear(&b);
    e.slo = NULL; // nobody says what the share counts: it is not told
    assert_int_equal(frame_end_json(&b, &e), 0);
    snprintf(want, sizeof(want), "%snull,\"whole\":true}],\"slo\":\"\",%s", row, tail);
    assert_string_equal((buf_add_byte(&b, '\0'), b.p), want);
}

static void a_full_buffer_and_no_memory_are_told(void **state) {
    CLEANUP_BUF struct buf b;
    buf_init(&b, 64);
    assert_int_equal(frame_json(&b, &frame_unknown), ERR_LIMIT);
    struct frame_hello h = unit_hello("r1");
    buf_clear(&b);
    assert_int_equal(frame_hello_json(&b, &h), ERR_LIMIT);
    CLEANUP_BUF struct buf c;
    buf_init(&c, 1 << 20);
    mem_fail_from(1);
    int rc = frame_json(&c, &frame_unknown);
    mem_fail_never();
    assert_int_equal(rc, ERR_NOMEM);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_known_is_null_and_never_zero),
        cmocka_unit_test(a_frame_tells_what_it_was_given),
        cmocka_unit_test(a_hello_and_an_end_tell_what_they_were_given),
        cmocka_unit_test(a_full_buffer_and_no_memory_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
