// SPDX-License-Identifier: Apache-2.0
/*
 * external.metrics.k8s.io/v1beta1: what the configuration's rules decide, for HPAs without KEDA
 * (docs/metrics-api.md). A port of its own: here, and nowhere else, a certificate of the API
 * server's front proxy makes its word about the user count. Answers come from memory; only who may
 * ask is the API server's to say (scaler/access.h). io thread.
 */
#pragma once

#include "base/err.h"

struct io;

// Listens, where the configuration wants it. Needs io->kube.
int io_metrics_api_start(struct io *io, struct err *e);
void io_metrics_api_stop(struct io *io);   // NULL-safe; before io->kube goes
void io_metrics_api_reload(struct io *io); // certificates, when they changed
struct prom_writer;
void io_metrics_api_families(const struct io *io, struct prom_writer *w); // of /metrics
// When the server's certificate ends; 0: it is not served.
int64_t io_metrics_api_not_after_s(const struct io *io);
