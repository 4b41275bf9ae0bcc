// SPDX-License-Identifier: Apache-2.0
/* Rules are bound when the file is read: a trigger that KEDA never sends has nobody to refuse it
 * to. */
#include "scaler/config_rules.h"

#include "scaler/bind.h"

enum { LABEL_MAX = 63 };

// A DNS label: it is a label's value in the HPA's selector, too.
static bool is_label(struct str s) {
    bool good = s.n > 0 && s.n <= LABEL_MAX && s.p[0] != '-' && s.p[s.n - 1] != '-';
    for (size_t i = 0; good && i < s.n; i++)
        good = (s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9') ||
               s.p[i] == '-';
    return good;
}

static int check_namespace(const char *value, struct err *e) {
    return is_label(str_from(value)) ? 0 : err_set(e, ERR_INVALID, "expected a namespace's name");
}

static int check_target(const char *value, struct err *e) {
    struct str name = str_from(value), kind = str_cut(&name, '/');
    if ((str_eqc(kind, "deployment") || str_eqc(kind, "statefulset")) && name.n > 0)
        return 0;
    return err_set(e, ERR_INVALID, "expected deployment/NAME or statefulset/NAME");
}

typedef struct config_rule rule;

const struct conf_field config_rule_fields[] = {
    {"namespace", CONF_STRING(rule, namespace_), .required = true, .check = check_namespace,
     .help = "Of the target, and of the HPA that may ask for this rule."},
    {"target", CONF_STRING(rule, target), .required = true, .check = check_target,
     .help = "What is scaled: deployment/NAME or statefulset/NAME."},
    {"metadata", CONF_MAP_STRING(rule, metadata), .required = true, .max = "63",
     .numbers_too = true,
     .help = "As a KEDA trigger of this scaler has it: engine, capacity, a signal's target, ..."},
    {0}};

int config_rule_ref(const struct config_rule *r, struct object_pair pairs[LIMIT_METADATA_KEYS],
                    struct object_ref *ret, struct err *e) {
    size_t n = 0;
    pairs[n++] = (struct object_pair){STR("workload"), str_from(r->target)};
    for (size_t i = 0; i < r->metadata.n; i++) {
        struct object_pair p = {str_from(r->metadata.items[i].name),
                                str_from(r->metadata.items[i].value)};
        if (str_eqc(p.key, "workload") || str_eqc(p.key, "workloadFromEnv"))
            return err_set(e, ERR_INVALID, "workload: a rule's workload is its `target`");
        if (n == LIMIT_METADATA_KEYS)
            return err_set(e, ERR_LIMIT, "more than %d keys (LIMIT_METADATA_KEYS)",
                           LIMIT_METADATA_KEYS);
        pairs[n++] = p;
    }
    *ret = (struct object_ref){.namespace_ = str_from(r->namespace_),
                               .name = str_from(r->name),
                               .pairs = pairs,
                               .n_pairs = n,
                               .rule = true};
    return 0;
}

static int check_one(const struct binder *b, const struct config_rule *r, struct err *e) {
    struct object_pair pairs[LIMIT_METADATA_KEYS];
    struct object_ref ref;
    struct trigger *t = NULL;
    if (!is_label(str_from(r->name)))
        return err_set(e, ERR_INVALID,
                       "a rule's name is of lower case letters, digits and '-', at most %d of them",
                       LABEL_MAX);
    int rc = config_rule_ref(r, pairs, &ref, e);
    if (rc == 0)
        rc = binder_bind(b, &ref, &t, e);
    trigger_free(t);
    return rc;
}

int config_rules_check(const struct scaler_config *c, struct err *e) {
    struct binder b;
    if (c->rules.n == 0)
        return 0;
    int rc = binder_of_config(&b, c, e);
    for (size_t i = 0; i < c->rules.n && rc == 0; i++) {
        const struct config_rule *r = &c->rules.items[i];
        rc = check_one(&b, r, e);
        if (rc < 0)
            (void)err_wrap(e, "line %u: rules.%s", r->place.line, r->name);
    }
    binder_done(&b);
    return rc;
}
