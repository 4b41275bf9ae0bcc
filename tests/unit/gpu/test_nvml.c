// SPDX-License-Identifier: Apache-2.0
#include "nvml_fixture.h"

#include "base/mem.h"
#include "base/random.h"

static void refuses(const char *spec, int code, const char *says) {
    struct gpu_source s = {0};
    struct err e = {0};
    int r = gpu_source_open(str_from(spec), &s, &e);
    if (r != code || !strstr(e.msg, says))
        fail_msg("%s: code %d, message \"%s\", wanted %d, \"%s\"", spec, r, e.msg, code, says);
}

static void test_wrong_words_are_told_with_what_is_allowed(void **state) {
    refuses("nvml:libary=/x", ERR_INVALID, "did you mean \"library\"");
    refuses("nvml:pci", ERR_INVALID, "did you mean \"pcie\"");
    refuses("nvml:0", ERR_INVALID, "there are library=PATH and pcie");
    refuses("nvml:library=", ERR_INVALID, "absolute path");
    refuses("nvml:library=libnvidia-ml.so.1", ERR_INVALID, "absolute path");
    refuses("nvml:pcie=1", ERR_INVALID, "unknown word \"pcie=1\"");
    refuses("nvml:library=/no/such.so", ERR_NOTFOUND, "GPU source nvml: ");
    refuses("nvml:pcie,library=/no/such.so", ERR_NOTFOUND, "/no/such.so");
}

static void test_an_nvml_that_does_not_start_says_why_and_what_to_do(void **state) {
    static const struct {
        const char *script;
        int code;
        const char *says, *remedy;
    } cases[] = {
        {"every 9", ERR_UNAVAILABLE, "nvmlInit_v2: NVML_ERROR_DRIVER_NOT_LOADED (9)",
         "kernel module is not loaded"},
        {"every 18", ERR_UNAVAILABLE, "NVML_ERROR_LIB_RM_VERSION_MISMATCH (18)",
         "upgraded under a running container"},
        {"every 4", ERR_UNAVAILABLE, "NVML_ERROR_NO_PERMISSION (4)", "runtimeClassName nvidia"},
        {"every 999", ERR_UNAVAILABLE, "NVML_ERROR_UNKNOWN (999)", "daemon-reload"},
        {"every 4242", ERR_UNAVAILABLE, "an NVML error (4242)", ""},
        {GPU(0) "open=!4\n" GPU(1) "open=!4", ERR_UNAVAILABLE, "none of 2 GPUs can be opened",
         "runtimeClassName nvidia"},
        {GPU(0) "open=!15", ERR_UNAVAILABLE, "none of 1 GPUs can be opened", "GPU_IS_LOST"},
        {"driver 550.54.15", ERR_NOTFOUND, "driver 550.54.15 works and shows no GPU",
         "NVIDIA_VISIBLE_DEVICES"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct fake f;
        struct err e = {0};
        fake_load(&f, "580", cases[i].script);
        int r = fake_open_source(&f, "", &e);
        if (r != cases[i].code || !strstr(e.msg, cases[i].says) || !strstr(e.msg, cases[i].remedy))
            fail_msg("\"%s\": %d, \"%s\"", cases[i].script, r, e.msg);
        assert_null(strstr(e.msg, "...")); // it fits
        fake_close(&f);
    }
}

static void test_it_says_what_was_opened(void **state) {
    struct fake f;
    char text[512];
    fake_open(&f, "580", "driver 570.1\n" GPU(0) "power=1", "");
    f.source.ops->describe(f.source.state, text, sizeof text);
    assert_non_null(strstr(text, "NVML: 1 GPU, driver 570.1, /"));
    assert_non_null(strstr(text, "libnvidia-ml.so.1"));
    fake_close(&f);
    fake_open(&f, "580",
              "gpu 0 uuid=GPU-0 mig=1 name=X\nmig 0 0 uuid=MIG-a gi=1 ci=0 used=1 free=1 total=2\n",
              "");
    f.source.ops->describe(f.source.state, text, sizeof text);
    assert_non_null(strstr(text, "1 GPU, 1 MIG instance,"));
    fake_close(&f);
}

static void test_a_slot_that_is_not_listed_is_refused(void **state) {
    struct fake f;
    struct gpu_reading r;
    enum gpu_sample_result result;
    fake_open(&f, "580", GPU(0) "power=1", "");
    assert_int_equal(fake_try(&f, 1, &r, &result, NULL), ERR_NOTFOUND);
    assert_int_equal(fake_try(&f, UINT32_MAX, &r, &result, NULL), ERR_NOTFOUND);
    fake_close(&f);
}

static void test_too_many_gpus_for_the_callers_list_is_an_error(void **state) {
    struct fake f;
    struct err e = {0};
    size_t n;
    fake_open(&f, "580", GPU(0) "power=1\n" GPU(1) "power=1", "");
    assert_int_equal(f.source.ops->enumerate(f.source.state, 0, f.devices, 1, &n, &e), ERR_LIMIT);
    fake_close(&f);
}

// Rounds as the sampler makes them: enumerate every ten seconds and after a failure, then sample.
// The time in ms until the source failed for good; -1: it did not within `ms`.
static int64_t until_closed(struct fake *f, int64_t ms, int64_t step_ms, struct err *e) {
    int64_t enumerated_ms = f->ms;
    for (int64_t t = 0; t <= ms; t += step_ms) {
        bool closed = false;
        if (f->ms - enumerated_ms >= 10000) {
            size_t n;
            int r = f->source.ops->enumerate(f->source.state, f->ms * NS_PER_MS, f->devices, 256,
                                             &n, e);
            if (r == 0) {
                f->n = n;
                enumerated_ms = f->ms;
            }
            closed = r == ERR_CLOSED;
        }
        for (size_t i = 0; i < f->n && !closed; i++) {
            struct gpu_reading r;
            enum gpu_sample_result result;
            closed = fake_try(f, f->devices[i].slot, &r, &result, e) == ERR_CLOSED;
        }
        if (closed)
            return t;
        fake_pass(f, step_ms);
    }
    return -1;
}

static void test_999_for_ever_ends_the_source_with_the_remedy(void **state) {
    static const struct {
        const char *script;
        int64_t from_ms, to_ms;
    } cases[] = {
        {"every 999", 9000, 12000},
        // handles and UUIDs come from memory, values do not
        {GPU(0) "util=!999 used=!999 power=!999 limit=!999 energy=!999 temp=!999 memtemp=!999 "
                "smclock=!999 memclock=!999 reasons=!999 eccc=!999 eccu=!999 enc=!999 dec=!999 "
                "compute=!999",
         9000, 12000},
        // the enumeration, every ten seconds, is the first to notice
        {GPU(0) "open=!999", 9000, 21000},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct fake f;
        struct gpu_reading r;
        struct err e = {0};
        fake_open(&f, "580", GPU(0) GPU_VALUES, "");
        fake_round(&f, 0, &r);
        fake_script(&f, cases[i].script);
        int64_t took = until_closed(&f, 60000, 1000, &e);
        if (took < cases[i].from_ms || took > cases[i].to_ms)
            fail_msg("case %zu: closed after %lld ms: %s", i, (long long)took, e.msg);
        assert_non_null(strstr(e.msg, "no NVML call was answered for 1"));
        assert_non_null(strstr(e.msg, "NVML_ERROR_UNKNOWN (999)"));
        assert_non_null(strstr(e.msg, "daemon-reload"));
        assert_non_null(strstr(e.msg, "restarted"));
        assert_null(strstr(e.msg, "..."));
        fake_close(&f);
    }
}

static void test_it_takes_time_and_rounds_to_be_for_good(void **state) {
    struct fake f;
    struct gpu_reading r;
    struct err e = {0};
    fake_open(&f, "580", GPU(0) GPU_VALUES, "");
    fake_round(&f, 0, &r);
    fake_script(&f, "every 999\nat 8s\nevery 0\n" GPU(0) GPU_VALUES); // eight bad seconds
    assert_int_equal(until_closed(&f, 60000, 100, &e), -1);
    fake_script(&f, "every 999"); // rounds a minute apart: not two of them
    int64_t took = until_closed(&f, 600000, 60000, &e);
    assert_int_equal(took, 180000); // the third that is judged
    fake_close(&f);
}

static void test_one_gpu_that_answers_keeps_the_source_open(void **state) {
    struct fake f;
    struct gpu_reading r;
    struct err e = {0};
    fake_open(&f, "580", GPU(0) GPU_VALUES "\n" GPU(1) GPU_VALUES, "");
    fake_round(&f, 0, &r);
    fake_script(&f, GPU(0) "all=!999\n" GPU(1) GPU_VALUES);
    assert_int_equal(until_closed(&f, 120000, 1000, &e), -1);
    fake_close(&f);
}

static void test_lost_gpus_are_no_reason_to_end(void **state) {
    struct fake f;
    struct gpu_reading r;
    struct err e = {0};
    fake_open(&f, "580", GPU(0) GPU_VALUES, "");
    fake_round(&f, 0, &r);
    fake_script(&f, GPU(0) "all=!15");
    assert_int_equal(until_closed(&f, 120000, 1000, &e), -1);
    assert_int_equal(f.n, 1);
    fake_close(&f);
}

static void test_a_gpu_that_may_not_be_opened_does_not_end_the_others(void **state) {
    static const char *const scripts[] = {
        GPU(0) "open=!4\n" GPU(1),              // the other one supports nothing
        GPU(0) "open=!4\n" GPU(1) "open=!15",   // or is lost
        GPU(0) "open=!999\n" GPU(1) GPU_VALUES, // or is well
    };
    for (size_t i = 0; i < COUNT_OF(scripts); i++) {
        struct fake f;
        struct gpu_reading r;
        struct err e = {0};
        fake_open(&f, "580", GPU(0) "open=!4\n" GPU(1) GPU_VALUES, "");
        fake_round(&f, 1, &r);
        fake_script(&f, scripts[i]);
        assert_int_equal(until_closed(&f, 200000, 1000, &e), -1);
        fake_close(&f);
    }
}

static void test_a_driver_upgraded_underneath_ends_the_source_at_once(void **state) {
    struct fake f;
    struct gpu_reading r;
    struct err e = {0};
    fake_open(&f, "580", GPU(0) GPU_VALUES, "");
    fake_round(&f, 0, &r);
    fake_script(&f, "every 18");
    int64_t took = until_closed(&f, 60000, 1000, &e);
    assert_true(took >= 0 && took <= 2000);
    assert_non_null(strstr(e.msg, "upgraded under a running container"));
    fake_close(&f);
}

#define EVENTS_AND_GPM " events=1 gpm=1 sm=5\n"

// Seconds of rounds, an enumeration every ten: how often GPU 0 had no activity, which is what a
// restart costs it.
static unsigned restarts_in(struct fake *f, int seconds, struct gpu_reading *r) {
    unsigned gaps = 0;
    for (int i = 0; i < seconds; i++) {
        if (i % 10 == 0)
            fake_enumerate(f);
        assert_true(fake_round(f, 0, r));
        gaps += !(r->valid >> GPU_SM_ACTIVE_RATIO & 1);
    }
    return gaps;
}

static void test_while_a_gpu_is_lost_the_library_is_started_again_now_and_then(void **state) {
    const char *well = GPU(0) GPU_VALUES EVENTS_AND_GPM GPU(1) GPU_VALUES " events=1";
    const char *lost = GPU(0) GPU_VALUES EVENTS_AND_GPM GPU(1) "all=!15\nat 1s\nxid 0 48";
    struct fake f;
    struct gpu_reading r;
    fake_open(&f, "580", well, "");
    fake_round(&f, 0, &r);
    fake_round(&f, 0, &r);
    fake_script(&f, lost);
    fake_round(&f, 0, &r);
    assert_int_equal(restarts_in(&f, 90, &r), 3); // after 10, 30 and 70 s
    KNOWN(r, GPU_XID_LAST, 48);                   // remembered through them
    fake_script(&f, well);
    fake_enumerate(&f);
    assert_true(fake_round(&f, 1, &r));
    KNOWN(r, GPU_UTILIZATION_PCT, 50);
    fake_round(&f, 0, &r);
    assert_int_equal(restarts_in(&f, 700, &r), 0); // all is well
    fake_script(&f, lost);
    fake_round(&f, 0, &r);
    assert_int_equal(restarts_in(&f, 35, &r), 2); // and it begins anew
    fake_close(&f);
}

static void test_a_library_that_does_not_start_again_is_tried_until_it_is_for_good(void **state) {
    struct fake f;
    struct gpu_reading r;
    struct err e = {0};
    fake_open(&f, "580", GPU(0) GPU_VALUES "\n" GPU(1) GPU_VALUES, "");
    fake_round(&f, 0, &r);
    // GPU 1 is lost; when the library is started again the driver is gone for 15 s.
    fake_script(&f, GPU(0) GPU_VALUES "\n" GPU(1) "all=!15\nat 9500ms\nevery 9\nat 25s\nevery 0\n");
    assert_int_equal(until_closed(&f, 8000, 1000, &e), -1);
    int64_t took = until_closed(&f, 100000, 1000, &e);
    if (took < 0)
        fail_msg("it went on: %s", e.msg);
    assert_non_null(strstr(e.msg, "NVML_ERROR_DRIVER_NOT_LOADED"));
    fake_close(&f);
}

// A script of GPUs and instances that say and refuse anything.
static void write_anything(char *dst, size_t cap, struct random *rng) {
    static const char *const keys[] = {
        "util",    "used",    "free",    "power", "limit",   "energy",   "temp",
        "memtemp", "smclock", "reasons", "eccc",  "compute", "graphics", "gpm",
        "sm",      "gr",      "events",  "name",  "pci",     "gi",       "ci",
        "open",    "all",     "v2",      "tempv", "mig",     "fieldtype"};
    static const char *const values[] = {"0",    "1",    "50",  "nan", "1e30", "-",   "!3",
                                         "!999", "!15",  "!2",  "!6",  "!4",   "!13", "x_y",
                                         "7,8",  "1-90", "!16", "!10", "!28",  "3"};
    size_t n = 0;
    dst[0] = 0;
    if (random_below(rng, 30) == 0)
        n += (size_t)snprintf(dst, cap, "every 999\n");
    for (unsigned g = 0; g < 3; g++) {
        if (random_below(rng, 8) == 0)
            continue;
        unsigned migs = random_below(rng, 2) ? 3 : 0;
        for (unsigned i = 0; i <= migs; i++) {
            if (i == 0)
                n += (size_t)snprintf(dst + n, cap - n, "gpu %u uuid=GPU-%u name=X mig=%d", g, g,
                                      migs > 0);
            else if (random_below(rng, 3) == 0)
                continue;
            else
                n += (size_t)snprintf(dst + n, cap - n, "mig %u %u uuid=MIG-%u-%u gi=%u ci=0", g, i,
                                      g, i, i);
            n += (size_t)snprintf(dst + n, cap - n, " %s", GPU_VALUES);
            for (unsigned k = (unsigned)random_below(rng, 6); k > 0; k--)
                n += (size_t)snprintf(dst + n, cap - n, " %s=%s",
                                      keys[random_below(rng, COUNT_OF(keys))],
                                      values[random_below(rng, COUNT_OF(values))]);
            n += (size_t)snprintf(dst + n, cap - n, "\n");
        }
        if (random_below(rng, 5) == 0)
            n += (size_t)snprintf(dst + n, cap - n, "xid %u %u\n", g,
                                  (unsigned)random_below(rng, 99));
    }
}

static void check_list(const struct fake *f) {
    for (size_t i = 0; i < f->n; i++)
        for (size_t k = 0; k < i; k++) {
            assert_true(f->devices[i].slot != f->devices[k].slot);
            assert_string_not_equal(f->devices[i].info.uuid, f->devices[k].info.uuid);
        }
}

static void test_whatever_the_library_says_its_rules_are_kept(void **state) {
    struct random rng;
    struct fake f;
    char script[8192];
    unsigned long readings = 0;
    random_init(&rng, unit_seed());
    fake_open(&f, "580", GPU(0) GPU_VALUES, "");
    for (int round = 0; round < 4000; round++) {
        struct err e = {0};
        if (random_below(&rng, 3) == 0) {
            write_anything(script, sizeof script, &rng);
            fake_script(&f, script);
        }
        fake_pass(&f, (int64_t)random_below(&rng, 12000));
        if (random_below(&rng, 2)) {
            size_t n;
            if (f.source.ops->enumerate(f.source.state, f.ms * NS_PER_MS, f.devices, 256, &n, &e) ==
                0)
                f.n = n;
            check_list(&f);
        }
        for (size_t i = 0; i < f.n; i++) {
            struct gpu_reading r;
            enum gpu_sample_result result = GPU_SAMPLE_OK;
            const struct gpu_info *info = &f.devices[i].info;
            int code = fake_try(&f, f.devices[i].slot, &r, &result, &e);
            if (code == ERR_CLOSED) { // for good: another source
                gpu_source_close(&f.source);
                fake_script(&f, GPU(0) GPU_VALUES);
                assert_int_equal(fake_open_source(&f, "", &e), 0);
                fake_enumerate(&f);
                break;
            }
            if (code || result == GPU_SAMPLE_LOST)
                continue;
            readings++;
            if (info->parent_uuid[0]) {
                UNKNOWN(r, GPU_UTILIZATION_PCT);
                UNKNOWN(r, GPU_POWER_W);
            }
        }
    }
    assert_true(readings > 1000);
    fake_close(&f); // and no call was against the rules
}

static void test_no_memory_is_an_error_and_nothing_leaks(void **state) {
    for (long n = 1; n < 50; n++) {
        struct fake f;
        struct err e = {0};
        fake_load(&f, "580", GPU(0) GPU_VALUES " compute=1-500 graphics=0 mps=0 gpm=1 sm=5");
        mem_fail_from(n);
        int r = fake_open_source(&f, "", &e);
        mem_fail_never();
        if (r == 0) {
            struct gpu_reading reading;
            fake_enumerate(&f);
            mem_fail_from(1);
            assert_true(fake_round(&f, 0, &reading)); // the count of processes needs memory
            mem_fail_never();
            UNKNOWN(reading, GPU_PROCESSES);
            KNOWN(reading, GPU_UTILIZATION_PCT, 50);
            fake_round(&f, 0, &reading);
            KNOWN(reading, GPU_PROCESSES, 500);
            fake_close(&f);
            assert_true(n > 3);
            return;
        }
        assert_int_equal(r, ERR_NOMEM);
        fake_close(&f);
    }
    fail_msg("it never opened");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_words_are_told_with_what_is_allowed),
        cmocka_unit_test(test_an_nvml_that_does_not_start_says_why_and_what_to_do),
        cmocka_unit_test(test_it_says_what_was_opened),
        cmocka_unit_test(test_a_slot_that_is_not_listed_is_refused),
        cmocka_unit_test(test_too_many_gpus_for_the_callers_list_is_an_error),
        cmocka_unit_test(test_999_for_ever_ends_the_source_with_the_remedy),
        cmocka_unit_test(test_it_takes_time_and_rounds_to_be_for_good),
        cmocka_unit_test(test_one_gpu_that_answers_keeps_the_source_open),
        cmocka_unit_test(test_lost_gpus_are_no_reason_to_end),
        cmocka_unit_test(test_a_gpu_that_may_not_be_opened_does_not_end_the_others),
        cmocka_unit_test(test_a_driver_upgraded_underneath_ends_the_source_at_once),
        cmocka_unit_test(test_while_a_gpu_is_lost_the_library_is_started_again_now_and_then),
        cmocka_unit_test(test_a_library_that_does_not_start_again_is_tried_until_it_is_for_good),
        cmocka_unit_test(test_whatever_the_library_says_its_rules_are_kept),
        cmocka_unit_test(test_no_memory_is_an_error_and_nothing_leaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
