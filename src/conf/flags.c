// SPDX-License-Identifier: Apache-2.0
/*
 * The command line, through getopt_long: the table's flags and those that every program has.
 * getopt_long also takes abbreviations; those are refused, because a flag of the next version
 * would change what they mean.
 */
#include <assert.h>
#include <getopt.h>
#include <stdio.h>

#include "base/limits.h"
#include "base/mem.h"
#include "conf/internal.h"

enum { FLAGS_MAX = 128, GIVEN_MAX = 4096 };
// What getopt_long returns for the flags that every program has; the others are FIRST + index;
// above every character, and so above getopt's own '?' and ':'.
enum {
    OPT_HELP = 256,
    OPT_VERSION,
    OPT_CONFIG,
    OPT_PRINT,
    OPT_FIRST,
    OPT_COMMON = OPT_FIRST - OPT_HELP
};

struct given {
    struct conf_flag *flag;
    const char *value;
};

struct command_line {
    const struct conf_spec *spec;
    struct arena *scratch;
    struct conf_flags flags;
    struct option options[FLAGS_MAX + OPT_COMMON + 1];
    struct given *given;
    size_t given_n;
    bool print;
    struct conf_outcome out;
};

static int no_memory(struct err *e) {
    return err_set(e, ERR_NOMEM, "flags: out of memory");
}

static int collect(struct command_line *c, const struct conf_field *table, size_t offset,
                   const char *path) {
    for (const struct conf_field *f = table; f->key; f++) {
        const char *key = arena_printf(c->scratch, "%s%s%s", path, path[0] ? "." : "", f->key);
        if (!key)
            return ERR_NOMEM;
        if (f->kind == CONF_KIND_STRUCT && f->many == CONF_ONE) {
            int r = collect(c, f->table, offset + f->offset, key);
            if (r < 0)
                return r;
        }
        if (!f->flag)
            continue;
        assert(c->flags.n < FLAGS_MAX && f->kind != CONF_KIND_STRUCT && f->many != CONF_MAP);
        c->flags.items[c->flags.n++] = (struct conf_flag){
            .field = f, .offset = offset + f->offset, .path = key};
    }
    return 0;
}

static void make_options(struct command_line *c) {
    struct option *o = c->options;
    *o++ = (struct option){"help", no_argument, NULL, OPT_HELP};
    *o++ = (struct option){"version", no_argument, NULL, OPT_VERSION};
    if (!c->spec->flags_only) {
        *o++ = (struct option){"config", required_argument, NULL, OPT_CONFIG};
        *o++ = (struct option){"print-config", no_argument, NULL, OPT_PRINT};
    }
    for (size_t i = 0; i < c->flags.n; i++) {
        const struct conf_field *f = c->flags.items[i].field;
        bool optional = f->kind == CONF_KIND_BOOL;
        *o++ = (struct option){f->flag, optional ? optional_argument : required_argument, NULL,
                               OPT_FIRST + (int)i};
    }
    *o = (struct option){0};
}

// "--name" of "--name=value".
static struct str token_name(const char *token) {
    struct str s = str_from(token);
    return str_cut(&s, '=');
}

static int refuse_unknown(const struct command_line *c, const char *token, struct err *e) {
    const char *names[FLAGS_MAX + OPT_COMMON + 1];
    size_t n = 0;
    for (const struct option *o = c->options; o->name; o++)
        names[n++] = o->name;
    names[n] = NULL;
    struct str name = token_name(token), bare = name;
    while (bare.n > 0 && bare.p[0] == '-')
        bare = (struct str){bare.p + 1, bare.n - 1};
    const char *near = str_nearest(bare, names);
    if (near)
        return err_set(e, ERR_INVALID, "unknown flag " STR_FMT "; did you mean --%s?",
                       STR_ARG(name), near);
    return err_set(e, ERR_INVALID, "unknown flag " STR_FMT "; --help lists them", STR_ARG(name));
}

static int remember(struct command_line *c, struct conf_flag *flag, const char *value,
                    struct err *e) {
    if (flag->given++ && flag->field->many == CONF_ONE)
        return err_set(e, ERR_INVALID, "flag --%s: given twice", flag->field->flag);
    if (c->given_n == GIVEN_MAX)
        return err_set(e, ERR_LIMIT, "more than %d flags", GIVEN_MAX);
    c->given[c->given_n++] = (struct given){flag, value ? value : "true"};
    return 0;
}

static int on_option(struct command_line *c, int opt, const char *token, struct err *e) {
    switch (opt) {
    case OPT_CONFIG:
        if (c->out.path)
            return err_set(e, ERR_INVALID, "flag --config: given twice");
        c->out.path = optarg;
        return 0;
    case OPT_PRINT:
        c->print = true;
        return 0;
    case ':':
        return err_set(e, ERR_INVALID, "flag %s: a value is missing", token);
    case '?':
        if (optopt >= OPT_HELP) // known, but it takes no value
            return err_set(e, ERR_INVALID, "flag " STR_FMT ": takes no value",
                           STR_ARG(token_name(token)));
        return refuse_unknown(c, token, e);
    default:
        return remember(c, &c->flags.items[opt - OPT_FIRST], optarg, e);
    }
}

// 0, an error, or 1: a text is all that was asked for.
static int scan(struct command_line *c, int argc, char **argv, struct arena *a, struct err *e) {
    opterr = 0;
    optind = 0; // glibc: begin anew
    for (;;) {
        const char *token = argv[optind ? optind : 1];
        // '+': stop at the first argument that is no flag; ':': tell a missing value apart.
        int index = -1, opt = getopt_long(argc, argv, "+:h", c->options, &index);
        if (opt < 0)
            break;
        if (index >= 0 && opt != '?' && opt != ':') {
            struct str name = token_name(token);
            if (!str_starts(name, "--") ||
                !str_eqc((struct str){name.p + 2, name.n - 2}, c->options[index].name))
                return refuse_unknown(c, token, e);
        }
        if (opt == 'h' || opt == OPT_HELP || opt == OPT_VERSION) {
            c->out.text = opt != OPT_VERSION
                              ? conf_help(c->spec, &c->flags, a)
                              : arena_printf(a, "%s %s\n", c->spec->program, GPUSCALE_VERSION);
            return c->out.text ? 1 : no_memory(e);
        }
        int r = on_option(c, opt, token, e);
        if (r < 0)
            return r;
    }
    c->out.rest = optind;
    if (optind < argc && !c->spec->rest)
        return err_set(e, ERR_INVALID, "unexpected argument '%s'; --help lists the flags",
                       argv[optind]);
    return 0;
}

struct strings { // the layout of every list
    char *items;
    size_t n;
};

static int apply(struct command_line *c, const struct given *g, char *base, struct arena *a,
                 struct err *e) {
    const struct conf_field *f = g->flag->field;
    char *dst = base + g->flag->offset;
    int r;
    if (f->many == CONF_ONE) {
        r = conf_scalar(f, str_from(g->value), CONF_TEXT, dst, a, e);
    } else {
        // The first occurrence makes room for all: g->flag->given counts them down.
        struct strings list;
        memcpy(&list, dst, sizeof(list));
        struct conf_field item = *f;
        item.min = item.max = NULL;
        r = conf_scalar(&item, str_from(g->value), CONF_TEXT, list.items + list.n * f->item_size, a,
                        e);
        list.n++;
        memcpy(dst, &list, sizeof(list));
    }
    if (r < 0)
        err_wrap(e, "flag --%s", f->flag);
    return r;
}

// Flags of lists replace what the file says: empty lists with room for what was given.
static int prepare_lists(struct command_line *c, char *base, struct arena *a, struct err *e) {
    for (size_t i = 0; i < c->flags.n; i++) {
        const struct conf_flag *flag = &c->flags.items[i];
        if (flag->field->many != CONF_LIST || flag->given == 0)
            continue;
        unsigned long long max = UINT32_MAX;
        int bad = flag->field->max ? str_to_u64(str_from(flag->field->max), &max) : 0;
        assert(bad == 0);
        if (flag->given > max)
            return err_set(e, ERR_INVALID, "flag --%s: given %u times, %llu are allowed",
                           flag->field->flag, flag->given, max);
        struct strings list = {arena_array(a, flag->given, flag->field->item_size), 0};
        if (!list.items)
            return no_memory(e);
        memcpy(base + flag->offset, &list, sizeof(list));
    }
    return 0;
}

static int fill(struct command_line *c, char *base, struct arena *a, struct err *e) {
    struct conf_node *root = NULL;
    int r = 0;
    if (c->out.path) {
        struct str text;
        r = conf_file_text(c->out.path, c->scratch, &text, e);
        if (r == 0)
            r = conf_tree(text, c->out.path, c->scratch, &root, e);
        if (r < 0)
            return r;
    }
    bool lenient = c->print && !c->out.path;
    struct conf_binding b = {.name = c->out.path,
                             .a = a,
                             .scratch = c->scratch,
                             .flags = &c->flags,
                             .lenient = lenient,
                             .base = base};
    r = conf_bind(&b, c->spec->fields, root, e);
    if (r == 0)
        r = prepare_lists(c, base, a, e);
    for (size_t i = 0; i < c->given_n && r == 0; i++)
        r = apply(c, &c->given[i], base, a, e);
    if (r == 0 && c->spec->check && !lenient) {
        r = c->spec->check(base, e);
        if (r < 0 && c->out.path)
            err_wrap(e, "%s", c->out.path);
    }
    return r;
}

int conf_load(const struct conf_spec *spec, int argc, char **argv, void *ret, struct arena *a,
              struct conf_outcome *ret_outcome, struct err *e) {
    CLEANUP_ARENA struct arena scratch;
    arena_init(&scratch, LIMIT_CONFIG_TREE_BYTES);
    struct command_line *c = arena_zalloc(&scratch, sizeof(*c));
    if (!c)
        return no_memory(e);
    c->spec = spec;
    c->scratch = &scratch;
    c->flags.items = arena_array(&scratch, FLAGS_MAX, sizeof(*c->flags.items));
    size_t given_max = argc < GIVEN_MAX ? (size_t)argc : GIVEN_MAX;
    c->given = arena_array(&scratch, given_max + 1, sizeof(*c->given));
    char *base = arena_zalloc(&scratch, spec->size);
    if (!c->flags.items || !c->given || !base || collect(c, spec->fields, 0, "") < 0)
        return no_memory(e);
    make_options(c);
    int r = argc > 0 ? scan(c, argc, argv, a, e) : 0;
    if (r == 0)
        r = fill(c, base, a, e);
    if (r < 0)
        return r;
    if (r == 0 && c->print) {
        c->out.text = conf_print(spec, base, a);
        if (!c->out.text)
            return no_memory(e);
    }
    if (r == 0)
        memcpy(ret, base, spec->size);
    *ret_outcome = c->out;
    return 0;
}
