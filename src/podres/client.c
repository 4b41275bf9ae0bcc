// SPDX-License-Identifier: Apache-2.0
/* See client.h: one gRPC channel and one call a question. */
#include "podres/client.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/grpc_client.h"

struct podres_client {
    uv_loop_t *loop;
    struct podres_client_options options;
    struct net_addr to;
    struct grpc_channel *channel; // of the running question
    struct net_timer *later;      // tells `why` of a question that failed at once
    bool asking;
    bool answered; // the running question
    struct err why;
};

static const char *path_of(const struct podres_client *c) {
    return c->to.un.sun_path;
}

static void end_question(struct podres_client *c) {
    c->channel = grpc_channel_free(c->channel);
    net_timer_stop(&c->later);
    c->asking = false;
}

static void on_later(void *ctx) {
    struct podres_client *c = ctx;
    struct err why = c->why;
    end_question(c);
    c->options.failed(c->options.ctx, &why);
}

static void fail_later(struct podres_client *c) {
    // Without memory for a timer nothing is told: the owner's next question finds the same.
    if (net_timer_start(&c->later, c->loop, 0, 0, on_later, c, NULL) < 0)
        end_question(c);
}

// What stands in the way of opening the socket, as far as the file system tells it.
static int look_at_socket(const char *path, struct err *e) {
    struct stat st = {0};
    if (stat(path, &st) < 0 && errno != EACCES) {
        if (errno != ENOENT && errno != ENOTDIR)
            return err_errno(e, errno, "%s", path);
        return err_set(
            e, ERR_NOTFOUND,
            "%s does not exist: the kubelet is not running, or its folder is not mounted "
            "here (a hostPath of the folder, not of the socket)",
            path);
    }
    if (access(path, W_OK) < 0 && errno == EACCES)
        return err_set(e, ERR_AUTH,
                       "%s may not be opened by user %u: it is root's; run the agent as user 0",
                       path, (unsigned)geteuid());
    if (!S_ISSOCK(st.st_mode))
        return err_set(e, ERR_INVALID, "%s is no socket", path);
    return 0;
}

static void on_message(void *ctx, const ProtobufCMessage *message) {
    struct podres_client *c = ctx;
    struct podres_answer answer;
    if (c->answered || c->why.code)
        return;
    if (podres_answer_read(&answer, (const V1__ListPodResourcesResponse *)message, &c->why))
        return;
    c->answered = true;
    c->options.answered(c->options.ctx, &answer);
    podres_answer_done(&answer);
}

static int say_status(const struct podres_client *c, int status, const char *text, struct err *e) {
    switch (status) {
    case GRPC_UNIMPLEMENTED:
        return err_set(
            e, ERR_UNSUPPORTED,
            "%s: no v1.PodResourcesLister (%s): this is no kubelet of Kubernetes 1.20 or "
            "later",
            path_of(c), text);
    case GRPC_PERMISSION_DENIED:
    case GRPC_UNAUTHENTICATED:
        return err_set(e, ERR_AUTH, "%s: %s: %s", path_of(c), grpc_status_name(status), text);
    case GRPC_DEADLINE_EXCEEDED:
        return err_set(e, ERR_TIMEOUT, "%s: no answer within %u ms: the kubelet hangs", path_of(c),
                       c->options.timeout_ms);
    case GRPC_RESOURCE_EXHAUSTED:
        return err_set(e, ERR_LIMIT, "%s: %s", path_of(c), text);
    case GRPC_UNAVAILABLE:
        return err_set(e, ERR_UNAVAILABLE, "%s: %s", path_of(c), text);
    default:
        return err_set(e, ERR_PROTO, "%s: %s: %s", path_of(c), grpc_status_name(status), text);
    }
}

static void on_finished(void *ctx, int status, const char *text) {
    struct podres_client *c = ctx;
    struct err why = c->why;
    bool answered = c->answered;
    if (why.code)
        err_wrap(&why, "%s", path_of(c));
    else if (status != GRPC_OK)
        say_status(c, status, text, &why);
    else
        err_set(&why, ERR_PROTO, "%s: an answer without a message", path_of(c));
    end_question(c);
    if (!answered)
        c->options.failed(c->options.ctx, &why);
}

static int start_question(struct podres_client *c, struct err *e) {
    V1__ListPodResourcesRequest request;
    struct grpc_client_call *call;
    struct grpc_channel_options channel = {
        .to = c->to, .connect_ms = c->options.timeout_ms, .ctx = c};
    v1__list_pod_resources_request__init(&request);
    struct grpc_client_call_options o = {
        .method = "/v1.PodResourcesLister/List",
        .request = &request.base,
        .response = &v1__list_pod_resources_response__descriptor,
        .timeout_ms = c->options.timeout_ms,
        .message = on_message,
        .finished = on_finished,
        .ctx = c,
    };
    int r = look_at_socket(path_of(c), e);
    if (!r)
        r = grpc_channel_open(&c->channel, c->loop, &channel, e);
    if (!r)
        r = grpc_client_call_start(&call, c->channel, &o, e);
    return r;
}

void podres_client_ask(struct podres_client *c) {
    if (c->asking)
        return;
    c->asking = true;
    c->answered = false;
    c->why = (struct err){0};
    if (start_question(c, &c->why))
        fail_later(c);
}

bool podres_client_is_asking(const struct podres_client *c) {
    return c->asking;
}

int podres_client_new(struct podres_client **ret, uv_loop_t *loop,
                      const struct podres_client_options *options, struct err *e) {
    char text[sizeof((struct net_addr){0}.un.sun_path) + 8];
    struct podres_client *c = mem_zalloc(sizeof *c);
    if (!c)
        return err_set(e, ERR_NOMEM, "no memory to ask the kubelet");
    int n = snprintf(text, sizeof text, "unix:%s", options->socket);
    int r = options->socket[0] != '/' || n >= (int)sizeof text
                ? err_set(e, ERR_INVALID,
                          "%s: expected the absolute path of a socket, at most %zu bytes",
                          options->socket, sizeof c->to.un.sun_path - 1)
                : net_addr_parse(str_from(text), &c->to, e);
    if (r) {
        mem_free(c);
        return r;
    }
    c->loop = loop;
    c->options = *options;
    c->options.socket = NULL; // the caller's
    *ret = c;
    return 0;
}

struct podres_client *podres_client_free(struct podres_client *c) {
    if (c) {
        end_question(c);
        mem_free(c);
    }
    return NULL;
}
