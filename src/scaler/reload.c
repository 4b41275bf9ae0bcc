// SPDX-License-Identifier: Apache-2.0
/*
 * Versions of the workloads: taken, whoever made them; and the workloads file, read again when it
 * changes: looked at once a tick, by time, size and inode, so that a rename and the symlink swap of
 * a mounted ConfigMap are seen too. A version that does not bind leaves the one before in use and
 * is told once.
 */
#include "base/clock.h"
#include "base/log.h"
#include "scaler/io.h"

static size_t count_pods(const struct workloads *w) {
    size_t n = 0;
    for (size_t i = 0; i < w->list.n; i++)
        n += w->list.items[i].pods.n;
    return n;
}

int io_workloads_first(struct io *io, struct err *e) {
    if (io->config->workloads == NULL)
        return workloads_new(&io->workloads, e);
    (void)conf_file_changed(io->config->workloads, &io->stamp);
    int rc = workloads_load(&io->workloads, io->config->workloads, e);
    if (rc < 0)
        return rc;
    log_info("workloads read", LOG_STR("file", io->config->workloads),
             LOG_I64("workloads", io->workloads->list.n),
             LOG_I64("pods", count_pods(io->workloads)));
    return 0;
}

void io_workloads_take(struct io *io, struct workloads *fresh) {
    struct workloads *old = io->workloads;
    io->workloads = fresh;
    io_rebind_all(io, clock_mono_ns());
    io_update_targets(io);
    workloads_free(old);
}

void io_workloads_check(struct io *io, bool force) {
    if (io->config->workloads == NULL)
        return;
    if (!conf_file_changed(io->config->workloads, &io->stamp) && !force)
        return;
    io->count.workloads_reloads++;
    struct workloads *fresh;
    struct err e = {0};
    if (conf_file_check_again(io->config->workloads, &e) < 0 ||
        workloads_load(&fresh, io->config->workloads, &e) < 0) {
        io->count.workloads_failures++;
        io->workloads_bad = e;
        log_error("workloads file not taken, the version before stays in use", LOG_ERR(&e));
        return;
    }
    io->workloads_bad = (struct err){0};
    io_workloads_take(io, fresh);
    log_info("workloads re-read", LOG_STR("file", io->config->workloads),
             LOG_I64("workloads", fresh->list.n), LOG_I64("pods", count_pods(fresh)));
}
