// SPDX-License-Identifier: Apache-2.0
/*
 * Who comes, and may they: TokenReviews and SubjectAccessReviews of the API server. An answer is
 * remembered for ACCESS_KEEP_S, by a keyed digest of the question (no token is kept); a question
 * that many ask at once is asked of the server once. Where the server cannot be asked, nobody is
 * let in, save by what is remembered. io thread.
 *
 * `done` is called exactly once: inside the call when the answer is known, else later from the
 * loop. What it is given is good while it runs.
 */
#pragma once

#include "kube/client.h"
#include "kube/write.h"

enum { ACCESS_KEEP_S = 10 }; // as long as the delegating API servers of Kubernetes do

struct access;

struct access_options {
    struct kube_client *kube; // borrowed
    int64_t keep_ns;          // 0: ACCESS_KEEP_S
};

struct access_user {
    const char *name, *uid; // uid "": not told
    const char *const *groups;
    size_t n_groups;
    const struct kube_extra *extra;
    size_t n_extra;
};

enum access_answer {
    ACCESS_ALLOWED,
    ACCESS_DENIED,
    ACCESS_UNKNOWN, // the API server could not be asked, or gave no sensible answer
    ACCESS_ANSWER_MAX,
};
enum access_review { ACCESS_REVIEW_TOKEN, ACCESS_REVIEW_RIGHT, ACCESS_REVIEW_MAX };

struct access_stats {
    uint64_t answers[ACCESS_REVIEW_MAX][ACCESS_ANSWER_MAX]; // of the server, or their want
    uint64_t remembered;                                    // questions answered from memory
};

// ERR_NOMEM, ERR_IO.
int access_new(struct access **ret, const struct access_options *options, struct err *e);
// Who still waits is told "unknown". NULL-safe; not from inside `done`; before the client goes.
struct access *access_free(struct access *a);

// Whose bearer token is this? user NULL: why->code ERR_AUTH (nobody's, expired, too long), or
// ERR_UNAVAILABLE (not known now). `why` may be shown to who asked.
typedef void (*access_token_done)(void *ctx, const struct access_user *user, const struct err *why);
void access_token(struct access *a, struct str token, access_token_done done, void *ctx);

// May the user do this? Of `what`, the user's own fields are not looked at. `reason`: the server's
// words for a denial ("": none), ours for "unknown".
typedef void (*access_check_done)(void *ctx, enum access_answer answer, const char *reason);
void access_check(struct access *a, const struct access_user *user, const struct kube_access *what,
                  access_check_done done, void *ctx);

// Deep, into the arena. ERR_NOMEM, ERR_LIMIT.
int access_user_copy(struct access_user *ret, struct arena *arena, const struct access_user *from);

struct access_stats access_stats(const struct access *a);
