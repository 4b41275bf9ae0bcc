// SPDX-License-Identifier: Apache-2.0
/* Answers of Prometheus' HTTP API. */
#include "web/prom_answer.h"

#include <ctype.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/utf8.h"

enum { SHOWN_SERIES_MAX = 160 };

// Foreign text: control characters become spaces, what is cut is cut at a character's end.
__attribute__((format(printf, 3, 4))) static void
say(struct prom_answer *a, enum external_state state, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(a->text, sizeof(a->text), fmt, ap);
    va_end(ap);
    size_t n = strlen(a->text);
    a->text[utf8_valid_prefix(a->text, n)] = '\0';
    for (char *p = a->text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
    a->state = state;
    a->value = 0;
}

static const char *text_of(const json_t *object, const char *key, const char *otherwise) {
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : otherwise;
}

// {pod="a",job="b"}, as much of it as is shown.
static void show_series(const json_t *sample, char dst[SHOWN_SERIES_MAX]) {
    CLEANUP_BUF struct buf b;
    const char *name;
    json_t *value, *metric = json_object_get(sample, "metric");
    buf_init(&b, SHOWN_SERIES_MAX - 5);
    int r = buf_addc(&b, "{");
    bool first = true;
    json_object_foreach(metric, name, value) {
        size_t before = b.len;
        r = r ? r : buf_addf(&b, "%s%s=", first ? "" : ",", name);
        const char *text = json_string_value(value);
        r = r ? r : buf_add_json(&b, str_from(text ? text : ""));
        if (r)
            buf_truncate(&b, before);
        first = false;
    }
    (void)snprintf(dst, SHOWN_SERIES_MAX, STR_FMT "%s}", STR_ARG(buf_str(&b)), r ? "..." : "");
}

// [time, "number"]
static void take_number(struct prom_answer *a, const json_t *pair) {
    const char *text = json_string_value(json_array_get(pair, 1));
    double v;
    if (json_array_size(pair) != 2 || !text || str_to_double(str_from(text), &v))
        say(a, EXTERNAL_TYPE, "the query gives no number");
    else if (!isfinite(v))
        say(a, EXTERNAL_NAN, "the query gives %.16s, which is no load", text);
    else if (v < 0)
        say(a, EXTERNAL_NEGATIVE, "the query gives %.24s, less than 0: clamp_min(..., 0) it", text);
    else
        *a = (struct prom_answer){.state = EXTERNAL_GOOD, .value = v};
}

static void take_vector(struct prom_answer *a, const json_t *result) {
    size_t n = json_array_size(result);
    const json_t *sample = json_array_get(result, 0);
    if (n == 0) {
        say(a, EXTERNAL_NO_SAMPLE,
            "the query gives no sample: nothing matches (no sample is not 0; where it means 0, "
            "write `... or vector(0)`)");
    } else if (n > 1) {
        char shown[SHOWN_SERIES_MAX];
        show_series(sample, shown);
        say(a, EXTERNAL_SEVERAL, "the query gives %zu samples, the first is %s: sum() them", n,
            shown);
    } else if (json_object_get(sample, "histogram")) {
        say(a, EXTERNAL_TYPE,
            "the query gives a native histogram: take a number of it, as with histogram_count()");
    } else {
        take_number(a, json_object_get(sample, "value"));
    }
}

static void take_data(struct prom_answer *a, const json_t *data) {
    const char *type = text_of(data, "resultType", "nothing");
    const json_t *result = json_object_get(data, "result");
    if (strcmp(type, "vector") == 0 && json_is_array(result))
        take_vector(a, result);
    else if (strcmp(type, "scalar") == 0)
        take_number(a, result);
    else
        say(a, EXTERNAL_TYPE, "the query gives a %.24s, not one number%s", type,
            strcmp(type, "matrix") == 0 ? ": put a function such as rate() around the range" : "");
}

static int take(struct prom_answer *a, const json_t *root, struct err *e) {
    const char *status = text_of(root, "status", "");
    const json_t *warnings = json_object_get(root, "warnings");
    if (strcmp(status, "error") == 0) {
        say(a, EXTERNAL_REFUSED, "%.40s: %.300s", text_of(root, "errorType", "error"),
            text_of(root, "error", "without a reason"));
        return 0;
    }
    if (strcmp(status, "success") != 0 || !json_is_object(json_object_get(root, "data")))
        return err_set(e, ERR_PARSE, "not an answer of Prometheus' HTTP API: no status and data");
    take_data(a, json_object_get(root, "data"));
    const char *warning = json_string_value(json_array_get(warnings, 0));
    if (a->state == EXTERNAL_GOOD && json_array_size(warnings) > 0)
        say(a, EXTERNAL_PARTIAL, "the server warns, so the number may lack a part: %.300s",
            warning ? warning : "");
    return 0;
}

int prom_answer_parse(struct str body, struct prom_answer *ret, struct err *e) {
    json_error_t why;
    struct prom_answer a = {0};
    json_t *root = json_loadb(body.p ? body.p : "", body.n, JSON_REJECT_DUPLICATES, &why);
    if (!root)
        return err_set(e, ERR_PARSE, "not JSON: line %d, column %d: %.100s", why.line, why.column,
                       why.text);
    int r = take(&a, root, e);
    json_decref(root);
    if (r == 0)
        *ret = a;
    return r;
}

static int add_escaped(struct buf *out, struct str s) {
    int r = 0;
    for (size_t i = 0; r == 0 && i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (isalnum(c) || c == '-' || c == '_' || c == '.' || c == '~')
            r = buf_add_byte(out, (char)c);
        else
            r = buf_addf(out, "%%%02X", (unsigned)c);
    }
    return r;
}

int prom_answer_form(struct buf *out, struct str query, double timeout_s, double lookback_s) {
    size_t before = out->len;
    int r = buf_addc(out, "query=");
    r = r ? r : add_escaped(out, query);
    r = r ? r : buf_addf(out, "&timeout=%.3f", timeout_s);
    if (r == 0 && lookback_s > 0)
        r = buf_addf(out, "&lookback_delta=%.3f", lookback_s);
    r = r ? r : buf_add_byte(out, '\0');
    if (r)
        buf_truncate(out, before);
    else
        buf_truncate(out, out->len - 1); // a C string too
    return r;
}
