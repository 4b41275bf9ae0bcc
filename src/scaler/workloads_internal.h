// SPDX-License-Identifier: Apache-2.0
/* Between workloads.c (reading), workloads_find.c (looking up) and cluster_build.c. */
#pragma once

#include "scaler/workloads.h"

// ERR_INVALID: a target or a ScaledObject twice.
int workloads_index_build(struct workloads *w, struct err *e);
void workloads_index_done(struct workloads *w); // before the arena goes
void cluster_index_done(struct workloads *w);   // cluster_build.c; likewise
