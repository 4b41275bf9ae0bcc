// SPDX-License-Identifier: Apache-2.0
/* What the tests of spawned programs share: a folder, shell scripts in it, a loop with a deadline.
 */
#pragma once

#include "unit.h"

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "base/clock.h"
#include "base/units.h"
#include "net/loop.h"

struct programs {
    uv_loop_t loop;
    char folder[64];
};

static inline void programs_init(struct programs *p) {
    *p = (struct programs){.folder = "/tmp/gpuscale-unit-XXXXXX"};
    assert_non_null(mkdtemp(p->folder));
    assert_int_equal(uv_loop_init(&p->loop), 0);
}

static inline int programs_remove(const char *path, const struct stat *s, int kind, struct FTW *w) {
    return remove(path);
}

// Everything that was started has ended: the loop has nothing left.
static inline void programs_done(struct programs *p) {
    int64_t end_ns = clock_mono_ns() + 30 * NS_PER_S;
    while (uv_run(&p->loop, UV_RUN_NOWAIT))
        assert_true(clock_mono_ns() < end_ns);
    assert_int_equal(uv_loop_close(&p->loop), 0);
    assert_int_equal(nftw(p->folder, programs_remove, 8, FTW_DEPTH | FTW_PHYS), 0);
}

struct programs_path {
    char at[128];
};

static inline struct programs_path programs_path(const struct programs *p, const char *name) {
    struct programs_path path;
    snprintf(path.at, sizeof(path.at), "%s/%s", p->folder, name);
    return path;
}

static inline struct programs_path programs_script(const struct programs *p, const char *name,
                                                   const char *text) {
    struct programs_path path = programs_path(p, name);
    FILE *f = fopen(path.at, "w");
    assert_non_null(f);
    assert_true(fprintf(f, "#!/bin/sh\n%s\n", text) > 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path.at, 0755), 0);
    return path;
}

static inline void programs_tick(void *ctx) {
}

// Runs the loop until `*condition`; a test that waits 30 s has failed.
static inline void programs_until(struct programs *p, const bool *condition) {
    int64_t end_ns = clock_mono_ns() + 30 * NS_PER_S;
    struct net_timer *tick = NULL;
    assert_int_equal(net_timer_start(&tick, &p->loop, 0, 5 * NS_PER_MS, programs_tick, NULL, NULL),
                     0);
    while (!*condition) {
        if (clock_mono_ns() > end_ns)
            fail_msg("not within 30 s");
        uv_run(&p->loop, UV_RUN_ONCE);
    }
    net_timer_stop(&tick);
}
