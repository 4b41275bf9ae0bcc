// SPDX-License-Identifier: Apache-2.0
/*
 * src/kube for the tests: follows a collection and prints what its cache does, or asks one thing,
 * as JSON lines on stdout.
 *
 *     kube_main [--kubeconfig FILE] [--context NAME] [--silence-ms N] [--backoff-ms N]
 *               watch GROUP/VERSION/RESOURCE [NAMESPACE]
 *     kube_main [...] ask VERB GROUP/VERSION/RESOURCE [NAMESPACE [NAME [SUBRESOURCE]]]
 *               [--content JSON] [--type CONTENT-TYPE] [--query QUERY] [--attempts N]
 *
 * Pods, deployments, endpoint slices and ScaledObjects are read as what they are, all else by its
 * metadata. The core group is written "core". SIGUSR1: the cache's statistics.
 * $KUBE_SERVICE_ACCOUNT: its folder.
 */
#include <getopt.h>
#include <signal.h>

#include "base/clock.h"
#include "base/mem.h"
#include "kube/informer.h"
#include "kube/kinds.h"
#include "net/loop.h"
#include "net/signals.h"

static const struct kube_kind *const kinds[] = {&kube_pods, &kube_deployments,
                                                &kube_endpoint_slices, &kube_scaled_objects};

struct world {
    uv_loop_t loop;
    struct net_signals signals;
    struct kube_config config;
    struct kube_client *client;
    struct kube_informer *informer;
    struct kube_kind kind;
    int status;
};

static void print_line(struct buf *b) {
    buf_addc(b, "}\n");
    if (b->err)
        abort();
    fwrite(b->p, 1, b->len, stdout);
    fflush(stdout);
    buf_done(b);
}

static void add_text(struct buf *b, const char *key, const char *value) {
    buf_addf(b, "%s\"%s\":", b->len > 1 ? "," : "", key);
    buf_add_json(b, str_from(value));
}

static struct buf line(const char *event) {
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_addc(&b, "{");
    add_text(&b, "event", event);
    return b;
}

static void add_fields(struct buf *b, const struct kube_object *o) {
    if (o->kind == &kube_pods) {
        const struct kube_pod *p = (const struct kube_pod *)o;
        add_text(b, "phase", p->phase);
        add_text(b, "ip", p->ip);
        add_text(b, "owner", o->owner_name);
        buf_addf(b, ",\"ready\":%s,\"gpus\":%lld", p->ready ? "true" : "false", (long long)p->gpus);
    } else if (o->kind == &kube_deployments) {
        const struct kube_workload *w = (const struct kube_workload *)o;
        add_text(b, "selector", w->selector);
        buf_addf(b, ",\"replicas\":%d", w->replicas);
    } else if (o->kind == &kube_endpoint_slices) {
        const struct kube_endpoint_slice *s = (const struct kube_endpoint_slice *)o;
        add_text(b, "service", s->service);
        buf_addf(b, ",\"endpoints\":%zu", s->n_endpoints);
    } else if (o->kind == &kube_scaled_objects) {
        const struct kube_scaled_object *s = (const struct kube_scaled_object *)o;
        add_text(b, "target", s->target_name);
        buf_addf(b, ",\"triggers\":%zu", s->n_triggers);
    }
}

static void on_changed(void *ctx, enum kube_change change, const struct kube_object *now,
                       const struct kube_object *was) {
    static const char *const names[] = {"added", "updated", "deleted"};
    const struct kube_object *o = now ? now : was;
    struct buf b = line(names[change]);
    add_text(&b, "key", o->key);
    add_text(&b, "version", o->version);
    add_fields(&b, o);
    print_line(&b);
}

static void on_synced(void *ctx) {
    struct buf b = line("synced");
    print_line(&b);
}

static void on_problem(void *ctx, const struct err *e) {
    struct buf b = line("problem");
    add_text(&b, "error", e->msg);
    print_line(&b);
}

static void on_state(void *ctx, enum kube_fault fault, const struct err *e) {
    struct buf b = line("state");
    add_text(&b, "fault", kube_fault_name(fault));
    add_text(&b, "error", e->msg);
    print_line(&b);
}

static void stop(struct world *w) {
    net_signals_stop(&w->signals);
    w->informer = kube_informer_free(w->informer);
    w->client = kube_client_free(w->client);
}

static void on_answer(void *ctx, const struct kube_answer *a) {
    struct world *w = ctx;
    struct buf b = line("answer");
    add_text(&b, "fault", kube_fault_name(a->fault));
    add_text(&b, "error", a->err.msg);
    buf_addf(&b, ",\"status\":%d,\"attempts\":%u,\"body\":", a->status, a->attempts);
    buf_add_json(&b, a->body);
    print_line(&b);
    w->status = a->fault != KUBE_OK;
    stop(w);
}

static void on_signal(void *ctx, int number) {
    struct world *w = ctx;
    if (number != SIGUSR1) {
        stop(w);
        return;
    }
    const struct kube_reflector_stats *s = kube_reflector_stats(
        kube_informer_reflector(w->informer));
    struct buf b = line("stats");
    buf_addf(&b,
             ",\"objects\":%zu,\"keptBytes\":%zu,\"lists\":%llu,\"pages\":%llu,\"watches\":%llu,"
             "\"expired\":%llu,\"failures\":%llu,\"bookmarks\":%llu,\"cpuMs\":"
             "%lld",
             s->objects, s->kept_bytes, (unsigned long long)s->lists, (unsigned long long)s->pages,
             (unsigned long long)s->watches, (unsigned long long)s->expired,
             (unsigned long long)s->failures, (unsigned long long)s->bookmarks,
             (long long)(clock_process_cpu_ns() / NS_PER_MS));
    add_text(&b, "trouble", kube_client_trouble(w->client)->msg);
    print_line(&b);
}

struct arguments {
    const char *kubeconfig, *context, *content, *type, *query;
    long silence_ms, backoff_ms, attempts;
    char *words[8];
    int n;
};

static struct arguments read_arguments(int argc, char **argv) {
    static const struct option longs[] = {
        {"kubeconfig", 1, NULL, 'k'}, {"context", 1, NULL, 'c'},  {"silence-ms", 1, NULL, 's'},
        {"backoff-ms", 1, NULL, 'b'}, {"content", 1, NULL, 'd'},  {"type", 1, NULL, 't'},
        {"query", 1, NULL, 'q'},      {"attempts", 1, NULL, 'n'}, {0}};
    struct arguments a = {.attempts = 1};
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        const char **text = c == 'k'   ? &a.kubeconfig
                            : c == 'c' ? &a.context
                            : c == 'd' ? &a.content
                            : c == 't' ? &a.type
                            : c == 'q' ? &a.query
                                       : NULL;
        long *number = c == 's' ? &a.silence_ms : c == 'b' ? &a.backoff_ms : &a.attempts;
        if (c == '?')
            exit(2);
        if (text)
            *text = optarg;
        else
            *number = strtol(optarg, NULL, 10);
    }
    for (; optind < argc && a.n < 8; optind++)
        a.words[a.n++] = argv[optind];
    if (a.n < 2)
        exit(2);
    return a;
}

// "apps/v1/deployments"; the words are cut apart.
static struct kube_resource read_resource(struct arguments *a, int at) {
    char *version = strchr(a->words[at], '/'),
         *resource = version ? strchr(version + 1, '/') : NULL;
    if (!resource)
        exit(2);
    *version++ = *resource++ = '\0';
    const char *group = strcmp(a->words[at], "core") == 0 ? "" : a->words[at];
    return (struct kube_resource){.group = group,
                                  .version = version,
                                  .resource = resource,
                                  .namespace_ = a->n > at + 1 ? a->words[at + 1] : NULL,
                                  .name = a->n > at + 2 ? a->words[at + 2] : NULL,
                                  .subresource = a->n > at + 3 ? a->words[at + 3] : NULL};
}

static int begin(struct world *w, struct arguments *a, struct err *e) {
    struct kube_call *call;
    if (strcmp(a->words[0], "ask") == 0) {
        const struct kube_request q = {.verb = a->words[1],
                                       .at = read_resource(a, 2),
                                       .query = a->query,
                                       .content = str_from(a->content),
                                       .content_type = a->type,
                                       .attempts = (unsigned)a->attempts,
                                       .done = on_answer,
                                       .ctx = w};
        return kube_client_ask(&call, w->client, &q, e);
    }
    const struct kube_resource at = read_resource(a, 1);
    const struct kube_kind *kind = &w->kind;
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (strcmp(kinds[i]->resource, at.resource) == 0)
            kind = kinds[i];
    w->kind = (struct kube_kind){.group = at.group,
                                 .version = at.version,
                                 .resource = at.resource,
                                 .size = sizeof(struct kube_object)};
    const struct kube_informer_options o = {
        .client = w->client,
        .state = on_state,
        .reflector = {.kind = kind,
                      .namespace_ = at.namespace_,
                      .seed = 7,
                      .backoff_min_ns = a->backoff_ms * NS_PER_MS,
                      .backoff_max_ns = a->backoff_ms * 8 * NS_PER_MS,
                      .list_silence_ns = a->silence_ms * NS_PER_MS,
                      .watch_silence_ns = a->silence_ms * NS_PER_MS,
                      .changed = on_changed,
                      .synced = on_synced,
                      .problem = on_problem,
                      .ctx = w}};
    return kube_informer_new(&w->informer, &o, e);
}

int main(int argc, char **argv) {
    static const int numbers[] = {SIGTERM, SIGINT, SIGUSR1};
    struct arguments a = read_arguments(argc, argv);
    struct kube_environment env = kube_environment_read();
    struct world w = {0};
    struct err e = {0};
    if (getenv("KUBE_SERVICE_ACCOUNT"))
        env.service_account = getenv("KUBE_SERVICE_ACCOUNT");
    uv_loop_init(&w.loop);
    int r = kube_config_load(&w.config, &env, a.kubeconfig, a.context, &e);
    if (r == 0) {
        const struct kube_client_options o = {.loop = &w.loop,
                                              .config = &w.config,
                                              .seed = 7,
                                              .backoff_min_ns = a.backoff_ms * NS_PER_MS,
                                              .backoff_max_ns = a.backoff_ms * 8 * NS_PER_MS};
        r = kube_client_new(&w.client, &o, &e);
    }
    r = r ? r : begin(&w, &a, &e);
    r = r ? r : net_signals_start(&w.signals, &w.loop, numbers, 3, on_signal, &w, &e);
    if (r < 0) {
        fprintf(stderr, "%s\n", e.msg);
        w.status = 1;
        stop(&w);
    }
    uv_run(&w.loop, UV_RUN_DEFAULT);
    net_loop_drain_close(&w.loop);
    kube_config_done(&w.config);
    return w.status;
}
