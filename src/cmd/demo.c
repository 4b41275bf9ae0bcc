// SPDX-License-Identifier: Apache-2.0
/* gpuscale demo: the whole pipeline on this machine for a minute, without a GPU or a cluster. */
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/units.h"
#include "cmd/verbs.h"
#include "playground/demo.h"

static const char help[] =
    "Usage: gpuscale demo [OPTION...]\n"
    "\n"
    "Starts the real agent on four simulated GPUs and the real scaler, serves a mock LLM service\n"
    "behind a gateway, calls the scaler as KEDA does, and prints once a second what is read, what\n"
    "is decided, and why. Uses ports of 127.0.0.1 that the kernel picks; needs no root, no "
    "network.\n"
    "\n"
    "      --duration D    how long (10s to 1h; default 70s): quiet, a ramp, a burst, a quiet end\n"
    "      --cold-start D  from a new pod to a ready one (0s to 5m; default 4s)\n"
    "      --color WHEN    auto, always or never (default auto: on a terminal, unless NO_COLOR is\n"
    "                      set)\n"
    "  -h, --help          this text\n";

enum { OPT_DURATION = 256, OPT_COLD_START, OPT_COLOR };

static const struct option options[] = {
    {"duration", required_argument, NULL, OPT_DURATION},
    {"cold-start", required_argument, NULL, OPT_COLD_START},
    {"color", required_argument, NULL, OPT_COLOR},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static int take_duration(const char *name, const char *text, int64_t min_s, int64_t max_s,
                         int64_t *ret_ns) {
    int64_t ns;
    if (units_parse_duration_ns(str_from(text), &ns) < 0 || ns < min_s * NS_PER_S ||
        ns > max_s * NS_PER_S) {
        (void)fprintf(
            stderr, "gpuscale demo: --%s %s: a duration of %llds to %llds is needed, such as 70s\n",
            name, text, (long long)min_s, (long long)max_s);
        return -1;
    }
    *ret_ns = ns;
    return 0;
}

static int take_color(const char *text, bool *ret) {
    if (str_eqc(STR("always"), text))
        *ret = true;
    else if (str_eqc(STR("never"), text))
        *ret = false;
    else if (!str_eqc(STR("auto"), text)) {
        (void)fprintf(stderr, "gpuscale demo: --color %s: auto, always or never is needed\n", text);
        return -1;
    }
    return 0;
}

// 0: go on; 1: help was shown; 2: wrong usage.
static int parse(int argc, char **argv, struct demo_options *o) {
    int c;
    while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        int bad = 0;
        switch (c) {
        case OPT_DURATION:
            bad = take_duration("duration", optarg, 10, 3600, &o->duration_ns);
            break;
        case OPT_COLD_START:
            bad = take_duration("cold-start", optarg, 0, 300, &o->cold_start_ns);
            break;
        case OPT_COLOR:
            bad = take_color(optarg, &o->color);
            break;
        case 'h':
            (void)fputs(help, stdout);
            return 1;
        default:
            (void)fputs("`gpuscale demo --help` shows the options.\n", stderr);
            return 2;
        }
        if (bad)
            return 2;
    }
    if (optind < argc) {
        (void)fprintf(stderr, "gpuscale demo: \"%s\" is not an option; see --help\n", argv[optind]);
        return 2;
    }
    return 0;
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

int verb_demo(int argc, char **argv) {
    char self[PATH_MAX], agent[PATH_MAX + 16];
    const char *no_color = getenv("NO_COLOR");
    struct demo_options o = {
        .duration_ns = 70 * NS_PER_S,
        .cold_start_ns = 4 * NS_PER_S,
        .color = isatty(STDOUT_FILENO) && !(no_color && no_color[0]),
    };
    int r = parse(argc, argv, &o);
    if (r != 0)
        return r == 1 ? 0 : 2;
    if (find_programs(self, agent) < 0)
        return 1;
    o.agent = agent;
    o.scaler = self;
    struct err e = {0};
    if (demo_run(&o, &e) < 0) {
        (void)fprintf(stderr, "gpuscale demo: %s\n", e.msg);
        return 1;
    }
    return 0;
}
