// SPDX-License-Identifier: Apache-2.0
/* Recognising engines; see the header. */
#include "tools/generate_engine.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "base/mem.h"

enum where { IN_WORDS, IN_IMAGE, IN_ENV };

// The first clue that fits counts, what is started before what it is packed in.
static const struct clue {
    const char *preset;
    enum where where;
    const char *text;     // a word (a program's base name, or a module), part of the image, or the
                          // beginning of a variable's name
    const char *in_image; // and the image has this, too; NULL: any
} clues[] = {
    {"dynamo", IN_WORDS, "dynamo.frontend", NULL},
    {"dynamo", IN_WORDS, "dynamo.vllm", NULL},
    {"dynamo", IN_WORDS, "dynamo.sglang", NULL},
    {"dynamo", IN_WORDS, "dynamo.trtllm", NULL},
    {"ray-serve-llm", IN_WORDS, "ray.serve.llm:build_openai_app", NULL},
    {"trtllm", IN_WORDS, "trtllm-serve", NULL},
    {"triton-trtllm", IN_WORDS, "tritonserver", "trtllm"},
    {"triton", IN_WORDS, "tritonserver", NULL},
    {"sglang", IN_WORDS, "sglang.launch_server", NULL},
    {"sglang", IN_WORDS, "sglang_router.launch_server", NULL},
    {"tgi", IN_WORDS, "text-generation-launcher", NULL},
    {"vllm", IN_WORDS, "vllm.entrypoints.openai.api_server", NULL},
    {"vllm", IN_WORDS, "vllm", NULL},
    {"llamacpp", IN_WORDS, "llama-server", NULL},
    {"ollama", IN_WORDS, "ollama", NULL},
    {"torchserve", IN_WORDS, "torchserve", NULL},
    {"ray-serve", IN_WORDS, "serve", "ray"},
    {"ray-serve", IN_WORDS, "ray", NULL},
    {"dynamo", IN_IMAGE, "ai-dynamo/", NULL},
    {"trtllm", IN_IMAGE, "tensorrt-llm/release", NULL},
    {"triton-trtllm", IN_IMAGE, "tritonserver", "trtllm"},
    {"triton", IN_IMAGE, "tritonserver", NULL},
    {"sglang", IN_IMAGE, "sglang", NULL},
    {"tgi", IN_IMAGE, "text-generation-inference", NULL},
    {"vllm", IN_IMAGE, "kserve/huggingfaceserver", NULL},
    {"ray-serve-llm", IN_IMAGE, "ray-llm", NULL},
    {"vllm", IN_IMAGE, "vllm", NULL},
    {"llamacpp", IN_IMAGE, "llama.cpp", NULL},
    {"ollama", IN_IMAGE, "ollama", NULL},
    {"torchserve", IN_IMAGE, "torchserve", NULL},
    {"ray-serve", IN_IMAGE, "rayproject/ray", NULL},
    {"kserve", IN_IMAGE, "kserve/", NULL},
    {"vllm", IN_ENV, "VLLM_", NULL},
    {"sglang", IN_ENV, "SGLANG_", NULL},
    {"ollama", IN_ENV, "OLLAMA_", NULL},
    {"llamacpp", IN_ENV, "LLAMA_ARG_", NULL},
};

// Where an engine is told its port.
static const struct port_rule {
    const char *preset, *flag, *env;
} port_rules[] = {
    {"vllm", "--port", NULL},
    {"vllm", "--http_port", NULL}, // KServe's Hugging Face server
    {"sglang", "--port", NULL},
    {"trtllm", "--port", NULL},
    {"triton", "--metrics-port", NULL},
    {"triton-trtllm", "--metrics-port", NULL},
    {"tgi", "--port", "PORT"},
    {"tgi", "-p", NULL},
    {"llamacpp", "--port", "LLAMA_ARG_PORT"},
    {"dynamo", "--http-port", "DYN_SYSTEM_PORT"},
    {"dynamo", NULL, "DYN_HTTP_PORT"},
    {"ray-serve", "--metrics-export-port", NULL},
    {"ray-serve-llm", "--metrics-export-port", NULL},
    {"kserve", "--http_port", NULL},
};

// Words without which, or with which, there is no page.
static const struct page_rule {
    const char *preset, *word;
    bool needed;
    const char *env; // does the same; NULL
    const char *note;
} page_rules[] = {
    {"sglang", "--enable-metrics", true, NULL,
     "SGLang shows its metrics only with --enable-metrics, which is not among the arguments"},
    {"llamacpp", "--metrics", true, "LLAMA_ARG_ENDPOINT_METRICS",
     "llama.cpp shows its metrics only with --metrics, which is not among the arguments"},
    {"vllm", "--disable-log-stats", false, NULL,
     "vLLM with --disable-log-stats tells no metrics: without them nothing can be decided"},
    {"vllm", "--ssl-keyfile", false, NULL,
     "vLLM with --ssl-keyfile has its page behind TLS, where the scaler does not read it"},
    {"triton", "--allow-metrics=false", false, NULL,
     "Triton with --allow-metrics=false has no metrics page"},
    {"triton-trtllm", "--allow-metrics=false", false, NULL,
     "Triton with --allow-metrics=false has no metrics page"},
};

struct guessing {
    const struct manifest_scalable *w;
    struct arena *a;
    struct engine_guess *g;
    bool no_memory;
    struct str *tokens; // of the program at hand: its words, cut at blanks (sh -c "...")
    size_t n_tokens;
};

static const char *keep(struct guessing *q, const char *text) {
    q->no_memory = q->no_memory || !text;
    return text ? text : "";
}

static void note(struct guessing *q, const char *text) {
    if (q->g->n_notes < ENGINE_GUESS_NOTES)
        q->g->notes[q->g->n_notes++] = keep(q, text);
}

static void cut_words(struct guessing *q, const struct manifest_program *p) {
    size_t n = 0;
    for (size_t i = 0; i < p->n_words; i++)
        n += strlen(p->words[i]) / 2 + 1;
    q->n_tokens = 0;
    q->tokens = arena_array(q->a, n + 1, sizeof(*q->tokens));
    q->no_memory = q->no_memory || !q->tokens;
    for (size_t i = 0; i < p->n_words && q->tokens; i++)
        for (const char *at = p->words[i]; *at;) {
            size_t len = strcspn(at, " \t\n\"'\\");
            if (len > 0)
                q->tokens[q->n_tokens++] = (struct str){at, len};
            at += len + (at[len] != '\0');
        }
}

static struct str base_name(struct str s) {
    for (size_t i = s.n; i > 0; i--)
        if (s.p[i - 1] == '/')
            return (struct str){s.p + i, s.n - i};
    return s;
}

// The value of a flag, "--port 8001" or "--port=8001"; n 0: it is not there.
static struct str flag_value(const struct guessing *q, const char *flag) {
    size_t n = strlen(flag);
    for (size_t i = 0; i < q->n_tokens; i++) {
        struct str t = q->tokens[i];
        if (str_eqc(t, flag) && i + 1 < q->n_tokens)
            return q->tokens[i + 1];
        if (str_starts(t, flag) && t.n > n && t.p[n] == '=')
            return (struct str){t.p + n + 1, t.n - n - 1};
    }
    return (struct str){0};
}

static bool has_word(const struct guessing *q, const char *word) {
    for (size_t i = 0; i < q->n_tokens; i++) {
        bool value = i > 0 && str_starts(q->tokens[i - 1], "--"); // of a flag, perhaps
        if (!value && str_eqc(base_name(q->tokens[i]), word))
            return true;
    }
    return false;
}

static bool contains(const char *text, const char *part) {
    return strcasestr(text, part) != NULL;
}

static bool fits(const struct guessing *q, const struct manifest_program *p, const struct clue *c) {
    if (c->in_image && !contains(p->image, c->in_image))
        return false;
    if (c->where == IN_WORDS)
        return has_word(q, c->text);
    if (c->where == IN_IMAGE)
        return contains(p->image, c->text);
    for (size_t i = 0; i < p->n_env; i++)
        if (str_starts(str_from(p->env[i].name), c->text))
            return true;
    return false;
}

static const char *tell_clue(struct guessing *q, const struct manifest_program *p,
                             const struct clue *c) {
    if (c->where == IN_WORDS)
        return keep(q, arena_printf(q->a, "container '%s' starts %s", p->name, c->text));
    if (c->where == IN_IMAGE)
        return keep(q, arena_printf(q->a, "container '%s' has the image %s", p->name, p->image));
    return keep(q, arena_printf(q->a, "container '%s' has variables %s*", p->name, c->text));
}

static const struct engine_preset *preset_of(const char *name) {
    const struct engine_preset *p = NULL;
    (void)engine_preset_find(str_from(name), &p, NULL);
    return p;
}

// `gpuscale engine` speaks vLLM's metrics; with the profiles that do one request or batch at a time
// it is a server of one's own.
static bool recognise_mock(struct guessing *q, const struct manifest_program *p) {
    if (!has_word(q, "engine") || !(has_word(q, "gpuscale") || contains(p->image, "gpuscale")))
        return false;
    struct str profile = flag_value(q, "--profile");
    bool one = str_eqc(profile, "classic") || str_eqc(profile, "batched");
    q->g->preset = preset_of(one ? "custom" : "vllm");
    q->g->program = p;
    q->g->why = keep(q, arena_printf(q->a, "container '%s' starts gpuscale's mock engine%s",
                                     p->name, one ? ", one request or batch at a time" : ""));
    return true;
}

static bool recognise(struct guessing *q, const struct manifest_program *p) {
    cut_words(q, p);
    if (recognise_mock(q, p))
        return true;
    for (size_t i = 0; i < COUNT_OF(clues); i++)
        if (fits(q, p, &clues[i])) {
            q->g->preset = preset_of(clues[i].preset);
            q->g->program = p;
            q->g->why = tell_clue(q, p, &clues[i]);
            return true;
        }
    return false;
}

static bool has_gpu(const struct manifest_program *p) {
    return p->n_gpus > 0 || p->n_claims > 0;
}

// The containers with GPUs first: a sidecar may be called like an engine.
static void find_engine(struct guessing *q) {
    for (int gpu = 1; gpu >= 0; gpu--)
        for (size_t i = 0; i < q->w->n_programs; i++)
            if (has_gpu(&q->w->programs[i]) == (gpu == 1) && recognise(q, &q->w->programs[i]))
                return;
    const char *seen = "";
    for (size_t i = 0; i < q->w->n_programs && i < 4; i++)
        seen = keep(q, arena_printf(q->a, "%s%s'%s' (image %s)", seen, i > 0 ? ", " : "",
                                    q->w->programs[i].name, q->w->programs[i].image));
    q->g->why = keep(q,
                     arena_printf(q->a,
                                  "image, command and environment of its container%s %s are of no "
                                  "engine that is known here",
                                  q->w->n_programs == 1 ? "" : "s", seen));
}

// The container that serves when the user said the engine: the one with GPUs, else the first.
static void find_program(struct guessing *q) {
    if (q->g->program)
        return;
    for (size_t i = 0; i < q->w->n_programs && !q->g->program; i++)
        if (has_gpu(&q->w->programs[i]))
            q->g->program = &q->w->programs[i];
    if (!q->g->program && q->w->n_programs > 0)
        q->g->program = &q->w->programs[0];
}

// ---- The page -----------------------------------------------------------------------------------

static bool port_of(struct str text, uint16_t *ret) {
    unsigned long long v = 0;
    for (size_t i = text.n; i > 0; i--) // HOST:PORT
        if (text.p[i - 1] == ':') {
            text = (struct str){text.p + i, text.n - i};
            break;
        }
    if (str_to_u64(text, &v) < 0 || v < 1 || v > 65535)
        return false;
    *ret = (uint16_t)v;
    return true;
}

static bool port_by_rules(struct guessing *q) {
    const struct manifest_program *p = q->g->program;
    for (size_t i = 0; i < COUNT_OF(port_rules); i++) {
        const struct port_rule *r = &port_rules[i];
        if (strcmp(r->preset, q->g->preset->name) != 0)
            continue;
        if (r->flag && port_of(flag_value(q, r->flag), &q->g->port)) {
            q->g->port_why = keep(q, arena_printf(q->a, "%s %u", r->flag, q->g->port));
            return true;
        }
        for (size_t k = 0; r->env && k < p->n_env; k++)
            if (strcmp(p->env[k].name, r->env) == 0 && p->env[k].value &&
                port_of(str_from(p->env[k].value), &q->g->port)) {
                q->g->port_why = keep(q, arena_printf(q->a, "variable %s", r->env));
                return true;
            }
    }
    if (!has_word(q, "engine") || !port_of(flag_value(q, "--listen"), &q->g->port))
        return false; // gpuscale's mock engine
    q->g->port_why = "--listen";
    return true;
}

static bool port_by_name(struct guessing *q) {
    static const char *const names[] = {"metrics", "http-metrics", "prometheus"};
    const struct manifest_program *p = q->g->program;
    for (size_t i = 0; i < p->n_ports; i++)
        for (size_t k = 0; k < COUNT_OF(names); k++)
            if (strcmp(p->ports[i].name, names[k]) == 0) {
                q->g->port = (uint16_t)p->ports[i].port;
                q->g->port_why = keep(q, arena_printf(q->a, "the port named %s", names[k]));
                return true;
            }
    return false;
}

static void find_port(struct guessing *q) {
    struct engine_guess *g = q->g;
    if (!g->preset->path || !g->program)
        return;
    const struct manifest_program *p = g->program;
    if (port_by_rules(q) || port_by_name(q))
        return;
    if (strcmp(g->preset->name, "custom") == 0 && p->n_ports == 1) {
        g->port = (uint16_t)p->ports[0].port;
        g->port_why = "its only port";
        return;
    }
    g->port = g->preset->port;
    g->port_why = keep(q, arena_printf(q->a, "the usual one of %s", g->preset->title));
    for (size_t i = 0; i < p->n_ports; i++)
        if (p->ports[i].port == g->port)
            return;
    if (p->n_ports > 0)
        note(q, arena_printf(q->a,
                             "the page is taken to be on port %u, %s, but the container tells "
                             "only other ports: --metrics-port says another",
                             g->port, g->port_why));
}

static bool has_env(const struct manifest_program *p, const char *name) {
    for (size_t i = 0; name && i < p->n_env; i++)
        if (strcmp(p->env[i].name, name) == 0)
            return true;
    return false;
}

static void check_page(struct guessing *q) {
    struct engine_guess *g = q->g;
    for (size_t i = 0; i < COUNT_OF(page_rules) && g->program; i++) {
        const struct page_rule *r = &page_rules[i];
        if (strcmp(r->preset, g->preset->name) != 0)
            continue;
        // Without words the image's own entry point decides, which is not seen here.
        bool there = flag_value(q, r->word).n > 0 || has_env(g->program, r->env);
        for (size_t k = 0; k < q->n_tokens; k++)
            there = there || str_eqc(q->tokens[k], r->word);
        if (there != r->needed)
            note(q, r->note);
    }
    if (g->program && !g->program->readiness.there)
        note(q, arena_printf(q->a,
                             "container '%s' has no readinessProbe: its pods count as ready, and "
                             "get requests, while the model is still loaded",
                             g->program->name));
}

int engine_guess_make(const struct manifest_scalable *w, const char *name, struct arena *a,
                      struct engine_guess *ret, struct err *e) {
    struct engine_guess g = {.why = "", .port_why = ""};
    struct guessing q = {.w = w, .a = a, .g = &g};
    find_engine(&q);
    if (name) {
        const struct engine_preset *said = NULL;
        int r = engine_preset_find(str_from(name), &said, e);
        if (r < 0)
            return r;
        if (g.preset != said)
            g.program = NULL;
        g.preset = said;
        g.why = "--engine says it";
    }
    if (g.preset) {
        find_program(&q);
        if (g.program)
            cut_words(&q, g.program);
        find_port(&q);
        check_page(&q);
        struct str slots = flag_value(&q, "--parallel");
        if (slots.n == 0)
            slots = flag_value(&q, "-np");
        if (slots.n > 0 && strcmp(g.preset->name, "llamacpp") == 0)
            g.parallel = keep(&q, arena_strdup(a, slots));
    }
    if (q.no_memory)
        return err_set(e, ERR_NOMEM, "out of memory");
    *ret = g;
    return 0;
}
