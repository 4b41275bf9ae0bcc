// SPDX-License-Identifier: Apache-2.0
/* gpuscale load, whole: options in, a run, its progress and its results out. */
#pragma once

#include "load/options.h"

// ERR_INVALID, ERR_LIMIT, ERR_PARSE: the options (wrong usage); else what failed.
int load_main(const struct load_flags *flags, struct err *e);
