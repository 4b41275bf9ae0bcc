// SPDX-License-Identifier: Apache-2.0
/* Batches on parallel instances; with a batch of one, a G/G/c/K queue. See station.h. */
#include "core/queueing/station_internal.h"

#include <math.h>

#include "base/limits.h"
#include "base/mem.h"

#define NS 1e9

static int check_points(const struct station_batching *b, struct err *e) {
    if (b->n_points == 0 || b->n_points > STATION_POINTS_MAX || b->points[0].size != 1)
        return err_set(e, ERR_INVALID,
                       "batch times: 1 to %d sizes with their times, the first of size 1",
                       STATION_POINTS_MAX);
    for (uint32_t i = 0; i < b->n_points; i++) {
        if (!(b->points[i].s >= 1e-9 && b->points[i].s <= LIMIT_STATION_STEP_S))
            return err_set(e, ERR_INVALID, "a batch of %u takes %g s: 1e-9 to %d are allowed",
                           b->points[i].size, b->points[i].s, LIMIT_STATION_STEP_S);
        if (i > 0 && b->points[i].size <= b->points[i - 1].size)
            return err_set(e, ERR_INVALID, "batch times: size %u after %u: sizes must ascend",
                           b->points[i].size, b->points[i - 1].size);
        if (i > 0 && b->points[i].s < b->points[i - 1].s)
            return err_set(
                e, ERR_INVALID, "batch times: a batch of %u takes less than one of %u (%g < %g s)",
                b->points[i].size, b->points[i - 1].size, b->points[i].s, b->points[i - 1].s);
    }
    return 0;
}

int batches_check(const struct station_config *c, struct err *e) {
    const struct station_batching *b = &c->batching;
    if (b->instances < 1 || b->instances > LIMIT_STATION_INSTANCES)
        return err_set(e, ERR_INVALID, "instances %u: 1 to %d", b->instances,
                       LIMIT_STATION_INSTANCES);
    if (b->max_batch < 1 || b->max_batch > LIMIT_STATION_BATCH)
        return err_set(e, ERR_INVALID, "max_batch %u: 1 to %d", b->max_batch, LIMIT_STATION_BATCH);
    if (b->max_delay_ns < 0 || b->max_delay_ns > (int64_t)(LIMIT_STATION_STEP_S * NS))
        return err_set(e, ERR_INVALID, "max_delay %g s: 0 to %d", (double)b->max_delay_ns / NS,
                       LIMIT_STATION_STEP_S);
    if (b->draw == STATION_LOGNORMAL && !(b->cv >= 0 && b->cv <= 10))
        return err_set(e, ERR_INVALID, "cv %g: 0 to 10", b->cv);
    return check_points(b, e);
}

static double time_s(const struct station_batching *b, uint32_t size) {
    uint32_t i = 0; // the straight line from point i on
    while (i + 2 < b->n_points && b->points[i + 1].size < size)
        i++;
    if (b->n_points == 1)
        return b->points[0].s;
    double slope = (b->points[i + 1].s - b->points[i].s) /
                   (double)(b->points[i + 1].size - b->points[i].size);
    return b->points[i].s + slope * ((double)size - (double)b->points[i].size);
}

int batches_init(struct station *s) {
    const struct station_batching *c = &s->config.batching;
    struct batches *b = &s->batches;
    b->ending = b->next = SLOT_NONE;
    b->counted_ns = s->now_ns;
    b->sigma = sqrt(log1p(c->cv * c->cv));
    b->instances = mem_array(c->instances, sizeof(*b->instances));
    b->idle = mem_array(c->instances, sizeof(*b->idle));
    b->time_ns = mem_array(c->max_batch, sizeof(*b->time_ns));
    if (slot_heap_init(&b->ends, c->instances, c->instances) < 0 || b->instances == NULL ||
        b->idle == NULL || b->time_ns == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < c->max_batch; i++)
        b->time_ns[i] = NS * time_s(c, i + 1);
    for (uint32_t i = c->instances; i-- > 0;)
        b->idle[b->n_idle++] = i;
    return 0;
}

void batches_done(struct station *s) {
    mem_free(s->batches.instances);
    mem_free(s->batches.idle);
    mem_free(s->batches.time_ns);
    slot_heap_done(&s->batches.ends);
}

bool batches_has_room(const struct station *s) {
    return s->waiting.n < (uint64_t)s->batches.n_idle * s->config.batching.max_batch;
}

// Busy time until now, before anything starts or ends.
static void count(struct station *s) {
    struct batches *b = &s->batches;
    double passed_s = (double)(s->now_ns - b->counted_ns) / NS;
    uint32_t busy = s->config.batching.instances - b->n_idle;
    b->counted_ns = s->now_ns;
    s->total.busy_s += passed_s * busy;
    s->total.union_busy_s += busy > 0 ? passed_s : 0;
}

static int64_t duration_ns(struct station *s, const struct slot_list *batch) {
    const struct station_batching *c = &s->config.batching;
    double ns = s->batches.time_ns[batch->n - 1];
    if (c->max_batch == 1 && s->slots[batch->head].service_ns > 0)
        return s->slots[batch->head].service_ns;
    if (c->draw == STATION_EXPONENTIAL)
        ns = random_exponential(&s->random, ns);
    else if (c->draw == STATION_LOGNORMAL && c->cv > 0)
        ns *= exp(s->batches.sigma * (random_normal(&s->random) - s->batches.sigma / 2));
    return ns < 1 ? 1 : (int64_t)(ns + 0.5);
}

// When an idle instance takes what waits; INT64_MAX: not before more come.
static int64_t start_ns(const struct station *s) {
    const struct station_batching *c = &s->config.batching;
    if (s->batches.n_idle == 0 || s->waiting.n == 0)
        return INT64_MAX;
    if (s->waiting.n >= c->max_batch)
        return s->now_ns;
    int64_t due_ns = s->slots[s->waiting.head].arrived_ns + c->max_delay_ns;
    return due_ns > s->now_ns ? due_ns : s->now_ns;
}

static void start(struct station *s) {
    struct batches *b = &s->batches;
    count(s);
    uint32_t instance = b->idle[--b->n_idle];
    struct slot_list *batch = &b->instances[instance];
    *batch = (struct slot_list){SLOT_NONE, SLOT_NONE, 0};
    while (s->waiting.n > 0 && batch->n < s->config.batching.max_batch) {
        uint32_t i = s->waiting.head;
        slot_remove(s, &s->waiting, i);
        slot_append(s, batch, i);
        s->slots[i].state = SLOT_SERVED;
        s->slots[i].admitted_ns = s->now_ns;
    }
    s->running.n += batch->n;
    b->next = batch->head;
    slot_heap_add(&b->ends, (uint64_t)(s->now_ns + duration_ns(s, batch)), s->order++, instance);
}

static void end(struct station *s) {
    struct batches *b = &s->batches;
    count(s);
    b->ending = b->ends.entries[0].id;
    slot_heap_remove(&b->ends, b->ending);
    s->total.iterations++;
    s->total.sequence_iterations += b->instances[b->ending].n;
}

// The next of the batch that ends. False: there was none but such as nobody waits for any more.
static bool end_one(struct station *s, struct station_event *ret) {
    struct batches *b = &s->batches;
    struct slot_list *batch = &b->instances[b->ending];
    while (batch->n > 0) {
        uint32_t i = batch->head;
        struct slot *slot = &s->slots[i];
        bool aborted = slot->aborted;
        slot_remove(s, batch, i);
        s->running.n--;
        s->total.prefill_tokens += slot->prompt;
        s->total.prompt_tokens += slot->prompt;
        if (!aborted) {
            s->total.finished++;
            s->total.output_tokens += slot->output;
            slot->first_token_ns = s->now_ns;
            station_tell(s, i, STATION_FINISHED, s->now_ns, ret);
        }
        slot_release(s, i);
        if (!aborted)
            return true;
    }
    count(s);
    b->idle[b->n_idle++] = b->ending;
    b->ending = SLOT_NONE;
    return false;
}

static bool start_one(struct station *s, struct station_event *ret) {
    while (s->batches.next != SLOT_NONE) {
        uint32_t i = s->batches.next;
        s->batches.next = s->slots[i].next;
        if (!s->slots[i].aborted)
            return station_tell(s, i, STATION_ADMITTED, s->now_ns, ret);
    }
    return false;
}

bool batches_step(struct station *s, int64_t until_ns, struct station_event *ret) {
    struct batches *b = &s->batches;
    for (;;) {
        if (b->ending != SLOT_NONE) {
            if (end_one(s, ret))
                return true;
            continue;
        }
        if (start_one(s, ret))
            return true;
        int64_t end_ns = b->ends.n > 0 ? (int64_t)b->ends.entries[0].key : INT64_MAX;
        int64_t begin_ns = start_ns(s);
        int64_t next_ns = end_ns < begin_ns ? end_ns : begin_ns;
        if (next_ns > until_ns || next_ns == INT64_MAX)
            break;
        if (next_ns > s->now_ns)
            s->now_ns = next_ns;
        if (end_ns <= begin_ns)
            end(s);
        else
            start(s);
    }
    if (until_ns > s->now_ns)
        s->now_ns = until_ns;
    return false;
}

int64_t batches_next_ns(const struct station *s) {
    const struct batches *b = &s->batches;
    if (b->ending != SLOT_NONE || b->next != SLOT_NONE)
        return s->now_ns;
    int64_t end_ns = b->ends.n > 0 ? (int64_t)b->ends.entries[0].key : INT64_MAX;
    int64_t begin_ns = start_ns(s);
    return end_ns < begin_ns ? end_ns : begin_ns;
}

void batches_read(struct station *s, struct station_reading *ret) {
    count(s);
    *ret = s->total;
}
