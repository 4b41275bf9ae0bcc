// SPDX-License-Identifier: Apache-2.0
/*
 * Kubernetes' Quantity ("100m", "1.5", "2Gi", "3e2", "-1") as the HPA controller reads it: in
 * integer milli-units, rounded up, with the overflows of k8s.io/apimachinery 0.37 (api/resource,
 * quantity.go, amount.go and scale_int.go): what does not fit keeps its low 64 bits or, where Go
 * multiplies step by step, is 0; binary suffixes are capped at 2^63-1 before.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct quantity {
    int64_t milli;      // Quantity.MilliValue
    double approximate; // Quantity.AsApproximateFloat64
    int sign;           // -1, 0, 1
};

// The whole view, white space around it allowed. ERR_PARSE; ERR_LIMIT: more than
// LIMIT_QUANTITY_DIGITS digits or an exponent beyond +-LIMIT_QUANTITY_EXPONENT.
int quantity_parse(struct str text, struct quantity *ret);

// Canonical text of so many milli-units as Go prints resource.NewMilliQuantity(milli, DecimalSI),
// or BinarySI: "1500m", "2", "10k"; "1536Mi".
int quantity_add_milli(struct buf *out, int64_t milli, bool binary);
