// SPDX-License-Identifier: Apache-2.0
/* Between queries.c and queries_show.c. */
#pragma once

#include "base/arena.h"
#include "scaler/io.h"
#include "source/prometheus.h"

// One question to one server for one namespace, shared by the objects that ask it.
struct query {
    char *key; // "SERVER NAMESPACE QUERY"
    size_t server;
    char *namespace_, *text;
    struct signal_external last;
    char *why;    // what is wrong with the newest answer; NULL: nothing
    bool failing; // said once
    struct query_use *uses;
    UT_hash_handle hh;
};

struct queries {
    struct prometheus *source;
    struct query *by_key;
    struct arena strings; // headers
    bool stale;           // queries came or went since the source was told
    uint64_t answers[LIMIT_PROMETHEUS_SERVERS][EXTERNAL_STATE_MAX];
};
