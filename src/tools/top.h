// SPDX-License-Identifier: Apache-2.0
/* `gpuscale top`: GPUs and workloads of a running scaler in a terminal, redrawn in place. */
#pragma once

#include "core/cost/price.h"
#include "net/tls.h"
#include "tools/top_model.h"
#include "web/fetch_auth.h"

#define TOP_SERVER "http://127.0.0.1:9444"

struct top_options {
    const char *server; // URL
    struct net_tls_files tls;
    const char *server_name;
    struct fetch_auth_files auth; // all NULL: none
    int64_t interval_ns;
    bool once; // also where standard output is no terminal
    bool json; // one object a refresh, instead of frames
    struct top_choice choice;
    struct price_list prices;
};

// Until the user quits, a signal ends it (then as after `q`), or the first refresh with `once`. The
// scaler's absence is shown and waited out, save with `once`. ERR_INVALID, ERR_UNAVAILABLE,
// ERR_PROTO, ERR_IO (the terminal or the output) with what to do.
int top_run(const struct top_options *o, struct err *e);
