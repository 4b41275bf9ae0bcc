// SPDX-License-Identifier: Apache-2.0
/*
 * --help, from the table; and --print-config: the configuration in effect, as YAML that reads back
 * to the same, each key with its explanation.
 */
#include <stdio.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/units.h"
#include "conf/internal.h"

enum { TEXT_MAX = 16 << 20, COLUMN = 32, WIDTH = 96 };

// Breaks text between words into lines of WIDTH columns that begin with `lead`; the cursor stands
// at `column` of the first.
static void add_wrapped(struct buf *b, const char *text, const char *lead, size_t column) {
    size_t start = strlen(lead);
    struct str rest = str_from(text);
    for (bool first = true; rest.n > 0; first = false) {
        struct str word = str_cut(&rest, ' ');
        if (!first && column + 1 + word.n > WIDTH) {
            buf_addf(b, "\n%s", lead);
            column = start;
        } else if (!first) {
            buf_add_byte(b, ' ');
            column++;
        }
        buf_add_str(b, word);
        column += word.n;
    }
    buf_add_byte(b, '\n');
}

static const char *value_name(const struct conf_field *f) {
    if (f->arg)
        return f->arg;
    switch (f->kind) {
    case CONF_KIND_INT:
    case CONF_KIND_NUMBER:
        return "N";
    case CONF_KIND_DURATION:
        return "DURATION";
    case CONF_KIND_BYTES:
        return "SIZE";
    default:
        return "VALUE";
    }
}

static void add_flag(struct buf *b, const char *flag, const char *arg, const char *help) {
    size_t before = b->len;
    buf_addf(b, "  --%s%s%s", flag, arg[0] ? " " : "", arg);
    size_t column = b->len - before;
    if (column + 2 > COLUMN) {
        buf_add_byte(b, '\n');
        column = 0;
    }
    buf_addf(b, "%*s", (int)(COLUMN - column), "");
    char lead[COLUMN + 1];
    snprintf(lead, sizeof(lead), "%*s", COLUMN, "");
    add_wrapped(b, help, lead, COLUMN);
}

// "Where it listens. (HOST:PORT; default :9400)"
static const char *flag_help(const struct conf_flag *flag, struct arena *a) {
    const struct conf_field *f = flag->field;
    char expected[320] = "";
    if (f->kind == CONF_KIND_ENUM || ((f->min || f->max) && f->many == CONF_ONE))
        conf_expected(f, expected, sizeof(expected));
    const char *many = f->many == CONF_LIST ? "may be repeated" : "";
    const char *def = f->def ? f->def : f->required ? "required" : "";
    const char *dot = strrchr(flag->path, '.');
    if (!f->def && f->required && dot)
        def = arena_printf(a, "required where %.*s is given", (int)(dot - flag->path), flag->path);
    if (!def)
        return NULL;
    const char *parts[] = {expected, many, def};
    struct buf b;
    buf_init(&b, TEXT_MAX);
    buf_addc(&b, f->help ? f->help : "");
    const char *gap = " (";
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        if (!parts[i][0])
            continue;
        buf_addf(&b, "%s%s%s", gap, f->def && parts[i] == def ? "default " : "", parts[i]);
        gap = "; ";
    }
    if (gap[0] == ';')
        buf_add_byte(&b, ')');
    const char *text = b.err == 0 ? arena_strdup(a, buf_str(&b)) : NULL;
    buf_done(&b);
    return text;
}

const char *conf_help(const struct conf_spec *spec, const struct conf_flags *flags,
                      struct arena *a) {
    struct buf b;
    buf_init(&b, TEXT_MAX);
    buf_addf(&b, "Usage: %s [FLAGS]%s%s\n\n", spec->program, spec->rest ? " " : "",
             spec->rest ? spec->rest : "");
    for (struct str about = str_from(spec->about); about.n > 0;) {
        struct str line = str_cut(&about, '\n');
        const char *text = arena_strdup(a, line);
        if (text && line.p[0] == ' ') // an example
            buf_addf(&b, "%s\n", text);
        else
            add_wrapped(&b, text ? text : "", "", 0);
    }
    buf_addc(&b, "\nFlags:\n");
    for (size_t i = 0; i < flags->n; i++) {
        const struct conf_field *f = flags->items[i].field;
        const char *arg = f->kind == CONF_KIND_BOOL ? "" : value_name(f);
        const char *help = flag_help(&flags->items[i], a);
        if (!help) {
            buf_done(&b);
            return NULL;
        }
        add_flag(&b, f->flag, arg, help);
    }
    if (!spec->flags_only) {
        add_flag(&b, "config", "FILE", "Reads FILE (YAML, or JSON named .json); flags go first.");
        add_flag(&b, "print-config", "",
                 "Prints the configuration in effect, explained, and ends.");
    }
    add_flag(&b, "help", "", "Prints this and ends.");
    add_flag(&b, "version", "", "Prints the version and ends.");
    const char *text = b.err == 0 ? arena_strdup(a, buf_str(&b)) : NULL;
    buf_done(&b);
    return text;
}

static void indent(struct buf *b, int depth, bool off) {
    buf_addf(b, "%s%*s", off ? "# " : "", depth * 2, "");
}

static void add_scalar(struct buf *b, const struct conf_field *f, const char *at) {
    union {
        const char *s;
        bool b;
        int i;
        int64_t i64;
        uint64_t u64;
        double d;
    } v = {0};
    memcpy(&v, at, conf_scalar_size(f->kind));
    char text[48];
    switch (f->kind) {
    case CONF_KIND_STRING:
        buf_add_json(b, str_from(v.s ? v.s : ""));
        break;
    case CONF_KIND_BOOL:
        buf_addc(b, v.b ? "true" : "false");
        break;
    case CONF_KIND_INT:
        buf_add_i64(b, v.i64);
        break;
    case CONF_KIND_NUMBER:
        buf_add_double(b, v.d);
        break;
    case CONF_KIND_DURATION:
        units_format_duration(v.i64, text, sizeof(text));
        buf_addc(b, text);
        break;
    case CONF_KIND_BYTES:
        buf_add_u64(b, v.u64);
        break;
    case CONF_KIND_ENUM:
        buf_addc(b, f->names[v.i]);
        break;
    case CONF_KIND_STRUCT:
        break;
    }
}

struct items {
    const char *items;
    size_t n;
};

// A list or map that is not there; one that is written but empty is not NULL.
static bool is_unwritten(const char *at) {
    struct items list;
    memcpy(&list, at, sizeof(list));
    return list.items == NULL;
}

static bool is_unset(const struct conf_field *f, const char *at) {
    if (f->many != CONF_ONE) {
        struct items list;
        memcpy(&list, at, sizeof(list));
        return list.n == 0;
    }
    const char *s = "";
    if (f->kind == CONF_KIND_STRING)
        memcpy(&s, at, sizeof(s));
    return s == NULL;
}

// A struct that lacks what it requires, or holds nothing, was not written: it is shown as a
// comment.
static bool is_absent(const struct conf_field *table, const char *base) {
    bool empty = true;
    for (const struct conf_field *f = table; f->key; f++) {
        const char *at = base + f->offset;
        if (f->many == CONF_ONE && f->kind == CONF_KIND_STRUCT) {
            empty = empty && is_absent(f->table, at);
            continue;
        }
        if (f->required && is_unset(f, at))
            return true;
        empty = empty && (f->many == CONF_ONE ? is_unset(f, at) : is_unwritten(at));
    }
    return empty;
}

static void add_struct(struct buf *b, const struct conf_field *table, const char *base, int depth,
                       bool help, bool off);

static void add_items(struct buf *b, const struct conf_field *f, const char *at, int depth) {
    struct items list;
    memcpy(&list, at, sizeof(list));
    bool map = f->many == CONF_MAP, nested = f->kind == CONF_KIND_STRUCT;
    for (size_t i = 0; i < list.n; i++) {
        const char *item = list.items + i * f->item_size;
        buf_addf(b, "%*s", depth * 2, "");
        if (map) {
            const char *name;
            memcpy(&name, item, sizeof(name));
            buf_add_json(b, str_from(name));
            buf_addc(b, nested ? ":\n" : ": ");
        } else {
            buf_addc(b, nested ? "-\n" : "- ");
        }
        if (nested) {
            add_struct(b, f->table, item, depth + 1, false, false);
        } else {
            add_scalar(b, f, item + (map ? sizeof(const char *) : 0));
            buf_add_byte(b, '\n');
        }
    }
}

static void add_field(struct buf *b, const struct conf_field *f, const char *at, int depth,
                      bool help, bool off) {
    bool nested = f->many == CONF_ONE && f->kind == CONF_KIND_STRUCT;
    off = off || (nested && is_absent(f->table, at)) ||
          (f->many == CONF_ONE ? is_unset(f, at) : is_unwritten(at));
    if (help && f->help) {
        char lead[128];
        int n = snprintf(lead, sizeof(lead), "%s%*s# ", off ? "# " : "", depth * 2, "");
        buf_addc(b, lead);
        add_wrapped(b, f->help, lead, (size_t)n);
    }
    indent(b, depth, off);
    buf_addf(b, "%s:", f->key);
    if (nested) {
        buf_add_byte(b, '\n');
        add_struct(b, f->table, at, depth + 1, help, off);
    } else if (f->many != CONF_ONE) {
        bool none = is_unset(f, at);
        buf_addc(b, !none ? "\n" : f->many == CONF_MAP ? " {}\n" : " []\n");
        if (!none)
            add_items(b, f, at, depth + 1);
    } else {
        if (!is_unset(f, at)) {
            buf_add_byte(b, ' ');
            add_scalar(b, f, at);
        } else if (f->arg) {
            buf_addf(b, " %s", f->arg);
        }
        buf_add_byte(b, '\n');
    }
}

static void add_struct(struct buf *b, const struct conf_field *table, const char *base, int depth,
                       bool help, bool off) {
    for (const struct conf_field *f = table; f->key; f++)
        add_field(b, f, base + f->offset, depth, help, off);
}

const char *conf_print(const struct conf_spec *spec, const void *bound, struct arena *a) {
    struct buf b;
    buf_init(&b, TEXT_MAX);
    add_struct(&b, spec->fields, bound, 0, true, false);
    const char *text = b.err == 0 ? arena_strdup(a, buf_str(&b)) : NULL;
    buf_done(&b);
    return text;
}
