// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include "base/clock.h"
#include "base/random.h"
#include "gpu/recording.h"

static const char sample[] = "# made by hand\r\n"
                             "time_s,gpu,state,uuid,model,utilization_pct,power_w\n"
                             "5,0,,GPU-a,\"NVIDIA \"\"H100\"\", 80GB\",35,310.5\n"
                             "5,1,ok,GPU-b,T4,0,\n"
                             "\n"
                             "6.5,0,,,,40,\n"
                             "6.5,1,lost,,,,\n"
                             "8,1,gone,,,,\n"
                             "8,0,error,,,,";

static struct recording *parse(const char *text) {
    struct recording *r = NULL;
    struct err e = {0};
    if (recording_parse(&r, str_from(text), "f.csv", &e))
        fail_msg("%s", e.msg);
    return r;
}

static void test_a_file_says_what_was_when(void **state) {
    struct recording *r = parse(sample);
    struct gpu_reading reading;
    double v;
    assert_string_equal(r->gpus[0].info.uuid, "GPU-a");
    assert_string_equal(r->gpus[0].info.model, "NVIDIA \"H100\", 80GB");
    assert_int_equal(r->gpus[1].info.index, 1);
    assert_int_equal(r->length_ns, 4500 * NS_PER_MS); // 5 s .. 8 s, and one step of 1.5 s
    assert_null(recording_at(r, 2, 0));
    recording_read(r, recording_at(r, 0, 0), &reading);
    assert_true(gpu_reading_get(&reading, GPU_UTILIZATION_PCT, &v) && v == 35);
    assert_true(gpu_reading_get(&reading, GPU_POWER_W, &v) && v == 310.5);
    recording_read(r, recording_at(r, 0, 1500 * NS_PER_MS - 1), &reading);
    assert_true(gpu_reading_get(&reading, GPU_UTILIZATION_PCT, &v) && v == 35);
    recording_read(r, recording_at(r, 0, 1500 * NS_PER_MS), &reading);
    assert_true(gpu_reading_get(&reading, GPU_UTILIZATION_PCT, &v) && v == 40);
    assert_false(gpu_reading_get(&reading, GPU_POWER_W, &v)); // an empty field is unknown, not 0
    assert_int_equal(recording_at(r, 1, 2 * NS_PER_S)->state, RECORDING_LOST);
    assert_int_equal(recording_at(r, 1, 3 * NS_PER_S)->state, RECORDING_GONE);
    assert_int_equal(recording_at(r, 0, 99 * NS_PER_S)->state, RECORDING_ERROR);
    recording_free(r);
}

static void test_a_mistake_is_told_with_its_place(void **state) {
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "f.csv:1:1: the file is empty"},
        {"# nothing\n\n", "the file is empty"},
        {"time_s,gpu\n", "there are no rows"},
        {"gpu,uuid\n", "there is no column \"time_s\""},
        {"time_s,gpu,powr_w\n", "f.csv:1:3: unknown column \"powr_w\", did you mean \"power_w\"?"},
        {"time_s,gpu,gpu\n", "f.csv:1:3: column \"gpu\" is there twice"},
        {"time_s,gpu,uuid\nx,0,G\n", "f.csv:2:1: \"x\" is not a time"},
        {"time_s,gpu,uuid\n,0,G\n", "f.csv:2:1: \"\" is not a time"},
        {"time_s,gpu,uuid\n-1,0,G\n", "not a time"},
        {"time_s,gpu,uuid\n0,256,G\n", "f.csv:2:2: \"256\" is not a whole number from 0 to 255"},
        {"time_s,gpu,uuid\n0,0,\n", "f.csv:2:1: the first row of GPU 0 needs its uuid"},
        {"time_s,gpu,uuid\n0,0,A\n1,0,B\n", "f.csv:3:1: GPU 0 was A before"},
        {"time_s,gpu,uuid\n1,0,A\n0,0,\n", "f.csv:3:1: the time 0 is before"},
        {"time_s,gpu,uuid\n0,0\n", "f.csv:2:2: the row has 2 fields, there are 3 columns"},
        {"time_s,gpu,uuid\n0,0,A,1\n", "f.csv:2:4: the row has more fields"},
        {"time_s,gpu,uuid,state\n0,0,A,well\n", "\"well\" is not a state"},
        {"time_s,gpu,uuid,power_w\n0,0,A,N/A\n", "f.csv:2:4: power_w \"N/A\" is not a number"},
        {"time_s,gpu,uuid,power_w\n0,0,A,nan\n", "power_w \"nan\" is not a number"},
        {"time_s,gpu,uuid\n0,0,\"A\n", "f.csv:2:3: the quote is not closed"},
        {"time_s,gpu,uuid\n0,0,\"A\"x\n", "f.csv:2:3: after a field comes a comma"},
        {"time_s,gpu,uuid\n0,0,\xff\n", "f.csv:2:3: the text is not UTF-8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct recording *r = NULL;
        struct err e = {0};
        int code = recording_parse(&r, str_from(cases[i].text), "f.csv", &e);
        if (code != ERR_PARSE || !strstr(e.msg, cases[i].says))
            fail_msg("case %zu: %d \"%s\", wanted \"%s\"", i, code, e.msg, cases[i].says);
        assert_null(r);
    }
}

static void test_no_memory_is_an_error_at_every_allocation(void **state) {
    struct recording *r = NULL;
    for (long n = 1;; n++) {
        struct err e = {0};
        mem_fail_from(n);
        int code = recording_parse(&r, str_from(sample), "f.csv", &e);
        mem_fail_never();
        if (code == 0)
            break;
        assert_int_equal(code, ERR_NOMEM);
        assert_null(r);
        assert_true(n < 100);
    }
    recording_free(r);
}

static void test_cut_anywhere_it_is_parsed_or_refused(void **state) {
    for (size_t n = 0; n <= strlen(sample); n++) {
        struct recording *r = NULL;
        struct err e = {0};
        char *copy = malloc(n ? n : 1); // so that a sanitizer sees reads beyond the end
        memcpy(copy, sample, n);
        if (recording_parse(&r, (struct str){copy, n}, "f.csv", &e) == 0)
            recording_free(r);
        else
            assert_non_null(strstr(e.msg, "f.csv:"));
        free(copy);
    }
}

static void test_what_is_written_is_read_back(void **state) {
    struct random rnd;
    struct buf b;
    struct gpu_info info = {.model = "a \"b\", c",
                            .pci_bus_id = "0:1",
                            .index = 3,
                            .memory_total_bytes = 5,
                            .parent_uuid = "GPU-p",
                            .gpu_instance_id = 7,
                            .mig_profile = "1g.10gb"};
    struct gpu_reading wrote[200];
    enum recording_state states[200];
    random_init(&rnd, unit_seed());
    buf_init(&b, 1 << 20);
    assert_int_equal(recording_write_head(&b), 0);
    for (unsigned i = 0; i < 200; i++) {
        uint32_t gpu = i % 2;
        snprintf(info.uuid, sizeof info.uuid, "MIG-%u", gpu);
        states[i] = (enum recording_state)random_below(&rnd, 4);
        wrote[i].valid = 0;
        for (unsigned k = 0; k < GPU_VALUE_MAX; k++)
            if (random_below(&rnd, 3))
                gpu_reading_set(&wrote[i], (enum gpu_value)k, random_normal(&rnd) * 1e9);
        assert_int_equal(recording_write_row(&b, i * NS_PER_S / 7, gpu, states[i],
                                             i < 2 ? &info : NULL, &wrote[i]),
                         0);
    }
    buf_add_byte(&b, 0);
    struct recording *r = parse(b.p);
    assert_string_equal(r->gpus[1].info.model, "a \"b\", c");
    assert_string_equal(r->gpus[1].info.mig_profile, "1g.10gb");
    assert_int_equal(r->gpus[1].info.index, 3);
    for (unsigned i = 0; i < 200; i++) {
        const struct recording_row *row = recording_at(r, i % 2, i * NS_PER_S / 7);
        struct gpu_reading got;
        assert_int_equal(row->state, states[i]);
        if (states[i] != RECORDING_OK)
            continue;
        recording_read(r, row, &got);
        assert_int_equal(got.valid, wrote[i].valid);
        for (unsigned k = 0; k < GPU_VALUE_MAX; k++)
            if (got.valid >> k & 1)
                assert_true(got.v[k] == wrote[i].v[k]); // to the last bit
    }
    recording_free(r);
    buf_done(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_file_says_what_was_when),
        cmocka_unit_test(test_a_mistake_is_told_with_its_place),
        cmocka_unit_test(test_no_memory_is_an_error_at_every_allocation),
        cmocka_unit_test(test_cut_anywhere_it_is_parsed_or_refused),
        cmocka_unit_test(test_what_is_written_is_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
