// SPDX-License-Identifier: Apache-2.0
/* The files of a demo's run: a folder, in it one for each act with configuration, pods, logs. */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "playground/pool.h"

enum { FILES_PATH_MAX = 512 };

struct act_files {
    char folder[FILES_PATH_MAX];
    char agent_config[FILES_PATH_MAX], agent_log[FILES_PATH_MAX];
    char scaler_config[FILES_PATH_MAX], scaler_log[FILES_PATH_MAX];
    char workloads[FILES_PATH_MAX];
    char load_log[FILES_PATH_MAX], load_json[FILES_PATH_MAX];
    char load_socket[FILES_PATH_MAX]; // of the agent's simulated GPUs
};

// `out`, made where it is not there, or, where it is NULL, a new one below $TMPDIR or /tmp.
// ERR_INVALID, ERR_LIMIT: its path cannot stand in what is written for the programs.
int files_make(char ret_folder[FILES_PATH_MAX], const char *out, struct err *e);
// A path in a folder. ERR_LIMIT.
int files_join(char dst[FILES_PATH_MAX], const char *folder, const char *name, struct err *e);
// The act's folder in it.
int files_make_act(struct act_files *ret, const char *folder, const char *act, struct err *e);
// Which pod holds which GPU, for the agent.
int files_write_agent(const struct act_files *f, const struct pool *pool, struct err *e);
struct files_ports {
    const char *grpc, *http;     // where the scaler listens
    const char *agent, *gateway; // whom it reads
};
// `hasten`: intervals are divided by it, as far as the scaler goes.
int files_write_scaler(const struct act_files *f, const struct files_ports *ports, double hasten,
                       struct err *e);
// Pods, their states and spec.replicas: stands in for the API server. Replaced atomically.
int files_write_workloads(const struct act_files *f, const struct pool *pool, struct err *e);
int files_write(const char *path, struct str text, struct err *e); // atomically
