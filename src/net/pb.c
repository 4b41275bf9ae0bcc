// SPDX-License-Identifier: Apache-2.0
/* Safe reading of protobuf messages. */
#include "net/pb.h"

#include <string.h>

#include "base/limits.h"
#include "base/utf8.h"

static int read_varint(struct pb_reader *r, uint64_t *ret) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && r->p < r->end; shift += 7) {
        uint8_t b = *r->p++;
        if (shift == 63 && b > 1)
            return ERR_PARSE;
        value |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80) {
            *ret = value;
            return 0;
        }
    }
    return ERR_PARSE;
}

// Little-endian, `n` bytes.
static int read_fixed(struct pb_reader *r, unsigned n, uint64_t *ret) {
    if ((size_t)(r->end - r->p) < n)
        return ERR_PARSE;
    uint64_t value = 0;
    for (unsigned i = 0; i < n; i++)
        value |= (uint64_t)r->p[i] << (8 * i);
    r->p += n;
    *ret = value;
    return 0;
}

int pb_next(struct pb_reader *r, struct pb_field *ret) {
    if (r->p == r->end)
        return 0;
    uint64_t tag;
    if (read_varint(r, &tag) < 0 || tag >> 3 == 0 || tag >> 32 != 0)
        return ERR_PARSE;
    *ret = (struct pb_field){.number = (uint32_t)(tag >> 3), .wire = (enum pb_wire)(tag & 7)};
    int err = ERR_PARSE;
    switch (ret->wire) {
    case PB_VARINT:
        err = read_varint(r, &ret->value);
        break;
    case PB_FIXED64:
        err = read_fixed(r, 8, &ret->value);
        break;
    case PB_FIXED32:
        err = read_fixed(r, 4, &ret->value);
        break;
    case PB_BYTES:
        if (read_varint(r, &ret->value) < 0 || ret->value > (uint64_t)(r->end - r->p))
            return ERR_PARSE;
        ret->bytes = (struct str){(const char *)r->p, (size_t)ret->value};
        r->p += ret->value;
        err = 0;
        break;
    }
    return err < 0 ? err : 1;
}

static int check(const ProtobufCMessageDescriptor *type, struct pb_reader r, unsigned depth,
                 struct err *e) {
    if (depth > LIMIT_GRPC_UNPACK_DEPTH)
        return err_set(e, ERR_LIMIT, "%s: messages nested deeper than %d", type->name,
                       LIMIT_GRPC_UNPACK_DEPTH);
    const ProtobufCFieldDescriptor *known = NULL;
    struct pb_field f;
    int got;
    while ((got = pb_next(&r, &f)) > 0) {
        if (f.wire != PB_BYTES)
            continue;
        if (!known || known->id != f.number) // repeated fields come in a row
            known = protobuf_c_message_descriptor_get_field(type, f.number);
        if (!known)
            continue;
        if (known->type == PROTOBUF_C_TYPE_STRING) {
            if (f.bytes.n > 0 && memchr(f.bytes.p, 0, f.bytes.n))
                return err_set(e, ERR_INVALID, "%s.%s holds a NUL character", type->name,
                               known->name);
            if (!utf8_valid(f.bytes.p, f.bytes.n))
                return err_set(e, ERR_INVALID, "%s.%s is not valid UTF-8", type->name, known->name);
        } else if (known->type == PROTOBUF_C_TYPE_MESSAGE) {
            int err = check(known->descriptor, pb_reader_of(f.bytes), depth + 1, e);
            if (err < 0)
                return err;
        }
    }
    if (got < 0)
        return err_set(e, ERR_PARSE, "the bytes are no %s", type->name);
    return 0;
}

int pb_check(const ProtobufCMessageDescriptor *type, const void *p, size_t n, struct err *e) {
    return check(type, pb_reader_of((struct str){p, n}), 1, e);
}

// protobuf-c's allocator on an arena, which says whether the cap was what refused.
struct pb_memory {
    struct arena *arena;
    bool refused, over_cap;
};

static void *memory_alloc(void *ctx, size_t n) {
    struct pb_memory *m = ctx;
    void *p = arena_alloc(m->arena, n);
    if (!p) {
        m->refused = true;
        m->over_cap = n > m->arena->max - m->arena->used;
    }
    return p;
}

static void memory_free(void *ctx, void *p) {
}

int pb_unpack(ProtobufCMessage **ret, const ProtobufCMessageDescriptor *type, const void *p,
              size_t n, struct arena *arena, struct err *e) {
    int err = pb_check(type, p, n, e);
    if (err < 0)
        return err;
    size_t max = arena->max, cap;
    if (__builtin_mul_overflow(n, (size_t)LIMIT_GRPC_UNPACK_FACTOR, &cap) ||
        __builtin_add_overflow(cap, arena->used + LIMIT_GRPC_UNPACK_BASE_BYTES, &cap))
        return err_set(e, ERR_LIMIT, "a %s of %zu bytes", type->name, n);
    if (cap < arena->max)
        arena->max = cap;
    struct pb_memory memory = {.arena = arena};
    ProtobufCAllocator allocator = {memory_alloc, memory_free, &memory};
    ProtobufCMessage *m = protobuf_c_message_unpack(type, &allocator, n, p);
    arena->max = max;
    if (memory.over_cap)
        return err_set(e, ERR_LIMIT, "a %s of %zu bytes would unpack to more than %zu", type->name,
                       n, cap);
    if (memory.refused)
        return err_set(e, ERR_NOMEM, "no memory to unpack a %s", type->name);
    if (!m)
        return err_set(e, ERR_PARSE, "the bytes are no %s", type->name);
    *ret = m;
    return 0;
}
