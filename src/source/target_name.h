// SPDX-License-Identifier: Apache-2.0
/*
 * A configured HOST:PORT and the addresses that its name gives now, for agents and exporters: a
 * literal address once and for good, a name looked up again at an interval, sooner after something
 * was lost, later while it fails. Not for other folders.
 */
#pragma once

#include "base/random.h"
#include "net/addr.h"
#include "source/agents.h"

struct target_name;

// What the names of one owner share.
struct target_names {
    uv_loop_t *loop;
    const struct agents_resolver *resolver;
    int64_t interval_ns;
    struct random random;
    // All addresses that the name has now, with its port. Never called when it cannot be looked up.
    void (*found)(struct target_name *t, const struct net_addr *addresses, size_t n);
    // It cannot be looked up (the first failure of a row), or can again (why NULL).
    void (*told)(struct target_name *t, const struct err *why);
    uint64_t lookups, failures;
};

struct target_name {
    struct target_names *names;
    char host[NET_HOST_MAX];
    uint16_t port;
    bool literal, told_failed;
    struct net_addr addr; // literal
    void *request;        // a running lookup
    int64_t asked_ns, due_ns;
    unsigned failed;
};

// Reads HOST:PORT, a literal address or a name; "unix:/path" too. ERR_INVALID, ERR_PARSE, ERR_LIMIT
// with the remedy.
int target_name_parse(struct target_name *t, const char *text, struct err *e);
// Tells a literal address at once, else looks the name up.
void target_name_start(struct target_name *t, struct target_names *names);
void target_name_sweep(struct target_name *t, int64_t now_ns); // once a second or so
void target_name_look_again(struct target_name *t);            // something behind it was lost
void target_name_stop(struct target_name *t);
