// SPDX-License-Identifier: Apache-2.0
/* Series as sets of labels. */
#include "core/engine/series.h"

#include "base/limits.h"
#include "base/map.h"

void series_seen_init(struct series_seen *seen) {
    vec_init(seen, LIMIT_PAGE_SERIES);
}

bool series_word_in(struct str word, const char *list) {
    struct str rest = str_from(list ? list : "");
    while (rest.n)
        if (str_eq(str_cut(&rest, ' '), word))
            return true;
    return false;
}

// Labels come in any order: their hashes are added up.
uint64_t series_hash(const struct prom_sample *s, const char *without) {
    uint64_t h = map_hash(s->name.p, s->name.n);
    for (size_t i = 0; i < s->n_labels; i++) {
        const struct prom_label *l = &s->labels[i];
        if (series_word_in(l->name, without))
            continue;
        uint64_t pair[2] = {map_hash(l->name.p, l->name.n), map_hash(l->value.p, l->value.n)};
        if (l->value.n)
            h += map_hash(pair, sizeof(pair));
    }
    return h;
}

int series_seen_before(struct series_seen *seen, const struct prom_sample *s, bool *ret,
                       struct err *e) {
    uint64_t h = series_hash(s, NULL);
    for (size_t i = 0; i < seen->n; i++)
        if (seen->items[i] == h) {
            *ret = true;
            return 0;
        }
    int r = vec_push(seen, h);
    if (r == ERR_LIMIT)
        return err_set(e, r, "more than %d series of interest (LIMIT_PAGE_SERIES)",
                       LIMIT_PAGE_SERIES);
    if (r < 0)
        return err_set(e, r, "no memory");
    *ret = false;
    return 0;
}

struct str series_label(const struct prom_sample *s, struct str name) {
    for (size_t i = 0; i < s->n_labels; i++)
        if (str_eq(s->labels[i].name, name))
            return s->labels[i].value;
    return STR("");
}
