// SPDX-License-Identifier: Apache-2.0
/*
 * scaler/access against an API server in the same loop: who is let in, what is remembered and for
 * how long, one review for many who ask, and nobody let in while the server is away.
 */
#include "kube_lab.h"

#include "base/limits.h"
#include "base/mem.h"
#include "scaler/access.h"

// A half for each kind of review.
enum { KEPT = LIMIT_ACCESS_REVIEWS / 2, AT_ONCE = LIMIT_ACCESS_ASKING / 2 };

struct world {
    uv_loop_t loop;
    struct http_server *api;
    struct kube_config config;
    struct kube_client *client;
    struct access *access;
    int tokens, rights; // reviews that were asked
    bool hold;          // answers wait
    struct http_request *held[LIMIT_ACCESS_ASKING];
    size_t n_held;
    int status; // not 0: what is answered
    // What the callbacks were told.
    int told;
    char user[64], groups[64], why[ERR_MSG_MAX];
    int code;
    enum access_answer answer;
    bool ask_more; // the token's callback asks for a right
};

static bool has(struct str s, const char *text) {
    return memmem(s.p, s.n, text, strlen(text)) != NULL;
}

static void answer_json(struct http_request *r, const char *json) {
    http_request_answer(r, &(struct http_answer){.status = 201,
                                                 .content_type = "application/json",
                                                 .body = str_from(json)});
}

static void review(struct world *w, struct http_request *r) {
    struct str body = http_request_body(r);
    if (w->status != 0)
        http_request_answer_text(r, w->status, "no");
    else if (has(body, "TokenReview"))
        answer_json(r, has(body, "good")
                           ? "{\"kind\":\"TokenReview\",\"status\":{\"authenticated\":true,"
                             "\"user\":{\"username\":\"ann\",\"uid\":\"1\",\"groups\":[\"a\"],"
                             "\"extra\":{\"pod\":[\"p\"]}}}}"
                           : "{\"kind\":\"TokenReview\",\"status\":{\"error\":\"secret words\"}}");
    else
        answer_json(r, has(body, "\"namespace\":\"ml\"") && has(body, "\"user\":\"ann\"") &&
                               has(body, "\"groups\":[\"a\"]") &&
                               has(body, "\"extra\":{\"pod\":[\"p\"]}")
                           ? "{\"kind\":\"SubjectAccessReview\",\"status\":{\"allowed\":true}}"
                           : "{\"kind\":\"SubjectAccessReview\",\"status\":{\"allowed\":false,"
                             "\"reason\":\"no role\"}}");
}

static void on_review(struct http_request *r, void *ctx) {
    struct world *w = ctx;
    *(has(http_request_body(r), "TokenReview") ? &w->tokens : &w->rights) += 1;
    if (w->hold)
        w->held[w->n_held++] = r;
    else
        review(w, r);
}

static const struct http_route routes[] = {
    {"POST", "/apis/authentication.k8s.io/v1/tokenreviews", on_review},
    {"POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", on_review},
    {0},
};

static void release(struct world *w) {
    w->hold = false;
    for (size_t i = 0; i < w->n_held; i++)
        review(w, w->held[i]);
    w->n_held = 0;
}

static void open_world(struct world *w, int64_t keep_ns) {
    struct err e = {0};
    *w = (struct world){0};
    assert_int_equal(uv_loop_init(&w->loop), 0);
    const struct http_server_options o = {.listen = "127.0.0.1:0", .routes = routes, .ctx = w};
    assert_int_equal(http_server_open(&w->api, &w->loop, &o, &e), 0);
    kube_lab_client(&w->loop, w->api, &w->config, &w->client);
    const struct access_options a = {.kube = w->client, .keep_ns = keep_ns};
    assert_int_equal(access_new(&w->access, &a, &e), 0);
}

static void close_world(struct world *w) {
    w->access = access_free(w->access);
    kube_client_free(w->client);
    release(w);
    if (w->api != NULL)
        http_server_close(w->api, 0, kube_lab_closed, NULL);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    net_loop_drain_close(&w->loop);
    kube_config_done(&w->config);
}

static void on_tick(void *ctx) {
}

// Until so many were told; 30 s without them have failed.
static void wait_told(struct world *w, int n) {
    struct net_timer *tick = NULL;
    int64_t end_ns = clock_mono_ns() + 30 * NS_PER_S;
    assert_int_equal(net_timer_start(&tick, &w->loop, 0, 5 * NS_PER_MS, on_tick, NULL, NULL), 0);
    while (w->told < n && clock_mono_ns() < end_ns)
        uv_run(&w->loop, UV_RUN_ONCE);
    net_timer_stop(&tick);
    assert_int_equal(w->told, n);
}

static void on_right(void *ctx, enum access_answer answer, const char *reason) {
    struct world *w = ctx;
    w->told++;
    w->answer = answer;
    (void)str_copy(w->why, sizeof(w->why), str_from(reason));
}

static void check(struct world *w, const struct access_user *user, const char *ns) {
    const struct kube_access what = {
        .verb = "list", .group = "keda.sh", .resource = "scaledobjects", .namespace_ = ns};
    access_check(w->access, user, &what, on_right, w);
}

static void on_user(void *ctx, const struct access_user *user, const struct err *why) {
    struct world *w = ctx;
    w->told++;
    w->code = user != NULL ? 0 : why->code;
    (void)str_copy(w->why, sizeof(w->why), str_from(why->msg));
    w->user[0] = '\0';
    if (user == NULL)
        return;
    (void)str_copy(w->user, sizeof(w->user), str_from(user->name));
    (void)str_copy(w->groups, sizeof(w->groups), str_from(user->groups[0]));
    if (w->ask_more)
        check(w, user, "ml");
}

static void ask(struct world *w, const char *token) {
    access_token(w->access, str_from(token), on_user, w);
}

static void a_token_is_asked_for_once(void **state) {
    struct world w;
    open_world(&w, 0);
    ask(&w, "good");
    wait_told(&w, 1);
    assert_string_equal(w.user, "ann");
    assert_string_equal(w.groups, "a");
    ask(&w, "good");
    assert_int_equal(w.told, 2); // at once
    assert_string_equal(w.user, "ann");
    assert_int_equal(w.tokens, 1);
    assert_int_equal(access_stats(w.access).remembered, 1);
    assert_int_equal(access_stats(w.access).answers[ACCESS_REVIEW_TOKEN][ACCESS_ALLOWED], 1);
    close_world(&w);
}

static void a_foreign_token_is_refused_without_the_servers_words(void **state) {
    struct world w;
    open_world(&w, 0);
    for (int i = 0; i < 2; i++) {
        ask(&w, "bad");
        wait_told(&w, i + 1);
        assert_int_equal(w.code, ERR_AUTH);
        assert_null(strstr(w.why, "secret words"));
        assert_null(strstr(w.why, "bad"));
    }
    assert_int_equal(w.tokens, 1); // a denial is remembered too
    ask(&w, "");
    assert_int_equal(w.told, 3);
    assert_int_equal(w.code, ERR_AUTH);
    static char long_token[LIMIT_SECRET_BYTES + 2];
    memset(long_token, 'g', sizeof(long_token) - 1);
    ask(&w, long_token);
    assert_int_equal(w.told, 4);
    assert_int_equal(w.code, ERR_AUTH);
    assert_int_equal(w.tokens, 1);
    close_world(&w);
}

static void rights_are_asked_with_all_that_the_token_says(void **state) {
    struct world w;
    open_world(&w, 0);
    w.ask_more = true;
    ask(&w, "good");
    wait_told(&w, 2);
    assert_int_equal(w.answer, ACCESS_ALLOWED);
    const struct access_user eve = {.name = "eve"};
    check(&w, &eve, "ml");
    wait_told(&w, 3);
    assert_int_equal(w.answer, ACCESS_DENIED);
    assert_string_equal(w.why, "no role");
    check(&w, &eve, "ml");
    assert_int_equal(w.told, 4);
    assert_int_equal(w.rights, 2);
    close_world(&w);
}

static void many_who_ask_the_same_share_one_review(void **state) {
    struct world w;
    open_world(&w, 0);
    w.hold = true;
    for (int i = 0; i < 100; i++)
        ask(&w, "good");
    while (w.n_held == 0)
        uv_run(&w.loop, UV_RUN_ONCE);
    assert_int_equal(w.told, 0);
    release(&w);
    wait_told(&w, 100);
    assert_int_equal(w.tokens, 1);
    close_world(&w);
}

static void more_reviews_than_may_run_are_unknown(void **state) {
    struct world w;
    open_world(&w, 0);
    w.hold = true;
    for (int i = 0; i < AT_ONCE + 3; i++) {
        char token[32];
        (void)snprintf(token, sizeof(token), "good-%d", i);
        ask(&w, token);
    }
    assert_int_equal(w.told, 3);
    assert_int_equal(w.code, ERR_UNAVAILABLE);
    while (w.n_held < AT_ONCE)
        uv_run(&w.loop, UV_RUN_ONCE);
    // Questions about rights have their own half.
    const struct access_user ann = {.name = "ann"};
    check(&w, &ann, "ml");
    assert_int_equal(w.told, 3);
    while (w.n_held < AT_ONCE + 1)
        uv_run(&w.loop, UV_RUN_ONCE);
    release(&w);
    wait_told(&w, AT_ONCE + 4);
    close_world(&w);
}

static void answers_grow_old(void **state) {
    struct world w;
    open_world(&w, 1); // a nanosecond
    ask(&w, "good");
    wait_told(&w, 1);
    ask(&w, "good");
    wait_told(&w, 2);
    assert_int_equal(w.tokens, 2);
    close_world(&w);
}

static void the_table_is_bounded_and_the_oldest_answers_go(void **state) {
    struct world w;
    open_world(&w, 3600 * NS_PER_S);
    const struct access_user eve = {.name = "eve"};
    check(&w, &eve, "ml");
    wait_told(&w, 1);
    for (int i = 0; i < KEPT + 1; i++) {
        char token[32];
        (void)snprintf(token, sizeof(token), "t-%d", i);
        ask(&w, token);
        wait_told(&w, i + 2);
    }
    assert_int_equal(w.tokens, KEPT + 1);
    ask(&w, "t-1");
    assert_int_equal(w.told, KEPT + 3);
    ask(&w, "t-0"); // the first went
    wait_told(&w, KEPT + 4);
    assert_int_equal(w.tokens, KEPT + 2);
    check(&w, &eve, "ml"); // no token pushes a right out
    assert_int_equal(w.told, KEPT + 5);
    assert_int_equal(w.rights, 1);
    close_world(&w);
}

static void nobody_is_let_in_while_the_server_fails_save_who_is_remembered(void **state) {
    static const int statuses[] = {500, 403, 401, 200};
    for (size_t i = 0; i < COUNT_OF(statuses); i++) {
        struct world w;
        open_world(&w, 0);
        ask(&w, "good");
        wait_told(&w, 1);
        w.status = statuses[i]; // 200: an answer that is no review
        ask(&w, "good-too");
        wait_told(&w, 2);
        assert_int_equal(w.code, ERR_UNAVAILABLE);
        assert_string_equal(w.user, "");
        const struct access_user ann = {.name = "ann"};
        check(&w, &ann, "ml");
        wait_told(&w, 3);
        assert_int_equal(w.answer, ACCESS_UNKNOWN);
        ask(&w, "good");
        assert_int_equal(w.told, 4);
        assert_string_equal(w.user, "ann");
        w.status = 0; // what was not known is asked again
        ask(&w, "good-too");
        wait_told(&w, 5);
        assert_string_equal(w.user, "ann");
        close_world(&w);
    }
}

static void who_waits_at_the_end_is_told(void **state) {
    struct world w;
    open_world(&w, 0);
    w.hold = true;
    ask(&w, "good");
    ask(&w, "good");
    const struct access_user ann = {.name = "ann"};
    check(&w, &ann, "ml");
    while (w.n_held < 2)
        uv_run(&w.loop, UV_RUN_ONCE);
    w.access = access_free(w.access);
    assert_int_equal(w.told, 3);
    assert_int_equal(w.code, ERR_UNAVAILABLE);
    assert_int_equal(w.answer, ACCESS_UNKNOWN);
    close_world(&w);
}

static void a_user_is_copied_whole(void **state) {
    static const char *const values[] = {"p", "q"}, *const groups[] = {"a", "b"};
    const struct kube_extra extra[] = {{"pod", values, 2}};
    const struct access_user from = {"ann", NULL, groups, 2, extra, 1};
    struct access_user to;
    struct arena a;
    arena_init(&a, 10000);
    assert_int_equal(access_user_copy(&to, &a, &from), 0);
    assert_string_equal(to.name, "ann");
    assert_string_equal(to.uid, "");
    assert_string_equal(to.groups[1], "b");
    assert_string_equal(to.extra[0].key, "pod");
    assert_string_equal(to.extra[0].values[1], "q");
    arena_done(&a);
    for (size_t max = 0; max < 128; max += 16) {
        arena_init(&a, max);
        assert_int_equal(access_user_copy(&to, &a, &from), ERR_LIMIT);
        arena_done(&a);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_is_asked_for_once),
        cmocka_unit_test(a_foreign_token_is_refused_without_the_servers_words),
        cmocka_unit_test(rights_are_asked_with_all_that_the_token_says),
        cmocka_unit_test(many_who_ask_the_same_share_one_review),
        cmocka_unit_test(more_reviews_than_may_run_are_unknown),
        cmocka_unit_test(answers_grow_old),
        cmocka_unit_test(the_table_is_bounded_and_the_oldest_answers_go),
        cmocka_unit_test(nobody_is_let_in_while_the_server_fails_save_who_is_remembered),
        cmocka_unit_test(who_waits_at_the_end_is_told),
        cmocka_unit_test(a_user_is_copied_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
