// SPDX-License-Identifier: Apache-2.0
/* Whose GPU it is when a pod holds it through a resource claim. */
#include "scaler/claims.h"

#include "base/mem.h"
#include "kube/kinds.h"
#include "unit.h"

static void ignore(void *ctx, enum kube_change change, const struct kube_object *now,
                   const struct kube_object *was) {
}

static struct kube_reflector *slices(const char *items) {
    struct kube_reflector *r;
    struct err e = {0};
    CLEANUP_BUF struct buf text, query;
    buf_init(&text, 1 << 16);
    buf_init(&query, 4096);
    const struct kube_reflector_options o = {.kind = &kube_resource_slices, .changed = ignore};
    assert_int_equal(kube_reflector_new(&r, &o, &e), 0);
    assert_int_equal(kube_reflector_begin(r, 0, &query, &e), 0);
    (void)buf_addf(&text, "{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[%s]}", items);
    assert_int_equal(kube_reflector_feed(r, 0, text.p, text.len, &e), 0);
    kube_reflector_end(r, 0,
                       &(struct kube_end){.whole = true, .status = 200, .retry_after_ms = -1});
    return r;
}

#define SLICE(name, generation, devices)                                                           \
    "{\"metadata\":{\"name\":\"" name "\"},\"spec\":{\"driver\":\"gpu.nvidia.com\",\"nodeName\":"  \
    "\"n\",\"pool\":{\"name\":\"n\",\"generation\":" generation                                    \
    ",\"resourceSliceCount\":1},\"devices\":[" devices "]}}"
#define DEVICE(name, uuid)                                                                         \
    "{\"name\":\"" name "\",\"attributes\":{\"gpu.nvidia.com/uuid\":{\"string\":\"" uuid "\"}}}"

static const struct agents_device held[] = {
    {"gpu.nvidia.com", "n", "gpu-0", {"ml", "a", "main", ""}},
    {"gpu.nvidia.com", "n", "gpu-1", {"ml", "b", "main", ""}},
};

static struct agents_gpu gpu(const char *uuid) {
    return (struct agents_gpu){.node = "n", .uuid = uuid};
}

static void a_device_is_its_slices_gpu(void **state) {
    struct claims c = {0};
    struct agents_owner owners[CLAIMS_OWNERS_MAX];
    struct agents_gpu g = gpu("GPU-1"), j;
    struct kube_reflector *r = slices(
        SLICE("s", "1", DEVICE("gpu-0", "GPU-1") "," DEVICE("gpu-1", "GPU-2")));
    assert_int_equal(claims_told(&c, "n", true, held, 2), 0);
    assert_int_equal(c.unknown, 2);
    j = claims_join(&c, &g, owners);
    assert_false(j.owners_known); // no slice was read
    assert_int_equal(claims_resolve(&c, r), 0);
    assert_int_equal(c.unknown, 0);
    j = claims_join(&c, &g, owners);
    assert_true(j.owners_known);
    assert_int_equal(j.n_owners, 1);
    assert_string_equal(j.owners[0].pod, "a");
    g = gpu("GPU-3"); // all are joined: it is nobody's
    j = claims_join(&c, &g, owners);
    assert_true(j.owners_known);
    assert_int_equal(j.n_owners, 0);
    // Of another node nothing is known, and an agent's own word stands.
    g = (struct agents_gpu){.node = "m", .uuid = "GPU-1", .owners_known = false};
    assert_false(claims_join(&c, &g, owners).owners_known);
    const struct agents_owner plugin = {"ml", "p", "main", ""};
    g = (struct agents_gpu){
        .node = "n", .uuid = "GPU-2", .owners_known = true, .owners = &plugin, .n_owners = 1};
    j = claims_join(&c, &g, owners);
    assert_int_equal(j.n_owners, 2);
    assert_string_equal(j.owners[0].pod, "p");
    assert_string_equal(j.owners[1].pod, "b");
    assert_int_equal(claims_told(&c, "n", true, NULL, 0), 0); // released
    assert_int_equal(c.devices, 0);
    assert_int_equal(claims_join(&c, &g, owners).n_owners, 1);
    claims_done(&c);
    kube_reflector_free(r);
}

static void what_is_not_known_stays_unknown(void **state) {
    struct claims c = {0};
    struct agents_owner owners[CLAIMS_OWNERS_MAX];
    struct agents_gpu g = gpu("GPU-9");
    struct kube_reflector *r = slices(SLICE("s", "1",
                                            DEVICE("gpu-0", "GPU-1") ","
                                                                     "{\"name\":\"gpu-1\"}"));
    assert_int_equal(claims_told(&c, "n", true, held, 2), 0);
    assert_int_equal(claims_resolve(&c, r), 0);
    assert_int_equal(c.unknown, 1); // gpu-1 has no uuid: it may be any
    assert_false(claims_join(&c, &g, owners).owners_known);
    assert_int_equal(claims_told(&c, "n", false, held, 1), 0); // not all holders are known
    assert_int_equal(c.unknown, 0);
    assert_false(claims_join(&c, &g, owners).owners_known);
    kube_reflector_free(r);
    // A pool's older generation is what it was.
    r = slices(SLICE("old", "1", DEVICE("gpu-0", "GPU-1")) "," SLICE("new", "2",
                                                                     DEVICE("gpu-0", "GPU-9")));
    assert_int_equal(claims_resolve(&c, r), 0);
    assert_int_equal(claims_join(&c, &g, owners).n_owners, 1);
    claims_done(&c);
    kube_reflector_free(r);
}

static void memory_that_ends_leaves_what_was(void **state) {
    struct kube_reflector *r = slices(SLICE("s", "1", DEVICE("gpu-0", "GPU-1")));
    for (long n = 1;; n++) {
        struct claims c = {0};
        mem_fail_from(n);
        int rc = claims_told(&c, "n", true, held, 2);
        rc = rc < 0 ? rc : claims_resolve(&c, r);
        mem_fail_never();
        claims_done(&c);
        if (rc == 0)
            break;
        assert_int_equal(rc, ERR_NOMEM);
    }
    kube_reflector_free(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_device_is_its_slices_gpu),
        cmocka_unit_test(what_is_not_known_stays_unknown),
        cmocka_unit_test(memory_that_ends_leaves_what_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
