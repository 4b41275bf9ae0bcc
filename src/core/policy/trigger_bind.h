// SPDX-License-Identifier: Apache-2.0
/* Between trigger.c (keys and values) and trigger_rule.c (what they mean together). */
#pragma once

#include "core/policy/trigger.h"

// What the keys said, before it is a rule.
struct trigger_bind {
    struct trigger *t;
    const struct trigger_preset *presets;
    size_t preset_n;
    const struct trigger_preset *preset; // of t->engine
    uint32_t named;                      // bit s: signal s has a target
    double targets[SIGNAL_MAX];
    struct str when; // p NULL: not given
    struct err *e;
};

// Fills t->rule and t->when; 0, ERR_INVALID, ERR_LIMIT or ERR_NOMEM.
int trigger_make_rule(struct trigger_bind *b);

enum { TRIGGER_SHOWN_MAX = 72 };
// A key or value as an error message shows it: cut after 64 bytes, control characters and broken
// UTF-8 as '?'.
const char *trigger_shown(struct str s, char dst[TRIGGER_SHOWN_MAX]);
