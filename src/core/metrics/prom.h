// SPDX-License-Identifier: Apache-2.0
/* The words that the Prometheus text parser and encoder share. */
#pragma once

#include <stdbool.h>

#include "base/str.h"

enum prom_type {
    PROM_UNTYPED,
    PROM_COUNTER,
    PROM_GAUGE,
    PROM_HISTOGRAM,
    PROM_SUMMARY,
    // Written only: NAME_info, always 1; a gauge in the text format.
    PROM_INFO,
};

struct prom_label {
    struct str name;
    struct str value; // unescaped
};

// [a-zA-Z_:][a-zA-Z0-9_:]*, and the same without ':' for labels.
bool prom_name_valid(struct str s);
bool prom_label_name_valid(struct str s);
