// SPDX-License-Identifier: Apache-2.0
/* gRPC status codes: names and mappings. */
#include "net/grpc_status.h"

#include "base/err.h"
#include "base/mem.h"

static const char *const names[] = {
    "OK",
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
    "UNAUTHENTICATED",
};

const char *grpc_status_name(int status) {
    if (status < 0 || (size_t)status >= COUNT_OF(names))
        return "UNKNOWN";
    return names[status];
}

int grpc_status_of_http(int http_status) {
    switch (http_status) {
    case 400:
        return GRPC_INTERNAL;
    case 401:
        return GRPC_UNAUTHENTICATED;
    case 403:
        return GRPC_PERMISSION_DENIED;
    case 404:
        return GRPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return GRPC_UNAVAILABLE;
    default:
        return GRPC_UNKNOWN;
    }
}

int grpc_status_of_h2_error(uint32_t error_code) {
    switch (error_code) {
    case 0x7: // REFUSED_STREAM: not processed, may be tried again
        return GRPC_UNAVAILABLE;
    case 0x8: // CANCEL
        return GRPC_CANCELLED;
    case 0xb: // ENHANCE_YOUR_CALM
        return GRPC_RESOURCE_EXHAUSTED;
    case 0xc: // INADEQUATE_SECURITY
        return GRPC_PERMISSION_DENIED;
    default:
        return GRPC_INTERNAL;
    }
}

int grpc_status_of_err(int err_code) {
    switch (err_code) {
    case ERR_INVALID:
        return GRPC_INVALID_ARGUMENT;
    case ERR_LIMIT:
    case ERR_NOMEM:
        return GRPC_RESOURCE_EXHAUSTED;
    default:
        return GRPC_INTERNAL;
    }
}
