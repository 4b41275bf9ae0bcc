// SPDX-License-Identifier: Apache-2.0
/* Reads a page through a preset in two pieces, cut anywhere. */
#pragma once

#include "unit.h"

#include "core/engine/page.h"
#include "core/engine/presets.h"

static inline int page_read(const struct engine_preset *preset, const char *page, size_t cut,
                            struct engine_page_result *ret, struct err *e) {
    struct engine_page *pg;
    size_t n = strlen(page);
    int r = engine_page_new(&pg, preset, e);
    if (r < 0)
        return r;
    r = engine_page_feed(pg, page, cut, e);
    if (r == 0)
        r = engine_page_feed(pg, page + cut, n - cut, e);
    if (r == 0)
        r = engine_page_finish(pg, false, ret, e);
    engine_page_free(pg);
    return r;
}

static inline const struct engine_preset *preset_named(const char *name) {
    const struct engine_preset *p;
    struct err e = {0};
    if (engine_preset_find(str_from(name), &p, &e) < 0)
        fail_msg("%s", e.msg);
    return p;
}
