// SPDX-License-Identifier: Apache-2.0
/* Recognising queries; see the header. */
#include "tools/generate_query.h"

#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "core/metrics/promql_lex.h"

// Metrics of GPU exporters, dcgm-exporter's and those of articles.
static const struct gpu_metric {
    const char *name;
    enum query_about about;
    enum signal signal;
    bool ratio;
} gpu_metrics[] = {
    {"DCGM_FI_DEV_GPU_UTIL", QUERY_SIGNAL, SIGNAL_GPU_UTILIZATION, false},
    {"DCGM_FI_PROF_GR_ENGINE_ACTIVE", QUERY_SIGNAL, SIGNAL_GPU_UTILIZATION, true},
    {"DCGM_FI_PROF_SM_ACTIVE", QUERY_SIGNAL, SIGNAL_SM_ACTIVITY, true},
    {"DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", QUERY_SIGNAL, SIGNAL_TENSOR_ACTIVITY, true},
    {"DCGM_FI_DEV_POWER_USAGE", QUERY_SIGNAL, SIGNAL_POWER, false},
    {"dcgm_gpu_utilization", QUERY_SIGNAL, SIGNAL_GPU_UTILIZATION, false},
    {"gpu_utilization", QUERY_SIGNAL, SIGNAL_GPU_UTILIZATION, false},
    {"nvidia_gpu_duty_cycle", QUERY_SIGNAL, SIGNAL_GPU_UTILIZATION, false},
    {"duty_cycle", QUERY_SIGNAL, SIGNAL_GPU_UTILIZATION, false},
    {"nvidia_smi_utilization_gpu_ratio", QUERY_SIGNAL, SIGNAL_GPU_UTILIZATION, true},
    {"DCGM_FI_DEV_FB_USED", QUERY_GPU_MEMORY, 0, false},
    {"DCGM_FI_DEV_FB_FREE", QUERY_GPU_MEMORY, 0, false},
    {"DCGM_FI_DEV_MEM_COPY_UTIL", QUERY_GPU_MEMORY, 0, false},
    {"gpu_memory_used", QUERY_GPU_MEMORY, 0, false},
    {"nvidia_smi_memory_used_bytes", QUERY_GPU_MEMORY, 0, false},
};

// What an engine's value is as a signal; SIGNAL_MAX: none of its own.
static const enum signal value_signal[ENGINE_VALUE_MAX] = {
    [ENGINE_QUEUE] = SIGNAL_QUEUE,
    [ENGINE_RUNNING] = SIGNAL_RUNNING,
    [ENGINE_KV_CACHE_RATIO] = SIGNAL_KV_CACHE,
    [ENGINE_REQUESTS_TOTAL] = SIGNAL_REQUEST_RATE,
    [ENGINE_PROMPT_TOKENS_TOTAL] = SIGNAL_MAX,
    [ENGINE_GENERATION_TOKENS_TOTAL] = SIGNAL_TOKEN_RATE,
    [ENGINE_ITL_SUM_S] = SIGNAL_MAX,
    [ENGINE_ITL_COUNT] = SIGNAL_MAX,
    [ENGINE_AWAKE] = SIGNAL_MAX,
};

// prometheus-adapter and recording rules write ':' as '_'.
static bool same_metric(struct str word, const char *name) {
    if (word.n != strlen(name))
        return false;
    for (size_t i = 0; i < word.n; i++)
        if (word.p[i] != name[i] && !(name[i] == ':' && word.p[i] == '_'))
            return false;
    return true;
}

static bool in_terms(struct str word, const struct engine_term *terms) {
    for (; terms && terms->name; terms++)
        if (same_metric(word, terms->name))
            return true;
    return false;
}

static bool in_ways(struct str word, const struct engine_way *ways) {
    for (; ways && ways->add; ways++)
        if (in_terms(word, ways->add) || in_terms(word, ways->per))
            return true;
    return false;
}

static bool engine_metric(struct str word, struct query_reading *q) {
    for (unsigned i = 0; i < engine_presets_n; i++) {
        const struct engine_preset *p = engine_presets[i];
        for (unsigned v = 0; v < ENGINE_VALUE_MAX; v++) {
            if (value_signal[v] == SIGNAL_MAX || !in_ways(word, p->values[v].ways))
                continue;
            q->about = QUERY_SIGNAL;
            q->signals |= 1u << value_signal[v];
            // Everybody counts http_requests_total.
            if (!q->preset && !str_starts(word, "http_"))
                q->preset = p;
            return true;
        }
        for (unsigned h = 0; h < ENGINE_HISTOGRAM_MAX; h++)
            if (in_terms(word, p->histograms[h].ways) && q->about == QUERY_UNKNOWN) {
                q->about = h == ENGINE_TTFT ? QUERY_TTFT : QUERY_TPOT;
                q->preset = p;
                return true;
            }
    }
    return false;
}

static bool gpu_metric(struct str word, struct query_reading *q) {
    for (size_t i = 0; i < COUNT_OF(gpu_metrics); i++) {
        const struct gpu_metric *m = &gpu_metrics[i];
        if (!str_eqc(word, m->name))
            continue;
        if (m->about == QUERY_SIGNAL) {
            q->about = QUERY_SIGNAL;
            q->signals |= 1u << m->signal;
            q->ratio = q->ratio || m->ratio;
        } else if (q->about == QUERY_UNKNOWN) {
            q->about = m->about;
        }
        return true;
    }
    return false;
}

static void on_label(struct str word, struct query_reading *q) {
    static const char *const labels[] = {"namespace",    "pod",
                                         "container",    "exported_namespace",
                                         "exported_pod", "exported_container"};
    for (size_t i = 0; i < COUNT_OF(labels); i++)
        q->narrowed = q->narrowed || str_eqc(word, labels[i]);
}

static void on_word(struct str word, struct query_reading *q, struct arena *a) {
    if (str_eqc(word, "avg") || str_eqc(word, "count") || str_eqc(word, "max") ||
        str_eqc(word, "quantile"))
        q->averaged = true;
    else if (str_eqc(word, "rate") || str_eqc(word, "irate") || str_eqc(word, "increase"))
        q->rate = true;
    else if (gpu_metric(word, q) || engine_metric(word, q))
        q->metric = q->metric ? q->metric : arena_strdup(a, word);
}

void query_read(struct str text, struct arena *a, struct query_reading *ret) {
    struct query_reading q = {0};
    struct err ignored = {0};
    struct promql_lexer l = {.text = text, .e = &ignored};
    unsigned braces = 0;
    bool quantile = false, hundred = false;
    while (promql_next(&l) == 0 && l.token.kind != PROMQL_END) {
        struct str t = l.token.text;
        if (l.token.kind == PROMQL_SYMBOL) {
            l.in_range = str_eqc(t, "[") || (l.in_range && !str_eqc(t, "]"));
            braces = str_eqc(t, "{") ? braces + 1 : str_eqc(t, "}") && braces ? braces - 1 : braces;
        } else if (l.token.kind == PROMQL_NUMBER) {
            double v = 0;
            (void)str_to_double(t, &v);
            hundred = hundred || v == 100; // a percentage is made of it
            if (quantile)
                q.quantile = v;
            quantile = false;
        } else if (l.token.kind == PROMQL_WORD) {
            quantile = str_eqc(t, "histogram_quantile");
            if (braces > 0)
                on_label(t, &q);
            else
                on_word(t, &q, a);
        }
    }
    q.ratio = q.ratio && !hundred;
    *ret = q;
}
