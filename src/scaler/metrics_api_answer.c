// SPDX-License-Identifier: Apache-2.0
/*
 * What is answered. A request selects exactly one rule: several would be summed by the HPA, and the
 * sum is nobody's number. What is not known is an error, so that the HPA keeps its count and says
 * why in its condition; never 0.
 */
#include <stdio.h>

#include "base/clock.h"
#include "external_metrics_discovery.h"
#include "external_metrics_group.h"
#include "external_metrics_groups.h"
#include "external_metrics_openapi_v2.h"
#include "external_metrics_openapi_v3.h"
#include "external_metrics_openapi_v3_root.h"
#include "external_metrics_resources.h"
#include "kube/labels.h"
#include "net/grpc_status.h"
#include "scaler/io.h"
#include "scaler/replicas.h"
#include "scaler/metrics_api_internal.h"

enum { SELECTOR_MAX = 2048, BODY_MAX = 64 << 10, MESSAGE_MAX = 8 << 10, NAMES_TOLD = 20 };

#define AGGREGATED "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

// ---- failures

static const char *reason_of(int status) {
    switch (status) {
    case 400:
        return "BadRequest";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "NotFound";
    case 405:
        return "MethodNotAllowed";
    case 408:
        return "Timeout";
    case 413:
        return "RequestEntityTooLarge";
    case 503:
        return "ServiceUnavailable";
    default:
        return status < 500 ? "BadRequest" : "InternalError";
    }
}

static void add_status(struct buf *out, int status, struct str message) {
    (void)buf_addc(out, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},"
                        "\"status\":\"Failure\",\"message\":");
    (void)buf_add_json(out, message);
    (void)buf_addf(out, ",\"reason\":\"%s\",\"code\":%d}\n", reason_of(status), status);
}

static void answer_status(struct http_request *r, int status, struct str message) {
    CLEANUP_BUF struct buf body;
    buf_init(&body, BODY_MAX);
    add_status(&body, status, message);
    http_request_answer(r, &(struct http_answer){.status = status,
                                                 .content_type = "application/json",
                                                 .body = buf_str(&body)});
}

void metrics_api_fail(struct http_request *r, int status, const char *fmt, ...) {
    char message[1024];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    answer_status(r, status, str_from(message));
}

static size_t word_refusal(char *dst, size_t cap, int status, const char *why) {
    CLEANUP_BUF struct buf body;
    buf_init(&body, cap);
    add_status(&body, status, str_from(why));
    if (body.len > 0)
        memcpy(dst, body.p, body.len);
    return body.len;
}

const struct http_refusals metrics_api_refusals = {"application/json", word_refusal};

// ---- documents

#define DOCUMENT(name)                                                                             \
    (struct str) {                                                                                 \
        (const char *)external_metrics_##name, sizeof(external_metrics_##name)                     \
    }

const char *const metrics_api_documents[] = {
    "/apis",       "/apis/" METRICS_API_GROUP,     METRICS_API_PATH, "/openapi/v2",
    "/openapi/v3", "/openapi/v3" METRICS_API_PATH, "/version",       NULL,
};

static void give(struct http_request *r, const char *content_type, struct str body) {
    http_request_answer(r, &(struct http_answer){.status = 200,
                                                 .content_type = content_type,
                                                 .extra_headers = "Vary: Accept\r\n",
                                                 .body = body});
}

void metrics_api_answer_document(struct http_request *r) {
    static const char version[] =
        "{\"major\":\"0\",\"minor\":\"0\",\"gitVersion\":\"v" GPUSCALE_VERSION
        "\",\"platform\":\"linux\"}\n";
    struct str path = http_request_path(r);
    bool aggregated = metrics_api_wants_aggregated(http_request_header(r, "Accept"));
    if (str_eqc(path, "/apis") && aggregated)
        give(r, AGGREGATED, DOCUMENT(discovery));
    else if (str_eqc(path, "/apis"))
        give(r, "application/json", DOCUMENT(groups));
    else if (str_eqc(path, "/apis/" METRICS_API_GROUP))
        give(r, "application/json", DOCUMENT(group));
    else if (str_eqc(path, METRICS_API_PATH))
        give(r, "application/json", DOCUMENT(resources));
    else if (str_eqc(path, "/openapi/v2"))
        give(r, "application/json", DOCUMENT(openapi_v2));
    else if (str_eqc(path, "/openapi/v3"))
        give(r, "application/json", DOCUMENT(openapi_v3_root));
    else if (str_eqc(path, "/version"))
        give(r, "application/json", STR(version));
    else
        give(r, "application/json", DOCUMENT(openapi_v3));
}

// ---- values

// RFC 3339 in whole seconds, as Kubernetes prints times.
static void add_time(struct buf *out, int64_t real_ns) {
    char text[40];
    clock_format_utc(real_ns, text, sizeof(text));
    (void)buf_addf(out, "\"%.19sZ\"", text);
}

// A quantity: whole replicas, or thousandths of them ("2001m").
static void add_value(struct buf *out, double value) {
    long long milli = (long long)(value * 1000 + 0.5);
    if (milli % 1000 == 0)
        (void)buf_addf(out, "\"%lld\"", milli / 1000);
    else
        (void)buf_addf(out, "\"%lldm\"", milli);
}

static void answer_one(struct http_request *r, const struct object *o, int64_t at_real_ns) {
    CLEANUP_BUF struct buf out;
    buf_init(&out, BODY_MAX);
    (void)buf_addc(&out,
                   "{\"kind\":\"ExternalMetricValueList\",\"apiVersion\":\"" METRICS_API_GROUP
                   "/v1beta1\",\"metadata\":{},\"items\":[{\"metricName\":\"" METRICS_API_METRIC
                   "\",\"metricLabels\":{\"" METRICS_API_RULE_LABEL "\":");
    (void)buf_add_json(&out, o->key->ref.name);
    (void)buf_addc(&out, "},\"timestamp\":");
    add_time(&out, at_real_ns);
    (void)buf_addc(&out, ",\"value\":");
    add_value(&out, o->sent.value);
    (void)buf_addc(&out, "}]}\n");
    http_request_answer(r, &(struct http_answer){.status = 200,
                                                 .content_type = "application/json",
                                                 .body = buf_str(&out)});
}

static void answer_object(struct http_request *r, const struct io *io, const struct object *o) {
    int64_t age_ns = clock_mono_ns() - io_replicas_decided_ns(io, io->ticked_ns);
    if (!o->published || io->ticked_ns == 0)
        metrics_api_fail(r, 503, "rule %s/%s: no decision has been made yet",
                         o->key->ref.namespace_.p, o->key->ref.name.p);
    else if (age_ns > LIMIT_DECISION_AGE_MS * NS_PER_MS)
        metrics_api_fail(r, 503,
                         "rule %s/%s: the scaler has made no decision for %d s; see its log",
                         o->key->ref.namespace_.p, o->key->ref.name.p, (int)(age_ns / NS_PER_S));
    else if (o->sent.status != GRPC_OK)
        answer_status(r, 503, str_from(o->message));
    else
        answer_one(r, o, clock_real_ns() - age_ns); // of the last tick, which has confirmed it
}

struct choice {
    const char *namespace_;
    struct kube_selector selector;
    size_t n, in_namespace;
    size_t index;     // of the first one
    struct buf names; // of the namespace's rules
};

static void look_at(struct choice *c, const struct config_rule *rule, size_t index) {
    if (strcmp(rule->namespace_, c->namespace_) != 0)
        return;
    if (c->in_namespace++ < NAMES_TOLD)
        (void)buf_addf(&c->names, "%s%s", c->in_namespace > 1 ? ", " : "", rule->name);
    if (!metrics_api_selects(&c->selector, rule->name))
        return;
    if (c->n++ == 0)
        c->index = index;
}

static void answer_choice(struct http_request *r, const struct io *io, const struct choice *c,
                          const char *selector) {
    const struct object *o = c->n == 1 ? io->rules[c->index] : NULL;
    if (c->in_namespace == 0)
        metrics_api_fail(r, 404, "the scaler's configuration has no rule for namespace %s",
                         c->namespace_);
    else if (c->n == 0)
        metrics_api_fail(r, 404,
                         "no rule of namespace %s has the labels \"%s\"; its rules are: " STR_FMT
                         " (matchLabels: " METRICS_API_RULE_LABEL ": NAME)",
                         c->namespace_, selector, STR_ARG(buf_str(&c->names)));
    else if (c->n > 1)
        metrics_api_fail(r, 400,
                         "\"%s\" selects %zu rules of namespace %s, whose sum is nobody's number: "
                         "name one of " STR_FMT " (matchLabels: " METRICS_API_RULE_LABEL ": NAME)",
                         selector, c->n, c->namespace_, STR_ARG(buf_str(&c->names)));
    else
        answer_object(r, io, o);
}

void metrics_api_answer_value(struct http_request *r, const struct io *io,
                              const struct metrics_api_place *place) {
    struct choice c = {.namespace_ = place->namespace_};
    char selector[SELECTOR_MAX];
    struct err e = {0};
    CLEANUP_ARENA struct arena a;
    arena_init(&a, BODY_MAX);
    if (strcmp(place->metric, METRICS_API_METRIC) != 0) {
        metrics_api_fail(r, 404, "there is no metric \"%s\", the only one is " METRICS_API_METRIC,
                         place->metric);
        return;
    }
    int rc = http_request_param(r, "labelSelector", selector, sizeof(selector));
    if (rc == ERR_NOTFOUND)
        selector[0] = '\0';
    if (rc == 0)
        rc = kube_selector_parse(&c.selector, &a, str_from(selector), &e);
    if (rc < 0 && rc != ERR_NOTFOUND) {
        metrics_api_fail(r, 400, "%s", e.code < 0 ? e.msg : "labelSelector cannot be read");
        return;
    }
    buf_init(&c.names, MESSAGE_MAX);
    for (size_t i = 0; i < io->config->rules.n; i++)
        look_at(&c, &io->config->rules.items[i], i);
    answer_choice(r, io, &c, selector);
    buf_done(&c.names);
}
