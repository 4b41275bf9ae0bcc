// SPDX-License-Identifier: Apache-2.0
/*
 * Which GPU the id of a device plugin's device means. Pure. Spellings that are understood:
 *
 *     GPU-UUID, MIG-UUID            NVIDIA's device plugin, its default
 *     GPU-UUID::3, MIG-UUID::3      a replica of it (time-slicing, MPS)
 *     MIG-GPU-UUID/GI/CI            an instance, as drivers before R470 named them
 *     2, 2::3                       the plugin with --device-id-strategy=index
 *     nvidia2, nvidia2/vgpu3        GKE's plugin; a replica of time-slicing or MPS
 *     nvidia2/gi5, nvidia2/gi5/vgpu3
 *
 * UUIDs count under every resource's name (names can be changed); the others only under those of
 * GPUs: "nvidia.com/gpu", "nvidia.com/gpu.shared", "nvidia.com/mig-1g.10gb".
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "core/signal/reading.h"

struct podres_device {
    char gpu[GPU_UUID_MAX]; // a UUID, or the index of a whole GPU in decimal; "": too long a text
    int32_t gpu_instance;   // of that GPU; -1: the GPU itself, or the instance that the UUID names
    char replica[16];       // "": not shared
    // The id names one GPU for certain: where no GPU has that name, it is another node's or gone.
    // False: a spelling nobody here knows, which may mean any of the GPUs.
    bool exact;
};

// False: the device is no GPU; *ret is then untouched.
bool podres_device_parse(struct str resource, struct str id, struct podres_device *ret);

// Does the device `d` lie on this GPU or MIG instance?
bool podres_device_is(const struct podres_device *d, const struct gpu_info *gpu);

// Is it a driver of dynamic resource allocation whose devices are GPUs? By convention it is named
// gpu.VENDOR: gpu.nvidia.com, gpu.amd.com, gpu.intel.com, gpu.example.com.
bool podres_driver_is_gpu(struct str driver);
