// SPDX-License-Identifier: Apache-2.0
/* Faults and their sentences. */
#include "kube/answer.h"

#include "base/mem.h"
#include "kube/object.h"

static const char *const names[KUBE_FAULT_MAX] = {
    [KUBE_OK] = "ok",
    [KUBE_UNREACHABLE] = "unreachable",
    [KUBE_UNKNOWN_USER] = "unknown_user",
    [KUBE_FORBIDDEN] = "forbidden",
    [KUBE_NOT_FOUND] = "not_found",
    [KUBE_CONFLICT] = "conflict",
    [KUBE_GONE] = "gone",
    [KUBE_INVALID] = "invalid",
    [KUBE_BUSY] = "busy",
    [KUBE_SENSELESS] = "senseless",
};

const char *kube_fault_name(enum kube_fault f) {
    return (unsigned)f < KUBE_FAULT_MAX ? names[f] : "unknown";
}

enum kube_fault kube_fault_of(int status) {
    switch (status) {
    case 0:
        return KUBE_UNREACHABLE;
    case 401:
        return KUBE_UNKNOWN_USER;
    case 403:
        return KUBE_FORBIDDEN;
    case 404:
        return KUBE_NOT_FOUND;
    case 409:
        return KUBE_CONFLICT;
    case 410:
        return KUBE_GONE;
    case 400:
    case 405:
    case 413:
    case 415:
    case 422:
        return KUBE_INVALID;
    case 408:
    case 429:
        return KUBE_BUSY;
    default:
        return status >= 200 && status < 300   ? KUBE_OK
               : status >= 500 && status < 600 ? KUBE_BUSY
                                               : KUBE_SENSELESS;
    }
}

// The message of a Status, else the body's beginning.
static void read_words(struct str body, char *dst, size_t cap) {
    CLEANUP_JSON json_t *json = NULL;
    char start[256];
    dst[0] = '\0';
    if (body.n == 0)
        return;
    if (kube_json_parse(body, &json, NULL) == 0) {
        const char *message = json_string_value(json_object_get(json, "message"));
        kube_clean(dst, cap, message);
        return;
    }
    size_t n = body.n < sizeof(start) - 1 ? body.n : sizeof(start) - 1;
    memcpy(start, body.p, n);
    start[n] = '\0';
    kube_clean(dst, cap, start);
}

static const char *remedy(enum kube_fault f, const struct kube_resource *at) {
    switch (f) {
    case KUBE_CONFLICT:
        return "it exists already, or somebody else changed it";
    case KUBE_NOT_FOUND:
        return at->name ? "not found"
                        : "the API server has no such resource: is its CRD installed?";
    case KUBE_GONE:
        return "too old, it has to be listed again";
    case KUBE_INVALID:
        return "the API server refuses the request";
    case KUBE_BUSY:
        return "the API server is overloaded or starting";
    default:
        return "no answer of the Kubernetes API: is it the API server's address?";
    }
}

void kube_answer_explain(struct err *e, const char *verb, const struct kube_resource *at,
                         int status, struct str body, const char *why, const char *user) {
    enum kube_fault f = kube_fault_of(status);
    CLEANUP_BUF struct buf words;
    char said[240];
    buf_init(&words, 150);
    kube_resource_words(&words, at);
    read_words(body, said, sizeof(said));
    struct str what = buf_str(&words);
    const char *quote = *said ? ": " : "";
    if (f == KUBE_UNREACHABLE)
        (void)err_set(e, ERR_UNAVAILABLE, "cannot %s " STR_FMT ": %s", verb, STR_ARG(what),
                      why && *why ? why : "no answer");
    else if (f == KUBE_FORBIDDEN) // with what a Role's rule must have
        (void)err_set(e, ERR_AUTH,
                      "may not %s " STR_FMT " (403): its Role needs apiGroups \"%.64s\", resources "
                      "\"%.64s%s%.32s\", verbs \"%s\"%s%s",
                      verb, STR_ARG(what), at->group ? at->group : "",
                      at->resource ? at->resource : "", at->subresource ? "/" : "",
                      at->subresource ? at->subresource : "", verb, quote, said);
    else if (f == KUBE_UNKNOWN_USER)
        (void)err_set(e, ERR_AUTH,
                      "cannot %s " STR_FMT ": the API server does not know us (401): the token or "
                      "certificate of %.120s has expired or is another cluster's%s%s",
                      verb, STR_ARG(what), user ? user : "the configuration", quote, said);
    else
        (void)err_set(e,
                      f == KUBE_NOT_FOUND  ? ERR_NOTFOUND
                      : f == KUBE_CONFLICT ? ERR_EXISTS
                      : f == KUBE_BUSY     ? ERR_UNAVAILABLE
                      : f == KUBE_INVALID  ? ERR_INVALID
                                           : ERR_PROTO,
                      "cannot %s " STR_FMT " (%d): %s%s%s", verb, STR_ARG(what), status,
                      remedy(f, at), quote, said);
}
