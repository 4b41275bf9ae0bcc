// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include <sys/stat.h>

#include "kubelet_unit.h"
#include "podres/client.h"

static struct kubelet_unit k;
static struct podres_client *client;
static unsigned answered, failed;
static size_t pods;
static struct err why;
static bool free_inside, ask_inside;

static void inside(void) {
    if (free_inside)
        client = podres_client_free(client);
    else if (ask_inside)
        podres_client_ask(client);
}

static void on_answered(void *ctx, const struct podres_answer *a) {
    assert_ptr_equal(ctx, &k);
    answered++;
    pods = a->pods;
    inside();
}

static void on_failed(void *ctx, const struct err *e) {
    failed++;
    why = *e;
    inside();
}

static void make_client(const char *path, uint32_t timeout_ms) {
    struct err e = {0};
    struct podres_client_options o = {.socket = path,
                                      .timeout_ms = timeout_ms,
                                      .answered = on_answered,
                                      .failed = on_failed,
                                      .ctx = &k};
    assert_int_equal(podres_client_new(&client, &k.loop, &o, &e), 0);
}

static int setup(void **state) {
    answered = failed = 0;
    free_inside = ask_inside = false;
    kubelet_open(&k);
    list_container(&k.list, "vllm-0");
    make_client(k.path, 2000);
    return 0;
}

static int teardown(void **state) {
    client = podres_client_free(client);
    kubelet_close(&k);
    return 0;
}

static void test_a_question_is_answered_once(void **state) {
    podres_client_ask(client);
    podres_client_ask(client); // one at a time
    assert_true(podres_client_is_asking(client));
    assert_int_equal(answered, 0); // never from inside
    KUBELET_UNTIL(&k, !podres_client_is_asking(client));
    assert_int_equal(answered, 1);
    assert_int_equal(pods, 1);
    assert_int_equal(k.asked, 1);
    // Nothing is held between two questions.
    KUBELET_UNTIL(&k, grpc_server_stats(k.server).connections == 0);
    podres_client_ask(client);
    KUBELET_UNTIL(&k, answered == 2);
}

static void test_no_socket_is_told_later_with_the_remedy(void **state) {
    kubelet_stop(&k);
    podres_client_ask(client);
    assert_int_equal(failed, 0);
    KUBELET_UNTIL(&k, failed == 1);
    assert_int_equal(why.code, ERR_NOTFOUND);
    assert_non_null(strstr(why.msg, k.path));
    assert_non_null(strstr(why.msg, "not mounted"));
    // The kubelet comes (again): the next question is answered.
    kubelet_start(&k);
    podres_client_ask(client);
    KUBELET_UNTIL(&k, answered == 1);
}

static void test_a_socket_that_nobody_serves_is_a_failure(void **state) {
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    kubelet_stop(&k);
    snprintf(un.sun_path, sizeof un.sun_path, "%s", k.path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
    close(fd);
    podres_client_ask(client);
    KUBELET_UNTIL(&k, failed == 1);
    assert_int_equal(why.code, ERR_IO);
    assert_non_null(strstr(why.msg, "Connection refused"));
    unlink(k.path);
}

static void test_a_file_is_no_socket(void **state) {
    kubelet_stop(&k);
    FILE *f = fopen(k.path, "w");
    assert_non_null(f);
    fclose(f);
    podres_client_ask(client);
    KUBELET_UNTIL(&k, failed == 1);
    assert_int_equal(why.code, ERR_INVALID);
    unlink(k.path);
}

static void test_refusals_have_their_codes(void **state) {
    static const struct {
        int status, code;
        const char *says;
    } cases[] = {
        {GRPC_UNIMPLEMENTED, ERR_UNSUPPORTED, "no kubelet of Kubernetes 1.20 or later"},
        {GRPC_PERMISSION_DENIED, ERR_AUTH, "PERMISSION_DENIED: refused"},
        {GRPC_UNAUTHENTICATED, ERR_AUTH, "UNAUTHENTICATED: refused"},
        {GRPC_RESOURCE_EXHAUSTED, ERR_LIMIT, ": refused"},
        {GRPC_UNAVAILABLE, ERR_UNAVAILABLE, ": refused"},
        {GRPC_INTERNAL, ERR_PROTO, "INTERNAL: refused"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        k.status = cases[i].status;
        podres_client_ask(client);
        KUBELET_UNTIL(&k, failed == i + 1);
        assert_int_equal(why.code, cases[i].code);
        if (!strstr(why.msg, cases[i].says) || !strstr(why.msg, k.path))
            fail_msg("%s", why.msg);
    }
}

static void test_a_kubelet_that_hangs_is_left_at_the_timeout(void **state) {
    podres_client_free(client);
    make_client(k.path, 50);
    k.hangs = true;
    podres_client_ask(client);
    KUBELET_UNTIL(&k, failed == 1);
    assert_int_equal(why.code, ERR_TIMEOUT);
    assert_non_null(strstr(why.msg, "no answer within 50 ms"));
    KUBELET_UNTIL(&k, k.ended == 1);
    k.hangs = false;
    podres_client_ask(client);
    KUBELET_UNTIL(&k, answered + failed == 2);
}

static void test_an_answer_with_impossible_names_is_a_failure(void **state) {
    k.list.m.pod_resources[0]->name[0] = '\n';
    podres_client_ask(client);
    KUBELET_UNTIL(&k, failed == 1);
    assert_int_equal(answered, 0);
    assert_int_equal(why.code, ERR_PROTO);
    assert_non_null(strstr(why.msg, "pod 1 without a usable name"));
}

static void test_it_may_be_freed_and_asked_inside_callbacks(void **state) {
    ask_inside = true; // while its answer is told, a question still runs; after a failure none
    podres_client_ask(client);
    KUBELET_UNTIL(&k, !podres_client_is_asking(client));
    k.status = GRPC_INTERNAL;
    podres_client_ask(client);
    KUBELET_UNTIL(&k, failed == 3);
    ask_inside = false;
    free_inside = true;
    KUBELET_UNTIL(&k, failed == 4);
    assert_null(client);
    k.status = 0;
    make_client(k.path, 2000);
    podres_client_ask(client);
    KUBELET_UNTIL(&k, answered == 2);
    assert_null(client);
    make_client("/nonexistent/kubelet.sock", 2000);
    podres_client_ask(client);
    KUBELET_UNTIL(&k, failed == 5);
    make_client(k.path, 2000); // and with a question on its way
    podres_client_ask(client);
    free_inside = false;
    client = podres_client_free(client);
    make_client("/nonexistent/kubelet.sock", 2000);
    podres_client_ask(client);
    client = podres_client_free(client);
    KUBELET_UNTIL(&k, grpc_server_stats(k.server).connections == 0);
    assert_int_equal(answered + failed, 7);
}

static void test_paths_that_are_none_are_refused(void **state) {
    char path[200];
    struct err e = {0};
    struct podres_client *c = NULL;
    struct podres_client_options o = {.answered = on_answered, .failed = on_failed};
    memset(path, 'x', sizeof path - 1);
    path[0] = '/';
    path[sizeof path - 1] = 0;
    const char *bad[] = {"", "kubelet.sock", path};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        o.socket = bad[i];
        assert_int_equal(podres_client_new(&c, &k.loop, &o, &e), ERR_INVALID);
        assert_null(c);
    }
}

// Each question that memory fails ends with an answer, a failure, or (not even a timer) silently;
// the next one works.
static void test_every_allocation_may_fail(void **state) {
    for (long n = 1; n < 400; n++) {
        unsigned before = answered + failed;
        mem_fail_from(n);
        podres_client_ask(client);
        for (int i = 0; i < 50 && podres_client_is_asking(client) && answered + failed == before;
             i++)
            uv_run(&k.loop, UV_RUN_NOWAIT);
        mem_fail_never();
        KUBELET_UNTIL(&k, !podres_client_is_asking(client));
    }
    unsigned so_far = answered;
    podres_client_ask(client);
    KUBELET_UNTIL(&k, answered == so_far + 1);
}

int main(void) {
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_a_question_is_answered_once),
        CASE(test_no_socket_is_told_later_with_the_remedy),
        CASE(test_a_socket_that_nobody_serves_is_a_failure),
        CASE(test_a_file_is_no_socket),
        CASE(test_refusals_have_their_codes),
        CASE(test_a_kubelet_that_hangs_is_left_at_the_timeout),
        CASE(test_an_answer_with_impossible_names_is_a_failure),
        CASE(test_it_may_be_freed_and_asked_inside_callbacks),
        CASE(test_paths_that_are_none_are_refused),
        CASE(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
