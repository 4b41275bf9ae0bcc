// SPDX-License-Identifier: Apache-2.0
/*
 * Requests on their way: into the station, out of it token by token or whole, and what happens when
 * their clients leave or read too slowly. A job that the station holds has a ticket; it ends in
 * exactly one of job_end() (answered) and job_drop() (nobody is there to be answered).
 */
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/answer.h"
#include "engine/engine_internal.h"

enum { BODY_MAX = 64 << 20, IDLE_MS = 3600 * 1000 };

struct engine_job {
    struct engine_job *next, **link; // *link is this
    struct engine *m;
    struct http_request *http;
    struct engine_request request;
    char id[ENGINE_ID_MAX];
    uint64_t ticket; // 0: not in the station
    int64_t arrived_ns, created_s;
    double queue_s, service_s;
    uint32_t sent;    // tokens
    uint32_t sending; // so many will have been sent with the piece that is being made
    struct engine_work work;
    enum { WORK_PROMPT, WORK_EVENT, WORK_WHOLE } doing;
    bool working;  // the worker has it
    bool begun;    // the answer in pieces has its head
    bool finished; // by the station
    bool starved;  // waits until its client has read
    bool gone;     // its client is
};

static void job_unlink(struct engine_job *j) {
    *j->link = j->next;
    if (j->next)
        j->next->link = j->link;
}

static void job_link(struct engine_job *j, struct engine_jobs *list) {
    j->next = list->head;
    j->link = &list->head;
    if (j->next)
        j->next->link = &j->next;
    list->head = j;
}

static void job_free(struct engine_job *j) {
    struct engine *m = j->m;
    job_unlink(j);
    mem_free(j);
    m->n_jobs--;
    engine_job_ended(m);
}

static void job_drop(struct engine_job *j) {
    http_request_drop(j->http);
    job_free(j);
}

static struct engine_answer job_answer(const struct engine_job *j) {
    return (struct engine_answer){
        .request = &j->request,
        .model = j->m->plan.model,
        .id = j->id,
        .created_s = j->created_s,
        .queue_s = j->queue_s,
        .service_s = j->service_s,
    };
}

static struct http_answer job_head(const struct engine_job *j, const char *type,
                                   char headers[ENGINE_ID_MAX + 32]) {
    (void)snprintf(headers, ENGINE_ID_MAX + 32, "X-Request-Id: %s\r\n", j->id);
    return (struct http_answer){.status = 200, .content_type = type, .extra_headers = headers};
}

void engine_refuse(struct http_request *r, int status, const char *why) {
    CLEANUP_BUF struct buf body;
    buf_init(&body, BODY_MAX);
    engine_answer_error(&body, status, str_from(why));
    http_request_answer(
        r, &(struct http_answer){.status = body.err ? 500 : status,
                                 .content_type = "application/json",
                                 .extra_headers = status == 503 ? "Retry-After: 1\r\n" : NULL,
                                 .body = buf_str(&body)});
}

static void answer_whole(struct engine_job *j) {
    CLEANUP_BUF struct buf body;
    char headers[ENGINE_ID_MAX + 32];
    buf_init(&body, BODY_MAX);
    struct engine_answer a = job_answer(j);
    engine_answer_whole(&body, &a);
    struct http_answer answer = job_head(j, "application/json", headers);
    answer.body = buf_str(&body);
    if (body.err)
        engine_refuse(j->http, 500, "no memory for the answer");
    else
        http_request_answer(j->http, &answer);
    job_free(j);
}

static void begin(struct engine_job *j) {
    char headers[ENGINE_ID_MAX + 32];
    struct http_answer head = job_head(j, "text/event-stream; charset=utf-8", headers);
    j->begun = true;
    http_request_begin(j->http, &head);
}

static void job_worked(struct engine_job *j);

// Goes on with job_worked(), when it has cost its time: at once where CPU is not burned.
static void job_work(struct engine_job *j, int doing, double us) {
    struct engine *m = j->m;
    j->doing = doing;
    if (!m->worker) {
        job_worked(j);
        return;
    }
    j->working = true;
    j->work.us = us;
    m->modelled_s += us * 1e-6;
    engine_worker_submit(m->worker, &j->work);
}

// Makes an event of the tokens that are there and not yet sent. The job may be gone after it.
static void emit(struct engine_job *j) {
    if (j->working || j->starved || j->gone)
        return;
    uint32_t all = j->request.output_tokens;
    uint32_t given = j->finished ? all : station_tokens(j->m->station, j->ticket);
    if (given == j->sent || (given == all && !j->finished)) // the last one goes with the end
        return;
    j->sending = given;
    job_work(j, WORK_EVENT,
             cpu_cost_output_us(j->m->plan.cpu, given - j->sent, true, j->sent == 0));
}

// Sends what emit() has chosen. The job may be gone after it.
static void send_event(struct engine_job *j) {
    bool last = j->finished && j->sending == j->request.output_tokens;
    CLEANUP_BUF struct buf piece;
    buf_init(&piece, BODY_MAX);
    struct engine_answer a = job_answer(j);
    if (!j->begun)
        begin(j);
    if (j->sent == 0 && j->request.kind == ENGINE_CHAT)
        engine_answer_event(&piece, &a, 0, 0, false);
    engine_answer_event(&piece, &a, j->sent, j->sending - j->sent, last);
    if (last)
        engine_answer_done(&piece, &a);
    int r = piece.err ? piece.err : http_request_send(j->http, buf_str(&piece));
    if (r == ERR_AGAIN) {
        j->starved = true;
        return;
    }
    j->sent = j->sending;
    if (!last) {
        emit(j); // what came meanwhile; after ERR_CLOSED, `gone` comes
        return;
    }
    if (r < 0 && r != ERR_CLOSED) {
        job_drop(j);
        return;
    }
    http_request_end(j->http);
    job_free(j);
}

static void on_finished(struct engine_job *j, const struct station_event *ev) {
    struct engine *m = j->m;
    if (m->plan.profile.kind == STATION_BATCHES)
        histogram_add(&m->stats.ttft, (double)(ev->first_token_ns - j->arrived_ns) * 1e-9);
    engine_stats_finish(&m->stats, ev, j->arrived_ns);
    j->queue_s = (double)(ev->admitted_ns - j->arrived_ns) * 1e-9;
    j->service_s = (double)(ev->at_ns - ev->admitted_ns) * 1e-9;
    j->ticket = 0;
    j->finished = true;
    if (j->gone) { // its client left in the moment of the end
        if (!j->working)
            job_drop(j);
        return;
    }
    if (j->request.stream)
        emit(j);
    else
        job_work(j, WORK_WHOLE,
                 j->request.kind == ENGINE_PREDICT
                     ? 0
                     : cpu_cost_output_us(m->plan.cpu, j->request.output_tokens, false, true));
}

static void take_event(struct engine *m, const struct station_event *ev) {
    struct engine_job *j = ev->user;
    switch (ev->kind) {
    case STATION_ADMITTED:
        if (ev->preemptions == 0)
            histogram_add(&m->stats.queue, (double)(ev->at_ns - j->arrived_ns) * 1e-9);
        break;
    case STATION_FIRST_TOKEN:
        histogram_add(&m->stats.ttft, (double)(ev->at_ns - j->arrived_ns) * 1e-9);
        if (j->request.stream) {
            job_unlink(j);
            job_link(j, &m->streaming);
        }
        break;
    case STATION_PREEMPTED:
        break;
    case STATION_FINISHED:
        on_finished(j, ev);
        break;
    }
}

void engine_pump(struct engine *m) {
    if (m->state == ENGINE_LOADING || m->state == ENGINE_CLOSING)
        return;
    struct station_event ev;
    int64_t now_ns = clock_mono_ns();
    while (station_step(m->station, now_ns, &ev))
        take_event(m, &ev);
    for (struct engine_job *j = m->streaming.head, *next; j; j = next) {
        next = j->next; // emit() ends no job that is not finished, and this one alone
        emit(j);
    }
    int64_t at_ns = station_next_ns(m->station);
    if (m->streaming.head && station_next_token_ns(m->station) < at_ns)
        at_ns = station_next_token_ns(m->station);
    if (m->state != ENGINE_CLOSING)
        net_timer_again(m->step, at_ns == INT64_MAX ? IDLE_MS * NS_PER_MS : at_ns - now_ns);
}

static void on_gone(struct http_request *r, void *ctx) {
    struct engine_job *j = ctx;
    struct engine *m = j->m;
    uint64_t ticket = j->ticket;
    j->gone = true;
    if (ticket == 0) { // not yet in the station, or all that is left is to send what nobody reads
        if (!j->working)
            job_drop(j);
        return;
    }
    engine_pump(m); // which may have finished it, and freed it
    if (!station_abort(m->station, clock_mono_ns(), ticket))
        return;
    m->stats.aborted++;
    j->ticket = 0;
    if (!j->working)
        job_drop(j);
    engine_pump(m);
}

static void on_writable(struct http_request *r, void *ctx) {
    struct engine_job *j = ctx;
    j->starved = false;
    send_event(j);
}

static const struct http_watch watch = {.gone = on_gone, .writable = on_writable};

// The client's X-Request-Id where it is one that may stand in a header and a log, else our own.
static void name_job(struct engine_job *j) {
    struct str id = http_request_header(j->http, "X-Request-Id");
    bool good = id.n > 0 && id.n < ENGINE_ID_MAX;
    for (size_t i = 0; good && i < id.n; i++)
        good = id.p[i] > ' ' && id.p[i] < 0x7f;
    if (good)
        (void)str_copy(j->id, sizeof(j->id), id);
    else
        (void)snprintf(j->id, sizeof(j->id), "%llx-%llx", (unsigned long long)j->created_s,
                       (unsigned long long)++j->m->next_id);
}

static void offer(struct engine_job *j) {
    struct engine *m = j->m;
    struct station_request request = {.user = j,
                                      .prompt_tokens = j->request.prompt_tokens,
                                      .output_tokens = j->request.output_tokens};
    engine_pump(m);
    if (station_offer(m->station, clock_mono_ns(), &request, &j->ticket) == 0) {
        engine_pump(m);
        return;
    }
    m->stats.refused[ENGINE_REFUSED_QUEUE]++;
    engine_refuse(j->http, 503, "the queue is full");
    job_free(j);
}

static void job_worked(struct engine_job *j) {
    j->working = false;
    if (j->doing == WORK_PROMPT)
        j->m->n_arriving--;
    if (j->gone) {
        job_drop(j);
        return;
    }
    switch (j->doing) {
    case WORK_PROMPT:
        offer(j);
        break;
    case WORK_EVENT:
        send_event(j);
        break;
    case WORK_WHOLE:
        answer_whole(j);
        break;
    }
}

void engine_job_burned(struct engine_work *work) {
    job_worked(container_of(work, struct engine_job, work));
}

void engine_job_start(struct engine *m, struct http_request *http, const struct engine_request *q) {
    struct station_reading now;
    station_read(m->station, &now);
    if (m->n_arriving + now.waiting >= m->plan.station.max_queue) {
        m->stats.refused[ENGINE_REFUSED_QUEUE]++;
        engine_refuse(http, 503, "the queue is full");
        return;
    }
    struct engine_job *j = mem_zalloc(sizeof(*j));
    if (!j) {
        engine_refuse(http, 500, "no memory for the request");
        return;
    }
    *j = (struct engine_job){
        .m = m,
        .http = http,
        .request = *q,
        .arrived_ns = clock_mono_ns(),
        .created_s = clock_real_ns() / NS_PER_S,
    };
    name_job(j);
    job_link(j, &m->idle);
    m->n_jobs++;
    m->n_arriving++;
    http_request_watch(http, &watch, j);
    job_work(
        j, WORK_PROMPT,
        cpu_cost_prompt_us(m->plan.cpu, q->kind == ENGINE_PREDICT ? 0 : j->request.prompt_tokens));
}

void engine_jobs_drop(struct engine *m) {
    struct engine_jobs *const lists[] = {&m->idle, &m->streaming};
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        while (lists[i]->head)
            job_drop(lists[i]->head);
}
