// SPDX-License-Identifier: Apache-2.0
/* manifest/documents: what kubectl prints and people write, cut into objects. */
#include "manifest/documents.h"

#include "base/mem.h"
#include "unit.h"

struct read_in {
    struct manifest_objects o;
    struct err e;
    int r;
};

static void take(struct read_in *t, const char *text, const char *name) {
    *t = (struct read_in){0};
    manifest_objects_init(&t->o);
    t->r = manifest_objects_read(&t->o, str_from(text), name, 7, &t->e);
}

static void objects_are_found_in_documents_and_lists(void **state) {
    static const struct {
        const char *text, *kinds;
    } cases[] = {
        {"kind: A\n", "A"},
        {"\xef\xbb\xbfkind: A\n", "A"},
        {"---\nkind: A\n---\n# nothing\n---\nkind: B\n...\n---\nkind: C", "A B C"},
        {"kind: A\r\n---\r\nkind: B\r\n", "A B"},
        {"kind: A\n---  \nkind: B\n--- # c\nkind: C\n", "A B C"},
        {"apiVersion: v1\nkind: List\nitems:\n- {kind: A}\n- {kind: B}\n", "A B"},
        {"{\"kind\": \"List\", \"items\": [{\"kind\": \"A\"}, {\"kind\": \"B\"}]}", "A B"},
        {"kind: ThingList\napiVersion: g/v1\nitems:\n- {metadata: {name: x}}\n", "Thing"},
        {"kind: WishList\nspec: {x: 1}\n", "WishList"}, // somebody's own
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct read_in t;
        char kinds[64] = "";
        take(&t, cases[i].text, "f");
        assert_int_equal(t.r, 0);
        for (size_t k = 0; k < t.o.objects.n; k++) {
            size_t at = strlen(kinds);
            (void)snprintf(kinds + at, sizeof(kinds) - at, "%s%s", k ? " " : "",
                           t.o.objects.items[k].kind);
            assert_int_equal(t.o.objects.items[k].origin, 7);
        }
        assert_string_equal(kinds, cases[i].kinds);
        manifest_objects_done(&t.o);
    }
}

static void an_entry_of_a_list_is_of_the_list_s_version(void **state) {
    struct read_in t;
    take(&t,
         "{\"kind\": \"DeploymentList\", \"apiVersion\": \"apps/v1\", \"items\": [{\"metadata\": "
         "{}}]}",
         "f");
    assert_int_equal(t.o.objects.n, 1);
    assert_string_equal(t.o.objects.items[0].kind, "Deployment");
    assert_string_equal(t.o.objects.items[0].api_version, "apps/v1");
    manifest_objects_done(&t.o);
}

static void what_is_no_object_is_told_with_its_place(void **state) {
    static const struct {
        const char *text, *name, *told;
    } cases[] = {
        {"", "f", "f: there is no Kubernetes object in it"},
        {"# a\n---\n", "f", "f: there is no Kubernetes object in it"},
        {"kind: A\n---\n- x\n", "f", "f:3:1: a Kubernetes object: found a list"},
        {"kind: A\n---\nmetadata: {}\n", "f",
         "f:3:1: this is no Kubernetes object: it has no 'kind'"},
        {"kind: A\n---\nkind: B\n  x: 1\n", "f", "f:3:7: invalid"},
        {"kind: A\n---\nkind: &x B\n", "f", "f:3:10: anchors"},
        {"kind: List\nitems: [{kind: A}, 3]\n", "f", "f:2:20: a Kubernetes object: found '3'"},
        {"hello", "f", "f:1:1: a Kubernetes object: found 'hello'"},
        {"{kind: A}", "f.json", "f.json:1:"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct read_in t;
        take(&t, cases[i].text, cases[i].name);
        if (t.r >= 0 || strncmp(t.e.msg, cases[i].told, strlen(cases[i].told)) != 0)
            fail_msg("%s: told %s", cases[i].text, t.e.msg);
        manifest_objects_done(&t.o);
    }
}

static void allocations_may_fail(void **state) {
    for (long n = 1;; n++) {
        struct read_in t;
        mem_fail_from(n);
        take(&t, "kind: A\n---\nkind: List\nitems:\n- {kind: B}\n", "f");
        bool failed = t.r < 0;
        mem_fail_never();
        manifest_objects_done(&t.o);
        if (!failed)
            break;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_are_found_in_documents_and_lists),
        cmocka_unit_test(an_entry_of_a_list_is_of_the_list_s_version),
        cmocka_unit_test(what_is_no_object_is_told_with_its_place),
        cmocka_unit_test(allocations_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
