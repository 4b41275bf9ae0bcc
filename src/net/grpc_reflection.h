// SPDX-License-Identifier: Apache-2.0
/*
 * Server reflection (grpc.reflection.v1 and, the same on the wire, v1alpha) out of the descriptor
 * sets that services carry: list services, file by name, file by symbol, extensions (there are
 * none). So grpcurl works without .proto files.
 */
#pragma once

#include "net/grpc_server.h"

enum { GRPC_REFLECTION_SERVICES = 2 };

struct grpc_reflection {
    const struct grpc_service *const *services; // what is reflected, these two among them
    struct grpc_service own[GRPC_REFLECTION_SERVICES];
};

// `services` ends with NULL, is borrowed and may hold r->own[i].
void grpc_reflection_init(struct grpc_reflection *r, const struct grpc_service *const *services);
// The FileDescriptorProto that is called `name`, or (by_symbol) that defines the full name of a
// message, field, enum, service or method; {NULL, 0}: none.
struct str grpc_reflection_find(const struct grpc_reflection *r, struct str name, bool by_symbol);
