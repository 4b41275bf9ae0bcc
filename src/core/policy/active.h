// SPDX-License-Identifier: Apache-2.0
/* Is the service active (DESIGN 6.5)? False lets KEDA remove the last replica; true wakes it. */
#pragma once

#include "core/policy/record.h"
#include "core/policy/trigger.h"
#include "core/signal/external.h"

// Demand: the source's request rate, what waits and what is in flight there, and the trigger's
// queries (loads that exist while no pod does; decide_input's), each compared with `activation`.
// TRI_TRUE: one is above; TRI_FALSE: all that there are are known and not above. TRI_UNKNOWN:
// neither, or there is neither source nor query.
enum tri active_demand(const struct trigger *t, const struct signal_workload *w,
                       const struct signal_external *queries, int64_t now_ns);

// n: replicas specified; cold_start_ns 0: none known (then a start may take ten minutes).
enum active_reason active_decide(const struct trigger *t, const struct signal_workload *w,
                                 const struct signal_external *queries, int64_t now_ns, int32_t n,
                                 int64_t cold_start_ns);
bool active_is(enum active_reason r);
