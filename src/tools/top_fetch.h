// SPDX-License-Identifier: Apache-2.0
/*
 * One refresh of `gpuscale top`: the scaler's lists of GPUs, workloads and triggers, page after
 * page, into a fresh snapshot. On a loop; one refresh at a time.
 */
#pragma once

#include <uv.h>

#include "net/tls.h"
#include "tools/top_model.h"
#include "web/fetch_auth.h"

struct top_fetch;

struct top_fetch_options {
    const char *server; // URL
    const struct net_tls_files *tls;
    const char *server_name;
    const struct fetch_auth_files *auth;
    // The snapshot (the callee's from now on, not finished yet) or NULL and why not.
    void (*done)(void *ctx, struct top_snapshot *s, const struct err *why);
    void *ctx;
};

int top_fetch_new(struct top_fetch **ret, uv_loop_t *loop, const struct top_fetch_options *o,
                  struct err *e);
struct top_fetch *top_fetch_free(struct top_fetch *f); // ends what runs, without `done`
// `done` comes later, always.
void top_fetch_start(struct top_fetch *f);
struct top_snapshot *top_snapshot_free(struct top_snapshot *s);
