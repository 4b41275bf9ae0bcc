// SPDX-License-Identifier: Apache-2.0
/* Rules are objects like those of KEDA's triggers, known from the start to the end. */
#include "base/clock.h"
#include "scaler/config_rules.h"
#include "scaler/io.h"

static int start_one(struct io *io, const struct config_rule *rule, struct object **ret,
                     struct err *e) {
    struct object_pair pairs[LIMIT_METADATA_KEYS];
    struct object_ref ref;
    struct object_hash h;
    int rc = config_rule_ref(rule, pairs, &ref, e);
    if (rc < 0)
        return err_wrap(e, "rules.%s", rule->name);
    object_ref_hash(&ref, &h);
    struct object_key *key = object_key_new(&ref, &h);
    *ret = key != NULL ? io_object_new(io, 0, key) : NULL;
    if (*ret == NULL) // it has bound when the configuration was read
        return err_set(e, ERR_NOMEM, "out of memory");
    io_object_begin(io, *ret, clock_mono_ns());
    return 0;
}

int io_rules_start(struct io *io, struct err *e) {
    size_t n = io->config->rules.n;
    int rc = 0;
    io->rules = mem_array(n + 1, sizeof(*io->rules));
    if (io->rules == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = start_one(io, &io->config->rules.items[i], &io->rules[i], e);
    return rc;
}

void io_rules_done(struct io *io) {
    mem_free(io->rules);
    io->rules = NULL;
}
