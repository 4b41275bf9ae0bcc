// SPDX-License-Identifier: Apache-2.0
/* One call site for both servers: its rate limit holds for them together. */
#include "scaler/refused.h"

#include "base/log.h"

void scaler_log_refused(const char *server, const struct net_addr *peer, const struct err *why) {
    char from[NET_HOST_MAX];
    if (why->code != ERR_AUTH && why->code != ERR_PROTO)
        return;
    net_addr_format(peer, from, sizeof(from));
    log_warn("client refused", LOG_STR("server", server), LOG_STR("from", from), LOG_ERR(why));
}
