// SPDX-License-Identifier: Apache-2.0
/*
 * The log of a run's events; see the header. Every event has a number from 1 that it keeps, so that
 * cursors survive what is dropped between them.
 */
#include "report/live.h"

#include "base/limits.h"
#include "base/vec.h"

enum event_kind { EVENT_HELLO, EVENT_FRAME, EVENT_END };
static const char *const event_names[] = {"hello", "frame", "end"};

struct event {
    uint64_t seq;
    char *text; // "id: 7\nevent: frame\ndata: {...}\n\n"
    uint32_t n;
    uint32_t data, data_n; // the JSON in it
    uint8_t kind;
    bool decides; // a frame with decisions: never thinned
};

struct live {
    enum live_keep keep;
    size_t max_bytes, bytes;
    uint64_t last_seq;
    char run[64];
    size_t frames;
    bool ended;
    struct event hello; // the present one, a copy: its place among the events is for who reads on
    struct VEC(struct event) events;
};

static void event_done(struct event *ev) {
    mem_free(ev->text);
    *ev = (struct event){0};
}

struct live *live_new(size_t max_bytes, enum live_keep keep) {
    struct live *l = mem_zalloc(sizeof(*l));
    if (l == NULL)
        return NULL;
    l->keep = keep;
    l->max_bytes = max_bytes;
    vec_init(&l->events, LIMIT_LIVE_EVENTS);
    return l;
}

static void forget_events(struct live *l) {
    for (size_t i = 0; i < l->events.n; i++)
        event_done(&l->events.items[i]);
    vec_clear(&l->events);
    l->bytes = 0;
    l->frames = 0;
    l->ended = false;
}

struct live *live_free(struct live *l) {
    if (l == NULL)
        return NULL;
    forget_events(l);
    event_done(&l->hello);
    vec_done(&l->events);
    mem_free(l);
    return NULL;
}

// Moves the buffer's JSON into an event with the next number.
static int make_event(struct live *l, enum event_kind kind, const struct buf *json,
                      struct event *ret) {
    CLEANUP_BUF struct buf text;
    buf_init(&text, LIMIT_LIVE_EVENT_BYTES + 64);
    (void)buf_addf(&text, "id: %llu\nevent: %s\ndata: ", (unsigned long long)l->last_seq + 1,
                   event_names[kind]);
    size_t data = text.len;
    (void)buf_add_str(&text, buf_str(json));
    size_t data_n = text.len - data;
    if (buf_addc(&text, "\n\n") < 0 || text.err < 0)
        return text.err;
    char *copy = mem_strndup(text.p, text.len);
    if (copy == NULL)
        return ERR_NOMEM;
    *ret = (struct event){.seq = ++l->last_seq,
                          .text = copy,
                          .n = (uint32_t)text.len,
                          .data = (uint32_t)data,
                          .data_n = (uint32_t)data_n,
                          .kind = (uint8_t)kind};
    return 0;
}

static void drop_events(struct live *l, bool (*drops)(const struct event *, size_t *),
                        size_t *state) {
    size_t kept = 0;
    for (size_t i = 0; i < l->events.n; i++) {
        struct event *ev = &l->events.items[i];
        if (!drops(ev, state)) {
            l->events.items[kept++] = *ev;
            continue;
        }
        l->bytes -= ev->n;
        l->frames -= ev->kind == EVENT_FRAME;
        event_done(ev);
    }
    l->events.n = kept;
}

// Every second frame that decided nothing.
static bool is_thinned(const struct event *ev, size_t *count) {
    return ev->kind == EVENT_FRAME && !ev->decides && (*count)++ % 2 == 1;
}

// The oldest frames, until so many bytes went.
static bool is_oldest(const struct event *ev, size_t *excess) {
    if (ev->kind != EVENT_FRAME || *excess == 0)
        return false;
    *excess -= ev->n < *excess ? ev->n : *excess;
    return true;
}

static bool is_hello(const struct event *ev, size_t *state) {
    return ev->kind == EVENT_HELLO;
}

// Room for one more event of n bytes: an eighth more than needed goes, so that it lasts.
static void make_room(struct live *l, size_t n) {
    bool full = l->events.n >= l->events.max;
    if (!full && l->bytes + n <= l->max_bytes)
        return;
    if (l->keep == LIVE_THIN) {
        size_t count = 0;
        drop_events(l, is_thinned, &count);
    }
    full = l->events.n >= l->events.max;
    if (full || l->bytes + n > l->max_bytes) {
        size_t room = l->max_bytes / 8 + n;
        size_t excess = l->bytes + room > l->max_bytes ? l->bytes + room - l->max_bytes
                                                       : l->bytes / 8 + 1;
        drop_events(l, is_oldest, &excess);
    }
}

static int push(struct live *l, struct event *ev) {
    make_room(l, ev->n);
    int rc = vec_push(&l->events, *ev);
    if (rc < 0) {
        event_done(ev);
        return rc;
    }
    l->bytes += ev->n;
    l->frames += ev->kind == EVENT_FRAME;
    return 0;
}

int live_hello(struct live *l, const struct frame_hello *h) {
    CLEANUP_BUF struct buf json;
    buf_init(&json, LIMIT_LIVE_EVENT_BYTES);
    int rc = frame_hello_json(&json, h);
    struct event ev;
    if (rc == 0)
        rc = make_event(l, EVENT_HELLO, &json, &ev);
    if (rc < 0)
        return rc;
    char *copy = mem_strndup(ev.text, ev.n);
    if (copy == NULL) {
        event_done(&ev);
        return ERR_NOMEM;
    }
    if (h->run == NULL || strcmp(l->run, h->run) != 0)
        forget_events(l);
    else
        drop_events(l, is_hello, NULL);
    (void)str_copy(l->run, sizeof(l->run), str_from(h->run));
    event_done(&l->hello);
    l->hello = ev;
    l->hello.text = copy;
    return push(l, &ev);
}

int live_frame(struct live *l, const struct frame *f) {
    CLEANUP_BUF struct buf json;
    buf_init(&json, LIMIT_LIVE_EVENT_BYTES);
    int rc = frame_json(&json, f);
    struct event ev;
    if (rc == 0)
        rc = make_event(l, EVENT_FRAME, &json, &ev);
    if (rc < 0)
        return rc;
    ev.decides = f->decision_n > 0;
    return push(l, &ev);
}

int live_end(struct live *l, const struct frame_end *e) {
    CLEANUP_BUF struct buf json;
    buf_init(&json, LIMIT_LIVE_EVENT_BYTES);
    int rc = frame_end_json(&json, e);
    struct event ev;
    if (rc == 0)
        rc = make_event(l, EVENT_END, &json, &ev);
    if (rc == 0)
        rc = push(l, &ev);
    if (rc == 0)
        l->ended = true;
    return rc;
}

// Index of the first event with a number above seq.
static size_t first_after(const struct live *l, uint64_t seq) {
    size_t low = 0, high = l->events.n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (l->events.items[mid].seq > seq)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

bool live_next(const struct live *l, struct live_cursor *c, struct str *ret_event) {
    if (l->hello.text == NULL)
        return false;
    if (c->hello == 0) { // whatever was dropped: a hello comes first
        c->hello = l->hello.seq;
        *ret_event = (struct str){l->hello.text, l->hello.n};
        return true;
    }
    for (size_t i = first_after(l, c->seq); i < l->events.n; i++) {
        const struct event *ev = &l->events.items[i];
        c->seq = ev->seq;
        if (ev->kind == EVENT_HELLO && ev->seq <= c->hello)
            continue;
        if (ev->kind == EVENT_HELLO)
            c->hello = ev->seq;
        *ret_event = (struct str){ev->text, ev->n};
        return true;
    }
    return false;
}

bool live_ended(const struct live *l) {
    return l->ended;
}

size_t live_frames(const struct live *l) {
    return l->frames;
}

// Within a <script>: no '<' may stand there, and in JSON it stands in strings alone.
static void add_escaped(struct buf *b, const struct event *ev) {
    const char *p = ev->text + ev->data, *end = p + ev->data_n;
    while (p < end) {
        const char *lt = memchr(p, '<', (size_t)(end - p));
        (void)buf_add(b, p, (size_t)((lt ? lt : end) - p));
        if (lt != NULL)
            (void)buf_addc(b, "\\u003c");
        p = lt ? lt + 1 : end;
    }
}

int live_json(struct buf *b, const struct live *l) {
    if (l->hello.text == NULL)
        return ERR_NOTFOUND;
    (void)buf_addc(b, "{\"hello\":");
    add_escaped(b, &l->hello);
    (void)buf_addc(b, ",\"frames\":[");
    const struct event *end = NULL;
    bool first = true;
    for (size_t i = 0; i < l->events.n; i++) {
        const struct event *ev = &l->events.items[i];
        if (ev->kind == EVENT_END)
            end = ev;
        if (ev->kind != EVENT_FRAME)
            continue;
        (void)buf_addc(b, first ? "\n" : ",\n");
        add_escaped(b, ev);
        first = false;
    }
    (void)buf_addc(b, "],\"end\":");
    if (end != NULL)
        add_escaped(b, end);
    else
        (void)buf_addc(b, "null");
    (void)buf_add_byte(b, '}');
    return b->err;
}
