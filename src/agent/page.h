// SPDX-License-Identifier: Apache-2.0
/*
 * The agent's /metrics page, in three families of series that can be switched off apart:
 *
 *   dcgm     dcgm-exporter's names, units and labels, in its order: a drop-in for dashboards and
 * rules that were made for it classic  gpu_utilization (percent) and gpu_memory_used (bytes), which
 * many hand-written queries use own      gpuscale_*: base units, states of GPUs, owners, and the
 * agent itself
 *
 * A value that is not known is absent, never 0; a reading older than `stale_after_ns` is no longer
 * known (its age still is: gpuscale_gpu_reading_age_seconds). Reads no clock.
 */
#pragma once

#include "agent/kubelet.h"
#include "agent/state.h"
#include "base/buf.h"
#include "core/metrics/prom_write.h"

// How dcgm-exporter's host label is spelled: "Hostname" until its change of 2026-05-12, "hostname"
// since. Dashboards and rules in use were written for the first, which is therefore the default.
enum agent_hostname_label { AGENT_HOSTNAME_UPPER, AGENT_HOSTNAME_LOWER };

struct agent_page_options {
    bool dcgm, classic, own;
    bool shares; // they are read
    enum agent_hostname_label hostname_label;
    int64_t stale_after_ns;
};

enum { AGENT_PAGE_TLS_PORTS = 2 };
struct agent_page_tls { // of one port
    const char *server;
    uint64_t handshake_failures, certificates_refused;
    int64_t not_after_s; // 0: no certificate
};

// What the page says of the agent itself; filled by the owner of each figure.
struct agent_page_stats {
    const char *node, *source; // "sim"
    bool source_open;
    bool dcgm_exporter_found;
    struct agent_kubelet_stats kubelet;
    unsigned streams;
    uint64_t stream_messages, stream_skips, streams_ended_slow;
    uint64_t scrapes, bad_requests;
    uint64_t rounds_discarded;
    bool config_ok; // the last (re)load
    uint64_t log_lines_lost;
    struct agent_page_tls tls[AGENT_PAGE_TLS_PORTS];
    double cpu_s, start_time_s;
    uint64_t resident_bytes; // 0: unknown
};

// One page in one format; the agent keeps one of each, made when somebody asks for it.
struct agent_page {
    enum prom_format format;
    struct buf text, gzip; // gzip empty: not made yet
    struct buf labels;     // scratch
    bool rendered;
    uint64_t version;
    uint64_t rounds;
    int64_t at_ns;
    struct agent_page_options options;
};

enum { AGENT_PAGE_BYTES_MAX = 8 << 20 };

void agent_page_init(struct agent_page *p, enum prom_format format);
void agent_page_done(struct agent_page *p);
// Whether `text` still says what it should: same state, same round, same options, and not older
// than an interval (ages and the stall grow while no round ends).
bool agent_page_is_fresh(const struct agent_page *p, const struct agent_state *s,
                         const struct agent_page_options *o, int64_t now_ns);
// Renders `text` (and drops `gzip`). ERR_LIMIT, ERR_NOMEM: `text` is empty then.
int agent_page_render(struct agent_page *p, const struct agent_state *s,
                      const struct agent_page_options *o, const struct agent_page_stats *stats,
                      int64_t now_ns);
// The page compressed, made on the first call after a rendering. ERR_NOMEM.
int agent_page_gzip(struct agent_page *p, struct str *ret);
