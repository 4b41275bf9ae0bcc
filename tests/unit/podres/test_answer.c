// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include "base/limits.h"
#include "list_unit.h"

#define GPU "GPU-3b9f6c1e-5f0a-4a51-9d2e-1c4f8a7b0e10"

static int setup(void **state) {
    struct list_unit *l = calloc(1, sizeof *l);
    list_init(l);
    *state = l;
    return 0;
}

static int teardown(void **state) {
    list_done(*state);
    free(*state);
    return 0;
}

static void test_gpus_are_found_among_all_devices(void **state) {
    struct list_unit *l = *state;
    struct podres_answer a;
    struct err e = {0};
    list_container(l, "web-0");
    V1__ContainerResources *c = list_container(l, "vllm-0");
    list_devices(l, c, "rdma/hca", "2");
    list_devices(l, c, "nvidia.com/gpu", GPU);
    list_devices(l, c, "nvidia.com/gpu", "1::2");
    assert_int_equal(podres_answer_read(&a, &l->m, &e), 0);
    assert_int_equal(a.pods, 2);
    assert_int_equal(a.holders.n, 2);
    assert_string_equal(a.holders.items[0].namespace_, "ml");
    assert_string_equal(a.holders.items[0].pod, "vllm-0");
    assert_string_equal(a.holders.items[0].container, "main");
    assert_string_equal(a.holders.items[0].device.gpu, GPU);
    assert_string_equal(a.holders.items[0].device.replica, "");
    assert_string_equal(a.holders.items[1].device.gpu, "1");
    assert_string_equal(a.holders.items[1].device.replica, "2");
    assert_int_equal(a.claimed.n + a.unnamed, 0);
    podres_answer_done(&a);
}

static void test_claims_of_gpu_drivers_are_kept_by_name(void **state) {
    struct list_unit *l = *state;
    struct podres_answer a;
    struct err e = {0};
    V1__ContainerResources *c = list_container(l, "vllm-0");
    list_claim(l, c, "dra.net", "node-a", "eth1", NULL);
    list_claim(l, c, "gpu.nvidia.com", "node-a", "gpu-1", NULL);
    list_claim(l, c, "gpu.nvidia.com", "node-a", "gpu-0-mig-1g10gb-19-0", "5b0f2a52");
    assert_int_equal(podres_answer_read(&a, &l->m, &e), 0);
    assert_int_equal(a.claimed.n, 2);
    assert_string_equal(a.claimed.items[0].driver, "gpu.nvidia.com");
    assert_string_equal(a.claimed.items[0].pool, "node-a");
    assert_string_equal(a.claimed.items[0].device, "gpu-1");
    assert_string_equal(a.claimed.items[0].share, "");
    assert_string_equal(a.claimed.items[1].share, "5b0f2a52");
    assert_string_equal(a.claimed.items[1].pod, "vllm-0");
    assert_int_equal(a.unnamed, 0);
    podres_answer_done(&a);
}

// Such a device may be any GPU.
static void test_claims_without_names_are_counted(void **state) {
    struct list_unit *l = *state;
    struct podres_answer a;
    struct err e = {0};
    V1__ContainerResources *c = list_container(l, "old-0");
    list_claim(l, c, NULL, NULL, NULL, NULL);
    list_claim(l, c, "", "", "", NULL);
    list_claim(l, c, "gpu.nvidia.com", "node-a", "", NULL);
    list_claim(l, c, "gpu.nvidia.com", NULL, "gpu-0", NULL);
    list_claim(l, c, "dra.net", "node-a", NULL, NULL);
    assert_int_equal(podres_answer_read(&a, &l->m, &e), 0);
    assert_int_equal(a.claimed.n, 0);
    assert_int_equal(a.unnamed, 4);
    podres_answer_done(&a);
}

static void test_names_that_no_kubelet_tells_are_refused(void **state) {
    struct podres_answer a = {.pods = 77};
    struct err e = {0};
    char long_name[300];
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = 0;
    const char *bad[] = {"", "a b", "a\nb", "a\177", long_name};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        for (int which = 0; which < 5; which++) {
            struct list_unit l;
            list_init(&l);
            V1__ContainerResources *c = list_container(&l, "vllm-0");
            char *text = arena_strdup(&l.arena, str_from(bad[i]));
            V1__ClaimResource *claim = list_claim(&l, c, "gpu.nvidia.com", "pool", "gpu-0", "s");
            char **fields[] = {&l.m.pod_resources[0]->name, &l.m.pod_resources[0]->namespace_,
                               &c->name, &claim->device_name, &claim->share_id};
            *fields[which] = text;
            bool fine = bad[i][0] == 0 && which >= 2; // a container, a share: may be without
            int r = podres_answer_read(&a, &l.m, &e);
            assert_int_equal(r, fine ? 0 : ERR_PROTO);
            if (fine)
                podres_answer_done(&a);
            else
                assert_true(e.msg[0]);
            a = (struct podres_answer){.pods = 77};
            list_done(&l);
        }
    }
    struct list_unit *l = *state; // and names that are not there at all
    list_container(l, "vllm-0");
    l->m.pod_resources[0]->name = NULL;
    assert_int_equal(podres_answer_read(&a, &l->m, &e), ERR_PROTO);
    assert_int_equal(a.pods, 77);
}

static void test_more_gpus_than_a_node_has_are_refused(void **state) {
    struct list_unit *l = *state;
    struct podres_answer a;
    struct err e = {0};
    V1__ContainerDevices *d = list_devices(l, list_container(l, "p"), "nvidia.com/gpu", "0");
    while (d->n_device_ids <= LIMIT_PODRES_HOLDERS)
        LIST_ADD(l, d->device_ids, d->n_device_ids, d->device_ids[0]);
    assert_int_equal(podres_answer_read(&a, &l->m, &e), ERR_LIMIT);
    assert_string_equal(e.msg, "the kubelet lists more than 16384 GPUs in use");
    d->n_device_ids--;
    assert_int_equal(podres_answer_read(&a, &l->m, &e), 0);
    podres_answer_done(&a);
    V1__ContainerResources *c = list_container(l, "q");
    for (int i = 0; i <= LIMIT_CLAIMED_DEVICES; i++) {
        V1__DynamicResource *claims;
        if (i == 0)
            list_claim(l, c, "gpu.nvidia.com", "pool", "gpu-0", NULL);
        claims = c->dynamic_resources[0];
        if (i > 0)
            LIST_ADD(l, claims->claim_resources, claims->n_claim_resources,
                     claims->claim_resources[0]);
    }
    assert_int_equal(podres_answer_read(&a, &l->m, &e), ERR_LIMIT);
}

static void test_no_memory_is_told(void **state) {
    struct list_unit *l = *state;
    struct podres_answer a;
    struct err e = {0};
    V1__ContainerResources *c = list_container(l, "vllm-0");
    list_devices(l, c, "nvidia.com/gpu", GPU);
    list_claim(l, c, "gpu.nvidia.com", "node-a", "gpu-1", NULL);
    for (long n = 1; n <= 2; n++) {
        mem_fail_from(n);
        assert_int_equal(podres_answer_read(&a, &l->m, &e), ERR_NOMEM);
        mem_fail_never();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_gpus_are_found_among_all_devices, setup, teardown),
        cmocka_unit_test_setup_teardown(test_claims_of_gpu_drivers_are_kept_by_name, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_claims_without_names_are_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names_that_no_kubelet_tells_are_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_more_gpus_than_a_node_has_are_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_no_memory_is_told, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
