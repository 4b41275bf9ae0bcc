// SPDX-License-Identifier: Apache-2.0
/*
 * A page of series becomes a list of GPUs. The names of all exporters are looked for at once; each
 * series of interest finds its GPU by UUID and MIG instance, sets one value and names one holder.
 * What only the whole page can say (holders' spelling, MIG parents) is settled at the end.
 */
#include "core/exporter/page.h"

#include <assert.h>
#include <math.h>

#include "base/limits.h"
#include "base/map.h"
#include "base/vec.h"
#include "core/exporter/holders.h"

enum { NAMES_MAX = 192, NAMES_BYTES = 8 << 10, NO_RANK = 255 };
// Of a ratio or percentage: counters of neighbouring windows may give a little more than all.
static const double rounding = 1.01;

// What one metric name means; its place in the table is its rank among those of the same value.
struct wanted {
    const struct exporter_kind *kind;
    int what;
    double factor;
};

struct entry {
    struct exporter_gpu gpu;
    struct holders holders;
    uint64_t differs; // values told differently, by bit
    uint8_t rank[GPU_VALUE_MAX], rank_total;
};

struct exporter_page {
    struct prom_parser parser;
    struct str names[NAMES_MAX];
    struct wanted wanted[NAMES_MAX];
    size_t n_names;
    struct arena names_arena;
    // Which label of its kind's list the i-th label of the last series was: the next one's is
    // mostly the same.
    const struct exporter_label *guess[PROM_LABELS_MAX];
    const struct exporter_kind *guess_kind;
    struct VEC(struct entry) entries;
    size_t hint; // the entry after the last one found
    struct arena arena;
    int best;                           // spelling of pods
    double collected_at, boards_energy; // energy: of MIG instances' rows, for the mark alone
    struct exporter_page_result sum;
};

// --- names ---

static int add_name(struct exporter_page *pg, const struct exporter_kind *kind, const char *name,
                    int what, double factor, bool lower) {
    assert(pg->n_names < NAMES_MAX);
    if (lower) {
        char *copy = arena_strdup(&pg->names_arena, str_from(name));
        if (!copy)
            return ERR_NOMEM;
        for (char *c = copy; *c; c++)
            if (*c >= 'A' && *c <= 'Z')
                *c = (char)(*c - 'A' + 'a');
        name = copy;
    }
    pg->names[pg->n_names] = str_from(name);
    pg->wanted[pg->n_names++] = (struct wanted){kind, what, factor};
    return 0;
}

static int add_dcgm_names(struct exporter_page *pg, const struct exporter_kind *kind) {
    for (int lower = 0; lower < 2; lower++)
        for (int v = 0; v < GPU_VALUE_MAX; v++) {
            const struct gpu_value_info *info = &gpu_values[v];
            if (info->dcgm && add_name(pg, kind, info->dcgm, v, info->dcgm_factor, lower) < 0)
                return ERR_NOMEM;
        }
    return 0;
}

static int add_names(struct exporter_page *pg) {
    for (unsigned k = 0; k < exporter_kinds_n; k++) {
        const struct exporter_kind *kind = &exporter_kinds[k];
        if (kind->dcgm_names && add_dcgm_names(pg, kind) < 0)
            return ERR_NOMEM;
        for (const struct exporter_metric *m = kind->metrics; m->name; m++)
            add_name(pg, kind, m->name, m->what, m->factor, false);
    }
    prom_parser_select(&pg->parser, pg->names, pg->n_names);
    return 0;
}

// --- one series ---

static const struct exporter_label *find_label(const struct exporter_label *list, struct str name) {
    for (const struct exporter_label *l = list; l->name; l++)
        if (str_eqc(name, l->name))
            return l;
    return NULL;
}

// The labels by field; of two that name the same field the first in the kind's list that says
// something.
static void read_labels(struct exporter_page *pg, const struct exporter_kind *kind,
                        const struct prom_sample *s, struct str fields[EXPORTER_FIELDS]) {
    const struct exporter_label *from[EXPORTER_FIELDS] = {0};
    if (pg->guess_kind != kind)
        memset(pg->guess, 0, sizeof(pg->guess));
    pg->guess_kind = kind;
    for (size_t i = 0; i < s->n_labels; i++) {
        const struct prom_label *label = &s->labels[i];
        const struct exporter_label *l = pg->guess[i];
        if (!l || !str_eqc(label->name, l->name)) {
            l = find_label(kind->labels, label->name);
            if (l)
                pg->guess[i] = l;
        }
        if (!l || label->value.n == 0 || (from[l->field] && from[l->field] < l))
            continue;
        from[l->field] = l;
        fields[l->field] = label->value;
    }
}

static uint32_t number(struct str s) {
    unsigned long long n;
    return s.n && str_to_u64(s, &n) == 0 && n <= UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

static bool is(const struct entry *x, struct str uuid, const char *prefix, bool mig,
               uint32_t instance) {
    size_t n = strlen(prefix);
    return x->gpu.mig == mig && x->gpu.gpu_instance_id == instance &&
           strncmp(x->gpu.uuid, prefix, n) == 0 && str_eqc(uuid, x->gpu.uuid + n);
}

static int out_of_memory(const struct exporter_page *pg, struct err *e) {
    if (pg->arena.used + sizeof(struct gpu_owner) > pg->arena.max)
        return err_set(e, ERR_LIMIT,
                       "names on the page are longer than %d bytes together "
                       "(LIMIT_EXPORTER_NAME_BYTES)",
                       LIMIT_EXPORTER_NAME_BYTES);
    return err_set(e, ERR_NOMEM, "no memory");
}

static int new_entry(struct exporter_page *pg, const struct exporter_kind *kind, struct str uuid,
                     const char *prefix, bool mig, uint32_t instance, struct entry **ret,
                     struct err *e) {
    struct entry x = {.gpu = {.kind = kind, .mig = mig, .gpu_instance_id = instance}};
    struct exporter_gpu *g = &x.gpu;
    memset(x.rank, NO_RANK, sizeof(x.rank));
    x.rank_total = NO_RANK;
    g->mig_uuid = g->mig_profile = g->node = g->model = g->pci_bus_id = g->driver_version = "";
    g->uuid = arena_printf(&pg->arena, "%s" STR_FMT, prefix, STR_ARG(uuid));
    g->id = mig && g->uuid ? arena_printf(&pg->arena, "%s/gi%u", g->uuid, instance) : g->uuid;
    if (!g->id)
        return out_of_memory(pg, e);
    int r = vec_push(&pg->entries, x);
    if (r == ERR_LIMIT)
        return err_set(e, r, "more than %d GPUs on one page (LIMIT_GPU_ENTITIES_PER_NODE)",
                       LIMIT_GPU_ENTITIES_PER_NODE);
    if (r < 0)
        return err_set(e, r, "no memory");
    *ret = &pg->entries.items[pg->entries.n - 1];
    return 0;
}

// The GPU of a series: *ret is NULL where its labels name none.
static int find_entry(struct exporter_page *pg, const struct exporter_kind *kind,
                      const struct str fields[EXPORTER_FIELDS], struct entry **ret, struct err *e) {
    struct str uuid = fields[EXPORTER_UUID];
    bool mig = fields[EXPORTER_GPU_INSTANCE].n > 0;
    uint32_t instance = mig ? number(fields[EXPORTER_GPU_INSTANCE]) : 0;
    const char *prefix = kind->uuid_prefix && !str_starts(uuid, kind->uuid_prefix) &&
                                 !str_starts(uuid, "MIG-")
                             ? kind->uuid_prefix
                             : "";
    *ret = NULL;
    if (uuid.n == 0 || uuid.n + strlen(prefix) >= GPU_UUID_MAX || instance == UINT32_MAX) {
        pg->sum.unnamed++;
        return 0;
    }
    // Families list the GPUs in one order: the next is the one after the last.
    size_t n = pg->entries.n;
    for (size_t i = 0; i < n; i++) {
        size_t at = pg->hint + i < n ? pg->hint + i : pg->hint + i - n;
        if (is(&pg->entries.items[at], uuid, prefix, mig, instance)) {
            pg->hint = at + 1 < n ? at + 1 : 0;
            *ret = &pg->entries.items[at];
            return 0;
        }
    }
    pg->hint = 0;
    return new_entry(pg, kind, uuid, prefix, mig, instance, ret, e);
}

static int set_text(struct exporter_page *pg, const char **text, struct str value, size_t max) {
    if (value.n == 0 || **text || value.n >= max)
        return 0;
    char *copy = arena_strdup(&pg->arena, value);
    if (!copy)
        return ERR_NOMEM;
    *text = copy;
    return 0;
}

static int set_info(struct exporter_page *pg, struct exporter_gpu *g,
                    const struct str fields[EXPORTER_FIELDS]) {
    const struct {
        const char **to;
        enum exporter_field field;
        size_t max;
    } texts[] = {
        {&g->model, EXPORTER_MODEL, GPU_MODEL_MAX},
        {&g->pci_bus_id, EXPORTER_PCI_BUS_ID, GPU_PCI_MAX},
        {&g->driver_version, EXPORTER_DRIVER, GPU_DRIVER_MAX},
        {&g->node, EXPORTER_NODE, KUBE_NAME_MAX},
        {&g->mig_profile, EXPORTER_MIG_PROFILE, sizeof(((struct gpu_info *)0)->mig_profile)},
        {&g->mig_uuid, EXPORTER_MIG_UUID, GPU_UUID_MAX},
    };
    int r = 0;
    for (size_t i = 0; i < COUNT_OF(texts) && r == 0; i++)
        r = set_text(pg, texts[i].to, fields[texts[i].field], texts[i].max);
    uint32_t index = number(fields[EXPORTER_INDEX]);
    if (index != UINT32_MAX)
        g->index = index;
    return r;
}

static void set_total(struct exporter_page *pg, struct entry *x, double v, uint8_t rank) {
    if (!isfinite(v) || v <= 0 || v > gpu_values[GPU_MEMORY_USED_BYTES].max)
        pg->sum.bad_values++;
    else if (rank < x->rank_total) {
        x->gpu.memory_total_bytes = (uint64_t)v;
        x->rank_total = rank;
    }
}

// True where the range has a largest value by its nature.
static bool is_share(const struct gpu_value_info *info) {
    return info->max == 1 || info->max == 100;
}

// What a MIG instance has not of its own: exporters repeat the board's (power, energy), or tell of
// something that the driver does not measure there (utilization).
static bool is_boards(int what) {
    switch (what) {
    case GPU_UTILIZATION_PCT:
    case GPU_MEMORY_COPY_PCT:
    case GPU_ENCODER_PCT:
    case GPU_DECODER_PCT:
    case GPU_POWER_W:
    case GPU_POWER_LIMIT_W:
    case GPU_ENERGY_J:
        return true;
    default:
        return false;
    }
}

static void set_value(struct exporter_page *pg, struct entry *x, int what, double v, uint8_t rank) {
    const struct gpu_value_info *info = &gpu_values[what];
    struct gpu_reading *r = &x->gpu.reading;
    if (is_share(info) && v > info->max && v <= info->max * rounding)
        v = info->max;
    if (!isfinite(v) || v < info->min || v > info->max) {
        pg->sum.bad_values++;
        return;
    }
    if (is_boards(what) && (x->gpu.mig || str_starts(str_from(x->gpu.uuid), "MIG-"))) {
        if (what == GPU_ENERGY_J)
            pg->boards_energy += v; // still a sign of life
        return;
    }
    if (rank > x->rank[what])
        return;
    if (rank < x->rank[what]) {
        x->rank[what] = rank;
        x->differs &= ~(UINT64_C(1) << what);
        gpu_reading_set(r, (enum gpu_value)what, v);
    } else if (r->v[what] != v) {
        x->differs |= UINT64_C(1) << what;
    }
}

static void set_time(struct exporter_gpu *g, const struct prom_sample *s) {
    if (s->has_timestamp && s->timestamp_ms > 0 &&
        (g->told_ms == 0 || s->timestamp_ms < g->told_ms))
        g->told_ms = s->timestamp_ms;
}

static int on_sample(void *ctx, const struct prom_sample *s, struct err *e) {
    struct exporter_page *pg = ctx;
    const struct wanted *w = &pg->wanted[s->selected];
    if (w->what == EXPORTER_COLLECTED_AT) {
        pg->collected_at = s->value;
        return 0;
    }
    struct str fields[EXPORTER_FIELDS] = {0};
    struct entry *x;
    read_labels(pg, w->kind, s, fields);
    int r = find_entry(pg, w->kind, fields, &x, e);
    if (r < 0 || !x || x->gpu.kind != w->kind)
        return r;
    if (set_info(pg, &x->gpu, fields) < 0 ||
        (w->kind->names_pods && holders_take(&x->holders, &pg->arena, fields, &pg->best) < 0))
        return out_of_memory(pg, e);
    uint8_t rank = (uint8_t)s->selected;
    double ours = s->value / w->factor;
    if (w->what == EXPORTER_MEMORY_TOTAL)
        set_total(pg, x, ours, rank);
    else if (w->what < GPU_VALUE_MAX)
        set_value(pg, x, w->what, ours, rank);
    set_time(&x->gpu, s);
    return 0;
}

// --- a page ---

static void page_clear(struct exporter_page *pg) {
    vec_clear(&pg->entries);
    arena_reset(&pg->arena);
    pg->hint = 0;
    pg->best = EXPORTER_SPELLINGS;
    pg->collected_at = NAN;
    pg->boards_energy = 0;
    pg->sum = (struct exporter_page_result){0};
}

int exporter_page_new(struct exporter_page **ret, struct err *e) {
    struct exporter_page *pg = mem_zalloc(sizeof(*pg));
    if (!pg)
        return err_set(e, ERR_NOMEM, "no memory");
    vec_init(&pg->entries, LIMIT_GPU_ENTITIES_PER_NODE);
    arena_init(&pg->arena, LIMIT_EXPORTER_NAME_BYTES);
    arena_init(&pg->names_arena, NAMES_BYTES);
    prom_parser_init(&pg->parser, on_sample, pg);
    page_clear(pg);
    if (add_names(pg) < 0) {
        exporter_page_free(pg);
        return err_set(e, ERR_NOMEM, "no memory");
    }
    *ret = pg;
    return 0;
}

struct exporter_page *exporter_page_free(struct exporter_page *pg) {
    if (pg) {
        prom_parser_done(&pg->parser);
        vec_done(&pg->entries);
        arena_done(&pg->arena);
        arena_done(&pg->names_arena);
        mem_free(pg);
    }
    return NULL;
}

void exporter_page_reset(struct exporter_page *pg) {
    prom_parser_reset(&pg->parser);
    page_clear(pg);
}

int exporter_page_feed(struct exporter_page *pg, const char *bytes, size_t n, struct err *e) {
    return prom_parser_feed(&pg->parser, bytes, n, e);
}

enum prom_fault exporter_page_fault(const struct exporter_page *pg) {
    return prom_parser_fault(&pg->parser);
}

// Memory: what two of total, used and free say about the third.
static void complete_memory(struct exporter_gpu *g) {
    double used = 0, free_ = 0, reserved = 0, total = (double)g->memory_total_bytes;
    bool has_used = gpu_reading_get(&g->reading, GPU_MEMORY_USED_BYTES, &used);
    bool has_free = gpu_reading_get(&g->reading, GPU_MEMORY_FREE_BYTES, &free_);
    bool has_reserved = gpu_reading_get(&g->reading, GPU_MEMORY_RESERVED_BYTES, &reserved);
    if (total > 0 && has_used && !has_free && total - used - reserved >= 0)
        gpu_reading_set(&g->reading, GPU_MEMORY_FREE_BYTES, total - used - reserved);
    else if (total == 0 && has_used && has_free && has_reserved)
        g->memory_total_bytes = (uint64_t)(used + free_ + reserved);
}

static void drop_value(struct gpu_reading *r, int v) {
    r->valid &= ~(UINT64_C(1) << v);
    r->v[v] = 0;
}

// A GPU that is divided has no utilization of its own either.
static void settle_parents(struct exporter_page *pg) {
    for (size_t i = 0; i < pg->entries.n; i++) {
        if (!pg->entries.items[i].gpu.mig)
            continue;
        for (size_t k = 0; k < pg->entries.n; k++) {
            struct exporter_gpu *g = &pg->entries.items[k].gpu;
            if (!g->mig && !strcmp(g->uuid, pg->entries.items[i].gpu.uuid))
                drop_value(&g->reading, GPU_UTILIZATION_PCT);
        }
    }
}

static void settle_values(struct exporter_page *pg, struct entry *x) {
    struct gpu_reading *r = &x->gpu.reading;
    for (int v = 0; v < GPU_VALUE_MAX; v++)
        if (x->differs >> v & 1) {
            drop_value(r, v);
            pg->sum.differing++;
        }
    complete_memory(&x->gpu);
}

static int settle_holders(struct exporter_page *pg) {
    for (size_t i = 0; i < pg->entries.n; i++) {
        struct entry *x = &pg->entries.items[i];
        if (holders_finish(&x->holders, &pg->arena, pg->best, &x->gpu) < 0)
            return ERR_NOMEM;
        pg->sum.pods_named |= x->gpu.n_owners > 0;
    }
    for (size_t i = 0; i < pg->entries.n; i++) {
        struct entry *x = &pg->entries.items[i];
        if (x->gpu.n_owners == 0 && !x->holders.doubt && x->gpu.kind->names_pods)
            x->gpu.owners_known = pg->sum.pods_named;
    }
    return 0;
}

static void sum_up(struct exporter_page *pg) {
    struct exporter_page_result *res = &pg->sum;
    bool busy = false, memory = false;
    for (size_t i = 0; i < pg->entries.n; i++) {
        const struct exporter_gpu *g = &pg->entries.items[i].gpu;
        double v;
        busy |= gpu_reading_get(&g->reading, GPU_UTILIZATION_PCT, &v) ||
                gpu_reading_get(&g->reading, GPU_GR_ENGINE_ACTIVE_RATIO, &v);
        memory |= gpu_reading_get(&g->reading, GPU_MEMORY_USED_BYTES, &v);
        res->alive |= gpu_reading_get(&g->reading, GPU_ENERGY_J, &v) && v > 0;
        // In no order: exporters list GPUs as they like.
        const uint64_t pair[2] = {map_hash(g->id, strlen(g->id)),
                                  map_hash(&g->reading, sizeof(g->reading))};
        res->mark += map_hash(pair, sizeof(pair));
    }
    if (pg->boards_energy > 0) {
        res->alive = true;
        res->mark += map_hash(&pg->boards_energy, sizeof(pg->boards_energy));
    }
    if (isfinite(pg->collected_at)) {
        res->alive = true;
        res->mark += map_hash(&pg->collected_at, sizeof(pg->collected_at));
    }
    res->missing = (busy ? 0 : 1u << EXPORTER_LACKS_UTILIZATION) |
                   (memory ? 0 : 1u << EXPORTER_LACKS_MEMORY);
    res->n_gpus = pg->entries.n;
    res->samples = pg->parser.samples;
}

static int fail_empty(const struct exporter_page *pg, struct err *e) {
    if (pg->sum.unnamed > 0)
        return err_set(e, ERR_NOTFOUND,
                       "%llu series of a GPU exporter, and none has a usable label UUID, uuid, "
                       "gpu_uuid or accelerator_id: which GPU it is cannot be told",
                       (unsigned long long)pg->sum.unnamed);
    return err_set(e, ERR_NOTFOUND,
                   "%llu samples, none of them of a GPU exporter that is known (looked for %s, "
                   "%s, ...): wrong port or path, or the exporter has not read its GPUs yet",
                   (unsigned long long)pg->sum.samples, gpu_values[GPU_UTILIZATION_PCT].dcgm,
                   "nvidia_smi_gpu_info");
}

int exporter_page_finish(struct exporter_page *pg, bool complete, struct exporter_page_result *ret,
                         struct err *e) {
    int r = prom_parser_finish(&pg->parser, complete, e);
    if (r < 0)
        return r;
    if (settle_holders(pg) < 0)
        return out_of_memory(pg, e);
    for (size_t i = 0; i < pg->entries.n; i++)
        settle_values(pg, &pg->entries.items[i]);
    settle_parents(pg);
    sum_up(pg);
    *ret = pg->sum;
    return pg->sum.n_gpus > 0 ? 0 : fail_empty(pg, e);
}

const struct exporter_gpu *exporter_page_gpu(const struct exporter_page *pg, size_t i) {
    assert(i < pg->entries.n);
    return &pg->entries.items[i].gpu;
}

void exporter_lack_describe(uint32_t missing, struct buf *out) {
    const char *between = "";
    if (missing >> EXPORTER_LACKS_UTILIZATION & 1) {
        buf_addf(out, "utilization (%s, %s or nvidia_smi_utilization_gpu_ratio)",
                 gpu_values[GPU_UTILIZATION_PCT].dcgm, gpu_values[GPU_GR_ENGINE_ACTIVE_RATIO].dcgm);
        between = ", ";
    }
    if (missing >> EXPORTER_LACKS_MEMORY & 1)
        buf_addf(out, "%smemory (%s or nvidia_smi_memory_used_bytes)", between,
                 gpu_values[GPU_MEMORY_USED_BYTES].dcgm);
}
