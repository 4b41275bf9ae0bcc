// SPDX-License-Identifier: Apache-2.0
/* kube/object: metadata, what foreign types read as, and memory. */
#include "base/limits.h"
#include "kube/model.h"

static struct kube_object *read_text(const struct kube_kind *kind, const char *text, int expect,
                                     struct err *e) {
    json_t *json = NULL;
    struct kube_object *o = NULL;
    assert_int_equal(kube_json_parse(str_from(text), &json, e), 0);
    assert_int_equal(kube_object_read(&o, kind, json, e), expect);
    json_decref(json);
    return o;
}

static void metadata_is_kept(void **state) {
    struct err e = {0};
    struct kube_object *o = read_text(
        &thing_kind,
        "{\"metadata\":{\"namespace\":\"ml\",\"name\":\"llm-0\",\"uid\":\"u\","
        "\"resourceVersion\":\"7\",\"creationTimestamp\":\"2026-11-30T00:00:00Z\","
        "\"deletionTimestamp\":\"2026-11-30T00:00:30Z\",\"labels\":{\"app\":\"llm\",\"n\":\"\"},"
        "\"ownerReferences\":[{\"kind\":\"A\",\"name\":\"a\",\"uid\":\"1\"},{\"kind\":"
        "\"ReplicaSet\",\"name\":\"llm-5\",\"uid\":\"2\",\"controller\":true}]},\"data\":3}",
        0, &e);
    assert_string_equal(o->key, "ml/llm-0");
    assert_string_equal(o->namespace_, "ml");
    assert_string_equal(o->name, "llm-0");
    assert_string_equal(o->uid, "u");
    assert_string_equal(o->version, "7");
    assert_int_equal(o->deletion_ns - o->created_ns, 30 * NS_PER_S);
    assert_string_equal(kube_object_label(o, "app"), "llm");
    assert_string_equal(kube_object_label(o, "n"), "");
    assert_null(kube_object_label(o, "x"));
    assert_string_equal(o->owner_kind, "ReplicaSet");
    assert_string_equal(o->owner_name, "llm-5");
    assert_string_equal(o->owner_uid, "2");
    assert_int_equal(container_of(o, struct thing, o)->data, 3);
    kube_object_free(o);
}

static void what_is_of_another_type_reads_as_absent(void **state) {
    static const char *const texts[] = {
        "{\"metadata\":{\"name\":\"a\"}}",
        "{\"metadata\":{\"name\":\"a\",\"namespace\":1,\"uid\":{},\"resourceVersion\":[],"
        "\"labels\":[1],\"ownerReferences\":{\"a\":1},\"creationTimestamp\":\"yesterday\"}}",
        "{\"metadata\":{\"name\":\"a\",\"labels\":\"x\",\"ownerReferences\":[1,{\"controller\":1}"
        ",{\"controller\":true,\"name\":2}],\"deletionTimestamp\":5},\"data\":\"x\"}",
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct err e = {0};
        struct kube_object *o = read_text(&thing_kind, texts[i], 0, &e);
        assert_string_equal(o->key, "/a");
        assert_string_equal(o->namespace_, "");
        assert_string_equal(o->uid, "");
        assert_string_equal(o->version, "");
        assert_string_equal(o->owner_name, "");
        assert_int_equal(o->created_ns, 0);
        assert_int_equal(o->deletion_ns, 0);
        assert_int_equal(o->n_labels, 0);
        kube_object_free(o);
    }
}

static void an_object_needs_a_name_and_has_a_limit(void **state) {
    struct err e = {0};
    read_text(&thing_kind, "{\"metadata\":{}}", ERR_PARSE, &e);
    read_text(&thing_kind, "{\"metadata\":{\"name\":\"\"}}", ERR_PARSE, &e);
    read_text(&thing_kind, "[]", ERR_PARSE, &e);
    char *text = malloc(LIMIT_KUBE_KEPT_BYTES + 200);
    size_t n = (size_t)snprintf(text, 100, "{\"metadata\":{\"name\":\"a\",\"labels\":{\"l\":\"");
    memset(text + n, 'x', LIMIT_KUBE_KEPT_BYTES);
    snprintf(text + n + LIMIT_KUBE_KEPT_BYTES, 10, "\"}}}");
    read_text(&thing_kind, text, ERR_LIMIT, &e);
    assert_non_null(strstr(e.msg, "'a': more than"));
    free(text);
}

static void a_nul_in_a_tenants_annotation_breaks_nothing(void **state) {
    struct err e = {0};
    struct kube_object *o = read_text(
        &thing_kind, "{\"metadata\":{\"name\":\"a\",\"annotations\":{\"x\":\"a\\u0000b\"}}}", 0,
        &e);
    assert_string_equal(o->name, "a");
    kube_object_free(o);
}

static void quantities_are_whole_units_rounded_up(void **state) {
    static const struct {
        const char *json;
        int64_t is;
    } cases[] = {{"\"8\"", 8},      {"8", 8},     {"\"1500m\"", 2}, {"\"2k\"", 2000},
                 {"\"-1\"", 0},     {"\"0\"", 0}, {"\"x\"", 0},     {"null", 0},
                 {"\"1e3\"", 1000}, {"-4", 0},    {"\"2Ki\"", 2048}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[100];
        struct err e = {0};
        json_t *json = NULL;
        snprintf(text, sizeof(text), "{\"q\":%s}", cases[i].json);
        assert_int_equal(kube_json_parse(str_from(text), &json, &e), 0);
        assert_int_equal(kube_read_quantity(json, "q"), cases[i].is);
        json_decref(json);
    }
}

static void memory_is_as_large_as_it_must_be_and_its_end_is_an_error(void **state) {
    struct err e = {0};
    json_t *json = NULL;
    const char *text = "{\"metadata\":{\"namespace\":\"ml\",\"name\":\"llm-0\",\"labels\":{\"a\":"
                       "\"b\"},\"ownerReferences\":[{\"controller\":true,\"name\":\"x\"}]}}";
    assert_int_equal(kube_json_parse(str_from(text), &json, &e), 0);
    struct kube_object *o = NULL;
    assert_int_equal(kube_object_read(&o, &thing_kind, json, &e), 0);
    assert_int_equal(o->memory.used, o->memory.max);
    kube_object_free(o);
    int failures = 0;
    for (long n = 1;; n++) {
        mem_fail_from(n);
        int r = kube_object_read(&o, &thing_kind, json, &e);
        mem_fail_never();
        if (r == 0)
            break;
        assert_int_equal(r, ERR_NOMEM);
        failures++;
    }
    assert_int_equal(failures, 4); // twice: the struct, its memory
    kube_object_free(o);
    json_decref(json);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metadata_is_kept),
        cmocka_unit_test(what_is_of_another_type_reads_as_absent),
        cmocka_unit_test(an_object_needs_a_name_and_has_a_limit),
        cmocka_unit_test(a_nul_in_a_tenants_annotation_breaks_nothing),
        cmocka_unit_test(quantities_are_whole_units_rounded_up),
        cmocka_unit_test(memory_is_as_large_as_it_must_be_and_its_end_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
