// SPDX-License-Identifier: Apache-2.0
/*
 * The reflector: which request is due, what its answer changes. Choices that client-go's
 * tools/cache/reflector.go makes too are marked with its words.
 */
#include "kube/reflector.h"

#include "base/clock.h"
#include "base/limits.h"
#include "kube/backoff.h"
#include "kube/resource.h"
#include "kube/split.h"

enum {
    PAGE = 250,
    EXPIRED_LISTS = 2,   // pages that expired in a row; then the list is asked in one
    CROWDED_LISTS = 2,   // in a row that end with room for what they left out; then it is watched
    REFUSED_WATCHES = 4, // answers, none of them a watch, in a row; then the place may be bad: list
    WATCH_MIN_S = 300,   // "timeoutSeconds": 5 to 10 minutes
};
#define SHORT_WATCH_NS NS_PER_S // "very short watch"
#define LIST_SILENCE_NS (60 * NS_PER_S)
#define WATCH_SILENCE_NS (150 * NS_PER_S)

struct kube_reflector {
    struct kube_reflector_options o;
    enum kube_phase phase;
    int64_t due_ns;
    struct kube_backoff backoff;
    struct kube_split split; // of the request that runs
    struct kube_object *objects;
    // The list.
    char *page_token;             // of the next page; NULL: the first
    char *list_version, *version; // of the list that runs; where the watch goes on
    unsigned generation, unread;
    unsigned expired_pages, expired_watches; // in a row
    bool left_out;    // by the list that runs: no room, as far as is known while it runs
    unsigned crowded; // lists in a row that left out what there was room for at their end
    bool over;        // more objects than allowed, said since the list began
    // The watch.
    int64_t began_ns;
    int watch_error; // the code of an ERROR event
    bool senseless;  // the answer of the request that runs
    bool progressed; // the watch that runs has moved its place
    unsigned refused;
    bool synced;
    struct kube_reflector_stats stats;
};

int kube_reflector_new(struct kube_reflector **ret, const struct kube_reflector_options *options,
                       struct err *e) {
    struct kube_reflector *r = mem_zalloc(sizeof(*r));
    if (!r)
        return err_set(e, ERR_NOMEM, "out of memory");
    r->o = *options;
    if (r->o.page == 0)
        r->o.page = PAGE;
    if (r->o.max_objects == 0)
        r->o.max_objects = LIMIT_KUBE_OBJECTS;
    if (r->o.list_silence_ns == 0)
        r->o.list_silence_ns = LIST_SILENCE_NS;
    if (r->o.watch_silence_ns == 0)
        r->o.watch_silence_ns = WATCH_SILENCE_NS;
    kube_backoff_init(&r->backoff, r->o.backoff_min_ns ? r->o.backoff_min_ns : KUBE_BACKOFF_MIN_NS,
                      r->o.backoff_max_ns ? r->o.backoff_max_ns : KUBE_BACKOFF_MAX_NS, r->o.seed);
    r->phase = KUBE_LIST_DUE;
    r->due_ns = INT64_MIN; // at once
    r->stats.contact_ns = INT64_MIN;
    *ret = r;
    return 0;
}

static bool runs(const struct kube_reflector *r) {
    return r->phase == KUBE_LISTING || r->phase == KUBE_WATCHING;
}

struct kube_reflector *kube_reflector_free(struct kube_reflector *r) {
    struct kube_object *o, *next;
    if (!r)
        return NULL;
    HASH_ITER(hh, r->objects, o, next) {
        HASH_DEL(r->objects, o);
        kube_object_free(o);
    }
    if (runs(r))
        kube_split_done(&r->split);
    mem_free(r->page_token);
    mem_free(r->list_version);
    mem_free(r->version);
    mem_free(r);
    return NULL;
}

enum kube_phase kube_reflector_phase(const struct kube_reflector *r) {
    return r->phase;
}

int64_t kube_reflector_due_ns(const struct kube_reflector *r) {
    return r->due_ns;
}

bool kube_reflector_synced(const struct kube_reflector *r) {
    return r->synced;
}

const struct kube_reflector_stats *kube_reflector_stats(const struct kube_reflector *r) {
    return &r->stats;
}

const struct kube_object *kube_reflector_next(const struct kube_reflector *r,
                                              const struct kube_object *at) {
    return at ? at->hh.next : r->objects;
}

static struct kube_object *find_key(const struct kube_reflector *r, const char *key) {
    struct kube_object *o;
    HASH_FIND(hh, r->objects, key, strlen(key), o);
    return o;
}

const struct kube_object *kube_reflector_find(const struct kube_reflector *r,
                                              const char *namespace_, const char *name) {
    char key[600];
    int n = snprintf(key, sizeof(key), "%s/%s", namespace_ ? namespace_ : "", name);
    return n > 0 && (size_t)n < sizeof(key) ? find_key(r, key) : NULL;
}

static void say_problem(struct kube_reflector *r, const struct err *problem) {
    r->stats.unread++;
    if (r->o.problem)
        r->o.problem(r->o.ctx, problem);
}

static size_t kept(const struct kube_object *o) {
    return o->kind->size + o->memory.used;
}

static void drop(struct kube_reflector *r, struct kube_object *o) {
    HASH_DEL(r->objects, o);
    r->stats.objects--;
    r->stats.kept_bytes -= kept(o);
    r->o.changed(r->o.ctx, KUBE_DELETED, NULL, o);
    kube_object_free(o);
}

// Takes `o`, which is not there yet.
static int add(struct kube_reflector *r, struct kube_object *o, const struct kube_object *was,
               struct err *e) {
    HASH_ADD_KEYPTR(hh, r->objects, o->key, strlen(o->key), o);
    if (map_oom()) {
        kube_object_free(o);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    r->stats.objects++;
    r->stats.kept_bytes += kept(o);
    r->o.changed(r->o.ctx, was ? KUBE_UPDATED : KUBE_ADDED, o, was);
    return 0;
}

static void say_over(struct kube_reflector *r) {
    struct err e = {0};
    (void)err_set(&e, ERR_LIMIT, "more than %zu %s: the rest is not seen (LIMIT_KUBE_OBJECTS)",
                  r->o.max_objects, r->o.kind->resource);
    if (!r->over)
        say_problem(r, &e);
    r->over = r->stats.over = true;
}

// The server has this object now. Takes it.
static int put(struct kube_reflector *r, struct kube_object *o, struct err *e) {
    struct kube_object *was = find_key(r, o->key);
    o->generation = r->generation;
    if (was && *o->version && strcmp(was->version, o->version) == 0 &&
        strcmp(was->uid, o->uid) == 0) {
        was->generation = r->generation;
        kube_object_free(o);
        return 0;
    }
    if (was && strcmp(was->uid, o->uid) != 0) {
        drop(r, was);
        was = NULL;
    }
    if (!was && r->stats.objects >= r->o.max_objects) {
        if (r->phase == KUBE_LISTING) // those that the list will not name make room at its end
            r->left_out = true;
        else
            say_over(r);
        kube_object_free(o);
        return 0;
    }
    if (was) { // out first: the table holds one of each key
        HASH_DEL(r->objects, was);
        r->stats.objects--;
        r->stats.kept_bytes -= kept(was);
    }
    int rc = add(r, o, was, e);
    if (rc < 0 && was) // the old one is lost with it: that is said
        r->o.changed(r->o.ctx, KUBE_DELETED, NULL, was);
    kube_object_free(was);
    return rc;
}

static struct kube_object *find_json(const struct kube_reflector *r, const json_t *meta) {
    const char *ns = json_string_value(json_object_get(meta, "namespace"));
    const char *name = json_string_value(json_object_get(meta, "name"));
    const struct kube_object *o = name ? kube_reflector_find(r, ns, name) : NULL;
    return o ? find_key(r, o->key) : NULL;
}

// What the kind reads of it; 1: not readable, said.
static int read_object(struct kube_reflector *r, const json_t *json, struct kube_object **ret,
                       struct err *e) {
    struct err why = {0};
    int rc = kube_object_read(ret, r->o.kind, json, &why);
    if (rc == 0)
        return 0;
    if (rc == ERR_NOMEM)
        return err_set(e, rc, "out of memory");
    err_wrap(&why, "%s", r->o.kind->resource);
    say_problem(r, &why);
    // Its old state is better than none: the sweep leaves it.
    struct kube_object *was = find_json(r, json_object_get(json, "metadata"));
    if (was)
        was->generation = r->generation;
    return 1;
}

// Parses one object's text; 1: it cannot be parsed, said.
static int parse(struct kube_reflector *r, struct str text, json_t **ret, struct err *e) {
    struct err why = {0};
    int rc = text.p ? kube_json_parse(text, ret, &why)
                    : err_set(&why, ERR_LIMIT,
                              "an object larger than %d bytes (LIMIT_KUBE_OBJECT_BYTES)",
                              LIMIT_KUBE_OBJECT_BYTES);
    if (rc == 0)
        return 0;
    if (rc == ERR_NOMEM)
        return err_set(e, rc, "out of memory");
    err_wrap(&why, "%s", r->o.kind->resource);
    r->unread++;
    say_problem(r, &why);
    return 1;
}

static int on_item(void *ctx, struct str text, struct err *e) {
    struct kube_reflector *r = ctx;
    CLEANUP_JSON json_t *json = NULL;
    struct kube_object *o;
    int rc = parse(r, text, &json, e);
    rc = rc ? rc : read_object(r, json, &o, e);
    return rc == 0 ? put(r, o, e) : rc < 0 ? rc : 0;
}

static int set_text(char **at, const char *text, struct err *e) {
    char *copy = mem_strdup(text);
    if (!copy)
        return err_set(e, ERR_NOMEM, "out of memory");
    mem_free(*at);
    *at = copy;
    return 0;
}

// {"type":"ERROR","object":{"kind":"Status","code":410,...}}
static int take_error(struct kube_reflector *r, const json_t *status, struct err *e) {
    char shown[256];
    kube_clean(shown, sizeof(shown), json_string_value(json_object_get(status, "message")));
    r->watch_error = (int)kube_read_int(status, "code", 500);
    return err_set(e, ERR_CLOSED, "the watch ended with an error (%d): %s", r->watch_error,
                   *shown ? shown : "without a message");
}

// Of the name's former bearer where that is told late, the present one stays.
static void take_deleted(struct kube_reflector *r, const json_t *meta) {
    struct kube_object *was = find_json(r, meta);
    const char *uid = json_string_value(json_object_get(meta, "uid"));
    if (was && (!uid || strcmp(uid, was->uid) == 0))
        drop(r, was);
}

static int take_event(struct kube_reflector *r, const char *type, const json_t *json,
                      struct err *e) {
    const char *version = json_string_value(
        json_object_get(json_object_get(json, "metadata"), "resourceVersion"));
    struct kube_object *o;
    if (strcmp(type, "ERROR") == 0)
        return take_error(r, json, e);
    if (!version || !*version)
        return err_set(e, ERR_PROTO, "an event without metadata.resourceVersion");
    if (strcmp(type, "BOOKMARK") == 0) {
        r->stats.bookmarks++;
        r->progressed = true;
        return set_text(&r->version, version, e);
    }
    bool gone = strcmp(type, "DELETED") == 0;
    if (!gone && strcmp(type, "ADDED") != 0 && strcmp(type, "MODIFIED") != 0)
        return err_set(e, ERR_PROTO, "an event of an unknown type");
    r->stats.events++;
    r->progressed = true;
    int rc = 0;
    if (gone)
        take_deleted(r, json_object_get(json, "metadata"));
    else if ((rc = read_object(r, json, &o, e)) == 0)
        rc = put(r, o, e);
    return rc < 0 ? rc : set_text(&r->version, version, e);
}

static int on_event(void *ctx, struct str text, struct err *e) {
    struct kube_reflector *r = ctx;
    CLEANUP_JSON json_t *json = NULL;
    int rc = parse(r, text, &json, e);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    const char *type = json_string_value(json_object_get(json, "type"));
    return take_event(r, type ? type : "", json_object_get(json, "object"), e);
}

static int add_parameter(struct buf *query, const char *name, const char *value) {
    if (!value)
        return 0;
    int r = buf_addf(query, "&%s=", name);
    return r ? r : kube_query_value(query, str_from(value));
}

static int list_query(struct kube_reflector *r, struct buf *query) {
    int rc = r->expired_pages > EXPIRED_LISTS ? buf_addc(query, "limit=0")
                                              : buf_addf(query, "limit=%u", r->o.page);
    return rc ? rc : add_parameter(query, "continue", r->page_token);
}

static int watch_query(struct kube_reflector *r, struct buf *query) {
    int rc = buf_addf(query, "watch=1&allowWatchBookmarks=true&timeoutSeconds=%u",
                      WATCH_MIN_S + (unsigned)random_below(&r->backoff.random, WATCH_MIN_S));
    return rc ? rc : add_parameter(query, "resourceVersion", r->version);
}

// Only a watch that lives resets the back-off (watch_ended()): a list may be good again and again
// while no watch is.
static void went_well(struct kube_reflector *r) {
    r->stats.failing = 0;
    r->stats.last_error = (struct err){0};
}

static void went_wrong(struct kube_reflector *r, int64_t now_ns, const struct err *e,
                       int64_t retry_after_ms) {
    r->stats.failures++;
    r->stats.failing++;
    r->stats.last_error = *e;
    r->due_ns = now_ns + kube_backoff_next_ns(&r->backoff, retry_after_ms);
}

int kube_reflector_begin(struct kube_reflector *r, int64_t now_ns, struct buf *query,
                         struct err *e) {
    bool list = r->phase == KUBE_LIST_DUE;
    int rc = list ? list_query(r, query) : watch_query(r, query);
    rc = rc ? rc : add_parameter(query, "labelSelector", r->o.label_selector);
    rc = rc ? rc : add_parameter(query, "fieldSelector", r->o.field_selector);
    if (rc) {
        struct err why = {0};
        (void)err_set(&why, rc, "the query does not fit");
        went_wrong(r, now_ns, &why, -1);
        return err_set(e, rc, "%s", why.msg);
    }
    if (list && !r->page_token) {
        r->generation++;
        r->stats.lists++;
        r->unread = 0;
        r->over = r->left_out = false;
    }
    if (list)
        r->stats.pages++;
    else
        r->stats.watches++;
    kube_split_init(&r->split, list ? KUBE_SPLIT_LIST : KUBE_SPLIT_STREAM, LIMIT_KUBE_OBJECT_BYTES,
                    list ? on_item : on_event, r);
    r->phase = list ? KUBE_LISTING : KUBE_WATCHING;
    r->began_ns = now_ns;
    r->watch_error = 0;
    r->senseless = r->progressed = false;
    r->due_ns = now_ns + (list ? r->o.list_silence_ns : r->o.watch_silence_ns);
    return 0;
}

int kube_reflector_feed(struct kube_reflector *r, int64_t now_ns, const char *p, size_t n,
                        struct err *e) {
    bool list = r->phase == KUBE_LISTING;
    r->stats.bytes += n;
    r->stats.contact_ns = now_ns;
    r->due_ns = now_ns + (list ? r->o.list_silence_ns : r->o.watch_silence_ns);
    int rc = kube_split_feed(&r->split, p, n, e);
    r->senseless |= rc < 0;
    if (!list && r->progressed && rc == 0 && r->stats.failing > 0)
        went_well(r);
    return rc;
}

static void sweep(struct kube_reflector *r) {
    struct kube_object *o, *next;
    HASH_ITER(hh, r->objects, o, next) {
        if (o->generation != r->generation)
            drop(r, o);
    }
}

// A page that came whole: what it says of itself.
static int read_page(struct kube_reflector *r, const char **ret_token, json_t **ret_rest,
                     struct err *e) {
    int rc = kube_split_end(&r->split, e);
    rc = rc ? rc : kube_json_parse(kube_split_rest(&r->split), ret_rest, e);
    if (rc)
        return rc;
    const json_t *meta = json_object_get(*ret_rest, "metadata");
    const json_t *items = json_object_get(*ret_rest, "items");
    const char *kind = json_string_value(json_object_get(*ret_rest, "kind"));
    const char *version = json_string_value(json_object_get(meta, "resourceVersion"));
    const char *token = json_string_value(json_object_get(meta, "continue"));
    bool is_list = kind && str_ends(str_from(kind), "List") && version && *version &&
                   (json_is_null(items) || (json_is_array(items) && json_array_size(items) == 0));
    if (!is_list)
        return err_set(e, ERR_PROTO, "the answer is no list with items and a resourceVersion");
    *ret_token = token && *token ? token : NULL;
    if (*ret_token && strlen(token) > LIMIT_KUBE_CONTINUE_BYTES)
        return err_set(e, ERR_LIMIT, "the list's continue is longer than %d bytes",
                       LIMIT_KUBE_CONTINUE_BYTES);
    // The watch begins where the first page was read: what happened meanwhile is told again.
    return r->page_token ? 0 : set_text(&r->list_version, version, e);
}

static void forget_page(struct kube_reflector *r) {
    mem_free(r->page_token);
    r->page_token = NULL;
}

static void list_is_whole(struct kube_reflector *r, int64_t now_ns) {
    forget_page(r);
    mem_free(r->version);
    r->version = TAKE_PTR(r->list_version);
    r->expired_pages = 0;
    // An object whose very name is unknown may be any of those that were not seen.
    if (r->unread == 0)
        sweep(r);
    if (r->left_out && r->stats.objects < r->o.max_objects && ++r->crowded <= CROWDED_LISTS) {
        // There is room now for what had none. The first time at once, then with patience; and not
        // for ever: where objects come and go while it is listed, each list may leave some out.
        r->stats.over = true;
        if (r->crowded > 1)
            r->due_ns = now_ns + kube_backoff_next_ns(&r->backoff, -1);
        return;
    }
    r->crowded = 0;
    r->phase = KUBE_WATCH_DUE;
    if (r->left_out)
        say_over(r);
    r->stats.over = r->over;
    r->synced = true;
    if (r->o.synced)
        r->o.synced(r->o.ctx);
}

// The place has gone. The first time at once, then with patience.
static void has_expired(struct kube_reflector *r, unsigned times, int64_t now_ns,
                        const struct kube_end *end) {
    r->stats.expired++;
    forget_page(r);
    r->phase = KUBE_LIST_DUE;
    r->due_ns = now_ns;
    if (times > 1 || end->retry_after_ms > 0)
        r->due_ns += kube_backoff_next_ns(&r->backoff, end->retry_after_ms);
}

static void list_ended(struct kube_reflector *r, int64_t now_ns, const struct kube_end *end,
                       struct err *e) {
    CLEANUP_JSON json_t *rest = NULL;
    const char *token = NULL;
    r->phase = KUBE_LIST_DUE;
    if (end->status == 410 && r->page_token) {
        has_expired(r, ++r->expired_pages, now_ns, end);
        return;
    }
    int rc = end->whole ? read_page(r, &token, &rest, e) : e->code;
    if (rc == 0 && token)
        rc = set_text(&r->page_token, token, e);
    if (rc < 0) {
        went_wrong(r, now_ns, e, end->retry_after_ms);
        return;
    }
    went_well(r);
    r->stats.contact_ns = now_ns;
    r->due_ns = now_ns;
    if (!token)
        list_is_whole(r, now_ns);
}

// An answer that says: this watch, from this place, will never be.
static bool is_refusal(int status) {
    return status >= 400 && status < 500 && status != 401 && status != 403 && status != 408 &&
           status != 429;
}

static void watch_ended(struct kube_reflector *r, int64_t now_ns, const struct kube_end *end,
                        struct err *e) {
    int status = r->watch_error ? r->watch_error : end->status;
    bool answered = end->status >= 200 && end->status < 300;
    bool lived = answered && now_ns - r->began_ns >= SHORT_WATCH_NS;
    r->phase = KUBE_WATCH_DUE;
    if (lived || r->progressed)
        went_well(r);
    if (lived) {
        kube_backoff_reset(&r->backoff);
        r->refused = r->expired_watches = 0;
    }
    if (status == 410) {
        has_expired(r, ++r->expired_watches, now_ns, end);
        return;
    }
    if (!r->senseless && (lived || r->progressed)) { // its time was up, or it was cut: resume
        r->due_ns = now_ns + (lived ? 0 : kube_backoff_next_ns(&r->backoff, -1));
        return;
    }
    r->refused += end->status != 0 && !answered;
    if (r->senseless || is_refusal(status) || r->refused >= REFUSED_WATCHES) {
        r->refused = 0;
        r->phase = KUBE_LIST_DUE;
    }
    went_wrong(r, now_ns, e, end->retry_after_ms);
}

void kube_reflector_end(struct kube_reflector *r, int64_t now_ns, const struct kube_end *end) {
    struct err e = {0};
    if (end->error && end->error->code)
        e = *end->error;
    else if (!end->whole || r->phase == KUBE_WATCHING)
        (void)err_set(&e, ERR_CLOSED, "the answer ended early");
    if (r->phase == KUBE_LISTING)
        list_ended(r, now_ns, end, &e);
    else
        watch_ended(r, now_ns, end, &e);
    kube_split_done(&r->split);
}
