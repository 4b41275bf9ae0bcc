// SPDX-License-Identifier: Apache-2.0
/*
 * The cluster, where one is configured (kubernetes.enabled): who we are at its API server, and what
 * the scaler follows there. io thread.
 */
#pragma once

#include "base/err.h"

struct io;

// Makes io->kube from the configuration's kubeconfig or the pod's service account, or leaves it
// NULL where there is no cluster. Asks nothing yet. Errors name the file and the remedy.
int io_cluster_start(struct io *io, struct err *e);
// Ends what runs; io->kube is gone. The loop must turn once more.
void io_cluster_stop(struct io *io);
void io_cluster_done(struct io *io); // the rest, after the loop has turned
