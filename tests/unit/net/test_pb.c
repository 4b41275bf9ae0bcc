// SPDX-License-Identifier: Apache-2.0
/* net/pb: nothing unsafe of a message gets through, whatever protobuf-c itself would accept. */
#include "unit.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/random.h"
#include "externalscaler.pb-c.h"
#include "net/pb.h"
#include "node.pb-c.h"

typedef Externalscaler__ScaledObjectRef ref_t;
static const ProtobufCMessageDescriptor *const ref_type =
    &externalscaler__scaled_object_ref__descriptor;

static int unpack_of(const ProtobufCMessageDescriptor *type, const void *p, size_t n,
                     struct err *e) {
    struct arena a;
    ProtobufCMessage *m = NULL;
    arena_init(&a, SIZE_MAX / 2);
    int err = pb_unpack(&m, type, p, n, &a, e);
    assert_true((err == 0) == (m != NULL));
    if (err == 0) // what was allowed is all reachable
        (void)protobuf_c_message_get_packed_size(m);
    arena_done(&a);
    return err;
}

static void message_is_read(void **state) {
    struct arena a CLEANUP_ARENA;
    static const char wire[] = "\x0a\x03llm\x12\x02ns\x1a\x06\x0a\x01k\x12\x01v";
    ProtobufCMessage *m;
    arena_init(&a, SIZE_MAX / 2);
    assert_int_equal(pb_unpack(&m, ref_type, wire, sizeof(wire) - 1, &a, NULL), 0);
    const ref_t *r = (const ref_t *)m;
    assert_string_equal(r->name, "llm");
    assert_string_equal(r->namespace_, "ns");
    assert_int_equal(r->n_scalermetadata, 1);
    assert_string_equal(r->scalermetadata[0]->key, "k");
    assert_string_equal(r->scalermetadata[0]->value, "v");
}

static void message_of_no_bytes_is_legal(void **state) {
    assert_int_equal(unpack_of(ref_type, "", 0, NULL), 0);
    assert_int_equal(unpack_of(ref_type, NULL, 0, NULL), 0);
}

static void nul_in_a_string_is_refused_with_its_field(void **state) {
    struct err e;
    assert_int_equal(unpack_of(ref_type,
                               "\x0a\x03"
                               "a\0b",
                               5, &e),
                     ERR_INVALID);
    assert_non_null(strstr(e.msg, "externalscaler.ScaledObjectRef.name"));
    assert_int_equal(unpack_of(ref_type,
                               "\x1a\x05\x0a\x03"
                               "a\0b",
                               7, &e),
                     ERR_INVALID);
    assert_non_null(strstr(e.msg, "MetadataEntry.key"));
}

static void invalid_utf8_in_a_string_is_refused_with_its_field(void **state) {
    static const char *const bad[] = {"\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                      "a\xc3"};
    struct err e;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        char wire[16];
        int n = snprintf(wire, sizeof(wire), "\x12%c%s", (char)strlen(bad[i]), bad[i]);
        assert_int_equal(unpack_of(ref_type, wire, (size_t)n, &e), ERR_INVALID);
        assert_non_null(strstr(e.msg, "namespace"));
    }
}

static void strings_of_unknown_fields_are_not_looked_at(void **state) {
    assert_int_equal(unpack_of(ref_type, "\x7a\x02\xff\x00", 4, NULL), 0);
}

static void malformed_bytes_are_refused(void **state) {
    static const struct {
        const char *bytes;
        size_t n;
    } cases[] = {
        {"\x0a", 1}, // no length
        {"\x0a\x05"
         "ab",
         4},                                                  // truncated
        {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11}, // length of 2^64 - 1
        {"\x00\x01", 2},                                      // field number 0
        {"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11}, // varint of eleven bytes
        {"\x0b", 1},                                          // group
        {"\x0c", 1},
        {"\x0e", 1}, // wire type 6
        {"\x79\x01", 2},
        {"\x7d\x01", 2},
        {"\x1a\x02\x0a\x05", 4}, // inside a message
    };
    struct err e;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(unpack_of(ref_type, cases[i].bytes, cases[i].n, &e), ERR_PARSE);
}

static void every_truncation_is_refused_or_a_shorter_message(void **state) {
    static const char wire[] = "\x0a\x03llm\x12\x02ns\x1a\x06\x0a\x01k\x12\x01v";
    size_t good = 0;
    for (size_t n = 0; n < sizeof(wire); n++) {
        char *copy = mem_alloc(n + 1);
        memcpy(copy, wire, n);
        int err = unpack_of(ref_type, copy, n, NULL);
        assert_true(err == 0 || err == ERR_PARSE);
        good += err == 0;
        mem_free(copy);
    }
    assert_int_equal(good, 4); // after each field, and at the start
}

static void four_mib_of_empty_map_entries_are_refused(void **state) {
    size_t n = 4 << 20;
    char *wire = mem_alloc(n);
    struct err e;
    struct arena a;
    ProtobufCMessage *m;
    for (size_t i = 0; i < n; i += 2) {
        wire[i] = '\x1a';
        wire[i + 1] = '\0';
    }
    arena_init(&a, SIZE_MAX / 2);
    assert_int_equal(pb_unpack(&m, ref_type, wire, n, &a, &e), ERR_LIMIT);
    assert_true(a.used <= LIMIT_GRPC_UNPACK_FACTOR * n + LIMIT_GRPC_UNPACK_BASE_BYTES);
    assert_non_null(strstr(e.msg, "would unpack to more than"));
    arena_done(&a);
    mem_free(wire);
}

static void sixty_four_metadata_keys_fit(void **state) {
    Externalscaler__ScaledObjectRef__MetadataEntry entry[LIMIT_METADATA_KEYS],
        *list[LIMIT_METADATA_KEYS];
    ref_t r = EXTERNALSCALER__SCALED_OBJECT_REF__INIT;
    char key[] = "k", value[] = "";
    uint8_t wire[4096];
    for (size_t i = 0; i < LIMIT_METADATA_KEYS; i++) {
        externalscaler__scaled_object_ref__metadata_entry__init(&entry[i]);
        entry[i].key = key;
        entry[i].value = value;
        list[i] = &entry[i];
    }
    r.n_scalermetadata = LIMIT_METADATA_KEYS;
    r.scalermetadata = list;
    size_t n = protobuf_c_message_pack(&r.base, wire);
    assert_int_equal(unpack_of(ref_type, wire, n, NULL), 0);
}

static void every_allocation_failing_is_an_error(void **state) {
    static const char wire[] = "\x0a\x03llm\x12\x02ns\x1a\x06\x0a\x01k\x12\x01v";
    char big[800];
    size_t n = 0;
    for (; n + sizeof(wire) < sizeof(big); n += sizeof(wire) - 1)
        memcpy(big + n, wire, sizeof(wire) - 1);
    for (long i = 1;; i++) {
        mem_fail_from(i);
        int err = unpack_of(ref_type, big, n, NULL);
        mem_fail_never();
        if (err == 0)
            break;
        assert_int_equal(err, ERR_NOMEM);
        assert_true(i < 1000);
    }
    assert_int_equal(unpack_of(ref_type, big, n, NULL), 0);
}

// A message that holds itself, which none of the project's does.
static const ProtobufCMessageDescriptor nested_type;
static const ProtobufCFieldDescriptor nested_field = {
    .name = "inner",
    .id = 1,
    .label = PROTOBUF_C_LABEL_OPTIONAL,
    .type = PROTOBUF_C_TYPE_MESSAGE,
    .offset = sizeof(ProtobufCMessage),
    .descriptor = &nested_type,
};
static const ProtobufCIntRange nested_range[] = {{1, 0}, {0, 1}};
struct nested {
    ProtobufCMessage base;
    struct nested *inner;
};
static const ProtobufCMessageDescriptor nested_type = {
    .magic = PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC,
    .name = "Nested",
    .sizeof_message = sizeof(struct nested),
    .n_fields = 1,
    .fields = &nested_field,
    .n_field_ranges = 1,
    .field_ranges = nested_range,
};

static void nesting_is_bounded(void **state) {
    uint8_t wire[256];
    struct err e;
    for (unsigned depth = 1; depth < 40; depth++) {
        for (unsigned i = 0; i < depth; i++) {
            wire[2 * i] = 0x0a;
            wire[2 * i + 1] = (uint8_t)(2 * (depth - i - 1));
        }
        int want = depth + 1 > LIMIT_GRPC_UNPACK_DEPTH ? ERR_LIMIT : 0;
        assert_int_equal(pb_check(&nested_type, wire, 2 * (size_t)depth, &e), want);
    }
}

static void random_bytes_are_refused_or_read_whole(void **state) {
    struct random rnd;
    random_init(&rnd, unit_seed());
    for (int i = 0; i < 20000; i++) {
        uint8_t wire[64];
        size_t n = random_below(&rnd, sizeof(wire));
        for (size_t k = 0; k < n; k++)
            wire[k] = (uint8_t)(random_below(&rnd, 3) ? random_below(&rnd, 24) : random_u64(&rnd));
        int err = unpack_of(&gpuscale__v1__node_state__descriptor, wire, n, NULL);
        assert_true(err == 0 || err == ERR_PARSE || err == ERR_INVALID || err == ERR_LIMIT);
        unpack_of(ref_type, wire, n, NULL);
    }
}

static void random_messages_round_trip(void **state) {
    struct random rnd;
    random_init(&rnd, unit_seed());
    for (int round = 0; round < 500; round++) {
        Gpuscale__V1__NodeState s = GPUSCALE__V1__NODE_STATE__INIT;
        Gpuscale__V1__Gpu gpu[8], *gpus[8];
        double values[8][12];
        uint8_t wire[8192], again[8192];
        s.has_seq = true;
        s.seq = random_u64(&rnd);
        s.n_gpus = random_below(&rnd, 9);
        s.gpus = gpus;
        for (size_t i = 0; i < s.n_gpus; i++) {
            gpuscale__v1__gpu__init(&gpu[i]);
            gpus[i] = &gpu[i];
            gpu[i].has_id = true;
            gpu[i].id = (uint32_t)random_u64(&rnd);
            gpu[i].n_values = random_below(&rnd, 13);
            gpu[i].values = values[i];
            for (size_t v = 0; v < gpu[i].n_values; v++)
                values[i][v] = random_normal(&rnd);
        }
        size_t n = protobuf_c_message_pack(&s.base, wire);
        struct arena a;
        ProtobufCMessage *m;
        arena_init(&a, SIZE_MAX / 2);
        assert_int_equal(pb_unpack(&m, s.base.descriptor, wire, n, &a, NULL), 0);
        assert_int_equal(protobuf_c_message_pack(m, again), n);
        assert_memory_equal(wire, again, n);
        arena_done(&a);
    }
}

static void wire_reader_gives_every_kind_of_field(void **state) {
    static const char wire[] = "\x08\x96\x01\x11\x01\0\0\0\0\0\0\0\x1a\x02hi\x25\x02\0\0\0";
    struct pb_reader r = pb_reader_of((struct str){wire, sizeof(wire) - 1});
    struct pb_field f;
    assert_int_equal(pb_next(&r, &f), 1);
    assert_true(f.number == 1 && f.wire == PB_VARINT && f.value == 150);
    assert_int_equal(pb_next(&r, &f), 1);
    assert_true(f.number == 2 && f.wire == PB_FIXED64 && f.value == 1);
    assert_int_equal(pb_next(&r, &f), 1);
    assert_true(f.number == 3 && f.wire == PB_BYTES && str_eqc(f.bytes, "hi"));
    assert_int_equal(pb_next(&r, &f), 1);
    assert_true(f.number == 4 && f.wire == PB_FIXED32 && f.value == 2);
    assert_int_equal(pb_next(&r, &f), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(message_is_read),
        cmocka_unit_test(message_of_no_bytes_is_legal),
        cmocka_unit_test(nul_in_a_string_is_refused_with_its_field),
        cmocka_unit_test(invalid_utf8_in_a_string_is_refused_with_its_field),
        cmocka_unit_test(strings_of_unknown_fields_are_not_looked_at),
        cmocka_unit_test(malformed_bytes_are_refused),
        cmocka_unit_test(every_truncation_is_refused_or_a_shorter_message),
        cmocka_unit_test(four_mib_of_empty_map_entries_are_refused),
        cmocka_unit_test(sixty_four_metadata_keys_fit),
        cmocka_unit_test(every_allocation_failing_is_an_error),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(random_bytes_are_refused_or_read_whole),
        cmocka_unit_test(random_messages_round_trip),
        cmocka_unit_test(wire_reader_gives_every_kind_of_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
