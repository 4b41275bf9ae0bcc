// SPDX-License-Identifier: Apache-2.0
/* Charts: where points go, which ticks stand, what is escaped, and that nothing odd breaks them. */
#include "unit.h"

#include <math.h>

#include "base/err.h"
#include "base/mem.h"
#include "report/svg.h"

static char text[1 << 20];

static const char *draw(const struct svg_chart *c) {
    struct buf b;
    buf_init(&b, sizeof(text) - 1);
    assert_int_equal(svg_write(&b, c), 0);
    memcpy(text, b.p, b.len);
    text[b.len] = '\0';
    buf_done(&b);
    assert_null(strstr(text, "nan"));
    assert_null(strstr(text, "inf"));
    return text;
}

static void assert_has(const char *svg, const char *part) {
    if (!strstr(svg, part))
        fail_msg("%s lacks %s", svg, part);
}

static unsigned count(const char *svg, const char *part) {
    unsigned n = 0;
    for (const char *p = svg; (p = strstr(p, part)) != NULL; p++)
        n++;
    return n;
}

static struct svg_chart chart_of(const struct svg_series *s, size_t n) {
    return (struct svg_chart){
        .title = "T", .description = "D", .x_label = "x", .y_label = "y", .series = s, .n = n};
}

static void points_lie_between_the_axes_and_the_largest_at_its_tick(void **state) {
    static const struct svg_point points[] = {{0, 0}, {50, 50}, {100, 100}};
    struct svg_series s = {.name = "a", .color = 1, .points = points, .n = 3};
    struct svg_chart c = chart_of(&s, 1);
    const char *svg = draw(&c);
    // The plot spans 58..534 and 256..44.
    assert_has(svg, "d=\"M58.0 256.0L296.0 150.0L534.0 44.0\"");
    static const char *const labels[] = {">0<", ">20<", ">40<", ">60<", ">80<", ">100<"};
    for (size_t i = 0; i < COUNT_OF(labels); i++)
        if (count(svg, labels[i]) != 2)
            fail_msg("%u of %s", count(svg, labels[i]), labels[i]);
}

static void a_gap_breaks_the_line_and_a_lone_point_is_a_dot(void **state) {
    static const struct svg_point points[] = {{0, 1}, {1, 2}, {2, NAN}, {3, 4}, {4, NAN}};
    struct svg_series s = {.name = "a", .color = 2, .points = points, .n = 5};
    struct svg_chart c = chart_of(&s, 1);
    c.x_max = 4;
    const char *svg = draw(&c), *path = strstr(svg, "d=\"");
    assert_non_null(path);
    char line[256] = "";
    (void)snprintf(line, sizeof(line), "%.*s", (int)strcspn(path + 3, "\""), path + 3);
    assert_int_equal(count(line, "M"), 2);
    assert_int_equal(count(line, "L"), 2); // one to the second point, one of no length
    assert_has(line, "M415.0 44.0L415.0 44.0");
}

static void a_stepped_line_goes_level_first(void **state) {
    static const struct svg_point points[] = {{0, 0}, {10, 10}};
    struct svg_series s = {.name = "a", .color = 1, .stepped = true, .points = points, .n = 2};
    struct svg_chart c = chart_of(&s, 1);
    assert_has(draw(&c), "d=\"M58.0 256.0L534.0 256.0L534.0 44.0\"");
}

static void a_logarithmic_axis_has_decades_and_leaves_zero_out(void **state) {
    static const struct svg_point points[] = {{0, 0}, {1, 1}, {2, 100000}};
    struct svg_series s = {.name = "a", .color = 1, .points = points, .n = 3};
    struct svg_chart c = chart_of(&s, 1);
    c.y_scale = SVG_LOG;
    const char *svg = draw(&c);
    assert_has(svg, "d=\"M296.0 256.0L534.0 44.0\"");
    assert_has(svg, ">10<");
    assert_has(svg, ">100000<");
}

static void nines_are_evenly_apart(void **state) {
    static const struct svg_point points[] = {{0, 1}, {0.9, 2}, {0.99, 3}, {0.999, 4}};
    struct svg_series s = {.name = "a", .color = 1, .points = points, .n = 4};
    struct svg_chart c = chart_of(&s, 1);
    c.x_scale = SVG_NINES;
    const char *svg = draw(&c);
    assert_has(svg, "M58.0 ");
    assert_has(svg, "L216.7 ");
    assert_has(svg, "L375.3 ");
    assert_has(svg, "L534.0 ");
    assert_has(svg, ">50<");
    assert_has(svg, ">99.9<");
}

static void text_is_escaped(void **state) {
    static const struct svg_point points[] = {{0, 1}};
    struct svg_series s = {.name = "<a&\"b>", .color = 1, .points = points, .n = 1};
    struct svg_chart c = chart_of(&s, 1);
    c.title = "x\"><script>";
    const char *svg = draw(&c);
    assert_has(svg, "&lt;a&amp;&quot;b&gt;");
    assert_has(svg, "aria-label=\"x&quot;&gt;&lt;script&gt;\"");
    assert_null(strstr(svg, "<script>"));
}

static void odd_data_still_make_a_chart(void **state) {
    static const struct svg_point odd[] = {{NAN, 1}, {0, INFINITY},   {1, -INFINITY},
                                           {2, -5},  {3, 1e300},      {4, 1e-300},
                                           {5, 0},   {0.999999999, 7}};
    static const struct svg_point same[] = {{7, 3}, {7, 3}};
    for (int scale = SVG_LINEAR; scale <= SVG_NINES; scale++) {
        struct svg_series s[] = {{.name = "a", .color = 1, .points = odd, .n = COUNT_OF(odd)},
                                 {.name = "b", .color = 2, .points = same, .n = 2},
                                 {.name = "c", .color = 3}};
        struct svg_chart c = chart_of(s, 3);
        c.x_scale = (enum svg_scale)scale;
        c.y_scale = scale == SVG_LOG ? SVG_LOG : SVG_LINEAR;
        assert_has(draw(&c), "</svg>");
        c.series = s + 1;
        c.n = 1;
        assert_has(draw(&c), "</svg>");
        c.series = s + 2;
        assert_has(draw(&c), "nothing was measured");
    }
}

static void a_full_buffer_is_told(void **state) {
    static const struct svg_point points[] = {{0, 1}, {1, 2}};
    struct svg_series s = {.name = "a", .color = 1, .points = points, .n = 2};
    struct svg_chart c = chart_of(&s, 1);
    struct buf b;
    buf_init(&b, 200);
    assert_int_equal(svg_write(&b, &c), ERR_LIMIT);
    buf_done(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(points_lie_between_the_axes_and_the_largest_at_its_tick),
        cmocka_unit_test(a_gap_breaks_the_line_and_a_lone_point_is_a_dot),
        cmocka_unit_test(a_stepped_line_goes_level_first),
        cmocka_unit_test(a_logarithmic_axis_has_decades_and_leaves_zero_out),
        cmocka_unit_test(nines_are_evenly_apart),
        cmocka_unit_test(text_is_escaped),
        cmocka_unit_test(odd_data_still_make_a_chart),
        cmocka_unit_test(a_full_buffer_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
