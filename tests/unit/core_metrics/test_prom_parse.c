// SPDX-License-Identifier: Apache-2.0
/* Prometheus text: the traps seen in the wild, the faults with their places, every split. */
#include "prom_dump.h"

#include "base/limits.h"
#include "base/mem.h"

struct page_case {
    const char *fact;
    const char *page;
    const char *want; // the dump; NULL: `error` is what is said
    const char *error;
};

// What servers and exporters write (reference: the traps found in real pages).
static const struct page_case good[] = {
    {"metric names contain colons", "vllm:num_requests_waiting 12.0\n",
     "untyped vllm:num_requests_waiting 12\n", NULL},
    {"Ray turns the colon into an underscore and prefixes", "ray_vllm_num_requests_waiting 1\n",
     "untyped ray_vllm_num_requests_waiting 1\n", NULL},
    {"labels come in any order, le in the middle or last",
     "# TYPE h histogram\nh_bucket{a=\"x\",le=\"0.3\",z=\"y\"} "
     "1\nh_bucket{a=\"x\",z=\"y\",le=\"+Inf\"} 2\n",
     "histogram h_bucket[a=x][le=0.3][z=y] 1\nhistogram h_bucket[a=x][z=y][le=+Inf] 2\n", NULL},
    {"Java's simpleclient leaves a comma after the last label",
     "Requests5XX{Level=\"Host\",Hostname=\"x\",} 0.0\n",
     "untyped Requests5XX[Level=Host][Hostname=x] 0\n", NULL},
    {"a name that begins with another is another metric",
     "# TYPE vllm:num_requests_waiting gauge\nvllm:num_requests_waiting 3\n"
     "vllm:num_requests_waiting_by_reason{reason=\"capacity\"} 3\n",
     "gauge vllm:num_requests_waiting 3\nuntyped "
     "vllm:num_requests_waiting_by_reason[reason=capacity] 3\n",
     NULL},
    {"_created is a gauge of its own, not part of the counter",
     "# TYPE c_total counter\nc_total 5\n# TYPE c_created gauge\nc_created "
     "1.7682643398898673e+09\n",
     "counter c_total 5\ngauge c_created 1768264339.8898673\n", NULL},
    {"vllm:iteration_tokens_total is a histogram",
     "# TYPE vllm:iteration_tokens_total histogram\nvllm:iteration_tokens_total_sum 7\n"
     "vllm:iteration_tokens_total_bucket{le=\"1.0\"} 1\nvllm:iteration_tokens_total_count 1\n",
     "histogram vllm:iteration_tokens_total_sum 7\n"
     "histogram vllm:iteration_tokens_total_bucket[le=1.0] 1\n"
     "histogram vllm:iteration_tokens_total_count 1\n",
     NULL},
    {"Envoy writes no HELP and a blank line between families",
     "# TYPE a counter\na{} 0\n\n# TYPE b gauge\nb{} 1\n\n", "counter a 0\ngauge b 1\n", NULL},
    {"Triton writes _count and _sum before the buckets",
     "# TYPE t histogram\nt_count{m=\"1\"} 3\nt_sum{m=\"1\"} 9\nt_bucket{m=\"1\",le=\"100\"} 3\n",
     "histogram t_count[m=1] 3\nhistogram t_sum[m=1] 9\nhistogram t_bucket[m=1][le=100] 3\n", NULL},
    {"a summary has quantiles, _sum and _count, but no _bucket",
     "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 2\ns_count 3\ns_bucket{le=\"1\"} 4\n",
     "summary s[quantile=0.5] 1\nsummary s_sum 2\nsummary s_count 3\nuntyped s_bucket[le=1] 4\n",
     NULL},
    {"a wrong TYPE is passed on, not judged: an average typed as counter",
     "# TYPE llamacpp:n_busy_slots_per_decode counter\nllamacpp:n_busy_slots_per_decode 1.5\n",
     "counter llamacpp:n_busy_slots_per_decode 1.5\n", NULL},
    {"NaN, nan, infinities, exponents of any form",
     "a NaN\nb nan\nc +Inf\nd -Inf\ne 1.7682643398898673e+09\nf 5.32e+011\ng inf\n",
     "untyped a nan\nuntyped b nan\nuntyped c inf\nuntyped d -inf\nuntyped e 1768264339.8898673\n"
     "untyped f 532000000000\nuntyped g inf\n",
     NULL},
    {"a timestamp in milliseconds follows the value",
     "sglang:num_queue_reqs{a=\"b\"} 7.0 1736937600000\n",
     "untyped sglang:num_queue_reqs[a=b] 7 @1736937600000\n", NULL},
    {"one rank a series", "q{engine=\"0\"} 1\nq{engine=\"1\"} 2\n",
     "untyped q[engine=0] 1\nuntyped q[engine=1] 2\n", NULL},
    {"a declared family without samples is nothing", "# HELP x y\n# TYPE x gauge\n", "", NULL},
    {"an empty page has no samples", "", "", NULL},
    {"escapes of label values", "m{a=\"q\\\"\",b=\"s\\\\\",c=\"n\\n\",d=\"\\\\n\"} 1\n",
     "untyped m[a=q\"][b=s\\][c=n\n][d=\\n] 1\n", NULL},
    {"label values are UTF-8", "m{a=\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"} 1\n",
     "untyped m[a=\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80] 1\n", NULL},
    {"commas, braces and '#' in a label value are text", "lora{running=\"a,b\",x=\"{#}\"} 1\n",
     "untyped lora[running=a,b][x={#}] 1\n", NULL},
    {"blanks and tabs stand between tokens", " m { a = \"b\" , c\t=\t\"d\" }\t 1 \t 5 \n",
     "untyped m[a=b][c=d] 1 @5\n", NULL},
    {"no blank is needed after a brace", "m{a=\"b\"}1\n", "untyped m[a=b] 1\n", NULL},
    {"remarks, # EOF, # UNIT and odd comments are no samples",
     "# just a remark\n#\n#HELP x\n# UNIT m seconds\n# TYPEs differ\n# HELPx\nm 1\n# EOF\n",
     "untyped m 1\n", NULL},
    {"HELP may have no text, or any", "# HELP m\n# HELP m a \\\\ \\n { \" \xc3\xa9\nm 1\n",
     "untyped m 1\n", NULL},
    {"blanks in a comment's head", "#\t HELP \t m x\n#  TYPE  m gauge\nm 1\n", "gauge m 1\n", NULL},
    {"a type lasts to the next TYPE line only", "# TYPE a gauge\na 1\n# TYPE b counter\na 2\nb 3\n",
     "gauge a 1\nuntyped a 2\ncounter b 3\n", NULL},
    {"a TYPE line for the same name counts from there on", "m 1\n# TYPE m gauge\nm 2\n",
     "untyped m 1\ngauge m 2\n", NULL},
    {"OpenMetrics names the counter's family without _total", "# TYPE c counter\nc_total 1\n",
     "counter c_total 1\n", NULL},
    {"OpenMetrics' exemplars are checked and dropped",
     "# TYPE h histogram\nh_bucket{le=\"1\",a=\"b\"} 7 # {trace_id=\"a\\\"b\"} 0.67 "
     "1600000000.5\nh_count 8 9 # {} 1\n",
     "histogram h_bucket[le=1][a=b] 7\nhistogram h_count 8 @9\n", NULL},
    {"an exemplar's labels are not the next line's",
     "m{a=\"1\",b=\"2\"} 1 # {a=\"9\"} 1\nm{a=\"1\",b=\"2\"} 2 # {a=\"9\"} 1\nm{a=\"9\"} 3\n"
     "# a comment that is long enough to be read past\n",
     "untyped m[a=1][b=2] 1\nuntyped m[a=1][b=2] 2\nuntyped m[a=9] 3\n", NULL},
    {"names in quotes stand inside the braces",
     "# TYPE \"my.metric\" gauge\n{\"my.metric\",\"a.b\"=\"c\",d=\"e\"} 1\n{\"x\"} 2\n",
     "gauge my.metric[a.b=c][d=e] 1\nuntyped x 2\n", NULL},
    {"a line like the one before, but for a label more, less, or other",
     "abcdefghijklmnop{a=\"1\",b=\"2\"} 1\nabcdefghijklmnop{a=\"1\"} 2\n"
     "abcdefghijklmnop{a=\"1\",b=\"2\",c=\"3\"} 3\nabcdefghijklmnop{b=\"2\"} 4\n"
     "abcdefghijklmnop{a=\"1\",b=\"23\"} 5\nabcdefghijklmnop{a=\"1\",bb=\"2\"} 6\n"
     "abcdefghijklmnop 7\nabcdefghijklmnopq{a=\"1\"} 8\nabcdefghijklmno{a=\"1\"} 9\n"
     "abcdefghijklmno{a=\"1\"}\t10\n# a comment that is long enough to be read past\n",
     "untyped abcdefghijklmnop[a=1][b=2] 1\nuntyped abcdefghijklmnop[a=1] 2\n"
     "untyped abcdefghijklmnop[a=1][b=2][c=3] 3\nuntyped abcdefghijklmnop[b=2] 4\n"
     "untyped abcdefghijklmnop[a=1][b=23] 5\nuntyped abcdefghijklmnop[a=1][bb=2] 6\n"
     "untyped abcdefghijklmnop 7\nuntyped abcdefghijklmnopq[a=1] 8\n"
     "untyped abcdefghijklmno[a=1] 9\nuntyped abcdefghijklmno[a=1] 10\n",
     NULL},
    {"escapes, quoted names and blanks in the line before",
     "m{a=\"x\\n\",\"b.c\"=\"d\",e = \"f\"} 1\nm{a=\"x\\n\",\"b.c\"=\"d\",e = \"f\"} 2\n"
     "{\"n.o\",a=\"x\"} 3\nn{a=\"x\"} 4\n# a comment that is long enough to be read past\n",
     "untyped m[a=x\n][b.c=d][e=f] 1\nuntyped m[a=x\n][b.c=d][e=f] 2\nuntyped n.o[a=x] 3\n"
     "untyped n[a=x] 4\n",
     NULL},
    {"a colon alone is a metric name", ": 1\n:a: 2\n", "untyped : 1\nuntyped :a: 2\n", NULL},
    {"numbers as Go reads them", "a 1.\nb .5\nc +3\nd -0\ne 1E3\nf 00012\n",
     "untyped a 1\nuntyped b 0.5\nuntyped c 3\nuntyped d -0\nuntyped e 1000\nuntyped f 12\n", NULL},
};

static const struct page_case bad[] = {
    {"a digit begins no name", "m 1\n9m 1\n", NULL,
     "line 2, column 1: expected a metric name, got '9'"},
    {"a value is needed", "m\n", NULL,
     "line 1, column 2: expected a number, got the end of the line"},
    {"a value is needed after labels", "m{a=\"b\"} \n", NULL,
     "line 1, column 10: expected a number, got the end of the line"},
    {"a word is no number", "m{a=\"b\"} x\n", NULL,
     "line 1, column 10: expected a number, got 'x'"},
    {"a number ends with a blank", "m 12a\n", NULL,
     "line 1, column 5: expected a blank or the end of the line after the number, got 'a'"},
    {"hex, underscores and lone signs are no numbers", "m 0x10\n", NULL,
     "line 1, column 4: expected a blank or the end of the line after the number, got 'x'"},
    {"an exponent has digits", "m 1e+\n", NULL, "line 1, column 3: expected a number, got '1'"},
    {"more than a double holds", "m 1e999\n", NULL, "line 1, column 3: expected a number, got '1'"},
    {"a signed NaN is none", "m +NaN\n", NULL, "line 1, column 3: expected a number, got '+'"},
    {"timestamps are whole milliseconds", "m 1 1.5\n", NULL,
     "line 1, column 5: expected a timestamp in whole milliseconds since 1970, got '1'"},
    {"timestamps are not negative", "m 1 -5\n", NULL,
     "line 1, column 5: expected the end of the line, got '-'"},
    {"timestamps fit 64 bits", "m 1 9223372036854775808\n", NULL,
     "line 1, column 5: expected a timestamp in milliseconds since 1970 that fits 64 bits, got "
     "'9'"},
    {"nothing follows the timestamp", "m 1 5 6\n", NULL,
     "line 1, column 7: expected the end of the line, got '6'"},
    {"a label has a value", "m{a} 1\n", NULL,
     "line 1, column 4: expected '=' after the label name, got '}'"},
    {"a label value is quoted", "m{a=b} 1\n", NULL,
     "line 1, column 5: expected '\"' before the label value, got 'b'"},
    {"a label value is closed on its line", "m{a=\"b} 1\nn 1\n", NULL,
     "line 1, column 10: expected '\"' at the end of the quoted text, got the end of the line"},
    {"an escape is n, quote or backslash", "m{a=\"\\t\"} 1\n", NULL,
     "line 1, column 7: expected n, '\"' or '\\' after '\\', got 't'"},
    {"a backslash does not hide the newline", "m{a=\"\\\n\"} 1\n", NULL,
     "line 1, column 7: expected n, '\"' or '\\' after '\\', got the end of the line"},
    {"labels are separated by commas", "m{a=\"b\" c=\"d\"} 1\n", NULL,
     "line 1, column 9: expected ',' or '}', got 'c'"},
    {"a comma follows a label", "m{,} 1\n", NULL,
     "line 1, column 3: expected a label name or '}', got ','"},
    {"one comma", "m{a=\"b\",,} 1\n", NULL,
     "line 1, column 9: expected a label name or '}', got ','"},
    {"braces are closed", "m{a=\"b\"\n", NULL,
     "line 1, column 8: expected ',' or '}', got the end of the line"},
    {"a label name has no colon", "m{a:b=\"c\"} 1\n", NULL,
     "line 1, column 4: expected '=' after the label name, got ':'"},
    {"a label name is not a digit's", "m{1=\"c\"} 1\n", NULL,
     "line 1, column 3: expected a label name or '}', got '1'"},
    {"a label stands once", "m{a=\"1\",b=\"2\",a=\"1\"} 1\n", NULL,
     "line 1, column 15: expected a label name that is not in the series already, got 'a'"},
    {"__name__ is the metric's own", "m{__name__=\"x\"} 1\n", NULL,
     "line 1, column 3: expected a label name that is neither empty nor __name__, got '_'"},
    {"a second name in the braces", "m{\"x\"} 1\n", NULL,
     "line 1, column 3: expected '=' after the label name (the metric name stands already), got "
     "'\"'"},
    {"braces without a name", "{a=\"b\"} 1\n", NULL,
     "line 1, column 1: expected a metric name before or in the braces, got '{'"},
    {"an empty quoted name", "{\"\"} 1\n", NULL,
     "line 1, column 2: expected a metric name that is not empty, got '\"'"},
    {"a second pair of braces", "m{a=\"b\"}{c=\"d\"} 1\n", NULL,
     "line 1, column 9: expected a number, got '{'"},
    {"a dot ends a name", "m.n 1\n", NULL,
     "line 1, column 2: expected '{' or a blank after the metric name, got '.'"},
    {"an unknown type", "# TYPE m guage\n", NULL,
     "line 1, column 10: expected counter, gauge, histogram, summary or untyped, got 'g'"},
    {"a type with a blank behind it", "# TYPE m gauge \n", NULL,
     "line 1, column 10: expected counter, gauge, histogram, summary or untyped, got 'g'"},
    {"TYPE without a type", "# TYPE m\n", NULL,
     "line 1, column 9: expected a blank after the metric name, got the end of the line"},
    {"TYPE without a name", "# TYPE \n", NULL,
     "line 1, column 8: expected a metric name, got the end of the line"},
    {"HELP of a bad name", "m 1\n# HELP a-b c\n", NULL,
     "line 2, column 9: expected a blank after the metric name, got '-'"},
    {"carriage returns", "m 1\r\n", NULL,
     "line 1, column 4: expected a blank or the end of the line after the number, got a carriage "
     "return"},
    {"an exemplar without braces", "m 1 # x\n", NULL,
     "line 1, column 7: expected '{' of an exemplar, got 'x'"},
    {"an exemplar without value", "m 1 # {a=\"b\"}\n", NULL,
     "line 1, column 14: expected the exemplar's value, got the end of the line"},
    {"a label twice, each as in the line before",
     "m{a=\"1\",b=\"2\"} 1\nm{a=\"1\",a=\"1\"} 1\n# a comment that is long enough to be read "
     "past\n",
     NULL, "line 2, column 9: expected a label name that is not in the series already, got 'a'"},
    {"a quoted name of the line before is no plain name",
     "{\"n.o\"} 1\nn.o 2\n# a comment that is long enough to be read past\n", NULL,
     "line 2, column 2: expected '{' or a blank after the metric name, got '.'"},
    {"HTML", "<!DOCTYPE html>\n<html>\n", NULL,
     "line 1: this is HTML or XML, not metrics: wrong port or path, or a proxy's error page"},
    {"JSON, a list", "[]\n", NULL,
     "line 1: this is JSON, not metrics: wrong path (trtllm-serve has its metrics at "
     "/prometheus/metrics)"},
    {"JSON, an object", "{\"models\":[{\"name\":\"x\"}]}\n", NULL,
     "line 1: this is JSON, not metrics: wrong path (trtllm-serve has its metrics at "
     "/prometheus/metrics)"},
    {"JSON, an object on many lines", "{\n  \"a\": 1\n}\n", NULL,
     "line 1: this is JSON, not metrics: wrong path (trtllm-serve has its metrics at "
     "/prometheus/metrics)"},
    {"llama.cpp b7010 quotes its whole page", "\"# HELP x y\\n# TYPE x counter\\nx 1\\n\"\n", NULL,
     "line 1: this is a JSON string: the server quoted its metrics page (llama.cpp b7010 to b7100 "
     "did): update the server"},
    {"plain words", "Not Found\n", NULL, "line 1, column 5: expected a number, got 'F'"},
};

static void check_page(const struct page_case *c, size_t cut, size_t step, struct dump *d) {
    size_t n = strlen(c->page);
    struct err e = {0};
    int r = dump_page(d, c->page, n, cut, step, false, &e);
    if (c->want) {
        if (r != 0 || strcmp(d->text, c->want) != 0)
            fail_msg("%s (cut %zu): %d %s\ngot:\n%swant:\n%s", c->fact, cut, r, e.msg, d->text,
                     c->want);
    } else if (r != ERR_PARSE || strcmp(e.msg, c->error) != 0) {
        fail_msg("%s (cut %zu): %d \"%s\"\nwant \"%s\"", c->fact, cut, r, e.msg, c->error);
    }
}

// Each page whole, cut in two at every byte, and byte by byte.
static void check_all_splits(const struct page_case *cases, size_t n_cases) {
    struct dump *d = calloc(1, sizeof(*d));
    for (size_t i = 0; i < n_cases; i++) {
        struct page_case c = cases[i];
        size_t n = strlen(c.page);
        char *copy = exact_copy(c.page, n + 1);
        c.page = copy;
        for (size_t cut = 0; cut <= n; cut++)
            check_page(&c, cut, n + 1, d);
        check_page(&c, 0, 1, d);
        check_page(&c, 0, 7, d);
        free(copy);
    }
    free(d);
}

static void test_traps_seen_in_the_wild_are_read(void **state) {
    check_all_splits(good, COUNT_OF(good));
}

static void test_faults_name_line_column_and_what_was_expected(void **state) {
    check_all_splits(bad, COUNT_OF(bad));
}

struct byte_case {
    const char *fact;
    const char *page;
    size_t n;
    enum prom_fault fault;
    const char *error;
};
#define BYTES(s) s, sizeof(s) - 1

static void test_bytes_that_are_no_text_are_told_apart(void **state) {
    static const struct byte_case cases[] = {
        {"NUL in a label value", BYTES("m 1\nm{a=\"x\0y\"} 1\n"), PROM_FAULT_SYNTAX,
         "line 2, column 7: expected text, got NUL"},
        {"NUL in a comment", BYTES("m 1\n# x\0\n"), PROM_FAULT_SYNTAX,
         "line 2, column 4: expected text, got NUL"},
        {"a lone continuation byte", BYTES("m 1\n\nm{a=\"\x80\"} 1\n"), PROM_FAULT_UTF8,
         "line 3, column 6: expected UTF-8, got byte 0x80"},
        {"an overlong form in HELP", BYTES("m 1\n# HELP m \xc0\xaf\n"), PROM_FAULT_UTF8,
         "line 2, column 10: expected UTF-8, got byte 0xc0"},
        {"a surrogate", BYTES("m 1\nm{a=\"\xed\xa0\x80\"} 1\n"), PROM_FAULT_UTF8,
         "line 2, column 6: expected UTF-8, got byte 0xed"},
        {"a character cut by the end of the line", BYTES("m 1\n# \xe2\x82\nm 2\n"), PROM_FAULT_UTF8,
         "line 2, column 3: expected UTF-8, got byte 0xe2"},
        {"gzip", BYTES("\x1f\x8b\x08\x00\x00\n"), PROM_FAULT_NOT_TEXT,
         "line 1, column 2: binary (byte 0x8b), not a text page: compressed, or another protocol"},
        {"a fault before the bad byte is told first", BYTES("m 1\n!\nm{a=\"\x80\"} 1\n"),
         PROM_FAULT_SYNTAX, "line 2, column 1: expected a metric name, got '!'"},
        {"the line that is read is not checked by its follower", BYTES("m 1\nm 2\n\xff\n"),
         PROM_FAULT_UTF8, "line 3, column 1: expected UTF-8, got byte 0xff"},
    };
    struct dump *d = calloc(1, sizeof(*d));
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct byte_case *c = &cases[i];
        for (size_t cut = 0; cut < c->n; cut++) {
            struct prom_parser p;
            struct err e = {0};
            d->n = d->samples = 0;
            prom_parser_init(&p, dump_sample, d);
            int r = prom_parser_feed(&p, c->page, cut, &e);
            if (r == 0)
                r = prom_parser_feed(&p, c->page + cut, c->n - cut, &e);
            if (r == 0)
                r = prom_parser_finish(&p, true, &e);
            if (r != ERR_PARSE || prom_parser_fault(&p) != c->fault || strcmp(e.msg, c->error) != 0)
                fail_msg("%s (cut %zu): %d %s \"%s\"", c->fact, cut, r,
                         prom_fault_name(prom_parser_fault(&p)), e.msg);
            prom_parser_done(&p);
        }
    }
    free(d);
}

static void test_a_page_cut_inside_a_line_is_refused_unless_the_transport_proves_its_end(void **s) {
    struct dump *d = calloc(1, sizeof(*d));
    struct err e = {0};
    // 123 cut to 12 would be a wrong number, not a missing one.
    const char page[] = "a 1\nvllm:num_requests_waiting 12";
    assert_int_equal(dump_page(d, page, sizeof(page) - 1, 0, 100, false, &e), ERR_PARSE);
    assert_string_equal(e.msg, "line 2: the page ends inside a line (no newline): it was cut");
    assert_int_equal(d->samples, 1);

    assert_int_equal(dump_page(d, page, sizeof(page) - 1, 0, 3, true, &e), 0);
    assert_string_equal(d->text, "untyped a 1\nuntyped vllm:num_requests_waiting 12\n");

    // Complete is not well-formed.
    const char open[] = "a 1\nb{x=\"";
    assert_int_equal(dump_page(d, open, sizeof(open) - 1, 0, 100, true, &e), ERR_PARSE);
    assert_string_equal(e.msg, "line 2, column 6: expected '\"' at the end of the quoted text, got "
                               "the end of the line");
    free(d);
}

static void test_a_failure_sticks_until_reset(void **state) {
    struct dump *d = calloc(1, sizeof(*d));
    struct prom_parser p;
    struct err e = {0}, again = {0};
    prom_parser_init(&p, dump_sample, d);
    assert_int_equal(prom_parser_feed(&p, "a 1\n?\n", 6, &e), ERR_PARSE);
    assert_int_equal(prom_parser_feed(&p, "b 1\n", 4, &again), ERR_PARSE);
    assert_string_equal(e.msg, again.msg);
    assert_int_equal(prom_parser_finish(&p, true, NULL), ERR_PARSE);
    assert_int_equal(d->samples, 1);
    prom_parser_reset(&p);
    assert_int_equal(prom_parser_fault(&p), PROM_FAULT_NONE);
    assert_int_equal(prom_parser_feed(&p, "b 1\n", 4, &e), 0);
    assert_int_equal(prom_parser_finish(&p, false, &e), 0);
    assert_int_equal(d->samples, 2);
    prom_parser_done(&p);
    free(d);
}

static void test_reset_forgets_an_unfinished_line_and_the_family(void **state) {
    struct dump *d = calloc(1, sizeof(*d));
    struct prom_parser p;
    prom_parser_init(&p, dump_sample, d);
    assert_int_equal(prom_parser_feed(&p, "# TYPE a gauge\na 1", 18, NULL), 0);
    prom_parser_reset(&p);
    assert_int_equal(prom_parser_feed(&p, "a 2\n", 4, NULL), 0);
    assert_int_equal(prom_parser_finish(&p, false, NULL), 0);
    assert_string_equal(d->text, "untyped a 2\n");
    prom_parser_done(&p);
    free(d);
}

struct selection {
    int n;
    int selected[8];
    double values[8];
};

static int note_selected(void *ctx, const struct prom_sample *s, struct err *e) {
    struct selection *got = ctx;
    (void)e;
    assert_in_range(got->n, 0, 7);
    got->selected[got->n] = s->selected;
    got->values[got->n++] = s->value;
    return 0;
}

static void test_a_selection_hears_only_its_exact_names_and_checks_the_rest(void **state) {
    static const struct str names[] = {{"b", 1}, {"vllm:num_requests_waiting", 25}};
    static const char page[] = "a 1\nvllm:num_requests_waiting 2\n"
                               "vllm:num_requests_waiting_by_reason{reason=\"x\"} 3\nb{x=\"1\"} 4\n"
                               "b{x=\"2\"} 5\nc 6\n";
    struct selection got = {0};
    struct prom_parser p;
    struct err e = {0};
    prom_parser_init(&p, note_selected, &got);
    prom_parser_select(&p, names, 2);
    assert_int_equal(prom_parser_feed(&p, page, strlen(page), &e), 0);
    assert_int_equal(got.n, 3);
    assert_int_equal(got.selected[0], 1);
    assert_true(got.values[0] == 2);
    assert_int_equal(got.selected[1], 0);
    assert_int_equal(got.selected[2], 0);
    assert_true(got.values[2] == 5);
    assert_int_equal(p.samples, 6);
    assert_int_equal(prom_parser_feed(&p, "other{a=b} 1\n", 13, &e), ERR_PARSE);
    assert_string_equal(e.msg, "line 7, column 9: expected '\"' before the label value, got 'b'");

    prom_parser_reset(&p); // keeps the selection
    got.n = 0;
    assert_int_equal(prom_parser_feed(&p, "a 1\nb 2\n", 8, &e), 0);
    assert_int_equal(got.n, 1);
    prom_parser_reset(&p);
    prom_parser_select(&p, NULL, 0);
    got.n = 0;
    assert_int_equal(prom_parser_feed(&p, "a 1\nb 2\n", 8, &e), 0);
    assert_int_equal(got.n, 2);
    assert_int_equal(got.selected[0], -1);
    prom_parser_done(&p);
}

static int refuse_third(void *ctx, const struct prom_sample *s, struct err *e) {
    (void)ctx;
    return s->line == 3 ? err_set(e, ERR_EXISTS, "enough") : 0;
}

static void test_the_callback_can_end_the_page(void **state) {
    struct prom_parser p;
    struct err e = {0};
    prom_parser_init(&p, refuse_third, NULL);
    assert_int_equal(prom_parser_feed(&p, "a 1\nb 2\nc 3\nd 4\n", 16, &e), ERR_EXISTS);
    assert_string_equal(e.msg, "line 3: enough");
    assert_int_equal(prom_parser_fault(&p), PROM_FAULT_CALLBACK);
    prom_parser_done(&p);
}

// --- limits -----------------------------------------------------------------------------------

static int ignore_sample(void *ctx, const struct prom_sample *s, struct err *e) {
    (void)ctx, (void)s, (void)e;
    return 0;
}

// Feeds `times` times `piece`; the parser's code.
static int feed_many(struct prom_parser *p, const char *piece, size_t times, struct err *e) {
    size_t n = strlen(piece);
    int r = 0;
    for (size_t i = 0; i < times && r == 0; i++)
        r = prom_parser_feed(p, piece, n, e);
    return r;
}

static void test_a_line_ends_at_its_limit_in_one_piece_and_in_many(void **state) {
    size_t n = LIMIT_METRICS_LINE_BYTES;
    char *line = malloc(n + 2);
    memset(line, 'x', n + 1);
    memcpy(line, "# ", 2);
    line[n - 1] = '\n'; // exactly the limit, newline counted
    for (int in_pieces = 0; in_pieces < 2; in_pieces++) {
        struct prom_parser p;
        struct err e = {0};
        prom_parser_init(&p, ignore_sample, NULL);
        size_t step = in_pieces ? 4096 : n;
        int r = 0;
        for (size_t i = 0; i < n && r == 0; i += step)
            r = prom_parser_feed(&p, line + i, n - i < step ? n - i : step, &e);
        assert_int_equal(r, 0);
        assert_int_equal(p.lines, 1);
        prom_parser_done(&p);
    }
    line[n - 1] = 'x';
    line[n] = '\n'; // one byte more
    for (int in_pieces = 0; in_pieces < 2; in_pieces++) {
        struct prom_parser p;
        struct err e = {0};
        prom_parser_init(&p, ignore_sample, NULL);
        size_t step = in_pieces ? 4096 : n + 1;
        int r = prom_parser_feed(&p, "a 1\n", 4, &e);
        for (size_t i = 0; i < n + 1 && r == 0; i += step)
            r = prom_parser_feed(&p, line + i, n + 1 - i < step ? n + 1 - i : step, &e);
        assert_int_equal(r, ERR_LIMIT);
        assert_string_equal(e.msg,
                            "line 2 is longer than 1048576 bytes (LIMIT_METRICS_LINE_BYTES)");
        assert_int_equal(prom_parser_fault(&p), PROM_FAULT_LIMIT);
        prom_parser_done(&p);
    }
    free(line);
}

static void test_a_page_ends_at_its_limits_of_bytes_and_samples(void **state) {
    struct prom_parser p;
    struct err e = {0};
    prom_parser_init(&p, ignore_sample, NULL);
    char piece[1025];
    memset(piece, 'x', 1024);
    piece[0] = '#';
    piece[1023] = '\n';
    piece[1024] = '\0';
    size_t fits = LIMIT_METRICS_PAGE_BYTES / 1024;
    assert_int_equal(feed_many(&p, piece, fits, &e), 0);
    assert_int_equal(prom_parser_feed(&p, "#", 1, &e), ERR_LIMIT);
    assert_string_equal(e.msg, "the page is longer than 16777216 bytes (LIMIT_METRICS_PAGE_BYTES)");

    prom_parser_reset(&p);
    assert_int_equal(feed_many(&p, "a 1\n", LIMIT_METRICS_SERIES, &e), 0);
    assert_int_equal(prom_parser_feed(&p, "a 1\n", 4, &e), ERR_LIMIT);
    assert_string_equal(e.msg, "more than 200000 samples (LIMIT_METRICS_SERIES)");
    prom_parser_done(&p);
}

static void test_a_series_has_its_limit_of_labels(void **state) {
    for (int n = LIMIT_METRICS_LABELS; n <= LIMIT_METRICS_LABELS + 1; n++) {
        char line[4096] = "m{";
        for (int i = 0; i < n; i++)
            snprintf(line + strlen(line), sizeof(line) - strlen(line), "l%d=\"%d\",", i, i);
        snprintf(line + strlen(line), sizeof(line) - strlen(line), "} 1\n");
        struct prom_parser p;
        struct err e = {0};
        prom_parser_init(&p, ignore_sample, NULL);
        int r = prom_parser_feed(&p, line, strlen(line), &e);
        if (n == LIMIT_METRICS_LABELS) {
            assert_int_equal(r, 0);
        } else {
            assert_int_equal(r, ERR_LIMIT);
            assert_string_equal(e.msg, "line 1: more than 64 labels (LIMIT_METRICS_LABELS)");
        }
        prom_parser_done(&p);
    }
}

// A label repeated anywhere among many is found, whatever its name's hash.
static void test_any_repeated_label_is_found(void **state) {
    for (int at = 0; at < 40; at++) {
        char line[4096] = "m{";
        for (int i = 0; i < 40; i++)
            snprintf(line + strlen(line), sizeof(line) - strlen(line), "%s%d=\"\",",
                     i % 2 ? "label_" : "l", i);
        snprintf(line + strlen(line), sizeof(line) - strlen(line), "%s%d=\"\"} 1\n",
                 at % 2 ? "label_" : "l", at);
        struct prom_parser p;
        struct err e = {0};
        prom_parser_init(&p, ignore_sample, NULL);
        assert_int_equal(prom_parser_feed(&p, line, strlen(line), &e), ERR_PARSE);
        assert_non_null(strstr(e.msg, "not in the series already"));
        prom_parser_done(&p);
    }
}

// --- blocks, memory, samples --------------------------------------------------------------------

// Pages far longer than a block, cut at odd places: each line is read once, in order.
static void test_long_pages_are_read_the_same_in_any_pieces(void **state) {
    enum { LINES = 6000 };
    char *page = malloc(LINES * 64);
    size_t n = 0;
    for (int i = 0; i < LINES; i++)
        n += (size_t)snprintf(page + n, 64, "m{i=\"%d\",t=\"%s\"} %d\n", i,
                              i % 97 ? "plain" : "\xc3\xa9\\n", i);
    static const size_t steps[] = {1u << 30, 65536, 32768, 32767, 4099, 61, 3};
    for (size_t k = 0; k < COUNT_OF(steps); k++) {
        struct prom_parser p;
        struct err e = {0};
        prom_parser_init(&p, ignore_sample, NULL);
        for (size_t i = 0; i < n; i += steps[k])
            assert_int_equal(
                prom_parser_feed(&p, page + i, n - i < steps[k] ? n - i : steps[k], &e), 0);
        assert_int_equal(prom_parser_finish(&p, false, &e), 0);
        assert_int_equal(p.samples, LINES);
        assert_int_equal(p.lines, LINES);
        prom_parser_done(&p);
    }
    free(page);
}

static void test_every_failing_allocation_is_reported_and_leaves_no_trace(void **state) {
    static const char page[] = "# TYPE h histogram\nh_bucket{le=\"1\",x=\"a\\nb\"} 1\nh_count 1\n"
                               "other{y=\"\\\\\"} 2 # {z=\"\\\"\"} 1\n";
    struct dump *d = calloc(1, sizeof(*d));
    int failures = 0;
    for (long k = 1; k < 100; k++) {
        struct err e = {0};
        mem_fail_from(k);
        int r = dump_page(d, page, strlen(page), 0, 11, false, &e);
        mem_fail_never();
        if (r == 0)
            break;
        failures++;
        assert_int_equal(r, ERR_NOMEM);
        assert_non_null(strstr(e.msg, "no memory"));
    }
    assert_int_equal(dump_page(d, page, strlen(page), 0, 11, false, NULL), 0);
    assert_true(failures >= 4); // carry, family, last name, scratch
    free(d);
}

static size_t read_sample_file(const char *name, char *dst, size_t cap) {
    const char *root = getenv("GPUSCALE_SOURCE_ROOT");
    char path[4096];
    snprintf(path, sizeof(path), "%s/../shared/data/metrics-samples/%s", root ? root : ".", name);
    FILE *f = fopen(path, "rb");
    if (!f)
        return 0;
    size_t n = fread(dst, 1, cap, f);
    fclose(f);
    return n;
}

// Sample lines counted by another means than the parser.
static size_t count_sample_lines(const char *p, size_t n) {
    size_t lines = 0;
    for (const char *end = p + n; p < end;) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        const char *stop = nl ? nl : end;
        while (p < stop && (*p == ' ' || *p == '\t'))
            p++;
        lines += p < stop && *p != '#';
        p = stop + 1;
    }
    return lines;
}

static void test_pages_of_real_servers_and_exporters_are_read_whole(void **state) {
    static const char *const files[] = {
        "amd_device_metrics_exporter.prom",
        "aws_neuron_monitor.prom",
        "dcgm_exporter.prom",
        "dcgm_exporter_mig_shared.prom",
        "dynamo.prom",
        "envoy.prom",
        "gke_device_plugin.prom",
        "gke_tpu_device_plugin.prom",
        "ingress_nginx.prom",
        "intel_xpumd.prom",
        "istio.prom",
        "knative_queue_proxy.prom",
        "knative_queue_proxy_le_1_18.prom",
        "kserve_python.prom",
        "llamacpp.prom",
        "llm_d_epp.prom",
        "nvidia_gpu_exporter_h100.prom",
        "ollama.prom",
        "ray_serve.prom",
        "sglang.prom",
        "tgi.prom",
        "torchserve.prom",
        "triton.prom",
        "triton_trtllm.prom",
        "trtllm.prom",
        "vllm.prom",
    };
    static char page[1 << 20];
    struct dump *d = calloc(2, sizeof(*d));
    int missing = 0;
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        struct err e = {0};
        size_t n = read_sample_file(files[i], page, sizeof(page));
        if (n == 0) {
            missing++;
            continue;
        }
        if (dump_page(&d[0], page, n, 0, n, false, &e) != 0)
            fail_msg("%s: %s", files[i], e.msg);
        assert_int_equal(d[0].samples, count_sample_lines(page, n));
        assert_int_equal(dump_page(&d[1], page, n, 0, 13, false, &e), 0);
        assert_string_equal(d[0].text, d[1].text);
    }
    free(d);
    // Said, not skip(): meson takes cmocka's TAP line of a skipped test for a failure.
    if (missing) {
        printf("# %d of %zu sample pages are not at $GPUSCALE_SOURCE_ROOT/../shared/data/"
               "metrics-samples: not read\n",
               missing, COUNT_OF(files));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_traps_seen_in_the_wild_are_read),
        cmocka_unit_test(test_faults_name_line_column_and_what_was_expected),
        cmocka_unit_test(test_bytes_that_are_no_text_are_told_apart),
        cmocka_unit_test(
            test_a_page_cut_inside_a_line_is_refused_unless_the_transport_proves_its_end),
        cmocka_unit_test(test_a_failure_sticks_until_reset),
        cmocka_unit_test(test_reset_forgets_an_unfinished_line_and_the_family),
        cmocka_unit_test(test_a_selection_hears_only_its_exact_names_and_checks_the_rest),
        cmocka_unit_test(test_the_callback_can_end_the_page),
        cmocka_unit_test(test_a_line_ends_at_its_limit_in_one_piece_and_in_many),
        cmocka_unit_test(test_a_page_ends_at_its_limits_of_bytes_and_samples),
        cmocka_unit_test(test_a_series_has_its_limit_of_labels),
        cmocka_unit_test(test_any_repeated_label_is_found),
        cmocka_unit_test(test_long_pages_are_read_the_same_in_any_pieces),
        cmocka_unit_test(test_every_failing_allocation_is_reported_and_leaves_no_trace),
        cmocka_unit_test(test_pages_of_real_servers_and_exporters_are_read_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
