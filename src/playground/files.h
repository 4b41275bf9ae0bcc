// SPDX-License-Identifier: Apache-2.0
/* The files of a demo's run, in a folder of their own: configuration, workloads, logs. */
#pragma once

#include "base/err.h"
#include "playground/pages.h"
#include "playground/service.h"

enum { FILES_PATH_MAX = 256 };

struct files {
    char folder[FILES_PATH_MAX]; // below $TMPDIR or /tmp
    char agent_config[FILES_PATH_MAX], agent_log[FILES_PATH_MAX];
    char scaler_config[FILES_PATH_MAX], scaler_log[FILES_PATH_MAX];
    char workloads[FILES_PATH_MAX];
    char load_socket[FILES_PATH_MAX];
};

int files_make(struct files *ret, struct err *e);
// Which pod holds which GPU, for the agent.
int files_write_agent(const struct files *f, struct err *e);
int files_write_scaler(const struct files *f, const char *agent_addr, const struct pages *pages,
                       struct err *e);
// Pods, their states and spec.replicas: stands in for the API server. Replaced atomically.
int files_write_workloads(const struct files *f, const struct service *service,
                          const struct pages *pages, struct err *e);
