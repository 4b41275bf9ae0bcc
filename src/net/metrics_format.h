// SPDX-License-Identifier: Apache-2.0
/*
 * In which format a page of metrics is answered: OpenMetrics for who asks for it by name, at least
 * as much as for text; else the text format, which every reader of such pages knows.
 */
#pragma once

#include "core/metrics/prom_write.h"
#include "net/http1.h"
#include "net/http_server.h"

// Of an answer whose format depends on Accept, so that a cache keeps both apart.
#define METRICS_FORMAT_VARY "Vary: Accept\r\n"

static inline enum prom_format metrics_format(const struct http_request *r) {
    static const struct http_offer offers[] = {
        [PROM_TEXT] = {.type = "text/plain", .version = "0.0.4"},
        [PROM_OPENMETRICS] = {.type = "application/openmetrics-text",
                              .version = "1.0.0",
                              .named_only = true},
    };
    return (enum prom_format)http_request_prefers(r, offers, PROM_FORMAT_MAX);
}
