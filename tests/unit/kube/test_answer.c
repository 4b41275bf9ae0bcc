// SPDX-License-Identifier: Apache-2.0
/* kube/answer: what a status means, and sentences that say what to do. */
#include "base/mem.h"
#include "base/utf8.h"
#include "kube/answer.h"
#include "unit.h"

static void sentences_have_verb_place_remedy_and_the_servers_words(void **state) {
    static const struct {
        int status;
        enum kube_fault fault;
        const char *body, *says;
    } cases[] = {
        {0, KUBE_UNREACHABLE, "", "cannot list pods in namespace ml: refused"},
        {403, KUBE_FORBIDDEN, "{\"kind\":\"Status\",\"message\":\"User x cannot\"}",
         "may not list pods in namespace ml (403): its Role needs apiGroups \"\", resources "
         "\"pods\", verbs \"list\": User x cannot"},
        {401, KUBE_UNKNOWN_USER, "",
         "(401): the token or certificate of the user at 1:2 has expired"},
        {404, KUBE_NOT_FOUND, "404 page not found\n", "is its CRD installed?: 404 page not found"},
        {409, KUBE_CONFLICT, "{}", "(409): it exists already"},
        {410, KUBE_GONE, "", "listed again"},
        {422, KUBE_INVALID, "{\"message\":\"bad \\u001b[31m name\"}",
         "refuses the request: bad ?[31m"},
        {429, KUBE_BUSY, "", "overloaded"},
        {503, KUBE_BUSY, "\xff\x01", "overloaded or starting: ??"},
        {302, KUBE_SENSELESS, "", "is it the API server's address?"},
    };
    const struct kube_resource at = {"", "v1", "pods", "ml"};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct err e = {0};
        assert_int_equal(kube_fault_of(cases[i].status), cases[i].fault);
        kube_answer_explain(&e, "list", &at, cases[i].status, str_from(cases[i].body), "refused",
                            "the user at 1:2");
        if (!strstr(e.msg, cases[i].says))
            fail_msg("%s", e.msg);
        assert_true(e.code < 0 && utf8_valid(e.msg, strlen(e.msg)));
        assert_string_not_equal(kube_fault_name(cases[i].fault), "unknown");
    }
    assert_int_equal(kube_fault_of(201), KUBE_OK);
    struct err e = {0};
    const struct kube_resource scale = {"apps", "v1", "deployments", "ml", "llm", "scale"};
    kube_answer_explain(&e, "patch", &scale, 403, (struct str){0}, NULL, NULL);
    assert_non_null(
        strstr(e.msg, "apiGroups \"apps\", resources \"deployments/scale\", verbs \"patch\""));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentences_have_verb_place_remedy_and_the_servers_words)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
