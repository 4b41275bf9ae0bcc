// SPDX-License-Identifier: Apache-2.0
/*
 * The client side of `gpuscale explain`: asks a running scaler's status API for its last decisions,
 * as sentences or as JSON. The rendering is the scaler's (status.h), so that curl shows the same.
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "net/tls.h"
#include "web/fetch_auth.h"

#define EXPLAIN_SERVER "http://127.0.0.1:9444"

struct explain_options {
    const char *server; // URL; NULL: EXPLAIN_SERVER
    const char *object; // "NAMESPACE/NAME"; NULL: all
    unsigned last;      // decisions of each, newest last
    bool json;
    struct net_tls_files tls;     // ca NULL: the system's trust
    const char *server_name;      // NULL: the URL's host
    struct fetch_auth_files auth; // all NULL: none
};

// Appends the answer to `out`. ERR_INVALID (server, object), ERR_NOTFOUND (no such object, the
// scaler's sentence), ERR_UNAVAILABLE (no answer: what failed and what to check), ERR_PROTO.
int explain_fetch(const struct explain_options *o, struct buf *out, struct err *e);
