// SPDX-License-Identifier: Apache-2.0
/* Objects as JSON. The buffer keeps its first failure, which is looked at once. */
#include "kube/write.h"

#include "base/clock.h"
#include "kube/kinds.h"
#include "kube/resource.h"

enum { EVENT_MESSAGE_MAX = 1024 }; // pkg/apis/core/validation/events.go, NoteLengthLimit

static bool given(const char *s) {
    return s && *s;
}

// "key":"value", with a comma before it unless it is the first of its map.
static void add(struct buf *out, const char *key, const char *value) {
    bool first = out->len > 0 && out->p[out->len - 1] == '{';
    (void)buf_addf(out, "%s\"%s\":", first ? "" : ",", key);
    (void)buf_add_json(out, str_from(value ? value : ""));
}

static void add_given(struct buf *out, const char *key, const char *value) {
    if (given(value))
        add(out, key, value);
}

static void add_int(struct buf *out, const char *key, int64_t value) {
    (void)buf_addf(out, ",\"%s\":%lld", key, (long long)value);
}

// RFC 3339 with microseconds: what a MicroTime must have, and a Time may.
static void add_time(struct buf *out, const char *key, int64_t at_ns) {
    char text[40];
    clock_format_utc(at_ns, text, sizeof(text));
    size_t n = strlen(text);
    if (n == 0 || text[n - 1] != 'Z')
        return;
    (void)buf_addf(out, ",\"%s\":\"%.*s%03lldZ\"", key, (int)n - 1, text,
                   (long long)(at_ns / NS_PER_US % 1000));
}

static void add_head(struct buf *out, const char *api, const char *kind) {
    (void)buf_addc(out, "{");
    add(out, "apiVersion", api);
    add(out, "kind", kind);
}

static void begin_metadata(struct buf *out, const char *ns, const char *name, const char *version) {
    (void)buf_addc(out, ",\"metadata\":{");
    add(out, "namespace", ns);
    add(out, "name", name);
    add_given(out, "resourceVersion", version);
}

static void add_metadata(struct buf *out, const char *ns, const char *name, const char *version) {
    begin_metadata(out, ns, name, version);
    (void)buf_addc(out, "}");
}

static void add_message(struct buf *out, const char *message) {
    size_t n = strlen(message);
    if (n > EVENT_MESSAGE_MAX)
        for (n = EVENT_MESSAGE_MAX; n > 0 && ((unsigned char)message[n] & 0xc0) == 0x80;)
            n--; // no character is cut
    (void)buf_addc(out, ",\"message\":");
    (void)buf_add_json(out, (struct str){message, n});
}

int kube_event_json(struct buf *out, const struct kube_event *e) {
    add_head(out, "v1", "Event");
    add_metadata(out, e->namespace_, e->name, NULL);
    (void)buf_addc(out, ",\"involvedObject\":{");
    add(out, "apiVersion", e->api);
    add(out, "kind", e->kind);
    add(out, "namespace", e->namespace_);
    add(out, "name", e->object);
    add_given(out, "uid", e->uid);
    add_given(out, "resourceVersion", e->version);
    (void)buf_addc(out, "}");
    add(out, "type", e->warning ? "Warning" : "Normal");
    add(out, "reason", e->reason);
    add_message(out, e->message);
    (void)buf_addc(out, ",\"source\":{");
    add(out, "component", e->component);
    (void)buf_addc(out, "}");
    add(out, "reportingComponent", e->component);
    add(out, "reportingInstance", e->instance);
    add_int(out, "count", 1);
    add_time(out, "firstTimestamp", e->at_ns);
    add_time(out, "lastTimestamp", e->at_ns);
    (void)buf_addc(out, "}");
    return out->err;
}

int kube_event_again_json(struct buf *out, int64_t count, int64_t at_ns, const char *message) {
    (void)buf_addf(out, "{\"count\":%lld", (long long)count);
    add_message(out, message);
    add_time(out, "lastTimestamp", at_ns);
    (void)buf_addc(out, "}");
    return out->err;
}

int kube_lease_json(struct buf *out, const struct kube_lease_write *l) {
    add_head(out, "coordination.k8s.io/v1", "Lease");
    begin_metadata(out, l->namespace_, l->name, l->version);
    if (given(l->address)) {
        (void)buf_addc(out, ",\"annotations\":{");
        add(out, KUBE_LEASE_ADDRESS, l->address);
        (void)buf_addc(out, "}");
    }
    (void)buf_addc(out, "},\"spec\":{");
    add(out, "holderIdentity", l->holder);
    add_int(out, "leaseDurationSeconds", l->duration_s);
    add_int(out, "leaseTransitions", l->transitions);
    add_time(out, "acquireTime", l->acquired_ns);
    add_time(out, "renewTime", l->renewed_ns);
    (void)buf_addc(out, "}}");
    return out->err;
}

int kube_token_review_json(struct buf *out, struct str token, const char *audience) {
    add_head(out, "authentication.k8s.io/v1", "TokenReview");
    (void)buf_addc(out, ",\"spec\":{\"token\":");
    (void)buf_add_json(out, token);
    if (audience) {
        (void)buf_addc(out, ",\"audiences\":[");
        (void)buf_add_json(out, str_from(audience));
        (void)buf_addc(out, "]");
    }
    (void)buf_addc(out, "}}");
    return out->err;
}

// The status of a review, whose kind must be this one.
static int read_review(struct str body, const char *kind, json_t **ret, const json_t **ret_status,
                       struct err *e) {
    int r = kube_json_parse(body, ret, e);
    if (r < 0)
        return r;
    const char *is = json_string_value(json_object_get(*ret, "kind"));
    *ret_status = json_object_get(*ret, "status");
    if (!is || strcmp(is, kind) != 0 || !json_is_object(*ret_status))
        return err_set(e, ERR_PARSE, "the answer is no %s with a status", kind);
    return 0;
}

static bool has_audience(const json_t *status, const char *audience) {
    const json_t *all = json_object_get(status, "audiences");
    for (size_t i = 0; i < json_array_size(all); i++) {
        const char *is = json_string_value(json_array_get(all, i));
        if (is && strcmp(is, audience) == 0)
            return true;
    }
    return false;
}

static void read_values(struct kube_reader *r, const json_t *list, struct kube_extra *ret) {
    const char **values = kube_read_array(r, json_array_size(list), sizeof(*values));
    for (size_t i = 0; values && i < json_array_size(list); i++)
        values[ret->n++] = kube_read_copy(r, json_string_value(json_array_get(list, i)));
    ret->values = values;
}

static void read_extra(struct kube_reader *r, json_t *map, struct kube_token_review *t) {
    const char *key;
    json_t *list;
    t->extra = kube_read_array(r, json_object_size(map), sizeof(*t->extra));
    if (t->extra)
        json_object_foreach(map, key, list) {
            t->extra[t->n_extra].key = kube_read_copy(r, key);
            read_values(r, list, &t->extra[t->n_extra++]);
        }
}

int kube_token_review_read(struct kube_token_review *ret, struct arena *a, struct str body,
                           const char *audience, struct err *e) {
    CLEANUP_JSON json_t *json = NULL;
    const json_t *status;
    struct kube_reader r = {.a = a};
    int rc = read_review(body, "TokenReview", &json, &status, e);
    if (rc < 0)
        return rc;
    const json_t *user = json_object_get(status, "user"), *groups = json_object_get(user, "groups");
    struct kube_token_review t = {.error = kube_read_text(&r, status, "error"),
                                  .user = kube_read_text(&r, user, "username"),
                                  .uid = kube_read_text(&r, user, "uid")};
    t.groups = kube_read_array(&r, json_array_size(groups), sizeof(*t.groups));
    for (size_t i = 0; t.groups && i < json_array_size(groups); i++)
        t.groups[t.n_groups++] = kube_read_copy(&r, json_string_value(json_array_get(groups, i)));
    read_extra(&r, json_object_get(user, "extra"), &t);
    t.authenticated = kube_read_bool(status, "authenticated", false) && given(t.user) &&
                      (!audience || has_audience(status, audience));
    if (r.r < 0)
        return err_set(e, r.r, "the TokenReview's answer does not fit");
    *ret = t;
    return 0;
}

static void add_resource(struct buf *out, const struct kube_access *a) {
    (void)buf_addc(out, ",\"resourceAttributes\":{");
    add(out, "verb", a->verb);
    add_given(out, "group", a->group);
    add(out, "resource", a->resource);
    add_given(out, "subresource", a->subresource);
    add_given(out, "namespace", a->namespace_);
    add_given(out, "name", a->name);
    (void)buf_addc(out, "}");
}

static void add_list(struct buf *out, const char *const *texts, size_t n) {
    (void)buf_addc(out, "[");
    for (size_t i = 0; i < n; i++) {
        (void)buf_addc(out, i ? "," : "");
        (void)buf_add_json(out, str_from(texts[i]));
    }
    (void)buf_addc(out, "]");
}

int kube_access_review_json(struct buf *out, const struct kube_access *a) {
    add_head(out, "authorization.k8s.io/v1", "SubjectAccessReview");
    (void)buf_addc(out, ",\"spec\":{");
    add(out, "user", a->user);
    add_given(out, "uid", a->uid);
    (void)buf_addc(out, ",\"groups\":");
    add_list(out, a->groups, a->n_groups);
    for (size_t i = 0; i < a->n_extra; i++) {
        (void)buf_addc(out, i ? "," : ",\"extra\":{");
        (void)buf_add_json(out, str_from(a->extra[i].key));
        (void)buf_addc(out, ":");
        add_list(out, a->extra[i].values, a->extra[i].n);
        (void)buf_addc(out, i + 1 == a->n_extra ? "}" : "");
    }
    if (a->resource) {
        add_resource(out, a);
    } else {
        (void)buf_addc(out, ",\"nonResourceAttributes\":{");
        add(out, "verb", a->verb);
        add(out, "path", a->path);
        (void)buf_addc(out, "}");
    }
    (void)buf_addc(out, "}}");
    return out->err;
}

int kube_access_review_read(bool *ret_allowed, struct buf *reason, struct str body, struct err *e) {
    CLEANUP_JSON json_t *json = NULL;
    const json_t *status;
    char shown[256];
    int r = read_review(body, "SubjectAccessReview", &json, &status, e);
    if (r < 0)
        return r;
    bool allowed = kube_read_bool(status, "allowed", false) &&
                   !kube_read_bool(status, "denied", false);
    kube_clean(shown, sizeof(shown), json_string_value(json_object_get(status, "reason")));
    if (reason && !allowed)
        (void)buf_addc(reason, shown);
    *ret_allowed = allowed;
    return 0;
}
