// SPDX-License-Identifier: Apache-2.0
/* What both forms of an answer say: conditions as the HPA has them after the step, what limited. */
#pragma once

#include "tools/hpa_run.h"

struct hpa_word_condition {
    struct str type, status, reason, message;
};

// The conditions in the order in which the HPA's status has them: those it had before, changed in
// place or left as they were, then new ones. ret[] holds n_conditions + HPA_CONDITIONS; `made`
// keeps the messages' text.
size_t hpa_words_conditions(const struct hpa_answer *a, struct buf *made,
                            struct hpa_word_condition *ret);
// What kept the answer from what the metrics proposed, as a reason of the controller:
// "ScaleUpLimit", "ScaleDownStabilized"; NULL: nothing did.
const char *hpa_words_limited_by(const struct hpa_answer *a);
// status.desiredReplicas after the step; false: that is no number of replicas. Without a decision
// the controller leaves what it has decided before, and Go's 0 where that was nothing.
bool hpa_words_desired(const struct hpa_answer *a, int32_t *ret_replicas);
