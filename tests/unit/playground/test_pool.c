// SPDX-License-Identifier: Apache-2.0
/* Engines that cannot be started; the course of those that can is the demo's integration test. */
#include "playground/programs.h"

#include "playground/pool.h"

struct seen {
    int failed, changed;
    bool ended;
    char why[ERR_MSG_MAX];
};

static void on_changed(void *ctx) {
    struct seen *s = ctx;
    s->changed++;
}

static void on_told(void *ctx, const char *text) {
}

static void on_failed(void *ctx, const struct err *why) {
    struct seen *s = ctx;
    s->failed++;
    snprintf(s->why, sizeof(s->why), "%s", why->msg);
}

static void on_ended(void *ctx) {
    struct seen *s = ctx;
    s->ended = true;
}

static struct pool *open_pool(struct programs *p, const char *program, struct seen *s) {
    struct pool *pool;
    const struct pool_options o = {.program = program,
                                   .prefix = "llm",
                                   .profile = "classic",
                                   .folder = p->folder,
                                   .load_socket = "",
                                   .gpus = 4,
                                   .drain_ns = NS_PER_S,
                                   .max_queue = 1,
                                   .changed = on_changed,
                                   .told = on_told,
                                   .failed = on_failed,
                                   .ctx = s};
    assert_int_equal(pool_new(&pool, &p->loop, &o, NULL), 0);
    return pool;
}

// A log that cannot be written stands for whatever keeps a program from being started.
static void a_pool_ends_also_when_an_engine_could_not_be_started(void **state) {
    static const struct {
        int before, wanted; // replicas
        const char *log;    // that cannot be written
        size_t left;        // pods with a process
    } cases[] = {
        {0, 1, "llm-1.log", 0}, // the only one
        {0, 2, "llm-1.log", 0}, // the first: the second has no process either
        {0, 2, "llm-2.log", 1}, // the second
        {2, 4, "llm-3.log", 2}, // others run
        {1, 6, "llm-4.log", 3}, // and others wait for a GPU
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct programs p;
        struct seen s = {0};
        programs_init(&p);
        struct programs_path engine = programs_script(&p, "engine", "exec sleep 1000");
        assert_int_equal(mkdir(programs_path(&p, cases[i].log).at, 0755), 0);
        struct pool *pool = open_pool(&p, engine.at, &s);
        pool_scale(pool, cases[i].before);
        assert_int_equal(s.failed, 0);
        pool_scale(pool, cases[i].wanted);
        assert_int_equal(s.failed, 1);
        assert_non_null(strstr(s.why, cases[i].log));
        assert_int_equal(pool_roster(pool)->n, cases[i].left);
        for (size_t k = 0; k < cases[i].left; k++)
            assert_true(pool_at(pool, k).pid > 0);
        pool_scale(pool, 3); // it starts no more
        assert_int_equal(pool_roster(pool)->n, cases[i].left);
        pool_end(pool, on_ended, &s);
        programs_until(&p, &s.ended);
        assert_int_equal(s.failed, 1);
        programs_done(&p);
    }
}

static void engines_that_end_at_once_are_given_up(void **state) {
    struct programs p;
    struct seen s = {0};
    programs_init(&p);
    struct programs_path engine = programs_script(&p, "engine", "exit 3");
    struct pool *pool = open_pool(&p, engine.at, &s);
    pool_scale(pool, 2);
    bool failed = false;
    int64_t end_ns = clock_mono_ns() + 30 * NS_PER_S;
    for (; !failed && clock_mono_ns() < end_ns; failed = s.failed > 0)
        uv_run(&p.loop, UV_RUN_ONCE);
    assert_true(failed);
    assert_non_null(strstr(s.why, "engines end before they are ready: see "));
    pool_end(pool, on_ended, &s);
    programs_until(&p, &s.ended);
    assert_int_equal(s.failed, 1);
    programs_done(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pool_ends_also_when_an_engine_could_not_be_started),
        cmocka_unit_test(engines_that_end_at_once_are_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
