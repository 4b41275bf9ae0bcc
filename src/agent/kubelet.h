// SPDX-License-Identifier: Apache-2.0
/*
 * Asks this node's kubelet, at an interval and soon after readings moved, who holds the GPUs, and
 * says what is to be believed: the last answer, until it is too old; then nothing is known. A
 * kubelet that lists no pod at all has not read its pods yet: that is no answer. I/O thread.
 */
#pragma once

#include <uv.h>

#include "agent/owners.h"
#include "agent/state.h"

struct agent_kubelet;

struct agent_kubelet_options {
    const char *socket;
    bool may_be_absent; // no socket, and none seen before: not asked, and no fault
    int64_t interval_ns, max_age_ns;
    // What is believed now: an answer, or that nobody knows (owners->known is false). *owners is
    // taken over. Returns whether it says anything new. Not from inside agent_kubelet_start(); the
    // kubelet is not to be stopped inside.
    bool (*believed)(void *ctx, struct agent_owners *owners);
    void *ctx;
};

struct agent_kubelet_stats {
    bool present; // there is a kubelet to ask: the rest means something
    bool up;      // the last question was answered
    uint64_t answers, failures;
    int64_t asked_ns;    // the last question
    int64_t answered_ns; // the last answer; INT64_MIN: none yet
    int64_t took_ns;     // for that answer
    uint64_t pods, holders, claimed;
};

int agent_kubelet_start(struct agent_kubelet **ret, uv_loop_t *loop,
                        const struct agent_kubelet_options *options, struct err *e);
// Stops at once; no callback follows. NULL-safe, returns NULL.
struct agent_kubelet *agent_kubelet_stop(struct agent_kubelet *k);
// After each round: where GPUs, their processes or their memory changed, pods may have come or
// gone, and the next question is asked within a second; where such questions bring nothing new,
// later, until it has been quiet for an interval.
void agent_kubelet_look(struct agent_kubelet *k, const struct agent_state *s, int64_t now_ns);
struct agent_kubelet_stats agent_kubelet_stats(const struct agent_kubelet *k);
