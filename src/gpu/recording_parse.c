// SPDX-License-Identifier: Apache-2.0
/*
 * The reading half of recording.h: one pass over the text, a field at a time. Values are kept
 * packed (only the known ones), rows by GPU, so that a lookup by time is a binary search.
 */
#include "gpu/recording.h"

#include <math.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "gpu/recording_columns.h"

const char *const recording_columns[RECORDING_COLUMNS] = {
    "time_s",
    "gpu",
    "state",
    "uuid",
    "model",
    "pci_bus_id",
    "driver_version",
    "index",
    "memory_total_bytes",
    "parent_uuid",
    "gpu_instance_id",
    "mig_profile",
};

enum { COLUMNS_MAX = RECORDING_COLUMNS + GPU_VALUE_MAX, FIELD_MAX = 256 };

struct parser {
    struct recording *r;
    const char *file;
    struct str rest;
    int line, column;       // of the field being read
    int order[COLUMNS_MAX]; // what the n-th column is
    int n_columns;
    int64_t first_ns, last_ns, step_ns;
    bool has_rows;
    char field[FIELD_MAX]; // unquoted
    struct str value;      // the field
    bool row_ends;         // it was the last one of its line
};

struct row {
    int64_t t_ns;
    unsigned long long gpu;
    enum recording_state state;
    struct gpu_info info;
    bool has_index, has_info;
    struct gpu_reading reading;
};

static int fail(const struct parser *p, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static int fail(const struct parser *p, struct err *e, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    err_vset(e, ERR_PARSE, fmt, ap);
    va_end(ap);
    err_wrap(e, "%s:%d:%d", p->file, p->line, p->column);
    return ERR_PARSE;
}

// Takes the end of line at the front, if one is there.
static bool take_newline(struct parser *p) {
    if (p->rest.n > 1 && p->rest.p[0] == '\r' && p->rest.p[1] == '\n')
        p->rest = (struct str){p->rest.p + 2, p->rest.n - 2};
    else if (p->rest.n > 0 && p->rest.p[0] == '\n')
        p->rest = (struct str){p->rest.p + 1, p->rest.n - 1};
    else
        return false;
    return true;
}

static int next_quoted(struct parser *p, size_t *ret_used, struct err *e) {
    size_t n = 0, i = 1;
    for (;; i++) {
        if (i >= p->rest.n)
            return fail(p, e, "the quote is not closed");
        char c = p->rest.p[i];
        if (c == '\n')
            return fail(p, e, "the quote is not closed on its line");
        if (c == '"' && !(i + 1 < p->rest.n && p->rest.p[i + 1] == '"'))
            break;
        i += c == '"';
        if (n >= sizeof p->field)
            return fail(p, e, "a field is longer than %zu bytes", sizeof p->field);
        p->field[n++] = c;
    }
    p->value = (struct str){p->field, n};
    *ret_used = i + 1;
    return 0;
}

static int next_field(struct parser *p, struct err *e) {
    size_t used = 0;
    if (p->rest.n > 0 && p->rest.p[0] == '"') {
        int r = next_quoted(p, &used, e);
        if (r)
            return r;
    } else {
        while (used < p->rest.n && !memchr(",\r\n", p->rest.p[used], 3))
            used++;
        p->value = (struct str){p->rest.p, used};
    }
    p->rest = (struct str){p->rest.p + used, p->rest.n - used};
    p->row_ends = p->rest.n == 0 || take_newline(p);
    if (!p->row_ends) {
        if (p->rest.p[0] != ',')
            return fail(p, e, "after a field comes a comma or the end of the line");
        p->rest = (struct str){p->rest.p + 1, p->rest.n - 1};
    }
    return 0;
}

static bool skip_line(struct parser *p) {
    if (take_newline(p))
        return true;
    if (p->rest.n == 0 || p->rest.p[0] != '#')
        return false;
    const char *end = memchr(p->rest.p, '\n', p->rest.n);
    size_t n = end ? (size_t)(end - p->rest.p) + 1 : p->rest.n;
    p->rest = (struct str){p->rest.p + n, p->rest.n - n};
    return true;
}

static bool next_line(struct parser *p) {
    do
        p->line++;
    while (skip_line(p));
    p->column = 1;
    return p->rest.n > 0;
}

static int column_by_name(struct str name) {
    char text[FIELD_MAX];
    if (str_copy(text, sizeof text, name))
        return -1;
    for (int i = 0; i < RECORDING_COLUMNS; i++)
        if (str_eqc(name, recording_columns[i]))
            return i;
    int v = gpu_value_by_name(text);
    return v < 0 ? -1 : RECORDING_COLUMNS + v;
}

static int unknown_column(const struct parser *p, struct err *e) {
    const char *names[COLUMNS_MAX + 1] = {0};
    for (int i = 0; i < COLUMNS_MAX; i++)
        names[i] = i < RECORDING_COLUMNS ? recording_columns[i]
                                         : gpu_values[i - RECORDING_COLUMNS].name;
    const char *near = str_nearest(p->value, names);
    return fail(p, e, "unknown column \"" STR_FMT "\"%s%s%s", STR_ARG(p->value),
                near ? ", did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static int parse_head(struct parser *p, struct err *e) {
    uint64_t seen = 0;
    if (!next_line(p))
        return fail(p, e, "the file is empty; the first line names the columns");
    do {
        int r = next_field(p, e);
        if (r)
            return r;
        int c = column_by_name(p->value);
        if (c < 0)
            return unknown_column(p, e);
        if (seen >> c & 1)
            return fail(p, e, "column \"" STR_FMT "\" is there twice", STR_ARG(p->value));
        seen |= UINT64_C(1) << c;
        p->order[p->n_columns++] = c;
        p->column++;
    } while (!p->row_ends);
    for (int c = COLUMN_TIME; c <= COLUMN_GPU; c++)
        if (!(seen >> c & 1))
            return fail(p, e, "there is no column \"%s\"", recording_columns[c]);
    return 0;
}

static int parse_whole(const struct parser *p, uint64_t max, unsigned long long *ret,
                       struct err *e) {
    if (str_to_u64(p->value, ret) || *ret > max)
        return fail(p, e, "\"" STR_FMT "\" is not a whole number from 0 to %llu", STR_ARG(p->value),
                    (unsigned long long)max);
    return 0;
}

static int parse_text(const struct parser *p, char *dst, size_t cap, struct err *e) {
    if (!utf8_valid(p->value.p, p->value.n) || memchr(p->value.p, 0, p->value.n))
        return fail(p, e, "the text is not UTF-8");
    if (str_copy(dst, cap, p->value))
        return fail(p, e, "the text is longer than %zu bytes", cap - 1);
    return 0;
}

static int parse_time(const struct parser *p, struct row *row, struct err *e) {
    double s;
    if (str_to_double(p->value, &s) || !(s >= 0 && s <= 1e9))
        return fail(p, e, "\"" STR_FMT "\" is not a time in seconds", STR_ARG(p->value));
    row->t_ns = (int64_t)(s * 1e9 + 0.5);
    if (p->has_rows && row->t_ns < p->last_ns)
        return fail(p, e, "the time " STR_FMT " is before that of the row above",
                    STR_ARG(p->value));
    return 0;
}

static int parse_state(const struct parser *p, struct row *row, struct err *e) {
    static const char *const names[] = {"ok", "error", "lost", "gone"};
    for (unsigned i = 0; i < COUNT_OF(names); i++)
        if (str_eqc(p->value, names[i])) {
            row->state = (enum recording_state)i;
            return 0;
        }
    return fail(p, e, "\"" STR_FMT "\" is not a state: ok (or nothing), error, lost, gone",
                STR_ARG(p->value));
}

static int parse_value(const struct parser *p, unsigned i, struct row *row, struct err *e) {
    double v;
    if (str_to_double(p->value, &v) || !isfinite(v))
        return fail(p, e, "%s \"" STR_FMT "\" is not a number; an unknown value is left empty",
                    gpu_values[i].name, STR_ARG(p->value));
    gpu_reading_set(&row->reading, (enum gpu_value)i, v);
    return 0;
}

static int parse_info(const struct parser *p, enum recording_column c, struct gpu_info *i,
                      struct err *e) {
    unsigned long long number = 0;
    int r = 0;
    switch (c) {
    case COLUMN_UUID:
        return parse_text(p, i->uuid, sizeof i->uuid, e);
    case COLUMN_MODEL:
        return parse_text(p, i->model, sizeof i->model, e);
    case COLUMN_PCI:
        return parse_text(p, i->pci_bus_id, sizeof i->pci_bus_id, e);
    case COLUMN_DRIVER:
        return parse_text(p, i->driver_version, sizeof i->driver_version, e);
    case COLUMN_PARENT:
        return parse_text(p, i->parent_uuid, sizeof i->parent_uuid, e);
    case COLUMN_PROFILE:
        return parse_text(p, i->mig_profile, sizeof i->mig_profile, e);
    case COLUMN_INDEX:
        r = parse_whole(p, UINT32_MAX, &number, e);
        i->index = (uint32_t)number;
        return r;
    case COLUMN_INSTANCE:
        r = parse_whole(p, UINT32_MAX, &number, e);
        i->gpu_instance_id = (uint32_t)number;
        return r;
    case COLUMN_MEMORY:
        r = parse_whole(p, UINT64_MAX, &number, e);
        i->memory_total_bytes = number;
        return r;
    case COLUMN_TIME:
    case COLUMN_GPU:
    case COLUMN_STATE:
    case RECORDING_COLUMNS:
        break;
    }
    return ERR_INVALID;
}

static int parse_field(const struct parser *p, int c, struct row *row, struct err *e) {
    if (p->value.n == 0 && c > COLUMN_GPU)
        return 0;
    if (c == COLUMN_TIME)
        return parse_time(p, row, e);
    if (c == COLUMN_GPU)
        return parse_whole(p, LIMIT_GPU_ENTITIES_PER_NODE - 1, &row->gpu, e);
    if (c == COLUMN_STATE)
        return parse_state(p, row, e);
    if (c >= RECORDING_COLUMNS)
        return parse_value(p, (unsigned)(c - RECORDING_COLUMNS), row, e);
    row->has_info = true;
    row->has_index = row->has_index || c == COLUMN_INDEX;
    return parse_info(p, (enum recording_column)c, &row->info, e);
}

static int keep_values(struct recording *r, const struct gpu_reading *reading) {
    for (unsigned i = 0; i < GPU_VALUE_MAX; i++) {
        double v;
        if (!gpu_reading_get(reading, (enum gpu_value)i, &v))
            continue;
        int k = vec_push(&r->values, v);
        if (k)
            return k;
    }
    return 0;
}

static int keep_row(struct parser *p, const struct row *row, struct err *e) {
    struct recording_gpu *g = &p->r->gpus[row->gpu];
    p->column = 1;
    if (g->rows.n == 0) {
        if (!row->info.uuid[0])
            return fail(p, e, "the first row of GPU %llu needs its uuid", row->gpu);
        g->info = row->info;
        if (!row->has_index)
            g->info.index = (uint32_t)row->gpu;
        vec_init(&g->rows, LIMIT_REPLAY_BYTES);
    } else if (row->info.uuid[0] && strcmp(row->info.uuid, g->info.uuid) != 0) {
        return fail(p, e, "GPU %llu was %s before; another one needs another number", row->gpu,
                    g->info.uuid);
    }
    if (!p->has_rows)
        p->first_ns = row->t_ns;
    else if (row->t_ns > p->last_ns && (p->step_ns == 0 || row->t_ns - p->last_ns < p->step_ns))
        p->step_ns = row->t_ns - p->last_ns;
    p->last_ns = row->t_ns;
    p->has_rows = true;
    struct recording_row kept = {.t_ns = row->t_ns - p->first_ns,
                                 .valid = row->reading.valid,
                                 .values = p->r->values.n,
                                 .state = row->state};
    if (vec_push(&g->rows, kept) || keep_values(p->r, &row->reading))
        return err_set(e, ERR_NOMEM, "%s: no memory for its rows", p->file);
    return 0;
}

static int parse_row(struct parser *p, struct err *e) {
    struct row row = {0};
    for (int i = 0;; i++) {
        p->column = i + 1;
        if (i >= p->n_columns)
            return fail(p, e, "the row has more fields than the %d columns", p->n_columns);
        int r = next_field(p, e);
        if (!r)
            r = parse_field(p, p->order[i], &row, e);
        if (r)
            return r;
        if (!p->row_ends)
            continue;
        if (i + 1 < p->n_columns)
            return fail(p, e, "the row has %d fields, there are %d columns", i + 1, p->n_columns);
        return keep_row(p, &row, e);
    }
}

int recording_parse(struct recording **ret, struct str text, const char *file, struct err *e) {
    struct parser p = {.file = file, .rest = text};
    if (text.n > LIMIT_REPLAY_BYTES)
        return err_set(e, ERR_LIMIT, "%s is longer than %d bytes", file, LIMIT_REPLAY_BYTES);
    p.r = mem_zalloc(sizeof *p.r);
    if (!p.r)
        return err_set(e, ERR_NOMEM, "%s: no memory", file);
    vec_init(&p.r->values, LIMIT_REPLAY_BYTES);
    int r = parse_head(&p, e);
    while (!r && next_line(&p))
        r = parse_row(&p, e);
    if (!r && !p.has_rows)
        r = fail(&p, e, "there are no rows");
    if (r) {
        recording_free(p.r);
        return r;
    }
    p.r->length_ns = p.last_ns - p.first_ns + (p.step_ns > 0 ? p.step_ns : NS_PER_S);
    *ret = p.r;
    return 0;
}

struct recording *recording_free(struct recording *r) {
    if (r) {
        for (unsigned i = 0; i < LIMIT_GPU_ENTITIES_PER_NODE; i++)
            vec_done(&r->gpus[i].rows);
        vec_done(&r->values);
        mem_free(r);
    }
    return NULL;
}

const struct recording_row *recording_at(const struct recording *r, uint32_t gpu, int64_t t_ns) {
    const struct recording_gpu *g = &r->gpus[gpu];
    size_t lo = 0, hi = g->rows.n; // rows before lo are at or before t_ns, from hi on after it
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (g->rows.items[mid].t_ns <= t_ns)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo > 0 ? &g->rows.items[lo - 1] : NULL;
}

void recording_read(const struct recording *r, const struct recording_row *row,
                    struct gpu_reading *ret) {
    ret->valid = row->valid;
    size_t at = row->values;
    for (unsigned i = 0; i < GPU_VALUE_MAX; i++)
        if (row->valid >> i & 1)
            ret->v[i] = r->values.items[at++];
}
