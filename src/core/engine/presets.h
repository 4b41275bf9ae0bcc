// SPDX-License-Identifier: Apache-2.0
/* How the rows are written, and where they stand; inside core/engine only. */
#pragma once

#include "core/engine/preset.h"

// Lists of literals, each with its end.
#define WHERE(...)                                                                                 \
    (const struct engine_filter[]) {                                                               \
        __VA_ARGS__, {                                                                             \
            0                                                                                      \
        }                                                                                          \
    }
#define TERMS(...)                                                                                 \
    (const struct engine_term[]) {                                                                 \
        __VA_ARGS__, {                                                                             \
            0                                                                                      \
        }                                                                                          \
    }
#define WAYS(...)                                                                                  \
    {                                                                                              \
        .ways = (const struct engine_way[]) {                                                      \
            __VA_ARGS__, {                                                                         \
                0                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }
#define BUCKETS(...)                                                                               \
    { .ways = TERMS(__VA_ARGS__) }

// Conditions.
#define IS(label_, value_)                                                                         \
    { .label = (label_), .op = ENGINE_LABEL_IS, .value = (value_) }
#define NONE_OF(label_, values_)                                                                   \
    { .label = (label_), .op = ENGINE_LABEL_NONE_OF, .value = (values_) }

// Terms.
#define ALL(metric)                                                                                \
    { .name = (metric) }
#define ALSO(metric)                                                                               \
    { .name = (metric), .optional = true }
#define LESS(metric)                                                                               \
    { .name = (metric), .factor = -1, .optional = true }
#define ONLY(metric, ...)                                                                          \
    { .name = (metric), .where = WHERE(__VA_ARGS__) }

// Ways.
#define SUM(...)                                                                                   \
    { .add = TERMS(__VA_ARGS__) }
#define ONE(metric) SUM(ALL(metric))
#define FULLEST(...)                                                                               \
    { .combine = ENGINE_MAX, .add = TERMS(__VA_ARGS__) }
#define LEAST(...)                                                                                 \
    { .combine = ENGINE_MIN, .add = TERMS(__VA_ARGS__) }

// presets_llm.c: continuous batching
extern const struct engine_preset engine_vllm, engine_sglang, engine_triton_trtllm, engine_trtllm,
    engine_tgi, engine_dynamo, engine_llamacpp, engine_ray_serve_llm, engine_ollama;
// presets_server.c: servers of any model
extern const struct engine_preset engine_custom, engine_triton, engine_ray_serve, engine_torchserve,
    engine_kserve;
