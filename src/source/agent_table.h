// SPDX-License-Identifier: Apache-2.0
/*
 * The record operations of agent_gpus.c that agent_node.c merges messages with.
 */
#pragma once

#include "source/agent_gpus.h"

struct agent_gpu *agent_gpus_find(struct agent_gpus *gpus, const char *uuid);
// A new record with this info (UUID checked by the caller), of no owner; NULL: out of memory.
struct agent_gpu *agent_gpus_add(struct agent_gpus *gpus, const Gpuscale__V1__GpuInfo *info);
// Takes the record out, tells gpu_removed when it was told of, and frees it.
void agent_gpus_drop(struct agent_gpus *gpus, struct agent_gpu *g, const char *node);

// 0 or ERR_NOMEM (unchanged). The UUID is the same.
int agent_gpu_set_info(struct agent_gpu *g, const Gpuscale__V1__GpuInfo *info, bool *ret_changed);
int agent_gpu_set_owners(struct agent_gpu *g, bool known, size_t n,
                         Gpuscale__V1__Owner *const *owners, bool *ret_changed);
// Sums the containers of a pod; *bad_values counts what cannot be, which is unknown.
int agent_gpu_set_shares(struct agent_gpu *g, bool known, size_t n,
                         Gpuscale__V1__Share *const *shares, uint64_t *bad_values,
                         bool *ret_changed);

// The shape of a message, before anything is changed by it: ids, counts, lengths, names. 0,
// ERR_PROTO or ERR_LIMIT with what and where.
int agent_message_check(const Gpuscale__V1__NodeState *m, struct err *e);
