// SPDX-License-Identifier: Apache-2.0
/* Between config.c and config_prometheus.c. */
#pragma once

#include "scaler/config.h"

extern const struct conf_field config_prometheus_fields[];
// What no single field can say. 0 or ERR_INVALID.
int config_prometheus_check(const struct config_prometheus *p, struct err *e);
