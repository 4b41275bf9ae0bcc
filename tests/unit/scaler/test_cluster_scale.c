// SPDX-License-Identifier: Apache-2.0
/*
 * scaler/cluster_scale against an API server in the same loop: what is told of scales that cannot
 * be read any more.
 */
#include "kube_lab.h"

#include "base/buf.h"
#include "base/mem.h"
#include "scaler/cluster_scale.h"

#define GROUP "/apis/argoproj.io/v1alpha1"
enum { TARGETS = 8, TOLD = 5, DEADLINE_S = 30 };

struct world {
    uv_loop_t loop;
    struct http_server *api;
    struct kube_config config;
    struct kube_client *client;
    struct cluster_scales *scales;
    struct kube_scaled_object objects[TARGETS];
    char names[TARGETS][16];
    bool refuses;
    unsigned answers;
};

static void answer(struct http_request *r, const char *json) {
    http_request_answer(r, &(struct http_answer){.status = 200,
                                                 .content_type = "application/json",
                                                 .body = str_from(json)});
}

static void on_list(struct http_request *r, void *ctx) {
    answer(r,
           "{\"kind\":\"APIResourceList\",\"groupVersion\":\"argoproj.io/v1alpha1\",\"resources\":"
           "[{\"name\":\"rollouts\",\"kind\":\"Rollout\",\"namespaced\":true,\"verbs\":[\"get\"]},"
           "{\"name\":\"rollouts/scale\",\"kind\":\"Scale\",\"group\":\"autoscaling\",\"version\":"
           "\"v1\",\"namespaced\":true,\"verbs\":[\"get\"]}]}");
}

static void on_scale(struct http_request *r, void *ctx) {
    struct world *w = ctx;
    w->answers++;
    if (w->refuses)
        http_request_answer_text(r, 403, "it is forbidden");
    else
        answer(
            r,
            "{\"kind\":\"Scale\",\"metadata\":{\"name\":\"x\",\"namespace\":\"ml\",\"uid\":\"u\"},"
            "\"spec\":{\"replicas\":2},\"status\":{\"replicas\":2,\"selector\":\"app=x\"}}");
}

static const struct http_route routes[] = {
    {"GET", GROUP, on_list},
    {"GET", GROUP "/namespaces/ml/rollouts/", on_scale},
    {0},
};

static void ignore(void *ctx) {
}

static void open_world(struct world *w) {
    struct err e = {0};
    *w = (struct world){0};
    assert_int_equal(uv_loop_init(&w->loop), 0);
    const struct http_server_options o = {.listen = "127.0.0.1:0", .routes = routes, .ctx = w};
    assert_int_equal(http_server_open(&w->api, &w->loop, &o, &e), 0);
    kube_lab_client(&w->loop, w->api, &w->config, &w->client);
    assert_int_equal(cluster_scales_new(&w->scales, w->client, ignore, NULL, &e), 0);
    for (int i = 0; i < TARGETS; i++) {
        (void)snprintf(w->names[i], sizeof(w->names[i]), "llm-%d", i);
        w->objects[i] = (struct kube_scaled_object){.o = {.namespace_ = "ml"},
                                                    .target_api = "argoproj.io/v1alpha1",
                                                    .target_kind = "Rollout",
                                                    .target_name = w->names[i]};
    }
}

static void close_world(struct world *w) {
    cluster_scales_free(w->scales);
    kube_client_free(w->client);
    if (w->api != NULL)
        http_server_close(w->api, 0, kube_lab_closed, NULL);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    net_loop_drain_close(&w->loop);
    kube_config_done(&w->config);
}

// Of the targets, so many whose scale is known and so many that fail, told in `out`.
static void look(struct world *w, size_t *ret_known, size_t *ret_stale, struct buf *out) {
    *ret_known = *ret_stale = 0;
    for (int i = 0; i < TARGETS; i++) {
        const struct kube_scale *scale;
        struct err e;
        *ret_known += cluster_scales_get(w->scales, &w->objects[i], &scale, &e) == 0;
        *ret_stale += cluster_scales_stale_ns(w->scales, &w->objects[i], INT64_MAX) > 0;
    }
    buf_clear(out);
    cluster_scales_troubles(w->scales, clock_mono_ns(), out);
}

static void wait_for(struct world *w, size_t known, size_t stale, size_t told, struct buf *out) {
    struct net_timer *tick = NULL;
    int64_t end_ns = clock_mono_ns() + DEADLINE_S * NS_PER_S;
    size_t is_known, is_stale, lines;
    assert_int_equal(net_timer_start(&tick, &w->loop, 0, 5 * NS_PER_MS, ignore, NULL, NULL), 0);
    do {
        uv_run(&w->loop, UV_RUN_ONCE);
        look(w, &is_known, &is_stale, out);
        lines = 0;
        for (size_t i = 0; i < out->len; i++)
            lines += out->p[i] == '\n';
    } while ((is_known != known || is_stale != stale || lines != told) && clock_mono_ns() < end_ns);
    net_timer_stop(&tick);
    if (is_known != known || is_stale != stale || lines != told)
        fail_msg("%zu known, %zu stale, %zu lines: " STR_FMT, is_known, is_stale, lines,
                 STR_ARG(buf_str(out)));
}

static void a_few_refused_scales_are_told_and_a_server_that_is_away_is_not(void **state) {
    struct world w;
    CLEANUP_BUF struct buf out;
    buf_init(&out, 1 << 20);
    open_world(&w);
    wait_for(&w, TARGETS, 0, 0, &out);
    w.refuses = true;
    wait_for(&w, TARGETS, TARGETS, TOLD + 1, &out);
    assert_int_equal(buf_add_byte(&out, '\0'), 0);
    assert_non_null(strstr(out.p, "scale of ml/Rollout/llm-0 as it was "));
    assert_non_null(strstr(out.p, "it is forbidden"));
    assert_non_null(strstr(out.p, "scales of 3 more targets as they were\n"));
    // Away: each is as stale as before, and the caches say why.
    http_server_close(w.api, 0, kube_lab_closed, NULL);
    w.api = NULL;
    wait_for(&w, TARGETS, TARGETS, 0, &out);
    close_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_few_refused_scales_are_told_and_a_server_that_is_away_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
