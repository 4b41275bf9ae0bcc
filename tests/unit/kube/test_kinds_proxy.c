// SPDX-License-Identifier: Apache-2.0
/* kube/kinds_proxy: whom the API server tells extension servers to believe. */
#include "kube/kinds_unit.h"

#define MAP(data)                                                                                  \
    "{\"metadata\":{\"name\":\"extension-apiserver-authentication\"},\"data\":{" data "}}"

static void lists_are_read_out_of_their_texts(void **state) {
    struct kube_object *o = kind_read(
        &kube_front_proxies,
        MAP("\"client-ca-file\":\"x\",\"requestheader-client-ca-file\":\"PEM\\n\","
            "\"requestheader-allowed-names\":\"[\\\"front-proxy-client\\\",\\\"b\\\"]\","
            "\"requestheader-username-headers\":\"[\\\"X-Remote-User\\\"]\","
            "\"requestheader-uid-headers\":\"[]\","
            "\"requestheader-group-headers\":\"[\\\"X-Remote-Group\\\"]\","
            "\"requestheader-extra-headers-prefix\":\"[\\\"X-Remote-Extra-\\\"]\""));
    const struct kube_front_proxy *p = (const struct kube_front_proxy *)o;
    assert_string_equal(p->ca, "PEM\n");
    assert_int_equal(p->allowed_names.n, 2);
    assert_string_equal(p->allowed_names.items[1], "b");
    assert_string_equal(p->user_headers.items[0], "X-Remote-User");
    assert_int_equal(p->uid_headers.n, 0);
    assert_string_equal(p->group_headers.items[0], "X-Remote-Group");
    assert_string_equal(p->extra_prefixes.items[0], "X-Remote-Extra-");
    kube_object_free(o);
}

// No list of names means any name: a list that is broken must not become none.
static void what_makes_no_sense_leaves_nobody_to_be_believed(void **state) {
    static const struct {
        const char *json, *ca;
    } cases[] = {
        {MAP("\"requestheader-client-ca-file\":\"PEM\""), "PEM"}, // any name, as Kubernetes has it
        {MAP("\"requestheader-client-ca-file\":\"PEM\",\"requestheader-allowed-names\":\"a\""), ""},
        {MAP("\"requestheader-client-ca-file\":\"PEM\",\"requestheader-allowed-names\":\"{}\""),
         ""},
        {MAP("\"requestheader-client-ca-file\":\"PEM\",\"requestheader-allowed-names\":\"[1]\""),
         ""},
        {MAP("\"requestheader-client-ca-file\":\"PEM\",\"requestheader-group-headers\":\"[\\\"\\\"]"
             "\""),
         ""},
        {MAP("\"client-ca-file\":\"x\""), ""},
        {"{\"metadata\":{\"name\":\"x\"}}", ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct kube_object *o = kind_read(&kube_front_proxies, cases[i].json);
        if (strcmp(((const struct kube_front_proxy *)o)->ca, cases[i].ca) != 0)
            fail_msg("%s", cases[i].json);
        kube_object_free(o);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_read_out_of_their_texts),
        cmocka_unit_test(what_makes_no_sense_leaves_nobody_to_be_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
