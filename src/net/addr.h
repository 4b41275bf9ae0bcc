// SPDX-License-Identifier: Apache-2.0
/*
 * Addresses as people write them: "127.0.0.1:9443", "[::1]:0", ":9400" (all interfaces),
 * "host.example:80", "unix:/path".
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/un.h>

#include "base/err.h"
#include "base/str.h"

struct net_addr {
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    };
    socklen_t len;
};

enum { NET_HOST_MAX = 256 };

// Splits HOST:PORT. host "" means all interfaces. ERR_PARSE with the place and the remedy.
int net_addr_split(struct str text, char ret_host[NET_HOST_MAX], uint16_t *ret_port, struct err *e);
// A literal address (no DNS): 0, ERR_PARSE; ERR_NOTFOUND when the host is a name.
int net_addr_parse(struct str text, struct net_addr *ret, struct err *e);
// "127.0.0.1:9443", "unix:/path" into dst.
void net_addr_format(const struct net_addr *a, char *dst, size_t cap);
