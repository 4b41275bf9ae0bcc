// SPDX-License-Identifier: Apache-2.0
/* Times as Kubernetes writes them (RFC 3339), without the C library's calendar and its locale. */
#pragma once

#include <stdint.h>

#include "base/err.h"

// "2026-11-23T12:00:00Z", "2026-11-23T13:00:00.5+01:00" as nanoseconds since 1970. ERR_INVALID with
// what was expected.
int rfc3339_parse(const char *text, int64_t *ret_real_ns, struct err *e);
