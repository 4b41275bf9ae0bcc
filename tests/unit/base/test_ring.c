// SPDX-License-Identifier: Apache-2.0
/* base/ring: the last `cap` items in order, whatever happened before. */
#include "base/err.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/ring.h"
#include "unit.h"

static void holds_the_newest_in_order(void **state) {
    struct random rnd;
    random_init(&rnd, unit_seed());
    for (size_t cap = 1; cap < 20; cap++) {
        struct ring r;
        assert_int_equal(ring_init(&r, sizeof(long), cap), 0);
        long oldest = 0, next = 0; // the items inside are oldest..next-1
        for (int step = 0; step < 2000; step++) {
            uint64_t what = random_below(&rnd, 100);
            if (what == 0) {
                ring_clear(&r);
                oldest = next;
            } else if (what < 30 && r.n > 0) {
                ring_pop_oldest(&r);
                oldest++;
            } else {
                *(long *)ring_push(&r) = next++;
                if (next - oldest > (long)cap)
                    oldest++;
            }
            assert_int_equal(r.n, next - oldest);
            for (size_t i = 0; i < r.n; i++)
                assert_int_equal(*(long *)ring_at(&r, i), oldest + (long)i);
        }
        ring_done(&r);
    }
}

static void no_memory_and_no_overflow(void **state) {
    struct ring r;
    mem_fail_from(1);
    assert_int_equal(ring_init(&r, 8, 8), ERR_NOMEM);
    mem_fail_never();
    ring_done(&r);
    assert_int_equal(ring_init(&r, SIZE_MAX / 2, 3), ERR_NOMEM);
    ring_done(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_the_newest_in_order),
        cmocka_unit_test(no_memory_and_no_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
