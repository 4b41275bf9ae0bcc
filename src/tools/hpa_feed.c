// SPDX-License-Identifier: Apache-2.0
/* Cutting a stream into values; see the header. */
#include "tools/hpa_feed.h"

#include <assert.h>

#include "base/limits.h"

void hpa_feed_init(struct hpa_feed *f) {
    buf_init(&f->in, (size_t)LIMIT_CASE_BYTES + 1);
    arena_init(&f->arena, LIMIT_CASE_TREE_BYTES);
    f->line = f->column = 1;
}

void hpa_feed_done(struct hpa_feed *f) {
    buf_done(&f->in);
    arena_done(&f->arena);
}

static void fail(struct hpa_feed *f, int code, const char *what) {
    struct err e = {0};
    (void)err_set(&e, code, "%s:%u:%u: %s", f->file, f->line, f->column, what);
    f->on_value(f->ctx, NULL, &f->arena, &e);
}

// Drops n bytes at the front and keeps the place.
static void drop(struct hpa_feed *f, size_t n) {
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)f->in.p[i];
        if (c == '\n') {
            f->line++;
            f->column = 1;
        } else {
            f->column += (c & 0xc0) != 0x80;
        }
    }
    buf_consume(&f->in, n);
    f->at -= n < f->at ? n : f->at;
}

// Reads the first n bytes as one value, and tells it where it is one (not where it is empty). An
// error is left to the caller.
static int tell(struct hpa_feed *f, size_t n, bool json, struct err *e) {
    const struct conf_text t = {
        .text = {f->in.p, n},
        .name = f->file,
        .line = f->line,
        .column = f->column,
        .json = json,
        .max_bytes = LIMIT_CASE_BYTES,
        .max_key_bytes = LIMIT_CASE_KEY_BYTES,
        .bytes_limit = "LIMIT_CASE_BYTES",
        .tree_limit = "LIMIT_CASE_TREE_BYTES",
    };
    struct conf_node *root = NULL;
    int r = conf_tree_read(&t, &f->arena, &root, e);
    // Between two "---" there may be nothing.
    bool empty = root && root->kind == CONF_NODE_SCALAR && !root->quoted && root->text.n == 0;
    if (root && !empty)
        f->on_value(f->ctx, root, &f->arena, NULL);
    arena_reset(&f->arena);
    return r;
}

// ---- JSON ---------------------------------------------------------------------------------------

static const char NO_END[] = "the case that begins here has no end: a }, ] or \" is missing";
static const char TOO_DEEP[] =
    "the case that begins here has no end (a }, ] or \" is missing), or is"
    " nested deeper than 32 levels (LIMIT_CONFIG_DEPTH)";
static_assert(LIMIT_CONFIG_DEPTH == 32, "TOO_DEEP says the number");

// The commonest error has no remedy of its own: {hpa: ...} is YAML.
static void tell_broken_json(struct hpa_feed *f, const struct err *e) {
    struct err more = {0};
    if (strstr(e->msg, "Invalid JSON plain scalar"))
        (void)err_set(&more, e->code, "%s: JSON has text and keys in double quotes%s", e->msg,
                      f->sniffed ? "; if this is YAML, put a line --- before it" : "");
    f->on_value(f->ctx, NULL, &f->arena, more.code < 0 ? &more : e);
}

// The value of n bytes at the front is complete, or (`cut` says why) never will be: told, and
// dropped; if it is broken, no more than up to the line where the next may begin.
static void end_json(struct hpa_feed *f, size_t n, const char *cut) {
    size_t resync = f->resync;
    struct err e = {0};
    if (cut)
        fail(f, ERR_PARSE, cut);
    else if (tell(f, n, true, &e) < 0)
        tell_broken_json(f, &e);
    drop(f, (cut || e.code < 0) && resync > 0 && resync < n ? resync : n);
    f->at = 0;
    f->depth = 0;
    f->resync = 0;
    f->in_string = f->escaped = false;
}

// Is c, the next byte, part of a string, its quotes included? JSON's strings have no newlines.
static bool follow_string(struct hpa_feed *f, char c) {
    if (f->in_string) {
        if (c == '\n' || (c == '"' && !f->escaped))
            f->in_string = false;
        f->escaped = c == '\\' && !f->escaped;
        return true;
    }
    f->in_string = c == '"';
    f->escaped = false;
    return f->in_string;
}

// Something that is no value: skipped up to the end of its line or, in a list, of its entry.
static void skip_junk(struct hpa_feed *f) {
    while (f->at < f->in.len) {
        char c = f->in.p[f->at];
        if (c == '\n' || (!follow_string(f, c) && f->in_list && (c == ',' || c == ']'))) {
            f->in_junk = f->in_string = f->escaped = false;
            return;
        }
        f->at++;
    }
}

// Between values.
static void between(struct hpa_feed *f) {
    char c = f->in.p[f->at];
    if (c == '{') {
        drop(f, f->at);
        f->depth = 1;
    } else if (c == '[' && !f->in_list) {
        f->in_list = true;
    } else if (c == ']' && f->in_list) {
        f->in_list = false;
    } else if (c != ' ' && c != '\t' && c != '\r' && c != '\n' && c != ',' && c != '\x1e') {
        drop(f, f->at);
        fail(f, ERR_PARSE, "expected a case: {\"hpa\": ..., \"scale\": ...}");
        f->in_junk = true;
        return;
    }
    f->at++;
}

// Inside a value: brackets outside strings.
static void inside(struct hpa_feed *f) {
    char c = f->in.p[f->at++];
    if (c == '\n' && f->in.len > f->at && f->in.p[f->at] == '{' && f->resync == 0)
        f->resync = f->at;
    if (follow_string(f, c))
        return;
    if (c == '{' || c == '[')
        f->depth++;
    else if ((c == '}' || c == ']') && --f->depth == 0)
        end_json(f, f->at, NULL);
}

// A value of which the next may already have begun is given up where it is deeper than any case:
// so a byte is looked at no more than LIMIT_CONFIG_DEPTH times, for as many open brackets that may
// have begun a value, however many cases have no end.
static bool is_hopeless(const struct hpa_feed *f) {
    return f->depth > LIMIT_CONFIG_DEPTH && f->resync > 0;
}

static void go_on_json(struct hpa_feed *f) {
    while (f->at < f->in.len) {
        if (f->in_junk) {
            skip_junk(f);
        } else if (f->depth == 0) {
            between(f);
        } else {
            if (f->in.p[f->at] == '\n' && f->at + 1 == f->in.len && !f->stopped)
                return; // what follows the newline decides
            inside(f);
            if (is_hopeless(f))
                end_json(f, f->resync, TOO_DEEP);
        }
    }
    if (f->depth == 0) {
        drop(f, f->at);
        f->at = 0;
    }
}

// ---- YAML ---------------------------------------------------------------------------------------

enum { MARKER_BYTES = 4 }; // "---" and what is behind it

// Does a document end with the line at `p`: "---", "...", alone or before white space?
static bool is_marker(const char *p, size_t n) {
    return n >= 3 && (memcmp(p, "---", 3) == 0 || memcmp(p, "...", 3) == 0) &&
           (n == 3 || p[3] == ' ' || p[3] == '\n' || p[3] == '\r' || p[3] == '\t');
}

static void tell_yaml(struct hpa_feed *f, size_t n) {
    struct err e = {0};
    if (tell(f, n, false, &e) < 0)
        f->on_value(f->ctx, NULL, &f->arena, &e);
}

static void go_on_yaml(struct hpa_feed *f) {
    for (;;) {
        char *end = memchr(f->in.p + f->at, '\n', f->in.len - f->at);
        if (!end) {
            f->at = f->in.len;
            return;
        }
        size_t next = (size_t)(end - f->in.p) + 1, n = f->in.len - next;
        if (n < MARKER_BYTES && !memchr(f->in.p + next, '\n', n) && !f->stopped) {
            f->at = next - 1; // what follows the newline decides
            return;
        }
        f->at = next;
        if (!is_marker(f->in.p + next, f->in.len - next))
            continue;
        tell_yaml(f, next);
        bool dots = f->in.p[next] == '.';
        drop(f, dots ? next + 3 : next);
        f->at = 0;
    }
}

// ---- Both ---------------------------------------------------------------------------------------

static void sniff(struct hpa_feed *f) {
    static const char bom[] = "\xef\xbb\xbf";
    if (!f->stopped && f->in.len < 3 && memcmp(f->in.p, bom, f->in.len) == 0)
        return; // the rest of it comes
    if (str_starts(buf_str(&f->in), bom)) {
        drop(f, 3);
        f->column = 1;
    }
    while (f->at < f->in.len && strchr(" \t\r\n", f->in.p[f->at]) && f->in.p[f->at] != '\0')
        f->at++;
    if (f->at == f->in.len)
        return;
    char c = f->in.p[f->at];
    f->format = c == '{' || c == '[' ? HPA_FEED_JSON : HPA_FEED_YAML;
    f->sniffed = true;
    f->at = 0;
}

static void go_on(struct hpa_feed *f) {
    if (f->format == HPA_FEED_SNIFF && f->in.len > 0)
        sniff(f);
    if (f->in.len > 0 && f->format == HPA_FEED_JSON)
        go_on_json(f);
    else if (f->in.len > 0 && f->format == HPA_FEED_YAML)
        go_on_yaml(f);
}

void hpa_feed_bytes(struct hpa_feed *f, struct str bytes) {
    while (bytes.n > 0 && !f->stopped) {
        size_t room = f->in.max - f->in.len;
        size_t n = bytes.n < room ? bytes.n : room;
        if (n == 0) {
            if (f->format == HPA_FEED_JSON && f->resync > 0) { // brackets do not match
                end_json(f, f->resync, NO_END);
                go_on(f);
                continue;
            }
            fail(f, ERR_LIMIT, "a case is larger than 32 MiB (LIMIT_CASE_BYTES)");
            f->stopped = true;
            buf_clear(&f->in);
            return;
        }
        if (buf_add(&f->in, bytes.p, n) < 0) {
            fail(f, ERR_NOMEM, "out of memory");
            f->stopped = true;
            buf_clear(&f->in);
            return;
        }
        bytes = (struct str){bytes.p + n, bytes.n - n};
        go_on(f);
    }
}

void hpa_feed_end(struct hpa_feed *f) {
    if (f->stopped)
        return;
    f->stopped = true;
    go_on(f);
    while (f->format == HPA_FEED_JSON && f->depth > 0) { // brackets do not match
        end_json(f, f->resync > 0 ? f->resync : f->in.len, NO_END);
        go_on(f);
    }
    if (f->format == HPA_FEED_YAML && f->in.len > 0)
        tell_yaml(f, f->in.len);
    if (f->in_list)
        fail(f, ERR_PARSE, "the list has no closing ]: is the input cut off?");
    buf_clear(&f->in);
}
