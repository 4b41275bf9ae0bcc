// SPDX-License-Identifier: Apache-2.0
/*
 * Text <-> quantities as Kubernetes people write them. All: the whole view is used, 0 or ERR_PARSE
 * (malformed) or ERR_LIMIT (does not fit).
 */
#pragma once

#include <stdint.h>

#include "base/str.h"

// Go durations: "300ms", "1h30m", "1.5s", "2us"; and a bare number, which counts seconds ("30").
// Negative durations are refused; what is below a nanosecond is cut.
int units_parse_duration_ns(struct str s, int64_t *ret_ns);
// "64KiB", "1Mi", "1.5GiB", "1500", "2k", "5MB": binary and decimal suffixes (k, M, G, T; Ki to Pi;
// each with or without B). "K" is refused: nobody knows which it means. Fractions of a byte are
// cut.
int units_parse_bytes(struct str s, uint64_t *ret_bytes);
// Kubernetes Quantity: "100m", "1.5", "2Gi", "3e2", "-1": as a double.
int units_parse_quantity(struct str s, double *ret);

// "1.5s", "250ms", "5m0s", "0s", "1.5µs": Go's Duration.String; cap >= 32.
void units_format_duration(int64_t ns, char *dst, unsigned cap);
// For people: "1.5 GiB", "512 B".
void units_format_bytes(uint64_t bytes, char *dst, unsigned cap);
