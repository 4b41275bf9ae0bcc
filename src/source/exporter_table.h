// SPDX-License-Identifier: Apache-2.0
/*
 * The table of GPUs over all exporters' pages, and how one page changes it. No I/O and no clock.
 * Not for other folders.
 */
#pragma once

#include "base/buf.h"
#include "base/map.h"
#include "base/vec.h"
#include "core/exporter/page.h"
#include "source/exporters.h"

struct exporter_record; // a GPU

// One page's side.
struct exporter_source {
    UT_hash_handle hh;  // exporters.sources, by url
    char *url;          // "http://10.0.0.7:9400/metrics?x=y"
    char *shown;        // ... without the query, as people may see it
    const char *target; // as configured
    bool gone;          // no target gives it; its GPUs stay until they are forgotten
    uint64_t turn;      // of the last list of addresses that has it
    struct VEC(struct exporter_record *) records;
    int64_t good_ns;    // when its last good page was asked for; INT64_MIN: never
    int64_t changed_ns; // ... when the page was another one than before
    uint64_t mark;      // of the last page
    uint64_t pages;     // good ones
    const char *kind;
    size_t duplicates;
    bool pods_named, alive, stuck, failing;
};

struct exporter_table {
    struct exporter_record *by_id;
    size_t n;
    const struct exporters_options *o;
    int64_t silent_ns; // a page not read for so long has lost its GPUs to another that tells them
    struct buf scratch;
    uint64_t bad_values, differing, duplicates;
};

void exporter_table_init(struct exporter_table *t, const struct exporters_options *o);
void exporter_table_done(struct exporter_table *t); // tells nobody; sources must be forgotten
// A good page, asked for at `requested_ns`, when the wall clock said `real_ms`. 0 or ERR_NOMEM:
// then some of its GPUs were not taken, and the next page tries again.
int exporter_table_take(struct exporter_table *t, struct exporter_source *s,
                        const struct exporter_page *page, const struct exporter_page_result *res,
                        int64_t requested_ns, int64_t real_ms);
void exporter_table_forget(struct exporter_table *t, struct exporter_source *s);
void exporter_record_view(const struct exporter_record *r, struct agents_gpu *ret);
const struct exporter_record *exporter_table_next(const struct exporter_table *t,
                                                  const struct exporter_record *r); // NULL: first
const char *exporter_record_key(const struct exporter_record *r);
