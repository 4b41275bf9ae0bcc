// SPDX-License-Identifier: Apache-2.0
/*
 * gpuscale certs: an authority and the three certificates that gpuscale in a cluster needs, as
 * files and as manifests; and what a certificate is good for, in words (docs/security.md).
 */
#pragma once

#include "base/err.h"
#include "net/certs.h"

enum certs_party { CERTS_SCALER, CERTS_AGENT, CERTS_KEDA, CERTS_PARTIES };

enum certs_job {
    CERTS_MAKE,    // a new authority and new certificates
    CERTS_RENEW,   // new certificates of the authority that is there
    CERTS_NEW_CA,  // a second authority beside it; certificates stay
    CERTS_DROP_CA, // authorities other than the newest are no longer trusted
};

struct certs_extra {
    enum certs_party party;
    struct certs_name name;
};

struct certs_options {
    enum certs_job job;
    const char *output; // a folder; NULL: nothing is kept
    bool force;         // overwrite what is there
    bool manifests;     // print Secrets and a ClusterTriggerAuthentication
    bool cert_manager;  // print what makes cert-manager make the certificates; nothing is made here
    const char *cert_manager_namespace; // where it keeps what its ClusterIssuers use
    const char *issuer;                 // KIND/NAME that is there already; NULL: one is printed
    const char *namespace_, *agent_namespace, *keda_namespace, *domain;
    int64_t days, ca_days;
    struct certs_extra extras[LIMIT_CERT_NAMES];
    size_t n_extras;
};

// Makes, writes and prints. ERR_INVALID, ERR_EXISTS (would overwrite), ERR_NOTFOUND (nothing to
// renew), ERR_IO, ...
int certs_main(const struct certs_options *o, struct err *e);
// Prints what is in the files. *ret_bad: certificates that are not good now, keys without their
// certificate. An error: a file that cannot be read or holds neither.
int certs_show_main(char *const *files, int n, unsigned *ret_bad, struct err *e);
