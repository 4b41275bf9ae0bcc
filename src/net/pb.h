// SPDX-License-Identifier: Apache-2.0
/*
 * Safe reading of protobuf messages with protobuf-c, which by itself accepts invalid UTF-8 and
 * embedded NULs (an identity hole: strlen sees less than was signed) and unpacks 4 MiB into 223.
 * Nothing uses a received message before pb_unpack() said yes to it. Also a bare wire reader.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

enum pb_wire { PB_VARINT = 0, PB_FIXED64 = 1, PB_BYTES = 2, PB_FIXED32 = 5 };

struct pb_field {
    uint32_t number;
    enum pb_wire wire;
    uint64_t value;   // PB_VARINT, PB_FIXED32, PB_FIXED64
    struct str bytes; // PB_BYTES
};

struct pb_reader {
    const uint8_t *p, *end;
};

static inline struct pb_reader pb_reader_of(struct str bytes) {
    const uint8_t *p = (const uint8_t *)bytes.p;
    return (struct pb_reader){p, bytes.n > 0 ? p + bytes.n : p};
}
// 1: *ret is the next field; 0: the end; ERR_PARSE: malformed (truncated, a varint longer than 64
// bits, field number 0 or above 2^29 - 1, groups).
int pb_next(struct pb_reader *r, struct pb_field *ret);

// Walks wire bytes along the descriptor. ERR_PARSE: malformed; ERR_INVALID: a string that is not
// UTF-8 or holds NUL (its field is named); ERR_LIMIT: deeper than LIMIT_GRPC_UNPACK_DEPTH.
int pb_check(const ProtobufCMessageDescriptor *type, const void *p, size_t n, struct err *e);

// Checks and unpacks. Everything lives in `arena`, of which it takes at most
// LIMIT_GRPC_UNPACK_FACTOR x n + LIMIT_GRPC_UNPACK_BASE_BYTES: else ERR_LIMIT. Errors of pb_check
// and ERR_NOMEM too. The message needs no free beside the arena's.
int pb_unpack(ProtobufCMessage **ret, const ProtobufCMessageDescriptor *type, const void *p,
              size_t n, struct arena *arena, struct err *e);
