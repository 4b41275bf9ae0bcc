// SPDX-License-Identifier: Apache-2.0
/*
 * Functions that this project does not call become compile errors that name the replacement.
 * Forced into every file of src/ by the build (-include). git's banned.h is the idea's origin.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// With _FORTIFY_SOURCE, clang's headers make macros of these two, which must not be poisoned.
#undef sprintf
#undef vsprintf
#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf strtok atoi atol atof localtime  \
    gmtime asctime ctime gets

// Not poisoned: OpenSSL's headers have parameters of these names.
#define rand(...) banned_use_base_random_h
#define srand(...) banned_use_base_random_h
