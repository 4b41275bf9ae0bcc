// SPDX-License-Identifier: Apache-2.0
/* gpuscale hpa [FILE...]: what the HorizontalPodAutoscaler would do. */
#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

#include "cmd/verbs.h"
#include "tools/hpa.h"

static const char help[] =
    "Usage: gpuscale hpa [OPTION...] [FILE...]\n"
    "\n"
    "Says what the HorizontalPodAutoscaler controller of Kubernetes would do, and why.\n"
    "FILE (default: standard input) is JSON or YAML: what kubectl prints,\n"
    "  kubectl get hpa,pods -o json | gpuscale hpa\n"
    "or cases, one or many:\n"
    "  hpa: <HorizontalPodAutoscaler>       autoscaling/v2\n"
    "  scale: {spec: 4, status: 4}          of the target\n"
    "  pods: [<Pod>...]                     the target's\n"
    "  podMetrics: [<PodMetrics>...]        for Resource metrics, or {error: TEXT}\n"
    "  external: {NAME: [VALUE...]}         for External metrics, or {error: TEXT}\n"
    "  object: {NAME: VALUE}                for Object metrics, or {error: TEXT}\n"
    "  podMetricValues: {NAME: {POD: VALUE}}  for Pods metrics, or {error: TEXT}\n"
    "  history: {recommendations: [{replicas: 5, secondsAgo: 60}],\n"
    "            scaleUps: [{change: 2, secondsAgo: 30}], scaleDowns: [...]}\n"
    "  controller: {version: \"1.37\", tolerance: 0.1, ...}\n"
    "  now: 2026-11-23T12:00:00Z\n"
    "All but hpa and scale may be left out; docs/hpa.md says what is taken then.\n"
    "\n"
    "  --json      one JSON object a line for each case, its \"history\" fit for the\n"
    "              next one\n"
    "  -h, --help  this text\n"
    "\n"
    "Exit status: 0; 2 when a case is invalid (the others are answered nevertheless);\n"
    "1 when a file cannot be read.\n";

static const struct option options[] = {
    {"json", no_argument, NULL, 'j'},
    {"help", no_argument, NULL, 'h'},
    {0},
};

int verb_hpa(int argc, char **argv) {
    struct hpa_options o = {0};
    int c;
    while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (c == 'h') {
            (void)fputs(help, stdout);
            return 0;
        }
        if (c != 'j') {
            (void)fputs("`gpuscale hpa --help` shows the options.\n", stderr);
            return 2;
        }
        o.json = true;
    }
    o.files = argv + optind;
    o.n = argc - optind;
    if (o.n == 0 && isatty(STDIN_FILENO)) {
        (void)fputs("gpuscale hpa: a FILE is needed, or a pipe:\n"
                    "  kubectl get hpa,pods -o json | gpuscale hpa\n",
                    stderr);
        return 2;
    }
    struct err e = {0};
    unsigned long invalid = 0;
    if (hpa_main(&o, &invalid, &e) < 0) {
        (void)fprintf(stderr, "gpuscale hpa: %s\n", e.msg);
        return 1;
    }
    return invalid > 0 ? 2 : 0;
}
