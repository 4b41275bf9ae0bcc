// SPDX-License-Identifier: Apache-2.0
/* Who holds a GPU, gathered from the labels of its series; inside core/exporter only. */
#pragma once

#include "base/arena.h"
#include "core/exporter/page.h"

struct holder;
struct holders {
    struct holder *first, *last; // last: the one that the last series named
    unsigned n;
    bool doubt; // too many, or a pod's name that cannot be one: who holds it cannot be told
};

// A series' labels, by field. *best: the best spelling seen on the page so far. 0 or ERR_NOMEM.
int holders_take(struct holders *h, struct arena *a, const struct str fields[EXPORTER_FIELDS],
                 int *best);
// The holders in the page's spelling into g->owners; g->owners_known where there are some.
int holders_finish(const struct holders *h, struct arena *a, int best, struct exporter_gpu *g);
