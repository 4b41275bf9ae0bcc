// SPDX-License-Identifier: Apache-2.0
/*
 * A request to the metrics API, as bytes of HTTP: which metric of which namespace, by which
 * selector, and who the front proxy says it is. Nothing that is read is more than what was written.
 */
#include "base/mem.h"
#include "fuzz.h"
#include "kube/labels.h"
#include "kube/write.h"
#include "scaler/metrics_api_ask.h"

static const char *user[] = {"X-Remote-User"}, *uid[] = {"X-Remote-Uid"},
                  *group[] = {"X-Remote-Group"}, *extra[] = {"X-Remote-Extra-", "X-E"};
static const struct kube_front_proxy names = {.user_headers = {user, 1},
                                              .uid_headers = {uid, 1},
                                              .group_headers = {group, 1},
                                              .extra_prefixes = {extra, 2}};

static void check_place(struct str path) {
    struct metrics_api_place p;
    char again[1024];
    if (metrics_api_place(path, &p) < 0)
        return;
    int n = snprintf(again, sizeof(again), METRICS_API_PATH "/namespaces/%s/%s", p.namespace_,
                     p.metric);
    require(n > 0 && str_eq(path, (struct str){again, (size_t)n}));
}

static void check_selector(struct str query) {
    char text[2048];
    struct err e = {0};
    struct kube_selector s = {0};
    CLEANUP_ARENA struct arena a;
    arena_init(&a, 1 << 16);
    if (http1_query_param(query, "labelSelector", text, sizeof(text)) < 0)
        return;
    if (kube_selector_parse(&s, &a, str_from(text), &e) < 0) {
        require_message(&e);
        return;
    }
    // Each term holds for a name or does not, and the whole is all of them.
    bool all = true;
    for (size_t i = 0; i < s.n; i++) {
        struct kube_selector one = {&s.terms[i], 1};
        all &= metrics_api_selects(&one, "llm");
    }
    require(metrics_api_selects(&s, "llm") == all);
}

static void check_user(const struct http1 *h) {
    struct access_user u;
    CLEANUP_ARENA struct arena a;
    arena_init(&a, 48 << 10);
    int rc = metrics_api_user(&u, &a, h, &names);
    if (rc < 0)
        return;
    bool authenticated = false;
    size_t texts = 0;
    require(u.name[0] != '\0');
    for (size_t i = 0; i < u.n_groups; i++)
        authenticated |= strcmp(u.groups[i], "system:authenticated") == 0 ||
                         strcmp(u.groups[i], "system:unauthenticated") == 0;
    authenticated |= strcmp(u.name, "system:anonymous") == 0;
    for (size_t i = 0; i < u.n_extra; i++) {
        texts += u.extra[i].n;
        for (size_t k = 0; k < i; k++)
            require(strcmp(u.extra[i].key, u.extra[k].key) != 0);
    }
    require(authenticated && u.n_groups <= LIMIT_HTTP_HEADERS + 1 && texts <= LIMIT_HTTP_HEADERS);
    CLEANUP_BUF struct buf json;
    buf_init(&json, 1 << 20);
    struct kube_access what = {.user = u.name,
                               .uid = u.uid,
                               .groups = u.groups,
                               .n_groups = u.n_groups,
                               .extra = u.extra,
                               .n_extra = u.n_extra,
                               .verb = "get",
                               .path = "/apis"};
    require(kube_access_review_json(&json, &what) == 0 && utf8_valid(json.p, json.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct http1 h;
    http1_init(&h);
    for (size_t at = 0; at < size && h.state < HTTP1_DONE;)
        at += http1_feed(&h, data + at, size - at);
    if (h.state == HTTP1_DONE) {
        (void)metrics_api_wants_aggregated(http1_header(&h, "Accept"));
        check_place(http1_path(&h));
        check_selector(http1_query(&h));
        check_user(&h);
    }
    http1_done(&h);
    return 0;
}
