// SPDX-License-Identifier: Apache-2.0
/* Between metrics_api.c (who asks, and may they) and metrics_api_answer.c (what is answered). */
#pragma once

#include "net/http_server.h"
#include "scaler/metrics_api_ask.h"

struct io;

// A Status object, as Kubernetes answers failures.
void metrics_api_fail(struct http_request *r, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
extern const struct http_refusals metrics_api_refusals;

// The documents of discovery and OpenAPI: the routes' paths, NULL at the end; and the answer for
// one of them.
extern const char *const metrics_api_documents[];
void metrics_api_answer_document(struct http_request *r);
// The rule of this namespace that the request selects.
void metrics_api_answer_value(struct http_request *r, const struct io *io,
                              const struct metrics_api_place *place);
