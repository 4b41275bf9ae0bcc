// SPDX-License-Identifier: Apache-2.0
/*
 * /api/v1/decisions: the last decisions of the objects that are asked for and the present one, as
 * JSON, or, for `Accept: text/plain`, as sentences (what `gpuscale explain` prints).
 */
#include "base/clock.h"
#include "net/http1.h"
#include "scaler/api.h"
#include "scaler/api_page.h"
#include "scaler/io.h"
#include "scaler/replicas.h"

enum { TIME_MAX = 32, TEXT_ITEM_MAX = 1 << 20 };

struct filter {
    char namespace_[KUBE_NAME_MAX], name[KUBE_NAME_MAX];
    unsigned last; // records of each object
    const struct view *view;
};

static bool wanted(const struct filter *f, const struct object *o) {
    return view_has(f->view, o->key->ref.namespace_) &&
           (f->namespace_[0] == '\0' || str_eqc(o->key->ref.namespace_, f->namespace_)) &&
           (f->name[0] == '\0' || str_eqc(o->key->ref.name, f->name));
}

static unsigned first_shown(const struct filter *f, const struct object *o) {
    return o->history.n > f->last ? o->history.n - f->last : 0;
}

static void add_json(struct buf *b, const struct io *io, const struct filter *f,
                     const struct object *o) {
    (void)buf_addc(b, "{\"namespace\":");
    (void)buf_add_json(b, o->key->ref.namespace_);
    api_text(b, "name", o->key->ref.name.p);
    api_text(b, "kind", object_ref_kind(&o->key->ref));
    if (o->feed != NULL)
        api_text(b, "workload", o->feed->workload->target);
    else
        api_text(b, "error", o->fault.msg);
    io_replicas_show_object(io, o, b);
    (void)buf_addc(b, ",\"records\":[");
    for (unsigned i = first_shown(f, o); i < o->history.n; i++) {
        (void)buf_addc(b, i > first_shown(f, o) ? "," : "");
        (void)record_json(b, history_at(&o->history, i));
    }
    (void)buf_add_byte(b, ']');
    if (o->decided && o->feed != NULL) {
        (void)buf_addc(b, ",\"now\":");
        (void)record_json(b, &o->last);
    }
    (void)buf_add_byte(b, '}');
}

// "2026-11-23T12:00:00.000Z  4 -> 6  why": from the decision before (-1: there was none).
static void add_line(struct buf *b, const struct record *r, int32_t from, const char *when) {
    if (from < 0 || from == r->desired)
        (void)buf_addf(b, "  %-24s  %8d  ", when, r->desired);
    else
        (void)buf_addf(b, "  %-24s  %3d -> %d  ", when, from, r->desired);
    (void)record_sentence(b, r);
    (void)buf_add_byte(b, '\n');
}

// How it stands now, unless the newest line says just that.
static void add_now(struct buf *b, const struct object *o) {
    if (!o->decided)
        return;
    const struct record *newest = o->history.n > 0 ? history_at(&o->history, o->history.n - 1u)
                                                   : NULL;
    CLEANUP_BUF struct buf then, now;
    buf_init(&then, TEXT_ITEM_MAX);
    buf_init(&now, TEXT_ITEM_MAX);
    if (newest != NULL && record_sentence(&then, newest) == 0 &&
        record_sentence(&now, &o->last) == 0 && str_eq(buf_str(&then), buf_str(&now)))
        return;
    add_line(b, &o->last, -1, "now");
}

static void add_text(struct buf *b, const struct io *io, const struct filter *f,
                     const struct object *o) {
    (void)buf_addf(b, "%s%s/%s", o->key->ref.rule ? "rule " : "", o->key->ref.namespace_.p,
                   o->key->ref.name.p);
    if (o->feed == NULL && !io_leads(io)) {
        (void)buf_addc(b, "\n");
        io_replicas_tell_object(io, o, b);
        return;
    }
    if (o->feed == NULL) {
        (void)buf_addf(b, "\n  %s\n", o->fault.msg);
        return;
    }
    (void)buf_addf(b, " (%s, engine %s)\n", o->feed->workload->target, o->feed->preset->name);
    for (unsigned i = first_shown(f, o); i < o->history.n; i++) {
        const struct record *r = history_at(&o->history, i);
        char when[TIME_MAX];
        clock_format_utc(r->real_ns, when, sizeof(when));
        add_line(b, r, r->last, when);
    }
    add_now(b, o);
}

static bool wants_text(const struct http_request *r) {
    static const struct http_offer offers[] = {
        {.type = "application/json"},
        {.type = "text/plain", .named_only = true},
    };
    return http_request_prefers(r, offers, COUNT_OF(offers)) == 1;
}

static void answer_text(struct http_request *r, const struct io *io, const struct filter *f) {
    CLEANUP_BUF struct buf out;
    buf_init(&out, API_BODY_MAX);
    size_t found = 0;
    io_replicas_tell_reader(io, &out);
    for (const struct object *o = io->objects; o != NULL; o = o->hh.next) {
        if (!wanted(f, o))
            continue;
        if (found++ >= API_LIMIT_MAX)
            continue;
        if (buf_reserve(&out, TEXT_ITEM_MAX) == NULL) {
            http_request_answer_text(r, 500, "the answer is over its limit: name one");
            return;
        }
        add_text(&out, io, f, o);
    }
    if (found > API_LIMIT_MAX)
        (void)buf_addf(&out, "(%zu more: name one)\n", found - API_LIMIT_MAX);
    if (found == 0 && f->name[0] != '\0') {
        http_request_answer_text(r, 404, "no such ScaledObject or rule: %s/%s", f->namespace_,
                                 f->name);
        return;
    }
    if (found == 0)
        (void)buf_addc(
            &out, "No ScaledObject yet: the scaler learns of one from the cluster's watch, or, "
                  "without a cluster, when KEDA first asks.\n");
    http_request_answer(r, &(struct http_answer){.status = 200,
                                                 .content_type = "text/plain; charset=utf-8",
                                                 .body = buf_str(&out)});
}

static void answer_json(struct http_request *r, const struct io *io, const struct filter *f) {
    struct api_page p;
    if (!api_page_begin(&p, r, f->view, 1, LIMIT_RECORDS_PER_WORKLOAD))
        return;
    p.limit = API_LIMIT_MAX; // `limit` counts records here
    for (const struct object *o = io->objects; o != NULL; o = o->hh.next)
        if (wanted(f, o) && api_page_item(&p))
            add_json(&p.out, io, f, o);
    if (p.seen == 0 && f->name[0] != '\0')
        api_page_fail(&p, 404, "no such ScaledObject or rule");
    else
        api_page_end(&p);
}

void api_decisions(struct http_request *r, struct io *io, const struct view *view) {
    struct filter f = {.view = view};
    char last[16];
    unsigned long long n = 1;
    if (!api_param(r, "namespace", f.namespace_, sizeof(f.namespace_)) ||
        !api_param(r, "name", f.name, sizeof(f.name)) || !api_param(r, "limit", last, sizeof(last)))
        return;
    if (last[0] != '\0' &&
        (str_to_u64(str_from(last), &n) < 0 || n < 1 || n > LIMIT_RECORDS_PER_WORKLOAD)) {
        http_request_answer_text(r, 400, "limit=%s: a number of 1 to %d is expected", last,
                                 LIMIT_RECORDS_PER_WORKLOAD);
        return;
    }
    f.last = (unsigned)n;
    if (wants_text(r))
        answer_text(r, io, &f);
    else
        answer_json(r, io, &f);
}
