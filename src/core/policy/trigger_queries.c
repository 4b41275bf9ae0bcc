// SPDX-License-Identifier: Apache-2.0
/*
 * prometheus.NAME = SERVER, query.NAME = PROMQL, target.NAME = number: three keys a query, which
 * come in any order. Whether SERVER exists, and what it is asked, is known to the scaler alone.
 */
#include "core/policy/trigger_bind.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"

enum part { PART_SERVER, PART_QUERY, PART_TARGET, PARTS };

static const struct {
    const char *prefix, *missing;
} parts[PARTS] = {
    [PART_SERVER] = {"prometheus.",
                     "the name of a Prometheus server of the scaler's configuration"},
    [PART_QUERY] = {"query.", "the PromQL whose value is the load of all replicas together"},
    [PART_TARGET] = {"target.", "what one replica serves, in the query's unit, above 0"},
};

static const int NAME_MAX_ = TRIGGER_SIGNAL_NAME_MAX - 1 - (int)sizeof("prometheus.") + 1;

static bool is_name(struct str s, size_t max) {
    bool ok = s.n > 0 && s.n <= max && isalpha((unsigned char)s.p[0]);
    for (size_t i = 0; ok && i < s.n; i++)
        ok = isalnum((unsigned char)s.p[i]) || s.p[i] == '-' || s.p[i] == '_';
    return ok;
}

// The NAME behind "prometheus.".
static struct str name_of(const struct trigger_query *q) {
    struct str s = str_from(q->name);
    return (struct str){s.p + strlen(parts[PART_SERVER].prefix),
                        s.n - strlen(parts[PART_SERVER].prefix)};
}

static int find_or_add(struct trigger_bind *b, struct str key, struct str name, uint32_t *ret) {
    struct trigger *t = b->t;
    char shown[TRIGGER_SHOWN_MAX];
    for (uint32_t i = 0; i < t->query_n; i++)
        if (str_eq(name, name_of(&t->queries[i]))) {
            *ret = i;
            return 0;
        }
    if (!is_name(name, (size_t)NAME_MAX_))
        return err_set(b->e, ERR_INVALID,
                       "%s: what follows the '.' is a name of yours: a letter, then up to %d "
                       "letters, digits, '-' or '_'",
                       trigger_shown(key, shown), NAME_MAX_ - 1);
    if (t->query_n == LIMIT_TRIGGER_QUERIES)
        return err_set(b->e, ERR_LIMIT, "%s: more than %d queries in one trigger",
                       trigger_shown(key, shown), LIMIT_TRIGGER_QUERIES);
    struct trigger_query *q = &t->queries[t->query_n];
    (void)snprintf(q->name, sizeof(q->name), "%s" STR_FMT, parts[PART_SERVER].prefix,
                   STR_ARG(name));
    *ret = t->query_n++;
    return 0;
}

static int set_server(struct trigger_bind *b, struct str key, struct str value, char **dst) {
    char shown[TRIGGER_SHOWN_MAX], what[TRIGGER_SHOWN_MAX];
    bool ok = value.n > 0 && value.n <= 63 && isalpha((unsigned char)value.p[0]);
    for (size_t i = 0; ok && i < value.n; i++)
        ok = isalnum((unsigned char)value.p[i]) || strchr("-_.", value.p[i]);
    if (!ok)
        return err_set(b->e, ERR_INVALID, "%s: \"%s\" is not allowed; allowed: %s, never a URL",
                       trigger_shown(key, shown), trigger_shown(value, what),
                       parts[PART_SERVER].missing);
    *dst = mem_strndup(value.p, value.n);
    return *dst ? 0 : err_set(b->e, ERR_NOMEM, "no memory");
}

static int set_target(struct trigger_bind *b, struct str key, struct str value, double *dst) {
    const struct signal_info *info = &signals[SIGNAL_PROMETHEUS];
    char shown[TRIGGER_SHOWN_MAX], what[TRIGGER_SHOWN_MAX];
    double v;
    if (!trigger_parse_number(value, &v) || v < info->target_min || v > info->target_max)
        return err_set(b->e, ERR_INVALID, "%s: \"%s\" is not allowed; allowed: %s",
                       trigger_shown(key, shown), trigger_shown(value, what), info->target_help);
    *dst = v;
    return 0;
}

static int take(struct trigger_bind *b, enum part part, struct str key, struct str value) {
    char shown[TRIGGER_SHOWN_MAX];
    size_t skip = strlen(parts[part].prefix);
    uint32_t i = 0;
    int r = find_or_add(b, key, (struct str){key.p + skip, key.n - skip}, &i);
    if (r)
        return r;
    struct trigger_query *q = &b->t->queries[i];
    if (b->query_has[i] & 1u << part)
        return err_set(b->e, ERR_INVALID, "%s is given twice (%sFromEnv counts as %s)",
                       trigger_shown(key, shown), shown, shown);
    b->query_has[i] |= (uint8_t)(1u << part);
    switch (part) {
    case PART_SERVER:
        return set_server(b, key, value, &q->server);
    case PART_QUERY:
        if (value.n == 0)
            return err_set(b->e, ERR_INVALID, "%s: \"\" is not allowed; allowed: %s",
                           trigger_shown(key, shown), parts[PART_QUERY].missing);
        q->query = mem_strndup(value.p, value.n);
        return q->query ? 0 : err_set(b->e, ERR_NOMEM, "no memory");
    default:
        return set_target(b, key, value, &b->query_targets[i]);
    }
}

int trigger_query_key(struct trigger_bind *b, struct str key, struct str value) {
    for (int i = 0; i < PARTS; i++)
        if (str_starts(key, parts[i].prefix))
            return take(b, (enum part)i, key, value);
    return 0;
}

// What belongs to one query, while they are sorted.
struct whole {
    struct trigger_query q;
    double target;
};

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct whole *)a)->q.name, ((const struct whole *)b)->q.name);
}

int trigger_queries_end(struct trigger_bind *b) {
    struct trigger *t = b->t;
    struct whole sorted[LIMIT_TRIGGER_QUERIES];
    for (uint32_t i = 0; i < t->query_n; i++) {
        struct str name = name_of(&t->queries[i]);
        for (int given = 0; given < PARTS; given++)
            for (int part = 0; part < PARTS; part++)
                if ((b->query_has[i] >> given & 1) && !(b->query_has[i] >> part & 1))
                    return err_set(b->e, ERR_INVALID, "%s" STR_FMT ": %s" STR_FMT " is missing: %s",
                                   parts[given].prefix, STR_ARG(name), parts[part].prefix,
                                   STR_ARG(name), parts[part].missing);
        sorted[i] = (struct whole){t->queries[i], b->query_targets[i]};
    }
    qsort(sorted, t->query_n, sizeof(sorted[0]), by_name);
    for (uint32_t i = 0; i < t->query_n; i++) {
        t->queries[i] = sorted[i].q;
        b->targets[SIGNAL_PROMETHEUS + i] = sorted[i].target;
        b->named |= 1u << (SIGNAL_PROMETHEUS + i);
    }
    return 0;
}
