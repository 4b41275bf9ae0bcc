// SPDX-License-Identifier: Apache-2.0
/*
 * Calls: each waits for a credential, runs as a fetch, or waits for its next attempt, which its
 * timer begins.
 */
#include "kube/client.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "kube/backoff.h"
#include "kube/identity.h"
#include "net/loop.h"
#include "web/fetch.h"

enum { CONNECT_MS = 10000, TIMEOUT_MS = 30000 };

struct kube_client {
    struct kube_client_options o;
    struct kube_identity *identity;
    struct fetch_pool *pool;
    struct kube_call *calls;
    struct random random;
};

enum call_state { CALL_STARTS, CALL_WAITS_FOR_CREDENTIAL, CALL_RUNS, CALL_WAITS };

struct kube_call {
    struct kube_call *prev, *next;
    struct kube_client *client;
    enum call_state state;
    struct kube_request q; // its strings lie in the arena
    struct arena strings;
    const char *url;
    struct fetch *fetch;
    struct net_timer *timer;
    struct kube_backoff backoff;
    unsigned attempts;
    bool told_bytes, credential_again;
    bool granted;       // a plugin ran for it: what it gave is used, even if it has expired already
    struct buf body;    // gathered, or an error's
    struct err refused; // why the attempt could not start
};

static void advance(struct kube_call *c);

static const char *method_of(const char *verb) {
    static const char *const table[][2] = {
        {"create", "POST"}, {"update", "PUT"}, {"patch", "PATCH"}, {"delete", "DELETE"}};
    for (size_t i = 0; i < COUNT_OF(table); i++)
        if (strcmp(verb, table[i][0]) == 0)
            return table[i][1];
    return NULL; // GET
}

static bool is_watch(const struct kube_call *c) {
    return strcmp(c->q.verb, "watch") == 0;
}

// What was sent may be a token under review.
static void wipe_content(struct kube_call *c) {
    if (c->q.content.p)
        explicit_bzero((char *)(uintptr_t)c->q.content.p, c->q.content.n);
    c->q.content = (struct str){0};
}

static void call_free(struct kube_call *c) {
    struct kube_client *client = c->client;
    wipe_content(c);
    if (c->prev)
        c->prev->next = c->next;
    else
        client->calls = c->next;
    if (c->next)
        c->next->prev = c->prev;
    if (c->fetch)
        fetch_cancel(c->fetch);
    net_timer_stop(&c->timer);
    buf_done(&c->body);
    arena_done(&c->strings);
    mem_free(c);
}

int kube_call_status(const struct kube_call *call) {
    return call->fetch ? fetch_status(call->fetch) : 0;
}

void kube_call_cancel(struct kube_call *call) {
    call_free(call);
}

static void finish(struct kube_call *c, const struct kube_answer *a) {
    // The body and the words outlive the call for as long as `done` runs.
    struct buf body = c->body;
    struct arena strings = c->strings;
    void (*done)(void *, const struct kube_answer *) = c->q.done;
    void *ctx = c->q.ctx;
    buf_init(&c->body, 0);
    arena_init(&c->strings, 0);
    call_free(c);
    done(ctx, a);
    buf_done(&body);
    arena_done(&strings);
}

static void on_time(void *ctx) {
    advance(ctx);
}

// Comes back by the timer, never from inside its caller.
static void later(struct kube_call *c, enum call_state state, int64_t wait_ns) {
    c->state = state;
    net_timer_again(c->timer, wait_ns);
}

static bool is_read(const struct kube_call *c) {
    return method_of(c->q.verb) == NULL;
}

// How long to wait for one more attempt; negative: this was the last.
static int64_t wait_for_more(struct kube_call *c, const struct kube_answer *a, bool sent) {
    unsigned attempts = c->q.attempts ? c->q.attempts : 1;
    bool again = is_read(c) || c->q.repeatable || !sent;
    if (a->fault == KUBE_UNKNOWN_USER && a->status == 401 && !c->credential_again &&
        !c->told_bytes && kube_identity_refused(c->client->identity)) {
        c->credential_again = true;
        return 0;
    }
    if (c->attempts >= attempts || c->told_bytes)
        return -1;
    // 429 and 503 were not done; any other may have been.
    if (a->status == 429 || (a->status == 503 && a->retry_after_ms >= 0) ||
        (again && (a->fault == KUBE_BUSY || a->fault == KUBE_UNREACHABLE)))
        return kube_backoff_next_ns(&c->backoff, a->retry_after_ms);
    return -1;
}

static void judge(struct kube_call *c, const struct fetch_result *f, struct kube_answer *a) {
    const char *why = f->err.msg;
    char trusted[ERR_MSG_MAX];
    *a = (struct kube_answer){.status = f->status,
                              .retry_after_ms = f->retry_after_ms,
                              .attempts = c->attempts,
                              .body = buf_str(&c->body)};
    if (f->failure == FETCH_OK) {
        a->fault = KUBE_OK;
        return;
    }
    bool answered = f->failure == FETCH_STATUS || f->failure == FETCH_REDIRECT;
    int status = answered ? f->status : 0;
    a->fault = f->failure == FETCH_SECRET ? KUBE_UNKNOWN_USER : kube_fault_of(status);
    if (f->failure == FETCH_REFUSED && c->body.err == ERR_LIMIT)
        why = "the answer is larger than 4 MiB (LIMIT_KUBE_ANSWER_BYTES)";
    if (f->failure == FETCH_TLS) {
        const char *ca = c->client->o.config->ca.place;
        (void)snprintf(trusted, sizeof(trusted), "%.300s (trusted: %.150s)", why,
                       ca ? ca : "the system's CAs");
        why = trusted;
    }
    kube_answer_explain(&a->err, c->q.verb, &c->q.at, status, a->body, why,
                        c->client->o.config->place);
}

static void on_done(void *ctx, const struct fetch_result *f) {
    struct kube_call *c = ctx;
    struct kube_answer a;
    c->fetch = NULL;
    judge(c, f, &a);
    bool sent = f->failure != FETCH_RESOLVE && f->failure != FETCH_CONNECT &&
                f->failure != FETCH_TLS;
    int64_t wait = a.fault == KUBE_OK ? -1 : wait_for_more(c, &a, sent);
    if (wait < 0)
        finish(c, &a);
    else
        later(c, CALL_WAITS, wait);
}

// Bytes of a success go on; those of an error are gathered (FETCH hands on the first 16 KiB).
static bool on_body(void *ctx, const char *p, size_t n) {
    struct kube_call *c = ctx;
    int status = fetch_status(c->fetch);
    if (status >= 200 && status < 300 && c->q.body) {
        c->told_bytes = true;
        return c->q.body(c->q.ctx, p, n);
    }
    return buf_add(&c->body, p, n) == 0;
}

static int start(struct kube_call *c, struct err *e) {
    bool watch = is_watch(c);
    const struct kube_request *q = &c->q;
    const struct fetch_options o = {
        .url = c->url,
        .tls = kube_identity_tls(c->client->identity),
        .accept = "application/json",
        .method = method_of(q->verb),
        .content = q->content,
        .content_type = q->content_type,
        .any_success = true,
        .auth = kube_identity_auth(c->client->identity),
        .connect_ms = CONNECT_MS,
        .total_ms = q->timeout_ms ? q->timeout_ms
                    : watch       ? 0
                                  : TIMEOUT_MS,
        .max_body_bytes = watch     ? INT64_MAX
                          : q->body ? LIMIT_KUBE_LIST_BYTES
                                    : LIMIT_KUBE_ANSWER_BYTES,
        .error_body = true,
        .body = on_body,
        .done = on_done,
        .ctx = c,
    };
    buf_clear(&c->body);
    c->attempts++;
    c->state = CALL_RUNS;
    return fetch_start(&c->fetch, c->client->pool, &o, e);
}

// The attempt did not start: says so, or waits for the next one.
static void could_not(struct kube_call *c, const struct err *why) {
    struct kube_answer a = {.fault = why->code == ERR_AUTH || why->code == ERR_NOTFOUND
                                         ? KUBE_UNKNOWN_USER
                                         : KUBE_UNREACHABLE,
                            .retry_after_ms = -1,
                            .attempts = c->attempts};
    kube_answer_explain(&a.err, c->q.verb, &c->q.at, 0, (struct str){0}, why->msg, NULL);
    finish(c, &a);
}

static void advance(struct kube_call *c) {
    struct err e = {0};
    if (c->refused.code) {
        could_not(c, &c->refused);
        return;
    }
    int r = c->granted
                ? 0
                : kube_identity_ask(c->client->identity, clock_mono_ns(), clock_real_ns(), &e);
    c->granted = false;
    if (r == ERR_AGAIN) {
        c->state = CALL_WAITS_FOR_CREDENTIAL;
        return;
    }
    if (r < 0 || start(c, &e) < 0)
        could_not(c, &e);
}

// A plugin's run has ended: all who waited for it go on, from the loop.
static void on_credential(void *ctx, const struct err *e) {
    struct kube_client *client = ctx;
    for (struct kube_call *c = client->calls; c; c = c->next) {
        if (c->state != CALL_WAITS_FOR_CREDENTIAL)
            continue;
        c->refused = *e;
        c->granted = e->code == 0;
        later(c, CALL_STARTS, 0);
    }
}

int kube_client_new(struct kube_client **ret, const struct kube_client_options *options,
                    struct err *e) {
    struct kube_client *client = mem_zalloc(sizeof(*client));
    if (!client)
        return err_set(e, ERR_NOMEM, "out of memory");
    client->o = *options;
    if (client->o.backoff_min_ns == 0)
        client->o.backoff_min_ns = KUBE_BACKOFF_MIN_NS;
    if (client->o.backoff_max_ns == 0)
        client->o.backoff_max_ns = KUBE_BACKOFF_MAX_NS;
    random_init(&client->random, options->seed);
    int r = fetch_url_check(options->config->server, e);
    r = r ? r
          : kube_identity_new(&client->identity, options->loop, options->config, on_credential,
                              client, e);
    r = r ? r : fetch_pool_new(&client->pool, options->loop, e);
    if (r < 0)
        kube_client_free(client);
    else
        *ret = client;
    return r;
}

struct kube_client *kube_client_free(struct kube_client *client) {
    if (client) {
        while (client->calls)
            call_free(client->calls);
        fetch_pool_free(client->pool);
        kube_identity_free(client->identity);
        mem_free(client);
    }
    return NULL;
}

const struct err *kube_client_trouble(const struct kube_client *client) {
    return kube_identity_trouble(client->identity);
}

uv_loop_t *kube_client_loop(const struct kube_client *client) {
    return client->o.loop;
}

static int make_url(struct kube_call *c, const struct kube_request *q, struct err *e) {
    CLEANUP_BUF struct buf url;
    buf_init(&url, LIMIT_URL_BYTES);
    int r = buf_addc(&url, c->client->o.config->server);
    r = r ? err_set(e, r, "the URL does not fit") : kube_resource_path(&url, &q->at, e);
    if (r < 0)
        return r;
    if (q->query && *q->query)
        r = buf_addf(&url, "?%s", q->query);
    if (r < 0)
        return err_set(e, r, "the URL is longer than %d bytes (LIMIT_URL_BYTES)", LIMIT_URL_BYTES);
    c->url = arena_strdup(&c->strings, buf_str(&url));
    return c->url ? 0 : err_set(e, ERR_NOMEM, "out of memory");
}

static const char *copy(struct kube_call *c, const char *text, bool *ok) {
    const char *kept = text ? arena_strdup(&c->strings, str_from(text)) : NULL;
    *ok &= !text || kept;
    return kept;
}

static int copy_request(struct kube_call *c, const struct kube_request *q, struct err *e) {
    bool ok = true;
    c->q = *q;
    c->q.query = NULL;
    c->q.verb = copy(c, q->verb, &ok);
    c->q.at = (struct kube_resource){.group = copy(c, q->at.group, &ok),
                                     .version = copy(c, q->at.version, &ok),
                                     .resource = copy(c, q->at.resource, &ok),
                                     .namespace_ = copy(c, q->at.namespace_, &ok),
                                     .name = copy(c, q->at.name, &ok),
                                     .subresource = copy(c, q->at.subresource, &ok)};
    c->q.content = (struct str){0};
    c->q.content_type = copy(c, q->content_type ? q->content_type : "application/json", &ok);
    if (q->content.p) {
        char *kept = arena_strdup(&c->strings, q->content);
        c->q.content = (struct str){kept, kept ? q->content.n : 0};
        ok &= kept != NULL;
    }
    if (!ok)
        return err_set(e, ERR_NOMEM, "out of memory");
    return make_url(c, q, e);
}

int kube_client_ask(struct kube_call **ret, struct kube_client *client,
                    const struct kube_request *request, struct err *e) {
    struct kube_call *c = mem_zalloc(sizeof(*c));
    if (!c)
        return err_set(e, ERR_NOMEM, "out of memory");
    c->client = client;
    arena_init(&c->strings, LIMIT_KUBE_ANSWER_BYTES + (64 << 10));
    buf_init(&c->body, LIMIT_KUBE_ANSWER_BYTES);
    kube_backoff_init(&c->backoff, client->o.backoff_min_ns, client->o.backoff_max_ns,
                      random_u64(&client->random));
    c->next = client->calls;
    if (c->next)
        c->next->prev = c;
    client->calls = c;
    int r = copy_request(c, request, e);
    r = r ? r : net_timer_start(&c->timer, client->o.loop, 0, 0, on_time, c, e);
    if (r < 0)
        call_free(c);
    else
        *ret = c;
    return r;
}
