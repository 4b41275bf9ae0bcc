// SPDX-License-Identifier: Apache-2.0
/*
 * What the act's scaler says of its rule, for the page: each second its status API is asked for the
 * present decision, whose signals are kept until the next answer. One thread: the loop's.
 */
#pragma once

#include <uv.h>

#include "base/err.h"
#include "base/str.h"
#include "core/signal/signal.h"
#include "report/frame.h"

enum { RULE_NAME_LEN = 48, RULE_TEXT_LEN = 512, RULE_STALE_S = 5 };

// An answer of /api/v1/decisions, read.
struct rule_said {
    char text[RULE_TEXT_LEN]; // "requestRate and demand size; kvCache raises"
    char names[SIGNAL_MAX][RULE_NAME_LEN];
    struct frame_signal signals[SIGNAL_MAX]; // their names are in `names`
    size_t n;
};
// Of the first ScaledObject's present decision. ERR_NOTFOUND: there is none yet; ERR_PARSE,
// ERR_LIMIT, ERR_NOMEM with what is wrong. *ret is set only on success, and is not to be moved.
int rule_read(struct rule_said *ret, struct str json, struct err *e);

struct rule;
// `addr`: HOST:PORT of the scaler's HTTP port. ERR_NOMEM.
int rule_start(struct rule **ret, uv_loop_t *loop, const char *addr, struct err *e);
struct rule *rule_stop(struct rule *r); // NULL-safe
// Sets frame->rule, with signals in `room`, valid until the loop turns; those of an answer older
// than RULE_STALE_S are unknown. False: no answer yet, nothing is set.
bool rule_fill(const struct rule *r, int64_t now_ns, struct frame *frame,
               struct frame_signal room[SIGNAL_MAX]);
