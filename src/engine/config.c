// SPDX-License-Identifier: Apache-2.0
/* See config.h. */
#include "engine/config.h"

#include "base/limits.h"
#include "base/mem.h"

static const char *const format_names[] = {"logfmt", "json", NULL};
static const char *const level_names[] = {"debug", "info", "warn", "error", NULL};

typedef struct engine_config conf;
typedef typeof(((conf *)0)->log) log_conf;

static const struct conf_field log_fields[] = {
    {"format", CONF_ENUM(log_conf, format, format_names), .def = "logfmt", .flag = "log-format",
     .arg = "logfmt|json", .help = "Of the lines on standard error."},
    {"level", CONF_ENUM(log_conf, level, level_names), .def = "info", .flag = "log-level",
     .arg = "LEVEL", .help = "debug, info, warn or error."},
    {0}};

static const struct conf_field fields[] = {
    {"listen", CONF_STRING(conf, listen), .def = "127.0.0.1:8000", .flag = "listen",
     .arg = "ADDR:PORT", .help = "Where it serves; port 0 is the kernel's choice."},
    {"profile", CONF_STRING(conf, profile), .def = "llama3-8b-h100", .flag = "profile",
     .arg = "NAME",
     .help = "What serves: llama3-8b-h100, llama2-70b-h100-tp4, bloom-176b-h100-tp8 (continuous "
             "batching), classic (one request at a time) or batched (a dynamic batcher)."},
    {"set", CONF_LIST_STRING(conf, set), .max = "32", .flag = "set", .arg = "KEY=VALUE",
     .help = "Changes a coefficient of the profile, such as max-sequences=16 or base=12.5 (ms); "
             "may be repeated (docs/mock-engine.md)."},
    {"model", CONF_STRING(conf, model), .min = "1", .max = "256", .flag = "model", .arg = "NAME",
     .help = "The model's name for clients and metrics (default: the profile's)."},
    {"loadTime", CONF_DURATION(conf, load_time_ns), .def = "0s", .max = "1h", .flag = "load-time",
     .arg = "DURATION", .help = "Until the model is loaded; /health answers 503 meanwhile."},
    {"coldStart", CONF_STRING(conf, cold_start), .flag = "cold-start", .arg = "NAME",
     .help = "Draws the load time from the seed instead: serverless, warm-node, cold-image or "
             "new-node."},
    {"maxQueue", CONF_INT(conf, max_queue), .def = "256", .min = "1", .max = "4096",
     .flag = "max-queue", .arg = "N", .help = "Requests that may wait; more are answered 503."},
    {"cpu", CONF_STRING(conf, cpu), .def = "openai", .flag = "cpu", .arg = "NAME",
     .help = "CPU that a request burns: openai (what a Python front costs, measured) or none."},
    {"seed", CONF_INT(conf, seed), .def = "1", .min = "0", .flag = "seed", .arg = "N",
     .help = "Of all draws."},
    {"gpu", CONF_STRING(conf, gpu), .flag = "gpu", .arg = "I[,J...]",
     .help = "The simulated GPUs that it works on (default: from 0 on, as many as the profile "
             "has)."},
    {"loadSocket", CONF_STRING(conf, load_socket), .flag = "load-socket", .arg = "PATH",
     .help = "Where `gpuscale-agent --source sim` listens for what its GPUs do."},
    {"drainTimeout", CONF_DURATION(conf, drain_timeout_ns), .def = "30s", .max = "1h",
     .flag = "drain-timeout", .arg = "DURATION",
     .help = "After SIGTERM accepted requests are finished, for so long at most."},
    {"log", CONF_STRUCT(conf, log, log_fields), .help = "Written to standard error."},
    {0}};

const struct conf_spec engine_config_spec = {
    .program = "gpuscale engine",
    .about = "A mock inference server: real HTTP, real queue, real CPU, and a model of the GPU. "
             "POST /v1/completions, /v1/chat/completions, /predict; GET /v1/models, /metrics, "
             "/health.",
    .flags_only = true,
    .fields = fields,
    .size = sizeof(struct engine_config),
};

static int take_gpus(const struct engine_config *c, struct engine_plan *p, struct err *e) {
    struct str rest = str_from(c->gpu);
    for (uint32_t i = 0; !c->gpu && i < p->profile.gpus; i++)
        p->gpus[p->n_gpus++] = i;
    while (rest.n > 0) {
        struct str word = str_cut(&rest, ',');
        unsigned long long index;
        if (p->n_gpus == LIMIT_ENGINE_GPUS || str_to_u64(word, &index) < 0 ||
            index >= LIMIT_GPU_ENTITIES_PER_NODE)
            return err_set(e, ERR_INVALID,
                           "flag --gpu: found '%s', expected up to %d indexes below %d such as 0,1",
                           c->gpu, LIMIT_ENGINE_GPUS, LIMIT_GPU_ENTITIES_PER_NODE);
        for (uint32_t i = 0; i < p->n_gpus; i++)
            if (p->gpus[i] == index)
                return err_set(e, ERR_INVALID, "flag --gpu: GPU %llu is named twice in '%s'", index,
                               c->gpu);
        p->gpus[p->n_gpus++] = (uint32_t)index;
    }
    if (p->n_gpus != p->profile.gpus)
        return err_set(e, ERR_INVALID, "flag --gpu: profile %s works on %u GPU%s, %u are named",
                       p->profile.name, p->profile.gpus, p->profile.gpus == 1 ? "" : "s",
                       p->n_gpus);
    return 0;
}

static int take_cold_start(const struct engine_config *c, struct engine_plan *p, struct err *e) {
    p->load_ns = c->load_time_ns;
    if (!c->cold_start)
        return 0;
    if (c->load_time_ns > 0)
        return err_set(e, ERR_INVALID, "flags --load-time and --cold-start: give one of them");
    const struct cold_start *cold;
    int r = cold_start_find(str_from(c->cold_start), &cold, e);
    if (r < 0)
        return err_wrap(e, "flag --cold-start");
    struct random random;
    random_init(&random, (uint64_t)c->seed);
    p->load_ns = cold_start_draw(cold, &random, p->cold_start_s);
    p->cold = cold;
    return 0;
}

int engine_plan_make(const struct engine_config *c, struct engine_plan *ret, struct err *e) {
    struct engine_plan p = {0};
    const struct station_profile *profile;
    int r = station_profile_find(str_from(c->profile), &profile, e);
    if (r < 0)
        return err_wrap(e, "flag --profile");
    p.profile = *profile;
    for (size_t i = 0; i < c->set.n; i++) {
        r = station_profile_set(&p.profile, str_from(c->set.items[i]), e);
        if (r < 0)
            return err_wrap(e, "flag --set");
    }
    r = cpu_cost_find(str_from(c->cpu), &p.cpu, e);
    if (r < 0)
        return err_wrap(e, "flag --cpu");
    p.model = c->model ? c->model : p.profile.model;
    r = take_gpus(c, &p, e);
    r = r < 0 ? r : take_cold_start(c, &p, e);
    if (r < 0)
        return r;
    station_profile_config(&p.profile, &p.station);
    p.station.max_queue = (uint32_t)c->max_queue;
    p.station.seed = (uint64_t)c->seed;
    *ret = p;
    return 0;
}
