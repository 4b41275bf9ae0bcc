// SPDX-License-Identifier: Apache-2.0
/*
 * Reads a Prometheus text page from standard input, fed to the parser in pieces of argv[1] bytes,
 * and writes one JSON array a sample: [type, name, {label: value}, "value", timestamp in ms or
 * null]. A malformed page: nothing but the fault's name and message on standard error, status 1.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "core/metrics/prom_parse.h"

static const char *const types[] = {"untyped", "counter", "gauge", "histogram", "summary"};

static int on_sample(void *ctx, const struct prom_sample *s, struct err *e) {
    struct buf *out = ctx;
    int r = buf_addf(out, "[\"%s\",", types[s->type]);
    if (r == 0)
        r = buf_add_json(out, s->name);
    if (r == 0)
        r = buf_addc(out, ",{");
    for (size_t i = 0; i < s->n_labels && r == 0; i++) {
        r = i ? buf_add_byte(out, ',') : 0;
        if (r == 0)
            r = buf_add_json(out, s->labels[i].name);
        if (r == 0)
            r = buf_add_byte(out, ':');
        if (r == 0)
            r = buf_add_json(out, s->labels[i].value);
    }
    if (r == 0) // %a has all bits; NaN and infinities are words
        r = buf_addf(out, isnan(s->value) ? "},\"nan\"," : "},\"%a\",", s->value);
    if (r == 0)
        r = s->has_timestamp ? buf_add_i64(out, s->timestamp_ms) : buf_addc(out, "null");
    if (r == 0)
        r = buf_addc(out, "]\n");
    return r < 0 ? err_set(e, r, "output") : 0;
}

int main(int argc, char **argv) {
    size_t step = argc > 1 ? strtoul(argv[1], NULL, 10) : 1 << 16;
    char *piece = malloc(step ? step : 1);
    struct prom_parser p;
    struct buf out;
    struct err e = {0};
    if (!piece || step == 0)
        return 2;
    buf_init(&out, 64u << 20);
    prom_parser_init(&p, on_sample, &out);
    int r = 0;
    for (size_t n; r == 0 && (n = fread(piece, 1, step, stdin)) > 0;)
        r = prom_parser_feed(&p, piece, n, &e);
    if (r == 0)
        r = prom_parser_finish(&p, true, &e);
    if (r < 0)
        fprintf(stderr, "%s: %s\n", prom_fault_name(prom_parser_fault(&p)), e.msg);
    else
        fwrite(out.p, 1, out.len, stdout);
    prom_parser_done(&p);
    buf_done(&out);
    free(piece);
    return r < 0;
}
