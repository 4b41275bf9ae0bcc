// SPDX-License-Identifier: Apache-2.0
/*
 * Pages of our own: any bytes as a label's value and as help (the first byte chooses the format,
 * the next eight are the value), written, are read back as they were; what is not UTF-8, and NUL,
 * as U+FFFD.
 */
#include <math.h>

#include "core/metrics/prom_parse.h"
#include "core/metrics/prom_write.h"
#include "fuzz.h"

struct expected {
    struct str text;
    double value;
    unsigned seen;
};

static int on_sample(void *ctx, const struct prom_sample *s, struct err *e) {
    struct expected *x = ctx;
    require(str_eqc(s->name, "a_total") && s->n_labels == 2);
    require(str_eqc(s->labels[0].name, "k") && str_eqc(s->labels[1].name, "l"));
    require(str_eqc(s->labels[1].value, "m"));
    require(utf8_valid(s->labels[0].value.p, s->labels[0].value.n));
    if (utf8_valid(x->text.p, x->text.n) && !(x->text.n > 0 && memchr(x->text.p, 0, x->text.n)))
        require(str_eq(s->labels[0].value, x->text));
    require(memcmp(&s->value, &x->value, sizeof(x->value)) == 0);
    x->seen++;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct prom_writer w;
    struct prom_parser p;
    struct err e = {0};
    struct buf out;
    struct expected x = {0};
    if (size < 9)
        return 0;
    memcpy(&x.value, data + 1, 8);
    x.text = (struct str){(const char *)data + 9, size - 9};
    char *help = strndup((const char *)data + 9, size - 9);
    bool written = !isnan(x.value);
    struct prom_label labels[] = {{STR("k"), x.text}, {STR("l"), STR("m")}};
    buf_init(&out, 8 * size + 1024);
    prom_writer_init(&w, &out, data[0] % 2 ? PROM_TEXT : PROM_OPENMETRICS);
    prom_family(&w, "a_total", PROM_COUNTER, help);
    prom_sample(&w, labels, 2, x.value);
    require(prom_writer_end(&w) == 0);

    prom_parser_init(&p, on_sample, &x);
    if (written || out.len > 0) { // a page of nothing is no page to its readers
        require(prom_parser_feed(&p, out.p, out.len, &e) == 0);
        int rc = prom_parser_finish(&p, true, &e);
        require(rc == 0 || !written);
    }
    require(x.seen == written);
    prom_parser_done(&p);
    buf_done(&out);
    free(help);
    return 0;
}
