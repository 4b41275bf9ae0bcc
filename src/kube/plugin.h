// SPDX-License-Identifier: Apache-2.0
/*
 * Runs a credential plugin: a program of the user's kubeconfig, without a terminal, with a bounded
 * output and LIMIT_KUBE_EXEC_MS. One loop.
 */
#pragma once

#include <uv.h>

#include "base/err.h"
#include "base/str.h"
#include "kube/config.h"

struct kube_plugin;

// `info`: $KUBERNETES_EXEC_INFO. `done` once, from the loop: the output, or (output.p NULL) why
// there is none, with the plugin's own words. The plugin is gone after it. ERR_NOTFOUND: no such
// program, with its installHint; ERR_IO.
int kube_plugin_start(struct kube_plugin **ret, uv_loop_t *loop,
                      const struct kube_exec_config *config, const char *info,
                      void (*done)(void *ctx, struct str output, const struct err *e), void *ctx,
                      struct err *e);
// Ends it without `done`. The loop must turn until its handles are closed. NULL-safe.
struct kube_plugin *kube_plugin_free(struct kube_plugin *p);
