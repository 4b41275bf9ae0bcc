// SPDX-License-Identifier: Apache-2.0
/* Rules of the configuration as objects: decided like those of KEDA, answered by the metrics API.
 */
#include "io_lab.h"
#include "net/grpc_status.h"

static const char workloads[] = "workloads:\n"
                                "- {namespace: prod, target: deployment/llm, replicas: 3}\n"
                                "- {namespace: prod, target: deployment/zero, replicas: 0}\n";

static typeof(((struct config_rule *)0)->metadata.items[0]) vllm[] = {{"engine", "vllm"},
                                                                      {"capacity", "2"}};

static struct config_rule rule(const char *name, const char *target) {
    return (struct config_rule){
        .name = name, .namespace_ = "prod", .target = target, .metadata = {(void *)vllm, 2}};
}

static struct io *open_with_rules(struct config_rule *rules, size_t n) {
    struct io *io = lab_open(workloads, 64);
    struct err e = {0};
    lab_config.rules.items = rules;
    lab_config.rules.n = n;
    if (io_rules_start(io, &e) < 0)
        fail_msg("%s", e.msg);
    return io;
}

static void a_rule_is_decided_from_the_start_and_told_to_no_rpc_thread(void **state) {
    struct config_rule rules[] = {rule("llm", "deployment/llm")};
    struct io *io = open_with_rules(rules, 1);
    const struct object *o = io->rules[0];
    assert_true(o->decided && o->published);
    assert_int_equal(o->sent.status, GRPC_OK);
    assert_true(o->sent.value == 3);
    assert_int_equal(io->outbox.n, 0);
    assert_string_equal(o->key->ref.name.p, "llm");
    lab_register(io, 1, "llm", "2", "vllm"); // KEDA's ids do not meet the rules'
    assert_int_equal(HASH_COUNT(io->objects), 2);
    assert_ptr_equal(io->rules[0], o);
    io_rules_done(io);
    lab_close(io);
}

// KEDA would ask whether to wake it; an HPA is told by a value or by an error, never by a guess.
static void at_zero_what_is_not_known_is_an_error(void **state) {
    struct config_rule rules[] = {rule("zero", "deployment/zero")};
    struct io *io = open_with_rules(rules, 1);
    const struct object *o = io->rules[0];
    assert_int_equal(o->sent.status, GRPC_UNAVAILABLE);
    assert_non_null(o->message);
    assert_non_null(strstr(o->message, "rule prod/zero: "));
    assert_true(o->sent.value == 0);
    io_rules_done(io);
    lab_close(io);
}

static void a_lost_workload_is_an_error_at_zero_too(void **state) {
    struct config_rule rules[] = {rule("zero", "deployment/zero"), rule("none", "deployment/no")};
    struct io *io = open_with_rules(rules, 2);
    lab_write("workloads: []\n");
    io_workloads_check(io, true);
    for (size_t i = 0; i < 2; i++) {
        const struct object *o = io->rules[i];
        assert_int_equal(o->sent.status, GRPC_NOT_FOUND);
        assert_non_null(strstr(o->message, i ? "deployment/no" : "deployment/zero"));
    }
    lab_write(workloads);
    io_workloads_check(io, true);
    assert_int_equal(io->rules[0]->sent.status, GRPC_UNAVAILABLE);
    io_rules_done(io);
    lab_close(io);
}

static void an_error_that_ends_leaves_no_message(void **state) {
    struct config_rule rules[] = {rule("llm", "deployment/llm")};
    struct io *io = open_with_rules(rules, 1);
    lab_write("workloads: []\n");
    io_workloads_check(io, true);
    assert_non_null(io->rules[0]->message);
    lab_write(workloads);
    io_workloads_check(io, true);
    assert_int_equal(io->rules[0]->sent.status, GRPC_OK);
    assert_null(io->rules[0]->message);
    io_rules_done(io);
    lab_close(io);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rule_is_decided_from_the_start_and_told_to_no_rpc_thread),
        cmocka_unit_test(at_zero_what_is_not_known_is_an_error),
        cmocka_unit_test(a_lost_workload_is_an_error_at_zero_too),
        cmocka_unit_test(an_error_that_ends_leaves_no_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
