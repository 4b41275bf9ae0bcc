// SPDX-License-Identifier: Apache-2.0
/* The columns of both views; rows are indices into what top_choose() chose. */
#pragma once

#include "tools/top_model.h"
#include "tools/top_table.h"

struct top_rows {
    const struct top_snapshot *snapshot;
    const uint32_t *chosen;
};

extern const struct top_column top_gpu_columns[], top_workload_columns[];
extern const size_t top_gpu_columns_n, top_workload_columns_n;
