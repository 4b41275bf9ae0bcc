// SPDX-License-Identifier: Apache-2.0
/*
 * Rules of the configuration: what is decided for HPAs without KEDA, whose triggers stand here and
 * not in ScaledObjects.
 */
#pragma once

#include "scaler/config.h"
#include "scaler/object_key.h"

extern const struct conf_field config_rule_fields[];

// The rule as what its decisions are known by: the target is the metadata's `workload`. Borrows
// from the rule. ERR_INVALID (`workload` among the metadata), ERR_LIMIT (LIMIT_METADATA_KEYS).
int config_rule_ref(const struct config_rule *rule, struct object_pair pairs[LIMIT_METADATA_KEYS],
                    struct object_ref *ret, struct err *e);
// Every rule binds, as a trigger's metadata must. The first error, with its place.
int config_rules_check(const struct scaler_config *c, struct err *e);
