// SPDX-License-Identifier: Apache-2.0
/*
 * How one demand source's page is read: by selectors that somebody wrote, by a preset and what it
 * needs to find the service, or by both (a written selector wins). Made once, read-only then.
 */
#pragma once

#include "core/engine/demand_preset.h"
#include "core/metrics/selector.h"

enum { DEMAND_TERMS_MAX = 3, DEMAND_WAYS_MAX = 4 };

// As the configuration says it; NULL: not given.
struct demand_rule_spec {
    const char *preset;
    const char *key[DEMAND_KEY_MAX];
    const char *selector[DEMAND_VALUE_MAX];
};

struct demand_rule_term {
    struct selector *selector; // NULL ends a list
    bool optional, witness;    // as in demand_preset.h
};
struct demand_rule_way {
    struct demand_rule_term add[DEMAND_TERMS_MAX + 1];
};

struct demand_rule {
    uint32_t provides;  // bit v: there are ways to value v
    uint32_t uncounted; // of the gauges provided, as in demand_preset.h
    struct demand_rule_way ways[DEMAND_VALUE_MAX][DEMAND_WAYS_MAX + 1];
    char *text[DEMAND_VALUE_MAX]; // the selectors in words, "a{x="1"} or b"; NULL: not provided
};

// 0; ERR_INVALID (nothing is given; an unknown preset; a key that the preset needs or does not
// have, the message names them; a key without a preset), ERR_PARSE (a written selector),
// ERR_LIMIT, ERR_NOMEM.
int demand_rule_new(struct demand_rule **ret, const struct demand_rule_spec *spec, struct err *e);
struct demand_rule *demand_rule_free(struct demand_rule *rule); // NULL-safe
bool demand_rule_same(const struct demand_rule *a, const struct demand_rule *b);
