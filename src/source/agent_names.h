// SPDX-License-Identifier: Apache-2.0
/* The resolver that agents use by themselves: getaddrinfo on the loop's pool threads. */
#pragma once

#include "source/agents.h"

extern const struct agents_resolver agent_names_resolver;
