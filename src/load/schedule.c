// SPDX-License-Identifier: Apache-2.0
/* Arrivals one by one. */
#include "load/schedule.h"

#include <math.h>

#include "base/clock.h"

static void init(struct schedule *s, struct load_lengths lengths, uint64_t seed) {
    s->lengths = lengths;
    random_init(&s->random, seed);
    random_init(&s->length_random, seed ^ UINT64_C(0x9e3779b97f4a7c15));
}

void schedule_init_shape(struct schedule *s, const struct shape *shape, enum load_arrivals arrivals,
                         struct load_lengths lengths, uint64_t seed) {
    *s = (struct schedule){.shape = shape,
                           .arrivals = arrivals,
                           .speed = 1,
                           .end_ns = (int64_t)(shape->seconds * (double)NS_PER_S)};
    init(s, lengths, seed);
    if (arrivals == LOAD_ARRIVALS_POISSON)
        s->count = random_exponential(&s->random, 1);
}

void schedule_init_trace(struct schedule *s, const struct trace *trace, double speed,
                         int64_t end_ns, struct load_lengths lengths, uint64_t seed) {
    // The last row is a request too: the end lies behind it.
    int64_t whole_ns = (int64_t)((double)trace_end_ns(trace) / speed) + 1;
    *s = (struct schedule){
        .trace = trace, .speed = speed, .end_ns = end_ns && end_ns < whole_ns ? end_ns : whole_ns};
    init(s, lengths, seed);
}

static uint32_t draw_length(struct schedule *s, uint32_t mean) {
    if (s->lengths.fixed || mean == 0)
        return mean;
    double variance = log(1 + LOAD_LENGTH_SPREAD * LOAD_LENGTH_SPREAD);
    double drawn = mean * exp(random_normal(&s->length_random) * sqrt(variance) - variance / 2);
    double most = 8.0 * mean;
    return (uint32_t)(drawn < 1 ? 1 : drawn > most ? most : drawn + 0.5);
}

static void draw_lengths(struct schedule *s, struct schedule_item *item) {
    item->prompt = draw_length(s, s->lengths.prompt);
    item->output = draw_length(s, s->lengths.output);
}

static bool next_of_shape(struct schedule *s, struct schedule_item *ret) {
    double at_s = shape_time(s->shape, s->count, &s->piece);
    if (!isfinite(at_s))
        return false;
    s->count += s->arrivals == LOAD_ARRIVALS_POISSON ? random_exponential(&s->random, 1) : 1;
    ret->at_ns = (int64_t)(at_s * (double)NS_PER_S);
    draw_lengths(s, ret);
    return true;
}

static bool next_of_trace(struct schedule *s, struct schedule_item *ret) {
    if (s->row == s->trace->rows.n)
        return false;
    const struct trace_row *row = &s->trace->rows.items[s->row];
    ret->at_ns = (int64_t)((double)row->at_ns / s->speed);
    if (ret->at_ns >= s->end_ns)
        return false;
    s->row++;
    draw_lengths(s, ret);
    if (row->prompt_tokens)
        ret->prompt = row->prompt_tokens;
    if (row->output_tokens)
        ret->output = row->output_tokens;
    return true;
}

bool schedule_next(struct schedule *s, struct schedule_item *ret) {
    return s->trace ? next_of_trace(s, ret) : next_of_shape(s, ret);
}
