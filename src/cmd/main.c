// SPDX-License-Identifier: Apache-2.0
/* gpuscale VERB [OPTION...]: finds the verb in the table and calls it. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "cmd/verbs.h"

static int verb_help(int argc, char **argv);
static int verb_version(int argc, char **argv);

static const struct verb {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} verbs[] = {
    {"scaler", verb_scaler, "KEDA external scaler: reads GPUs and engines, decides, answers KEDA"},
    {"explain", verb_explain, "why the last decisions of a running scaler fell as they did"},
    {"top", verb_top,
     "GPUs and workloads in the terminal: who uses which, what idles, what it costs"},
    {"hpa", verb_hpa, "what the HorizontalPodAutoscaler would do with this, and why"},
    {"certs", verb_certs,
     "certificates for scaler, agents and KEDA; what a certificate is good for"},
    {"generate", verb_generate, "manifests that scale a workload, with a comment for each choice"},
    {"load", verb_load, "HTTP load at a rate of its own, measured from the intended send time"},
    {"demo", verb_demo, "three ways to scale one service, side by side, without GPU or cluster"},
    {"engine", verb_engine,
     "a mock inference server: OpenAI's API, vLLM's metrics, a GPU's timing"},
    {"help", verb_help, "this list, or `gpuscale help VERB`"},
    {"version", verb_version, "the version of this program"},
};

static const struct verb *find(const char *name) {
    for (size_t i = 0; i < COUNT_OF(verbs); i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

static void usage(FILE *to) {
    (void)fputs("gpuscale " GPUSCALE_VERSION ": scales AI inference on Kubernetes by what its GPUs "
                "and engines do\n\nUsage: gpuscale VERB [OPTION...]\n\n",
                to);
    for (size_t i = 0; i < COUNT_OF(verbs); i++)
        (void)fprintf(to, "  %-10s %s\n", verbs[i].name, verbs[i].summary);
    (void)fputs("\n`gpuscale VERB --help` shows a verb's options.\n", to);
}

static int unknown(const char *name) {
    const char *names[COUNT_OF(verbs) + 1] = {NULL};
    for (size_t i = 0; i < COUNT_OF(verbs); i++)
        names[i] = verbs[i].name;
    const char *near = str_nearest(str_from(name), names);
    (void)fprintf(stderr, "gpuscale: there is no verb \"%s\"", name);
    if (near != NULL)
        (void)fprintf(stderr, "; did you mean \"%s\"?", near);
    (void)fputs("\n`gpuscale help` lists them.\n", stderr);
    return 2;
}

static int verb_help(int argc, char **argv) {
    if (argc < 2) {
        usage(stdout);
        return 0;
    }
    const struct verb *v = find(argv[1]);
    if (v == NULL)
        return unknown(argv[1]);
    if (v->run == verb_help || v->run == verb_version) {
        (void)printf("gpuscale %s: %s\n", v->name, v->summary);
        return 0;
    }
    static char help[] = "--help";
    char *ask[] = {argv[1], help, NULL};
    return v->run(2, ask);
}

static int verb_version(int argc, char **argv) {
    (void)puts("gpuscale " GPUSCALE_VERSION);
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        usage(stderr);
        return 2;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    if (strcmp(name, "--version") == 0)
        name = "version";
    const struct verb *v = find(name);
    return v != NULL ? v->run(argc - 1, argv + 1) : unknown(name);
}
