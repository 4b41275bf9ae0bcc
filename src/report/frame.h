// SPDX-License-Identifier: Apache-2.0
/*
 * What the page shows of a run, as JSON (docs/page.md): a hello, then a frame for each policy about
 * once a second, at the end a table. A policy is a way to scale (the demo) or a workload (the
 * scaler). Strings are borrowed, UTF-8, and may be NULL where it says so.
 *
 * Unknown is not zero: a double that is not finite and a count below 0 are written as null. Start
 * every frame from frame_unknown.
 */
#pragma once

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum frame_kind { FRAME_DEMO, FRAME_SCALER };

struct frame_policy {
    const char *id;    // short, stable, unique: "cpu", "default/llm"
    const char *label; // for people: "CPU 70 %"
    const char *about; // half a line: "the HPA on CPU utilization"; NULL: nothing
};

struct frame_hello {
    const char
        *run; // names this run: frames of a page that comes back with another one are dropped
    const char *title;
    enum frame_kind kind;
    const struct frame_policy *policies;
    size_t policy_n;
    int32_t gpus;             // the budget; -1: none
    double usd_per_gpu_hour;  // NAN: unknown, no money is shown
    double speed;             // time constants of the control loops are divided by it; 1: none is
    double act_s;             // each policy's run; NAN: no end
    double start_unix_s;      // wall clock at t_s 0: the page shows times of day; NAN: seconds
    const char *const *notes; // what a reader must know to believe the figures
    size_t note_n;
};

enum frame_gpu_state {
    FRAME_GPU_UNKNOWN,
    FRAME_GPU_FREE,     // nobody holds it
    FRAME_GPU_STARTING, // its pod is not ready yet
    FRAME_GPU_IDLE,     // held, does nothing: money for nothing
    FRAME_GPU_BUSY,
};

enum frame_gpu_part {
    FRAME_PART_ALONE,   // no other pod holds the GPU
    FRAME_PART_OWN,     // others do: the values are of the pod's own processes
    FRAME_PART_UNKNOWN, // others do: the values are the whole GPU's
};

struct frame_gpu {
    int32_t index;   // within the run
    const char *pod; // NULL: none
    enum frame_gpu_state state;
    double utilization_pct, sm_pct, memory_pct; // NAN: unknown
    enum frame_gpu_part part;
};

enum frame_signal_state {
    FRAME_SIGNAL_UNKNOWN,
    FRAME_SIGNAL_QUIET,
    FRAME_SIGNAL_BREACHED,
    FRAME_SIGNAL_SIZES, // a capacity signal: says how many replicas
};

struct frame_signal {
    const char *name, *unit; // unit as it stands after a number: "/s", " %", ""; NULL: ""
    double value;            // of all replicas together, the lower end; NAN: unknown
    double upper;            // the upper end where part is unknown; NAN: none (not bounded)
    double target;           // a replica's share; NAN: none
    double age_s;            // NAN: unknown
    enum frame_signal_state state;
};

struct frame_decision {
    double t_s;
    const char *who;  // "HPA", "KEDA", "gpuscale"
    int32_t replicas; // -1: none (a notice)
    const char *text; // a sentence
};

struct frame {
    const char *policy; // its id
    double t_s;         // since the policy's start
    struct {
        int32_t wanted, spec, ready, starting;
    } replicas;
    struct {
        double arriving, served; // a second
    } rps;
    struct {
        int32_t engines, held; // requests that wait: in the engines, at the gateway
    } queue;
    const struct frame_gpu *gpus;
    size_t gpu_n;
    struct {
        double p50, p95, p99; // of requests that ended since the last frame; NAN: none did
    } latency_ms;
    int64_t errors, served; // requests, since the policy's start
    struct {                // since the policy's start
        double gpu_s, idle_gpu_s, burned_usd, idle_usd;
    } money;
    struct {
        const char *text; // "queue and gpuUtilization"; NULL: none
        const struct frame_signal *signals;
        size_t signal_n;
    } rule;
    const struct frame_decision *decisions; // since the last frame
    size_t decision_n;
};
extern const struct frame frame_unknown; // nothing known, no policy

struct frame_row {
    const char *policy;
    double gpu_s, idle_gpu_s, usd, p50_ms, p95_ms, p99_ms;
    int64_t errors, served, scale_events;
    double slo_pct; // of all requests, failed ones among them; told where frame_end has an slo
    bool whole;     // false: its run was cut short, and is not to be compared
};

struct frame_file {
    const char *name, *path; // "report", "/tmp/.../report.html"
};

struct frame_end {
    const struct frame_row *rows;
    size_t row_n;
    const struct frame_file *files;
    size_t file_n;
    const char *slo; // what slo_pct counts: "the first token within 2 s"; NULL: nothing
};

// Append one JSON object without a newline in it. 0; ERR_LIMIT or ERR_NOMEM of the buffer.
int frame_hello_json(struct buf *b, const struct frame_hello *h);
int frame_json(struct buf *b, const struct frame *f);
int frame_end_json(struct buf *b, const struct frame_end *e);
