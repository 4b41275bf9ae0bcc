// SPDX-License-Identifier: Apache-2.0
/*
 * The demo's run as the page shows it: hello, a frame each second, the decisions in between, the
 * table at the end; served live, and kept as a report that opens from disk.
 */
#pragma once

#include <uv.h>

#include "playground/act.h"
#include "playground/table.h"

struct feed;

// `listen` NULL: not served, for the report alone.
int feed_open(struct feed **ret, uv_loop_t *loop, const char *listen, struct err *e);
const char *feed_url(const struct feed *f); // NULL: not served
void feed_close(struct feed *f);            // its sockets close on the loop's next turns

int feed_hello(struct feed *f, const struct plan *plan, const enum driver_policy *policies,
               size_t n);
// A decision or an event of the running act, told with the next frame. replicas -1: none.
void feed_event(struct feed *f, double t_s, const char *who, int replicas, const char *text);

struct feed_second {
    enum driver_policy policy;
    const struct act_view *view;
    double arriving, served; // requests a second; NAN: unknown
    double usd_per_gpu_hour;
    int64_t now_ns;
};
int feed_frame(struct feed *f, const struct feed_second *s);

struct feed_file {
    const char *name, *path;
};
int feed_end(struct feed *f, const struct table_row *rows, size_t n, const struct feed_file *files,
             size_t n_files);
// The page with the run inside.
int feed_write_report(const struct feed *f, const char *path, struct err *e);
