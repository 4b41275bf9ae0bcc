// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include "../podres/list_unit.h"
#include "agent/owners.h"

#define GPU "GPU-3b9f6c1e-5f0a-4a51-9d2e-1c4f8a7b0e10"

static void read_list(struct list_unit *l, struct podres_answer *a) {
    struct err e = {0};
    assert_int_equal(podres_answer_read(a, &l->m, &e), 0);
}

static void test_what_the_kubelet_says_is_kept(void **state) {
    struct list_unit l;
    struct podres_answer a;
    struct agent_owners o;
    struct err e = {0};
    list_init(&l);
    V1__ContainerResources *c = list_container(&l, "vllm-0");
    list_devices(&l, c, "nvidia.com/gpu", GPU "::3");
    list_claim(&l, c, "gpu.nvidia.com", "node-a", "gpu-1", "s1");
    read_list(&l, &a);
    assert_int_equal(agent_owners_from(&o, &a, &e), 0);
    podres_answer_done(&a);
    list_done(&l); // nothing of it is borrowed
    assert_true(o.known && !o.doubt);
    assert_int_equal(o.list.n, 1);
    assert_string_equal(o.list.items[0].device.gpu, GPU);
    assert_string_equal(o.list.items[0].owner.namespace_, "ml");
    assert_string_equal(o.list.items[0].owner.pod, "vllm-0");
    assert_string_equal(o.list.items[0].owner.container, "main");
    assert_string_equal(o.list.items[0].owner.replica, "3");
    assert_int_equal(o.claimed.n, 1);
    assert_string_equal(o.claimed.items[0].driver, "gpu.nvidia.com");
    assert_string_equal(o.claimed.items[0].pool, "node-a");
    assert_string_equal(o.claimed.items[0].device, "gpu-1");
    assert_string_equal(o.claimed.items[0].share, "s1");
    assert_string_equal(o.claimed.items[0].owner.pod, "vllm-0");
    agent_owners_done(&o);
}

static void test_a_claim_without_names_is_a_doubt(void **state) {
    struct list_unit l;
    struct podres_answer a;
    struct agent_owners o;
    struct err e = {0};
    list_init(&l);
    list_claim(&l, list_container(&l, "old-0"), NULL, NULL, NULL, NULL);
    read_list(&l, &a);
    assert_int_equal(agent_owners_from(&o, &a, &e), 0);
    assert_true(o.known && o.doubt);
    podres_answer_done(&a);
    agent_owners_done(&o);
    list_done(&l);
}

static void test_no_memory_leaves_nothing_behind(void **state) {
    struct list_unit l;
    struct podres_answer a;
    struct agent_owners o = {.doubt = true};
    struct err e = {0};
    list_init(&l);
    V1__ContainerResources *c = list_container(&l, "vllm-0");
    list_devices(&l, c, "nvidia.com/gpu", GPU);
    list_claim(&l, c, "gpu.nvidia.com", "node-a", "gpu-1", NULL);
    read_list(&l, &a);
    for (long n = 1; n <= 2; n++) {
        mem_fail_from(n);
        assert_int_equal(agent_owners_from(&o, &a, &e), ERR_NOMEM);
        mem_fail_never();
        assert_true(o.doubt);
    }
    podres_answer_done(&a);
    list_done(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_the_kubelet_says_is_kept),
        cmocka_unit_test(test_a_claim_without_names_is_a_doubt),
        cmocka_unit_test(test_no_memory_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
