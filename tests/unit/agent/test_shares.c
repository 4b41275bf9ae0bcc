// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include <sys/stat.h>
#include <unistd.h>

#include "agent/shares.h"

#define UID_A "3f8c1a52-7d1e-4b9a-9c55-0a1b2c3d4e5f"
#define UID_B "99999999-7d1e-4b9a-9c55-0a1b2c3d4e5f"
#define ID "4c01db0b339c4c01db0b339c4c01db0b339c4c01db0b339c4c01db0b339cabcd"

// A source with these processes on every GPU.
static struct gpu_process processes[100];
static size_t n_processes;
static int code;

static int list(void *state, uint32_t slot, int64_t now_ns, struct gpu_process *dst, size_t cap,
                size_t *ret_n, struct err *e) {
    assert_int_equal(slot, 3);
    if (code)
        return code;
    assert_true(n_processes <= cap);
    memcpy(dst, processes, n_processes * sizeof *dst);
    *ret_n = n_processes;
    return 0;
}

static const struct gpu_source_ops can_tell = {.processes = list}, cannot_tell = {0};

struct fixture {
    char proc[64];
    struct agent_shares *shares;
    struct agent_share_list list;
};

static void process(struct fixture *f, uint32_t pid, double memory, double busy,
                    const char *cgroup) {
    char path[160];
    struct gpu_process *p = &processes[n_processes++];
    *p = (struct gpu_process){.pid = pid,
                              .has_memory = memory >= 0,
                              .has_utilization = busy >= 0,
                              .memory_bytes = memory >= 0 ? (uint64_t)memory : 0,
                              .utilization_pct = busy};
    if (!cgroup)
        return;
    snprintf(path, sizeof path, "%s/%u", f->proc, pid);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/%u/cgroup", f->proc, pid);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(cgroup, file);
    fclose(file);
}

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    struct err e = {0};
    n_processes = 0;
    code = 0;
    snprintf(f->proc, sizeof f->proc, "/tmp/gpuscale-unit-XXXXXX");
    assert_non_null(mkdtemp(f->proc));
    assert_int_equal(agent_shares_new(&f->shares, f->proc, &e), 0);
    vec_init(&f->list, 1000);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    char path[160];
    for (size_t i = 0; i < n_processes; i++) {
        snprintf(path, sizeof path, "%s/%u/cgroup", f->proc, processes[i].pid);
        unlink(path);
        snprintf(path, sizeof path, "%s/%u", f->proc, processes[i].pid);
        rmdir(path);
    }
    rmdir(f->proc);
    agent_shares_free(f->shares);
    vec_done(&f->list);
    free(f);
    return 0;
}

static bool read_shares(struct fixture *f, const struct gpu_source_ops *ops) {
    struct gpu_source source = {.ops = ops};
    return agent_shares_read(f->shares, &source, 3, 0, &f->list);
}

static void test_processes_are_added_up_by_container(void **state) {
    struct fixture *f = *state;
    struct agent_share before = {.processes = 77}; // of another GPU
    assert_int_equal(vec_push(&f->list, before), 0);
    process(f, 10, 1000, 20, "0::/kubepods/burstable/pod" UID_A "/" ID "\n");
    process(f, 11, 500, 5, "0::/kubepods/burstable/pod" UID_B "/" ID "\n");
    process(f, 12, 3000, 30, "0::/kubepods/burstable/pod" UID_A "/" ID "/worker\n");
    process(f, 13, 7, 1, "0::/user.slice\n");
    process(f, 14, 9, 1, NULL); // it has ended since
    assert_true(read_shares(f, &can_tell));
    assert_int_equal(f->list.n, 4);
    assert_int_equal(f->list.items[0].processes, 77);
    const struct agent_share *a = &f->list.items[1], *b = &f->list.items[2],
                             *host = &f->list.items[3];
    assert_string_equal(a->pod_uid, UID_A);
    assert_string_equal(a->container_id, ID);
    assert_int_equal(a->processes, 2);
    assert_true(a->has_memory && a->memory_bytes == 4000);
    assert_true(a->has_utilization && a->utilization_pct == 50);
    assert_string_equal(b->pod_uid, UID_B);
    assert_int_equal(b->memory_bytes, 500);
    assert_string_equal(host->pod_uid, "");
    assert_int_equal(host->processes, 1);
}

static void test_what_is_unknown_of_one_process_is_unknown_of_its_container(void **state) {
    struct fixture *f = *state;
    process(f, 10, 1000, 20, "0::/kubepods/pod" UID_A "/" ID "\n");
    process(f, 11, -1, 20, "0::/kubepods/pod" UID_A "/" ID "\n");
    process(f, 12, 1000, -1, "0::/kubepods/pod" UID_B "/" ID "\n");
    assert_true(read_shares(f, &can_tell));
    assert_false(f->list.items[0].has_memory);
    assert_true(f->list.items[0].has_utilization);
    assert_true(f->list.items[1].has_memory);
    assert_false(f->list.items[1].has_utilization);
}

static void test_nobody_is_not_unknown(void **state) {
    struct fixture *f = *state;
    assert_true(read_shares(f, &can_tell));
    assert_int_equal(f->list.n, 0);
    assert_false(read_shares(f, &cannot_tell));
    code = ERR_UNSUPPORTED; // MPS
    assert_false(read_shares(f, &can_tell));
}

static void test_a_process_that_cannot_be_looked_at_makes_all_unknown(void **state) {
    struct fixture *f = *state;
    char path[160];
    process(f, 10, 1000, 20, "0::/kubepods/pod" UID_A "/" ID "\n");
    process(f, 11, 1000, 20, NULL);
    snprintf(path, sizeof path, "%s/11", f->proc);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/11/cgroup", f->proc);
    assert_int_equal(mkdir(path, 0700), 0); // reading it fails
    assert_false(read_shares(f, &can_tell));
    assert_int_equal(f->list.n, 0);
    rmdir(path);
}

static void test_more_containers_than_a_gpu_has_are_unknown(void **state) {
    struct fixture *f = *state;
    for (int i = 0; i <= LIMIT_OWNERS_PER_GPU; i++) {
        char cgroup[160];
        snprintf(cgroup, sizeof cgroup, "0::/kubepods/pod%08x-7d1e-4b9a-9c55-0a1b2c3d4e5f/" ID "\n",
                 (unsigned)i);
        process(f, (uint32_t)(10 + i), 1, 1, cgroup);
    }
    assert_false(read_shares(f, &can_tell));
    assert_int_equal(f->list.n, 0);
    n_processes--;
    assert_true(read_shares(f, &can_tell));
    assert_int_equal(f->list.n, LIMIT_OWNERS_PER_GPU);
    n_processes++;
    vec_clear(&f->list);
    mem_fail_from(1);
    vec_done(&f->list);
    bool known = read_shares(f, &can_tell);
    mem_fail_never();
    assert_false(known);
}

static void test_it_needs_a_proc(void **state) {
    struct agent_shares *s = NULL;
    struct err e = {0};
    char path[400];
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = 0;
    assert_int_equal(agent_shares_new(&s, path, &e), ERR_INVALID);
    mem_fail_from(1);
    assert_int_equal(agent_shares_new(&s, "/tmp", &e), ERR_NOMEM);
    mem_fail_never();
    // In another PID namespace than the host's, /proc shows other processes by the same numbers.
    char ns[64] = "";
    ssize_t n = readlink("/proc/self/ns/pid", ns, sizeof ns - 1);
    bool hosts = n > 0 && strncmp(ns, "pid:[4026531836]", (size_t)n) == 0;
    assert_int_equal(agent_shares_new(&s, "/proc", &e), hosts ? 0 : ERR_AUTH);
    assert_true(hosts || strstr(e.msg, "hostPID: true"));
    agent_shares_free(s);
}

int main(void) {
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_processes_are_added_up_by_container),
        CASE(test_what_is_unknown_of_one_process_is_unknown_of_its_container),
        CASE(test_nobody_is_not_unknown),
        CASE(test_a_process_that_cannot_be_looked_at_makes_all_unknown),
        CASE(test_more_containers_than_a_gpu_has_are_unknown),
        CASE(test_it_needs_a_proc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
