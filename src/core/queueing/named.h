// SPDX-License-Identifier: Apache-2.0
/* A row of a table by its name, and what is said where there is none (internal to queueing). */
#pragma once

#include "base/err.h"
#include "base/str.h"

// `names` ends with NULL. ERR_NOTFOUND: "there is no WHAT 'x'; did you mean 'y'?; there are ...".
int named_find(const char *what, struct str name, const char *const *names, unsigned *ret,
               struct err *e);
