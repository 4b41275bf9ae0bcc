// SPDX-License-Identifier: Apache-2.0
/* Rules of demand sources: a preset's rows become selectors with the keys filled in. */
#include "core/engine/demand_rule.h"

#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "core/engine/demand.h"
#include "core/metrics/prom_write.h"

enum { TEXT_MAX = 16384, VALUE_MAX = 1024 };

// The keys of a rule under way, defaults filled in.
struct filling {
    const char *key[DEMAND_KEY_MAX];
    uint32_t given;
};

static int key_of(struct str name) {
    for (int k = 0; k < DEMAND_KEY_MAX; k++)
        if (str_eqc(name, demand_key_name((enum demand_key)k)))
            return k;
    return -1;
}

// The text with its keys filled in. False: one is not given.
static bool fill(const struct filling *f, const char *text, struct buf *out, int *rc) {
    struct str rest = str_from(text);
    while (rest.n && *rc == 0) {
        struct str plain = str_cut(&rest, '{');
        *rc = buf_add_str(out, plain);
        if (rest.n == 0)
            break;
        int k = key_of(str_cut(&rest, '}'));
        if (k < 0 || !f->key[k])
            return false;
        *rc = *rc ? *rc : buf_addc(out, f->key[k]);
    }
    return true;
}

static int add_match(const struct filling *f, const struct demand_match *m, const char **between,
                     struct buf *out) {
    CLEANUP_BUF struct buf value;
    buf_init(&value, VALUE_MAX);
    int r = 0;
    if (!fill(f, m->text, &value, &r) || r)
        return r;
    struct prom_label label = {.name = str_from(m->label), .value = buf_str(&value)};
    r = buf_addc(out, *between);
    *between = ",";
    return r ? r : prom_labels_encode(out, &label, 1);
}

// `name{label="value",...}`.
static int write_term(const struct filling *f, const struct demand_term *t, struct buf *out) {
    const char *between = "{";
    int r = buf_addc(out, t->name);
    for (const struct demand_match *m = t->where; m && m->label && r == 0; m++)
        r = add_match(f, m, &between, out);
    return r == 0 && between[0] == ',' ? buf_add_byte(out, '}') : r;
}

static int add_term(struct demand_rule_term *to, const struct filling *f,
                    const struct demand_term *t, struct buf *words, struct err *e) {
    size_t start = words->len;
    int r = write_term(f, t, words);
    if (r)
        return err_set(e, r, "a key is longer than %d bytes", VALUE_MAX);
    struct str text = {words->p + start, words->len - start};
    to->optional = t->optional;
    to->witness = t->witness;
    r = selector_parse(&to->selector, text, e);
    if (t->optional || t->witness) // not what a message says was looked for
        buf_truncate(words, start);
    return r;
}

static int add_way(struct demand_rule_way *to, const struct filling *f,
                   const struct demand_way *way, struct buf *words, struct err *e) {
    int r = 0;
    if (words->len && !way->add[0].witness)
        r = buf_addc(words, " or ");
    for (int t = 0; way->add[t].name && r == 0; t++)
        r = add_term(&to->add[t], f, &way->add[t], words, e);
    return r;
}

static int set_text(struct demand_rule *rule, unsigned v, struct str text, struct err *e) {
    rule->text[v] = mem_strndup(text.p, text.n);
    rule->provides |= 1u << v;
    return rule->text[v] ? 0 : err_set(e, ERR_NOMEM, "out of memory");
}

static int add_preset_value(struct demand_rule *rule, const struct demand_preset *p,
                            const struct filling *f, unsigned v, struct err *e) {
    CLEANUP_BUF struct buf words;
    buf_init(&words, TEXT_MAX);
    int r = 0, n = 0;
    for (const struct demand_way *way = p->values[v]; way && way->add && r == 0; way++)
        if ((way->needs & ~f->given) == 0)
            r = add_way(&rule->ways[v][n++], f, way, &words, e);
    return r == 0 && n ? set_text(rule, v, buf_str(&words), e) : r;
}

static int add_written(struct demand_rule *rule, unsigned v, const char *selector, struct err *e) {
    int r = selector_parse(&rule->ways[v][0].add[0].selector, str_from(selector), e);
    if (r) {
        err_wrap(e, "%s", demand_value_name((enum demand_value)v));
        return r;
    }
    return set_text(rule, v, str_from(selector), e);
}

// "cluster", "namespace and ingress": the keys of `bits`.
static const char *key_list(uint32_t bits, char dst[256]) {
    size_t at = 0;
    dst[0] = '\0';
    for (int k = 0; k < DEMAND_KEY_MAX; k++) {
        if (!(bits >> k & 1))
            continue;
        int n = snprintf(dst + at, 256 - at, "%s%s", at ? ", " : "",
                         demand_key_name((enum demand_key)k));
        at += n > 0 && (size_t)n < 256 - at ? (size_t)n : 0;
    }
    return dst;
}

static int check_keys(const struct demand_preset *p, uint32_t given, struct err *e) {
    char list[256], also[256];
    bool more = p->optional != 0;
    uint32_t missing = p->required & ~given, unknown = given & ~(p->required | p->optional);
    for (int k = 0; k < DEMAND_KEY_MAX; k++) {
        if (missing >> k & 1)
            return err_set(e, ERR_INVALID, "preset %s needs %s (%s); it takes: %s", p->name,
                           demand_key_name((enum demand_key)k), demand_key_help((enum demand_key)k),
                           key_list(p->required | p->optional, list));
        if (unknown >> k & 1)
            return err_set(e, ERR_INVALID, "preset %s has no key %s; it needs: %s%s%s", p->name,
                           demand_key_name((enum demand_key)k),
                           p->required ? key_list(p->required, list) : "none",
                           more ? "; it may have: " : "", more ? key_list(p->optional, also) : "");
    }
    return 0;
}

static int find_preset(const struct demand_rule_spec *spec, const struct demand_preset **ret,
                       struct filling *f, struct err *e) {
    for (int k = 0; k < DEMAND_KEY_MAX; k++) {
        f->key[k] = spec->key[k];
        f->given |= spec->key[k] ? 1u << k : 0;
    }
    *ret = NULL;
    if (!spec->preset && f->given) {
        char list[256];
        return err_set(e, ERR_INVALID, "%s: without a preset nothing says what it means",
                       key_list(f->given, list));
    }
    if (!spec->preset)
        return 0;
    if (demand_preset_find(str_from(spec->preset), ret, e) < 0)
        return ERR_INVALID;
    if (check_keys(*ret, f->given, e) < 0)
        return ERR_INVALID;
    for (int k = 0; k < DEMAND_KEY_MAX; k++) {
        if (spec->key[k] && !*spec->key[k])
            return err_set(e, ERR_INVALID, "%s: empty", demand_key_name((enum demand_key)k));
        if (!f->key[k])
            f->key[k] = (*ret)->defaults[k];
    }
    const char *reporter = f->key[DEMAND_KEY_REPORTER];
    if (reporter && strcmp(reporter, "source") != 0 && strcmp(reporter, "destination") != 0 &&
        strcmp(reporter, "waypoint") != 0)
        return err_set(e, ERR_INVALID,
                       "reporter: \"%s\" is not allowed; allowed: source, destination, waypoint",
                       reporter);
    return 0;
}

static int make(struct demand_rule *rule, const struct demand_rule_spec *spec, struct err *e) {
    const struct demand_preset *preset;
    struct filling f = {0};
    int r = find_preset(spec, &preset, &f, e);
    for (unsigned v = 0; v < DEMAND_VALUE_MAX && r == 0; v++) {
        if (spec->selector[v])
            r = add_written(rule, v, spec->selector[v], e);
        else if (preset)
            r = add_preset_value(rule, preset, &f, v, e);
    }
    if (r == 0 && !rule->provides)
        r = err_set(e, ERR_INVALID,
                    "a preset, or at least one of requestsTotal, waiting and inflight is needed");
    // A written counter may count something else than the preset's.
    if (r == 0 && preset && !spec->selector[DEMAND_REQUESTS_TOTAL])
        rule->uncounted = preset->uncounted & rule->provides;
    return r;
}

int demand_rule_new(struct demand_rule **ret, const struct demand_rule_spec *spec, struct err *e) {
    struct demand_rule *rule = mem_zalloc(sizeof(*rule));
    if (!rule)
        return err_set(e, ERR_NOMEM, "out of memory");
    int r = make(rule, spec, e);
    if (r < 0) {
        demand_rule_free(rule);
        return r;
    }
    *ret = rule;
    return 0;
}

struct demand_rule *demand_rule_free(struct demand_rule *rule) {
    if (!rule)
        return NULL;
    for (unsigned v = 0; v < DEMAND_VALUE_MAX; v++) {
        mem_free(rule->text[v]);
        for (unsigned w = 0; w < DEMAND_WAYS_MAX; w++)
            for (unsigned t = 0; t < DEMAND_TERMS_MAX; t++)
                selector_free(rule->ways[v][w].add[t].selector);
    }
    mem_free(rule);
    return NULL;
}

static bool same_selector(const struct selector *a, const struct selector *b) {
    if (!a || !b)
        return a == b;
    bool same = str_eq(a->name, b->name) && a->n_labels == b->n_labels;
    for (size_t i = 0; same && i < a->n_labels; i++)
        same = str_eq(a->labels[i].name, b->labels[i].name) &&
               str_eq(a->labels[i].value, b->labels[i].value);
    return same;
}

bool demand_rule_same(const struct demand_rule *a, const struct demand_rule *b) {
    bool same = a->provides == b->provides && a->uncounted == b->uncounted;
    for (unsigned v = 0; v < DEMAND_VALUE_MAX; v++)
        for (unsigned w = 0; w < DEMAND_WAYS_MAX; w++)
            for (unsigned t = 0; same && t < DEMAND_TERMS_MAX; t++) {
                const struct demand_rule_term *x = &a->ways[v][w].add[t];
                const struct demand_rule_term *y = &b->ways[v][w].add[t];
                same = same_selector(x->selector, y->selector) && x->optional == y->optional &&
                       x->witness == y->witness;
            }
    return same;
}
