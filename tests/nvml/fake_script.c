// SPDX-License-Identifier: Apache-2.0
/* See fake_script.h. */
#include "fake_script.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

struct fake_world fake_world;

static char *script;     // its text
static const char *rest; // what was not played yet
static unsigned line_no;
static int64_t due_ms;    // of the statements at `rest`
static int64_t begun_ms;  // when the file was read
static int64_t looked_ms; // when it was last looked whether it changed
static struct stat known;
static char known_path[4096];
static int64_t clock_ms = -1;

__attribute__((format(printf, 1, 2), noreturn)) static void fail(const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    fprintf(stderr, "fake NVML: %s:%u: ", known_path, line_no);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    va_end(ap);
    abort();
}

static int64_t real_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t fake_script_now_ms(void) {
    return clock_ms >= 0 ? clock_ms : real_ms();
}

void fake_nvml_clock(int64_t ms) {
    clock_ms = ms;
}

static int64_t parse_time(const char *word) {
    char *end;
    double v = strtod(word, &end);
    double factor = strcmp(end, "ms") == 0  ? 1
                    : strcmp(end, "s") == 0 ? 1000
                    : strcmp(end, "m") == 0 ? 60000
                                            : -1;
    if (end == word || factor < 0 || v < 0)
        fail("\"%s\" is not a time", word);
    return (int64_t)(v * factor);
}

static unsigned parse_unsigned(const char *word, unsigned below) {
    char *end;
    if (!word)
        fail("a number is missing");
    unsigned long v = strtoul(word, &end, 10);
    if (*end || end == word || v >= below)
        fail("\"%s\" is not a number below %u", word, below);
    return (unsigned)v;
}

static void set_value(struct fake_device *d, char *word) {
    static const char *const names[] = {
#define NAME(name) #name,
        FAKE_KEYS(NAME)
#undef NAME
    };
    char *text = strchr(word, '='), *end;
    if (!text)
        fail("\"%s\" is not KEY=VALUE", word);
    *text++ = 0;
    int k = 0;
    while (k < FAKE_KEY_MAX && strcmp(names[k], word) != 0)
        k++;
    if (k == FAKE_KEY_MAX)
        fail("there is no key \"%s\"", word);
    struct fake_value v = {.set = true};
    if (strcmp(text, "-") == 0)
        v.set = false;
    else if (*text == '!')
        v.code = (int)parse_unsigned(text + 1, 100000);
    else {
        for (size_t i = 0; text[i] && i < sizeof v.text - 1; i++)
            v.text[i] = text[i] == '_' ? ' ' : text[i];
        v.number = strtod(text, &end);
    }
    d->values[k] = v;
}

uint64_t fake_unsigned(double v) {
    return !(v > 0) ? 0 : v >= 1e19 ? UINT64_MAX : (uint64_t)v;
}

static char *word_at; // what of the line was not read yet

static char *next_word(void) {
    return strtok_r(NULL, " \t", &word_at);
}

static void run_hang(void) {
    char *time = next_word(), *call = next_word();
    if (!time || !call || fake_world.n_hangs == 16)
        fail("write: hang TIME CALL");
    struct fake_hang *h = &fake_world.hangs[fake_world.n_hangs++];
    h->ms = parse_time(time);
    snprintf(h->call, sizeof h->call, "%s", call);
}

static void run_xid(void) {
    struct fake_event event = {.gi = UINT32_MAX, .ci = UINT32_MAX};
    event.gpu = parse_unsigned(next_word(), FAKE_GPUS);
    event.xid = parse_unsigned(next_word(), 100000);
    char *gi = next_word(), *ci = gi ? next_word() : NULL;
    if (gi)
        event.gi = parse_unsigned(gi, 100);
    if (ci)
        event.ci = parse_unsigned(ci, 100);
    if (fake_world.n_events < 512)
        fake_world.events[fake_world.n_events++] = event;
}

static void run_device(bool mig) {
    struct fake_gpu *gpu = &fake_world.gpus[parse_unsigned(next_word(), FAKE_GPUS)];
    struct fake_device *d = mig ? &gpu->migs[parse_unsigned(next_word(), FAKE_MIGS)] : &gpu->device;
    d->there = true;
    for (char *word; (word = next_word());)
        set_value(d, word);
}

static void run_gone(void) {
    struct fake_gpu *gpu = &fake_world.gpus[parse_unsigned(next_word(), FAKE_GPUS)];
    char *mig = next_word();
    struct fake_device *d = mig ? &gpu->migs[parse_unsigned(mig, FAKE_MIGS)] : &gpu->device;
    *d = (struct fake_device){0};
}

static void run_statement(char *line) {
    char *verb = strtok_r(line, " \t", &word_at);
    if (!verb)
        return;
    if (strcmp(verb, "driver") == 0) {
        char *text = next_word();
        snprintf(fake_world.driver, sizeof fake_world.driver, "%s", text ? text : "");
    } else if (strcmp(verb, "gpu") == 0) {
        run_device(false);
    } else if (strcmp(verb, "mig") == 0) {
        run_device(true);
    } else if (strcmp(verb, "gone") == 0) {
        run_gone();
    } else if (strcmp(verb, "xid") == 0) {
        run_xid();
    } else if (strcmp(verb, "every") == 0) {
        fake_world.every = (int)parse_unsigned(next_word(), 100000);
    } else if (strcmp(verb, "hang") == 0) {
        run_hang();
    } else {
        fail("\"%s\" is no statement", verb);
    }
}

static void load(const char *path) {
    FILE *f = fopen(path, "re");
    snprintf(known_path, sizeof known_path, "%s", path);
    line_no = 0;
    if (!f || fstat(fileno(f), &known))
        fail("cannot be read");
    free(script);
    script = calloc(1, (size_t)known.st_size + 1);
    if (!script || fread(script, 1, (size_t)known.st_size, f) != (size_t)known.st_size)
        fail("cannot be read");
    fclose(f);
    rest = script;
    due_ms = 0;
    begun_ms = fake_script_now_ms();
    fake_world = (struct fake_world){.driver = "580.82.07"};
}

__attribute__((destructor)) static void unload(void) {
    free(script);
}

static void load_if_other(void) {
    const char *path = getenv("FAKE_NVML_SCRIPT");
    struct stat now;
    if (script && real_ms() - looked_ms < 20 && path && strcmp(path, known_path) == 0)
        return;
    looked_ms = real_ms();
    if (!path)
        fail("FAKE_NVML_SCRIPT names no file");
    if (!script || strcmp(path, known_path) != 0 ||
        (stat(path, &now) == 0 && (now.st_ino != known.st_ino || now.st_dev != known.st_dev ||
                                   now.st_mtim.tv_nsec != known.st_mtim.tv_nsec)))
        load(path);
}

void fake_script_play(void) {
    load_if_other();
    while (*rest) {
        char line[2048];
        size_t n = strcspn(rest, "\n");
        const char *next = rest[n] ? rest + n + 1 : rest + n;
        if (n >= sizeof line)
            fail("the line is too long");
        memcpy(line, rest, n);
        line[n] = 0;
        line[strcspn(line, "#")] = 0;
        if (strncmp(line, "at ", 3) == 0)
            due_ms = parse_time(line + 3);
        else if (fake_script_now_ms() - begun_ms < due_ms)
            return;
        else
            run_statement(line);
        rest = next;
        line_no++;
    }
}
