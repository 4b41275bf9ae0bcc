// SPDX-License-Identifier: Apache-2.0
/*
 * The program `gpuscale scaler`: starts the rpc thread, runs the io loop on the calling thread
 * until SIGTERM or SIGINT, ends gracefully.
 */
#pragma once

#include "scaler/config.h"

// `config` is borrowed until it returns. 0 after a graceful end; else the reason, with what to
// change.
int scaler_run(const struct scaler_config *config, struct err *e);
