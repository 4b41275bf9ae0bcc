// SPDX-License-Identifier: Apache-2.0
/* The target: a URL taken apart, and the addresses behind its name. */
#pragma once

#include "base/limits.h"
#include "net/addr.h"

struct load_target {
    bool tls;
    char host[NET_HOST_MAX];          // without brackets: for the certificate
    char authority[NET_HOST_MAX + 8]; // for Host: the port only where it is not the scheme's own
    char path[LIMIT_URL_BYTES];       // with the query; "/" at least
    bool has_path;                    // more than "/" was given
    uint16_t port;
    struct net_addr addrs[LIMIT_LOAD_ADDRESSES];
    unsigned n_addrs;
};

// http or https, a host, perhaps a port, a path, a query. ERR_INVALID with the remedy.
int load_target_parse(struct load_target *ret, const char *url, struct err *e);
// Asks the resolver (it blocks). ERR_NOTFOUND, ERR_UNAVAILABLE with the resolver's reason.
int load_target_resolve(struct load_target *t, struct err *e);
