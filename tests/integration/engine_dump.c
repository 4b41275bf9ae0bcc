// SPDX-License-Identifier: Apache-2.0
/* Reads an engine's page on standard input through the preset of the first argument, and writes
 * what it says: `NAME VALUE` for each value, `NAME missing (METRIC)` or `NAME bad (METRIC)`. */
#include <stdio.h>

#include "core/engine/page.h"

static int say(const struct engine_preset *p, const struct engine_page_result *r) {
    CLEANUP_BUF struct buf out;
    buf_init(&out, 1 << 16);
    int rc = 0;
    for (int v = 0; v < ENGINE_VALUE_MAX && rc == 0; v++) {
        const char *name = engine_value_name((enum engine_value)v);
        if (SAMPLE_HAS(&r->sample, v))
            rc = buf_addf(&out, "%s %.17g\n", name, r->sample.v[v]);
        else if ((r->missing | r->bad) >> v & 1) {
            rc = buf_addf(&out, "%s %s (", name, r->missing >> v & 1 ? "missing" : "bad");
            rc = rc ? rc : engine_preset_names(p, (enum engine_value)v, &out);
            rc = rc ? rc : buf_addc(&out, ")\n");
        }
    }
    fwrite(out.p, 1, out.len, stdout);
    return rc;
}

int main(int argc, char **argv) {
    static char bytes[1 << 16];
    const struct engine_preset *preset;
    struct engine_page *page;
    struct engine_page_result r = {0};
    struct err e = {0};
    if (argc != 2)
        return 2;
    int rc = engine_preset_find(str_from(argv[1]), &preset, &e);
    rc = rc ? rc : engine_page_new(&page, preset, &e);
    if (rc == 0) {
        size_t n;
        while (rc == 0 && (n = fread(bytes, 1, sizeof(bytes), stdin)) > 0)
            rc = engine_page_feed(page, bytes, n, &e);
        rc = rc ? rc : engine_page_finish(page, true, &r, &e);
        engine_page_free(page);
    }
    rc = rc ? rc : say(preset, &r);
    if (rc < 0)
        fprintf(stderr, "%s\n", e.msg);
    return rc < 0;
}
