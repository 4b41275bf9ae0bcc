// SPDX-License-Identifier: Apache-2.0
/* gpuscale explain [NAMESPACE/NAME]: the last decisions of a running scaler, with their reasons. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
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
    "  --json              the records as JSON\n"
    "  --ca FILE           authority of the scaler's certificate (PEM)\n"
    "  --cert FILE         certificate to show to the scaler (PEM)\n"
    "  --key FILE          its key\n"
    "  --server-name NAME  the name in the scaler's certificate\n"
    "  --token-file FILE   a token of the Kubernetes API, for a scaler that asks for one\n"
    "                      (kubectl create token NAME)\n"
    "  --user NAME         a user of the scaler's web-config, whose password is in\n"
    "  --password-file FILE\n"
    "  -h, --help          this text\n";

enum {
    OPT_SERVER = 256,
    OPT_JSON,
    OPT_CA,
    OPT_CERT,
    OPT_KEY,
    OPT_SERVER_NAME,
    OPT_TOKEN_FILE,
    OPT_USER,
    OPT_PASSWORD_FILE
};

static const struct option options[] = {
    {"server", required_argument, NULL, OPT_SERVER},
    {"last", required_argument, NULL, 'n'},
    {"json", no_argument, NULL, OPT_JSON},
    {"ca", required_argument, NULL, OPT_CA},
    {"cert", required_argument, NULL, OPT_CERT},
    {"key", required_argument, NULL, OPT_KEY},
    {"server-name", required_argument, NULL, OPT_SERVER_NAME},
    {"token-file", required_argument, NULL, OPT_TOKEN_FILE},
    {"user", required_argument, NULL, OPT_USER},
    {"password-file", required_argument, NULL, OPT_PASSWORD_FILE},
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
    const char **const texts[] = {
        [OPT_SERVER - OPT_SERVER] = &o->server,
        [OPT_CA - OPT_SERVER] = &o->tls.ca,
        [OPT_CERT - OPT_SERVER] = &o->tls.cert,
        [OPT_KEY - OPT_SERVER] = &o->tls.key,
        [OPT_SERVER_NAME - OPT_SERVER] = &o->server_name,
        [OPT_TOKEN_FILE - OPT_SERVER] = &o->auth.bearer_file,
        [OPT_USER - OPT_SERVER] = &o->auth.username,
        [OPT_PASSWORD_FILE - OPT_SERVER] = &o->auth.password_file,
    };
    int c;
    while ((c = getopt_long(argc, argv, "n:h", options, NULL)) != -1) {
        if (c >= OPT_SERVER && c - OPT_SERVER < (int)COUNT_OF(texts) && c != OPT_JSON) {
            *texts[c - OPT_SERVER] = optarg;
            continue;
        }
        switch (c) {
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
