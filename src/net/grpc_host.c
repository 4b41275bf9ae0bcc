// SPDX-License-Identifier: Apache-2.0
/* What the connections of a gRPC server share: the table of methods, limits, spare calls. */
#include "net/grpc_core.h"

#include "base/clock.h"
#include "base/limits.h"

// Calls kept for reuse with their first arena block: a busy connection allocates nothing a call.
enum { SPARE_CALLS = 256, SPARE_BYTES = 8 << 10 };

static int add_entry(struct grpc_host *h, const struct grpc_service *s, const struct grpc_method *m,
                     struct err *e) {
    size_t n = strlen(s->name) + strlen(m->name) + 3;
    if (n > LIMIT_GRPC_PATH_BYTES)
        return err_set(e, ERR_LIMIT, "method name /%s/%s is too long", s->name, m->name);
    struct grpc_entry *entry = mem_zalloc(sizeof(*entry) + n);
    if (!entry)
        return err_set(e, ERR_NOMEM, "no memory for the method table");
    entry->service = s;
    entry->method = m;
    snprintf(entry->path, n, "/%s/%s", s->name, m->name);
    if (grpc_host_find(h, (struct str){entry->path, n - 1})) {
        err_set(e, ERR_EXISTS, "two methods %s", entry->path);
        mem_free(entry);
        return ERR_EXISTS;
    }
    HASH_ADD_KEYPTR(hh, h->entries, entry->path, n - 1, entry);
    if (map_oom()) {
        mem_free(entry);
        return err_set(e, ERR_NOMEM, "no memory for the method table");
    }
    return 0;
}

static int host_init(struct grpc_host *h, struct err *e) {
    const struct grpc_service *const *s = h->options.services;
    for (; *s; s++) {
        for (size_t i = 0; i < (*s)->n_methods; i++) {
            int err = add_entry(h, *s, &(*s)->methods[i], e);
            if (err < 0)
                return err;
        }
    }
    if (nghttp2_session_callbacks_new(&h->callbacks) != 0 || h2_options_new(&h->h2_options) < 0)
        return err_set(e, ERR_NOMEM, "no memory for nghttp2's options");
    grpc_conn_callbacks(h->callbacks);
    if (grpc_conn_hello(h) < 0)
        return err_set(e, ERR_NOMEM, "no memory for nghttp2's SETTINGS");
    return 0;
}

int grpc_host_new(struct grpc_host **ret, const struct grpc_host_options *options, struct err *e) {
    struct grpc_host *h = mem_zalloc(sizeof(*h));
    if (!h)
        return err_set(e, ERR_NOMEM, "no memory for a gRPC server");
    h->options = *options;
    if (!h->options.clock)
        h->options.clock = clock_mono_ns;
    random_init(&h->random, options->seed);
    vec_init(&h->deadlines, LIMIT_GRPC_CONNECTIONS * ((size_t)LIMIT_GRPC_STREAMS + 1));
    int err = host_init(h, e);
    if (err < 0) {
        grpc_host_free(h);
        return err;
    }
    *ret = h;
    return 0;
}

static void call_delete(struct grpc_call *c) {
    grpc_reader_done(&c->reader);
    arena_done(&c->arena);
    buf_done(&c->out);
    mem_free(c->text);
    mem_free(c);
}

struct grpc_host *grpc_host_free(struct grpc_host *h) {
    if (!h)
        return NULL;
    struct grpc_entry *entry, *next;
    HASH_ITER(hh, h->entries, entry, next) {
        HASH_DEL(h->entries, entry);
        mem_free(entry);
    }
    while (h->free_calls) {
        struct grpc_call *c = h->free_calls;
        h->free_calls = c->next;
        call_delete(c);
    }
    nghttp2_session_callbacks_del(h->callbacks);
    nghttp2_option_del(h->h2_options);
    vec_done(&h->deadlines);
    mem_free(h->hello);
    mem_free(h);
    return NULL;
}

struct deadline_heap *grpc_host_deadlines(struct grpc_host *h) {
    return &h->deadlines;
}

struct grpc_host_stats grpc_host_stats(const struct grpc_host *h) {
    return h->stats;
}

int64_t grpc_host_now(const struct grpc_host *h) {
    return h->options.clock();
}

const struct grpc_entry *grpc_host_find(const struct grpc_host *h, struct str path) {
    struct grpc_entry *found;
    HASH_FIND(hh, h->entries, path.p, path.n, found);
    return found;
}

struct grpc_call *grpc_call_take(struct grpc_host *h) {
    struct grpc_call *c = h->free_calls;
    if (c) {
        h->free_calls = c->next;
        h->n_free_calls--;
        c->next = NULL;
    } else {
        c = mem_zalloc(sizeof(*c));
        if (!c)
            return NULL;
        arena_init(&c->arena, SIZE_MAX / 2);
        buf_init(&c->out, (size_t)LIMIT_GRPC_MESSAGE_BYTES + LIMIT_GRPC_SEND_QUEUE_BYTES);
    }
    grpc_reader_init(&c->reader, LIMIT_GRPC_REQUEST_BYTES);
    h->stats.streams++;
    return c;
}

void grpc_call_put(struct grpc_host *h, struct grpc_call *c) {
    h->stats.streams--;
    if (h->n_free_calls >= SPARE_CALLS || c->arena.used > SPARE_BYTES || c->out.cap > SPARE_BYTES) {
        call_delete(c);
        return;
    }
    grpc_reader_done(&c->reader);
    mem_free(c->text);
    arena_reset(&c->arena);
    buf_clear(&c->out);
    *c = (struct grpc_call){.arena = c->arena, .out = c->out, .next = h->free_calls};
    h->free_calls = c;
    h->n_free_calls++;
}
