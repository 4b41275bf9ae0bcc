// SPDX-License-Identifier: Apache-2.0
/* gpuscale certs show: what is in certificate files, in words. */
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/mem.h"
#include "tools/certs_set.h"

struct shown_file {
    const char *path;
    struct buf text;
};

struct show {
    struct shown_file *files;
    int n;
    int64_t now_s;
    unsigned bad;
};

static void row(const char *what, const char *text) {
    (void)printf("  %-10s %s\n", what, text);
}

static void show_use(const struct certs_facts *f) {
    if (f->authority)
        row("is", f->self_signed ? "an authority: it signs certificates"
                                 : "an authority under another one");
    else if (f->server && f->client)
        row("is for", "servers and clients");
    else if (f->server || f->client)
        row("is for",
            f->server ? "servers; no client passes with it" : "clients; no server passes with it");
    else
        row("is for", "neither servers nor clients of TLS");
}

static void show_names(const struct certs_facts *f) {
    static const char *const kinds[] = {"", "address ", "", ""};
    for (size_t i = 0; i < f->n_names; i++)
        (void)printf("  %-10s %s%s\n", i == 0 ? "names" : "", kinds[f->names[i].kind],
                     f->names[i].text);
    if (f->n_more_names > 0)
        (void)printf("  %-10s and %zu more\n", "", f->n_more_names);
    if (f->n_names == 0 && !f->authority)
        row("names", "none: no client of a server can check it");
}

// "in 3 days", "in 5 hours".
static void span(int64_t s, char *dst, size_t cap) {
    const char *unit = s >= 2 * 86400 ? "days" : s >= 2 * 3600 ? "hours" : "minutes";
    int64_t of = s >= 2 * 86400 ? 86400 : s >= 2 * 3600 ? 3600 : 60;
    snprintf(dst, cap, "%lld %s", (long long)(s / of), unit);
}

// Whether it is good now.
static bool show_time(const struct certs_facts *f, int64_t now_s) {
    char from[32], until[32], left[32];
    clock_format_utc(f->from_s * NS_PER_S, from, sizeof(from));
    clock_format_utc(f->until_s * NS_PER_S, until, sizeof(until));
    if (now_s < f->from_s) {
        span(f->from_s - now_s, left, sizeof(left));
        (void)printf("  %-10s not yet: from %.10s %.5s UTC, in %s; until %.10s\n", "good", from,
                     from + 11, left, until);
        return false;
    }
    span(now_s < f->until_s ? f->until_s - now_s : now_s - f->until_s, left, sizeof(left));
    if (now_s >= f->until_s)
        (void)printf("  %-10s NO MORE: it expired %.10s %.5s UTC, %s ago\n", "good", until,
                     until + 11, left);
    else
        (void)printf("  %-10s until %.10s %.5s UTC, %s from now\n", "good", until, until + 11,
                     left);
    return now_s < f->until_s;
}

static void show_issuer(const struct show *s, const struct shown_file *of, unsigned i,
                        const struct certs_facts *f) {
    if (f->self_signed) {
        row("signed by", "itself");
        return;
    }
    for (int k = 0; k < s->n; k++)
        if (certs_issuer_of(buf_str(&of->text), i, buf_str(&s->files[k].text)) >= 0) {
            (void)printf("  %-10s \"%s\", in %s\n", "signed by", f->issuer, s->files[k].path);
            return;
        }
    (void)printf("  %-10s \"%s\", which is in none of these files\n", "signed by", f->issuer);
}

static void show_certificate(struct show *s, const struct shown_file *of, unsigned i,
                             const struct certs_facts *f) {
    (void)printf("%s: %s\n", of->path, f->subject);
    show_use(f);
    show_names(f);
    bool good = show_time(f, s->now_s);
    show_issuer(s, of, i, f);
    (void)printf("  %-10s %s%s\n", "key", f->key, f->weak ? "; TOO WEAK, gpuscale refuses it" : "");
    row("serial", f->serial);
    row("SHA-256", f->fingerprint);
    s->bad += !good || f->weak;
}

static void show_key(struct show *s, const struct shown_file *of, const char *kind) {
    struct stat st;
    const struct shown_file *owner = NULL;
    unsigned at = 0;
    (void)printf("%s: a private key, %s\n", of->path, kind);
    for (int k = 0; k < s->n && !owner; k++) {
        struct certs_facts f;
        for (unsigned i = 0; !owner && certs_read(buf_str(&s->files[k].text), i, &f, NULL) == 0;
             i++)
            if (certs_key_fits(buf_str(&s->files[k].text), i, buf_str(&of->text)))
                owner = &s->files[k], at = i;
    }
    if (owner)
        (void)printf("  %-10s certificate %u of %s\n", "of", at + 1, owner->path);
    else if (s->n > 1)
        row("of", "NONE of these certificates");
    if (stat(of->path, &st) == 0 && (st.st_mode & 077) != 0)
        (void)printf("  %-10s others may read it: chmod 600 %s\n", "mode", of->path);
    s->bad += !owner && s->n > 1;
}

static int show_file(struct show *s, const struct shown_file *of, struct err *e) {
    struct certs_facts *f = mem_zalloc(sizeof(*f));
    char key[64];
    unsigned i = 0;
    int r = f ? 0 : err_set(e, ERR_NOMEM, "no memory");
    while (r == 0 && (r = certs_read(buf_str(&of->text), i, f, e)) == 0) {
        show_certificate(s, of, i, f);
        i++;
    }
    mem_free(f);
    if (r != ERR_NOTFOUND)
        return err_wrap(e, "%s", of->path);
    r = certs_read_key(buf_str(&of->text), key, sizeof(key), e);
    if (r == 0)
        show_key(s, of, key);
    if (r < 0 && r != ERR_NOTFOUND)
        return err_wrap(e, "%s", of->path);
    if (r < 0 && i == 0)
        return err_set(e, ERR_NOTFOUND, "%s: neither a certificate nor a private key (PEM)",
                       of->path);
    return 0;
}

int certs_show_main(char *const *files, int n, unsigned *ret_bad, struct err *e) {
    struct show s = {.files = mem_array((size_t)n, sizeof(*s.files)),
                     .n = n,
                     .now_s = clock_real_ns() / NS_PER_S};
    if (!s.files)
        return err_set(e, ERR_NOMEM, "no memory");
    int r = 0;
    for (int i = 0; i < n; i++) {
        s.files[i].path = files[i];
        buf_init(&s.files[i].text, LIMIT_TLS_FILE_BYTES);
        if (r == 0)
            r = certs_read_file(files[i], &s.files[i].text, e);
    }
    for (int i = 0; i < n && r == 0; i++)
        r = show_file(&s, &s.files[i], e);
    for (int i = 0; i < n; i++)
        buf_done(&s.files[i].text);
    mem_free(s.files);
    *ret_bad = s.bad;
    return r;
}
