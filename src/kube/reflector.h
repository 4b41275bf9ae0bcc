// SPDX-License-Identifier: Apache-2.0
/*
 * A cache that follows a collection of the Kubernetes API: lists it in pages, watches it from
 * there, resumes where a watch ended, lists again when the server has forgotten that place (410),
 * backs off, and sees a connection that went silent. The state machine alone, without I/O and
 * clock: whoever has a connection (kube/informer, a test) asks what is due, passes the answer's
 * bytes in as they come, and tells how it ended.
 *
 *     LIST_DUE -> LISTING -> (more pages: LIST_DUE) -> WATCH_DUE -> WATCHING -> WATCH_DUE
 *         ^___________________ 410, a refused watch _________________________|
 *
 * Objects stay while nothing is known to have changed: a server that is away, or a list that broke
 * off, deletes nothing. Only a whole list, or the watch, says that something is gone. Nothing is
 * repeated ("resync") when nothing changed.
 */
#pragma once

#include "base/buf.h"
#include "kube/object.h"

enum kube_phase { KUBE_LIST_DUE, KUBE_LISTING, KUBE_WATCH_DUE, KUBE_WATCHING };
enum kube_change { KUBE_ADDED, KUBE_UPDATED, KUBE_DELETED };

struct kube_reflector;

struct kube_reflector_options {
    const struct kube_kind *kind;
    const char *namespace_;                      // NULL: all. Strings are borrowed
    const char *label_selector, *field_selector; // NULL: none
    uint32_t page;                               // objects a page; 0: 250
    size_t max_objects;                          // 0: LIMIT_KUBE_OBJECTS
    uint64_t seed;                               // of jitter
    int64_t backoff_min_ns, backoff_max_ns;      // 0: kube/backoff.h's
    // So long without a byte is the connection's end; 0: 60 s, and 150 s (bookmarks come each
    // minute).
    int64_t list_silence_ns, watch_silence_ns;
    // An object came, changed (`was` is what it was) or went (then `now` is NULL). From inside
    // kube_reflector_feed() and _end(); must not call back. A name that comes again with another
    // uid goes first. Pointers are good until the next change of this object.
    void (*changed)(void *ctx, enum kube_change change, const struct kube_object *now,
                    const struct kube_object *was);
    // A whole list has come: the cache holds what the server had. NULL: nobody asks.
    void (*synced)(void *ctx);
    // An object that cannot be read or kept: the rest goes on. NULL: nobody asks.
    void (*problem)(void *ctx, const struct err *e);
    void *ctx;
};

int kube_reflector_new(struct kube_reflector **ret, const struct kube_reflector_options *options,
                       struct err *e);
struct kube_reflector *kube_reflector_free(struct kube_reflector *r); // tells no changes

enum kube_phase kube_reflector_phase(const struct kube_reflector *r);
// _DUE: when to begin the request. LISTING, WATCHING: when to cut it for silence.
int64_t kube_reflector_due_ns(const struct kube_reflector *r);
// In a _DUE phase: begins, and appends the request's query ("limit=250"). ERR_NOMEM, ERR_LIMIT (the
// query does not fit): nothing has begun, it is due after a back-off.
int kube_reflector_begin(struct kube_reflector *r, int64_t now_ns, struct buf *query,
                         struct err *e);
// Bytes of a success's body. Negative: the request is to be ended, and kube_reflector_end() called.
int kube_reflector_feed(struct kube_reflector *r, int64_t now_ns, const char *p, size_t n,
                        struct err *e);

struct kube_end {
    bool whole;              // a success whose body came to its end
    int status;              // HTTP's; 0: no answer
    int64_t retry_after_ms;  // -1: none
    const struct err *error; // NULL: none
};
void kube_reflector_end(struct kube_reflector *r, int64_t now_ns, const struct kube_end *end);

// Has there been a whole list? Stays true.
bool kube_reflector_synced(const struct kube_reflector *r);
const struct kube_object *kube_reflector_find(const struct kube_reflector *r,
                                              const char *namespace_, const char *name);
// All of them, in no order: NULL is before the first and behind the last.
const struct kube_object *kube_reflector_next(const struct kube_reflector *r,
                                              const struct kube_object *at);

struct kube_reflector_stats {
    uint64_t lists, pages, watches; // begun lists; requests
    uint64_t expired;               // 410: of a list's next page, or of a watch's place
    uint64_t failures;              // requests that ended otherwise
    uint64_t events, bookmarks;     // of watches
    uint64_t unread;                // objects that could not be read or kept
    uint64_t bytes;                 // of answers
    size_t objects, kept_bytes;     // now
    bool over;                      // there are more than it keeps: the rest is not seen
    int64_t contact_ns;             // the last byte, or whole answer; INT64_MIN: none yet
    unsigned failing;               // failures in a row, now
    struct err last_error;          // of them; code 0: none
};
// The struct is the reflector's and changes with it.
const struct kube_reflector_stats *kube_reflector_stats(const struct kube_reflector *r);
