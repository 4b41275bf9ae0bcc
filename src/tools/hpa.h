// SPDX-License-Identifier: Apache-2.0
/* `gpuscale hpa`: cases in, answers out. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

struct hpa_options {
    char *const *files; // n of them; none: standard input. "-" is standard input
    int n;
    bool json;
};

// Answers on standard output as the cases come, invalid ones on standard error. *ret_invalid: how
// many. ERR_IO: a file cannot be read, or nobody takes the answers.
int hpa_main(const struct hpa_options *o, unsigned long *ret_invalid, struct err *e);
