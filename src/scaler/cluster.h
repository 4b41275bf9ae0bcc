// SPDX-License-Identifier: Apache-2.0
/*
 * The cluster, where one is configured (kubernetes.enabled): who we are at its API server, and what
 * the scaler follows there. Changes are gathered for a moment, then a version of the workloads is
 * made from the caches and taken as a version of the workloads file would be. While the API server
 * is away the last version stands, and nothing is lowered by it. io thread.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "scaler/io.h"

struct prom_writer;

// Makes io->kube from the configuration's kubeconfig or the pod's service account, and begins to
// follow; or leaves it NULL where there is no cluster. Errors name the file and the remedy.
int io_cluster_start(struct io *io, struct err *e);
// Ends what runs; io->kube is gone. The loop must turn once more.
void io_cluster_stop(struct io *io);
void io_cluster_done(struct io *io); // the rest, after the loop has turned

// Has there been a first version? True where there is no cluster. Else a line for each cache that
// is missing, with the reason.
bool io_cluster_ready(const struct io *io, struct buf *missing);
int64_t io_cluster_ready_ns(const struct io *io); // since when; the start's time without a cluster
// A line for each cache that fails now; none: all is well.
void io_cluster_troubles(const struct io *io, struct buf *out);
// For how long pods, or what owns them, could not be followed or made a version of; 0: they are.
// INT64_MAX: there are more than are kept.
int64_t io_cluster_stale_ns(const struct io *io, int64_t now_ns);
// The agents' addresses from their EndpointSlices, where there are any and this scaler leads.
void io_cluster_agents_tell(struct io *io);
// Takes changes that wait, now: something is asked about that may be among them.
void io_cluster_freshen(struct io *io);
// ResourceSlices are followed from now on: an agent has told of devices that only they explain.
void io_cluster_follow_slices(struct io *io);
// What surrounds the object's workload; zeroed where there is no cluster.
struct record_scene;
void io_cluster_scene(const struct io *io, struct object *o, int64_t now_ns, int64_t real_ns,
                      struct record_scene *ret);
// Has its ScaledObject such a trigger? True where there is no cluster.
bool io_cluster_has(struct io *io, struct object *o);
// KEDA has asked for it, and that is the first sign that its trigger is ours. True: a version with
// it is made soon, and decides about it.
bool io_cluster_meet(struct io *io, struct object *o);
void io_cluster_heard(struct io *io, const struct object *o); // its scalerAddress leads here
// Its ScaledObject is not there: it is refused (io_object_refuse()) if it is a ScaledJob.
void io_cluster_ask_job(struct io *io, struct object *o);
void io_cluster_forget_job(struct object *o);
void io_cluster_families(const struct io *io, struct prom_writer *w);
