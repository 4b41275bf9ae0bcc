// SPDX-License-Identifier: Apache-2.0
/* What a person and a program are told of a decision. */
#include "lab.h"

#include <math.h>

#define LLM "engine=vllm;capacity=2"

static void sentences_word_by_word(void **state) {
    (void)state;
    struct lab l;
    lab_steady(&l, LLM ";queue=10", 4, (struct lab_group){.rate = 2.2, .running = 12});
    lab_run(&l, 1); // R 4.4 + 0.63 = 5.03
    assert_string_equal(lab_sentence(&l.r),
                        "6 replicas: requestRate 8.8/s at 2/s each needs 6; queue 0 at 10 each is "
                        "quiet; raised from 4.");
    // Fewer come: the raise stands for the window.
    struct lab_group groups[LAB_GROUPS] = {{.count = 4, .state = POD_READY, .rate = 0.3}};
    lab_pods(&l, groups);
    lab_run(&l, 99);
    assert_string_equal(lab_sentence(&l.r),
                        "6 replicas: requestRate 1.2/s at 2/s each needs 1; queue 0 at 10 each is "
                        "quiet; 1 wanted now, held at 6 by the 300 s window until 11:25:43 at the "
                        "latest.");
    // One pod's page is lost: an interval, and the pod is counted as a full one.
    groups[0].count = 3;
    groups[1] = (struct lab_group){.count = 1, .state = POD_READY, .lost = true};
    lab_pods(&l, groups);
    lab_run(&l, 60);
    assert_non_null(strstr(lab_sentence(&l.r),
                           "requestRate 0.9..2.9/s at 2/s each needs 1 to 2 (1 of 4 pods unknown); "
                           "queue 0 or more at 10 each may be breached (1 of 4 pods unknown); "));
    // All are.
    groups[0].lost = true;
    lab_pods(&l, groups);
    lab_run(&l, 41);
    assert_string_equal(lab_sentence(&l.r), "nothing known for 41 s to size by: requestRate (4 of "
                                            "4 pods unknown); the last decision was 6");
    lab_close(&l);
}

static void the_state_at_zero_is_said(void **state) {
    (void)state;
    struct lab l;
    struct lab_group none[LAB_GROUPS] = {{0}};
    lab_open(&l, LLM ";demand=gw");
    lab_pods(&l, none);
    l.demand = (struct lab_demand){.provides = 1u << DEMAND_REQUESTS_TOTAL};
    lab_run(&l, 70);
    assert_string_equal(lab_sentence(&l.r),
                        "0 replicas: demand 0/s at 2/s each needs 0; requestRate unknown; as "
                        "specified. Inactive: no demand above `activation`.");
    l.demand.lost = true;
    lab_run(&l, 40);
    assert_string_equal(lab_sentence(&l.r),
                        "0 replicas: demand unknown; requestRate unknown; at zero, and no demand "
                        "is known. So nothing here can wake the service.");
    lab_close(&l);
}

static void the_json_has_the_numbers_and_null_for_unknown(void **state) {
    (void)state;
    struct lab l;
    CLEANUP_BUF struct buf b;
    buf_init(&b, 1 << 16);
    lab_steady(&l, LLM ";queue=10", 2, (struct lab_group){.rate = 1});
    struct lab_group groups[LAB_GROUPS] = {{.count = 1, .state = POD_READY, .rate = 1},
                                           {.count = 1, .state = POD_READY, .lost = true}};
    lab_pods(&l, groups);
    lab_run(&l, 60);
    assert_int_equal(record_json(&b, &l.r), 0);
    assert_int_equal(buf_add_byte(&b, '\0'), 0);
    static const char *const parts[] = {
        "\"sequence\":60,\"state\":\"ok\",\"reason\":\"unknown\"",
        "\"specReplicas\":2,\"statusReplicas\":2,\"ready\":2,\"starting\":0,\"terminating\":0,"
        "\"asleep\":0",
        "\"want\":null,",
        ("\"missing\":[],\"notices\":[],\"signals\":[{\"signal\":\"requestRate\",\"role\":"
         "\"capacity\",\"target\":2,\"lower\":1,\"upper\":3,"),
        "{\"signal\":\"queue\",\"role\":\"guard\",\"target\":10,\"lower\":0,\"upper\":null,",
        "\"breached\":\"unknown\"",
        "\"sentence\":\"2 replicas: ",
    };
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        if (!strstr(b.p, parts[i]))
            fail_msg("no %s in %s", parts[i], b.p);
    lab_close(&l);
}

static void a_copy_of_its_size_is_the_whole_record(void **state) {
    (void)state;
    struct lab l;
    lab_steady(&l, LLM ";queue=10", 2, (struct lab_group){.rate = 1});
    lab_run(&l, 1);
    struct record *copy = mem_alloc(record_size(&l.r));
    memcpy(copy, &l.r, record_size(&l.r));
    char before[4096];
    snprintf(before, sizeof(before), "%s", lab_sentence(&l.r));
    assert_string_equal(lab_sentence(copy), before);
    assert_false(record_changed(copy, &l.r));
    assert_true(record_size(copy) < sizeof(struct record) / 2);
    lab_run(&l, 1);
    assert_false(record_changed(copy, &l.r)); // the same decision a second later
    l.spec = 1;
    lab_run(&l, 1);
    assert_true(record_changed(copy, &l.r));
    mem_free(copy);
    lab_close(&l);
}

static void a_full_buffer_is_left_as_it_was(void **state) {
    (void)state;
    struct lab l;
    lab_steady(&l, LLM ";queue=10", 2, (struct lab_group){.rate = 1});
    lab_run(&l, 1);
    for (size_t max = 1; max < 60; max++) {
        CLEANUP_BUF struct buf b;
        buf_init(&b, max);
        buf_add_byte(&b, 'x');
        assert_int_equal(record_sentence(&b, &l.r), ERR_LIMIT);
        assert_int_equal(record_json(&b, &l.r), ERR_LIMIT);
        assert_int_equal(b.len, 1);
    }
    lab_close(&l);
}

// Every reason, with every notice, of every state: said in words, and as JSON with its names.
static void every_outcome_can_be_told(void **state) {
    (void)state;
    CLEANUP_BUF struct buf b;
    buf_init(&b, 1 << 16);
    for (int reason = 0; reason <= REASON_ACTIVE; reason++)
        for (int i = 0; i < 8; i++) {
            struct record r = {.reason = (enum decision_reason)reason,
                               .state = i & 1 ? DECISION_UNAVAILABLE : DECISION_OK,
                               .activity = (enum active_reason)(i % (INACTIVE_ZERO_UNKNOWN + 1)),
                               .when = TRI_UNKNOWN,
                               .notices = i & 2 ? 0x3f : 0,
                               .spec = i & 4 ? -1 : 1,
                               .status = 2,
                               .desired = 1,
                               .missing = 1u << SIGNAL_DEMAND | 1u << SIGNAL_QUEUE,
                               .unseen_ns = 3600 * NS_PER_S,
                               .hot_pod = "a-\"pod\"",
                               .hot_signal = SIGNAL_QUEUE,
                               .signal_n = 3};
            r.signals[0] = (struct record_signal){.signal = SIGNAL_DEMAND,
                                                  .lower = 3,
                                                  .upper = INFINITY,
                                                  .need_upper = INFINITY,
                                                  .sizing = i & 1 ? SIZE_STAFFED : SIZE_TARGET,
                                                  .want_down = INT32_MAX,
                                                  .pods = 1};
            r.signals[1] = (struct record_signal){.signal = SIGNAL_QUEUE,
                                                  .role = ROLE_GUARD,
                                                  .breached = (uint8_t)(i % 3),
                                                  .gated = true,
                                                  .pods = 4,
                                                  .never = 1};
            r.signals[2] = (struct record_signal){.signal = SIGNAL_POWER,
                                                  .role = ROLE_SATURATING,
                                                  .breached = TRI_TRUE,
                                                  .lower = 1234,
                                                  .upper = 1234,
                                                  .pods = 3,
                                                  .known = 2,
                                                  .parts = 1,
                                                  .gaps = PART_NO_UID | PART_NOT_SPLIT,
                                                  .shared = 1};
            const char *sentence = lab_sentence(&r);
            assert_true(strlen(sentence) > 20);
            assert_null(strstr(sentence, "(null)"));
            assert_null(strchr(sentence, '\n'));
            buf_clear(&b);
            assert_int_equal(record_json(&b, &r), 0);
            assert_int_equal(buf_add_byte(&b, '\0'), 0);
            assert_non_null(strstr(b.p, "\"missing\":[\"queue\",\"demand\"]"));
            assert_non_null(strstr(b.p, "\"shared\":1,\"parts\":1,\"partGaps\":[\"noUid\","
                                        "\"notSplit\"],"));
            assert_non_null(strstr(b.p, "\"shared\":0,\"parts\":0,\"max\""));
            assert_true((strstr(b.p, "\"a-\\\"pod\\\"\"") != NULL) == !!(i & 2));
            assert_true((strstr(b.p, "[\"guardGated\",\"saturating\",\"hotPod\",\"hpaTolerance\","
                                     "\"zeroUnknown\",\"sharedGpu\"]") != NULL) == !!(i & 2));
        }
}

static void every_name_is_there(void **state) {
    (void)state;
    for (int i = 0; i <= REASON_ACTIVE; i++)
        assert_non_null(decision_reason_name((enum decision_reason)i));
    for (int i = 0; i <= INACTIVE_ZERO_UNKNOWN; i++)
        assert_non_null(active_reason_name((enum active_reason)i));
    assert_string_equal(trigger_role_name(ROLE_SATURATING), "saturating");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentences_word_by_word),
        cmocka_unit_test(the_state_at_zero_is_said),
        cmocka_unit_test(the_json_has_the_numbers_and_null_for_unknown),
        cmocka_unit_test(a_copy_of_its_size_is_the_whole_record),
        cmocka_unit_test(a_full_buffer_is_left_as_it_was),
        cmocka_unit_test(every_outcome_can_be_told),
        cmocka_unit_test(every_name_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
