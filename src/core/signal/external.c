// SPDX-License-Identifier: Apache-2.0
/* A query's answer as a total. */
#include "core/signal/external.h"

#include <math.h>

static const struct {
    const char *name, *words;
} states[EXTERNAL_STATE_MAX] = {
    [EXTERNAL_WAITING] = {"waiting", "no answer yet"},
    [EXTERNAL_GOOD] = {"good", "its last answer is too old"},
    [EXTERNAL_NO_SAMPLE] = {"noSample", "the query gives no sample"},
    [EXTERNAL_SEVERAL] = {"several", "the query gives several samples: sum() them"},
    [EXTERNAL_NAN] = {"nan", "the query gives NaN or Inf"},
    [EXTERNAL_NEGATIVE] = {"negative", "the query gives less than 0"},
    [EXTERNAL_TYPE] = {"type", "the query gives no number"},
    [EXTERNAL_PARTIAL] = {"partial", "the server says that part of the data may be missing"},
    [EXTERNAL_REFUSED] = {"refused", "the server answers with an error"},
    [EXTERNAL_NO_SECRET] = {"noSecret", "the token or password cannot be read"},
    [EXTERNAL_NO_ANSWER] = {"noAnswer", "no usable answer from the server"},
};

const char *external_state_name(enum external_state s) {
    return states[s].name;
}

const char *external_state_words(enum external_state s) {
    return states[s].words;
}

void signal_external_total(const struct signal_external *x, const struct signal_total_query *q,
                           struct signal_total *ret) {
    *ret = (struct signal_total){.pods = 1,
                                 .upper = INFINITY,
                                 .newest_ns = SIGNAL_TIME_UNKNOWN,
                                 .oldest_ns = SIGNAL_TIME_UNKNOWN};
    bool told = x && x->at_ns != SIGNAL_TIME_UNKNOWN;
    ret->never = !told;
    if (!told || x->at_ns < q->now_ns - q->max_age_ns)
        return;
    ret->known = 1;
    ret->lower = ret->upper = ret->max = x->value;
    ret->newest_ns = ret->oldest_ns = x->at_ns;
}
