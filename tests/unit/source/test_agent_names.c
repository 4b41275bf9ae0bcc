// SPDX-License-Identifier: Apache-2.0
/* The resolver that agents use by themselves: answers from the loop, errors with a reason, cancel.
 */
#include <netinet/in.h>

#include "base/mem.h"
#include "net/loop.h"
#include "source/agent_names.h"
#include "web/turn.h"

struct answer {
    int told;
    size_t n;
    bool loopback;
    struct err why;
};

static void on_answer(void *arg, const struct sockaddr_storage *addresses, size_t n,
                      const struct err *why) {
    struct answer *a = arg;
    a->told++;
    a->n = n;
    if (why)
        a->why = *why;
    for (size_t i = 0; i < n; i++) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&addresses[i];
        a->loopback |= in->sin_family == AF_INET && in->sin_addr.s_addr == htonl(INADDR_LOOPBACK);
    }
}
static bool told(void *ctx) {
    return ((struct answer *)ctx)->told > 0;
}

static void *start(uv_loop_t *loop, const char *host, struct answer *a) {
    void *request;
    struct err e = {0};
    assert_int_equal(agent_names_resolver.start(NULL, loop, host, on_answer, a, &request, &e), 0);
    assert_int_equal(a->told, 0); // never from inside
    return request;
}

static void a_name_has_its_addresses(void **state) {
    uv_loop_t loop;
    struct answer a = {0};
    uv_loop_init(&loop);
    start(&loop, "localhost", &a);
    TURN_UNTIL(&loop, told, &a);
    assert_string_equal(a.why.msg, "");
    assert_true(a.n > 0);
    assert_true(a.loopback);
    net_loop_drain_close(&loop);
}

static void a_name_that_cannot_be_has_a_reason(void **state) {
    uv_loop_t loop;
    struct answer a = {0};
    uv_loop_init(&loop);
    start(&loop, "a..b", &a); // an empty label: no server needs to be asked
    TURN_UNTIL(&loop, told, &a);
    assert_int_equal(a.n, 0);
    assert_int_equal(a.why.code, ERR_UNAVAILABLE);
    assert_non_null(strstr(a.why.msg, "cannot be looked up"));
    net_loop_drain_close(&loop);
}

static void a_cancelled_lookup_tells_nothing_and_frees_itself(void **state) {
    uv_loop_t loop;
    struct answer a = {0};
    uv_loop_init(&loop);
    agent_names_resolver.cancel(NULL, start(&loop, "localhost", &a));
    turn_out(&loop);
    net_loop_drain_close(&loop);
    assert_int_equal(a.told, 0);
}

static void without_memory_it_is_an_error(void **state) {
    uv_loop_t loop;
    struct answer a = {0};
    struct err e = {0};
    void *request;
    uv_loop_init(&loop);
    mem_fail_from(1);
    int r = agent_names_resolver.start(NULL, &loop, "localhost", on_answer, &a, &request, &e);
    mem_fail_never();
    assert_int_equal(r, ERR_NOMEM);
    net_loop_drain_close(&loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_has_its_addresses),
        cmocka_unit_test(a_name_that_cannot_be_has_a_reason),
        cmocka_unit_test(a_cancelled_lookup_tells_nothing_and_frees_itself),
        cmocka_unit_test(without_memory_it_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
