// SPDX-License-Identifier: Apache-2.0
/* Snapshots that the tests of top are made of: from the pages that a scaler answers. */
#pragma once

#include <math.h>

#include "tools/top_json.h"

static inline void lab_take(struct top_snapshot *s, enum top_list list, const char *items) {
    CLEANUP_BUF struct buf page;
    struct err e = {0};
    size_t next = 1;
    buf_init(&page, 64 << 20);
    assert_int_equal(buf_addc(&page, "{\"items\":["), 0);
    assert_int_equal(buf_addc(&page, items), 0);
    assert_int_equal(buf_addc(&page, "],\"total\":1}\n"), 0);
    if (top_json_take(s, list, buf_str(&page), &next, &e) < 0)
        fail_msg("%s", e.msg);
    assert_int_equal(next, 0);
}

#define LAB_OWNER(pod) "{\"namespace\":\"ml\",\"pod\":\"" pod "\",\"container\":\"c\"}"
#define LAB_GPU(uuid, node, index, owners, values)                                                 \
    "{\"uuid\":\"" uuid "\",\"node\":\"" node                                                      \
    "\",\"model\":\"NVIDIA H100 80GB HBM3\",\"index\":" index                                      \
    ",\"memoryTotalBytes\":85899345920,\"lost\":false,\"ownersKnown\":true,\"owners\":[" owners    \
    "],\"values\":{" values "},\"ageSeconds\":0.5}"

// Six GPUs of which each is in another state, and two workloads.
static inline void lab_fill(struct top_snapshot *s) {
    top_snapshot_init(s);
    lab_take(
        s, TOP_LIST_GPUS,
        LAB_GPU("GPU-a", "n1", "0", LAB_OWNER("llm-0"), "\"utilization_pct\":80,\"memory_used_bytes\":69793218560,\"power_w\":500") "," LAB_GPU(
            "GPU-b", "n1", "1", LAB_OWNER("llm-1"),
            "\"utilization_pct\":0") "," LAB_GPU("GPU-c", "n1", "2", "",
                                                 "\"utilization_pct\":0,\"sm_active_ratio\":0."
                                                 "002") "," LAB_GPU("GPU-d", "n2", "0",
                                                                    LAB_OWNER(
                                                                        "llm-0") "," LAB_OWNER("oth"
                                                                                               "e"
                                                                                               "r"),
                                                                    "") ","
                                                                        "{\"uuid\":\"GPU-e\","
                                                                        "\"node\":\"n2\","
                                                                        "\"model\":\"NVIDIA "
                                                                        "H100 80GB "
                                                                        "HBM3\",\"index\":1,"
                                                                        "\"lost\":true,"
                                                                        "\"ownersKnown\":"
                                                                        "false,\"owners\":[],"
                                                                        "\"values\":{},"
                                                                        "\"ageSeconds\":99},"
                                                                        "{\"uuid\":\"GPU-f\","
                                                                        "\"node\":\"n2\","
                                                                        "\"model\":\"NVIDIA "
                                                                        "H100 80GB "
                                                                        "HBM3\",\"index\":2,"
                                                                        "\"lost\":false,"
                                                                        "\"ownersKnown\":"
                                                                        "false,\"owners\":[],"
                                                                        "\"values\":{"
                                                                        "\"utilization_pct\":"
                                                                        "0},\"ageSeconds\":"
                                                                        "20}");
    lab_take(s, TOP_LIST_WORKLOADS,
             "{\"namespace\":\"ml\",\"target\":\"deployment/llm\",\"replicas\":3,\"scaledObjects\":"
             "[\"llm\"],\"pods\":[{\"name\":\"llm-0\",\"state\":\"ready\"},{\"name\":\"llm-1\","
             "\"state\":\"ready\"},{\"name\":\"llm-2\",\"state\":\"starting\"}]},"
             "{\"namespace\":\"ml\",\"target\":\"statefulset/quiet\",\"scaledObjects\":[],\"pods\":"
             "[{\"name\":\"quiet-0\",\"state\":\"ready\"}]}");
    lab_take(
        s, TOP_LIST_OBJECTS,
        "{\"namespace\":\"ml\",\"name\":\"llm\",\"id\":1,\"workload\":\"deployment/llm\","
        "\"available\":true,\"active\":true,\"desired\":4,\"published\":4,\"reason\":\"raise\","
        "\"signals\":{\"requestRate\":{\"pods\":2,\"known\":2,\"lower\":7.25,\"upper\":7.25,"
        "\"max\":4},\"running\":{\"pods\":2,\"known\":1,\"lower\":12,\"upper\":null,\"max\":12},"
        "\"queue\":{\"pods\":2,\"known\":0},\"kvCache\":{\"pods\":2,\"known\":2,\"lower\":0.5,"
        "\"upper\":0.5,\"max\":0.4}}},"
        "{\"namespace\":\"ml\",\"name\":\"lost\",\"id\":2,\"error\":\"no workload\"}");
}
