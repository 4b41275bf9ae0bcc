// SPDX-License-Identifier: Apache-2.0
/*
 * Exporters' pages. The pages here have the shapes that releases of the exporters print, with
 * invented values; those of the shared samples are read where they are there.
 */
#include "unit.h"

#include <math.h>

#include "base/limits.h"
#include "base/mem.h"
#include "core/exporter/page.h"

#define MIB 1048576.0
#define GPU_A "GPU-aaaaaaaa-0000-0000-0000-000000000001"
#define GPU_B "GPU-bbbbbbbb-0000-0000-0000-000000000002"

struct read {
    struct exporter_page *pg;
    struct exporter_page_result res;
    struct err e;
    int rc;
};

static void read_cut(struct read *r, const char *text, size_t cut) {
    *r = (struct read){0};
    size_t n = strlen(text);
    if (exporter_page_new(&r->pg, &r->e) < 0)
        fail_msg("%s", r->e.msg);
    r->rc = exporter_page_feed(r->pg, text, cut, &r->e);
    if (r->rc == 0)
        r->rc = exporter_page_feed(r->pg, text + cut, n - cut, &r->e);
    if (r->rc == 0)
        r->rc = exporter_page_finish(r->pg, false, &r->res, &r->e);
}

static void read_page(struct read *r, const char *text) {
    read_cut(r, text, strlen(text) / 3);
    if (r->rc < 0)
        fail_msg("%s", r->e.msg);
}

static void read_done(struct read *r) {
    r->pg = exporter_page_free(r->pg);
}

static const struct exporter_gpu *gpu(const struct read *r, const char *id) {
    for (size_t i = 0; i < r->res.n_gpus; i++)
        if (!strcmp(exporter_page_gpu(r->pg, i)->id, id))
            return exporter_page_gpu(r->pg, i);
    fail_msg("no GPU %s", id);
    return NULL;
}

static double value(const struct exporter_gpu *g, enum gpu_value i) {
    double v = NAN;
    gpu_reading_get(&g->reading, i, &v);
    return v;
}

#define assert_value(g, i, expected) assert_true(fabs(value(g, i) - (expected)) < 1e-6)
#define assert_unknown(g, i) assert_true(isnan(value(g, i)))

static void assert_holder(const struct exporter_gpu *g, size_t i, const char *namespace_,
                          const char *pod, const char *container) {
    assert_true(g->owners_known);
    assert_true(i < g->n_owners);
    assert_string_equal(g->owners[i].namespace_, namespace_);
    assert_string_equal(g->owners[i].pod, pod);
    assert_string_equal(g->owners[i].container, container);
}

// --- dcgm-exporter ---

// Label sets of a release since May 2026. GPU A is held by p-0, or shared; nobody holds GPU B.
#define BEGIN_A                                                                                    \
    "{gpu=\"0\",UUID=\"" GPU_A "\",pci_bus_id=\"00000000:00:00.0\",device=\"nvidia0\","            \
    "modelName=\"Test GPU\",hostname=\"node-a\",DCGM_FI_DRIVER_VERSION=\"600.1\","                 \
    "container=\"c\",namespace=\"ns\","
#define HELD_A BEGIN_A "pod=\"p-0\"} "
#define SLICE_0 BEGIN_A "pod=\"p-0\",vgpu=\"0\"} "
#define SLICE_1 BEGIN_A "pod=\"p-1\",vgpu=\"1\"} "
#define SLICE_2 BEGIN_A "pod=\"p-1\",vgpu=\"2\"} "
#define FREE_B                                                                                     \
    "{gpu=\"1\",UUID=\"" GPU_B "\",pci_bus_id=\"00000000:01:00.0\",device=\"nvidia1\","            \
    "modelName=\"Test GPU\",hostname=\"node-a\",DCGM_FI_DRIVER_VERSION=\"600.1\"} "

static void test_values_units_and_holders_of_a_page(void **state) {
    struct read r;
    read_page(&r, "# TYPE DCGM_FI_DEV_GPU_UTIL gauge\n"
                  "DCGM_FI_DEV_GPU_UTIL" HELD_A "83\n"
                  "DCGM_FI_DEV_GPU_UTIL" FREE_B "0\n"
                  "DCGM_FI_DEV_FB_USED" HELD_A "1024\n"
                  "DCGM_FI_DEV_FB_FREE" HELD_A "2048\n"
                  "DCGM_FI_DEV_FB_RESERVED" HELD_A "512\n"
                  "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION" HELD_A "7500\n"
                  "DCGM_FI_PROF_SM_ACTIVE" HELD_A "0.625\n");
    assert_int_equal(r.res.n_gpus, 2);
    const struct exporter_gpu *a = gpu(&r, GPU_A), *b = gpu(&r, GPU_B);
    assert_value(a, GPU_UTILIZATION_PCT, 83);
    assert_value(a, GPU_MEMORY_USED_BYTES, 1024 * MIB);
    assert_value(a, GPU_ENERGY_J, 7.5);
    assert_value(a, GPU_SM_ACTIVE_RATIO, 0.625);
    assert_int_equal(a->memory_total_bytes, (uint64_t)(3584 * MIB));
    assert_unknown(a, GPU_POWER_W);
    assert_string_equal(a->node, "node-a");
    assert_string_equal(a->model, "Test GPU");
    assert_string_equal(a->pci_bus_id, "00000000:00:00.0");
    assert_string_equal(a->driver_version, "600.1");
    assert_int_equal(b->index, 1);
    assert_int_equal(a->n_owners, 1);
    assert_holder(a, 0, "ns", "p-0", "c");
    assert_true(b->owners_known && b->n_owners == 0); // others of the page have pods
    assert_true(r.res.pods_named && r.res.alive);
    assert_string_equal(a->kind->name, "dcgm-exporter");
    read_done(&r);
}

// One GPU's utilization with the labels of each spelling: the node's name and the holder.
static void test_every_spelling_of_the_labels(void **state) {
    static const struct {
        const char *labels, *node, *namespace_, *pod, *container;
    } cases[] = {
        {"gpu=\"0\",UUID=\"" GPU_A
         "\",Hostname=\"node-a\",container=\"c\",namespace=\"ns\",pod=\"p\"",
         "node-a", "ns", "p", "c"},
        {"gpu=\"0\",UUID=\"" GPU_A "\",hostname=\"node-a\",container=\"c\",namespace=\"ns\",pod="
         "\"p\",pod_uid=\"11111111-2222\",vgpu=\"\"",
         "node-a", "ns", "p", "c"},
        // --use-old-namespace: the UUID's label is small, too
        {"gpu=\"0\",uuid=\"" GPU_A "\",container_name=\"c\",pod_name=\"p\",pod_namespace=\"ns\"",
         "", "ns", "p", "c"},
        // a Prometheus in between: the plain labels are the exporter's own pod
        {"Hostname=\"node-a\",UUID=\"" GPU_A
         "\",container=\"exporter\",exported_container=\"c\",exported_namespace=\"ns\",exported_"
         "pod=\"p\",gpu=\"0\",instance=\"10.0.0.1:9400\",job=\"dcgm\",namespace=\"monitoring\",pod="
         "\"dcgm-exporter-x\"",
         "node-a", "ns", "p", "c"},
        // dynamic resource allocation; pods' own labels among the others
        {"gpu=\"0\",UUID=\"" GPU_A
         "\",hostname=\"node-a\",app=\"llm\",container=\"c\",dra_claim_name=\"claim\",dra_claim_"
         "namespace=\"ns\",dra_device_name=\"gpu-0\",dra_driver_name=\"gpu.nvidia.com\",dra_pool_"
         "name=\"node-a\",namespace=\"ns\",pod=\"p\"",
         "node-a", "ns", "p", "c"},
        {"gpu=\"0\",UUID=\"" GPU_A "\",namespace=\"ns\",pod=\"p\"", "", "ns", "p", ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[2048];
        struct read r;
        snprintf(text, sizeof(text), "DCGM_FI_DEV_GPU_UTIL{%s} 40\n", cases[i].labels);
        read_page(&r, text);
        const struct exporter_gpu *g = gpu(&r, GPU_A);
        assert_string_equal(g->node, cases[i].node);
        assert_int_equal(g->n_owners, 1);
        assert_holder(g, 0, cases[i].namespace_, cases[i].pod, cases[i].container);
        assert_value(g, GPU_UTILIZATION_PCT, 40);
        read_done(&r);
    }
}

static void test_the_names_of_the_1_x_releases(void **state) {
    struct read r;
    const char *labels = "{gpu=\"0\",UUID=\"" GPU_A
                         "\",device=\"nvidia0\",container=\"c\",namespace=\"ns\",pod=\"p\"}";
    char text[2048];
    snprintf(text, sizeof(text),
             "dcgm_gpu_utilization%s 35\ndcgm_fb_used%s 2\ndcgm_fb_free%s 6\n"
             "dcgm_total_energy_consumption%s 5000\ndcgm_fi_prof_gr_engine_active%s 0.5\n",
             labels, labels, labels, labels, labels);
    read_page(&r, text);
    const struct exporter_gpu *g = gpu(&r, GPU_A);
    assert_value(g, GPU_UTILIZATION_PCT, 35);
    assert_value(g, GPU_MEMORY_FREE_BYTES, 6 * MIB);
    assert_value(g, GPU_ENERGY_J, 5);
    assert_value(g, GPU_GR_ENGINE_ACTIVE_RATIO, 0.5);
    assert_holder(g, 0, "ns", "p", "c");
    read_done(&r);
}

static void test_blanks_are_unknown(void **state) {
    static const char *const blanks[] = {"9223372036854775794",
                                         "9223372036854775792",
                                         "2147483632",
                                         "2147483636",
                                         "140737488355328",
                                         "NaN",
                                         "+Inf",
                                         "-1"};
    for (size_t i = 0; i < sizeof(blanks) / sizeof(blanks[0]); i++) {
        char text[2048];
        struct read r;
        snprintf(text, sizeof(text),
                 "DCGM_FI_DEV_GPU_UTIL" HELD_A "%s\n"
                 "DCGM_FI_DEV_FB_USED" HELD_A "%s\n"
                 "DCGM_FI_PROF_GR_ENGINE_ACTIVE" HELD_A "%s\n"
                 "DCGM_FI_DEV_POWER_USAGE" HELD_A "%s\n"
                 "DCGM_FI_DEV_GPU_TEMP" HELD_A "41\n",
                 blanks[i], blanks[i], blanks[i], blanks[i]);
        read_page(&r, text);
        const struct exporter_gpu *g = gpu(&r, GPU_A);
        assert_int_equal(g->reading.valid, UINT64_C(1) << GPU_TEMPERATURE_C);
        assert_int_equal(r.res.bad_values, 4);
        assert_int_equal(r.res.missing, 3);
        assert_holder(g, 0, "ns", "p-0", "c");
        read_done(&r);
    }
}

static void test_a_little_over_all_is_all(void **state) {
    struct read r;
    read_page(&r, "DCGM_FI_PROF_SM_ACTIVE{UUID=\"" GPU_A "\"} 1.004\n"
                  "DCGM_FI_PROF_DRAM_ACTIVE{UUID=\"" GPU_A "\"} 1.2\n");
    assert_value(gpu(&r, GPU_A), GPU_SM_ACTIVE_RATIO, 1);
    assert_unknown(gpu(&r, GPU_A), GPU_DRAM_ACTIVE_RATIO);
    read_done(&r);
}

// Empty labels are what old releases print also where they cannot see pods at all.
static void test_a_page_without_pods_does_not_say_that_nobody_holds_its_gpus(void **state) {
    static const char *const none[] = {"", ",container=\"\",namespace=\"\",pod=\"\""};
    for (size_t i = 0; i < 2; i++) {
        char text[2048];
        struct read r;
        snprintf(text, sizeof(text),
                 "DCGM_FI_DEV_GPU_UTIL{gpu=\"0\",UUID=\"" GPU_A "\"%s} 44\n"
                 "DCGM_FI_DEV_GPU_UTIL{gpu=\"1\",UUID=\"" GPU_B "\"%s} 0\n",
                 none[i], none[i]);
        read_page(&r, text);
        assert_false(gpu(&r, GPU_A)->owners_known);
        assert_false(gpu(&r, GPU_B)->owners_known);
        assert_false(r.res.pods_named);
        read_done(&r);
    }
    struct read r;
    read_page(&r, "DCGM_FI_DEV_GPU_UTIL{gpu=\"0\",UUID=\"" GPU_A
                  "\",container=\"c\",namespace=\"ns\",pod=\"p\"} 44\n"
                  "DCGM_FI_DEV_GPU_UTIL{gpu=\"1\",UUID=\"" GPU_B
                  "\",container=\"\",namespace=\"\",pod=\"\"} 0\n");
    assert_true(gpu(&r, GPU_B)->owners_known);
    assert_int_equal(gpu(&r, GPU_B)->n_owners, 0);
    read_done(&r);
}

static void test_the_exporters_own_pod_holds_no_gpu(void **state) {
    struct read r;
    read_page(&r, "DCGM_FI_DEV_GPU_UTIL{UUID=\"" GPU_A
                  "\",exported_namespace=\"ns\",exported_pod=\"p\",namespace=\"monitoring\",pod="
                  "\"dcgm-x\"} 44 1700000001000\n"
                  "DCGM_FI_DEV_GPU_UTIL{UUID=\"" GPU_B
                  "\",namespace=\"monitoring\",pod=\"dcgm-x\"} 0 1700000000000\n");
    assert_holder(gpu(&r, GPU_A), 0, "ns", "p", "");
    assert_true(gpu(&r, GPU_B)->owners_known);
    assert_int_equal(gpu(&r, GPU_B)->n_owners, 0);
    assert_int_equal(gpu(&r, GPU_A)->told_ms, 1700000001000);
    assert_int_equal(gpu(&r, GPU_B)->told_ms, 1700000000000);
    read_done(&r);
}

static void test_a_holder_that_cannot_be_one_is_unknown(void **state) {
    struct read r;
    char text[2048], name[300];
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    snprintf(text, sizeof(text),
             "DCGM_FI_DEV_GPU_UTIL{UUID=\"" GPU_A "\",pod=\"p\"} 4\n"
             "DCGM_FI_DEV_GPU_UTIL{UUID=\"" GPU_B "\",namespace=\"ns\",pod=\"%s\"} 4\n"
             "DCGM_FI_DEV_GPU_UTIL{UUID=\"GPU-c\",namespace=\"ns\",pod=\"p\"} 4\n",
             name);
    read_page(&r, text);
    assert_false(gpu(&r, GPU_A)->owners_known);
    assert_false(gpu(&r, GPU_B)->owners_known);
    assert_holder(gpu(&r, "GPU-c"), 0, "ns", "p", "");
    read_done(&r);
}

static void test_a_time_sliced_gpu_is_one_gpu_of_several_pods(void **state) {
    struct read r;
    read_page(&r, "DCGM_FI_DEV_GPU_UTIL" SLICE_0 "63\n"
                  "DCGM_FI_DEV_GPU_UTIL" SLICE_1 "63\n"
                  "DCGM_FI_DEV_GPU_UTIL" SLICE_2 "63\n"
                  "DCGM_FI_DEV_FB_USED" SLICE_0 "100\n"
                  "DCGM_FI_DEV_FB_USED" SLICE_1 "0\n");
    const struct exporter_gpu *g = gpu(&r, GPU_A);
    assert_int_equal(r.res.n_gpus, 1);
    assert_int_equal(g->n_owners, 3);
    assert_value(g, GPU_UTILIZATION_PCT, 63);
    // Divided among the pods: the whole GPU's is not told any more.
    assert_unknown(g, GPU_MEMORY_USED_BYTES);
    assert_int_equal(r.res.differing, 1);
    read_done(&r);
}

static void test_more_holders_than_the_limit_are_unknown(void **state) {
    static char text[64 << 10];
    size_t n = 0;
    for (int i = 0; i <= LIMIT_OWNERS_PER_GPU; i++)
        n += (size_t)snprintf(
            text + n, sizeof(text) - n,
            "DCGM_FI_DEV_GPU_UTIL{UUID=\"" GPU_A "\",namespace=\"ns\",pod=\"p-%d\"} 9\n", i);
    struct read r;
    read_page(&r, text);
    assert_false(gpu(&r, GPU_A)->owners_known);
    assert_int_equal(gpu(&r, GPU_A)->n_owners, 0);
    assert_value(gpu(&r, GPU_A), GPU_UTILIZATION_PCT, 9);
    read_done(&r);
}

#define MIG_1                                                                                      \
    "{UUID=\"" GPU_A "\",GPU_I_PROFILE=\"3g.40gb\",GPU_I_ID=\"1\",container=\"c\","                \
    "namespace=\"ns\",pod=\"p-1\"} "
#define MIG_13                                                                                     \
    "{UUID=\"" GPU_A "\",GPU_I_PROFILE=\"1g.10gb\",GPU_I_ID=\"13\",container=\"c\","               \
    "namespace=\"ns\",pod=\"p-13\"} "

static void test_mig_instances_are_gpus_of_their_own(void **state) {
    struct read r;
    read_page(&r, "DCGM_FI_PROF_GR_ENGINE_ACTIVE" MIG_1 "0.4\n"
                  "DCGM_FI_PROF_GR_ENGINE_ACTIVE" MIG_13 "0.9\n"
                  "DCGM_FI_DEV_GPU_UTIL" MIG_1 "0\n"
                  "DCGM_FI_DEV_POWER_USAGE" MIG_1 "250\n"
                  "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION" MIG_1 "9000\n"
                  "DCGM_FI_DEV_GPU_TEMP" MIG_1 "60\n"
                  "DCGM_FI_DEV_GPU_UTIL{gpu=\"0\",UUID=\"" GPU_A "\",hostname=\"node-a\"} 0\n"
                  "DCGM_FI_DEV_POWER_USAGE{gpu=\"0\",UUID=\"" GPU_A "\",hostname=\"node-a\"} 250\n"
                  "DCGM_FI_DEV_GPU_UTIL{UUID=\"" GPU_B "\"} 0\n");
    assert_int_equal(r.res.n_gpus, 4);
    const struct exporter_gpu *one = gpu(&r, GPU_A "/gi1"), *parent = gpu(&r, GPU_A);
    assert_true(one->mig);
    assert_string_equal(one->uuid, GPU_A);
    assert_int_equal(one->gpu_instance_id, 1);
    assert_string_equal(one->mig_profile, "3g.40gb");
    assert_holder(one, 0, "ns", "p-1", "c");
    assert_value(one, GPU_GR_ENGINE_ACTIVE_RATIO, 0.4);
    assert_value(gpu(&r, GPU_A "/gi13"), GPU_GR_ENGINE_ACTIVE_RATIO, 0.9);
    // Drivers do not measure it under MIG: the 0 is not one.
    assert_unknown(one, GPU_UTILIZATION_PCT);
    // The board's: two instances would have it twice. Its energy still shows that time passes.
    assert_unknown(one, GPU_POWER_W);
    assert_unknown(one, GPU_ENERGY_J);
    assert_true(r.res.alive);
    assert_value(one, GPU_TEMPERATURE_C, 60);
    assert_unknown(parent, GPU_UTILIZATION_PCT);
    assert_value(parent, GPU_POWER_W, 250);
    assert_value(gpu(&r, GPU_B), GPU_UTILIZATION_PCT, 0);
    read_done(&r);
}

static void test_a_preferred_metric_wins_wherever_it_stands(void **state) {
    static const char *const pages[] = {
        "DCGM_FI_DEV_ENFORCED_POWER_LIMIT{UUID=\"" GPU_A "\"} 500\n"
        "DCGM_FI_DEV_POWER_MGMT_LIMIT{UUID=\"" GPU_A "\"} 700\n",
        "DCGM_FI_DEV_POWER_MGMT_LIMIT{UUID=\"" GPU_A "\"} 700\n"
        "DCGM_FI_DEV_ENFORCED_POWER_LIMIT{UUID=\"" GPU_A "\"} 500\n",
    };
    for (size_t i = 0; i < 2; i++) {
        struct read r;
        read_page(&r, pages[i]);
        assert_value(gpu(&r, GPU_A), GPU_POWER_LIMIT_W, 700);
        read_done(&r);
    }
}

// --- nvidia_gpu_exporter ---

#define SMI_UUID "cccccccc-0000-0000-0000-000000000003"

static void test_nvidia_gpu_exporter_tells_values_and_never_holders(void **state) {
    struct read r;
    read_page(&r, "nvidia_smi_utilization_gpu_ratio{uuid=\"" SMI_UUID "\"} 0.37\n"
                  "nvidia_smi_memory_used_bytes{uuid=\"" SMI_UUID "\"} 2e+09\n"
                  "nvidia_smi_memory_total_bytes{uuid=\"" SMI_UUID "\"} 8e+09\n"
                  "nvidia_smi_power_draw_watts{uuid=\"" SMI_UUID "\"} 61.5\n"
                  "nvidia_smi_clocks_current_sm_clock_hz{uuid=\"" SMI_UUID "\"} 1.98e+09\n"
                  "nvidia_smi_gpu_info{uuid=\"" SMI_UUID "\",index=\"2\",name=\"Test "
                  "GPU\",driver_version=\"600.1\",pci_bus_id=\"00000000:71:00.0\"} 1\n"
                  "nvidia_smi_last_collect_success_timestamp_seconds 1.7e+09\n");
    const struct exporter_gpu *g = gpu(&r, "GPU-" SMI_UUID);
    assert_value(g, GPU_UTILIZATION_PCT, 37);
    assert_value(g, GPU_MEMORY_FREE_BYTES, 6e9);
    assert_int_equal(g->memory_total_bytes, 8000000000);
    assert_value(g, GPU_POWER_W, 61.5);
    assert_value(g, GPU_SM_CLOCK_MHZ, 1980);
    assert_int_equal(g->index, 2);
    assert_string_equal(g->model, "Test GPU");
    assert_string_equal(g->pci_bus_id, "00000000:71:00.0");
    assert_false(g->owners_known);
    assert_true(r.res.alive); // the time of the collection is on the page
    read_done(&r);
}

static void test_nvidia_gpu_exporters_mig_instances(void **state) {
    struct read r;
    read_page(&r,
              "nvidia_smi_mig_info{uuid=\"" SMI_UUID
              "\",mig_uuid=\"MIG-1\",gpu_instance_id=\"7\",compute_instance_id=\"0\",profile=\"1g."
              "18gb\"} 1\n"
              "nvidia_smi_mig_sm_activity_ratio{uuid=\"" SMI_UUID "\",gpu_instance_id=\"7\"} 0.25\n"
              "nvidia_smi_mig_memory_used_bytes{uuid=\"" SMI_UUID "\",gpu_instance_id=\"7\"} 1e9\n"
              "nvidia_smi_utilization_gpu_ratio{uuid=\"" SMI_UUID "\"} 0\n");
    const struct exporter_gpu *g = gpu(&r, "GPU-" SMI_UUID "/gi7");
    assert_value(g, GPU_SM_ACTIVE_RATIO, 0.25);
    assert_value(g, GPU_MEMORY_USED_BYTES, 1e9);
    assert_string_equal(g->mig_uuid, "MIG-1");
    assert_string_equal(g->mig_profile, "1g.18gb");
    assert_unknown(gpu(&r, "GPU-" SMI_UUID), GPU_UTILIZATION_PCT);
    read_done(&r);
}

// A scraped and joined page with both: one GPU, told by the first.
static void test_two_exporters_on_one_page_give_one_gpu(void **state) {
    struct read r;
    read_page(&r, "DCGM_FI_DEV_GPU_UTIL{UUID=\"GPU-" SMI_UUID "\",namespace=\"ns\",pod=\"p\"} 50\n"
                  "nvidia_smi_utilization_gpu_ratio{uuid=\"" SMI_UUID "\"} 0.1\n");
    assert_int_equal(r.res.n_gpus, 1);
    assert_value(gpu(&r, "GPU-" SMI_UUID), GPU_UTILIZATION_PCT, 50);
    read_done(&r);
}

// --- the page as a whole ---

static void test_the_mark_says_whether_a_page_is_of_another_reading(void **state) {
#define TWO(util, energy)                                                                          \
    "DCGM_FI_DEV_GPU_UTIL{UUID=\"" GPU_A "\"} " util "\n"                                          \
    "DCGM_FI_DEV_GPU_UTIL{UUID=\"" GPU_B "\"} 1\n"                                                 \
    "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{UUID=\"" GPU_A "\"} " energy "\n"
    struct read a, b, c, d;
    read_page(&a, TWO("5", "1000"));
    read_page(&b, "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{UUID=\"" GPU_A "\"} 1000\n"
                  "DCGM_FI_DEV_GPU_UTIL{UUID=\"" GPU_B "\"} 1\n"
                  "DCGM_FI_DEV_GPU_UTIL{UUID=\"" GPU_A "\"} 5\n");
    read_page(&c, TWO("5", "1001"));
    read_page(&d, "DCGM_FI_DEV_GPU_UTIL{UUID=\"" GPU_A "\"} 5\n");
    assert_true(a.res.mark == b.res.mark);
    assert_true(a.res.mark != c.res.mark);
    assert_true(a.res.alive && !d.res.alive); // without a counter of energy nothing would show
    read_done(&a), read_done(&b), read_done(&c), read_done(&d);
}

static void test_a_page_without_gpus_says_what_was_looked_for(void **state) {
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "0 samples, none of them of a GPU exporter that is known (looked for "
             "DCGM_FI_DEV_GPU_UTIL"},
        {"vllm:num_requests_waiting 3\n", "1 samples, none of them"},
        {"DCGM_FI_DEV_GPU_UTIL{gpu=\"0\"} 3\nDCGM_FI_DEV_GPU_UTIL{UUID=\"\"} 3\n",
         "2 series of a GPU exporter, and none has a usable label UUID"},
        {"duty_cycle{make=\"x\"} 3\n", "none has a usable label"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct read r;
        read_cut(&r, cases[i].text, 0);
        assert_int_equal(r.rc, ERR_NOTFOUND);
        if (!strstr(r.e.msg, cases[i].says))
            fail_msg("%s", r.e.msg);
        read_done(&r);
    }
}

static void test_a_malformed_page_gives_nothing(void **state) {
    struct read r;
    read_cut(&r, "DCGM_FI_DEV_GPU_UTIL{UUID=\"" GPU_A "\"} 3\nDCGM_FI_DEV_GPU_UTIL{UUID= 3\n", 9);
    assert_int_equal(r.rc, ERR_PARSE);
    assert_int_equal(exporter_page_fault(r.pg), PROM_FAULT_SYNTAX);
    read_done(&r);
    read_cut(&r, "<html><body>Sign in</body></html>\n", 3);
    assert_int_equal(exporter_page_fault(r.pg), PROM_FAULT_NOT_TEXT);
    read_done(&r);
}

static void test_more_gpus_than_the_limit_are_an_error_by_name(void **state) {
    static char text[64 << 10];
    size_t n = 0;
    for (int i = 0; i <= LIMIT_GPU_ENTITIES_PER_NODE; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n,
                              "DCGM_FI_DEV_GPU_UTIL{UUID=\"GPU-%d\"} 9\n", i);
    struct read r;
    read_cut(&r, text, 0);
    assert_int_equal(r.rc, ERR_LIMIT);
    assert_non_null(strstr(r.e.msg, "LIMIT_GPU_ENTITIES_PER_NODE"));
    read_done(&r);
}

static void test_lacks_are_described_by_name(void **state) {
    CLEANUP_BUF struct buf b;
    buf_init(&b, 1000);
    exporter_lack_describe(3, &b);
    assert_int_equal(buf_add_byte(&b, 0), 0);
    assert_non_null(strstr(b.p, "DCGM_FI_DEV_GPU_UTIL"));
    assert_non_null(strstr(b.p, "memory (DCGM_FI_DEV_FB_USED"));
}

// A page of some of everything.
static const char mixed[] = "# TYPE DCGM_FI_DEV_GPU_UTIL gauge\n"
                            "DCGM_FI_DEV_GPU_UTIL" SLICE_0 "63\n"
                            "DCGM_FI_DEV_GPU_UTIL" SLICE_1 "63\n"
                            "DCGM_FI_DEV_FB_USED{UUID=\"" GPU_B
                            "\",GPU_I_ID=\"3\",pod_name=\"x\\\"y\",pod_namespace=\"ns\"} 5\n"
                            "nvidia_smi_gpu_info{uuid=\"" SMI_UUID
                            "\",index=\"2\",name=\"Test GPU\"} 1\n"
                            "dcgm_fi_dev_power_usage{uuid=\"" GPU_B "\"} NaN\n";

static void test_every_split_gives_the_same(void **state) {
    struct read whole;
    read_page(&whole, mixed);
    for (size_t cut = 0; cut < sizeof(mixed); cut++) {
        struct read r;
        read_cut(&r, mixed, cut);
        assert_int_equal(r.rc, 0);
        assert_memory_equal(&r.res, &whole.res, sizeof(r.res));
        read_done(&r);
    }
    read_done(&whole);
}

static void test_a_page_object_reads_one_page_after_the_other(void **state) {
    struct read first;
    read_page(&first, mixed);
    exporter_page_reset(first.pg);
    struct exporter_page_result res;
    const char *next = "DCGM_FI_DEV_GPU_UTIL{UUID=\"" GPU_A "\"} 3\n";
    assert_int_equal(exporter_page_feed(first.pg, next, strlen(next), &first.e), 0);
    assert_int_equal(exporter_page_finish(first.pg, false, &res, &first.e), 0);
    assert_int_equal(res.n_gpus, 1);
    assert_int_equal(res.bad_values, 0);
    assert_int_equal(exporter_page_gpu(first.pg, 0)->n_owners, 0);
    read_done(&first);
}

static void test_every_failing_allocation_is_reported(void **state) {
    int failures = 0;
    for (long n = 1;; n++) {
        struct exporter_page *pg = NULL;
        struct exporter_page_result res;
        struct err e = {0};
        mem_fail_from(n);
        int r = exporter_page_new(&pg, &e);
        if (r == 0)
            r = exporter_page_feed(pg, mixed, sizeof(mixed) - 1, &e);
        if (r == 0)
            r = exporter_page_finish(pg, false, &res, &e);
        mem_fail_never();
        exporter_page_free(pg);
        if (r == 0)
            break;
        assert_int_equal(r, ERR_NOMEM);
        failures++;
    }
    assert_true(failures >= 5);
}

// --- the shared samples ---

static bool read_sample(struct read *r, const char *name) {
    static char text[1 << 20];
    const char *root = getenv("GPUSCALE_SOURCE_ROOT");
    char path[4096];
    snprintf(path, sizeof(path), "%s/../shared/data/metrics-samples/%s", root ? root : ".", name);
    FILE *f = fopen(path, "rb");
    if (!f) {
        printf("# %s is not there: not read\n", path);
        return false;
    }
    text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
    fclose(f);
    read_page(r, text);
    return true;
}

static void test_sample_of_dcgm_exporter(void **state) {
    struct read r;
    if (!read_sample(&r, "dcgm_exporter.prom"))
        return;
    const struct exporter_gpu *g = gpu(&r, "GPU-8b2281de-6d3c-22ed-0ec8-d3b864870b8b");
    const struct exporter_gpu *idle = gpu(&r, "GPU-15338f3e-5fd9-962d-921a-979b820520f0");
    assert_int_equal(r.res.n_gpus, 2);
    assert_holder(g, 0, "default", "vllm-7d9f6b6c4-x2k8p", "vllm");
    assert_value(g, GPU_UTILIZATION_PCT, 97);
    assert_value(g, GPU_MEMORY_USED_BYTES, 71872 * MIB);
    assert_value(g, GPU_MEMORY_FREE_BYTES, 9135 * MIB);
    assert_value(g, GPU_MEMORY_RESERVED_BYTES, 552 * MIB);
    assert_int_equal(g->memory_total_bytes, (uint64_t)(81559 * MIB));
    assert_value(g, GPU_POWER_W, 612.311);
    assert_value(g, GPU_ENERGY_J, 1874112035.551);
    assert_value(g, GPU_XID_LAST, 0);
    assert_value(g, GPU_GR_ENGINE_ACTIVE_RATIO, 0.993124);
    assert_value(g, GPU_SM_ACTIVE_RATIO, 0.811923);
    assert_value(g, GPU_SM_OCCUPANCY_RATIO, 0.223871);
    assert_value(g, GPU_TENSOR_ACTIVE_RATIO, 0.187344);
    assert_value(g, GPU_DRAM_ACTIVE_RATIO, 0.64182);
    assert_value(g, GPU_PCIE_RX_BYTES_PER_S, 14045331);
    assert_string_equal(g->node, "computeinstance-e00c1p6dpy98xytphp");
    assert_true(idle->owners_known && idle->n_owners == 0);
    assert_value(idle, GPU_UTILIZATION_PCT, 0);
    assert_value(idle, GPU_POWER_W, 71.902);
    assert_int_equal(r.res.missing, 0);
    read_done(&r);
}

static void test_sample_of_dcgm_exporter_with_mig_and_sharing(void **state) {
    struct read r;
    if (!read_sample(&r, "dcgm_exporter_mig_shared.prom"))
        return;
    const char *parent = "GPU-5fd4f087-86f3-7a43-b711-4771313afc50";
    char id[128];
    snprintf(id, sizeof(id), "%s/gi13", parent);
    const struct exporter_gpu *one = gpu(&r, id);
    snprintf(id, sizeof(id), "%s/gi1", parent);
    const struct exporter_gpu *big = gpu(&r, id);
    const struct exporter_gpu *shared = gpu(&r, "GPU-8c5e9a1d-4fd1-5ab0-0c6a-2a9a9c5d1e11");
    assert_value(one, GPU_GR_ENGINE_ACTIVE_RATIO, 0.871211);
    assert_value(one, GPU_MEMORY_USED_BYTES, 8211 * MIB);
    assert_holder(one, 0, "team-a", "llm-0", "llm");
    assert_value(big, GPU_GR_ENGINE_ACTIVE_RATIO, 0.402711);
    assert_holder(big, 0, "team-b", "llm-big-0", "llm");
    assert_int_equal(shared->n_owners, 2);
    assert_value(shared, GPU_UTILIZATION_PCT, 63);
    assert_holder(gpu(&r, "GPU-0e1d7b0c-1111-2222-3333-444455556666"), 0, "default", "vllm-dra-0",
                  "ctr");
    assert_int_equal(r.res.n_gpus, 4);
    read_done(&r);
}

static void test_sample_of_nvidia_gpu_exporter(void **state) {
    struct read r;
    if (!read_sample(&r, "nvidia_gpu_exporter_h100.prom"))
        return;
    const struct exporter_gpu *g = gpu(&r, "GPU-00000000-0000-0000-0000-000000000000");
    assert_value(g, GPU_UTILIZATION_PCT, 100);
    assert_value(g, GPU_MEMORY_COPY_PCT, 11);
    assert_value(g, GPU_MEMORY_USED_BYTES, 20780679168.0);
    assert_value(g, GPU_MEMORY_FREE_BYTES, 64238911488.0);
    assert_int_equal(g->memory_total_bytes, 85520809984);
    assert_value(g, GPU_POWER_W, 631.95);
    assert_value(g, GPU_TEMPERATURE_C, 59);
    assert_value(g, GPU_PROCESSES, 3);
    assert_string_equal(g->model, "NVIDIA H100 80GB HBM3");
    assert_string_equal(g->driver_version, "590.48.01");
    assert_false(g->owners_known);
    assert_int_equal(r.res.n_gpus, 1);
    read_done(&r);
}

static void test_samples_of_amd_and_gke(void **state) {
    struct read r;
    if (!read_sample(&r, "amd_device_metrics_exporter.prom"))
        return;
    const struct exporter_gpu *g = gpu(&r, "ccff74a1-0000-1000-80e0-c6d49f5b0d86");
    assert_value(g, GPU_UTILIZATION_PCT, 92);
    assert_value(g, GPU_MEMORY_COPY_PCT, 54);
    assert_value(g, GPU_MEMORY_USED_BYTES, 168211 * MIB);
    assert_value(g, GPU_MEMORY_FREE_BYTES, (196592 - 168211) * MIB);
    assert_value(g, GPU_POWER_W, 688);
    assert_value(g, GPU_TEMPERATURE_C, 71);
    assert_holder(g, 0, "default", "vllm-rocm-0", "vllm");
    assert_string_equal(g->model, "AMD Instinct MI300X OAM");
    read_done(&r);
    if (!read_sample(&r, "gke_device_plugin.prom"))
        return;
    g = gpu(&r, "GPU-8b2281de-6d3c-22ed-0ec8-d3b864870b8b");
    assert_value(g, GPU_UTILIZATION_PCT, 88);
    assert_value(g, GPU_MEMORY_USED_BYTES, 20132659200.0);
    assert_int_equal(g->memory_total_bytes, 24152899584);
    assert_holder(g, 0, "default", "vllm-0", "vllm");
    assert_int_equal(r.res.n_gpus, 1);
    read_done(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_units_and_holders_of_a_page),
        cmocka_unit_test(test_every_spelling_of_the_labels),
        cmocka_unit_test(test_the_names_of_the_1_x_releases),
        cmocka_unit_test(test_blanks_are_unknown),
        cmocka_unit_test(test_a_little_over_all_is_all),
        cmocka_unit_test(test_a_page_without_pods_does_not_say_that_nobody_holds_its_gpus),
        cmocka_unit_test(test_the_exporters_own_pod_holds_no_gpu),
        cmocka_unit_test(test_a_holder_that_cannot_be_one_is_unknown),
        cmocka_unit_test(test_a_time_sliced_gpu_is_one_gpu_of_several_pods),
        cmocka_unit_test(test_more_holders_than_the_limit_are_unknown),
        cmocka_unit_test(test_mig_instances_are_gpus_of_their_own),
        cmocka_unit_test(test_a_preferred_metric_wins_wherever_it_stands),
        cmocka_unit_test(test_nvidia_gpu_exporter_tells_values_and_never_holders),
        cmocka_unit_test(test_nvidia_gpu_exporters_mig_instances),
        cmocka_unit_test(test_two_exporters_on_one_page_give_one_gpu),
        cmocka_unit_test(test_the_mark_says_whether_a_page_is_of_another_reading),
        cmocka_unit_test(test_a_page_without_gpus_says_what_was_looked_for),
        cmocka_unit_test(test_a_malformed_page_gives_nothing),
        cmocka_unit_test(test_more_gpus_than_the_limit_are_an_error_by_name),
        cmocka_unit_test(test_lacks_are_described_by_name),
        cmocka_unit_test(test_every_split_gives_the_same),
        cmocka_unit_test(test_a_page_object_reads_one_page_after_the_other),
        cmocka_unit_test(test_every_failing_allocation_is_reported),
        cmocka_unit_test(test_sample_of_dcgm_exporter),
        cmocka_unit_test(test_sample_of_dcgm_exporter_with_mig_and_sharing),
        cmocka_unit_test(test_sample_of_nvidia_gpu_exporter),
        cmocka_unit_test(test_samples_of_amd_and_gke),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
