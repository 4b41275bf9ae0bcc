// SPDX-License-Identifier: Apache-2.0
/*
 * What the demo prints: one row a second, and a line for each event and its reason. Plain lines (no
 * redrawing), at most 100 columns, so that it reads as well in a log.
 */
#pragma once

#include <stdbool.h>

#include "base/str.h"
#include "core/signal/reading.h"
#include "playground/service.h"

struct screen {
    bool color;
    int rows; // since the last heading
};

struct screen_row {
    double at_s;
    double rate; // requests a second arriving
    const struct service *service;
    const struct gpu_reading *gpus; // SERVICE_PODS_MAX
    double metric;                  // what KEDA read; NaN: nothing
    bool active;
    int replicas; // spec.replicas
};

void screen_intro(struct screen *s, const char *folder, const char *page_url);
void screen_row(struct screen *s, const struct screen_row *row);
// "  >> text", `who` first: KEDA, HPA, scaler.
void screen_event(struct screen *s, double at_s, const char *who, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
// Wrapped text of the scaler, indented.
void screen_why(struct screen *s, struct str text);
