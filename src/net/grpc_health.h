// SPDX-License-Identifier: Apache-2.0
/*
 * grpc.health.v1 (grpc/grpc doc/health-checking.md): Check and Watch over the services of a server.
 * A name that is not known: Check answers NOT_FOUND, Watch sends SERVICE_UNKNOWN and stays open.
 */
#pragma once

#include "net/grpc_server.h"

struct grpc_health;

// Knows "" (the whole server) and every service of the list (ends with NULL), all serving.
int grpc_health_new(struct grpc_health **ret, const struct grpc_service *const *services,
                    struct err *e);
struct grpc_health *grpc_health_free(struct grpc_health *h); // no watcher is left
// The service to register.
const struct grpc_service *grpc_health_service(const struct grpc_health *h);
// Adds the name when it is new (0 or ERR_NOMEM); watchers of it are told of a change.
int grpc_health_set(struct grpc_health *h, const char *service, bool serving);
