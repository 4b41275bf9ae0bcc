// SPDX-License-Identifier: Apache-2.0
/*
 * `gpuscale generate`: reads workloads and what scales them now, makes a plan for each
 * (generate_plan.h) and writes it (generate_write.h) to stdout or into a folder. What is to be said
 * beside the manifests goes to stderr.
 */
#pragma once

#include "base/err.h"
#include "tools/generate_options.h"

// *ret_refused: workloads for which nothing was written, each told on stderr. ERR_PARSE,
// ERR_INVALID (input, with place and remedy), ERR_IO, ERR_EXISTS (a file of --output),
// ERR_UNAVAILABLE, ...
int generate_main(const struct generate_flags *flags, unsigned *ret_refused, struct err *e);
