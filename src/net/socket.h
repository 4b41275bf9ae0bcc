// SPDX-License-Identifier: Apache-2.0
/* Socket options that listener and stream share (internal to net). */
#pragma once

// On a TCP socket, listening (accepted ones inherit them on Linux) or about to connect: no delay,
// keepalive, and an end for a peer that acknowledges nothing. Other sockets are left alone.
void net_socket_tune(int fd);
