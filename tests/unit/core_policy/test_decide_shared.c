// SPDX-License-Identifier: Apache-2.0
/* Decisions on GPUs that several pods share. */
#include "lab.h"

#include <math.h>

static void pods_that_share_a_gpu_are_told(void **state) {
    (void)state;
    struct lab l;
    lab_steady(&l, "gpuUtilization=55", 2, (struct lab_group){.gpu_pct = 99});
    struct signal_owner both[] = {{STR("shop"), STR("pod-0")}, {STR("shop"), STR("pod-1")}};
    assert_int_equal(signal_gpu_set_owners(l.join, l.pods[0].gpu, true, both, 2), 0);
    assert_int_equal(signal_gpu_set_owners(l.join, l.pods[1].gpu, true, NULL, 0), 0);
    assert_int_equal(trigger_gpu_signals(l.t), 1u << SIGNAL_GPU_UTILIZATION);
    lab_run(&l, 32);
    assert_int_equal(l.r.desired, 2); // 99 % of one GPU is not 198 % of two
    assert_true(l.r.notices & NOTICE_SHARED_GPU);
    assert_int_equal(l.r.state, DECISION_UNAVAILABLE);
    assert_non_null(strstr(lab_sentence(&l.r), "gpuUtilization (2 of 2 pods unknown, 2 on shared "
                                               "GPUs)"));
    assert_non_null(strstr(lab_sentence(&l.r), "GPUs shared by several pods tell nothing about one "
                                               "of them: what each pod's processes use is not "
                                               "told"));
    lab_close(&l);
}

static void parts_of_shared_gpus_size_and_are_told(void **state) {
    (void)state;
    struct lab l;
    lab_steady(&l, "gpuUtilization=55", 2, (struct lab_group){.gpu_pct = 99});
    struct signal_owner both[] = {{STR("shop"), STR("pod-0")}, {STR("shop"), STR("pod-1")}};
    struct gpu_share shares[] = {{"uid-0", .has_utilization = true, .utilization_pct = 90},
                                 {"uid-1", .has_utilization = true, .utilization_pct = 9}};
    assert_int_equal(signal_gpu_set_owners(l.join, l.pods[0].gpu, true, both, 2), 0);
    assert_int_equal(signal_gpu_set_owners(l.join, l.pods[1].gpu, true, NULL, 0), 0);
    assert_int_equal(signal_gpu_set_shares(l.pods[0].gpu, true, shares, 2), 0);
    for (int i = 0; i < 2; i++) {
        struct signal_pod_gpus *p;
        assert_int_equal(signal_join_pod_get(l.join, both[i].namespace_, both[i].pod, &p), 0);
        signal_join_pod_set_uid(p, str_from(shares[i].pod_uid));
        signal_join_pod_release(l.join, p);
    }
    lab_run(&l, 400);
    assert_int_equal(l.r.state, DECISION_OK);
    assert_false(l.r.notices & NOTICE_SHARED_GPU);
    assert_int_equal(l.r.signals[0].parts, 2);
    assert_true(fabs(l.r.signals[0].lower - 99) < 1 && fabs(l.r.signals[0].upper - 99) < 1);
    assert_int_equal(l.r.desired, 2); // 99 % at 55 %: of one GPU, counted once
    assert_non_null(strstr(lab_sentence(&l.r), "(2 of 2 pods by their own part of shared GPUs)"));
    lab_close(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pods_that_share_a_gpu_are_told),
        cmocka_unit_test(parts_of_shared_gpus_size_and_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
