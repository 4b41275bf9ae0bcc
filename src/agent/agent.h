// SPDX-License-Identifier: Apache-2.0
/*
 * The node daemon: a sampler thread that reads the GPUs (and may hang with their driver), and the
 * I/O thread, the caller's, that serves what was read: /metrics, Watch streams, health.
 */
#pragma once

#include "agent/config.h"

// Runs until SIGTERM or SIGINT. `config` is taken over; argc and argv are read again on SIGHUP and
// when the configuration file changes. Returns the exit status: 0; 2 for a configuration that
// cannot work (e says which), 1 for a failure while running. *ret_thread_held: the driver still
// holds the sampler thread; end with _exit(), for what runs at exit() (the destructors of the
// driver's library) must not run beside it.
int agent_run(struct agent_config_file *config, int argc, char **argv, bool *ret_thread_held,
              struct err *e);
