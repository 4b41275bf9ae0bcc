// SPDX-License-Identifier: Apache-2.0
/* One case -> one step of core/hpa: what each metric's API would answer, and the controller's word.
 */
#pragma once

#include "tools/hpa_case.h"

struct hpa_answer {
    struct hpa_case *c; // its state is as after the step
    struct hpa_input in;
    struct hpa_result result;
    struct hpa_condition before[HPA_CONDITIONS];
};

// Everything lives in the arena. ERR_NOMEM, ERR_LIMIT.
int hpa_run(struct hpa_case *c, struct arena *a, struct hpa_answer *ret, struct err *e);

// As one line of JSON; as text for people. The buffer remembers a failure.
void hpa_json_write(struct buf *out, const struct hpa_answer *a);
void hpa_json_write_error(struct buf *out, const struct err *e);
void hpa_tell(struct buf *out, const struct hpa_answer *a);
