// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include <zlib.h>

#include "agent/fixture.h"
#include "agent/page.h"

struct fixture {
    struct agent_state state;
    struct agent_owners owners;
    struct agent_page page;
    struct agent_page_options options;
    struct agent_page_stats stats;
};

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    struct err e = {0};
    assert_int_equal(agent_state_init(&f->state, NS_PER_S, 100 * NS_PER_S, &e), 0);
    agent_owners_init(&f->owners);
    agent_page_init(&f->page, PROM_TEXT);
    f->options = (struct agent_page_options){
        .dcgm = true, .classic = true, .own = true, .stale_after_ns = 5 * NS_PER_S};
    f->stats = (struct agent_page_stats){
        .node = "node-a", .source = "sim", .config_ok = true, .start_time_s = 1.5};
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    agent_state_done(&f->state);
    agent_owners_done(&f->owners);
    agent_page_done(&f->page);
    free(f);
    return 0;
}

// The page as text, valid until the next call.
static const char *render(struct fixture *f, int64_t now_ns) {
    static char text[1 << 20];
    assert_int_equal(agent_page_render(&f->page, &f->state, &f->options, &f->stats, now_ns), 0);
    assert_true(f->page.text.len < sizeof text);
    memcpy(text, f->page.text.p, f->page.text.len);
    text[f->page.text.len] = 0;
    return text;
}

static void has(const char *page, const char *line) {
    const char *at = strstr(page, line);
    if (!at || (at != page && at[-1] != '\n') || at[strlen(line)] != '\n')
        fail_msg("the page lacks the line:\n%s\nit is:\n%.6000s", line, page);
}

static void lacks(const char *page, const char *text) {
    if (strstr(page, text))
        fail_msg("the page should not have: %s", text);
}

static unsigned count(const char *page, const char *text) {
    unsigned n = 0;
    for (const char *p = page; (p = strstr(p, text)); p += strlen(text))
        n++;
    return n;
}

static void test_dcgm_series_have_dcgm_exporters_labels_in_its_order(void **state) {
    struct fixture *f = *state;
    fixture_own(&f->owners, "0", "vllm-7d9f6b6c4-x2k8p", "");
    struct agent_round *r = fixture_round(2, 101 * NS_PER_S);
    gpu_reading_set(&r->samples[0].reading, GPU_MEMORY_USED_BYTES, 71872.0 * 1048576);
    gpu_reading_set(&r->samples[0].reading, GPU_ENERGY_J, 1874112035.551);
    gpu_reading_set(&r->samples[0].reading, GPU_SM_ACTIVE_RATIO, 0.811923);
    fixture_apply(&f->state, r, &f->owners);
    const char *page = render(f, 101 * NS_PER_S);
    has(page, "# HELP DCGM_FI_DEV_GPU_UTIL GPU utilization (in %).\n"
              "# TYPE DCGM_FI_DEV_GPU_UTIL gauge\n"
              "DCGM_FI_DEV_GPU_UTIL{gpu=\"0\",UUID=\"GPU-0\",pci_bus_id=\"00000000:80:00.0\","
              "device=\"nvidia0\",modelName=\"NVIDIA H100 80GB HBM3\",Hostname=\"node-a\","
              "DCGM_FI_DRIVER_VERSION=\"550.144.03\",container=\"main\",namespace=\"ml\","
              "pod=\"vllm-7d9f6b6c4-x2k8p\"} 10\n"
              "DCGM_FI_DEV_GPU_UTIL{gpu=\"1\",UUID=\"GPU-1\",pci_bus_id=\"00000000:81:00.0\","
              "device=\"nvidia1\",modelName=\"NVIDIA H100 80GB HBM3\",Hostname=\"node-a\","
              "DCGM_FI_DRIVER_VERSION=\"550.144.03\"} 11");
    assert_non_null(strstr(page, "pod=\"vllm-7d9f6b6c4-x2k8p\"} 71872\n")); // MiB
    assert_non_null(strstr(page, "# TYPE DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION counter\n"));
    assert_non_null(strstr(page, "} 1.874112035551e+12\n")); // mJ
    assert_non_null(strstr(page, "} 0.811923\n"));
}

static void test_the_later_spelling_of_the_host_label_is_a_choice(void **state) {
    struct fixture *f = *state;
    f->options.hostname_label = AGENT_HOSTNAME_LOWER;
    fixture_apply(&f->state, fixture_round(1, 101 * NS_PER_S), NULL);
    const char *page = render(f, 101 * NS_PER_S);
    assert_non_null(strstr(page, ",hostname=\"node-a\","));
    lacks(page, "Hostname=");
}

static void test_a_mig_instance_is_told_as_dcgm_exporter_does(void **state) {
    struct fixture *f = *state;
    struct agent_round *r = fixture_round(1, 101 * NS_PER_S);
    struct gpu_info *i = &r->devices[0].info;
    snprintf(i->uuid, sizeof i->uuid, "MIG-1");
    snprintf(i->parent_uuid, sizeof i->parent_uuid, "GPU-p");
    snprintf(i->mig_profile, sizeof i->mig_profile, "1g.10gb");
    i->gpu_instance_id = 13;
    r->samples[0].reading.valid = 0;
    gpu_reading_set(&r->samples[0].reading, GPU_GR_ENGINE_ACTIVE_RATIO, 0.5);
    fixture_apply(&f->state, r, NULL);
    const char *page = render(f, 101 * NS_PER_S);
    has(page,
        "DCGM_FI_PROF_GR_ENGINE_ACTIVE{gpu=\"0\",UUID=\"GPU-p\",pci_bus_id=\"00000000:80:00.0\""
        ",device=\"nvidia0\",modelName=\"NVIDIA H100 80GB HBM3\",GPU_I_PROFILE=\"1g.10gb\","
        "GPU_I_ID=\"13\",Hostname=\"node-a\",DCGM_FI_DRIVER_VERSION=\"550.144.03\"} 0.5");
    lacks(page, "DCGM_FI_DEV_GPU_UTIL"); // unknown on an instance: absent, with its HELP and TYPE
    assert_non_null(strstr(page, "gpuscale_gpu_info{gpu=\"0\",uuid=\"MIG-1\""));
}

static void test_a_shared_gpu_is_a_series_each_pod_in_dcgm_but_one_elsewhere(void **state) {
    struct fixture *f = *state;
    fixture_own(&f->owners, "0", "a", "0");
    fixture_own(&f->owners, "0", "b", "1");
    fixture_apply(&f->state, fixture_round(1, 101 * NS_PER_S), &f->owners);
    const char *page = render(f, 101 * NS_PER_S);
    assert_int_equal(count(page, "\nDCGM_FI_DEV_GPU_UTIL{"), 2);
    assert_non_null(strstr(page, "pod=\"a\",vgpu=\"0\"} 10\n"));
    assert_non_null(strstr(page, "pod=\"b\",vgpu=\"1\"} 10\n"));
    assert_int_equal(count(page, "\ngpu_utilization{"), 1);
    assert_int_equal(count(page, "\ngpuscale_gpu_utilization_ratio{"), 1);
    assert_int_equal(count(page, "\ngpuscale_gpu_owner_info{"), 2);
}

static void test_units_of_our_own_series_are_base_units(void **state) {
    struct fixture *f = *state;
    struct agent_round *r = fixture_round(1, 101 * NS_PER_S);
    gpu_reading_set(&r->samples[0].reading, GPU_UTILIZATION_PCT, 57); // 57 * 0.01 is not 0.57
    gpu_reading_set(&r->samples[0].reading, GPU_MEMORY_USED_BYTES, 123456789);
    fixture_apply(&f->state, r, NULL);
    const char *page = render(f, 101 * NS_PER_S);
    has(page, "# HELP gpuscale_gpu_utilization_ratio GPU utilization.\n"
              "# TYPE gpuscale_gpu_utilization_ratio gauge\n"
              "gpuscale_gpu_utilization_ratio{gpu=\"0\",uuid=\"GPU-0\"} 0.57");
    has(page, "gpuscale_gpu_memory_used_bytes{gpu=\"0\",uuid=\"GPU-0\"} 1.23456789e+08");
    assert_non_null(strstr(page, "\ngpu_memory_used{gpu=\"0\","));
    assert_non_null(strstr(page, "} 1.23456789e+08\n"));
    assert_non_null(strstr(page, "\ngpu_utilization{gpu=\"0\","));
}

static void test_an_old_reading_leaves_the_page_and_its_age_stays(void **state) {
    struct fixture *f = *state;
    fixture_apply(&f->state, fixture_round(1, 101 * NS_PER_S), NULL);
    const char *page = render(f, 106 * NS_PER_S);
    assert_non_null(strstr(page, "\ngpu_utilization{"));
    has(page, "gpuscale_gpu_reading_age_seconds{gpu=\"0\",uuid=\"GPU-0\"} 5");
    page = render(f, 106 * NS_PER_S + 1 * NS_PER_MS);
    lacks(page, "DCGM_FI_DEV_GPU_UTIL");
    lacks(page, "gpu_utilization{");
    lacks(page, "gpuscale_gpu_utilization_ratio");
    has(page, "gpuscale_gpu_reading_age_seconds{gpu=\"0\",uuid=\"GPU-0\"} 5.001");
    has(page, "gpuscale_agent_driver_stalled_seconds 4.001");
}

static void test_a_lost_gpu_is_told_as_lost_and_has_no_values(void **state) {
    struct fixture *f = *state;
    struct agent_round *r = fixture_round(2, 101 * NS_PER_S);
    r->samples[1].state = AGENT_SAMPLE_LOST;
    fixture_apply(&f->state, r, NULL);
    const char *page = render(f, 101 * NS_PER_S);
    has(page, "gpuscale_gpu_lost{gpu=\"0\",uuid=\"GPU-0\"} 0");
    has(page, "gpuscale_gpu_lost{gpu=\"1\",uuid=\"GPU-1\"} 1");
    lacks(page, "gpuscale_gpu_utilization_ratio{gpu=\"1\"");
    lacks(page, "gpuscale_gpu_reading_age_seconds{gpu=\"1\"");
}

static void test_families_are_switched_off_apart(void **state) {
    struct fixture *f = *state;
    fixture_apply(&f->state, fixture_round(1, 101 * NS_PER_S), NULL);
    f->options.dcgm = false;
    const char *page = render(f, 101 * NS_PER_S);
    lacks(page, "DCGM_FI_DEV");
    assert_non_null(strstr(page, "gpu_utilization{"));
    f->options.classic = false;
    page = render(f, 101 * NS_PER_S);
    lacks(page, "\ngpu_utilization");
    assert_non_null(strstr(page, "gpuscale_gpu_utilization_ratio{"));
    f->options.own = false;
    assert_string_equal(render(f, 101 * NS_PER_S), "");
}

static void test_label_values_are_escaped(void **state) {
    struct fixture *f = *state;
    struct agent_round *r = fixture_round(1, 101 * NS_PER_S);
    snprintf(r->devices[0].info.model, GPU_MODEL_MAX, "a\"b\\c\nd");
    fixture_apply(&f->state, r, NULL);
    assert_non_null(strstr(render(f, 101 * NS_PER_S), "modelName=\"a\\\"b\\\\c\\nd\""));
}

static void test_the_page_is_fresh_until_a_round_or_an_interval_passes(void **state) {
    struct fixture *f = *state;
    int64_t t = 101 * NS_PER_S;
    assert_false(agent_page_is_fresh(&f->page, &f->state, &f->options, t));
    fixture_apply(&f->state, fixture_round(1, t), NULL);
    render(f, t);
    assert_true(agent_page_is_fresh(&f->page, &f->state, &f->options, t + NS_PER_S - 1));
    assert_false(agent_page_is_fresh(&f->page, &f->state, &f->options, t + NS_PER_S));
    fixture_apply(&f->state, fixture_round(1, t), NULL); // equal values, but a newer round
    assert_false(agent_page_is_fresh(&f->page, &f->state, &f->options, t));
    render(f, t);
    f->options.dcgm = false;
    assert_false(agent_page_is_fresh(&f->page, &f->state, &f->options, t));
}

static void test_gzip_is_the_same_page(void **state) {
    struct fixture *f = *state;
    static char out[1 << 20];
    struct str packed, again;
    fixture_apply(&f->state, fixture_round(64, 101 * NS_PER_S), NULL);
    const char *page = render(f, 101 * NS_PER_S);
    assert_int_equal(agent_page_gzip(&f->page, &packed), 0);
    assert_true(packed.n * 5 < strlen(page));
    z_stream z = {.next_in = (Bytef *)(uintptr_t)packed.p,
                  .avail_in = (uInt)packed.n,
                  .next_out = (Bytef *)out,
                  .avail_out = sizeof out};
    assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(z.total_out, strlen(page));
    assert_memory_equal(out, page, strlen(page));
    inflateEnd(&z);
    assert_int_equal(agent_page_gzip(&f->page, &again), 0);
    assert_ptr_equal(again.p, packed.p); // made once
}

static void test_the_kubelets_series_are_there_when_it_is_asked(void **state) {
    struct fixture *f = *state;
    f->stats.kubelet.answered_ns = INT64_MIN;
    fixture_apply(&f->state, fixture_round(1, 101 * NS_PER_S), NULL);
    const char *page = render(f, 101 * NS_PER_S);
    assert_null(strstr(page, "pod_resources"));
    f->stats.kubelet.present = true;
    f->stats.kubelet.failures = 3;
    page = render(f, 102 * NS_PER_S);
    assert_non_null(strstr(page, "\ngpuscale_agent_pod_resources_up 0\n"));
    assert_non_null(
        strstr(page, "\ngpuscale_agent_pod_resources_lists_total{result=\"failed\"} 3\n"));
    assert_null(strstr(page, "pod_resources_age_seconds")); // there was no answer: not 0
    assert_null(strstr(page, "pod_resources_pods"));
    f->stats.kubelet = (struct agent_kubelet_stats){.present = true,
                                                    .up = true,
                                                    .answers = 7,
                                                    .answered_ns = 100 * NS_PER_S,
                                                    .took_ns = 2 * NS_PER_MS,
                                                    .pods = 12,
                                                    .holders = 8,
                                                    .claimed = 2};
    page = render(f, 103 * NS_PER_S);
    assert_non_null(strstr(page, "\ngpuscale_agent_pod_resources_up 1\n"));
    assert_non_null(strstr(page, "\ngpuscale_agent_pod_resources_age_seconds 3\n"));
    assert_non_null(strstr(page, "\ngpuscale_agent_pod_resources_duration_seconds 0.002\n"));
    assert_non_null(strstr(page, "\ngpuscale_agent_pod_resources_pods 12\n"));
    assert_non_null(strstr(page, "\ngpuscale_agent_pod_resources_devices 8\n"));
    assert_non_null(strstr(page, "\ngpuscale_agent_pod_resources_claimed_devices 2\n"));
    assert_non_null(strstr(page, "\ngpuscale_agent_pod_resources_unmatched_devices 0\n"));
}

static void test_what_pods_use_is_told_by_uid_when_it_is_read(void **state) {
    struct fixture *f = *state;
    struct agent_round *r = fixture_round(2, 101 * NS_PER_S);
    fixture_share(r, 1, 12.5);
    fixture_apply(&f->state, r, NULL);
    assert_null(strstr(render(f, 101 * NS_PER_S), "gpuscale_gpu_pod_"));
    f->options.shares = true;
    const char *page = render(f, 101 * NS_PER_S);
    assert_non_null(
        strstr(page, "\ngpuscale_gpu_pod_processes_known{gpu=\"0\",uuid=\"GPU-0\"} 0\n"));
    assert_non_null(
        strstr(page, "\ngpuscale_gpu_pod_processes_known{gpu=\"1\",uuid=\"GPU-1\"} 1\n"));
#define A "{gpu=\"1\",uuid=\"GPU-1\",pod_uid=\"uid-a\",container_id=\"cid-a\"} "
#define B "{gpu=\"1\",uuid=\"GPU-1\",pod_uid=\"uid-b\",container_id=\"\"} "
    assert_non_null(strstr(page, "\ngpuscale_gpu_pod_processes" A "2\n"));
    assert_non_null(strstr(page, "\ngpuscale_gpu_pod_processes" B "1\n"));
    assert_non_null(strstr(page, "\ngpuscale_gpu_pod_memory_used_bytes" A "4096\n"));
    assert_null(strstr(page, "\ngpuscale_gpu_pod_memory_used_bytes" B)); // unknown is not 0
    assert_non_null(strstr(page, "\ngpuscale_gpu_pod_utilization_ratio" A "0.125\n"));
    assert_null(strstr(page, "\ngpuscale_gpu_pod_utilization_ratio" B));
    page = render(f, 200 * NS_PER_S); // too old
    assert_null(strstr(page, "\ngpuscale_gpu_pod_processes{"));
}

static void test_no_memory_leaves_no_half_page(void **state) {
    struct fixture *f = *state;
    fixture_own(&f->owners, "0", "a", "");
    fixture_apply(&f->state, fixture_round(4, 101 * NS_PER_S), &f->owners);
    for (long n = 1;; n++) {
        struct str gzip;
        agent_page_done(&f->page);
        agent_page_init(&f->page, PROM_TEXT);
        mem_fail_from(n);
        int r = agent_page_render(&f->page, &f->state, &f->options, &f->stats, 101 * NS_PER_S);
        if (r == 0)
            r = agent_page_gzip(&f->page, &gzip);
        else
            assert_int_equal(f->page.text.len, 0);
        mem_fail_never();
        if (r == 0)
            break;
        assert_true(n < 200);
    }
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH(test_dcgm_series_have_dcgm_exporters_labels_in_its_order),
        WITH(test_the_later_spelling_of_the_host_label_is_a_choice),
        WITH(test_a_mig_instance_is_told_as_dcgm_exporter_does),
        WITH(test_a_shared_gpu_is_a_series_each_pod_in_dcgm_but_one_elsewhere),
        WITH(test_units_of_our_own_series_are_base_units),
        WITH(test_an_old_reading_leaves_the_page_and_its_age_stays),
        WITH(test_a_lost_gpu_is_told_as_lost_and_has_no_values),
        WITH(test_families_are_switched_off_apart),
        WITH(test_label_values_are_escaped),
        WITH(test_the_page_is_fresh_until_a_round_or_an_interval_passes),
        WITH(test_gzip_is_the_same_page),
        WITH(test_the_kubelets_series_are_there_when_it_is_asked),
        WITH(test_what_pods_use_is_told_by_uid_when_it_is_read),
        WITH(test_no_memory_leaves_no_half_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
