// SPDX-License-Identifier: Apache-2.0
/*
 * core/hpa's formulas as lines, for the test that lets KEDA itself judge them: one command a line
 * (words KEY=VALUE, the text last and to the end of the line), one answer a line.
 *
 *     formula names=a,b values=1,nil text=TEXT     value N | nil | error WHY | refused CODE WHY
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/hpa/keda.h"

// The value of KEY in the line, "" when absent; `text` runs to the end.
static const char *word(const char *line, const char *key, char *dst, size_t cap) {
    char wanted[32];
    snprintf(wanted, sizeof(wanted), " %s=", key);
    const char *p = strstr(line, wanted);
    dst[0] = '\0';
    if (!p)
        return dst;
    p += strlen(wanted);
    size_t n = strcspn(p, strcmp(key, "text") == 0 ? "\n" : " \n");
    snprintf(dst, cap, "%.*s", (int)n, p);
    return dst;
}

static void formula(const char *line) {
    char text[4096], list[1024], values_text[1024];
    const char *names[LIMIT_KEDA_TRIGGERS];
    double values[LIMIT_KEDA_TRIGGERS] = {0}, x;
    uint32_t nil = 0;
    size_t n = 0;
    bool is_nil;
    struct keda_formula *f;
    struct err e = {0};
    struct str rest = str_from(word(line, "names", list, sizeof(list)));
    while (rest.n && n < LIMIT_KEDA_TRIGGERS) {
        struct str name = str_cut(&rest, ',');
        list[(size_t)(name.p - list) + name.n] = '\0';
        names[n++] = name.p;
    }
    rest = str_from(word(line, "values", values_text, sizeof(values_text)));
    for (size_t i = 0; rest.n && i < n; i++) {
        struct str v = str_cut(&rest, ',');
        if (str_eqc(v, "nil"))
            nil |= 1u << i;
        else
            str_to_double(v, &values[i]);
    }
    int r = keda_formula_parse(&f, str_from(word(line, "text", text, sizeof(text))), names, n, &e);
    if (r < 0) {
        printf("refused %d %s\n", r, e.msg);
        return;
    }
    r = keda_formula_eval(f, values, nil, &x, &is_nil, &e);
    keda_formula_free(f);
    if (r < 0)
        printf("error %s\n", e.msg);
    else if (is_nil)
        printf("nil\n");
    else
        printf("value %.17g\n", isnan(x) ? (double)__builtin_nan("") : x);
}

int main(void) {
    static char line[16384];
    while (fgets(line, sizeof(line), stdin)) {
        if (strncmp(line, "formula ", 8) == 0)
            formula(line);
        else
            printf("error no such command\n");
        fflush(stdout);
    }
    return 0;
}
