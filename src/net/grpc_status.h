// SPDX-License-Identifier: Apache-2.0
/* gRPC status codes (grpc/grpc doc/statuscodes.md) and what maps to them. */
#pragma once

#include <stdint.h>

enum grpc_status {
    GRPC_OK = 0,
    GRPC_CANCELLED = 1,
    GRPC_UNKNOWN = 2,
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_NOT_FOUND = 5,
    GRPC_ALREADY_EXISTS = 6,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_FAILED_PRECONDITION = 9,
    GRPC_ABORTED = 10,
    GRPC_OUT_OF_RANGE = 11,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_DATA_LOSS = 15,
    GRPC_UNAUTHENTICATED = 16,
};
const char *grpc_status_name(int status); // "INVALID_ARGUMENT"; "UNKNOWN" for others

// What a client reports when the answer was not gRPC's (doc/http-grpc-status-mapping.md).
int grpc_status_of_http(int http_status);
// What a client reports when the stream was reset (PROTOCOL-HTTP2.md, "Errors").
int grpc_status_of_h2_error(uint32_t error_code);
// What a message that was refused is answered with: ERR_INVALID -> INVALID_ARGUMENT, ERR_LIMIT and
// ERR_NOMEM -> RESOURCE_EXHAUSTED, all else -> INTERNAL.
int grpc_status_of_err(int err_code);
