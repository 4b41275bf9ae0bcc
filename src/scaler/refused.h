// SPDX-License-Identifier: Apache-2.0
/* What the log says of a client that did not get through TLS: who came, and why it was refused. */
#pragma once

#include "base/err.h"
#include "net/addr.h"

// For `refused` of the servers. Who only opened a port and went (a probe) is no line.
void scaler_log_refused(const char *server, const struct net_addr *peer, const struct err *why);
