// SPDX-License-Identifier: Apache-2.0
/* net/grpc_status: names and mappings as gRPC's documents list them. */
#include "unit.h"

#include "base/err.h"
#include "net/grpc_status.h"

static void names_are_grpcs(void **state) {
    static const char *const names[] = {"OK",
                                        "CANCELLED",
                                        "UNKNOWN",
                                        "INVALID_ARGUMENT",
                                        "DEADLINE_EXCEEDED",
                                        "NOT_FOUND",
                                        "ALREADY_EXISTS",
                                        "PERMISSION_DENIED",
                                        "RESOURCE_EXHAUSTED",
                                        "FAILED_PRECONDITION",
                                        "ABORTED",
                                        "OUT_OF_RANGE",
                                        "UNIMPLEMENTED",
                                        "INTERNAL",
                                        "UNAVAILABLE",
                                        "DATA_LOSS",
                                        "UNAUTHENTICATED"};
    for (int i = 0; i <= 16; i++)
        assert_string_equal(grpc_status_name(i), names[i]);
    assert_string_equal(grpc_status_name(17), "UNKNOWN");
    assert_string_equal(grpc_status_name(-1), "UNKNOWN");
}

static void http_statuses_map_as_documented(void **state) {
    static const int map[][2] = {{400, 13}, {401, 16}, {403, 7}, {404, 12}, {429, 14}, {502, 14},
                                 {503, 14}, {504, 14}, {500, 2}, {200, 2},  {302, 2}};
    for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
        assert_int_equal(grpc_status_of_http(map[i][0]), map[i][1]);
}

static void stream_errors_map_as_documented(void **state) {
    static const uint32_t map[][2] = {{0, 13}, {1, 13}, {2, 13}, {3, 13}, {5, 13}, {6, 13},
                                      {7, 14}, {8, 1},  {9, 13}, {11, 8}, {12, 7}};
    for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
        assert_int_equal(grpc_status_of_h2_error(map[i][0]), map[i][1]);
}

static void refused_messages_map_to_who_is_to_blame(void **state) {
    assert_int_equal(grpc_status_of_err(ERR_INVALID), GRPC_INVALID_ARGUMENT);
    assert_int_equal(grpc_status_of_err(ERR_LIMIT), GRPC_RESOURCE_EXHAUSTED);
    assert_int_equal(grpc_status_of_err(ERR_NOMEM), GRPC_RESOURCE_EXHAUSTED);
    assert_int_equal(grpc_status_of_err(ERR_PARSE), GRPC_INTERNAL);
    assert_int_equal(grpc_status_of_err(ERR_PROTO), GRPC_INTERNAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_grpcs),
        cmocka_unit_test(http_statuses_map_as_documented),
        cmocka_unit_test(stream_errors_map_as_documented),
        cmocka_unit_test(refused_messages_map_to_who_is_to_blame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
