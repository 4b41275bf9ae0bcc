// SPDX-License-Identifier: Apache-2.0
/* Frames: at any size no line is too long and none too many; what matters stays in. */
#include "unit.h"

#include "top_lab.h"
#include "base/utf8.h"
#include "tools/top_text.h"
#include "tools/top_view.h"

static const struct price_list h100 = {.items = {{"H100", 7}}, .n = 1};

static struct top_screen screen_of(unsigned width, unsigned height) {
    return (struct top_screen){.width = width,
                               .height = height,
                               .utf8 = true,
                               .choice = {.filter = ""},
                               .server = "http://x",
                               .when = "12:00:00Z",
                               .age_s = 0};
}

// The frame with NUL, in `b`.
static const char *frame(struct buf *b, const struct top_snapshot *s, struct top_screen *screen) {
    size_t page;
    buf_clear(b);
    assert_int_equal(top_frame(b, s, screen, &page), 0);
    assert_int_equal(buf_add_byte(b, '\0'), 0);
    unsigned lines = 0;
    for (struct str rest = {b->p, b->len - 1}; lines == 0 || rest.n > 0; lines++) {
        struct str line = str_cut(&rest, '\n');
        assert_true(utf8_valid(line.p, line.n));
        if (!screen->color && top_text_width(line, true) > screen->width)
            fail_msg("%u columns: \"" STR_FMT "\"", screen->width, STR_ARG(line));
    }
    if (lines > screen->height)
        fail_msg("%u lines in %u", lines, screen->height);
    return b->p;
}

static void has(const char *text, const char *part) {
    if (strstr(text, part) == NULL)
        fail_msg("lacks \"%s\":\n%s", part, text);
}

static void every_size_is_kept_and_the_state_stays_in_sight(void **state) {
    static const unsigned widths[] = {1, 7, 20, 40, 60, 80, 120, 200, 1000};
    struct top_snapshot s;
    CLEANUP_BUF struct buf b;
    buf_init(&b, 1 << 20);
    lab_fill(&s);
    assert_int_equal(top_snapshot_finish(&s, NULL, 0, &h100), 0);
    for (size_t i = 0; i < COUNT_OF(widths); i++)
        for (unsigned height = 1; height < 30; height++)
            for (int view = 0; view < 2; view++) {
                struct top_screen screen = screen_of(widths[i], height);
                screen.choice.view = (enum top_view_kind)view;
                const char *text = frame(&b, &s, &screen);
                if (widths[i] >= 60 && height >= 12 && view == TOP_GPUS) {
                    has(text, "STATE");
                    has(text, " busy ");
                    has(text, " free ");
                    has(text, " 7.00");
                }
                if (widths[i] >= 60 && height >= 12 && view == TOP_WORKLOADS) {
                    has(text, "ml/llm");
                    has(text, "2+1/3");
                }
                screen.help = true;
                (void)frame(&b, &s, &screen);
            }
    top_snapshot_done(&s);
}

static void a_line_of_each_kind_reads_as_it_should(void **state) {
    struct top_snapshot s;
    CLEANUP_BUF struct buf b;
    buf_init(&b, 1 << 20);
    lab_fill(&s);
    assert_int_equal(top_snapshot_finish(&s, NULL, 0, &h100), 0);
    struct top_screen screen = screen_of(120, 24);
    const char *text = frame(&b, &s, &screen);
    has(text,
        "6 GPUs: 1 busy, 2 idle (1 free) for $14.00/h, 3 unknown; 3 held (2?); all $42.00/h\n");
    has(text, "n1     0 H100 80GB HBM3 ml/llm-0     80%    ? 65/80G  500W 0.5s busy     -  7.00\n");
    has(text, "n1     2 H100 80GB HBM3 -             0%   0%  ?/80G     ? 0.5s free   now  7.00\n");
    has(text, "+1 ml/llm-0");
    has(text, "n2     1 H100 80GB HBM3 ?              ?    ?   ?/?G     ?  99s lost     -  7.00\n");
    screen.choice.view = TOP_WORKLOADS;
    text = frame(&b, &s, &screen);
    has(text, "ml/llm               2+1/3    4 raise         7.2  12+     ?  40%   3+   1+ 17.50+  "
              " 7.00+\n");
    has(text, "ml/statefulset/quiet   1/?    - -");
    has(text, "no workload");
    top_snapshot_done(&s);
}

static void without_data_or_colour_or_utf8_it_still_tells(void **state) {
    struct top_snapshot s;
    CLEANUP_BUF struct buf b;
    buf_init(&b, 1 << 20);
    top_snapshot_init(&s);
    struct top_screen screen = screen_of(80, 10);
    screen.age_s = NAN;
    has(frame(&b, &s, &screen), "asking");
    screen.trouble = "connect: refused";
    has(frame(&b, &s, &screen), "connect: refused");
    screen.age_s = 12;
    has(frame(&b, &s, &screen), "data 12 s old: connect: refused");
    screen.trouble = NULL;
    has(frame(&b, &s, &screen), "0 GPUs: 0 busy, 0 idle; 0 held\n");
    top_snapshot_done(&s);

    lab_fill(&s);
    assert_int_equal(top_snapshot_finish(&s, NULL, 0, &h100), 0);
    screen = screen_of(60, 24);
    screen.utf8 = false;
    for (const char *p = frame(&b, &s, &screen); *p != '\0'; p++)
        assert_true((unsigned char)*p < 0x80 && *p != '\033');
    screen.color = true;
    has(frame(&b, &s, &screen), "\033[33m"); // idle
    top_snapshot_done(&s);
}

static void ten_thousand_rows_are_scrolled_through(void **state) {
    struct top_snapshot s;
    CLEANUP_BUF struct buf b;
    struct top_gpu g = {.node = "n", .model = "NVIDIA L4", .mig = "", .owners_known = true};
    static char uuids[10000][16];
    buf_init(&b, 1 << 20);
    top_snapshot_init(&s);
    for (int i = 0; i < 10000; i++) {
        snprintf(uuids[i], sizeof(uuids[i]), "GPU-%05d", i);
        g.uuid = uuids[i];
        g.index = i;
        assert_int_equal(vec_push(&s.gpus, g), 0);
    }
    assert_int_equal(top_snapshot_finish(&s, NULL, 0, &h100), 0);
    struct top_screen screen = screen_of(80, 24);
    has(frame(&b, &s, &screen), "1-20 of 10000");
    screen.scroll = SIZE_MAX / 2;
    const char *text = frame(&b, &s, &screen);
    has(text, "9981-10000 of 10000");
    has(text, " 9999 L4");
    assert_int_equal(screen.scroll, 9980);
    screen.choice.filter = "none such";
    has(frame(&b, &s, &screen), "none of 10000 fits the filter");
    top_snapshot_done(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_is_kept_and_the_state_stays_in_sight),
        cmocka_unit_test(a_line_of_each_kind_reads_as_it_should),
        cmocka_unit_test(without_data_or_colour_or_utf8_it_still_tells),
        cmocka_unit_test(ten_thousand_rows_are_scrolled_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
