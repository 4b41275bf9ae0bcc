// SPDX-License-Identifier: Apache-2.0
/* gpuscale top: what GPUs and workloads do now, in a terminal. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/str.h"
#include "base/units.h"
#include "base/clock.h"
#include "cmd/reach.h"
#include "cmd/verbs.h"
#include "tools/top.h"
#include "tools/top_term.h"

static const char help[] =
    "Usage: gpuscale top [OPTION...]\n"
    "\n"
    "Shows what the GPUs and workloads of a running scaler do now, redrawn in place;\n"
    "the key h lists the keys. Where the output is no terminal, or TERM is dumb, it\n"
    "prints both tables once.\n"
    "\n"
    "  --server URL        the scaler's HTTP port (" TOP_SERVER ";\n"
    "                      $GPUSCALE_SERVER)\n"
    "  --once              both tables once, whole\n"
    "  --json              one JSON object a refresh (with --once: one)\n"
    "  --interval TIME     between two refreshes (1s)\n"
    "  --workloads         workloads first\n"
    "  --sort KEY          GPUs: node, state, pod, util, memory, idle, price;\n"
    "                      workloads: name, reason, replicas, rate, queue, idle, price\n"
    "  --filter TEXT       only rows with it in namespace, pod, node, model or state\n"
    "  --price MODEL=USD   what such a GPU costs an hour; may be repeated. MODEL is a\n"
    "                      part of the model's name (H100=6.88); of several that fit\n"
    "                      the longest counts. There are no prices but yours\n" REACH_HELP
    "  -h, --help          this text\n"
    "\n"
    "?  not known, which is not 0;  -  none;  12+  at least 12.\n"
    "A GPU is idle where it is known to do nothing; free where it is also known that\n"
    "no pod holds it. NO_COLOR switches colours off.\n";

enum {
    OPT_SERVER = 256,
    OPT_ONCE,
    OPT_JSON,
    OPT_INTERVAL,
    OPT_WORKLOADS,
    OPT_SORT,
    OPT_FILTER,
    OPT_PRICE,
};

static const struct option options[] = {
    {"server", required_argument, NULL, OPT_SERVER},
    {"once", no_argument, NULL, OPT_ONCE},
    {"json", no_argument, NULL, OPT_JSON},
    {"interval", required_argument, NULL, OPT_INTERVAL},
    {"workloads", no_argument, NULL, OPT_WORKLOADS},
    {"sort", required_argument, NULL, OPT_SORT},
    {"filter", required_argument, NULL, OPT_FILTER},
    {"price", required_argument, NULL, OPT_PRICE},
    REACH_OPTIONS,
    {"help", no_argument, NULL, 'h'},
    {0},
};

static int take_interval(struct top_options *o, const char *text, struct err *e) {
    if (units_parse_duration_ns(str_from(text), &o->interval_ns) < 0 ||
        o->interval_ns < 100 * NS_PER_MS || o->interval_ns > 3600 * NS_PER_S)
        return err_set(e, ERR_INVALID, "--interval %s: a duration of 100ms to 1h is needed", text);
    return 0;
}

static int take_sort(struct top_options *o, const char *text, struct err *e) {
    int sort = top_sort_by_name(text);
    if (sort < 0)
        return err_set(e, ERR_INVALID, "--sort %s: --help lists the keys", text);
    o->choice.sort = (enum top_sort)sort;
    return 0;
}

// An option with a value or without; false: not known.
static bool take(struct top_options *o, int c, int *rc, struct err *e) {
    if (reach_take(c, optarg, &o->tls, &o->server_name, &o->auth))
        return true;
    switch (c) {
    case OPT_SERVER:
        o->server = optarg;
        return true;
    case OPT_FILTER:
        o->choice.filter = optarg;
        return true;
    case OPT_ONCE:
        o->once = true;
        return true;
    case OPT_JSON:
        o->json = true;
        return true;
    case OPT_WORKLOADS:
        o->choice.view = TOP_WORKLOADS;
        return true;
    case OPT_INTERVAL:
        *rc = take_interval(o, optarg, e);
        return true;
    case OPT_SORT:
        *rc = take_sort(o, optarg, e);
        return true;
    case OPT_PRICE:
        if ((*rc = price_add(&o->prices, optarg, e)) < 0)
            *rc = err_wrap(e, "--price");
        return true;
    default:
        return false;
    }
}

// 0: go on; 1: help was shown; 2: wrong usage.
static int parse(int argc, char **argv, struct top_options *o) {
    struct err e = {0};
    int c, rc = 0;
    while (rc == 0 && (c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (c == 'h') {
            (void)fputs(help, stdout);
            return 1;
        }
        if (!take(o, c, &rc, &e)) {
            (void)fputs("`gpuscale top --help` shows the options.\n", stderr);
            return 2;
        }
    }
    if (rc == 0 && optind < argc)
        rc = err_set(&e, ERR_INVALID, "\"%s\": there are no arguments but options", argv[optind]);
    if (rc < 0)
        (void)fprintf(stderr, "gpuscale top: %s\n", e.msg);
    return rc < 0 ? 2 : 0;
}

int verb_top(int argc, char **argv) {
    static struct top_options o;
    o.server = getenv("GPUSCALE_SERVER");
    o.interval_ns = NS_PER_S;
    o.choice.filter = "";
    int rc = parse(argc, argv, &o);
    if (rc != 0)
        return rc == 1 ? 0 : 2;
    if (o.server == NULL || o.server[0] == '\0')
        o.server = TOP_SERVER;
    if (!o.json && !top_term_capable())
        o.once = true;
    struct err e = {0};
    if (top_run(&o, &e) < 0) {
        (void)fprintf(stderr, "gpuscale top: %s\n", e.msg);
        return 1;
    }
    return 0;
}
