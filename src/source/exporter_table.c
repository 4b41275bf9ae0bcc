// SPDX-License-Identifier: Apache-2.0
/*
 * GPUs by identity. What is text of a GPU lies in one block, made anew only when it is another one:
 * a page costs no allocation while nothing but values changes.
 */
#include "source/exporter_table.h"

#include "base/clock.h"
#include "base/limits.h"

enum {
    MISSES_MAX = 3,
    OWNER_TEXTS = 4,
    STUCK_COLLECTIONS = 3, // one that is late is none that is stuck
};

enum text {
    TEXT_ID,
    TEXT_NODE,
    TEXT_MODEL,
    TEXT_PCI,
    TEXT_DRIVER,
    TEXT_PARENT,
    TEXT_PROFILE,
    TEXTS
};

struct exporter_record {
    UT_hash_handle hh; // by id, the beginning of `text`
    struct exporter_source *source;
    void *user;
    char *text;
    size_t text_n;
    const char *texts[TEXTS]; // into text
    struct agents_owner *owners;
    size_t n_owners;
    bool owners_known, lost;
    unsigned missed; // good pages of its source without it
    uint64_t seen;   // source->pages when it was last on one
    uint32_t index, gpu_instance_id;
    uint64_t memory_total_bytes;
    struct gpu_reading reading;
    int64_t reading_at_ns;
};

void exporter_table_init(struct exporter_table *t, const struct exporters_options *o) {
    *t = (struct exporter_table){.o = o, .silent_ns = 3 * o->interval_ns};
    buf_init(&t->scratch, (TEXTS + LIMIT_OWNERS_PER_GPU * OWNER_TEXTS) * KUBE_NAME_MAX);
}

static void record_free(struct exporter_record *r) {
    mem_free(r->text);
    mem_free(r->owners);
    mem_free(r);
}

void exporter_table_done(struct exporter_table *t) {
    struct exporter_record *r, *tmp;
    HASH_ITER(hh, t->by_id, r, tmp) {
        HASH_DEL(t->by_id, r);
        record_free(r);
    }
    buf_done(&t->scratch);
}

void exporter_record_view(const struct exporter_record *r, struct agents_gpu *ret) {
    *ret = (struct agents_gpu){
        .node = r->texts[TEXT_NODE],
        .uuid = r->texts[TEXT_ID],
        .model = r->texts[TEXT_MODEL],
        .pci_bus_id = r->texts[TEXT_PCI],
        .driver_version = r->texts[TEXT_DRIVER],
        .parent_uuid = r->texts[TEXT_PARENT],
        .mig_profile = r->texts[TEXT_PROFILE],
        .index = r->index,
        .gpu_instance_id = r->gpu_instance_id,
        .memory_total_bytes = r->memory_total_bytes,
        .owners_known = r->owners_known,
        .lost = r->lost,
        .owners = r->owners,
        .n_owners = r->n_owners,
        .reading = &r->reading,
        .reading_at_ns = r->reading_at_ns,
        .user = r->user,
    };
}

const struct exporter_record *exporter_table_next(const struct exporter_table *t,
                                                  const struct exporter_record *r) {
    return r ? r->hh.next : t->by_id;
}

const char *exporter_record_key(const struct exporter_record *r) {
    return r->source->shown;
}

static void tell(struct exporter_table *t, struct exporter_record *r, unsigned changed) {
    struct agents_gpu view;
    exporter_record_view(r, &view);
    t->o->gpu(t->o->ctx, &view, changed, &r->user);
}

// Without those of `records` of its source: the caller's business.
static void drop(struct exporter_table *t, struct exporter_record *r) {
    HASH_DEL(t->by_id, r);
    t->n--;
    t->o->gpu_removed(t->o->ctx, r->texts[TEXT_NODE], r->texts[TEXT_ID], r->user);
    record_free(r);
}

void exporter_table_forget(struct exporter_table *t, struct exporter_source *s) {
    while (s->records.n > 0)
        drop(t, s->records.items[--s->records.n]);
    vec_done(&s->records);
}

static int add_text(struct buf *b, const char *text) {
    return buf_add(b, text, strlen(text) + 1);
}

// All text of the GPU, NUL after each, into the scratch buffer.
static int gather_text(struct exporter_table *t, const struct exporter_source *s,
                       const struct exporter_gpu *g) {
    const char *const texts[TEXTS] = {
        [TEXT_ID] = g->id,
        [TEXT_NODE] = g->node[0] ? g->node : s->shown,
        [TEXT_MODEL] = g->model,
        [TEXT_PCI] = g->pci_bus_id,
        [TEXT_DRIVER] = g->driver_version,
        [TEXT_PARENT] = g->mig ? g->uuid : "",
        [TEXT_PROFILE] = g->mig_profile,
    };
    int r = 0;
    buf_clear(&t->scratch);
    for (int i = 0; i < TEXTS && r == 0; i++)
        r = add_text(&t->scratch, texts[i]);
    for (size_t i = 0; i < g->n_owners && r == 0; i++) {
        const struct exporter_owner *o = &g->owners[i];
        const char *const owner[OWNER_TEXTS] = {o->namespace_, o->pod, o->container, o->replica};
        for (int k = 0; k < OWNER_TEXTS && r == 0; k++)
            r = add_text(&t->scratch, owner[k]);
    }
    return r;
}

static const char *next_text(const char **at) {
    const char *text = *at;
    *at += strlen(text) + 1;
    return text;
}

// Takes the scratch buffer's text; the id stays the same, so the hash handle needs the new place.
static int set_text(struct exporter_table *t, struct exporter_record *r, size_t n_owners) {
    char *text = mem_alloc(t->scratch.len);
    struct agents_owner *owners = mem_array(n_owners + 1, sizeof(*owners));
    if (!text || !owners) {
        mem_free(text);
        mem_free(owners);
        return ERR_NOMEM;
    }
    memcpy(text, t->scratch.p, t->scratch.len);
    const char *at = text;
    for (int i = 0; i < TEXTS; i++)
        r->texts[i] = next_text(&at);
    for (size_t i = 0; i < n_owners; i++) {
        owners[i].namespace_ = next_text(&at);
        owners[i].pod = next_text(&at);
        owners[i].container = next_text(&at);
        owners[i].replica = next_text(&at);
    }
    mem_free(r->text);
    mem_free(r->owners);
    r->text = text;
    r->text_n = t->scratch.len;
    r->owners = owners;
    r->n_owners = n_owners;
    r->hh.key = text;
    return 0;
}

static struct exporter_record *record_new(struct exporter_table *t, const struct exporter_gpu *g) {
    struct exporter_record *r = mem_zalloc(sizeof(*r));
    if (!r)
        return NULL;
    r->reading_at_ns = INT64_MIN;
    if (set_text(t, r, g->n_owners) < 0) {
        record_free(r);
        return NULL;
    }
    map_oom();
    HASH_ADD_KEYPTR(hh, t->by_id, r->text, strlen(r->text), r);
    if (map_oom()) {
        record_free(r);
        return NULL;
    }
    t->n++;
    return r;
}

static int set_info(struct exporter_table *t, struct exporter_record *r,
                    const struct exporter_gpu *g, unsigned *changed) {
    bool same = r->text_n == t->scratch.len && !memcmp(r->text, t->scratch.p, r->text_n) &&
                r->n_owners == g->n_owners;
    if (!same && set_text(t, r, g->n_owners) < 0)
        return ERR_NOMEM;
    if (!same || r->index != g->index || r->memory_total_bytes != g->memory_total_bytes)
        *changed |= AGENTS_INFO;
    if (!same || r->owners_known != g->owners_known)
        *changed |= AGENTS_OWNERS;
    r->index = g->index;
    r->gpu_instance_id = g->gpu_instance_id;
    r->memory_total_bytes = g->memory_total_bytes;
    r->owners_known = g->owners_known;
    return 0;
}

static void set_reading(struct exporter_record *r, const struct exporter_gpu *g, int64_t at_ns,
                        unsigned *changed) {
    if (memcmp(&r->reading, &g->reading, sizeof(r->reading)) != 0)
        *changed |= AGENTS_READING;
    if (r->reading_at_ns != at_ns)
        *changed |= AGENTS_AGE;
    if (r->lost)
        *changed |= AGENTS_LOST;
    r->reading = g->reading;
    r->reading_at_ns = at_ns;
    r->lost = false;
    r->missed = 0;
}

static void leave(struct exporter_source *s, const struct exporter_record *r) {
    for (size_t i = 0; i < s->records.n; i++)
        if (s->records.items[i] == r) {
            vec_remove(&s->records, i);
            return;
        }
}

// May the page tell this GPU: nobody else does, or worse.
static bool may_claim(const struct exporter_table *t, const struct exporter_record *r,
                      const struct exporter_gpu *g, int64_t now_ns) {
    const struct exporter_source *other = r->source;
    if (!other || other->gone || r->missed > 0 || other->good_ns < now_ns - t->silent_ns)
        return true;
    return g->owners_known && !r->owners_known;
}

// When the values were read at the latest that can be.
static int64_t reading_time(const struct exporter_table *t, const struct exporter_source *s,
                            const struct exporter_gpu *g, int64_t requested_ns, int64_t real_ms) {
    int64_t at = requested_ns;
    if (s->alive && at > s->changed_ns + t->o->collect_interval_ns)
        at = s->changed_ns + t->o->collect_interval_ns;
    int64_t age_ms = g->told_ms > 0 ? real_ms - g->told_ms : 0;
    if (age_ms > 0 && age_ms < INT64_MAX / NS_PER_MS / 2 && requested_ns - age_ms * NS_PER_MS < at)
        at = requested_ns - age_ms * NS_PER_MS;
    return at;
}

static int take_gpu(struct exporter_table *t, struct exporter_source *s,
                    const struct exporter_gpu *g, int64_t at_ns, int64_t now_ns) {
    struct exporter_record *r;
    unsigned changed = 0;
    HASH_FIND(hh, t->by_id, g->id, strlen(g->id), r);
    if (r && r->source != s && !may_claim(t, r, g, now_ns)) {
        t->duplicates++;
        s->duplicates++;
        return 0;
    }
    if (gather_text(t, s, g) < 0)
        return ERR_NOMEM;
    if (!r) {
        r = record_new(t, g);
        if (!r)
            return ERR_NOMEM;
        changed = AGENTS_NEW;
    }
    if (r->source != s) {
        if (vec_push(&s->records, r) < 0) {
            if (!r->source) {
                HASH_DEL(t->by_id, r);
                t->n--;
                record_free(r);
            }
            return ERR_NOMEM;
        }
        if (r->source)
            leave(r->source, r);
        r->source = s;
        changed |= AGENTS_INFO | AGENTS_OWNERS | AGENTS_READING;
    }
    if (set_info(t, r, g, &changed) < 0)
        return ERR_NOMEM;
    set_reading(r, g, at_ns, &changed);
    r->seen = s->pages;
    tell(t, r, changed);
    return 0;
}

// GPUs that the page does not have any more.
static void miss(struct exporter_table *t, struct exporter_source *s) {
    for (size_t i = s->records.n; i-- > 0;) {
        struct exporter_record *r = s->records.items[i];
        if (r->seen == s->pages)
            continue;
        if (++r->missed >= MISSES_MAX) {
            vec_remove(&s->records, i);
            drop(t, r);
        } else if (!r->lost) {
            r->lost = true;
            tell(t, r, AGENTS_LOST);
        }
    }
}

static void note_page(struct exporter_table *t, struct exporter_source *s,
                      const struct exporter_page *page, const struct exporter_page_result *res,
                      int64_t requested_ns) {
    if (s->pages++ == 0 || s->mark != res->mark)
        s->changed_ns = requested_ns;
    s->mark = res->mark;
    s->good_ns = requested_ns;
    s->kind = exporter_page_gpu(page, 0)->kind->name;
    s->pods_named = res->pods_named;
    s->alive = res->alive;
    s->duplicates = 0;
    t->bad_values += res->bad_values;
    t->differing += res->differing;
    bool stuck = s->alive &&
                 requested_ns > s->changed_ns + STUCK_COLLECTIONS * t->o->collect_interval_ns;
    if (stuck != s->stuck && t->o->stuck)
        t->o->stuck(t->o->ctx, s->shown, stuck);
    s->stuck = stuck;
}

int exporter_table_take(struct exporter_table *t, struct exporter_source *s,
                        const struct exporter_page *page, const struct exporter_page_result *res,
                        int64_t requested_ns, int64_t real_ms) {
    int rc = 0;
    note_page(t, s, page, res, requested_ns);
    for (size_t i = 0; i < res->n_gpus; i++) {
        const struct exporter_gpu *g = exporter_page_gpu(page, i);
        int r = take_gpu(t, s, g, reading_time(t, s, g, requested_ns, real_ms), requested_ns);
        rc = rc < 0 ? rc : r;
    }
    if (rc == 0) // else what is missing may only not have been taken
        miss(t, s);
    return rc;
}
