// SPDX-License-Identifier: Apache-2.0
/* The usual soft limit of 1024 descriptors is far below the connections that our servers allow. */
#pragma once

#include <stdint.h>

// Raises the process's soft limit to `wanted`, as far as the hard one lets it; never lowers it. How
// many there may be now.
uint64_t net_descriptors_raise(uint64_t wanted);
