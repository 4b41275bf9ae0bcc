// SPDX-License-Identifier: Apache-2.0
/*
 * What a credential plugin prints and is told: ExecCredential of client.authentication.k8s.io/v1
 * (v1beta1 is the same). Pure.
 */
#pragma once

#include "base/buf.h"
#include "kube/config.h"

struct kube_credential {
    struct arena arena;
    const char *token;    // NULL: none
    struct str cert, key; // PEM; p NULL: none, else both
    int64_t expires_ns;   // since 1970; INT64_MAX: not told
};

// ERR_PARSE, ERR_INVALID with what is wrong (never with what is secret), ERR_NOMEM.
int kube_credential_parse(struct kube_credential *ret, struct str text, const char *api_version,
                          struct err *e);
void kube_credential_done(struct kube_credential *c); // wipes
// $KUBERNETES_EXEC_INFO for the plugin. `ca`: the cluster's CA as PEM (p NULL: none); used where
// the plugin asked for the cluster.
int kube_credential_info(struct buf *out, const struct kube_config *config, struct str ca);
