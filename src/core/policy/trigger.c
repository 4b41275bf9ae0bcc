// SPDX-License-Identifier: Apache-2.0
/* Keys and values of the metadata, one table row a key. */
#include "core/policy/trigger.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/units.h"
#include "base/utf8.h"
#include "core/policy/trigger_bind.h"

struct key {
    const char *name;
    int (*set)(struct trigger_bind *b, const struct key *key, struct str value);
    size_t offset;   // of numbers and durations in struct trigger
    double min, max; // of numbers; of durations in seconds
    const char *allowed;
};

const char *trigger_shown(struct str s, char dst[TRIGGER_SHOWN_MAX]) {
    size_t n = s.n < 64 ? s.n : 64;
    if (n < s.n && utf8_valid(s.p, s.n))
        n = utf8_valid_prefix(s.p, n); // not through the middle of a character
    bool whole = utf8_valid(s.p, n);
    size_t i;
    for (i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        dst[i] = c < 0x20 || c == 0x7f || (c >= 0x80 && !whole) ? '?' : (char)c;
    }
    for (size_t dots = 0; n < s.n && dots < 3; dots++)
        dst[i++] = '.';
    dst[i] = '\0';
    return dst;
}

static int refuse(struct trigger_bind *b, const char *key, struct str value, const char *allowed) {
    char shown[TRIGGER_SHOWN_MAX];
    return err_set(b->e, ERR_INVALID, "%s: \"%s\" is not allowed; allowed: %s", key,
                   trigger_shown(value, shown), allowed);
}

bool trigger_parse_number(struct str s, double *ret) {
    double v;
    if (s.n == 0 || !(isdigit((unsigned char)s.p[0]) || s.p[0] == '.') ||
        (s.n > 1 && tolower((unsigned char)s.p[1]) == 'x') || str_to_double(s, &v) || !isfinite(v))
        return false;
    *ret = v;
    return true;
}

static int set_number(struct trigger_bind *b, const struct key *key, struct str value) {
    double v;
    if (!trigger_parse_number(value, &v) || v < key->min || v > key->max)
        return refuse(b, key->name, value, key->allowed);
    *(double *)((char *)b->t + key->offset) = v;
    return 0;
}

static int set_duration(struct trigger_bind *b, const struct key *key, struct str value) {
    int64_t ns;
    if (units_parse_duration_ns(value, &ns) || (double)ns < key->min * (double)NS_PER_S ||
        (double)ns > key->max * (double)NS_PER_S)
        return refuse(b, key->name, value, key->allowed);
    *(int64_t *)((char *)b->t + key->offset) = ns;
    return 0;
}

static int set_signal(struct trigger_bind *b, const struct key *key, struct str value) {
    int s = signal_by_name(str_from(key->name));
    double v;
    if (!trigger_parse_number(value, &v) || v < signals[s].target_min || v > signals[s].target_max)
        return refuse(b, key->name, value, signals[s].target_help);
    b->targets[s] = v;
    b->named |= 1u << s;
    return 0;
}

static int set_capacity(struct trigger_bind *b, const struct key *key, struct str value) {
    b->learn = str_eqc(value, "learn");
    return b->learn ? 0 : set_number(b, key, value);
}

static int set_work(struct trigger_bind *b, const struct key *key, struct str value) {
    b->work_units = str_eqc(value, "capacity");
    return b->work_units ? 0 : set_signal(b, key, value);
}

static int set_when(struct trigger_bind *b, const struct key *key, struct str value) {
    (void)key;
    b->when = value; // read when all signals are known
    return 0;
}

static int set_mode(struct trigger_bind *b, const struct key *key, struct str value) {
    if (str_eqc(value, "scale"))
        b->t->mode = MODE_SCALE;
    else if (str_eqc(value, "observe"))
        b->t->mode = MODE_OBSERVE;
    else
        return refuse(b, key->name, value, key->allowed);
    return 0;
}

static int set_engine(struct trigger_bind *b, const struct key *key, struct str value) {
    char shown[TRIGGER_SHOWN_MAX];
    const char *names[64] = {0};
    char list[256] = "";
    size_t used = 0;
    for (size_t i = 0; i < b->preset_n && i < COUNT_OF(names) - 1; i++) {
        names[i] = b->presets[i].name;
        if (str_eqc(value, names[i])) {
            b->preset = &b->presets[i];
            return str_copy(b->t->engine, sizeof(b->t->engine), value);
        }
        int n = snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "", names[i]);
        used = used + (size_t)n < sizeof(list) ? used + (size_t)n : sizeof(list) - 1;
    }
    const char *near = str_nearest(value, names);
    return err_set(b->e, ERR_INVALID, "%s: \"%s\" is no engine preset%s%s%s; allowed: %s",
                   key->name, trigger_shown(value, shown), near ? ", did you mean \"" : "",
                   near ? near : "", near ? "\"?" : "", list);
}

static int set_port(struct trigger_bind *b, const struct key *key, struct str value) {
    unsigned long long port;
    if (str_to_u64(value, &port) || port < 1 || port > 65535)
        return refuse(b, key->name, value, key->allowed);
    b->t->metrics_port = (uint16_t)port;
    return 0;
}

static int set_copy(struct trigger_bind *b, char **dst, struct str value) {
    *dst = mem_strndup(value.p, value.n);
    return *dst ? 0 : err_set(b->e, ERR_NOMEM, "no memory");
}

static int set_path(struct trigger_bind *b, const struct key *key, struct str value) {
    bool ok = value.n <= 1024 && value.p[0] == '/';
    for (size_t i = 0; ok && i < value.n; i++)
        ok = isgraph((unsigned char)value.p[i]) && value.p[i] != '#';
    return ok ? set_copy(b, &b->t->metrics_path, value) : refuse(b, key->name, value, key->allowed);
}

static int set_demand(struct trigger_bind *b, const struct key *key, struct str value) {
    bool ok = value.n <= 63 && isalpha((unsigned char)value.p[0]);
    for (size_t i = 0; ok && i < value.n; i++)
        ok = isalnum((unsigned char)value.p[i]) || strchr("-_.", value.p[i]);
    double number;
    if (!ok && trigger_parse_number(value, &number))
        return refuse(b, key->name, value,
                      "the name of a demand source of the scaler's configuration (what one "
                      "replica serves is said by capacity or requestRate)");
    return ok ? set_copy(b, &b->t->demand, value) : refuse(b, key->name, value, key->allowed);
}

static bool is_kube_name(struct str s) {
    bool ok = s.n > 0 && s.n < TRIGGER_NAME_MAX;
    for (size_t i = 0; ok && i < s.n; i++) {
        char c = s.p[i];
        bool edge = i == 0 || i + 1 == s.n;
        ok = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (!edge && (c == '-' || c == '.'));
    }
    return ok;
}

static int set_workload(struct trigger_bind *b, const struct key *key, struct str value) {
    static const struct {
        const char *prefix;
        enum trigger_target target;
    } kinds[] = {{"deployment/", TARGET_DEPLOYMENT},
                 {"statefulset/", TARGET_STATEFULSET},
                 {"selector:", TARGET_SELECTOR}};
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        if (!str_starts(value, kinds[i].prefix))
            continue;
        size_t skip = strlen(kinds[i].prefix);
        struct str rest = str_trim((struct str){value.p + skip, value.n - skip});
        bool ok = kinds[i].target == TARGET_SELECTOR ? rest.n > 0 : is_kube_name(rest);
        if (!ok)
            break;
        b->t->target = kinds[i].target;
        return set_copy(b, &b->t->target_name, rest);
    }
    return refuse(b, key->name, value, key->allowed);
}

#define NUMBER(field, lo, hi, text)                                                                \
    .set = set_number, .offset = offsetof(struct trigger, field), .min = (lo), .max = (hi),        \
    .allowed = (text)
#define DURATION(field, lo, hi, text)                                                              \
    .set = set_duration, .offset = offsetof(struct trigger, field), .min = (lo), .max = (hi),      \
    .allowed = (text)
#define TARGET .set = set_signal

static const struct key keys[] = {
    {"workload", set_workload,
     .allowed = "deployment/NAME, statefulset/NAME or selector:LABELS, of the ScaledObject's own "
                "namespace (without it: its own target)"},
    {"engine", set_engine},
    {"metricsPort", set_port, .allowed = "a port of 1 to 65535"},
    {"metricsPath", set_path, .allowed = "a path that begins with /"},
    {"capacity", set_capacity, .offset = offsetof(struct trigger, capacity), .min = 1e-6,
     .max = 1e9,
     .allowed = "requests a second that one replica serves, a number above 0; or learn"},
    {"requestRate", TARGET},
    {"tokenRate", TARGET},
    {"work", set_work},
    {"queue", TARGET},
    {"running", TARGET},
    {"kvCache", TARGET},
    {"gpuUtilization", TARGET},
    {"smActivity", TARGET},
    {"tensorActivity", TARGET},
    {"gpuMemory", TARGET},
    {"power", TARGET},
    {"when", set_when},
    {"activation", NUMBER(activation, 0, 1e9, "a number of 0 or more")},
    {"demand", set_demand,
     .allowed = "the name of a demand source of the scaler's configuration (a letter, then up to "
                "62 letters, digits, '-', '_' or '.')"},
    {"safety", NUMBER(safety, 0, 3, "a number of 0 to 3")},
    {"rateWindow", DURATION(rate_window_ns, 1, 600, "a duration of 1s to 10m")},
    {"downWindow", DURATION(down_window_ns, 0, 3600, "a duration of 0s to 1h")},
    {"tolerance", NUMBER(tolerance, 0, 0.5, "a ratio of 0 to 0.5")},
    {"downMargin", NUMBER(down_margin, 0, 0.9, "a ratio of 0 to 0.9")},
    {"maxAge", DURATION(max_age_ns, 5, 600, "a duration of 5s to 10m")},
    {"coldStart", DURATION(cold_start_ns, 0, 7200, "a duration of 0s (learned) to 2h")},
    {"burstMemory", DURATION(burst_memory_ns, 0, 86400, "a duration of 0s (off) to 24h")},
    {"ttft", DURATION(ttft_ns, 0.001, 600, "a duration of 1ms to 10m")},
    {"itl", DURATION(itl_ns, 0.001, 60, "a duration of 1ms to 1m")},
    {"sloGoal", NUMBER(slo_goal, 0.5, 0.9999, "a ratio of 0.5 to 0.9999")},
    {"mode", set_mode, .allowed = "scale or observe"},
};

static const char *const key_names[] = {
    "workload",   "engine",         "metricsPort", "metricsPath",
    "capacity",   "requestRate",    "tokenRate",   "queue",
    "running",    "kvCache",        "smActivity",  "gpuMemory",
    "power",      "gpuUtilization", "when",        "tensorActivity",
    "activation", "demand",         "safety",      "rateWindow",
    "downWindow", "tolerance",      "downMargin",  "maxAge",
    "coldStart",  "burstMemory",    "ttft",        "itl",
    "sloGoal",    "mode",           "work",        "prometheus.NAME",
    "query.NAME", "target.NAME",    NULL,
};

static const struct key *key_find(struct str name) {
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        if (str_eqc(name, keys[i].name))
            return &keys[i];
    return NULL;
}

// Keys of KEDA's external scaler itself; they come in the same map.
static bool is_keda_key(struct str name) {
    return str_eqc(name, "scalerAddress") || str_eqc(name, "enableTLS") ||
           str_eqc(name, "unsafeSsl");
}

static int refuse_key(struct trigger_bind *b, struct str name, struct str value) {
    char key[TRIGGER_SHOWN_MAX], shown[TRIGGER_SHOWN_MAX];
    const char *near = str_nearest(name, key_names);
    char list[400] = "";
    size_t used = 0;
    for (size_t i = 0; key_names[i]; i++) {
        int n = snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "", key_names[i]);
        used = used + (size_t)n < sizeof(list) ? used + (size_t)n : sizeof(list) - 1;
    }
    return err_set(b->e, ERR_INVALID, "unknown key \"%s\" (value \"%s\")%s%s%s; allowed: %s",
                   trigger_shown(name, key), trigger_shown(value, shown),
                   near ? ", did you mean \"" : "", near ? near : "", near ? "\"?" : "", list);
}

static int bind_pair(struct trigger_bind *b, struct str name, struct str value, uint64_t *seen) {
    char shown[TRIGGER_SHOWN_MAX];
    if (name.n > LIMIT_METADATA_VALUE_BYTES || value.n > LIMIT_METADATA_VALUE_BYTES)
        return err_set(b->e, ERR_LIMIT, "%s: longer than %d bytes", trigger_shown(name, shown),
                       LIMIT_METADATA_VALUE_BYTES);
    if (is_keda_key(name))
        return 0;
    bool from_env = str_ends(name, "FromEnv");
    struct str stem = {name.p, from_env ? name.n - strlen("FromEnv") : name.n};
    const struct key *key = key_find(stem);
    bool of_query = str_starts(stem, "prometheus.") || str_starts(stem, "query.") ||
                    str_starts(stem, "target.");
    if (!key && from_env && !of_query)
        return 0;
    if (!utf8_valid(name.p, name.n) || !utf8_valid(value.p, value.n) ||
        memchr(value.p ? value.p : "", '\0', value.n))
        return err_set(b->e, ERR_INVALID, "%s: not text (UTF-8 without NUL)",
                       trigger_shown(name, shown));
    value = str_trim(value);
    if (of_query)
        return trigger_query_key(b, stem, value);
    if (!key)
        return refuse_key(b, name, value);
    uint64_t bit = UINT64_C(1) << (key - keys);
    if (*seen & bit)
        return err_set(b->e, ERR_INVALID, "%s is given twice (%sFromEnv counts as %s)", key->name,
                       key->name, key->name);
    *seen |= bit;
    if (value.n == 0)
        return err_set(b->e, ERR_INVALID,
                       "%s: \"\" is not allowed: leave the key out or give a "
                       "value",
                       key->name);
    return key->set(b, key, value);
}

static void set_defaults(struct trigger *t) {
    t->safety = 0.3;
    t->rate_window_ns = 60 * NS_PER_S;
    t->down_window_ns = 300 * NS_PER_S;
    t->max_age_ns = 30 * NS_PER_S;
    t->tolerance = 0.05;
    t->down_margin = 0.1;
    t->ttft_ns = 2 * NS_PER_S;
    t->itl_ns = 100 * NS_PER_MS;
    t->slo_goal = 0.99;
}

int trigger_bind(struct trigger **ret, const struct trigger_kv *kv, size_t n,
                 const struct trigger_preset *presets, size_t preset_n, struct err *e) {
    if (n > LIMIT_METADATA_KEYS)
        return err_set(e, ERR_LIMIT, "%zu metadata keys, at most %d are read", n,
                       LIMIT_METADATA_KEYS);
    struct trigger *t = mem_zalloc(sizeof(*t));
    if (!t)
        return err_set(e, ERR_NOMEM, "no memory");
    set_defaults(t);
    struct trigger_bind b = {.t = t, .presets = presets, .preset_n = preset_n, .e = e};
    uint64_t seen = 0;
    int r = 0;
    for (size_t i = 0; r == 0 && i < n; i++)
        r = bind_pair(&b, kv[i].key, kv[i].value, &seen);
    if (r == 0 && !b.preset)
        r = set_engine(&b, key_find(STR("engine")), STR("custom"));
    if (r == 0)
        r = trigger_queries_end(&b);
    if (r == 0)
        r = trigger_make_rule(&b);
    if (r) {
        trigger_free(t);
        return r;
    }
    *ret = t;
    return 0;
}

struct trigger *trigger_free(struct trigger *t) {
    if (!t)
        return NULL;
    mem_free(t->target_name);
    mem_free(t->metrics_path);
    mem_free(t->demand);
    mem_free(t->when_text);
    for (uint32_t i = 0; i < t->query_n; i++) {
        mem_free(t->queries[i].server);
        mem_free(t->queries[i].query);
        mem_free(t->queries[i].enforced);
    }
    expr_done(&t->when);
    mem_free(t);
    return NULL;
}

const struct trigger_signal *trigger_rule_of(const struct trigger *t, enum signal s) {
    for (uint32_t i = 0; i < t->rule_n; i++)
        if (t->rule[i].signal == s)
            return &t->rule[i];
    return NULL;
}

const char *trigger_signal_name(const struct trigger *t, enum signal s) {
    uint32_t query = (uint32_t)s - SIGNAL_PROMETHEUS;
    return s >= SIGNAL_PROMETHEUS && query < t->query_n ? t->queries[query].name : signals[s].name;
}

uint32_t trigger_gpu_signals(const struct trigger *t) {
    uint32_t set = 0;
    for (uint32_t i = 0; i < t->rule_n; i++)
        if (signals[t->rule[i].signal].source == SIGNAL_FROM_GPU)
            set |= 1u << t->rule[i].signal;
    return set;
}

static int compare_str(struct str a, struct str b) {
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

static int compare_kv(const void *a, const void *b) {
    const struct trigger_kv *x = a, *y = b;
    int c = compare_str(x->key, y->key);
    return c ? c : compare_str(x->value, y->value);
}

int trigger_canonical(struct buf *b, const struct trigger_kv *kv, size_t n) {
    struct trigger_kv sorted[LIMIT_METADATA_KEYS];
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (is_keda_key(kv[i].key))
            continue;
        if (kept == LIMIT_METADATA_KEYS)
            return ERR_LIMIT;
        sorted[kept++] = kv[i];
    }
    qsort(sorted, kept, sizeof(sorted[0]), compare_kv);
    size_t before = b->len;
    int r = 0;
    for (size_t i = 0; r == 0 && i < kept; i++) {
        // Lengths in front: no choice of bytes in keys and values can look like another map.
        r = buf_addf(b, "%zu:%zu:", sorted[i].key.n, sorted[i].value.n);
        r = r ? r : buf_add_str(b, sorted[i].key);
        r = r ? r : buf_add_str(b, sorted[i].value);
    }
    if (r)
        buf_truncate(b, before);
    return r;
}
