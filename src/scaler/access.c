// SPDX-License-Identifier: Apache-2.0
/*
 * A table of questions for each kind of review: running ones with those who wait for them, answered
 * ones until they are too old. A question is the digest of the review's JSON. The table's order is
 * that of the answers, the oldest first (running ones, few, may stand anywhere).
 */
#include "scaler/access.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/map.h"
#include "net/keyed_digest.h"

enum {
    REVIEW_TIMEOUT_MS = 5000,
    REVIEW_ATTEMPTS = 2,
    REVIEW_BYTES_MAX = 4 * LIMIT_SECRET_BYTES,
    // Each kind of review has its own half: who sends tokens that nobody knows holds up no question
    // about a user's rights, and pushes none out.
    KEPT_MAX = LIMIT_ACCESS_REVIEWS / ACCESS_REVIEW_MAX,
    ASKING_MAX = LIMIT_ACCESS_ASKING / ACCESS_REVIEW_MAX,
};

struct waiter {
    struct waiter *next;
    access_token_done token_done;
    access_check_done check_done;
    void *ctx;
};

struct question {
    struct net_digest key;
    struct access *access;
    enum access_review review;
    struct kube_call *call; // NULL: answered
    struct waiter *waiters, **last_waiter;
    bool telling; // its answer is in use
    int64_t until_ns;
    enum access_answer answer;
    struct err why;
    struct arena memory; // of the user
    struct access_user user;
    UT_hash_handle hh;
};

struct access {
    struct kube_client *kube;
    int64_t keep_ns;
    struct net_digest_key key;
    struct question *questions[ACCESS_REVIEW_MAX];
    unsigned asking[ACCESS_REVIEW_MAX], waiting;
    bool closing;
    struct access_stats stats;
};

int access_new(struct access **ret, const struct access_options *options, struct err *e) {
    struct access *a = mem_zalloc(sizeof(*a));
    if (a == NULL)
        return err_set(e, ERR_NOMEM, "no memory for access reviews");
    a->kube = options->kube;
    a->keep_ns = options->keep_ns > 0 ? options->keep_ns : ACCESS_KEEP_S * NS_PER_S;
    int rc = net_digest_key_make(&a->key, e);
    if (rc < 0) {
        mem_free(a);
        return rc;
    }
    *ret = a;
    return 0;
}

struct access_stats access_stats(const struct access *a) {
    return a->stats;
}

static void tell(const struct waiter *w, enum access_answer answer, const struct access_user *user,
                 const struct err *why) {
    if (w->token_done != NULL)
        w->token_done(w->ctx, answer == ACCESS_ALLOWED ? user : NULL, why);
    else
        w->check_done(w->ctx, answer, why->msg);
}

static void tell_unknown(const struct waiter *w, const char *why) {
    struct err e;
    (void)err_set(&e, ERR_UNAVAILABLE, "%s", why);
    tell(w, ACCESS_UNKNOWN, NULL, &e);
}

static void question_free(struct question *q) {
    HASH_DEL(q->access->questions[q->review], q);
    arena_done(&q->memory);
    mem_free(q);
}

// Tells all who wait. The question stays.
static void tell_all(struct question *q) {
    struct waiter *w = q->waiters;
    q->waiters = NULL;
    q->telling = true;
    while (w != NULL) {
        struct waiter *next = w->next;
        q->access->waiting--;
        tell(w, q->answer, &q->user, &q->why);
        mem_free(w);
        w = next;
    }
    q->telling = false;
}

static void end(struct question *q) {
    if (q->call != NULL) {
        kube_call_cancel(q->call);
        q->answer = ACCESS_UNKNOWN;
        (void)err_set(&q->why, ERR_UNAVAILABLE, "the scaler ends");
        tell_all(q);
    }
    question_free(q);
}

struct access *access_free(struct access *a) {
    if (a == NULL)
        return NULL;
    a->closing = true; // what is asked now is answered at once
    for (int review = 0; review < ACCESS_REVIEW_MAX; review++)
        while (a->questions[review] != NULL)
            end(a->questions[review]);
    explicit_bzero(&a->key, sizeof(a->key));
    mem_free(a);
    return NULL;
}

// ---- answers

static int copy_texts(const char *const **ret, struct arena *arena, const char *const *from,
                      size_t n) {
    const char **texts = arena_array(arena, n, sizeof(*texts));
    for (size_t i = 0; texts != NULL && i < n; i++)
        if ((texts[i] = arena_strdup(arena, str_from(from[i]))) == NULL)
            return ERR_LIMIT;
    *ret = texts;
    return texts != NULL ? 0 : ERR_LIMIT;
}

int access_user_copy(struct access_user *ret, struct arena *arena, const struct access_user *from) {
    struct access_user u = {.name = arena_strdup(arena, str_from(from->name)),
                            .uid = arena_strdup(arena, str_from(from->uid ? from->uid : "")),
                            .n_groups = from->n_groups,
                            .n_extra = from->n_extra};
    struct kube_extra *extra = arena_array(arena, from->n_extra, sizeof(*extra));
    if (u.name == NULL || u.uid == NULL || extra == NULL ||
        copy_texts(&u.groups, arena, from->groups, from->n_groups) < 0)
        return ERR_LIMIT;
    for (size_t i = 0; i < from->n_extra; i++) {
        extra[i].n = from->extra[i].n;
        extra[i].key = arena_strdup(arena, str_from(from->extra[i].key));
        if (extra[i].key == NULL ||
            copy_texts(&extra[i].values, arena, from->extra[i].values, extra[i].n) < 0)
            return ERR_LIMIT;
    }
    u.extra = extra;
    *ret = u;
    return 0;
}

// The server's words about a token are its own business: they are logged, not shown.
static int read_token(struct question *q, struct str body, struct err *e) {
    struct kube_token_review t;
    int rc = kube_token_review_read(&t, &q->memory, body, NULL, e);
    if (rc < 0)
        return rc;
    if (!t.authenticated) {
        q->answer = ACCESS_DENIED;
        (void)err_set(&q->why, ERR_AUTH, "The Kubernetes API knows no such token, or no longer.");
        return 0;
    }
    q->user = (struct access_user){t.user, t.uid, t.groups, t.n_groups, t.extra, t.n_extra};
    q->answer = ACCESS_ALLOWED;
    return 0;
}

static int read_right(struct question *q, struct str body, struct err *e) {
    bool allowed;
    CLEANUP_BUF struct buf reason;
    buf_init(&reason, ERR_MSG_MAX);
    int rc = kube_access_review_read(&allowed, &reason, body, e);
    if (rc < 0)
        return rc;
    q->answer = allowed ? ACCESS_ALLOWED : ACCESS_DENIED;
    if (!allowed)
        (void)err_set(&q->why, ERR_AUTH, STR_FMT, STR_ARG(buf_str(&reason)));
    return 0;
}

static void read_answer(struct question *q, const struct kube_answer *answer) {
    struct err e = answer->err;
    int rc = e.code;
    if (answer->fault == KUBE_OK)
        rc = q->review == ACCESS_REVIEW_TOKEN ? read_token(q, answer->body, &e)
                                              : read_right(q, answer->body, &e);
    else if (rc == 0)
        rc = ERR_UNAVAILABLE;
    if (rc == 0)
        return;
    q->answer = ACCESS_UNKNOWN;
    (void)err_wrap(&e, q->review == ACCESS_REVIEW_TOKEN ? "TokenReview" : "SubjectAccessReview");
    log_warn("nobody is let in: the Kubernetes API does not say who comes", LOG_ERR(&e));
    (void)err_set(&q->why, ERR_UNAVAILABLE,
                  "the Kubernetes API cannot be asked who you are and what you may read: the "
                  "scaler's log says why");
}

static void on_answer(void *ctx, const struct kube_answer *answer) {
    struct question *q = ctx;
    struct access *a = q->access;
    q->call = NULL;
    a->asking[q->review]--;
    read_answer(q, answer);
    a->stats.answers[q->review][q->answer]++;
    q->until_ns = clock_mono_ns() + a->keep_ns;
    tell_all(q);
    if (q->answer == ACCESS_UNKNOWN) {
        question_free(q);
        return;
    }
    HASH_DEL(a->questions[q->review], q); // to the end: the order is that of the answers
    HASH_ADD(hh, a->questions[q->review], key, sizeof(q->key), q);
    if (map_oom()) {
        arena_done(&q->memory);
        mem_free(q);
    }
}

// ---- questions

// Room for one more: what is too old goes, then what was answered first.
static bool make_room(struct access *a, enum access_review review) {
    int64_t now_ns = clock_mono_ns();
    struct question *q = a->questions[review];
    while (q != NULL) {
        struct question *next = q->hh.next;
        bool full = HASH_COUNT(a->questions[review]) >= KEPT_MAX;
        if (!full && q->call == NULL && q->until_ns > now_ns)
            break;
        if (q->call == NULL && !q->telling)
            question_free(q);
        q = next;
    }
    return HASH_COUNT(a->questions[review]) < KEPT_MAX;
}

static struct question *question_new(struct access *a, const struct net_digest *key,
                                     enum access_review review) {
    struct question *q = make_room(a, review) ? mem_zalloc(sizeof(*q)) : NULL;
    if (q == NULL)
        return NULL;
    q->key = *key;
    q->access = a;
    q->review = review;
    arena_init(&q->memory, LIMIT_ACCESS_USER_BYTES);
    HASH_ADD(hh, a->questions[review], key, sizeof(q->key), q);
    if (map_oom()) {
        mem_free(q);
        return NULL;
    }
    return q;
}

static int ask(struct question *q, struct str json, struct err *e) {
    static const struct kube_resource at[ACCESS_REVIEW_MAX] = {
        [ACCESS_REVIEW_TOKEN] = {.group = "authentication.k8s.io",
                                 .version = "v1",
                                 .resource = "tokenreviews"},
        [ACCESS_REVIEW_RIGHT] = {.group = "authorization.k8s.io",
                                 .version = "v1",
                                 .resource = "subjectaccessreviews"},
    };
    const struct kube_request request = {.verb = "create",
                                         .at = at[q->review],
                                         .content = json,
                                         .timeout_ms = REVIEW_TIMEOUT_MS,
                                         .attempts = REVIEW_ATTEMPTS,
                                         .repeatable = true, // a review changes nothing
                                         .done = on_answer,
                                         .ctx = q};
    int rc = kube_client_ask(&q->call, q->access->kube, &request, e);
    if (rc == 0)
        q->access->asking[q->review]++;
    return rc;
}

static void wait_for(struct question *q, const struct waiter *w) {
    struct access *a = q->access;
    struct waiter *mine = a->waiting < LIMIT_ACCESS_WAITING ? mem_alloc(sizeof(*mine)) : NULL;
    if (mine == NULL) {
        tell_unknown(w, "too many wait for the Kubernetes API's answer: try again");
        return;
    }
    *mine = *w;
    mine->next = NULL;
    if (q->waiters == NULL)
        q->waiters = mine;
    else
        *q->last_waiter = mine;
    q->last_waiter = &mine->next;
    a->waiting++;
}

static void answer_or_wait(struct question *q, const struct waiter *w) {
    if (q->call != NULL) {
        wait_for(q, w);
        return;
    }
    q->access->stats.remembered++;
    bool was = q->telling;
    q->telling = true;
    tell(w, q->answer, &q->user, &q->why);
    q->telling = was;
}

static void review(struct access *a, enum access_review review, struct str json,
                   const struct waiter *w) {
    struct net_digest key;
    if (a->closing) {
        tell_unknown(w, "the scaler ends");
        return;
    }
    if (net_digest_of(&key, &a->key, &json, 1) < 0) {
        tell_unknown(w, "memory is short");
        return;
    }
    struct question *q;
    HASH_FIND(hh, a->questions[review], &key, sizeof(key), q);
    if (q != NULL && (q->call != NULL || q->telling || q->until_ns > clock_mono_ns())) {
        answer_or_wait(q, w);
        return;
    }
    if (q != NULL)
        question_free(q);
    if (a->asking[review] >= ASKING_MAX) {
        tell_unknown(w, "too many reviews run at once: try again");
        return;
    }
    q = question_new(a, &key, review);
    struct err e = {0};
    if (q == NULL) {
        tell_unknown(w, "memory is short");
    } else if (ask(q, json, &e) < 0) {
        question_free(q);
        log_warn("nobody is let in: the Kubernetes API cannot be asked who comes", LOG_ERR(&e));
        tell_unknown(w, "the Kubernetes API cannot be asked: the scaler's log says why");
    } else {
        wait_for(q, w);
    }
}

void access_token(struct access *a, struct str token, access_token_done done, void *ctx) {
    const struct waiter w = {.token_done = done, .ctx = ctx};
    struct err e;
    CLEANUP_BUF struct buf json;
    buf_init(&json, REVIEW_BYTES_MAX);
    if (token.n == 0 || token.n > LIMIT_SECRET_BYTES) {
        (void)err_set(&e, ERR_AUTH, "the token is %s", token.n == 0 ? "empty" : "too long");
        done(ctx, NULL, &e);
        return;
    }
    if (kube_token_review_json(&json, token, NULL) < 0)
        tell_unknown(&w, "memory is short");
    else
        review(a, ACCESS_REVIEW_TOKEN, buf_str(&json), &w);
    if (json.p != NULL)
        explicit_bzero(json.p, json.len);
}

void access_check(struct access *a, const struct access_user *user, const struct kube_access *what,
                  access_check_done done, void *ctx) {
    const struct waiter w = {.check_done = done, .ctx = ctx};
    struct kube_access of = *what;
    CLEANUP_BUF struct buf json;
    of.user = user->name;
    of.uid = user->uid;
    of.groups = user->groups;
    of.n_groups = user->n_groups;
    of.extra = user->extra;
    of.n_extra = user->n_extra;
    buf_init(&json, REVIEW_BYTES_MAX);
    if (kube_access_review_json(&json, &of) < 0)
        tell_unknown(&w, "the review's question is over its limit, or memory is short");
    else
        review(a, ACCESS_REVIEW_RIGHT, buf_str(&json), &w);
}
