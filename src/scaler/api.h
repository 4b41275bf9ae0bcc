// SPDX-License-Identifier: Apache-2.0
/*
 * The status API: what the scaler knows and decided, as JSON; decisions as sentences too, for
 * `Accept: text/plain`. Read only, bounded: lists take limit (100, at most 1000) and offset, and
 * say `total` and, when there is more, `next`.
 */
#pragma once

#include "net/http_server.h"
#include "scaler/view.h"

struct io;

// Each shows what lies in the view's namespaces; what lies in none (agents, exporters, demand
// sources, GPUs that nobody holds) to who may see all. A GPU's holders of other namespaces are left
// out.
void api_workloads(struct http_request *r, struct io *io, const struct view *view);
void api_objects(struct http_request *r, struct io *io, const struct view *view);
void api_decisions(struct http_request *r, struct io *io, const struct view *view);
void api_gpus(struct http_request *r, struct io *io, const struct view *view);
void api_sources(struct http_request *r, struct io *io, const struct view *view);
void api_replicas(struct http_request *r, struct io *io, const struct view *view); // who leads
