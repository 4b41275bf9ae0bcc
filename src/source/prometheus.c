// SPDX-License-Identifier: Apache-2.0
/*
 * One scraper a server: its queries are targets with the same URL and a form each. The answer is
 * gathered whole (it is small) and parsed at its end.
 */
#include "source/prometheus.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "source/scraper.h"
#include "web/prom_answer.h"

enum {
    CONNECT_MS = 3000,
    POOLS = 2,
    FORM_MAX = 3 * LIMIT_PROMQL_BYTES + 256, // each byte may need three
    FORMS_MAX = 256 << 20,
};
// Our own patience is longer than the server's, whose message is the better one.
#define TIMEOUT_MORE_NS (1 * NS_PER_S)

struct server {
    struct prometheus *owner;
    char *name, *url;
    bool tls;
    int64_t interval_ns, timeout_ns, lookback_ns;
    struct fetch_auth *auth;
    struct scraper *scraper;
};

struct prometheus {
    struct prometheus_options o;
    size_t n;
    struct server servers[];
};

static void *answer_open(void *ctx, const void *what) {
    struct buf *b = mem_alloc(sizeof(*b));
    if (b)
        buf_init(b, LIMIT_PROM_ANSWER_BYTES);
    return b;
}

static void answer_close(void *ctx, const void *what, void *reader) {
    struct buf *b = reader;
    buf_done(b);
    mem_free(b);
}

static int answer_feed(void *reader, const char *p, size_t n, struct err *e) {
    int r = buf_add(reader, p, n);
    return r ? err_set(e, r, "the answer cannot be kept: %s", err_code_name(r)) : 0;
}

static int answer_finish(void *ctx, struct scraper_target *target, void *reader, bool complete,
                         int64_t requested_at_ns, struct err *e) {
    const struct prometheus_options *o = &((struct server *)ctx)->owner->o;
    struct prom_answer a;
    int r = prom_answer_parse(buf_str(reader), &a, e);
    if (r)
        return r;
    struct signal_external x = {.state = a.state, .at_ns = SIGNAL_TIME_UNKNOWN};
    if (a.state == EXTERNAL_GOOD) {
        x.value = a.value;
        x.at_ns = requested_at_ns;
    }
    o->told(o->ctx, scraper_target_key(target), &x, a.text);
    return 0;
}

static int answer_reason(void *reader, int code) {
    return code == ERR_PARSE ? SCRAPE_PARSE : code == ERR_LIMIT ? FETCH_TOO_LARGE : FETCH_INTERNAL;
}

// 400, 422 and 503 come with errorType and error; anything else says so in its own words.
static void answer_refused(void *reader, int status, struct err *e) {
    struct prom_answer a;
    if (prom_answer_parse(buf_str(reader), &a, NULL) == 0 && a.state == EXTERNAL_REFUSED)
        err_set(e, ERR_PROTO, "%s", a.text);
    else if (status == 401 || status == 403)
        err_wrap(e, "who we are is not enough (bearerTokenFile, basicAuth, tls, orgID)");
}

static const struct scraper_ops answer_ops = {
    .open = answer_open,
    .close = answer_close,
    .feed = answer_feed,
    .finish = answer_finish,
    .reason = answer_reason,
    .refused = answer_refused,
};

static enum external_state state_of(int failure) {
    switch (failure) {
    case FETCH_STATUS:
        return EXTERNAL_REFUSED;
    case FETCH_SECRET:
        return EXTERNAL_NO_SECRET;
    case FETCH_TOO_LARGE:
        return EXTERNAL_SEVERAL;
    default:
        return EXTERNAL_NO_ANSWER;
    }
}

static void on_failure(void *ctx, const char *key, int failure, const struct err *why) {
    const struct prometheus_options *o = &((struct server *)ctx)->owner->o;
    struct signal_external x = {.state = state_of(failure), .at_ns = SIGNAL_TIME_UNKNOWN};
    struct err e = *why;
    if (failure == FETCH_TOO_LARGE)
        (void)err_wrap(&e, "the query gives many samples, it seems: sum() them");
    o->told(o->ctx, key, &x, e.msg);
}

static void on_tls_event(void *ctx, const struct err *why) {
    struct server *s = ctx;
    if (s->owner->o.tls_event)
        s->owner->o.tls_event(s->owner->o.ctx, s->name, why);
}

int prometheus_url_check(const char *url, struct err *e) {
    int r = fetch_url_check(url, e);
    if (r)
        return r;
    if (strpbrk(url, "?#"))
        return err_set(e, ERR_INVALID, "expected a URL without query and fragment");
    if (strstr(url, "/api/v1"))
        return err_set(e, ERR_INVALID, "expected the URL in front of /api/v1/query, without it");
    return 0;
}

static int api_url(const char *base, char **ret) {
    CLEANUP_BUF struct buf b;
    struct str s = str_from(base);
    while (s.n > 0 && s.p[s.n - 1] == '/')
        s.n--;
    buf_init(&b, LIMIT_URL_BYTES + 64);
    int r = buf_add_str(&b, s);
    r = r ? r : buf_addc(&b, "/api/v1/query");
    if (r == 0)
        *ret = mem_strndup(b.p, b.len);
    return r ? r : *ret ? 0 : ERR_NOMEM;
}

static int server_init(struct server *s, const struct prometheus_server *from,
                       const struct prometheus_options *o, uint64_t seed, struct err *e) {
    s->name = mem_strdup(from->name);
    s->interval_ns = from->interval_ns;
    s->timeout_ns = from->timeout_ns;
    s->lookback_ns = from->lookback_ns;
    s->tls = from->tls != NULL;
    int r = prometheus_url_check(from->url, e);
    if (r == 0 && (!s->name || api_url(from->url, &s->url)))
        r = err_set(e, ERR_NOMEM, "out of memory");
    if (r == 0 && (from->auth.bearer_file || from->auth.username || from->auth.password_file))
        r = fetch_auth_new(&s->auth, &from->auth, e);
    if (r)
        return r;
    struct scraper_options so = {
        .loop = o->loop,
        .tls = from->tls,
        .tls_server_name = from->tls_server_name,
        .seed = seed,
        .connect_ms = CONNECT_MS,
        .total_ms = (uint32_t)((from->timeout_ns + TIMEOUT_MORE_NS) / NS_PER_MS),
        .pools = POOLS,
        .request = {.accept = "application/json",
                    .max_body_bytes = LIMIT_PROM_ANSWER_BYTES,
                    .headers = from->headers,
                    .auth = s->auth,
                    .steady = true},
        .ops = &answer_ops,
        .ctx = s,
        .told = {.failure = on_failure, .tls_event = on_tls_event, .ctx = s},
    };
    return scraper_new(&s->scraper, &so, e);
}

int prometheus_new(struct prometheus **ret, const struct prometheus_options *options,
                   struct err *e) {
    if (options->n_servers > LIMIT_PROMETHEUS_SERVERS)
        return err_set(e, ERR_LIMIT, "%zu Prometheus servers, at most %d", options->n_servers,
                       LIMIT_PROMETHEUS_SERVERS);
    struct prometheus *p = mem_zalloc(sizeof(*p) + options->n_servers * sizeof(p->servers[0]));
    if (!p)
        return err_set(e, ERR_NOMEM, "out of memory");
    p->o = *options;
    p->o.servers = NULL;
    int r = 0;
    for (size_t i = 0; r == 0 && i < options->n_servers; i++) {
        p->n = i + 1;
        p->servers[i].owner = p;
        r = server_init(&p->servers[i], &options->servers[i], options, options->seed + i, e);
        if (r)
            err_wrap(e, "%s", options->servers[i].name);
    }
    if (r) {
        prometheus_free(p);
        return r;
    }
    *ret = p;
    return 0;
}

struct prometheus *prometheus_free(struct prometheus *p) {
    for (size_t i = 0; p && i < p->n; i++) {
        struct server *s = &p->servers[i];
        scraper_free(s->scraper);
        fetch_auth_free(s->auth);
        mem_free(s->name);
        mem_free(s->url);
    }
    mem_free(p);
    return NULL;
}

static int make_form(const struct server *s, const char *text, struct arena *a, const char **ret,
                     struct err *e) {
    CLEANUP_BUF struct buf form;
    buf_init(&form, FORM_MAX);
    double timeout_s = (double)s->timeout_ns / NS_PER_S;
    int r = prom_answer_form(&form, str_from(text), timeout_s, (double)s->lookback_ns / NS_PER_S);
    if (r == 0 && !(*ret = arena_strdup(a, buf_str(&form))))
        r = ERR_NOMEM;
    return r ? err_set(e, r, "the query cannot be sent: %s", err_code_name(r)) : 0;
}

static int set_server(struct prometheus *p, size_t index, const struct prometheus_query *queries,
                      size_t n, struct scraper_spec *specs, struct err *e) {
    const struct server *s = &p->servers[index];
    struct arena forms;
    size_t count = 0;
    int r = 0;
    arena_init(&forms, FORMS_MAX);
    for (size_t i = 0; r == 0 && i < n; i++) {
        if (queries[i].server != index)
            continue;
        const char *form = NULL;
        r = make_form(s, queries[i].text, &forms, &form, e);
        specs[count++] = (struct scraper_spec){.key = queries[i].key,
                                               .url = s->url,
                                               .form = form,
                                               .what = s,
                                               .interval_ns = s->interval_ns,
                                               .tls = s->tls};
    }
    if (r == 0)
        r = scraper_set(s->scraper, specs, count, e);
    arena_done(&forms);
    return r ? err_wrap(e, "prometheus %s", s->name) : 0;
}

int prometheus_set_queries(struct prometheus *p, const struct prometheus_query *queries, size_t n,
                           struct err *e) {
    struct scraper_spec *specs = mem_array(n ? n : 1, sizeof(*specs));
    if (!specs)
        return err_set(e, ERR_NOMEM, "out of memory");
    int r = 0;
    for (size_t i = 0; r == 0 && i < p->n; i++)
        r = set_server(p, i, queries, n, specs, e);
    mem_free(specs);
    return r;
}

struct scrape_stats prometheus_stats(const struct prometheus *p, size_t server) {
    return scraper_stats(p->servers[server].scraper);
}

void prometheus_each(const struct prometheus *p, size_t server,
                     void (*fn)(void *, const struct scrape_status *), void *ctx) {
    scraper_each(p->servers[server].scraper, fn, ctx);
}
