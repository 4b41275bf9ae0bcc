// SPDX-License-Identifier: Apache-2.0
/*
 * GPUs from a recording (recording.h): "FILE[,end=hold|loop|stop][,speed=X]".
 *
 *     end=hold   after the last row its values stay (default)
 *     end=loop   starts again; counters jump back then, as after a driver's restart
 *     end=stop   fails for good, which ends the agent
 *     speed=X    plays X times as fast (1)
 */
#pragma once

#include "gpu/source.h"

extern const struct gpu_source_ops gpu_replay;
