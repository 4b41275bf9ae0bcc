// SPDX-License-Identifier: Apache-2.0
/* The writing half of recording.h. */
#include "gpu/recording.h"

#include <inttypes.h>

#include "base/clock.h"
#include "gpu/recording_columns.h"

int recording_write_head(struct buf *b) {
    int r = 0;
    for (int i = 0; i < RECORDING_COLUMNS && !r; i++) {
        r = i ? buf_add_byte(b, ',') : 0;
        if (!r)
            r = buf_addc(b, recording_columns[i]);
    }
    for (int i = 0; i < GPU_VALUE_MAX && !r; i++)
        r = buf_addf(b, ",%s", gpu_values[i].name);
    return r ? r : buf_add_byte(b, '\n');
}

static int add_text(struct buf *b, const char *s) {
    if (!strpbrk(s, ",\"\r\n"))
        return buf_addf(b, ",%s", s);
    int r = buf_addc(b, ",\"");
    for (; *s && !r; s++)
        r = *s == '"' ? buf_addc(b, "\"\"") : buf_add_byte(b, *s);
    return r ? r : buf_add_byte(b, '"');
}

static int add_info(struct buf *b, const struct gpu_info *i) {
    int r = add_text(b, i->uuid);
    if (!r)
        r = add_text(b, i->model);
    if (!r)
        r = add_text(b, i->pci_bus_id);
    if (!r)
        r = add_text(b, i->driver_version);
    if (!r)
        r = buf_addf(b, ",%" PRIu32 ",%" PRIu64, i->index, i->memory_total_bytes);
    if (!r)
        r = add_text(b, i->parent_uuid);
    if (!r)
        r = buf_addf(b, ",%" PRIu32, i->gpu_instance_id);
    return r ? r : add_text(b, i->mig_profile);
}

int recording_write_row(struct buf *b, int64_t t_ns, uint32_t gpu, enum recording_state state,
                        const struct gpu_info *info, const struct gpu_reading *reading) {
    static const char *const states[] = {"", "error", "lost", "gone"};
    int r = buf_addf(b, "%" PRId64 ".%09" PRId64 ",%" PRIu32 ",%s", (int64_t)(t_ns / NS_PER_S),
                     (int64_t)(t_ns % NS_PER_S), gpu, states[state]);
    if (!r)
        r = info ? add_info(b, info) : buf_addc(b, ",,,,,,,,,");
    for (unsigned i = 0; i < GPU_VALUE_MAX && !r; i++) {
        double v;
        r = buf_add_byte(b, ',');
        if (!r && state == RECORDING_OK && gpu_reading_get(reading, (enum gpu_value)i, &v))
            r = buf_add_double(b, v);
    }
    return r ? r : buf_add_byte(b, '\n');
}
