// SPDX-License-Identifier: Apache-2.0
/*
 * What gpuscale knows about gateways, as rows of data: which series tell of the requests to one
 * service, and by which labels the service is found. The rows are in demand_presets.c.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "core/signal/sample.h"

// What the configuration may say of the service.
enum demand_key {
    DEMAND_KEY_CLUSTER,
    DEMAND_KEY_SERVICE,
    DEMAND_KEY_NAMESPACE,
    DEMAND_KEY_INGRESS,
    DEMAND_KEY_REVISION,
    DEMAND_KEY_ROUTE,
    DEMAND_KEY_POOL,
    DEMAND_KEY_MODEL,
    DEMAND_KEY_PORT,
    DEMAND_KEY_REPORTER,
    DEMAND_KEY_MAX,
};
const char *demand_key_name(enum demand_key k); // as the configuration writes it
const char *demand_key_help(enum demand_key k); // what it is: "namespace of the service"

// The label has a value: the text with the keys in braces filled in, "outbound|{port}||{service}".
// A condition with a key that is not given: the label is free.
struct demand_match {
    const char *label; // NULL ends a list
    const char *text;
};

struct demand_term {
    const char *name; // NULL ends a list
    const struct demand_match *where;
    bool optional; // may be absent: then it adds nothing; the first term is never optional
    bool witness;  // must be there, but adds nothing: it proves that absent series mean 0
};

// The terms, each the sum of its series, added up. Without `add` it ends a list of ways.
struct demand_way {
    const struct demand_term *add;
    uint32_t needs; // bits of keys: the way is taken only when they are given
};

struct demand_preset {
    const char *name, *title;
    const char *page;            // where it usually is: ":9901/stats/prometheus"
    uint32_t required, optional; // bits of keys
    const char *defaults[DEMAND_KEY_MAX];
    // Bits of the gauges that hold what the counter has not counted yet: what arrived is the
    // counter's increase and the change of these (a counter of finished requests: waiting and in
    // flight; of those passed on: waiting).
    uint32_t uncounted;
    // Ways to each value in order of preference, the first that is on the page is taken; NULL: it
    // does not tell it. As in preset.h, those of the counter are spellings of one count.
    const struct demand_way *values[DEMAND_VALUE_MAX];
};

extern const struct demand_preset demand_presets[];
extern const unsigned demand_presets_n;

// By name; ERR_NOTFOUND names the presets there are and the nearest.
int demand_preset_find(struct str name, const struct demand_preset **ret, struct err *e);
