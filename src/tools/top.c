// SPDX-License-Identifier: Apache-2.0
/*
 * The loop of `gpuscale top`: a refresh an interval (less often when one takes long: top must not
 * load the scaler), keys, signals, and after each a frame.
 */
#include "tools/top.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/loop.h"
#include "net/signals.h"
#include "tools/top_fetch.h"
#include "tools/top_json.h"
#include "tools/top_keys.h"
#include "tools/top_term.h"
#include "tools/top_view.h"

enum {
    FRAME_MAX = 4 << 20,
    OUTPUT_MAX = 1 << 30,
    FILTER_MAX = 64,
    SLOW = 4, // a refresh that took t is followed by a pause of at least SLOW * t
    INPUT_MAX = 256,
    WIDTH_UNTOLD = 120, // --once into a pipe
};

struct top {
    const struct top_options *o;
    uv_loop_t loop;
    struct top_fetch *fetch;
    struct net_timer *next, *clock;
    struct net_watch *keys;
    struct net_signals signals;
    struct top_snapshot *shown; // the newest that is whole
    int64_t asked_ns, shown_ns; // shown_ns: when it was asked for
    bool asking, ended, interactive;
    struct err trouble; // .msg "": none
    int rc;             // of the end
    struct top_screen screen;
    size_t page;
    char filter[FILTER_MAX];
    char pending[INPUT_MAX]; // bytes of an unfinished key
    size_t pending_n;
    int input;
};

static void draw(struct top *t);

static void time_text(bool whole, char dst[32]) {
    char utc[32];
    clock_format_utc(clock_real_ns(), utc, sizeof(utc));
    if (whole)
        (void)snprintf(dst, 32, "%s", utc);
    else
        (void)snprintf(dst, 32, "%.8sZ", utc + 11);
}

static void end(struct top *t, int rc) {
    if (!t->ended)
        t->rc = rc;
    t->ended = true;
    uv_stop(&t->loop);
}

static void ask(void *ctx) {
    struct top *t = ctx;
    if (t->asking || t->screen.paused)
        return;
    t->asking = true;
    t->asked_ns = clock_mono_ns();
    top_fetch_start(t->fetch);
}

static void ask_later(struct top *t, int64_t took_ns) {
    struct err e;
    int64_t pause = t->o->interval_ns - took_ns;
    if (pause < SLOW * took_ns)
        pause = SLOW * took_ns;
    net_timer_stop(&t->next);
    (void)net_timer_start(&t->next, &t->loop, pause, 0, ask, t, &e);
}

static int print(const struct buf *out) {
    return fwrite(out->p, 1, out->len, stdout) == out->len && fflush(stdout) == 0 ? 0 : ERR_IO;
}

static int print_json(struct top *t, struct buf *out) {
    char now[32];
    time_text(true, now);
    return top_json_write(out, t->shown, t->o->server, now);
}

// Both views, whole.
static int print_views(struct top *t, struct buf *out) {
    int r;
    t->screen.height = 0;
    top_sum_line(out, t->shown, &t->screen);
    (void)buf_add_byte(out, '\n');
    r = top_body(out, t->shown, &t->screen);
    (void)buf_add_byte(out, '\n');
    t->screen.choice.view = t->screen.choice.view == TOP_GPUS ? TOP_WORKLOADS : TOP_GPUS;
    return r < 0 ? r : top_body(out, t->shown, &t->screen);
}

static void output(struct top *t) {
    CLEANUP_BUF struct buf out;
    buf_init(&out, OUTPUT_MAX);
    int r = t->o->json ? print_json(t, &out) : print_views(t, &out);
    if (r == 0)
        r = print(&out);
    if (r < 0)
        (void)err_set(&t->trouble, ERR_IO, "standard output cannot be written");
    if (r < 0 || t->o->once)
        end(t, r);
}

static void on_refresh(void *ctx, struct top_snapshot *s, const struct err *why) {
    struct top *t = ctx;
    int64_t took_ns = clock_mono_ns() - t->asked_ns;
    t->asking = false;
    t->trouble = why != NULL ? *why : (struct err){0};
    if (s != NULL &&
        top_snapshot_finish(s, t->shown, (double)(t->asked_ns - t->shown_ns) / NS_PER_S,
                            &t->o->prices) < 0) {
        s = top_snapshot_free(s);
        (void)err_set(&t->trouble, ERR_NOMEM, "no memory for so many GPUs");
    }
    if (s != NULL) {
        top_snapshot_free(t->shown);
        t->shown = s;
        t->shown_ns = t->asked_ns;
    }
    if (t->interactive)
        draw(t);
    else if (s != NULL)
        output(t);
    else if (t->o->once)
        end(t, t->trouble.code);
    else
        (void)fprintf(stderr, "gpuscale top: %s\n", t->trouble.msg);
    ask_later(t, took_ns);
}

static void draw(struct top *t) {
    static struct top_snapshot nothing;
    CLEANUP_BUF struct buf frame;
    char now[32];
    time_text(false, now);
    buf_init(&frame, FRAME_MAX);
    top_term_size(&t->screen.width, &t->screen.height);
    t->screen.when = now;
    t->screen.trouble = t->trouble.msg[0] != '\0' ? t->trouble.msg : NULL;
    t->screen.age_s = t->shown != NULL ? (double)(clock_mono_ns() - t->shown_ns) / NS_PER_S : NAN;
    int r = top_frame(&frame, t->shown != NULL ? t->shown : &nothing, &t->screen, &t->page);
    if (r == 0)
        r = top_term_draw(&frame);
    if (r < 0)
        end(t, err_set(&t->trouble, ERR_IO, "the terminal cannot be written"));
}

// While nothing new comes, the age of the old grows.
static void on_clock(void *ctx) {
    struct top *t = ctx;
    if (t->trouble.msg[0] != '\0')
        draw(t);
}

static void type(struct top *t, enum top_key key, struct str text) {
    size_t n = strlen(t->filter);
    switch (key) {
    case TOP_KEY_TEXT:
        if (n + text.n < sizeof(t->filter)) {
            memcpy(t->filter + n, text.p, text.n);
            t->filter[n + text.n] = '\0';
        }
        break;
    case TOP_KEY_BACKSPACE:
        while (n > 0 && ((unsigned char)t->filter[--n] & 0xc0) == 0x80) {
        }
        t->filter[n] = '\0';
        break;
    case TOP_KEY_ESCAPE:
        t->filter[0] = '\0';
        t->screen.typing = false;
        break;
    case TOP_KEY_ENTER:
        t->screen.typing = false;
        break;
    default:
        break;
    }
    t->screen.scroll = 0;
}

static void show(struct top *t, enum top_view_kind view) {
    t->screen.choice.view = view;
    t->screen.scroll = 0;
    t->screen.help = false;
}

static void order(struct top *t, int step) {
    int s = (int)t->screen.choice.sort + step + TOP_SORT_MAX;
    t->screen.choice.sort = (enum top_sort)(s % TOP_SORT_MAX);
    t->screen.scroll = 0;
}

static void pause_or_go(struct top *t) {
    t->screen.paused = !t->screen.paused;
    if (!t->screen.paused)
        ask(t);
}

static void press(struct top *t, char c) {
    switch (c) {
    case 'q':
        end(t, 0);
        break;
    case 'h':
    case '?':
        t->screen.help = !t->screen.help;
        break;
    case 'g':
        show(t, TOP_GPUS);
        break;
    case 'w':
        show(t, TOP_WORKLOADS);
        break;
    case 's':
    case '>':
        order(t, 1);
        break;
    case '<':
        order(t, -1);
        break;
    case 'r':
        t->screen.choice.reverse = !t->screen.choice.reverse;
        break;
    case '/':
        t->screen.typing = true;
        break;
    case ' ':
        pause_or_go(t);
        break;
    case 'j':
        t->screen.scroll++;
        break;
    case 'k':
        t->screen.scroll -= t->screen.scroll > 0;
        break;
    default:
        break;
    }
}

static void scroll(struct top *t, enum top_key key) {
    size_t page = t->page > 1 ? t->page - 1 : 1; // one line of the page before stays
    size_t *at = &t->screen.scroll;              // top_frame() keeps it inside the rows
    switch (key) {
    case TOP_KEY_UP:
        *at -= *at > 0;
        break;
    case TOP_KEY_DOWN:
        *at += 1;
        break;
    case TOP_KEY_PAGE_UP:
        *at -= *at < page ? *at : page;
        break;
    case TOP_KEY_PAGE_DOWN:
        *at += page;
        break;
    case TOP_KEY_HOME:
        *at = 0;
        break;
    case TOP_KEY_END:
        *at = SIZE_MAX / 2;
        break;
    default:
        break;
    }
}

static void take_key(struct top *t, enum top_key key, struct str text) {
    if (t->screen.typing)
        type(t, key, text);
    else if (key == TOP_KEY_TEXT && text.n == 1)
        press(t, text.p[0]);
    else if (key == TOP_KEY_TAB)
        show(t, t->screen.choice.view == TOP_GPUS ? TOP_WORKLOADS : TOP_GPUS);
    else if (key == TOP_KEY_ESCAPE && t->screen.help)
        t->screen.help = false;
    else if (key == TOP_KEY_ESCAPE)
        t->filter[0] = '\0';
    else
        scroll(t, key);
}

static void on_keys(void *ctx) {
    struct top *t = ctx;
    ssize_t n = read(t->input, t->pending + t->pending_n, sizeof(t->pending) - t->pending_n);
    if (n <= 0) { // the terminal is gone; SIGHUP comes too
        if (n == 0 || errno != EAGAIN)
            end(t, 0);
        return;
    }
    struct str in = {t->pending, t->pending_n + (size_t)n}, text = {0};
    enum top_key key;
    while (!t->ended && (key = top_key_next(&in, &text)) != TOP_KEY_NONE)
        take_key(t, key, text);
    if (in.n == sizeof(t->pending)) // no key is so long
        in.n = 0;
    memmove(t->pending, in.p, in.n);
    t->pending_n = in.n;
    if (!t->ended)
        draw(t);
}

static void on_signal(void *ctx, int number) {
    struct top *t = ctx;
    if (number == SIGTSTP) {
        top_term_leave();
        (void)kill(getpid(), SIGSTOP);
        top_term_enter(); // after `fg`
        draw(t);
    } else if (number == SIGWINCH) {
        draw(t);
    } else {
        end(t, 0);
    }
}

static int watch_signals(struct top *t, struct err *e) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGWINCH};
    unsigned n = t->interactive ? COUNT_OF(numbers) : 3;
    return net_signals_start(&t->signals, &t->loop, numbers, n, on_signal, t, e);
}

static int open_screen(struct top *t, struct err *e) {
    int r = top_term_open(&t->input, e);
    if (r == 0)
        r = net_watch_start(&t->keys, &t->loop, t->input, on_keys, t, e);
    if (r == 0)
        r = net_timer_start(&t->clock, &t->loop, NS_PER_S, NS_PER_S, on_clock, t, e);
    if (r == 0) {
        top_term_enter();
        draw(t);
    }
    return r;
}

static void set_screen(struct top *t) {
    const char *columns = getenv("COLUMNS"), *no_color = getenv("NO_COLOR");
    unsigned long long width;
    t->screen.choice = t->o->choice;
    (void)str_copy(t->filter, sizeof(t->filter), str_from(t->o->choice.filter));
    t->screen.choice.filter = t->filter;
    t->screen.server = t->o->server;
    t->screen.utf8 = top_term_utf8();
    t->screen.color = top_term_capable() && (no_color == NULL || no_color[0] == '\0');
    t->screen.priced = t->o->prices.n > 0;
    if (isatty(STDOUT_FILENO))
        top_term_size(&t->screen.width, &t->screen.height);
    else
        t->screen.width = columns != NULL && str_to_u64(str_from(columns), &width) == 0 &&
                                  width >= 20 && width < 10000
                              ? (unsigned)width
                              : WIDTH_UNTOLD;
}

static void stop(struct top *t) {
    net_signals_stop(&t->signals);
    net_watch_stop(&t->keys);
    net_timer_stop(&t->next);
    net_timer_stop(&t->clock);
    top_fetch_free(t->fetch);
    net_loop_drain_close(&t->loop);
    top_term_close();
    top_snapshot_free(t->shown);
}

int top_run(const struct top_options *o, struct err *e) {
    struct top t = {.o = o, .interactive = !o->once && !o->json};
    struct top_fetch_options f = {.server = o->server,
                                  .tls = &o->tls,
                                  .auth = &o->auth,
                                  .server_name = o->server_name,
                                  .done = on_refresh,
                                  .ctx = &t};
    int r = uv_loop_init(&t.loop);
    if (r < 0)
        return err_set(e, ERR_IO, "event loop: %s", uv_strerror(r));
    set_screen(&t);
    r = top_fetch_new(&t.fetch, &t.loop, &f, e);
    if (r == 0)
        r = watch_signals(&t, e);
    if (r == 0 && t.interactive)
        r = open_screen(&t, e);
    if (r == 0) {
        ask(&t);
        while (!t.ended && uv_run(&t.loop, UV_RUN_ONCE) != 0) {
        }
        r = t.rc;
        if (r < 0)
            *e = t.trouble;
    }
    stop(&t);
    return r;
}
