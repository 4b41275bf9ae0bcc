// SPDX-License-Identifier: Apache-2.0
/* Reading, matching, writing; see the header. */
#include "tools/generate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/vec.h"
#include "tools/generate_cluster.h"
#include "tools/generate_write.h"

enum { FROM_INPUT, FROM_FLAG };

struct generating {
    const struct generate_flags *flags;
    struct manifest_objects objects;
    struct VEC(struct manifest_scalable) workloads;
    struct VEC(struct manifest_scaled) scaled;
    const char *namespace_; // of the cluster's input; NULL
    bool live;              // some input came from a cluster
    struct buf out;         // of all parts, for stdout
    unsigned written, refused, left_out;
    struct err left; // why, of the last that was left out
    struct err *e;
};

// ---- Reading ------------------------------------------------------------------------------------

static int read_fd(struct generating *g, int fd, const char *name, unsigned origin) {
    CLEANUP_BUF struct buf text;
    buf_init(&text, (size_t)LIMIT_CASE_BYTES + 1);
    for (;;) {
        char chunk[16384];
        ssize_t n = read(fd, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(g->e, errno, "%s", name);
        if (n == 0)
            break;
        int r = buf_add(&text, chunk, (size_t)n);
        if (r < 0)
            return err_set(g->e, r, "%s: larger than 32 MiB (LIMIT_CASE_BYTES)", name);
    }
    return manifest_objects_read(&g->objects, buf_str(&text), name, origin, g->e);
}

static int read_input(struct generating *g, const char *path, unsigned origin) {
    if (strcmp(path, "-") == 0)
        return read_fd(g, STDIN_FILENO, "stdin", origin);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd >= 0) {
        int r = read_fd(g, fd, path, origin);
        (void)close(fd);
        return r;
    }
    if (errno == ENOENT && origin == FROM_INPUT && generate_is_reference(path)) {
        g->live = true;
        return generate_fetch(path, g->flags, &g->objects, &g->namespace_, g->e);
    }
    return err_errno(g->e, errno, "%s", path);
}

// Without an argument: standard input, unless --from says enough, or a person would wait for ever.
static int read_inputs(struct generating *g) {
    const struct generate_flags *f = g->flags;
    int r = 0;
    for (int i = 0; i < f->n_inputs && r == 0; i++)
        r = read_input(g, f->inputs[i], FROM_INPUT);
    for (size_t i = 0; i < f->from.n && r == 0; i++)
        r = read_input(g, f->from.items[i], FROM_FLAG);
    if (r < 0 || f->n_inputs > 0 || f->from.n > 0)
        return r;
    if (isatty(STDIN_FILENO))
        return err_set(
            g->e, ERR_INVALID,
            "a FILE or KIND/NAME is needed, or a pipe: kubectl get deployment llm -o yaml "
            "| gpuscale generate");
    return read_input(g, "-", FROM_INPUT);
}

// ---- What is in it ------------------------------------------------------------------------------

// KEDA's own HPA says nothing that its ScaledObject does not.
static bool is_keda_s(const struct manifest_scaled *s) {
    for (const struct conf_node *n = s->labels ? s->labels->first : NULL; n; n = n->next)
        if (s->is_hpa && str_eqc(n->key, "scaledobject.keda.sh/name"))
            return true;
    return false;
}

static int sort_object(struct generating *g, const struct manifest_object *o) {
    struct manifest_reader r = {.file = o->file, .a = &g->objects.arena, .e = g->e};
    const char *why = NULL;
    if (manifest_is_scaled(o)) {
        struct manifest_scaled s;
        manifest_scaled_read(&r, o, &s);
        return r.r < 0 || is_keda_s(&s) ? r.r : vec_push(&g->scaled, s);
    }
    if (o->origin == FROM_FLAG)
        return manifest_fail(
            &r, o->root, ERR_INVALID,
            "--from takes ScaledObjects and HorizontalPodAutoscalers, this is a %s", o->kind);
    if (manifest_is_scalable(o, &why)) {
        struct manifest_scalable w;
        manifest_scalable_read(&r, o, &w);
        return r.r < 0 ? r.r : vec_push(&g->workloads, w);
    }
    if (!why)
        return 0; // a Service, a ConfigMap: none of our business
    (void)manifest_fail(&r, o->root, ERR_UNSUPPORTED, "%s", why);
    (void)fprintf(stderr, "gpuscale generate: %s\n", g->e->msg);
    g->left = *g->e;
    g->left_out++;
    return 0;
}

static int sort_objects(struct generating *g) {
    for (size_t i = 0; i < g->objects.objects.n; i++) {
        int r = sort_object(g, &g->objects.objects.items[i]);
        if (r < 0)
            return r;
    }
    return 0;
}

static bool same_place(const char *a, const char *b) {
    return !a || !b || strcmp(a, b) == 0;
}

// ---- NetworkPolicies ----------------------------------------------------------------------------

static const struct conf_node *at(const struct conf_node *map, const char *key) {
    for (const struct conf_node *n = map && map->kind == CONF_NODE_MAP ? map->first : NULL; n;
         n = n->next)
        if (str_eqc(n->key, key))
            return n;
    return NULL;
}

static bool has_label(const struct manifest_scalable *w, const struct conf_node *label) {
    for (size_t i = 0; i < w->n_labels; i++)
        if (str_eqc(label->key, w->labels[i].name) && str_eqc(label->text, w->labels[i].value))
            return true;
    return false;
}

// Does the policy close these pods for who comes? (An expression is taken to select them.)
static bool closes(const struct manifest_object *o, const struct manifest_scalable *w) {
    const struct conf_node *spec = at(o->root, "spec");
    const struct conf_node *ns = at(at(o->root, "metadata"), "namespace");
    if (ns && w->namespace_ && !str_eqc(ns->text, w->namespace_))
        return false;
    const struct conf_node *types = at(spec, "policyTypes");
    bool ingress = !types;
    for (const struct conf_node *n = types ? types->first : NULL; n; n = n->next)
        ingress = ingress || str_eqc(n->text, "Ingress");
    const struct conf_node *labels = at(at(spec, "podSelector"), "matchLabels");
    for (const struct conf_node *n = labels ? labels->first : NULL; n; n = n->next)
        if (!has_label(w, n))
            return false;
    return ingress;
}

static void decide_policy(struct generating *g, struct generate_plan *p) {
    p->closed = g->flags->policies == POLICIES_ADD;
    if (g->flags->policies != POLICIES_AUTO || !p->workload)
        return;
    for (size_t i = 0; i < g->objects.objects.n; i++) {
        const struct manifest_object *o = &g->objects.objects.items[i];
        if (strcmp(o->kind, "NetworkPolicy") == 0 && closes(o, p->workload))
            p->closed = true;
    }
    if (p->closed)
        plan_remark(p, "A NetworkPolicy of its namespace closes its pods: another one lets the "
                       "scaler in.");
    else if (p->flags->style != STYLE_PROMETHEUS && p->engine.port > 0)
        plan_remark(p,
                    "No NetworkPolicy is written: none in the %s closes these pods, and the first "
                    "one would cut off their clients. Where one does: --network-policy add.",
                    g->live ? "namespace" : "input");
}

// ---- Writing ------------------------------------------------------------------------------------

static int write_file(struct generating *g, const char *file, struct str text) {
    struct buf path;
    buf_init(&path, 4096);
    (void)buf_addf(&path, "%s/%s", g->flags->output, file);
    (void)buf_add_byte(&path, '\0');
    int r = 0;
    int fd = path.err < 0 ? -1 : open(path.p, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0 && errno == EEXIST)
        r = err_set(g->e, ERR_EXISTS, "%s is there already: nothing is overwritten", path.p);
    else if (fd < 0)
        r = err_errno(g->e, errno, "%s/%s", g->flags->output, file);
    for (size_t done = 0; r == 0 && done < text.n;) {
        ssize_t n = write(fd, text.p + done, text.n - done);
        if (n > 0)
            done += (size_t)n;
        else if (n < 0 && errno != EINTR)
            r = err_errno(g->e, errno, "%s", path.p);
    }
    if (fd >= 0 && close(fd) < 0 && r == 0)
        r = err_errno(g->e, errno, "%s", path.p);
    if (r == 0)
        (void)fprintf(stderr, "gpuscale generate: wrote %s\n", path.p);
    buf_done(&path);
    return r;
}

// What kubectl does not take, as comments behind what it does.
static void add_commented(struct buf *out, struct str text) {
    if (out->len > 0)
        (void)buf_addc(out, "\n");
    while (text.n > 0) {
        struct str line = str_cut(&text, '\n');
        const char *lead = str_starts(line, "#") ? "" : "#   ";
        (void)buf_addf(out, "%s" STR_FMT "\n", lead, STR_ARG(line));
    }
}

static int write_part(struct generating *g, const struct generate_plan *p,
                      const struct generate_part *part) {
    CLEANUP_BUF struct buf text;
    buf_init(&text, LIMIT_ANSWER_BYTES);
    struct yaml_writer w = {.out = &text};
    part->write(p, &w);
    if (text.err < 0)
        return err_set(g->e, text.err, "%s: an object is too large (LIMIT_ANSWER_BYTES)", p->name);
    if (g->flags->output)
        return write_file(g, part->file, buf_str(&text));
    if (part->manifest && g->out.len > 0)
        (void)buf_addc(&g->out, "---\n");
    if (part->manifest)
        (void)buf_add_str(&g->out, buf_str(&text));
    else
        add_commented(&g->out, buf_str(&text));
    return 0;
}

static int write_parts(struct generating *g, struct generate_plan *p) {
    struct generate_part parts[GENERATE_PARTS];
    size_t n = generate_parts(p, parts);
    int r = p->r;
    for (size_t i = 0; i < n && r == 0; i++)
        r = write_part(g, p, &parts[i]);
    return r;
}

// ---- One workload -------------------------------------------------------------------------------

static void tell_refused(struct generating *g, struct generate_plan *p, struct err *e) {
    const struct manifest_object *o = p->workload ? p->workload->object : p->from->object;
    const char *kind = p->workload ? p->workload->kind : o->kind;
    const char *name = p->workload ? p->workload->name : p->from->name;
    (void)fprintf(stderr, "gpuscale generate: %s:%u:%u: %s %s: %s\n", o->file, o->root->line,
                  o->root->column, kind, name, e->msg);
    g->left = *e;
    if (e->code == ERR_UNSUPPORTED)
        g->left_out++;
    else
        g->refused++;
}

// A failure of the plan is told, and the next workload's turn comes; of the writing ends it.
static int generate_one(struct generating *g, const struct manifest_scalable *w,
                        const struct manifest_scaled *s) {
    struct generate_plan *p = arena_zalloc(&g->objects.arena, sizeof(*p));
    struct err e = {0};
    if (!p)
        return err_set(g->e, ERR_NOMEM, "out of memory");
    *p = (struct generate_plan){.flags = g->flags,
                                .a = &g->objects.arena,
                                .e = &e,
                                .workload = w,
                                .from = s,
                                .namespace_ = g->namespace_};
    int r = generate_plan_make(p);
    if (r == 0)
        decide_policy(g, p);
    size_t before = g->out.len;
    struct err *to = g->e;
    g->e = &e;
    if (r == 0)
        r = write_parts(g, p);
    g->e = to;
    if (r == 0) {
        g->written++;
        for (size_t i = 0; i < p->engine.n_notes; i++)
            (void)fprintf(stderr, "gpuscale generate: %s: %s\n", p->workload_text,
                          p->engine.notes[i]);
        return 0;
    }
    buf_truncate(&g->out, before);
    if (r == ERR_NOMEM || r == ERR_IO || r == ERR_EXISTS) {
        *to = e;
        return r;
    }
    tell_refused(g, p, &e);
    return 0;
}

static bool scales(const struct manifest_scaled *s, const struct manifest_scalable *w) {
    return strcmp(s->target_name, w->name) == 0 && strcmp(s->target_kind, w->kind) == 0 &&
           same_place(s->namespace_, w->namespace_);
}

static int generate_all(struct generating *g) {
    int r = 0;
    for (size_t i = 0; i < g->workloads.n && r == 0; i++) {
        const struct manifest_scalable *w = &g->workloads.items[i];
        const struct manifest_scaled *found = NULL;
        for (size_t k = 0; k < g->scaled.n && r == 0; k++) {
            const struct manifest_scaled *s = &g->scaled.items[k];
            if (!scales(s, w))
                continue;
            if (found)
                return err_set(
                    g->e, ERR_INVALID,
                    "%s:%u:%u: %s %s scales %s %s, which %s %s scales already: one thing "
                    "may scale a workload",
                    s->object->file, s->object->root->line, s->object->root->column,
                    s->object->kind, s->name, w->kind, w->name, found->object->kind, found->name);
            found = s;
        }
        r = generate_one(g, w, found);
    }
    // Those whose workload is not in the input.
    for (size_t k = 0; k < g->scaled.n && r == 0; k++) {
        bool known = false;
        for (size_t i = 0; i < g->workloads.n; i++)
            known = known || scales(&g->scaled.items[k], &g->workloads.items[i]);
        // Of a cluster's namespace only what was asked for counts.
        if (!known && !(g->live && g->scaled.items[k].object->origin == FROM_INPUT))
            r = generate_one(g, NULL, &g->scaled.items[k]);
    }
    return r;
}

static int finish(struct generating *g) {
    if (g->written == 0 && g->refused == 0 && g->left_out == 0)
        return err_set(g->e, ERR_INVALID,
                       "there is nothing in the input that can be scaled: a Deployment, a "
                       "StatefulSet, or another object with a pod template is needed");
    if (g->written == 0)
        g->refused += g->left_out;
    if (g->out.err < 0)
        return err_set(g->e, g->out.err, "the output is too large (LIMIT_ANSWER_BYTES)");
    if (g->out.len > 0 &&
        (fwrite(g->out.p, 1, g->out.len, stdout) != g->out.len || fflush(stdout) != 0))
        return err_errno(g->e, errno, "standard output");
    return 0;
}

int generate_main(const struct generate_flags *flags, unsigned *ret_refused, struct err *e) {
    struct generating g = {.flags = flags, .e = e};
    manifest_objects_init(&g.objects);
    vec_init(&g.workloads, LIMIT_CASE_MANIFESTS);
    vec_init(&g.scaled, LIMIT_CASE_MANIFESTS);
    buf_init(&g.out, LIMIT_ANSWER_BYTES);
    int r = 0;
    if (flags->output && mkdir(flags->output, 0755) < 0 && errno != EEXIST)
        r = err_errno(e, errno, "%s", flags->output);
    if (r == 0)
        r = read_inputs(&g);
    if (r == 0)
        r = sort_objects(&g);
    if (r == 0)
        r = generate_all(&g);
    if (r == 0)
        r = finish(&g);
    *ret_refused = g.refused;
    vec_done(&g.workloads);
    vec_done(&g.scaled);
    buf_done(&g.out);
    manifest_objects_done(&g.objects);
    return r;
}
