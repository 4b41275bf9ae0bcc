// SPDX-License-Identifier: Apache-2.0
/* Writes a page with the encoder: a sample for each argument, which is its label value, and one
 * family of each kind. */
#include <math.h>
#include <stdio.h>

#include "core/metrics/histogram.h"
#include "core/metrics/prom_write.h"

int main(int argc, char **argv) {
    static const double values[] = {
        0, -0.5, 1e21, 123456789, 0.1, 1e-7, 1.7682643398898673e9, INFINITY, NAN};
    enum { VALUES = sizeof(values) / sizeof(values[0]) };
    struct prom_writer w;
    struct histogram h;
    struct buf out;
    buf_init(&out, 16u << 20);
    prom_writer_init(&w, &out, PROM_TEXT);
    prom_family(&w, "page_values", PROM_GAUGE, "A gauge with \\ and\nnewline in its help.");
    for (int i = 1; i < argc; i++) {
        char n[16];
        snprintf(n, sizeof(n), "%d", i);
        struct prom_label l[] = {{STR("n"), str_from(n)}, {STR("text"), str_from(argv[i])}};
        prom_sample(&w, l, 2, values[i % VALUES]);
    }
    prom_family(&w, "page_requests_total", PROM_COUNTER, "A counter.");
    prom_sample_u64(&w, NULL, 0, 1u << 31);
    prom_family(&w, "page_unknown", PROM_GAUGE, "Never known.");
    prom_sample(&w, NULL, 0, NAN);
    prom_family(&w, "page_duration_seconds", PROM_HISTOGRAM, "A histogram.");
    histogram_init(&h, histogram_latency_s, histogram_latency_s_n);
    for (int i = 0; i < 100; i++)
        histogram_add(&h, i / 64.0);
    prom_sample_histogram(&w, NULL, 0, &h);
    int r = prom_writer_end(&w);
    if (r == 0)
        fwrite(out.p, 1, out.len, stdout);
    buf_done(&out);
    return r < 0;
}
