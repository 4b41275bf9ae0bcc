// SPDX-License-Identifier: Apache-2.0
/*
 * Protobuf: any bytes as each of the project's messages. What is let through has strings that are
 * UTF-8, stays under its cap, and packs into bytes that are let through again.
 */
#include "base/limits.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "externalscaler.pb-c.h"
#include "fuzz.h"
#include "health.pb-c.h"
#include "net/pb.h"
#include "node.pb-c.h"
#include "podresources.pb-c.h"
#include "reflection.pb-c.h"

static const ProtobufCMessageDescriptor *const types[] = {
    &externalscaler__scaled_object_ref__descriptor,
    &externalscaler__get_metrics_request__descriptor,
    &externalscaler__get_metrics_response__descriptor,
    &externalscaler__get_metric_spec_response__descriptor,
    &gpuscale__v1__watch_request__descriptor,
    &gpuscale__v1__node_state__descriptor,
    &grpc__health__v1__health_check_request__descriptor,
    &grpc__reflection__v1__server_reflection_request__descriptor,
    &v1__list_pod_resources_response__descriptor,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        struct arena arena, second;
        ProtobufCMessage *m, *n;
        arena_init(&arena, SIZE_MAX / 2);
        arena_init(&second, SIZE_MAX / 2);
        if (pb_unpack(&m, types[i], data, size, &arena, NULL) == 0) {
            require(arena.used <= LIMIT_GRPC_UNPACK_FACTOR * size + LIMIT_GRPC_UNPACK_BASE_BYTES);
            size_t packed = protobuf_c_message_get_packed_size(m);
            uint8_t *bytes = mem_alloc(packed + 1);
            require(protobuf_c_message_pack(m, bytes) == packed);
            int err = pb_unpack(&n, types[i], bytes, packed, &second, NULL);
            require(err == 0 || err == ERR_LIMIT); // fields that repeat may pack shorter
            mem_free(bytes);
        }
        if (i == 0 && pb_check(types[0], data, size, NULL) == 0) {
            struct pb_reader r = pb_reader_of((struct str){(const char *)data, size});
            struct pb_field f;
            while (pb_next(&r, &f) > 0)
                if (f.wire == PB_BYTES && f.number <= 2)
                    require(utf8_valid(f.bytes.p, f.bytes.n) &&
                            (f.bytes.n == 0 || !memchr(f.bytes.p, 0, f.bytes.n)));
        }
        arena_done(&arena);
        arena_done(&second);
    }
    return 0;
}
