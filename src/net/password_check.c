// SPDX-License-Identifier: Apache-2.0
/*
 * A bounded list of waiting checks, of which the first runs in libuv's pool: one alone, so that the
 * pool's other threads stay free for names (DNS). See the header.
 */
#include "net/password_check.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <stdio.h>

#include "base/limits.h"
#include "base/map.h"
#include "net/keyed_digest.h"

enum { HASH_CHARS = 60, PREFIX_CHARS = 7 }; // "$2y$10$", 22 of salt, 31 of the hash

struct job {
    struct job *next;
    uv_work_t work;
    struct password_checks *checks; // NULL: gone
    struct net_digest key;
    char password[LIMIT_PASSWORD_BYTES + 1], hash[HASH_CHARS + 1];
    bool real; // there is such a user
    bool right;
    void (*done)(void *ctx, enum password_verdict verdict);
    void *ctx;
};

struct known {
    struct net_digest key;
    UT_hash_handle hh;
};

struct password_checks {
    uv_loop_t *loop;
    struct net_digest_key key;
    struct job *first, **last; // the first runs
    unsigned n;
    struct known *known; // in order: the oldest first
};

static bool is_bcrypt_char(char c) {
    return (c >= '.' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

int password_hash_check(const char *hash, struct err *e) {
    bool good = hash[0] == '$' && hash[1] == '2' &&
                (hash[2] == 'a' || hash[2] == 'b' || hash[2] == 'y') && hash[3] == '$' &&
                hash[4] >= '0' && hash[4] <= '3' && hash[5] >= '0' && hash[5] <= '9' &&
                hash[6] == '$' && strlen(hash) == HASH_CHARS;
    for (size_t i = PREFIX_CHARS; good && i < HASH_CHARS; i++)
        good = is_bcrypt_char(hash[i]);
    if (!good)
        return err_set(e, ERR_INVALID,
                       "expected a bcrypt hash ($2y$10$..., 60 characters), as `htpasswd -nB` "
                       "prints it, in quotes");
    int cost = password_hash_cost(hash);
    if (cost < 4 || cost > PASSWORD_COST_MAX)
        return err_set(e, ERR_INVALID, "the hash's cost is %d, expected 4 to %d", cost,
                       PASSWORD_COST_MAX);
    return 0;
}

int password_hash_cost(const char *hash) {
    return (hash[4] - '0') * 10 + hash[5] - '0';
}

int password_checks_new(struct password_checks **ret, uv_loop_t *loop, struct err *e) {
    struct password_checks *p = mem_zalloc(sizeof(*p));
    if (p == NULL)
        return err_set(e, ERR_NOMEM, "no memory for passwords");
    p->loop = loop;
    p->last = &p->first;
    int rc = net_digest_key_make(&p->key, e);
    if (rc < 0) {
        mem_free(p);
        return rc;
    }
    *ret = p;
    return 0;
}

// ---- what was right

static bool is_known(const struct password_checks *p, const struct net_digest *key) {
    struct known *k;
    HASH_FIND(hh, p->known, key, sizeof(*key), k);
    return k != NULL;
}

static void known_free(struct password_checks *p, struct known *k) {
    HASH_DEL(p->known, k);
    mem_free(k);
}

static void remember(struct password_checks *p, const struct net_digest *key) {
    if (is_known(p, key))
        return;
    if (HASH_COUNT(p->known) >= LIMIT_PASSWORDS_KEPT)
        known_free(p, p->known);
    struct known *k = mem_zalloc(sizeof(*k));
    if (k == NULL)
        return; // it is checked again
    k->key = *key;
    HASH_ADD(hh, p->known, key, sizeof(k->key), k);
    if (map_oom())
        mem_free(k);
}

void password_checks_forget(struct password_checks *p) {
    while (p->known != NULL)
        known_free(p, p->known);
}

// ---- checks

static void job_free(struct job *j) {
    explicit_bzero(j, sizeof(*j));
    mem_free(j);
}

// The work thread: nothing but the job is touched.
static void run(uv_work_t *work) {
    struct job *j = container_of(work, struct job, work);
    struct crypt_data *data = mem_zalloc(sizeof(*data));
    if (data == NULL)
        return;
    const char *made = crypt_r(j->password, j->hash, data);
    j->right = made != NULL && strlen(made) == HASH_CHARS &&
               CRYPTO_memcmp(made, j->hash, HASH_CHARS) == 0 && j->real;
    explicit_bzero(data, sizeof(*data));
    mem_free(data);
}

static void ran(uv_work_t *work, int status);

static void answer(struct job *j, enum password_verdict verdict) {
    void (*done)(void *, enum password_verdict) = j->done;
    void *ctx = j->ctx;
    job_free(j);
    done(ctx, verdict);
}

static struct job *take_first(struct password_checks *p) {
    struct job *j = p->first;
    p->first = j->next;
    if (p->first == NULL)
        p->last = &p->first;
    p->n--;
    return j;
}

static void start(struct password_checks *p) {
    while (p->first != NULL && uv_queue_work(p->loop, &p->first->work, run, ran) < 0)
        answer(take_first(p), PASSWORD_BUSY);
}

// Those who wait with what is known by now need no check.
static struct job *take_known(struct password_checks *p) {
    struct job *known = NULL, **last = &known, **at = &p->first;
    while (*at != NULL) {
        struct job *j = *at;
        if (!is_known(p, &j->key)) {
            at = &j->next;
            continue;
        }
        *at = j->next;
        j->next = NULL;
        *last = j;
        last = &j->next;
        p->n--;
    }
    p->last = at;
    return known;
}

static void ran(uv_work_t *work, int status) {
    struct job *j = container_of(work, struct job, work);
    struct password_checks *p = j->checks;
    if (p == NULL) { // who asked was told
        job_free(j);
        return;
    }
    take_first(p);
    if (j->right)
        remember(p, &j->key);
    struct job *known = take_known(p);
    start(p);
    answer(j, j->right ? PASSWORD_RIGHT : PASSWORD_WRONG);
    while (known != NULL) {
        struct job *x = known;
        known = x->next;
        answer(x, PASSWORD_RIGHT);
    }
}

struct password_checks *password_checks_free(struct password_checks *p) {
    if (p == NULL)
        return NULL;
    password_checks_forget(p);
    struct job *j = p->first, *running = j;
    p->first = NULL;
    while (j != NULL) {
        struct job *next = j->next;
        if (j == running) { // its thread has it: only who asked is told
            j->checks = NULL;
            j->done(j->ctx, PASSWORD_BUSY);
        } else {
            answer(j, PASSWORD_BUSY);
        }
        j = next;
    }
    explicit_bzero(&p->key, sizeof(p->key));
    mem_free(p);
    return NULL;
}

// A hash that no password has, of this cost.
static void no_hash(char ret[HASH_CHARS + 1], int cost) {
    snprintf(ret, HASH_CHARS + 1, "$2b$%02d$%.53s", cost,
             "abcdefghijklmnopqrstuuabcdefghijklmnopqrstuvwxyzABCDE");
}

static struct job *job_new(struct password_checks *p, const struct password_question *q,
                           const struct net_digest *key) {
    struct job *j = p->n < LIMIT_PASSWORDS_WAITING ? mem_zalloc(sizeof(*j)) : NULL;
    if (j == NULL)
        return NULL;
    j->checks = p;
    j->key = *key;
    j->real = q->hash != NULL;
    (void)str_copy(j->password, sizeof(j->password), q->password);
    if (q->hash != NULL)
        (void)str_copy(j->hash, sizeof(j->hash), str_from(q->hash));
    else
        no_hash(j->hash, q->cost);
    return j;
}

void password_check(struct password_checks *p, const struct password_question *q,
                    void (*done)(void *ctx, enum password_verdict verdict), void *ctx) {
    const struct str parts[] = {q->user, str_from(q->hash ? q->hash : ""), q->password};
    struct net_digest key;
    if (q->password.n > LIMIT_PASSWORD_BYTES ||
        (q->password.n > 0 && memchr(q->password.p, 0, q->password.n) != NULL)) {
        done(ctx, PASSWORD_WRONG); // crypt() would not see all of it
        return;
    }
    if (net_digest_of(&key, &p->key, parts, COUNT_OF(parts)) < 0) {
        done(ctx, PASSWORD_BUSY);
        return;
    }
    if (is_known(p, &key)) {
        done(ctx, PASSWORD_RIGHT);
        return;
    }
    struct job *j = job_new(p, q, &key);
    if (j == NULL) {
        done(ctx, PASSWORD_BUSY);
        return;
    }
    j->done = done;
    j->ctx = ctx;
    bool idle = p->first == NULL;
    *p->last = j;
    p->last = &j->next;
    p->n++;
    if (idle)
        start(p);
}
