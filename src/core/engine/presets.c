// SPDX-License-Identifier: Apache-2.0
/* The engines that gpuscale knows. docs/engines.md is the table for people: keep it in step. */
#include "core/engine/presets.h"

#include "base/mem.h"

const struct engine_preset *const engine_presets[] = {
    &engine_vllm,      &engine_sglang,        &engine_trtllm,   &engine_triton_trtllm,
    &engine_tgi,       &engine_dynamo,        &engine_llamacpp, &engine_ollama,
    &engine_ray_serve, &engine_ray_serve_llm, &engine_triton,   &engine_torchserve,
    &engine_kserve,    &engine_custom,
};

const unsigned engine_presets_n = COUNT_OF(engine_presets);
