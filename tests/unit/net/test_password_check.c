// SPDX-License-Identifier: Apache-2.0
/* net/password_check: right and wrong passwords, what is remembered, what waits, and the end. */
#include "unit.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "net/loop.h"
#include "net/password_check.h"

// The password is "secret"; the cost is the lowest.
#define HASH "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"

struct world {
    uv_loop_t loop;
    struct password_checks *checks;
    int told, verdicts[3];
};

static void on_verdict(void *ctx, enum password_verdict verdict) {
    struct world *w = ctx;
    w->told++;
    w->verdicts[verdict]++;
}

static void open_world(struct world *w) {
    *w = (struct world){0};
    assert_int_equal(uv_loop_init(&w->loop), 0);
    assert_int_equal(password_checks_new(&w->checks, &w->loop, NULL), 0);
}

static void close_world(struct world *w) {
    w->checks = password_checks_free(w->checks);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    net_loop_drain_close(&w->loop);
}

static void ask(struct world *w, const char *user, struct str password, const char *hash) {
    const struct password_question q = {str_from(user), password, hash, 4};
    password_check(w->checks, &q, on_verdict, w);
}

static void wait_told(struct world *w, int n) {
    while (w->told < n && uv_run(&w->loop, UV_RUN_ONCE) != 0)
        ;
    assert_int_equal(w->told, n);
}

static void right_is_right_and_remembered(void **state) {
    struct world w;
    open_world(&w);
    ask(&w, "a", STR("secret"), HASH);
    assert_int_equal(w.told, 0); // not on this thread
    wait_told(&w, 1);
    assert_int_equal(w.verdicts[PASSWORD_RIGHT], 1);
    ask(&w, "a", STR("secret"), HASH);
    assert_int_equal(w.told, 2); // at once
    password_checks_forget(w.checks);
    ask(&w, "a", STR("secret"), HASH);
    assert_int_equal(w.told, 2);
    wait_told(&w, 3);
    assert_int_equal(w.verdicts[PASSWORD_RIGHT], 3);
    close_world(&w);
}

static void wrong_is_wrong_and_is_looked_at_again(void **state) {
    static const struct {
        const char *user;
        struct str password;
        const char *hash;
    } cases[] = {
        {"a", {"Secret", 6}, HASH}, {"a", {"secret ", 7}, HASH},
        {"a", {"", 0}, HASH},       {"b", {"secret", 6}, NULL}, // there is no b
        {"b", {"", 0}, NULL},
    };
    struct world w;
    open_world(&w);
    ask(&w, "a", STR("secret"), HASH);
    wait_told(&w, 1);
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        for (int again = 0; again < 2; again++) {
            int told = w.told;
            ask(&w, cases[i].user, cases[i].password, cases[i].hash);
            assert_int_equal(w.told, told);
            wait_told(&w, told + 1);
        }
    assert_int_equal(w.verdicts[PASSWORD_WRONG], 2 * COUNT_OF(cases));
    // crypt() would not see what is behind a NUL.
    ask(&w, "a", STR("secret\0more"), HASH);
    static char long_one[LIMIT_PASSWORD_BYTES + 1];
    memset(long_one, 'x', sizeof(long_one));
    ask(&w, "a", (struct str){long_one, sizeof(long_one)}, HASH);
    assert_int_equal(w.verdicts[PASSWORD_WRONG], 2 * COUNT_OF(cases) + 2);
    close_world(&w);
}

static void many_with_one_password_cost_one_check(void **state) {
    struct world w;
    open_world(&w);
    for (int i = 0; i < LIMIT_PASSWORDS_WAITING; i++)
        ask(&w, "a", STR("secret"), HASH);
    ask(&w, "a", STR("secret"), HASH); // one too many
    assert_int_equal(w.verdicts[PASSWORD_BUSY], 1);
    // All of them with the first.
    while (w.verdicts[PASSWORD_RIGHT] == 0)
        uv_run(&w.loop, UV_RUN_ONCE);
    assert_int_equal(w.verdicts[PASSWORD_RIGHT], LIMIT_PASSWORDS_WAITING);
    close_world(&w);
}

static void others_wait_their_turn(void **state) {
    struct world w;
    open_world(&w);
    for (int i = 0; i < 10; i++) {
        char password[16];
        int n = snprintf(password, sizeof(password), i % 3 == 0 ? "secret" : "wrong-%d", i);
        ask(&w, "a", (struct str){password, (size_t)n}, HASH);
    }
    wait_told(&w, 10);
    assert_int_equal(w.verdicts[PASSWORD_RIGHT], 4);
    assert_int_equal(w.verdicts[PASSWORD_WRONG], 6);
    close_world(&w);
}

static void what_is_remembered_is_bounded(void **state) {
    struct world w;
    open_world(&w);
    for (int i = 0; i < LIMIT_PASSWORDS_KEPT + 1; i++) {
        char user[16];
        (void)snprintf(user, sizeof(user), "u%d", i);
        ask(&w, user, STR("secret"), HASH);
        wait_told(&w, i + 1);
    }
    ask(&w, "u1", STR("secret"), HASH);
    assert_int_equal(w.told, LIMIT_PASSWORDS_KEPT + 2);
    ask(&w, "u0", STR("secret"), HASH); // the first went
    assert_int_equal(w.told, LIMIT_PASSWORDS_KEPT + 2);
    wait_told(&w, LIMIT_PASSWORDS_KEPT + 3);
    assert_int_equal(w.verdicts[PASSWORD_RIGHT], LIMIT_PASSWORDS_KEPT + 3);
    close_world(&w);
}

static void who_waits_at_the_end_is_told(void **state) {
    struct world w;
    open_world(&w);
    for (int i = 0; i < 5; i++)
        ask(&w, "a", STR("wrong"), HASH);
    w.checks = password_checks_free(w.checks);
    assert_int_equal(w.verdicts[PASSWORD_BUSY], 5);
    close_world(&w);
    assert_int_equal(w.told, 5);
}

static void bcrypts_test_vectors_hold(void **state) {
    // Of John the Ripper's and OpenBSD's lists, as Go's golang.org/x/crypto/bcrypt checks them.
    static const struct {
        const char *hash, *password;
    } cases[] = {
        {"$2a$10$XajjQvNhvvRt5GSeFk1xFeyqRrsxkhBkUiQeg0dt.wU1qD4aFDcga", "allmine"},
        {"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"},
        {"$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK", "U*U*"},
    };
    struct world w;
    open_world(&w);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct err e = {0};
        assert_int_equal(password_hash_check(cases[i].hash, &e), 0);
        ask(&w, "a", str_from(cases[i].password), cases[i].hash);
        wait_told(&w, (int)i + 1);
    }
    assert_int_equal(w.verdicts[PASSWORD_RIGHT], COUNT_OF(cases));
    close_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_is_right_and_remembered),
        cmocka_unit_test(wrong_is_wrong_and_is_looked_at_again),
        cmocka_unit_test(many_with_one_password_cost_one_check),
        cmocka_unit_test(others_wait_their_turn),
        cmocka_unit_test(what_is_remembered_is_bounded),
        cmocka_unit_test(who_waits_at_the_end_is_told),
        cmocka_unit_test(bcrypts_test_vectors_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
