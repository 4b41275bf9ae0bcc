// SPDX-License-Identifier: Apache-2.0
/* The array of sources, and "NAME:ARGUMENTS". */
#include "gpu/source.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/mem.h"
#include "gpu/nvml.h"
#include "gpu/replay.h"
#include "gpu/sim.h"

// Hardware first, in the order that auto tries.
const struct gpu_source_ops *const gpu_sources[] = {&gpu_nvml, &gpu_replay, &gpu_sim, NULL};

// Sources that the documentation names and other builds have.
static const char *const elsewhere[] = {"amd", "intel", NULL};

static void list_sources(char *dst, size_t cap) {
    size_t n = 0;
    dst[0] = 0;
    for (unsigned i = 0; gpu_sources[i] && n < cap; i++)
        n += (size_t)snprintf(dst + n, cap - n, "%s%s", i ? ", " : "", gpu_sources[i]->name);
}

static int refuse_unknown(struct str name, struct err *e) {
    const char *names[COUNT_OF(gpu_sources) + COUNT_OF(elsewhere) + 1] = {0};
    char have[128];
    size_t n = 0;
    list_sources(have, sizeof have);
    for (unsigned i = 0; elsewhere[i]; i++)
        if (str_eqc(name, elsewhere[i]))
            return err_set(e, ERR_UNSUPPORTED,
                           "GPU source \"%s\" is not in this build, which has: %s", elsewhere[i],
                           have);
    for (unsigned i = 0; gpu_sources[i]; i++)
        names[n++] = gpu_sources[i]->name;
    names[n] = "auto";
    const char *near = str_nearest(name, names);
    return err_set(e, ERR_INVALID, "unknown GPU source \"" STR_FMT "\"%s%s%s; there are: auto, %s",
                   STR_ARG(name), near ? " (did you mean \"" : "", near ? near : "",
                   near ? "\"?)" : "", have);
}

static int open_auto(struct gpu_source *ret, struct err *e) {
    struct err last = {0};
    for (unsigned i = 0; gpu_sources[i]; i++) {
        if (!gpu_sources[i]->hardware)
            continue;
        if (gpu_sources[i]->open(STR(""), &ret->state, &last) == 0) {
            ret->ops = gpu_sources[i];
            return 0;
        }
        err_wrap(&last, "%s", gpu_sources[i]->name);
    }
    return err_set(e, ERR_NOTFOUND, "GPU source auto found no GPU: %s", last.msg);
}

int gpu_source_open(struct str spec, struct gpu_source *ret, struct err *e) {
    struct str args = spec, name = str_cut(&args, ':');
    struct gpu_source s = {0};
    if (name.n == 0)
        return err_set(e, ERR_INVALID, "the GPU source is empty; write sim:8 or replay:FILE");
    if (str_eqc(name, "auto")) {
        int r = args.n ? err_set(e, ERR_INVALID, "GPU source auto takes no arguments")
                       : open_auto(&s, e);
        if (r)
            return r;
        *ret = s;
        return 0;
    }
    for (unsigned i = 0; gpu_sources[i]; i++) {
        if (!str_eqc(name, gpu_sources[i]->name))
            continue;
        s.ops = gpu_sources[i];
        int r = s.ops->open(args, &s.state, e);
        if (r) {
            err_wrap(e, "GPU source " STR_FMT, STR_ARG(name));
            return r;
        }
        *ret = s;
        return 0;
    }
    return refuse_unknown(name, e);
}

void gpu_source_close(struct gpu_source *s) {
    if (s->ops)
        s->ops->close(s->state);
    *s = (struct gpu_source){0};
}
