// SPDX-License-Identifier: Apache-2.0
/* The table of flags, and what no single flag can say. */
#include "load/options.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

static const char *const arrivals_names[] = {"poisson", "uniform", NULL};
static const char *const progress_names[] = {"auto", "line", "json", "none", NULL};

typedef struct load_flags flags_t;

static const struct conf_field fields[] = {
    {"target", CONF_STRING(flags_t, target), .def = "http://127.0.0.1:8000", .flag = "target",
     .arg = "URL", .help = "Where requests go: http or https, host, port, path."},
    {"rate", CONF_STRING(flags_t, rate), .flag = "rate", .arg = "SHAPE",
     .help = "Requests a second: 20, a ramp 5..40@30s, steps with commas: 5..40@30s,40@1m,0@10s."},
    {"duration", CONF_DURATION(flags_t, duration_ns), .def = "0s", .max = "168h",
     .flag = "duration", .arg = "TIME",
     .help = "How long a bare rate lasts (10s), or what cuts a shape or a trace short."},
    {"arrivals", CONF_ENUM(flags_t, arrivals, arrivals_names), .def = "poisson", .flag = "arrivals",
     .arg = "poisson|uniform", .help = "How they are spread."},
    {"replay", CONF_STRING(flags_t, replay), .flag = "replay", .arg = "FILE[:FORMAT]",
     .help = "Times and lengths of a trace instead of a rate: azure, burstgpt, mooncake, csv."},
    {"speed", CONF_NUMBER(flags_t, speed), .def = "1", .min = "0.001", .max = "100000",
     .flag = "speed", .arg = "N", .help = "The trace, so many times as fast."},
    {"seed", CONF_INT(flags_t, seed), .def = "1", .min = "0", .flag = "seed", .arg = "N",
     .help = "Arrivals and lengths are drawn from it."},
    {"openai", CONF_STRING(flags_t, openai), .flag = "openai", .arg = "PROMPT:OUTPUT[:fixed]",
     .help = "Completions with prompts and answers of so many tokens in the mean."},
    {"model", CONF_STRING(flags_t, model), .flag = "model", .arg = "NAME",
     .help = "The model that --openai asks for; without: the server's own."},
    {"stream", CONF_BOOL(flags_t, stream), .flag = "stream",
     .help = "--openai asks for a stream of events."},
    {"method", CONF_STRING(flags_t, method), .flag = "method", .arg = "NAME",
     .help = "GET, or POST with a body."},
    {"headers", CONF_LIST_STRING(flags_t, headers), .flag = "header", .arg = "NAME:VALUE",
     .help = "One more header."},
    {"body", CONF_STRING(flags_t, body), .flag = "body", .arg = "TEXT", .help = "Of each request."},
    {"bodyFile", CONF_STRING(flags_t, body_file), .flag = "body-file", .arg = "FILE",
     .help = "The same, from a file."},
    {"timeout", CONF_DURATION(flags_t, timeout_ns), .def = "60s", .min = "1ms", .max = "1h",
     .flag = "timeout", .arg = "TIME", .help = "From the intended send time to the answer's end."},
    {"connections", CONF_INT(flags_t, connections), .def = "1000", .min = "1", .max = "16384",
     .flag = "connections", .arg = "N",
     .help = "At most so many; a request that finds none free waits, and the wait counts."},
    {"ca", CONF_STRING(flags_t, ca), .flag = "ca", .arg = "FILE",
     .help = "Authorities of the target's certificate (PEM); without: the system's."},
    {"cert", CONF_STRING(flags_t, cert), .flag = "cert", .arg = "FILE",
     .help = "Certificate to show (PEM)."},
    {"key", CONF_STRING(flags_t, key), .flag = "key", .arg = "FILE", .help = "Its key (PEM)."},
    {"insecure", CONF_BOOL(flags_t, insecure), .flag = "insecure",
     .help = "The target's certificate is not checked."},
    {"json", CONF_STRING(flags_t, json), .flag = "json", .arg = "FILE",
     .help = "The whole result as JSON."},
    {"html", CONF_STRING(flags_t, html), .flag = "html", .arg = "FILE",
     .help = "The whole result as a page with charts."},
    {"progress", CONF_ENUM(flags_t, progress, progress_names), .def = "auto", .flag = "progress",
     .arg = "auto|line|json|none",
     .help = "While it runs: a line on stderr, or JSON lines on stdout."},
    {"interval", CONF_DURATION(flags_t, interval_ns), .def = "1s", .min = "10ms", .max = "1h",
     .flag = "interval", .arg = "TIME", .help = "Between two lines."},
    {0}};

const struct conf_spec load_spec = {
    .program = "gpuscale load",
    .about = "Sends HTTP requests at a rate that does not depend on the answers, and measures them "
             "from the time at which they were meant to leave. Without --target it stays on this "
             "machine.",
    .flags_only = true,
    .fields = fields,
    .size = sizeof(flags_t),
};

// Reads a file in pieces: `take` returns a negative code to stop.
static int read_file(const char *path,
                     int (*take)(void *ctx, const void *p, size_t n, struct err *e), void *ctx,
                     struct err *e) {
    char piece[64 << 10];
    int fd = open(path, O_RDONLY | O_CLOEXEC), r = 0;
    if (fd < 0)
        return err_errno(e, errno, "%s", path);
    ssize_t n;
    while (r == 0 && (n = read(fd, piece, sizeof(piece))) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        r = n < 0 ? err_errno(e, errno, "%s", path) : take(ctx, piece, (size_t)n, e);
        if (n >= 0 && r < 0)
            r = err_wrap(e, "%s", path);
    }
    close(fd);
    return r;
}

static int take_trace(void *ctx, const void *p, size_t n, struct err *e) {
    return trace_feed(ctx, p, n, e);
}

static int take_body(void *ctx, const void *p, size_t n, struct err *e) {
    int r = buf_add(ctx, p, n);
    return r < 0 ? err_set(e, r, "a body has at most %d bytes", LIMIT_LOAD_BODY_BYTES) : 0;
}

// FILE:FORMAT, where FORMAT is one that is known.
static enum trace_format cut_format(struct str *path) {
    for (int i = 0; trace_format_names[i]; i++) {
        size_t n = strlen(trace_format_names[i]);
        if (path->n > n + 1 && str_ends(*path, trace_format_names[i]) &&
            path->p[path->n - n - 1] == ':') {
            path->n -= n + 1;
            return (enum trace_format)i;
        }
    }
    return TRACE_AUTO;
}

static int read_trace(struct load_options *o, struct err *e) {
    struct str text = str_from(o->flags->replay);
    enum trace_format format = cut_format(&text);
    CLEANUP_FREE char *path = mem_strndup(text.p, text.n);
    if (!path)
        return err_set(e, ERR_NOMEM, "no memory");
    trace_init(&o->trace, format, LIMIT_TRACE_ROWS);
    int r = read_file(path, take_trace, &o->trace, e);
    if (r == 0 && trace_finish(&o->trace, e) < 0)
        r = err_wrap(e, "%s", path);
    return r < 0 ? err_wrap(e, "--replay") : 0;
}

static int read_rate(struct load_options *o, struct err *e) {
    const struct load_flags *f = o->flags;
    if (f->rate && f->replay)
        return err_set(e, ERR_INVALID, "--rate and --replay: one of them says when requests leave");
    if (!f->rate && !f->replay)
        return err_set(e, ERR_INVALID,
                       "how much load? --rate 10 sends 10 requests a second for 10 s, "
                       "--rate 5..40@30s a ramp, --replay FILE a trace");
    if (f->replay)
        return read_trace(o, e);
    int r = shape_parse(&o->shape, str_from(f->rate), f->duration_ns, 10 * NS_PER_S, e);
    return r < 0 ? err_wrap(e, "--rate") : 0;
}

static int read_lengths(struct load_options *o, struct err *e) {
    struct str rest = str_from(o->flags->openai), prompt = str_cut(&rest, ':'),
               output = str_cut(&rest, ':');
    unsigned long long p, n;
    bool fixed = str_eqc(rest, "fixed");
    if (str_to_u64(prompt, &p) < 0 || str_to_u64(output, &n) < 0 || p == 0 || n == 0 ||
        p > LIMIT_TRACE_TOKENS || n > LIMIT_TRACE_TOKENS || (rest.n > 0 && !fixed))
        return err_set(e, ERR_INVALID,
                       "--openai %s: tokens of the prompt and of the answer are needed, such as "
                       "512:128 or, without spread, 512:128:fixed",
                       o->flags->openai);
    o->lengths = (struct load_lengths){(uint32_t)p, (uint32_t)n, fixed};
    return 0;
}

static int read_body(struct load_options *o, struct err *e) {
    const struct load_flags *f = o->flags;
    o->openai = f->openai || (f->replay && !f->body && !f->body_file && !f->method);
    if (f->openai && (f->body || f->body_file))
        return err_set(e, ERR_INVALID, "--openai makes the bodies: leave out %s",
                       f->body ? "--body" : "--body-file");
    if (f->body && f->body_file)
        return err_set(e, ERR_INVALID, "--body and --body-file: one is enough");
    if (f->stream && !o->openai)
        return err_set(e, ERR_INVALID,
                       "--stream belongs to --openai; answers that are event streams are measured "
                       "as such anyway");
    o->has_body = f->body || f->body_file;
    int r = 0;
    if (f->openai)
        r = read_lengths(o, e);
    else if (f->body)
        r = take_body(&o->body, f->body, strlen(f->body), e);
    else if (f->body_file)
        r = read_file(f->body_file, take_body, &o->body, e);
    return r < 0 && !f->openai ? err_wrap(e, f->body ? "--body" : "--body-file") : r;
}

static int read_headers(struct load_options *o, struct err *e) {
    const struct load_flags *f = o->flags;
    for (size_t i = 0; i < f->headers.n; i++) {
        struct str value = str_from(f->headers.items[i]), name = str_cut(&value, ':');
        struct http1_header h = {name, str_trim(value)};
        if (o->n_headers == LIMIT_HTTP_HEADERS - 4) // what is written beside them
            return err_set(e, ERR_LIMIT, "--header: at most %d", LIMIT_HTTP_HEADERS - 4);
        if (!strchr(f->headers.items[i], ':'))
            return err_set(e, ERR_INVALID, "--header %s: NAME:VALUE is needed",
                           f->headers.items[i]);
        if (http1_ask_check_header(h, e) < 0)
            return err_wrap(e, "--header");
        o->headers[o->n_headers++] = h;
    }
    return 0;
}

static int check_lengths(const struct load_options *o, struct err *e) {
    uint32_t most = o->lengths.fixed ? o->lengths.prompt : 8 * o->lengths.prompt;
    for (size_t i = 0; i < o->trace.rows.n; i++)
        if (o->trace.rows.items[i].prompt_tokens > most)
            most = o->trace.rows.items[i].prompt_tokens;
    if (most > LIMIT_LOAD_BODY_BYTES / 4 - 1024)
        return err_set(e, ERR_LIMIT, "prompts of %u tokens: a body has at most %d bytes", most,
                       LIMIT_LOAD_BODY_BYTES);
    return 0;
}

int load_options_read(struct load_options *ret, const struct load_flags *flags, struct err *e) {
    *ret = (struct load_options){.flags = flags};
    buf_init(&ret->body, LIMIT_LOAD_BODY_BYTES);
    int r = read_rate(ret, e);
    r = r < 0 ? r : read_body(ret, e);
    r = r < 0 ? r : read_headers(ret, e);
    r = r < 0 || !ret->openai ? r : check_lengths(ret, e);
    if (r == 0 && flags->insecure && flags->ca)
        r = err_set(e, ERR_INVALID, "--insecure checks no certificate: leave out --ca, or it");
    if (r < 0)
        load_options_done(ret);
    return r;
}

void load_options_done(struct load_options *o) {
    buf_done(&o->body);
    trace_done(&o->trace);
}
