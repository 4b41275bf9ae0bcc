// SPDX-License-Identifier: Apache-2.0
/* The form and the cookie; see the header. */
#include "scaler/login.h"

#include "base/mem.h"
#include "net/http1.h"

// The policy names the style by the digest of its bytes (test_scaler_access.py computes it anew).
#define STYLE                                                                                      \
    "body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:12vh auto;padding:0 1rem;"     \
    "color-scheme:light dark}"                                                                     \
    "h1{font-size:1.4rem}textarea,button{font:inherit}"                                            \
    "textarea{width:100%;box-sizing:border-box;height:7em;font-family:ui-monospace,monospace;"     \
    "font-size:.85rem;padding:.5rem}"                                                              \
    "button{margin-top:.75rem;padding:.4rem 1.2rem}code{font-size:.9em}"                           \
    ".why{border-left:4px solid #c2410c;padding-left:.75rem}form+form{margin-top:2rem}"
#define STYLE_DIGEST "sha256-Lnei8bPs+xGohW9xJclwCaLP0x9Li2ncc/pR2aYPzjs="

static const char form_head[] =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
    "<title>gpuscale: sign in</title><style>" STYLE "</style></head><body><main>"
    "<h1>Sign in to gpuscale</h1>";
static const char form_tail[] =
    "<form method=\"post\" action=\"/login\"><p><label for=\"token\">A Kubernetes token. The page "
    "shows the namespaces whose ScaledObjects it may list.</label></p>"
    "<textarea id=\"token\" name=\"token\" required autofocus autocomplete=\"off\" "
    "spellcheck=\"false\" aria-describedby=\"how\"></textarea>"
    "<button>Sign in</button>"
    "<p id=\"how\"><code>kubectl create token NAME -n NAMESPACE</code> prints one of a service "
    "account. It is kept in a cookie until the browser closes, and checked with each "
    "request.</p></form>"
    "<form method=\"post\" action=\"/logout\"><button>Sign out</button></form>"
    "</main></body></html>\n";

#define FORM_HEADERS                                                                               \
    "Content-Security-Policy: default-src 'none'; style-src '" STYLE_DIGEST                        \
    "'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'\r\n"                           \
    "X-Content-Type-Options: nosniff\r\n"                                                          \
    "Referrer-Policy: no-referrer\r\n"                                                             \
    "Cache-Control: no-store\r\n"

void login_answer_form(struct http_request *r, int status, const char *why, const char *challenge) {
    CLEANUP_BUF struct buf body, headers;
    buf_init(&body, sizeof(form_head) + sizeof(form_tail) + 1024);
    buf_init(&headers, 2048);
    (void)buf_addc(&body, form_head);
    if (why != NULL) // our own sentence: nothing in it wants escaping
        (void)buf_addf(&body, "<p class=\"why\" role=\"alert\">%s</p>", why);
    (void)buf_addc(&body, form_tail);
    (void)buf_addc(&headers, FORM_HEADERS);
    (void)buf_addc(&headers, challenge != NULL ? challenge : "");
    (void)buf_add_byte(&headers, '\0');
    if (body.err != 0 || headers.err != 0) {
        http_request_answer_text(r, 503, "memory is short");
        return;
    }
    http_request_answer(r, &(struct http_answer){.status = status,
                                                 .content_type = "text/html; charset=utf-8",
                                                 .extra_headers = headers.p,
                                                 .body = buf_str(&body)});
}

bool login_wants_html(const struct http_request *r) {
    static const struct http_offer offers[] = {
        {.type = "text/plain"},
        {.type = "text/html", .named_only = true},
    };
    return http_request_prefers(r, offers, COUNT_OF(offers)) == 1;
}

// What RFC 6750 lets a bearer token consist of; a cookie takes all of it.
static bool is_token(const char *s) {
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789-._~+/=";
    return s[0] != '\0' && s[strspn(s, allowed)] == '\0';
}

int login_form_token(const struct http_request *r, char dst[LOGIN_TOKEN_MAX + 1]) {
    // Room for blanks and newlines that were pasted along.
    char text[LOGIN_TOKEN_MAX + 64];
    int rc = http1_query_param(http_request_body(r), "token", text, sizeof(text));
    if (rc == 0)
        rc = str_copy(dst, LOGIN_TOKEN_MAX + 1, str_trim(str_from(text)));
    explicit_bzero(text, sizeof(text));
    if (rc == 0 && !is_token(dst))
        rc = ERR_INVALID;
    return rc == 0 || rc == ERR_LIMIT ? rc : ERR_INVALID;
}

// "__Host-": the browser takes it only over TLS, for the whole of this very host.
static const char *cookie_name(bool tls) {
    return tls ? "__Host-gpuscale" : "gpuscale";
}

struct str login_cookie(const struct http_request *r, bool tls) {
    struct str all = http_request_header(r, "Cookie");
    while (all.n > 0) {
        struct str value = str_trim(str_cut(&all, ';'));
        struct str name = str_cut(&value, '=');
        if (str_eqc(name, cookie_name(tls)) && value.n > 0)
            return value;
    }
    return (struct str){0};
}

void login_answer_cookie(struct http_request *r, const char *token, bool tls) {
    CLEANUP_BUF struct buf headers;
    buf_init(&headers, LOGIN_TOKEN_MAX + 512);
    (void)buf_addf(&headers, "Location: %s\r\nCache-Control: no-store\r\n",
                   token[0] != '\0' ? "/" : "/login");
    (void)buf_addf(&headers, "Set-Cookie: %s=%s; Path=/; HttpOnly; SameSite=Strict%s%s\r\n",
                   cookie_name(tls), token, tls ? "; Secure" : "",
                   token[0] != '\0' ? "" : "; Max-Age=0");
    (void)buf_add_byte(&headers, '\0');
    if (headers.err != 0)
        http_request_answer_text(r, 503, "memory is short");
    else
        http_request_answer(r, &(struct http_answer){.status = 303, .extra_headers = headers.p});
    if (headers.p != NULL)
        explicit_bzero(headers.p, headers.len);
}
