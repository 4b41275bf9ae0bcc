// SPDX-License-Identifier: Apache-2.0
/* tools/generate_write, generate_classic, generate_styles: memory that ends while something is
 * written. */
#include "tools/generate_write.h"

#include "base/limits.h"
#include "base/mem.h"
#include "unit.h"

static const char input[] =
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: llm, namespace: ml}\nspec:\n"
    "  selector: {matchLabels: {app: llm}}\n  template:\n    metadata: {labels: {app: llm}}\n"
    "    spec:\n      containers:\n      - name: a\n        image: tritonserver\n"
    "        resources: {limits: {nvidia.com/gpu: 1}}\n---\n"
    "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {name: old, namespace: "
    "ml}\nspec:\n"
    "  scaleTargetRef: {name: llm}\n  triggers:\n"
    "  - {type: prometheus, metadata: {threshold: '55', query: avg(DCGM_FI_DEV_GPU_UTIL)}}\n"
    "  - {type: prometheus, metadata: {threshold: '9', query: sum(up)}}\n"
    "  - {type: cpu, metadata: {value: '70'}}\n";

// All parts of all styles into `out`; 0, or what failed.
static int write_all(const struct generate_flags *flags, struct buf *out, struct err *e) {
    struct manifest_objects o;
    struct manifest_scalable w;
    struct manifest_scaled s;
    manifest_objects_init(&o);
    int r = manifest_objects_read(&o, STR(input), "f", 0, e);
    struct manifest_reader reader = {.file = "f", .a = &o.arena, .e = e, .r = r};
    if (r == 0) {
        manifest_scalable_read(&reader, &o.objects.items[0], &w);
        manifest_scaled_read(&reader, &o.objects.items[1], &s);
    }
    r = reader.r;
    for (int style = STYLE_GPUSCALE; style <= STYLE_HPA && r == 0; style++) {
        struct generate_flags f = *flags;
        f.style = style;
        f.adapter = style == STYLE_PROMETHEUS;
        struct generate_plan *p = arena_zalloc(&o.arena, sizeof(*p));
        if (!p) {
            r = ERR_NOMEM;
            break;
        }
        *p = (struct generate_plan){
            .flags = &f, .a = &o.arena, .e = e, .workload = &w, .from = &s, .closed = true};
        r = generate_plan_make(p);
        struct generate_part parts[GENERATE_PARTS];
        size_t n = r == 0 ? generate_parts(p, parts) : 0;
        r = r == 0 ? p->r : r;
        struct yaml_writer writer = {.out = out};
        for (size_t i = 0; i < n && r == 0; i++)
            parts[i].write(p, &writer);
        r = r == 0 ? out->err : r;
    }
    manifest_objects_done(&o);
    return r;
}

static void load(struct generate_flags *ret, struct arena *a) {
    static char name[] = "generate", queue[] = "--queue=4";
    char *argv[] = {name, queue, NULL};
    struct conf_outcome outcome;
    struct err e = {0};
    arena_init(a, LIMIT_CONFIG_ARENA_BYTES);
    assert_int_equal(conf_load(&generate_spec, 2, argv, ret, a, &outcome, &e), 0);
}

static void memory_that_ends_is_an_error_and_never_half_an_object(void **state) {
    struct arena a;
    struct generate_flags flags;
    struct buf whole, out;
    struct err e = {0};
    load(&flags, &a);
    buf_init(&whole, 1 << 20);
    buf_init(&out, 1 << 20);
    assert_int_equal(write_all(&flags, &whole, &e), 0);
    assert_non_null(memmem(whole.p, whole.len, "kind: NetworkPolicy", 19));
    bool failed = true;
    for (long n = 1; failed; n++) {
        buf_done(&out);
        buf_init(&out, 1 << 20);
        mem_fail_from(n);
        int r = write_all(&flags, &out, &e);
        mem_fail_never();
        failed = r < 0;
        if (!failed)
            assert_true(str_eq(buf_str(&whole), buf_str(&out)));
    }
    buf_done(&whole);
    buf_done(&out);
    arena_done(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_that_ends_is_an_error_and_never_half_an_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
