// SPDX-License-Identifier: Apache-2.0
/* gpuscale explain [NAMESPACE/NAME]: the last decisions of a running scaler, with their reasons. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "cmd/reach.h"
#include "cmd/verbs.h"
#include "scaler/explain.h"

enum { BODY_MAX = 64 << 20, LAST_MAX = 64 };

static const char help[] =
    "Usage: gpuscale explain [OPTION...] [NAMESPACE/NAME]\n"
    "\n"
    "Prints why the last decisions of a running scaler fell as they did: of one\n"
    "ScaledObject, or the last one of each.\n"
    "\n"
    "  --server URL        the scaler's HTTP port (" EXPLAIN_SERVER ";\n"
    "                      $GPUSCALE_SERVER)\n"
    "  -n, --last N        how many decisions of each ScaledObject (1 to 64; 10 with a\n"
    "                      name, 1 without)\n"
    "  --json              the records as JSON\n" REACH_HELP "  -h, --help          this text\n";

enum { OPT_SERVER = 256, OPT_JSON };

static const struct option options[] = {
    {"server", required_argument, NULL, OPT_SERVER},
    {"last", required_argument, NULL, 'n'},
    {"json", no_argument, NULL, OPT_JSON},
    REACH_OPTIONS,
    {"help", no_argument, NULL, 'h'},
    {0},
};

static int take_last(const char *text, unsigned *ret) {
    unsigned long long n;
    if (str_to_u64(str_from(text), &n) < 0 || n < 1 || n > LAST_MAX) {
        (void)fprintf(stderr, "gpuscale explain: --last %s: a number of 1 to %d is needed\n", text,
                      LAST_MAX);
        return -1;
    }
    *ret = (unsigned)n;
    return 0;
}

// 0: go on; 1: help was shown; 2: wrong usage.
static int parse(int argc, char **argv, struct explain_options *o) {
    int c;
    while ((c = getopt_long(argc, argv, "n:h", options, NULL)) != -1) {
        if (reach_take(c, optarg, &o->tls, &o->server_name, &o->auth))
            continue;
        switch (c) {
        case OPT_SERVER:
            o->server = optarg;
            break;
        case OPT_JSON:
            o->json = true;
            break;
        case 'n':
            if (take_last(optarg, &o->last) < 0)
                return 2;
            break;
        case 'h':
            (void)fputs(help, stdout);
            return 1;
        default:
            (void)fputs("`gpuscale explain --help` shows the options.\n", stderr);
            return 2;
        }
    }
    if (argc - optind > 1) {
        (void)fprintf(stderr, "gpuscale explain: one ScaledObject at most, not \"%s\" too\n",
                      argv[optind + 1]);
        return 2;
    }
    o->object = argv[optind];
    if (o->last == 0)
        o->last = o->object ? 10 : 1;
    return 0;
}

int verb_explain(int argc, char **argv) {
    struct explain_options o = {.server = getenv("GPUSCALE_SERVER")};
    int rc = parse(argc, argv, &o);
    if (rc != 0)
        return rc == 1 ? 0 : 2;
    struct err e = {0};
    CLEANUP_BUF struct buf out;
    buf_init(&out, BODY_MAX);
    rc = explain_fetch(&o, &out, &e);
    if (rc < 0) {
        (void)fprintf(stderr, "gpuscale explain: %s\n", e.msg);
        return 1;
    }
    if (fwrite(out.p, 1, out.len, stdout) != out.len || fflush(stdout) != 0) {
        perror("gpuscale explain: standard output");
        return 1;
    }
    return 0;
}
