// SPDX-License-Identifier: Apache-2.0
/*
 * NVIDIA's GPUs and MIG instances through NVML, "nvml[:WORD[,WORD]...]":
 *
 *     library=PATH  the library (absolute); else libnvidia-ml.so.1 where the loader finds it, then
 *                   where GKE keeps it
 *     pcie          PCIe throughput of GPUs without GPM too: two calls of 20 ms each a GPU
 *
 * Listed are the GPUs and, where MIG is on, their instances (compute instances, which is what pods
 * hold) too. Of a GPU whose MIG is on the board's values are read (power, temperature, clocks,
 * errors); memory, activity and processes are its instances'.
 */
#pragma once

#include "gpu/source.h"

extern const struct gpu_source_ops gpu_nvml;
