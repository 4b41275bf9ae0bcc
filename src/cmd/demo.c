// SPDX-License-Identifier: Apache-2.0
/* gpuscale demo: three ways to scale the same service, side by side, on this machine. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "cmd/verbs.h"
#include "conf/conf.h"
#include "playground/demo.h"

enum engine_kind { ENGINE_CONTINUOUS, ENGINE_CLASSIC };
enum color_when { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

struct demo_flags {
    int engine, color;
    double rate, capacity, cpu_request, price, speed;
    int64_t duration_ns, cold_start_ns, gpus, max_replicas, seed;
    const char *policies, *out, *page;
};

static const char *const engines[] = {"continuous", "classic", NULL};
static const char *const colors[] = {"auto", "always", "never", NULL};

static const struct conf_field fields[] = {
    {"engine", CONF_ENUM(struct demo_flags, engine, engines), .def = "continuous", .flag = "engine",
     .arg = "KIND",
     .help = "continuous: an LLM with continuous batching; classic: one request at a time, and "
             "gpuscale's rule is the pair of queue and GPU utilization."},
    {"policies", CONF_STRING(struct demo_flags, policies), .def = "cpu,classic,gpuscale",
     .flag = "policies", .arg = "LIST", .help = "Which acts, in this order."},
    {"duration", CONF_DURATION(struct demo_flags, duration_ns), .def = "40s", .min = "5s",
     .max = "1h", .flag = "duration", .arg = "DURATION", .help = "Of the load in each act."},
    {"rate", CONF_NUMBER(struct demo_flags, rate), .def = "0", .min = "0", .max = "1000",
     .flag = "rate", .arg = "N",
     .help = "Requests a second of the plateau; ramp, burst and quiet end follow it. 0: what fits "
             "the engine."},
    {"gpus", CONF_INT(struct demo_flags, gpus), .def = "8", .min = "1", .max = "32", .flag = "gpus",
     .arg = "N", .help = "Simulated GPUs; a replica holds one."},
    {"maxReplicas", CONF_INT(struct demo_flags, max_replicas), .def = "0", .min = "0", .max = "32",
     .flag = "max-replicas", .arg = "N",
     .help = "More than there are GPUs leave replicas without one. 0: as many as GPUs."},
    {"coldStart", CONF_DURATION(struct demo_flags, cold_start_ns), .def = "2s", .max = "5m",
     .flag = "cold-start", .arg = "DURATION", .help = "From a new replica to a ready one."},
    {"price", CONF_NUMBER(struct demo_flags, price), .def = "3", .min = "0.01", .max = "1000",
     .flag = "price", .arg = "USD",
     .help = "Of a GPU an hour: the default is an example, give your own."},
    {"seed", CONF_INT(struct demo_flags, seed), .def = "1", .min = "1", .flag = "seed", .arg = "N",
     .help = "Of arrivals, lengths and engines."},
    {"speed", CONF_NUMBER(struct demo_flags, speed), .def = "30", .min = "1", .max = "50",
     .flag = "speed", .arg = "N",
     .help = "The time constants of Kubernetes, KEDA, Prometheus and of the rules are divided by "
             "it, for all policies alike. Requests, engines and GPUs run in real time."},
    {"capacity", CONF_NUMBER(struct demo_flags, capacity), .def = "0", .min = "0", .max = "1000",
     .flag = "capacity", .arg = "N",
     .help = "Requests a second that a replica serves within its SLO, of gpuscale's rule; 0: "
             "measured for the engine."},
    {"cpuRequest", CONF_NUMBER(struct demo_flags, cpu_request), .def = "0", .min = "0", .max = "64",
     .flag = "cpu-request", .arg = "CORES",
     .help = "What a pod requests; the HPA on CPU counts against it. 0: as vLLM's own manifests."},
    {"out", CONF_STRING(struct demo_flags, out), .flag = "out", .arg = "DIR",
     .help = "Where files are kept; left out: a new folder below $TMPDIR or /tmp."},
    {"page", CONF_STRING(struct demo_flags, page), .def = "127.0.0.1:0", .flag = "page",
     .arg = "HOST:PORT", .help = "Of the live page; port 0 is the kernel's choice, \"\" is none."},
    {"color", CONF_ENUM(struct demo_flags, color, colors), .def = "auto", .flag = "color",
     .arg = "WHEN", .help = "auto (on a terminal, unless NO_COLOR is set), always or never."},
    {0}};

static const struct conf_spec spec = {
    .program = "gpuscale demo",
    .about = "The same load under an HPA on CPU, the two KEDA triggers of the usual recipe, and "
             "gpuscale's rule, one after the other: real processes and protocols, simulated GPUs, "
             "no cluster, no root. Ends with what each cost and how it served.",
    .flags_only = true,
    .fields = fields,
    .size = sizeof(struct demo_flags),
};

static int take_policies(const char *text, struct demo_options *o, struct err *e) {
    struct str rest = str_from(text);
    while (rest.n) {
        struct str word = str_trim(str_cut(&rest, ','));
        int found = -1;
        for (int p = DRIVER_CPU; p <= DRIVER_GPUSCALE; p++) {
            if (str_eqc(word, plan_policy_id((enum driver_policy)p)))
                found = p;
        }
        for (size_t i = 0; i < o->n_policies; i++)
            found = (int)o->policies[i] == found ? -1 : found;
        if (found < 0)
            return err_set(e, ERR_INVALID,
                           "flag --policies: '%s' is not a list of cpu, classic and gpuscale, each "
                           "once at most",
                           text);
        o->policies[o->n_policies++] = (enum driver_policy)found;
    }
    return o->n_policies ? 0 : err_set(e, ERR_INVALID, "flag --policies: at least one is needed");
}

// The agent stands beside this program, built or installed.
static int find_programs(char self[PATH_MAX], char agent[PATH_MAX + 16]) {
    ssize_t n = readlink("/proc/self/exe", self, PATH_MAX - 1);
    if (n < 0) {
        perror("gpuscale demo: /proc/self/exe");
        return -1;
    }
    self[n] = '\0';
    const char *slash = strrchr(self, '/');
    (void)snprintf(agent, PATH_MAX + 16, "%.*s/gpuscale-agent", (int)(slash - self), self);
    if (access(agent, X_OK) < 0) {
        (void)fprintf(stderr, "gpuscale demo: %s is missing: build or install both programs\n",
                      agent);
        return -1;
    }
    return 0;
}

static int make_options(const struct demo_flags *f, struct plan *plan, struct demo_options *o,
                        struct err *e) {
    const struct plan_options p = {.classic = f->engine == ENGINE_CLASSIC,
                                   .rate = f->rate,
                                   .capacity = f->capacity,
                                   .cpu_request_cores = f->cpu_request,
                                   .usd_per_gpu_hour = f->price,
                                   .speed = f->speed,
                                   .act_ns = f->duration_ns,
                                   .cold_start_ns = f->cold_start_ns,
                                   .gpus = (int)f->gpus,
                                   .max_replicas = (int)f->max_replicas,
                                   .seed = (uint64_t)f->seed};
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    o->plan = plan;
    o->out = f->out;
    o->page = f->page && f->page[0] ? f->page : NULL;
    o->terminal = isatty(STDOUT_FILENO) && term && !str_eqc(STR("dumb"), term);
    o->color = f->color == COLOR_ALWAYS ||
               (f->color == COLOR_AUTO && o->terminal && !(no_color && no_color[0]));
    int r = take_policies(f->policies, o, e);
    return r < 0 ? r : plan_make(plan, &p, e);
}

int verb_demo(int argc, char **argv) {
    CLEANUP_ARENA struct arena arena;
    arena_init(&arena, LIMIT_CONFIG_ARENA_BYTES);
    struct demo_flags flags = {0};
    struct conf_outcome outcome;
    struct demo_options o = {0};
    static struct plan plan;
    char self[PATH_MAX], agent[PATH_MAX + 16];
    struct err e = {0};
    int r = conf_load(&spec, argc, argv, &flags, &arena, &outcome, &e);
    if (r == 0 && outcome.text != NULL) {
        (void)fputs(outcome.text, stdout);
        return 0;
    }
    if (r == 0)
        r = make_options(&flags, &plan, &o, &e);
    if (r < 0) {
        (void)fprintf(stderr, "gpuscale demo: %s\n", e.msg);
        return 2;
    }
    if (find_programs(self, agent) < 0)
        return 1;
    o.agent = agent;
    o.program = self;
    if (demo_run(&o, &e) < 0) {
        (void)fprintf(stderr, "gpuscale demo: %s\n", e.msg);
        return 1;
    }
    return 0;
}
