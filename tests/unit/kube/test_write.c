// SPDX-License-Identifier: Apache-2.0
/* kube/write: objects as the API takes them, and the answers of reviews. */
#include "kube/write.h"

#include "kube/kinds_unit.h"

#define NASTY "a\"b\\\n\x01\xff{"

static json_t *parse(struct buf *b) {
    json_t *json = NULL;
    struct err e = {0};
    if (kube_json_parse(buf_str(b), &json, &e) < 0)
        fail_msg("%s: " STR_FMT, e.msg, STR_ARG(buf_str(b)));
    return json;
}

// "spec.user" of the JSON.
static const char *at(const json_t *json, const char *path) {
    struct str rest = str_from(path);
    while (rest.n > 0) {
        char key[64];
        struct str part = str_cut(&rest, '.');
        assert_int_equal(str_copy(key, sizeof(key), part), 0);
        json = json_object_get(json, key);
    }
    return json_string_value(json);
}

static void an_event(void **state) {
    CLEANUP_BUF struct buf b;
    CLEANUP_JSON json_t *json = NULL;
    char message[1100];
    memset(message, 'm', 1023);
    snprintf(message + 1023, 20, "\xc3\xa4 and more");
    buf_init(&b, 10000);
    const struct kube_event e = {.namespace_ = "ml",
                                 .name = "llm.1",
                                 .api = "keda.sh/v1alpha1",
                                 .kind = "ScaledObject",
                                 .object = "llm",
                                 .uid = "u",
                                 .warning = true,
                                 .reason = "ReplicasNotMet",
                                 .message = message,
                                 .component = "gpuscale-scaler",
                                 .instance = NASTY,
                                 .at_ns = 1500123456789};
    assert_int_equal(kube_event_json(&b, &e), 0);
    json = parse(&b);
    assert_string_equal(at(json, "apiVersion"), "v1");
    assert_string_equal(at(json, "kind"), "Event");
    assert_string_equal(at(json, "metadata.namespace"), "ml");
    assert_string_equal(at(json, "involvedObject.kind"), "ScaledObject");
    assert_string_equal(at(json, "involvedObject.name"), "llm");
    assert_string_equal(at(json, "involvedObject.uid"), "u");
    assert_null(at(json, "involvedObject.resourceVersion"));
    assert_string_equal(at(json, "type"), "Warning");
    assert_int_equal(strlen(at(json, "message")), 1023); // no character is cut
    assert_string_equal(at(json, "lastTimestamp"), "1970-01-01T00:25:00.123456Z");
    buf_clear(&b);
    assert_int_equal(kube_event_again_json(&b, 7, 0, NASTY), 0);
    json_t *again = parse(&b);
    assert_int_equal(json_integer_value(json_object_get(again, "count")), 7);
    json_decref(again);
}

static void a_lease_reads_back_as_it_was_written(void **state) {
    CLEANUP_BUF struct buf b;
    buf_init(&b, 10000);
    const struct kube_lease_write w = {.namespace_ = "gpuscale",
                                       .name = "scaler",
                                       .version = "41",
                                       .holder = "scaler-0",
                                       .address = "10.0.0.7:9443",
                                       .duration_s = 15,
                                       .acquired_ns = 1700000000000001000,
                                       .renewed_ns = 1700000007999999000,
                                       .transitions = 3};
    assert_int_equal(kube_lease_json(&b, &w), 0);
    assert_int_equal(buf_add_byte(&b, '\0'), 0);
    struct kube_object *o = kind_read(&kube_leases, b.p);
    const struct kube_lease *l = (const struct kube_lease *)o;
    assert_string_equal(o->key, "gpuscale/scaler");
    assert_string_equal(o->version, "41");
    assert_string_equal(l->holder, "scaler-0");
    assert_string_equal(l->address, "10.0.0.7:9443");
    assert_int_equal(l->duration_s, 15);
    assert_int_equal(l->acquired_ns, w.acquired_ns);
    assert_int_equal(l->renewed_ns, w.renewed_ns);
    assert_int_equal(l->transitions, 3);
    kube_object_free(o);
}

static void a_tokens_review(void **state) {
    CLEANUP_BUF struct buf b;
    CLEANUP_JSON json_t *json = NULL;
    buf_init(&b, 1000);
    assert_int_equal(kube_token_review_json(&b, STR("t\"k"), "gpuscale"), 0);
    json = parse(&b);
    assert_string_equal(at(json, "spec.token"), "t\"k");
    static const struct {
        const char *body, *audience;
        bool authenticated;
    } cases[] = {
        {"{\"authenticated\":true,\"user\":{\"username\":\"x\",\"groups\":[\"a\",1],"
         "\"extra\":{\"k/pod\":[\"p\",2],\"odd\":\"v\",\"none\":[]}}}",
         NULL, true},
        {"{\"authenticated\":true,\"user\":{\"username\":\"x\"},\"audiences\":[\"y\",\"g\"]}", "g",
         true},
        // A server that does not know audiences says none: nobody is let in by it.
        {"{\"authenticated\":true,\"user\":{\"username\":\"x\"}}", "g", false},
        {"{\"authenticated\":true,\"user\":{\"username\":\"\"}}", NULL, false},
        {"{\"authenticated\":\"true\",\"user\":{\"username\":\"x\"}}", NULL, false},
        {"{\"user\":{\"username\":\"x\"},\"error\":\"expired\"}", NULL, false},
        {"{}", NULL, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char body[300];
        struct arena a;
        struct err e = {0};
        struct kube_token_review r;
        arena_init(&a, 10000);
        snprintf(body, sizeof(body), "{\"kind\":\"TokenReview\",\"status\":%s}", cases[i].body);
        assert_int_equal(kube_token_review_read(&r, &a, str_from(body), cases[i].audience, &e), 0);
        assert_int_equal(r.authenticated, cases[i].authenticated);
        if (i == 0) {
            assert_string_equal(r.user, "x");
            assert_int_equal(r.n_groups, 2);
            assert_string_equal(r.groups[0], "a");
            assert_string_equal(r.groups[1], "");
            assert_int_equal(r.n_extra, 3);
            for (size_t k = 0; k < 3; k++)
                if (strcmp(r.extra[k].key, "k/pod") == 0) {
                    assert_int_equal(r.extra[k].n, 2);
                    assert_string_equal(r.extra[k].values[0], "p");
                    assert_string_equal(r.extra[k].values[1], "");
                } else {
                    assert_int_equal(r.extra[k].n, 0);
                }
        }
        arena_done(&a);
    }
    struct arena tiny;
    struct err e = {0};
    struct kube_token_review r;
    arena_init(&tiny, 16);
    static const char good[] =
        "{\"kind\":\"TokenReview\",\"status\":{\"authenticated\":true,\"user\":"
        "{\"username\":\"somebody with a long name\"}}}";
    assert_int_equal(kube_token_review_read(&r, &tiny, STR(good), NULL, &e), ERR_LIMIT);
    assert_int_equal(kube_token_review_read(&r, &tiny, STR("{\"kind\":\"Status\"}"), NULL, &e),
                     ERR_PARSE);
    arena_done(&tiny);
}

static void a_review_of_rights(void **state) {
    static const char *const groups[] = {"g", NASTY};
    const struct kube_extra extra[] = {{"k\"ey", groups, 2}, {"none", NULL, 0}};
    struct kube_access a = {.user = NASTY,
                            .groups = groups,
                            .n_groups = 2,
                            .extra = extra,
                            .n_extra = 2,
                            .verb = "get",
                            .path = "/metrics"};
    CLEANUP_BUF struct buf b;
    buf_init(&b, 1000);
    assert_int_equal(kube_access_review_json(&b, &a), 0);
    json_t *json = parse(&b);
    assert_string_equal(at(json, "spec.nonResourceAttributes.path"), "/metrics");
    assert_int_equal(json_array_size(json_object_get(json_object_get(json, "spec"), "groups")), 2);
    const json_t *told = json_object_get(json_object_get(json, "spec"), "extra");
    assert_int_equal(json_object_size(told), 2);
    assert_string_equal(json_string_value(json_array_get(json_object_get(told, "k\"ey"), 0)), "g");
    assert_int_equal(json_array_size(json_object_get(told, "none")), 0);
    json_decref(json);
    buf_clear(&b);
    a.n_extra = 0;
    a.resource = "scaledobjects";
    a.group = "keda.sh";
    a.namespace_ = "ml";
    assert_int_equal(kube_access_review_json(&b, &a), 0);
    json = parse(&b);
    assert_string_equal(at(json, "spec.resourceAttributes.namespace"), "ml");
    assert_null(at(json, "spec.resourceAttributes.name"));
    assert_null(json_object_get(json_object_get(json, "spec"), "nonResourceAttributes"));
    json_decref(json);

    static const struct {
        const char *status;
        bool allowed;
        const char *reason;
    } cases[] = {{"{\"allowed\":true}", true, ""},
                 {"{\"allowed\":false,\"reason\":\"no\\nrole\"}", false, "no role"},
                 {"{\"allowed\":true,\"denied\":true}", false, ""},
                 {"{\"allowed\":1}", false, ""}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char body[200];
        bool allowed = !cases[i].allowed;
        struct err e = {0};
        CLEANUP_BUF struct buf reason;
        buf_init(&reason, 300);
        snprintf(body, sizeof(body), "{\"kind\":\"SubjectAccessReview\",\"status\":%s}",
                 cases[i].status);
        assert_int_equal(kube_access_review_read(&allowed, &reason, str_from(body), &e), 0);
        assert_int_equal(allowed, cases[i].allowed);
        assert_true(str_eqc(buf_str(&reason), cases[i].reason));
    }
    bool allowed = false;
    struct err e = {0};
    assert_int_equal(kube_access_review_read(&allowed, NULL, STR("{}"), &e), ERR_PARSE);
    assert_int_equal(kube_access_review_read(&allowed, NULL, STR(""), &e), ERR_PARSE);
    assert_false(allowed);
}

static void what_does_not_fit_is_an_error(void **state) {
    const struct kube_access a = {.user = "u", .verb = "get", .path = "/metrics"};
    for (size_t max = 0; max < 100; max++) {
        CLEANUP_BUF struct buf b;
        buf_init(&b, max);
        assert_int_equal(kube_access_review_json(&b, &a), ERR_LIMIT);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event),
        cmocka_unit_test(a_lease_reads_back_as_it_was_written),
        cmocka_unit_test(a_tokens_review),
        cmocka_unit_test(a_review_of_rights),
        cmocka_unit_test(what_does_not_fit_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
