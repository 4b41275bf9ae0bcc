// SPDX-License-Identifier: Apache-2.0
/* See recorder.h. */
#include "agent/recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/mem.h"
#include "gpu/recording.h"

enum { ROUND_BYTES_MAX = 1 << 20 };

static int flush(struct agent_recorder *r, struct err *e) {
    while (r->text.len > 0) {
        ssize_t n = write(r->fd, r->text.p, r->text.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(e, errno, "cannot write the recording %s", r->path);
        buf_consume(&r->text, (size_t)n);
    }
    return 0;
}

int agent_recorder_open(struct agent_recorder *r, const char *path, struct err *e) {
    *r = (struct agent_recorder){.fd = -1};
    if (!path)
        return 0;
    buf_init(&r->text, ROUND_BYTES_MAX);
    r->path = mem_strdup(path);
    if (!r->path || recording_write_head(&r->text))
        return err_set(e, ERR_NOMEM, "no memory for the recording");
    r->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (r->fd < 0)
        return err_errno(e, errno, "cannot create the recording %s", path);
    return flush(r, e);
}

void agent_recorder_close(struct agent_recorder *r) {
    if (r->fd >= 0)
        close(r->fd);
    buf_done(&r->text);
    mem_free(r->path);
    *r = (struct agent_recorder){.fd = -1};
}

static bool is_known(const struct agent_recorder *r, uint32_t slot) {
    return r->known[slot / 64] >> (slot % 64) & 1;
}

static int write_gone(struct agent_recorder *r, int64_t t_ns, const struct gpu_device *devices,
                      uint32_t n_devices) {
    for (uint32_t slot = 0; slot < LIMIT_GPU_ENTITIES_PER_NODE; slot++) {
        bool here = false;
        for (uint32_t i = 0; i < n_devices && !here; i++)
            here = devices[i].slot == slot;
        if (here || !is_known(r, slot))
            continue;
        int code = recording_write_row(&r->text, t_ns, slot, RECORDING_GONE, NULL, NULL);
        if (code)
            return code;
        r->known[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
    }
    return 0;
}

int agent_recorder_round(struct agent_recorder *r, const struct agent_round *round,
                         const struct gpu_device *devices, uint32_t n_devices, struct err *e) {
    static const enum recording_state states[] = {
        [AGENT_SAMPLE_OK] = RECORDING_OK,
        [AGENT_SAMPLE_FAILED] = RECORDING_ERROR,
        [AGENT_SAMPLE_LOST] = RECORDING_LOST,
    };
    if (r->fd < 0)
        return 0;
    if (!r->started) {
        r->started = true;
        r->start_ns = round->begun_ns;
    }
    int64_t t_ns = round->begun_ns - r->start_ns;
    int code = write_gone(r, t_ns, devices, n_devices);
    for (uint32_t i = 0; i < round->n_samples && !code; i++) {
        const struct agent_sample *sample = &round->samples[i];
        uint32_t slot = sample->slot;
        code = recording_write_row(&r->text, t_ns, slot, states[sample->state],
                                   is_known(r, slot) ? NULL : &devices[i].info, &sample->reading);
        r->known[slot / 64] |= UINT64_C(1) << (slot % 64);
    }
    if (code)
        return err_set(e, code, "the recording of one round does not fit into memory");
    return flush(r, e);
}
