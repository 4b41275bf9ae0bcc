// SPDX-License-Identifier: Apache-2.0
/* See device.h. */
#include "podres/device.h"

#include <stdio.h>

static bool is_hex(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

// 8-4-4-4-12 hexadecimal digits.
static bool is_uuid(struct str s) {
    if (s.n != 36)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? s.p[i] != '-' : !is_hex(s.p[i]))
            return false;
    }
    return true;
}

// A decimal number as a plugin writes it: no sign, no leading zero, at most nine digits.
static bool take_number(struct str *s, uint32_t *ret) {
    uint32_t v = 0;
    size_t n = 0;
    while (n < s->n && n < 9 && s->p[n] >= '0' && s->p[n] <= '9')
        v = v * 10 + (uint32_t)(s->p[n++] - '0');
    if (n == 0 || (n > 1 && s->p[0] == '0') || (n < s->n && s->p[n] >= '0' && s->p[n] <= '9'))
        return false;
    *s = (struct str){s->p + n, s->n - n};
    *ret = v;
    return true;
}

static bool take_prefix(struct str *s, const char *prefix) {
    if (!str_starts(*s, prefix))
        return false;
    size_t n = strlen(prefix);
    *s = (struct str){s->p + n, s->n - n};
    return true;
}

// "::3" or "/vgpu3" to the end of the text, or nothing at all.
static bool take_replica(struct str rest, const char *before, struct podres_device *d) {
    uint32_t replica;
    if (rest.n == 0)
        return true;
    if (!take_prefix(&rest, before) || !take_number(&rest, &replica) || rest.n > 0)
        return false;
    snprintf(d->replica, sizeof d->replica, "%u", replica);
    return true;
}

static bool parse_uuid(struct str id, struct podres_device *d) {
    struct str uuid = id, rest = {0};
    const char *colons = id.n >= 2 ? memmem(id.p, id.n, "::", 2) : NULL;
    if (colons) {
        uuid.n = (size_t)(colons - id.p);
        rest = (struct str){colons, id.n - uuid.n};
    }
    if (!take_replica(rest, "::", d) || str_copy(d->gpu, sizeof d->gpu, uuid) < 0)
        return false;
    take_prefix(&uuid, "MIG-");
    take_prefix(&uuid, "GPU-");
    struct str first = str_cut(&uuid, '/'); // what follows is /GI/CI
    d->exact = is_uuid(first);
    return true;
}

static bool parse_index(struct str id, struct podres_device *d) {
    uint32_t index, instance;
    bool gke = take_prefix(&id, "nvidia");
    if (!take_number(&id, &index))
        return false;
    if (gke && take_prefix(&id, "/gi")) {
        if (!take_number(&id, &instance))
            return false;
        d->gpu_instance = (int32_t)instance;
    }
    snprintf(d->gpu, sizeof d->gpu, "%u", index);
    d->exact = true;
    return take_replica(id, gke ? "/vgpu" : "::", d);
}

static bool is_gpu_resource(struct str resource) {
    return str_eqc(resource, "nvidia.com/gpu") || str_starts(resource, "nvidia.com/gpu.") ||
           str_starts(resource, "nvidia.com/mig-");
}

bool podres_device_parse(struct str resource, struct str id, struct podres_device *ret) {
    bool uuid = str_starts(id, "GPU-") || str_starts(id, "MIG-");
    bool gpu = is_gpu_resource(resource);
    if (!uuid && !gpu)
        return false;
    struct podres_device d = {.gpu_instance = -1};
    bool known = uuid ? parse_uuid(id, &d) : parse_index(id, &d);
    if (!known) {
        d = (struct podres_device){.gpu_instance = -1};
        (void)str_copy(d.gpu, sizeof d.gpu, id); // it may be a UUID of a kind not seen before
    }
    if (!gpu && !d.exact)
        return false; // another vendor's, that begins alike
    *ret = d;
    return true;
}

bool podres_device_is(const struct podres_device *d, const struct gpu_info *gpu) {
    char index[16];
    bool whole = gpu->parent_uuid[0] == 0;
    if (d->gpu_instance < 0 && d->gpu[0] && strcmp(d->gpu, gpu->uuid) == 0)
        return true;
    if (whole != (d->gpu_instance < 0) ||
        (!whole && gpu->gpu_instance_id != (uint32_t)d->gpu_instance))
        return false;
    snprintf(index, sizeof index, "%u", gpu->index);
    return strcmp(d->gpu, index) == 0;
}

bool podres_driver_is_gpu(struct str driver) {
    return str_starts(driver, "gpu.") && driver.n > 4;
}
