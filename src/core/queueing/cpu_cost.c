// SPDX-License-Identifier: Apache-2.0
/* The measured costs. See cpu_cost.h. */
#include "core/queueing/cpu_cost.h"

#include "base/mem.h"
#include "core/queueing/named.h"

const struct cpu_cost cpu_costs[] = {
    {
        .name = "openai",
        .title = "an OpenAI server's front in Python: HTTP, validation, tokenizer, detokenizer",
        .source = "uvicorn 0.54, FastAPI 0.165, pydantic 2.14, tokenizers 0.23 on Python 3.11, AMD "
                  "EPYC, measured 2026-11-30 by tests/bench/bench_server_cpu.py",
        .request_us = 394,
        .stream_us = 156,
        .prompt_token_us = 2.15,
        .output_token_us = 6.8,
        .streamed_token_us = 20.8,
    },
    {.name = "none", .title = "nothing but what the mock itself needs", .source = "for benchmarks"},
};
const unsigned cpu_costs_n = COUNT_OF(cpu_costs);

int cpu_cost_find(struct str name, const struct cpu_cost **ret, struct err *e) {
    const char *names[COUNT_OF(cpu_costs) + 1] = {NULL};
    unsigned i;
    for (i = 0; i < cpu_costs_n; i++)
        names[i] = cpu_costs[i].name;
    int r = named_find("CPU cost", name, names, &i, e);
    if (r == 0)
        *ret = &cpu_costs[i];
    return r;
}

double cpu_cost_prompt_us(const struct cpu_cost *c, uint32_t prompt_tokens) {
    return c->request_us + prompt_tokens * c->prompt_token_us;
}

double cpu_cost_output_us(const struct cpu_cost *c, uint32_t n, bool streamed, bool first) {
    return n * (streamed ? c->streamed_token_us : c->output_token_us) +
           (streamed && first ? c->stream_us : 0);
}
