// SPDX-License-Identifier: Apache-2.0
/* The two kinds' common part: slots, tickets, the queue, who is refused. See station.h. */
#include "core/queueing/station_internal.h"

#include "base/limits.h"
#include "base/mem.h"

static uint64_t ticket_of(const struct station *s, uint32_t i) {
    return (uint64_t)s->slots[i].turn << 32 | i;
}

static uint32_t slot_of(const struct station *s, uint64_t ticket) {
    uint32_t i = (uint32_t)ticket;
    if (i >= s->n_slots || s->slots[i].turn != ticket >> 32 || s->slots[i].state == SLOT_FREE ||
        s->slots[i].aborted)
        return SLOT_NONE;
    return i;
}

void slot_append(struct station *s, struct slot_list *l, uint32_t i) {
    s->slots[i].prev = l->tail;
    s->slots[i].next = SLOT_NONE;
    *(l->n > 0 ? &s->slots[l->tail].next : &l->head) = i;
    l->tail = i;
    l->n++;
}

void slot_prepend(struct station *s, struct slot_list *l, uint32_t i) {
    s->slots[i].prev = SLOT_NONE;
    s->slots[i].next = l->head;
    *(l->n > 0 ? &s->slots[l->head].prev : &l->tail) = i;
    l->head = i;
    l->n++;
}

void slot_remove(struct station *s, struct slot_list *l, uint32_t i) {
    struct slot *slot = &s->slots[i];
    *(slot->prev != SLOT_NONE ? &s->slots[slot->prev].next : &l->head) = slot->next;
    *(slot->next != SLOT_NONE ? &s->slots[slot->next].prev : &l->tail) = slot->prev;
    l->n--;
}

void slot_release(struct station *s, uint32_t i) {
    struct slot *slot = &s->slots[i];
    slot->state = SLOT_FREE;
    slot->turn = slot->turn == UINT32_MAX ? 1 : slot->turn + 1;
    slot->next = s->free;
    s->free = i;
}

bool station_tell(const struct station *s, uint32_t i, enum station_event_kind kind, int64_t at_ns,
                  struct station_event *ret) {
    const struct slot *slot = &s->slots[i];
    *ret = (struct station_event){
        .kind = kind,
        .ticket = ticket_of(s, i),
        .user = slot->user,
        .at_ns = at_ns,
        .arrived_ns = slot->arrived_ns,
        .admitted_ns = slot->admitted_ns,
        .first_token_ns = slot->first_token_ns,
        .prompt_tokens = slot->prompt,
        .output_tokens = slot->output,
        .preemptions = slot->preemptions,
    };
    return true;
}

static int check(const struct station_config *c, struct err *e) {
    uint32_t least = c->kind == STATION_CONTINUOUS;
    if (c->max_queue < least || c->max_queue > LIMIT_STATION_QUEUE)
        return err_set(e, ERR_INVALID, "max_queue %u: %u to %d requests may wait", c->max_queue,
                       least, LIMIT_STATION_QUEUE);
    return c->kind == STATION_BATCHES ? batches_check(c, e) : continuous_check(c, e);
}

// More are never inside: see station_offer().
static uint32_t slots_needed(const struct station_config *c) {
    return c->max_queue + (c->kind == STATION_CONTINUOUS
                               ? c->continuous.max_sequences
                               : c->batching.instances * c->batching.max_batch);
}

int station_new(struct station **ret, const struct station_config *c, int64_t now_ns,
                struct err *e) {
    int r = check(c, e);
    if (r < 0)
        return r;
    struct station *s = mem_zalloc(sizeof(*s));
    if (s == NULL)
        return err_set(e, ERR_NOMEM, "no memory for a service station");
    s->config = *c;
    s->now_ns = now_ns;
    s->waiting = s->running = (struct slot_list){SLOT_NONE, SLOT_NONE, 0};
    random_init(&s->random, c->seed);
    s->n_slots = slots_needed(c);
    s->slots = mem_array(s->n_slots, sizeof(*s->slots));
    s->free = SLOT_NONE;
    for (uint32_t i = s->n_slots; s->slots != NULL && i-- > 0;)
        slot_release(s, i);
    r = s->slots == NULL             ? ERR_NOMEM
        : c->kind == STATION_BATCHES ? batches_init(s)
                                     : continuous_init(s);
    if (r < 0) {
        station_free(s);
        return err_set(e, r, "no memory for a service station of %u requests", slots_needed(c));
    }
    *ret = s;
    return 0;
}

struct station *station_free(struct station *s) {
    if (s == NULL)
        return NULL;
    batches_done(s);
    continuous_done(s);
    mem_free(s->slots);
    mem_free(s);
    return NULL;
}

// Waits and runs: never more than max_queue and what runs at most, which is how many slots there
// are.
static bool has_room(const struct station *s) {
    return s->waiting.n < s->config.max_queue ||
           (s->config.kind == STATION_BATCHES && batches_has_room(s));
}

int station_offer(struct station *s, int64_t now_ns, const struct station_request *r,
                  uint64_t *ret_ticket) {
    bool continuous = s->config.kind == STATION_CONTINUOUS;
    if (continuous &&
        (r->prompt_tokens == 0 || r->output_tokens == 0 ||
         (uint64_t)r->prompt_tokens + r->output_tokens > s->config.continuous.kv_tokens))
        return ERR_INVALID;
    if (now_ns > s->now_ns)
        s->now_ns = now_ns;
    s->total.offered++;
    if (s->draining || !has_room(s)) {
        s->total.rejected++;
        return s->draining ? ERR_CLOSED : ERR_LIMIT;
    }
    uint32_t i = s->free;
    struct slot *slot = &s->slots[i];
    s->free = slot->next;
    *slot = (struct slot){
        .user = r->user,
        .turn = slot->turn,
        .state = SLOT_WAITING,
        .prompt = r->prompt_tokens,
        .output = r->output_tokens,
        .service_ns = r->service_ns,
        .arrived_ns = s->now_ns,
    };
    slot_append(s, &s->waiting, i);
    if (continuous && s->waiting.n == 1)
        continuous_queue_changed(s);
    *ret_ticket = ticket_of(s, i);
    return 0;
}

bool station_abort(struct station *s, int64_t now_ns, uint64_t ticket) {
    uint32_t i = slot_of(s, ticket);
    if (i == SLOT_NONE)
        return false;
    if (now_ns > s->now_ns)
        s->now_ns = now_ns;
    s->total.aborted++;
    if (s->slots[i].state == SLOT_WAITING) {
        bool head = s->waiting.head == i;
        slot_remove(s, &s->waiting, i);
        slot_release(s, i);
        if (head && s->config.kind == STATION_CONTINUOUS)
            continuous_queue_changed(s);
        return true;
    }
    s->slots[i].aborted = true;
    if (s->config.kind == STATION_CONTINUOUS)
        continuous_abort(s);
    return true;
}

void station_drain(struct station *s) {
    s->draining = true;
}

bool station_empty(const struct station *s) {
    return s->waiting.n == 0 && s->running.n == 0;
}

bool station_step(struct station *s, int64_t until_ns, struct station_event *ret) {
    return s->config.kind == STATION_BATCHES ? batches_step(s, until_ns, ret)
                                             : continuous_step(s, until_ns, ret);
}

int64_t station_next_ns(const struct station *s) {
    return s->config.kind == STATION_BATCHES ? batches_next_ns(s) : continuous_next_ns(s);
}

uint32_t station_tokens(const struct station *s, uint64_t ticket) {
    uint32_t i = slot_of(s, ticket);
    if (i == SLOT_NONE || s->config.kind == STATION_BATCHES)
        return 0;
    return continuous_tokens(s, i);
}

int64_t station_next_token_ns(const struct station *s) {
    return s->config.kind == STATION_BATCHES ? batches_next_ns(s) : continuous_next_token_ns(s);
}

void station_read(struct station *s, struct station_reading *ret) {
    if (s->config.kind == STATION_BATCHES)
        batches_read(s, ret);
    else
        continuous_read(s, ret);
    ret->now_ns = s->now_ns;
    ret->draining = s->draining;
    ret->waiting = s->waiting.n;
    ret->running = s->running.n;
}
