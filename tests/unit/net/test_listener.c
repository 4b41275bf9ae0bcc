// SPDX-License-Identifier: Apache-2.0
/* Accepting: the cap, the full descriptor table, unix sockets, addresses that cannot be had. */
#include "net_unit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

struct acceptor {
    struct net_listener *listener;
    int fds[64];
    int n;
    bool close_at_first;
};

static void on_accepted(void *ctx, int fd) {
    struct acceptor *a = ctx;
    assert_true(a->n < 64);
    a->fds[a->n++] = fd;
    if (a->close_at_first)
        a->listener = net_listener_close(a->listener);
}

static void open_listener(struct acceptor *a, uv_loop_t *loop, const char *listen, unsigned max) {
    struct net_listener_options o = {listen, max, on_accepted, a};
    struct err e = {0};
    if (net_listener_open(&a->listener, loop, &o, &e) < 0)
        fail_msg("%s", e.msg);
}

static int dial(const struct net_addr *to) {
    int fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, &to->sa, to->len), 0);
    return fd;
}

static bool ended(int fd) {
    char c;
    ssize_t n = recv(fd, &c, 1, MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno == ECONNRESET);
}

static void close_all(struct acceptor *a) {
    for (int i = 0; i < a->n; i++)
        close(a->fds[i]);
    a->n = 0;
}

static void accepted_sockets_are_ready_for_use(void **state) {
    uv_loop_t loop;
    uv_loop_init(&loop);
    struct acceptor a = {0};
    open_listener(&a, &loop, "127.0.0.1:0", 4);
    const struct net_addr *addr = net_listener_addr(a.listener);
    assert_true(addr->in.sin_port != 0); // the kernel's
    int fd = dial(addr);
    RUN_UNTIL(&loop, a.n == 1);
    assert_true(fcntl(a.fds[0], F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(a.fds[0], F_GETFD) & FD_CLOEXEC);
    static const int names[][2] = {
        {IPPROTO_TCP, TCP_NODELAY}, {SOL_SOCKET, SO_KEEPALIVE}, {IPPROTO_TCP, TCP_USER_TIMEOUT}};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        int value = 0;
        socklen_t n = sizeof(value);
        assert_int_equal(getsockopt(a.fds[0], names[i][0], names[i][1], &value, &n), 0);
        assert_true(value > 0);
    }
    close(fd);
    close_all(&a);
    a.listener = net_listener_close(a.listener);
    net_listener_released(a.listener); // NULL: its connections may outlive it
    assert_null(net_listener_close(NULL));
    net_loop_drain_close(&loop);
}

static void connections_over_the_cap_are_closed_and_counted(void **state) {
    uv_loop_t loop;
    uv_loop_init(&loop);
    struct acceptor a = {0};
    open_listener(&a, &loop, "127.0.0.1:0", 3);
    int fds[5];
    for (int i = 0; i < 5; i++)
        fds[i] = dial(net_listener_addr(a.listener));
    RUN_UNTIL(&loop, net_listener_refused(a.listener) == 2);
    assert_int_equal(a.n, 3);
    RUN_UNTIL(&loop, ended(fds[3]) && ended(fds[4]));
    net_listener_released(a.listener);
    int again = dial(net_listener_addr(a.listener));
    RUN_UNTIL(&loop, a.n == 4);
    assert_int_equal(net_listener_refused(a.listener), 2);
    close(again);
    for (int i = 0; i < 5; i++)
        close(fds[i]);
    close_all(&a);
    net_listener_close(a.listener);
    net_loop_drain_close(&loop);
}

static void a_full_descriptor_table_refuses_and_recovers(void **state) {
    uv_loop_t loop;
    uv_loop_init(&loop);
    struct acceptor a = {0};
    open_listener(&a, &loop, "127.0.0.1:0", 10);
    int client = dial(net_listener_addr(a.listener));
    unit_turns(&loop, 1); // epoll has the listening socket now
    int wanted = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct rlimit was, tight;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    RUN_UNTIL(&loop, a.n == 1);
    // No descriptor beyond those that are open.
    tight = was;
    int lowest = dup(0);
    close(lowest);
    tight.rlim_cur = (rlim_t)lowest;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    const struct net_addr *to = net_listener_addr(a.listener);
    assert_int_equal(connect(wanted, &to->sa, to->len), 0);
    RUN_UNTIL(&loop, net_listener_refused(a.listener) == 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    assert_int_equal(a.n, 1);
    RUN_UNTIL(&loop, ended(wanted));
    int later = dial(to);
    RUN_UNTIL(&loop, a.n == 2);
    close(client);
    close(wanted);
    close(later);
    close_all(&a);
    net_listener_close(a.listener);
    net_loop_drain_close(&loop);
}

static void a_listener_may_be_closed_from_its_own_callback(void **state) {
    uv_loop_t loop;
    uv_loop_init(&loop);
    struct acceptor a = {.close_at_first = true};
    open_listener(&a, &loop, "127.0.0.1:0", 10);
    int one = dial(net_listener_addr(a.listener)), two = dial(net_listener_addr(a.listener));
    RUN_UNTIL(&loop, a.n == 1);
    unit_turns(&loop, 3);
    assert_int_equal(a.n, 1);
    close(one);
    close(two);
    close_all(&a);
    net_loop_drain_close(&loop);
}

static void a_stale_unix_socket_is_taken_over_a_served_one_is_not(void **state) {
    uv_loop_t loop;
    uv_loop_init(&loop);
    struct unit_dir d;
    unit_dir_init(&d);
    char listen_text[128];
    snprintf(listen_text, sizeof(listen_text), "unix:%s", unit_path(&d, "sock"));
    struct acceptor a = {0}, b = {0};
    open_listener(&a, &loop, listen_text, 4);
    struct net_listener_options o = {listen_text, 4, on_accepted, &b};
    struct err e = {0};
    assert_int_equal(net_listener_open(&b.listener, &loop, &o, &e), ERR_IO);
    assert_non_null(strstr(e.msg, "in use"));
    // What a killed program leaves behind: a socket file that nobody serves.
    const char *path = unit_path(&d, "stale");
    snprintf(listen_text, sizeof(listen_text), "unix:%s", path);
    struct net_addr stale;
    assert_int_equal(net_addr_parse(str_from(listen_text), &stale, NULL), 0);
    int left = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(left, &stale.sa, stale.len), 0);
    close(left);
    open_listener(&b, &loop, listen_text, 4);
    int fd = dial(&stale);
    RUN_UNTIL(&loop, b.n == 1);
    close(fd);
    close_all(&b);
    net_listener_close(b.listener);
    struct stat st;
    assert_int_equal(stat(path, &st), -1); // removed at the close
    // A plain file of that name is somebody's: never removed.
    unit_write_text(&d, "stale", "precious");
    b.listener = NULL;
    assert_int_equal(net_listener_open(&b.listener, &loop, &o, &e), ERR_IO);
    assert_int_equal(stat(path, &st), 0);
    net_listener_close(a.listener);
    unit_dir_done(&d);
    net_loop_drain_close(&loop);
}

static void addresses_that_cannot_be_had_are_named(void **state) {
    uv_loop_t loop;
    uv_loop_init(&loop);
    static const struct {
        const char *listen;
        int code;
    } cases[] = {
        {"nonsense", ERR_PARSE},
        {"some.name:80", ERR_NOTFOUND},
        {"192.0.2.1:0", ERR_IO}, // not an address of this machine
        {"unix:/nonexistent/dir/sock", ERR_IO},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct acceptor a = {0};
        struct net_listener_options o = {cases[i].listen, 4, on_accepted, &a};
        struct err e = {0};
        assert_int_equal(net_listener_open(&a.listener, &loop, &o, &e), cases[i].code);
        assert_non_null(strstr(e.msg, cases[i].listen));
        assert_null(a.listener);
    }
    net_loop_drain_close(&loop);
}

static void every_failing_allocation_of_open_is_told(void **state) {
    uv_loop_t loop;
    uv_loop_init(&loop);
    struct acceptor a = {0};
    struct net_listener_options o = {"127.0.0.1:0", 4, on_accepted, &a};
    for (long i = 1;; i++) {
        struct err e = {0};
        mem_fail_from(i);
        int r = net_listener_open(&a.listener, &loop, &o, &e);
        mem_fail_never();
        if (r == 0)
            break;
        assert_int_equal(r, ERR_NOMEM);
        assert_true(e.msg[0] != '\0');
        assert_true(i < 10);
    }
    net_listener_close(a.listener);
    net_loop_drain_close(&loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted_sockets_are_ready_for_use),
        cmocka_unit_test(connections_over_the_cap_are_closed_and_counted),
        cmocka_unit_test(a_full_descriptor_table_refuses_and_recovers),
        cmocka_unit_test(a_listener_may_be_closed_from_its_own_callback),
        cmocka_unit_test(a_stale_unix_socket_is_taken_over_a_served_one_is_not),
        cmocka_unit_test(addresses_that_cannot_be_had_are_named),
        cmocka_unit_test(every_failing_allocation_of_open_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
