// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include <math.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/random.h"
#include "gpu/sim_load.h"

struct fixture {
    char dir[64], path[96], sender[96];
    struct sim_load *load;
    int fd; // a bound sender, so that it can be answered
};

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    struct err e = {0};
    snprintf(f->dir, sizeof f->dir, "/tmp/gpuscale-load-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof f->path, "%s/load", f->dir);
    snprintf(f->sender, sizeof f->sender, "%s/sender", f->dir);
    if (sim_load_open(&f->load, f->path, 4, &e))
        fail_msg("%s", e.msg);
    struct sockaddr_un me = {.sun_family = AF_UNIX}, to = {.sun_family = AF_UNIX};
    memcpy(me.sun_path, f->sender, strlen(f->sender));
    memcpy(to.sun_path, f->path, strlen(f->path));
    f->fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    assert_int_equal(bind(f->fd, (struct sockaddr *)&me, sizeof me), 0);
    assert_int_equal(connect(f->fd, (struct sockaddr *)&to, sizeof to), 0);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    sim_load_close(f->load);
    close(f->fd);
    unlink(f->sender);
    assert_int_equal(rmdir(f->dir), 0); // the socket was removed
    free(f);
    return 0;
}

static void tell(const struct fixture *f, const char *text) {
    assert_int_equal(send(f->fd, text, strlen(text), 0), strlen(text));
}

static void test_what_is_told_holds_until_its_ttl(void **state) {
    struct fixture *f = *state;
    struct sim_activity a;
    tell(f, "gpu=1 busy=0.8 memory_used_bytes=1000 ttl_ms=2000\n");
    sim_load_poll(f->load, 10 * NS_PER_S);
    assert_false(sim_load_get(f->load, 0, 10 * NS_PER_S, &a));
    assert_true(sim_load_get(f->load, 1, 10 * NS_PER_S, &a));
    assert_true(a.busy == 0.8 && a.memory_used_bytes == 1000 && a.sm < 0);
    assert_true(sim_load_get(f->load, 1, 12 * NS_PER_S - 1, &a));
    assert_false(sim_load_get(f->load, 1, 12 * NS_PER_S, &a));
}

static void test_one_datagram_may_tell_several_gpus_or_all(void **state) {
    struct fixture *f = *state;
    struct sim_activity a;
    tell(f, "gpu=* busy=0.1\ngpu=2 busy=0.5 sm=0.4 tensor=0.3 dram=0.2");
    sim_load_poll(f->load, NS_PER_S);
    assert_true(sim_load_get(f->load, 3, NS_PER_S, &a) && a.busy == 0.1);
    assert_true(sim_load_get(f->load, 2, NS_PER_S, &a) && a.busy == 0.5);
    assert_true(a.sm == 0.4 && a.tensor == 0.3 && a.dram == 0.2);
}

static void test_a_mistake_changes_nothing_and_is_answered(void **state) {
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"gpu=0", "needs gpu= and busy="},
        {"busy=1", "needs gpu= and busy="},
        {"gpu=4 busy=1", "index below 4"},
        {"gpu=0 busy=1.1", "from 0 to 1"},
        {"gpu=0 busy=nan", "from 0 to 1"},
        {"gpu=0 busy", "is not key=value"},
        {"gpu=0 busy=1 ttl_ms=0", "from 1 to 600000"},
        {"gpu=0 busy=1 memory_used_bytes=-1", "not a size"},
        {"gpu=0 busy=1 colour=red", "unknown word \"colour\""},
        {"gpu=0 busy=0.3\ngpu=9 busy=0.3", "line 2"}, // all or nothing
        {"gpu=0 pid=0 busy=0.3", "from 1 to 4194304"},
        {"gpu=0 pid=7 busy=0.3 sm=0.2", "a process (pid=)"},
    };
    struct fixture *f = *state;
    struct sim_activity a;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char answer[600] = "";
        tell(f, cases[i].text);
        sim_load_poll(f->load, NS_PER_S);
        ssize_t n = recv(f->fd, answer, sizeof answer - 1, MSG_DONTWAIT);
        if (n < 0 || strncmp(answer, "error: ", 7) != 0 || !strstr(answer, cases[i].says))
            fail_msg("\"%s\" is answered with \"%s\"", cases[i].text, answer);
        assert_false(sim_load_get(f->load, 0, NS_PER_S, &a));
        assert_int_equal(sim_load_refused(f->load), i + 1);
    }
}

static void test_processes_are_told_and_expire_one_by_one(void **state) {
    struct fixture *f = *state;
    struct gpu_process list[8];
    struct sim_activity a;
    tell(f, "gpu=1 pid=11 busy=0.5 memory_used_bytes=1000 ttl_ms=2000\n"
            "gpu=1 pid=12 busy=0.25 ttl_ms=4000\ngpu=2 pid=11 busy=1 memory_used_bytes=5");
    sim_load_poll(f->load, 10 * NS_PER_S);
    assert_int_equal(sim_load_processes(f->load, 0, 10 * NS_PER_S, list, 8), 0);
    assert_int_equal(sim_load_processes(f->load, 1, 10 * NS_PER_S, list, 1), 1);
    assert_int_equal(sim_load_processes(f->load, 1, 10 * NS_PER_S, list, 8), 2);
    assert_true(list[0].pid == 11 && list[0].has_utilization && list[0].utilization_pct == 50);
    assert_true(list[0].has_memory && list[0].memory_bytes == 1000);
    assert_true(list[1].pid == 12 && list[1].utilization_pct == 25 && !list[1].has_memory);
    // The GPU does what they do together, until somebody tells of the GPU itself.
    assert_true(sim_load_get(f->load, 1, 10 * NS_PER_S, &a));
    assert_true(a.busy == 0.75 && a.memory_used_bytes == 1000 && a.sm < 0);
    tell(f, "gpu=1 busy=0.9 ttl_ms=1000\ngpu=1 pid=11 busy=0.1 ttl_ms=2000");
    sim_load_poll(f->load, 11 * NS_PER_S);
    assert_true(sim_load_get(f->load, 1, 11 * NS_PER_S, &a) && a.busy == 0.9);
    assert_int_equal(sim_load_processes(f->load, 1, 11 * NS_PER_S, list, 8), 2);
    assert_true(list[0].pid == 11 && fabs(list[0].utilization_pct - 10) < 1e-9);
    assert_int_equal(sim_load_processes(f->load, 1, 13 * NS_PER_S, list, 8), 1);
    assert_int_equal(list[0].pid, 12);
    assert_int_equal(sim_load_processes(f->load, 1, 14 * NS_PER_S, list, 8), 0);
    assert_false(sim_load_get(f->load, 1, 14 * NS_PER_S, &a));
    assert_int_equal(sim_load_refused(f->load), 0);
    for (int i = 0; i < LIMIT_SIM_LOAD_PROCESSES; i++) {
        char text[64];
        snprintf(text, sizeof text, "gpu=0 pid=%d busy=0", 100 + i);
        tell(f, text);
        sim_load_poll(f->load, 20 * NS_PER_S);
    }
    assert_int_equal(sim_load_refused(f->load), 0);
    tell(f, "gpu=0 pid=99 busy=0");
    sim_load_poll(f->load, 20 * NS_PER_S);
    assert_int_equal(sim_load_refused(f->load), 1);
}

// One sender tells of 210 processes, in datagrams of 70: each time they are the same ones.
static void test_processes_that_are_told_again_need_no_more_room(void **state) {
    enum { PROCESSES = 210, A_DATAGRAM = 70, ROUNDS = 4 };
    struct fixture *f = *state;
    struct gpu_process list[LIMIT_SIM_LOAD_PROCESSES];
    for (int i = 0; i < ROUNDS * PROCESSES; i += A_DATAGRAM) {
        char text[LIMIT_SIM_LOAD_BYTES];
        size_t n = 0;
        for (int k = 0; k < A_DATAGRAM; k++)
            n += (size_t)snprintf(text + n, sizeof text - n, "gpu=3 pid=%d busy=%g\n",
                                  100 + (i + k) % PROCESSES, i / PROCESSES / 10.0);
        tell(f, text);
        sim_load_poll(f->load, (10 + i / PROCESSES) * NS_PER_S);
    }
    assert_int_equal(sim_load_refused(f->load), 0);
    int64_t now_ns = (10 + ROUNDS - 1) * NS_PER_S;
    assert_int_equal(sim_load_processes(f->load, 3, now_ns, list, COUNT_OF(list)), PROCESSES);
    for (size_t i = 0; i < PROCESSES; i++)
        assert_true(fabs(list[i].utilization_pct - 30) < 1e-9);
    // Twice in one datagram is one process; 47 more do not fit, and then none is taken.
    char text[LIMIT_SIM_LOAD_BYTES];
    size_t n = 0;
    for (int k = 0; k < 94; k++)
        n += (size_t)snprintf(text + n, sizeof text - n, "gpu=0 pid=%d busy=1\n", 1000 + k / 2);
    tell(f, text);
    sim_load_poll(f->load, now_ns);
    assert_int_equal(sim_load_refused(f->load), 1);
    assert_int_equal(sim_load_processes(f->load, 0, now_ns, NULL, COUNT_OF(list)), 0);
    text[n - 2 * strlen("gpu=0 pid=1046 busy=1\n")] = 0; // 46 do
    tell(f, text);
    sim_load_poll(f->load, now_ns);
    assert_int_equal(sim_load_refused(f->load), 1);
    assert_int_equal(sim_load_processes(f->load, 0, now_ns, NULL, COUNT_OF(list)), 46);
}

static void test_a_datagram_that_is_too_long_is_refused(void **state) {
    struct fixture *f = *state;
    struct sim_activity a;
    char text[8192];
    int n = snprintf(text, sizeof text, "gpu=0 busy=1");
    memset(text + n, ' ', sizeof text - (size_t)n);
    assert_int_equal(send(f->fd, text, sizeof text, 0), sizeof text);
    sim_load_poll(f->load, NS_PER_S);
    assert_int_equal(sim_load_refused(f->load), 1);
    assert_false(sim_load_get(f->load, 0, NS_PER_S, &a));
}

static void test_random_bytes_are_survived(void **state) {
    struct fixture *f = *state;
    struct random rnd;
    static const char words[] = "gpu=0 busy= 1.5*\n=ttl_ms\t\xff\0";
    random_init(&rnd, unit_seed());
    for (int i = 0; i < 3000; i++) {
        char text[64];
        size_t n = random_below(&rnd, sizeof text);
        for (size_t k = 0; k < n; k++)
            text[k] = words[random_below(&rnd, sizeof words)];
        if (send(f->fd, text, n, MSG_DONTWAIT) < 0)
            continue;
        sim_load_poll(f->load, NS_PER_S);
        while (recv(f->fd, text, sizeof text, MSG_DONTWAIT) >= 0)
            ;
    }
}

static void test_a_socket_in_use_and_a_file_are_left_alone(void **state) {
    struct fixture *f = *state;
    struct sim_load *second = NULL;
    struct err e = {0};
    assert_int_equal(sim_load_open(&second, f->path, 1, &e), ERR_EXISTS);
    assert_non_null(strstr(e.msg, "another program listens"));
    char file[128];
    snprintf(file, sizeof file, "%s/file", f->dir);
    fclose(fopen(file, "w"));
    assert_int_equal(sim_load_open(&second, file, 1, &e), ERR_EXISTS);
    assert_int_equal(unlink(file), 0);
}

static void test_a_stale_socket_is_replaced(void **state) {
    struct fixture *f = *state;
    struct err e = {0};
    struct sim_load *l = NULL;
    char path[128];
    snprintf(path, sizeof path, "%s/stale", f->dir);
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    memcpy(addr.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    close(fd); // as a killed run does: the socket's name stays
    assert_int_equal(sim_load_open(&l, path, 1, &e), 0);
    sim_load_close(l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_told_holds_until_its_ttl, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_datagram_may_tell_several_gpus_or_all, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_mistake_changes_nothing_and_is_answered, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_processes_are_told_and_expire_one_by_one, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_processes_that_are_told_again_need_no_more_room, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_datagram_that_is_too_long_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_random_bytes_are_survived, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_socket_in_use_and_a_file_are_left_alone, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_stale_socket_is_replaced, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
