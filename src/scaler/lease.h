// SPDX-License-Identifier: Apache-2.0
/*
 * The election (election.h) carried to the API server: the Lease is read and written when the state
 * machine says so, and the owner is told when something may have changed. io thread.
 */
#pragma once

#include "kube/client.h"
#include "scaler/election.h"

struct lease;

struct lease_options {
    struct kube_client *kube;
    const char *namespace_, *name; // of the Lease; copied
    const char *identity, *address;
    uint64_t seed;
    // After each answer, and when the time of a leader is over: ask lease_leads(), lease_record().
    // lease_*() but lease_free() may be called.
    void (*changed)(void *ctx);
    // The API server refuses or is away (each time another reason comes), or is well again (NULL).
    void (*trouble)(void *ctx, const struct err *why);
    void *ctx;
};

// Begins at once, from the loop.
int lease_new(struct lease **ret, const struct lease_options *options, struct err *e);
struct lease *lease_free(struct lease *l); // before its client; NULL-safe; not inside a callback
bool lease_leads(const struct lease *l, int64_t now_ns); // at this very moment
// What the Lease says, as last read; NULL: not known yet.
const struct election_record *lease_record(const struct lease *l);
bool lease_ours(const struct lease *l); // the record names us
// Whether it may take the Lease (from the beginning: no), or only reads whose it is.
void lease_stand(struct lease *l, bool stands);
void lease_hurry(struct lease *l);  // somebody says that it is free
void lease_resign(struct lease *l); // `changed` tells when lease_over()
bool lease_over(const struct lease *l);
struct lease_stats {
    uint64_t takes, losses, failures;
};
struct lease_stats lease_stats(const struct lease *l);
