// SPDX-License-Identifier: Apache-2.0
/*
 * Addresses: any bytes are refused with a sentence, or split into a host and a port; a literal one
 * is written as text that reads as what is written the same.
 */
#include "fuzz.h"
#include "net/addr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct str text = {(const char *)data, size};
    struct net_addr a, again;
    struct err e = {0};
    char host[NET_HOST_MAX], written[256], rewritten[256];
    uint16_t port;
    int split = net_addr_split(text, host, &port, &e);
    if (split < 0)
        require_message(&e);
    else
        require(strnlen(host, sizeof(host)) < sizeof(host));
    e = (struct err){0};
    int rc = net_addr_parse(text, &a, &e);
    if (rc < 0) {
        require(rc == ERR_PARSE || rc == ERR_NOTFOUND);
        require_message(&e);
        require(rc != ERR_NOTFOUND || split == 0);
        return 0;
    }
    net_addr_format(&a, written, sizeof(written));
    require(net_addr_parse(str_from(written), &again, NULL) == 0);
    net_addr_format(&again, rewritten, sizeof(rewritten));
    require(strcmp(written, rewritten) == 0); // an IPv4 address inside IPv6 comes back as itself
    return 0;
}
