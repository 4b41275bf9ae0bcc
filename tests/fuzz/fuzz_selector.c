// SPDX-License-Identifier: Apache-2.0
/* Series selectors: any text; what is read must match itself. */
#include "core/metrics/selector.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct selector *s = NULL;
    struct err e = {0};
    int r = selector_parse(&s, (struct str){(const char *)data, size}, &e);
    if ((r == 0) != (s != NULL) || (r < 0 && e.msg[0] == '\0'))
        abort();
    if (r < 0)
        return 0;
    struct prom_sample same = {.name = s->name, .labels = s->labels, .n_labels = s->n_labels};
    struct prom_sample other = {.name = STR("")}; // no selector has an empty name
    if (!selector_matches(s, &same) || selector_matches(s, &other))
        abort();
    selector_free(s);
    return 0;
}
