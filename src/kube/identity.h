// SPDX-License-Identifier: Apache-2.0
/*
 * Whom we trust and who we are, now: the CA and the certificate are read again when their files
 * change, a token's file for each request, a credential plugin runs when its credential has expired
 * or was refused. One loop.
 */
#pragma once

#include <uv.h>

#include "kube/config.h"
#include "web/fetch_auth.h"

struct kube_identity;

// `config` is borrowed. `changed` tells the end of a plugin's run that kube_identity_ask() began:
// e->code is 0, or why there is no credential. Errors of kube_config's files, with their place.
int kube_identity_new(struct kube_identity **ret, uv_loop_t *loop, const struct kube_config *config,
                      void (*changed)(void *ctx, const struct err *e), void *ctx, struct err *e);
struct kube_identity *kube_identity_free(struct kube_identity *id); // the loop must turn

// Before each request. 0: the two below are good for it; ERR_AGAIN: a plugin runs, `changed` will
// be told; else why not.
int kube_identity_ask(struct kube_identity *id, int64_t mono_ns, int64_t real_ns, struct err *e);
struct fetch_tls *kube_identity_tls(const struct kube_identity *id);         // NULL: plain HTTP
const struct fetch_auth *kube_identity_auth(const struct kube_identity *id); // NULL: none
// The server answered 401. True: another try may have another credential (a plugin will run, the
// token's file may have changed).
bool kube_identity_refused(struct kube_identity *id);
// Why files that changed could not be read again (the old ones are in use); code 0: nothing.
const struct err *kube_identity_trouble(const struct kube_identity *id);
