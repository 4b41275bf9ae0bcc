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
    bool learn;                               // capacity: learn
    bool work_units;                          // work: capacity
    struct str when;                          // p NULL: not given
    uint8_t query_has[LIMIT_TRIGGER_QUERIES]; // which of its three keys each query was given
    double query_targets[LIMIT_TRIGGER_QUERIES];
    struct err *e;
};

// prometheus.NAME, query.NAME and target.NAME. 0, or negative with the reason.
int trigger_query_key(struct trigger_bind *b, struct str key, struct str value);
// After the last key: every query whole, in the order of their names.
int trigger_queries_end(struct trigger_bind *b);
// A decimal number above or equal to 0, as all of them are written.
bool trigger_parse_number(struct str s, double *ret);

// Fills t->rule and t->when; 0, ERR_INVALID, ERR_LIMIT or ERR_NOMEM.
int trigger_make_rule(struct trigger_bind *b);

enum { TRIGGER_SHOWN_MAX = 72 };
// A key or value as an error message shows it: cut after 64 bytes, control characters and broken
// UTF-8 as '?'.
const char *trigger_shown(struct str s, char dst[TRIGGER_SHOWN_MAX]);
