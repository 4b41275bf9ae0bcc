// SPDX-License-Identifier: Apache-2.0
/* Pages of the status API in, one object out. */
#include "unit.h"

#include "top_lab.h"

static void a_page_tells_where_the_next_begins(void **state) {
    struct top_snapshot s;
    struct err e;
    size_t next = 0;
    top_snapshot_init(&s);
    assert_int_equal(
        top_json_take(&s, TOP_LIST_GPUS, STR("{\"items\":[],\"total\":5,\"next\":3}"), &next, &e),
        0);
    assert_int_equal(next, 3);
    top_snapshot_done(&s);
}

static void what_is_no_list_of_a_scaler_is_told(void **state) {
    static const char *const pages[] = {"",
                                        "{",
                                        "[]",
                                        "{}",
                                        "{\"items\":3}",
                                        "{\"items\":[{}]}",
                                        "{\"items\":[7]}",
                                        "<html>",
                                        "{\"items\":[],\"items\":[]}"};
    for (int list = 0; list < TOP_LIST_MAX; list++)
        for (size_t i = 0; i < COUNT_OF(pages); i++) {
            struct top_snapshot s;
            struct err e = {0};
            size_t next;
            top_snapshot_init(&s);
            assert_int_equal(top_json_take(&s, (enum top_list)list, str_from(pages[i]), &next, &e),
                             ERR_PARSE);
            assert_non_null(strstr(e.msg, top_list_paths[list]));
            top_snapshot_done(&s);
        }
}

static void what_a_gpus_entry_does_not_say_is_unknown(void **state) {
    struct top_snapshot s;
    top_snapshot_init(&s);
    lab_take(&s, TOP_LIST_GPUS, "{\"uuid\":\"GPU-x\",\"values\":{\"utilization_pct\":\"7\"}}");
    const struct top_gpu *g = &s.gpus.items[0];
    assert_true(isnan(g->util_pct) && isnan(g->sm_pct) && isnan(g->age_s) && isnan(g->power_w));
    assert_true(!g->owners_known && g->index == -1);
    top_snapshot_done(&s);
}

static void the_object_has_null_for_what_is_not_known(void **state) {
    static const struct price_list none;
    struct top_snapshot s;
    CLEANUP_BUF struct buf b;
    lab_fill(&s);
    assert_int_equal(top_snapshot_finish(&s, NULL, 0, &none), 0);
    buf_init(&b, 1 << 20);
    assert_int_equal(top_json_write(&b, &s, "http://x", "2026-11-23T12:00:00.000Z"), 0);
    assert_int_equal(buf_add_byte(&b, '\0'), 0);
    assert_non_null(strstr(b.p, "\"sum\":{\"gpus\":6,\"held\":3,\"holder_unknown\":2,\"busy\":1,"
                                "\"idle\":1,\"free\":1,\"unknown\":3,\"usd_per_hour\":null,"
                                "\"unpriced\":6,\"idle_usd_per_hour\":null,\"idle_unpriced\":2}"));
    assert_non_null(strstr(b.p,
                           "{\"uuid\":\"GPU-e\",\"node\":\"n2\",\"index\":1,\"model\":\"NVIDIA "
                           "H100 80GB HBM3\",\"mig_profile\":null,\"state\":\"lost\",\"pods\":"
                           "null,\"holders\":null,\"utilization_pct\":null,"));
    assert_non_null(strstr(b.p, "\"pods\":[{\"namespace\":\"ml\",\"pod\":\"llm-0\"},"));
    assert_non_null(strstr(b.p, "\"requests_per_s\":7.25,\"requests_partial\":false,\"running\":12,"
                                "\"running_partial\":true,\"queue\":null,"));
    top_snapshot_done(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_tells_where_the_next_begins),
        cmocka_unit_test(what_is_no_list_of_a_scaler_is_told),
        cmocka_unit_test(what_a_gpus_entry_does_not_say_is_unknown),
        cmocka_unit_test(the_object_has_null_for_what_is_not_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
