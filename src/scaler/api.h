// SPDX-License-Identifier: Apache-2.0
/*
 * The status API: what the scaler knows and decided, as JSON; decisions as sentences too, for
 * `Accept: text/plain`. Read only, bounded: lists take limit (100, at most 1000) and offset, and
 * say `total` and, when there is more, `next`.
 */
#pragma once

#include "net/http_server.h"

// Route handlers; ctx is the struct io.
void api_workloads(struct http_request *r, void *ctx);
void api_objects(struct http_request *r, void *ctx);
void api_decisions(struct http_request *r, void *ctx);
void api_gpus(struct http_request *r, void *ctx);
void api_sources(struct http_request *r, void *ctx);
