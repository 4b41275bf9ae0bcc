// SPDX-License-Identifier: Apache-2.0
/* Finding presets and saying what they look for. */
#include "core/engine/preset.h"

#include <stdio.h>

#include "base/mem.h"

enum { PRESETS_MAX = 32 };

static const struct {
    const char *name;
    bool counter;
} value_info[ENGINE_VALUE_MAX] = {
    [ENGINE_QUEUE] = {"queue", false},
    [ENGINE_RUNNING] = {"running", false},
    [ENGINE_KV_CACHE_RATIO] = {"kvCache", false},
    [ENGINE_REQUESTS_TOTAL] = {"requests", true},
    [ENGINE_PROMPT_TOKENS_TOTAL] = {"promptTokens", true},
    [ENGINE_GENERATION_TOKENS_TOTAL] = {"generationTokens", true},
    [ENGINE_ITL_SUM_S] = {"interTokenLatencySum", true},
    [ENGINE_ITL_COUNT] = {"interTokenLatencyCount", true},
    [ENGINE_AWAKE] = {"awake", false},
};

const char *engine_value_name(enum engine_value v) {
    return value_info[v].name;
}

bool engine_value_is_counter(enum engine_value v) {
    return value_info[v].counter;
}

const char *engine_histogram_name(enum engine_histogram h) {
    static const char *const names[ENGINE_HISTOGRAM_MAX] = {
        [ENGINE_TTFT] = "timeToFirstToken",
        [ENGINE_TPOT] = "timePerOutputToken",
    };
    return names[h];
}

int engine_preset_find(struct str name, const struct engine_preset **ret, struct err *e) {
    const char *names[PRESETS_MAX + 1] = {NULL};
    char list[256] = "";
    size_t at = 0;
    for (unsigned i = 0; i < engine_presets_n && i < PRESETS_MAX; i++) {
        const struct engine_preset *p = engine_presets[i];
        if (str_eqc(name, p->name)) {
            *ret = p;
            return 0;
        }
        names[i] = p->name;
        int n = snprintf(list + at, sizeof(list) - at, "%s%s", i ? ", " : "", p->name);
        if (n > 0 && (size_t)n < sizeof(list) - at)
            at += (size_t)n;
    }
    const char *nearest = str_nearest(name, names);
    int shown = (int)(name.n < 64 ? name.n : 64);
    return err_set(e, ERR_NOTFOUND, "no engine \"%.*s\"%s%s%s; there are: %s", shown, name.p,
                   nearest ? ", did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "",
                   list);
}

const char *engine_preset_metric(const struct engine_preset *p, enum engine_value v) {
    return p->values[v].ways ? p->values[v].ways[0].add[0].name : NULL;
}

uint32_t engine_preset_provides(const struct engine_preset *p) {
    uint32_t provides = 0;
    for (int v = 0; v < ENGINE_VALUE_MAX; v++)
        if (p->values[v].ways)
            provides |= 1u << v;
    for (int h = 0; h < ENGINE_HISTOGRAM_MAX; h++)
        if (p->histograms[h].ways)
            provides |= ENGINE_HISTOGRAM_BIT(h);
    return provides;
}

// "name", or "name{type="used"}" where one value of a label is asked for.
static int add_term(struct buf *out, const struct engine_term *t) {
    int r = buf_addc(out, t->name);
    const char *between = "{";
    for (const struct engine_filter *f = t->where; f && f->label && r == 0; f++) {
        if (f->op != ENGINE_LABEL_IS || !f->value[0])
            continue;
        r = buf_addf(out, "%s%s=\"%s\"", between, f->label, f->value);
        between = ",";
    }
    return r == 0 && between[0] == ',' ? buf_add_byte(out, '}') : r;
}

// What may be absent is left out: without it nothing is missing.
static int add_way(struct buf *out, const struct engine_way *way) {
    int r = 0;
    for (const struct engine_term *t = way->add; t->name && r == 0; t++) {
        if (t->optional)
            continue;
        if (t != way->add)
            r = buf_addc(out, t->factor < 0 ? " - " : " + ");
        r = r ? r : add_term(out, t);
    }
    if (r == 0 && way->per)
        r = buf_addc(out, " / ");
    return r == 0 && way->per ? add_term(out, way->per) : r;
}

int engine_preset_names(const struct engine_preset *p, enum engine_value v, struct buf *out) {
    const struct engine_value_spec *spec = &p->values[v];
    size_t start = out->len;
    int r = 0;
    for (const struct engine_way *way = spec->ways; way && way->add && r == 0; way++) {
        if (way != spec->ways)
            r = buf_addc(out, " or ");
        if (r == 0)
            r = add_way(out, way);
    }
    if (r < 0)
        buf_truncate(out, start);
    return r;
}

int engine_preset_histogram_names(const struct engine_preset *p, enum engine_histogram h,
                                  struct buf *out) {
    const struct engine_term *ways = p->histograms[h].ways;
    size_t start = out->len;
    int r = 0;
    for (unsigned i = 0; ways && ways[i].name && r == 0; i++)
        r = buf_addf(out, "%s%s", i ? " or " : "", ways[i].name);
    if (r < 0)
        buf_truncate(out, start);
    return r;
}
