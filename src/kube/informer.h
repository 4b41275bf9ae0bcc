// SPDX-License-Identifier: Apache-2.0
/* A reflector with a connection: lists and watches through a client, on its loop. */
#pragma once

#include "kube/client.h"
#include "kube/reflector.h"

struct kube_informer;

struct kube_informer_options {
    struct kube_client *client;
    // Its ctx goes to `state` too. None of these callbacks may call kube_client_* or
    // kube_informer_*.
    struct kube_reflector_options reflector;
    // It fails (each time: e has the sentence), or is well again (e->code 0). NULL: nobody asks.
    void (*state)(void *ctx, enum kube_fault fault, const struct err *e);
};

// Begins at once (from the loop). The strings of the options are borrowed.
int kube_informer_new(struct kube_informer **ret, const struct kube_informer_options *options,
                      struct err *e);
struct kube_informer *kube_informer_free(struct kube_informer *informer); // before its client
// Has the server answered the request that runs with a success? A quiet watch is well before it
// brings its first byte, which may take a minute.
bool kube_informer_answered(const struct kube_informer *informer);
const struct kube_reflector *kube_informer_reflector(const struct kube_informer *informer);
