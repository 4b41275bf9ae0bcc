// SPDX-License-Identifier: Apache-2.0
/* Writing YAML; see the header. */
#include "manifest/yaml_write.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/utf8.h"

enum { WIDTH = 100, COMMENT_BYTES = 8192 };

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_alnum(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// Can it stand without quotes and be read as this very text, whatever type that then has?
static bool is_plain(struct str s) {
    if (s.n == 0 || s.n > 512 || s.p[s.n - 1] == ':' || s.p[s.n - 1] == ' ')
        return false;
    bool sign = (s.p[0] == '-' || s.p[0] == '+') && s.n > 1 && (is_digit(s.p[1]) || s.p[1] == '.');
    if (!is_alnum(s.p[0]) && !strchr("_/.", s.p[0]) && !sign)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!is_alnum(c) && (c == '\0' || !strchr("_./:@+=,()- ", c)))
            return false;
        if (c == ':' && s.p[i + 1] == ' ')
            return false;
    }
    return s.n != 3 || memcmp(s.p, "...", 3) != 0;
}

// Could a reader of YAML 1.1 or 1.2 take it for something other than a string? All that begins like
// a number, and the words.
static bool is_typed(struct str s) {
    static const char *const words[] = {"null", "true", "false", "yes", "no", "on",
                                        "off",  "y",    "n",     "nan", "inf"};
    if (s.n > 0 && (is_digit(s.p[0]) || strchr("+-.", s.p[0])))
        return true;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (str_eq_nocase(s, str_from(words[i])))
            return true;
    return s.n == 0;
}

// Characters that YAML does not print, and those that some readers take for the end of a line.
static bool must_escape(uint32_t c) {
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 || c == 0xfeff ||
           (c >= 0xd800 && c < 0xe000) || (c & 0xfffe) == 0xfffe;
}

static uint32_t code_point(const unsigned char *p, size_t n) {
    uint32_t c = n == 1 ? p[0] : p[0] & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++)
        c = c << 6 | (p[i] & 0x3f);
    return c;
}

static void add_escaped(struct buf *out, const char *p, size_t n) {
    uint32_t c = code_point((const unsigned char *)p, n);
    if (c == '"' || c == '\\') {
        (void)buf_add_byte(out, '\\');
        (void)buf_add_byte(out, (char)c);
    } else if (c == '\n' || c == '\t') {
        (void)buf_addc(out, c == '\n' ? "\\n" : "\\t");
    } else if (must_escape(c)) {
        (void)buf_addf(out, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
    } else {
        (void)buf_add(out, p, n);
    }
}

void yaml_scalar_quoted(struct buf *out, struct str text) {
    (void)buf_add_byte(out, '"');
    for (size_t i = 0; i < text.n;) {
        unsigned char c = (unsigned char)text.p[i];
        size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
        if (i + n > text.n || !utf8_valid(text.p + i, n)) {
            (void)buf_addc(out, "\xef\xbf\xbd");
            i++;
            continue;
        }
        add_escaped(out, text.p + i, n);
        i += n;
    }
    (void)buf_add_byte(out, '"');
}

// Double quotes and backslashes on one line of printable ASCII read better in single quotes.
static bool is_better_single(struct str s) {
    bool better = false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < 0x20 || s.p[i] > 0x7e || s.p[i] == '\'')
            return false;
        better = better || s.p[i] == '"' || s.p[i] == '\\';
    }
    return better;
}

void yaml_scalar(struct buf *out, struct str text) {
    if (is_plain(text) && !is_typed(text)) {
        (void)buf_add_str(out, text);
    } else if (is_better_single(text)) {
        (void)buf_add_byte(out, '\'');
        (void)buf_add_str(out, text);
        (void)buf_add_byte(out, '\'');
    } else {
        yaml_scalar_quoted(out, text);
    }
}

// A text that could not be made: memory ended.
static bool is_missing(struct yaml_writer *w, const char *text) {
    if (!text && w->out->err == 0)
        w->out->err = ERR_NOMEM;
    return !text;
}

static void begin_line(struct yaml_writer *w) {
    unsigned blanks = w->dash ? w->indent - 2 : w->indent;
    (void)buf_addf(w->out, "%*s%s", (int)blanks, "", w->dash ? "- " : "");
    w->dash = false;
}

static void begin_key(struct yaml_writer *w, const char *key) {
    (void)is_missing(w, key);
    begin_line(w);
    yaml_scalar(w->out, str_from(key));
    (void)buf_add_byte(w->out, ':');
}

static void begin_value(struct yaml_writer *w, const char *key) {
    begin_key(w, key);
    (void)buf_add_byte(w->out, ' ');
}

static void end_line(struct yaml_writer *w) {
    (void)buf_add_byte(w->out, '\n');
}

void yaml_document(struct yaml_writer *w) {
    w->indent = 0;
    w->dash = false;
    if (w->out->len > 0)
        (void)buf_addc(w->out, "---\n");
}

// One line of a comment, broken between words.
static void comment_line(struct yaml_writer *w, struct str line) {
    unsigned blanks = w->dash ? w->indent - 2 : w->indent;
    size_t lead = 0;
    while (lead < line.n && line.p[lead] == ' ')
        lead++;
    size_t at = 0;
    (void)buf_addf(w->out, "%*s#", (int)blanks, "");
    size_t column = blanks + 1;
    for (struct str rest = {line.p + lead, line.n - lead}; rest.n > 0;) {
        struct str word = str_cut(&rest, ' ');
        if (at > 0 && column + 1 + word.n > WIDTH) {
            (void)buf_addf(w->out, "\n%*s#%*s", (int)blanks, "", (int)lead, "");
            column = blanks + 1 + lead;
        } else if (at == 0) {
            (void)buf_addf(w->out, "%*s", (int)lead, "");
            column += lead;
        }
        (void)buf_add_byte(w->out, ' ');
        // No control character ends a comment early: newlines have been cut at, the rest is shown.
        for (size_t i = 0; i < word.n; i++)
            (void)buf_add_byte(
                w->out, (unsigned char)word.p[i] < 0x20 || word.p[i] == 0x7f ? '?' : word.p[i]);
        column += 1 + word.n;
        at++;
    }
    end_line(w);
}

// U+0085, U+2028 and U+2029 end a line for readers of YAML 1.1: shown as '?', all bytes of them.
static void blunt(char *text, size_t n) {
    for (size_t i = 0; i < n;) {
        unsigned char c = (unsigned char)text[i];
        size_t len = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
        if (i + len > n || !utf8_valid(text + i, len)) {
            text[i++] = '?';
            continue;
        }
        uint32_t point = code_point((const unsigned char *)text + i, len);
        if (len > 1 && must_escape(point))
            memset(text + i, '?', len);
        i += len;
    }
}

void yaml_comment(struct yaml_writer *w, const char *fmt, ...) {
    char text[COMMENT_BYTES];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    size_t len = (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
    blunt(text, len);
    for (struct str rest = {text, len}; rest.n > 0;)
        comment_line(w, str_cut(&rest, '\n'));
}

void yaml_map(struct yaml_writer *w, const char *key) {
    begin_key(w, key);
    end_line(w);
    w->indent += 2;
}

void yaml_map_end(struct yaml_writer *w) {
    w->indent -= 2;
}

void yaml_list(struct yaml_writer *w, const char *key) {
    begin_key(w, key);
    end_line(w);
}

void yaml_item(struct yaml_writer *w) {
    w->indent += 2;
    w->dash = true;
}

void yaml_item_end(struct yaml_writer *w) {
    if (w->dash) {
        begin_line(w);
        (void)buf_addc(w->out, "{}\n");
    }
    w->indent -= 2;
}

void yaml_entry(struct yaml_writer *w, const char *text) {
    if (is_missing(w, text))
        return;
    (void)buf_addf(w->out, "%*s- ", (int)w->indent, "");
    yaml_scalar(w->out, str_from(text));
    end_line(w);
}

void yaml_text(struct yaml_writer *w, const char *key, const char *text) {
    if (is_missing(w, text))
        return;
    begin_value(w, key);
    yaml_scalar(w->out, str_from(text));
    end_line(w);
}

void yaml_quoted(struct yaml_writer *w, const char *key, const char *text) {
    if (is_missing(w, text))
        return;
    begin_value(w, key);
    if (is_better_single(str_from(text)))
        yaml_scalar(w->out, str_from(text));
    else
        yaml_scalar_quoted(w->out, str_from(text));
    end_line(w);
}

// Lines that a literal block gives back byte for byte: printable, none empty or with blanks at an
// end that a reader could lose, no newline at the end.
static bool is_block(struct str s) {
    if (s.n == 0 || !memchr(s.p, '\n', s.n) || s.p[s.n - 1] == '\n' || !utf8_valid(s.p, s.n))
        return false;
    for (size_t i = 0; i < s.n; i++)
        if ((s.p[i] != '\n' && (unsigned char)s.p[i] < 0x20) || (unsigned char)s.p[i] >= 0x7f)
            return false;
    bool first = true;
    for (struct str rest = s; rest.n > 0; first = false) {
        struct str line = str_cut(&rest, '\n');
        if (line.n == 0 || line.p[line.n - 1] == ' ' || (first && line.p[0] == ' '))
            return false;
    }
    return true;
}

void yaml_block(struct yaml_writer *w, const char *key, const char *text) {
    if (is_missing(w, text))
        return;
    struct str rest = str_from(text);
    if (!is_block(rest)) {
        yaml_text(w, key, text);
        return;
    }
    begin_value(w, key);
    (void)buf_addc(w->out, "|-\n");
    while (rest.n > 0) {
        struct str line = str_cut(&rest, '\n');
        (void)buf_addf(w->out, "%*s", (int)w->indent + 2, "");
        (void)buf_add_str(w->out, line);
        end_line(w);
    }
}

void yaml_int(struct yaml_writer *w, const char *key, int64_t value) {
    begin_value(w, key);
    (void)buf_add_i64(w->out, value);
    end_line(w);
}

void yaml_bool(struct yaml_writer *w, const char *key, bool value) {
    begin_value(w, key);
    (void)buf_addc(w->out, value ? "true\n" : "false\n");
}

// ---- Trees --------------------------------------------------------------------------------------

static void tree_scalar(struct buf *out, const struct conf_node *n) {
    if (n->quoted)
        yaml_scalar(out, n->text);
    else if (n->text.n == 0)
        (void)buf_addc(out, "null");
    else if (is_plain(n->text) || str_eqc(n->text, "~")) // as it stood: its type is the reader's
        (void)buf_add_str(out, n->text);
    else
        yaml_scalar_quoted(out, n->text); // only strings have such characters
}

static void tree_members(struct yaml_writer *w, const struct conf_node *value);

static void tree_value(struct yaml_writer *w, const struct conf_node *value) {
    if (value->kind == CONF_NODE_SCALAR) {
        (void)buf_add_byte(w->out, ' ');
        tree_scalar(w->out, value);
    } else if (!value->first) {
        (void)buf_addc(w->out, value->kind == CONF_NODE_MAP ? " {}" : " []");
    }
    end_line(w);
    if (value->kind == CONF_NODE_SCALAR || !value->first)
        return;
    if (value->kind == CONF_NODE_MAP)
        w->indent += 2;
    tree_members(w, value);
    if (value->kind == CONF_NODE_MAP)
        w->indent -= 2;
}

// Recurses no deeper than LIMIT_CONFIG_DEPTH: no tree is deeper.
static void tree_members(struct yaml_writer *w, const struct conf_node *value) {
    for (const struct conf_node *n = value->first; n; n = n->next) {
        if (value->kind == CONF_NODE_MAP) {
            begin_line(w);
            yaml_scalar(w->out, n->key);
            (void)buf_add_byte(w->out, ':');
            tree_value(w, n);
        } else if (n->kind == CONF_NODE_MAP && n->first) {
            yaml_item(w);
            tree_members(w, n);
            yaml_item_end(w);
        } else if (n->kind == CONF_NODE_LIST && n->first) {
            begin_line(w);
            (void)buf_addc(w->out, "-\n");
            w->indent += 2;
            tree_members(w, n);
            w->indent -= 2;
        } else {
            begin_line(w);
            (void)buf_add_byte(w->out, '-');
            tree_value(w, n);
        }
    }
}

void yaml_tree(struct yaml_writer *w, const char *key, const struct conf_node *value) {
    begin_key(w, key);
    tree_value(w, value);
}
