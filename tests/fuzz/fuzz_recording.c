// SPDX-License-Identifier: Apache-2.0
/* Recordings: any bytes; one that is accepted can be read at any time, and is no longer than told.
 */
#include "fuzz.h"
#include "gpu/recording.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct recording *r = NULL;
    struct err e = {0};
    int code = recording_parse(&r, (struct str){(const char *)data, size}, "f", &e);
    if ((code == 0) != (r != NULL) || (code < 0 && e.msg[0] == '\0'))
        abort();
    if (code < 0)
        return 0;
    if (r->length_ns <= 0)
        abort();
    for (uint32_t gpu = 0; gpu < LIMIT_GPU_ENTITIES_PER_NODE; gpu++) {
        const struct recording_row *row = recording_at(r, gpu, r->length_ns);
        struct gpu_reading reading;
        if ((row != NULL) != (r->gpus[gpu].rows.n > 0))
            abort();
        if (row)
            recording_read(r, row, &reading);
        if (row && r->gpus[gpu].info.uuid[0] == '\0')
            abort();
    }
    recording_free(r);
    return 0;
}
