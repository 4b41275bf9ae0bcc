// SPDX-License-Identifier: Apache-2.0
/*
 * A GPU exporter's metrics page: bytes in, in any split, the page's GPUs out. Which exporter it is,
 * the metrics' names say (exporter.h). One object reads one page at a time and is reset for the
 * next (it keeps its memory). Pure.
 *
 * What is not known stays unknown. A blank (DCGM's sentinels, NaN, an empty value's odd number) is
 * no value; neither is one that the page tells twice and differently: dcgm-exporter may divide a
 * shared GPU's utilization among its pods, and gives 0 to a pod whose processes it cannot find.
 *
 * Who holds a GPU: the pods of its series. A GPU without a pod is held by nobody only where another
 * GPU of the page has one; a page that names no pod at all may be of an exporter that cannot see
 * them (and old ones print pod="" then), so there it is unknown.
 */
#pragma once

#include "base/buf.h"
#include "core/exporter/exporter.h"
#include "core/metrics/prom_parse.h"

struct exporter_page;

struct exporter_owner {
    const char *namespace_, *pod, *container, *replica; // never NULL
};

// A GPU or MIG instance. Strings are never NULL; all of it lives until the page is reset.
struct exporter_gpu {
    const char *id;   // "GPU-..."; of a MIG instance "GPU-.../gi13": one, whoever tells it
    const char *uuid; // of a MIG instance its parent's
    const char *mig_uuid, *mig_profile;
    const char *node, *model, *pci_bus_id, *driver_version;
    const struct exporter_kind *kind;
    bool mig;
    uint32_t gpu_instance_id, index;
    uint64_t memory_total_bytes; // 0: unknown
    struct gpu_reading reading;
    bool owners_known;
    const struct exporter_owner *owners;
    size_t n_owners;
    int64_t told_ms; // oldest time of its samples that have one, Unix; 0: none has
};

// Values that nothing of a page says, though every GPU has them; bits of `missing`.
enum exporter_lack {
    EXPORTER_LACKS_UTILIZATION, // neither utilization nor the graphics engine's activity
    EXPORTER_LACKS_MEMORY,
    EXPORTER_LACKS,
};
void exporter_lack_describe(uint32_t missing, struct buf *out);

struct exporter_page_result {
    size_t n_gpus;
    uint32_t missing;
    bool pods_named; // a pod is named on the page
    // Same page, same values, same mark: two pages with one mark are of one reading of the driver
    // where `alive` says that a new reading would show (an energy counter, or its time).
    uint64_t mark;
    bool alive;
    uint64_t samples;    // lines of the page
    uint64_t bad_values; // blank, not finite, out of range
    uint64_t differing;  // values told twice and differently
    uint64_t unnamed;    // series of interest without a usable UUID
};

// 0 or ERR_NOMEM.
int exporter_page_new(struct exporter_page **ret, struct err *e);
struct exporter_page *exporter_page_free(struct exporter_page *pg);
void exporter_page_reset(struct exporter_page *pg);

// As prom_parser_feed(); ERR_LIMIT also for more than LIMIT_GPU_ENTITIES_PER_NODE GPUs.
int exporter_page_feed(struct exporter_page *pg, const char *bytes, size_t n, struct err *e);
// `complete` as in prom_parser_finish(). A page without a GPU is ERR_NOTFOUND, with the names that
// were looked for; *ret is set also then.
int exporter_page_finish(struct exporter_page *pg, bool complete, struct exporter_page_result *ret,
                         struct err *e);
// GPU i of the page, after a good finish.
const struct exporter_gpu *exporter_page_gpu(const struct exporter_page *pg, size_t i);
enum prom_fault exporter_page_fault(const struct exporter_page *pg);
