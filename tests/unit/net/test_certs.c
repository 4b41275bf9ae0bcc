// SPDX-License-Identifier: Apache-2.0
/* Certificates made here: OpenSSL's own verification is the judge; and what is read out of them. */
#include "net_unit.h"

#include "base/limits.h"
#include "net/certs.h"

static const int64_t now_s = 1796000000; // 2026-11-30

static const struct certs_wish ca_wish = {.common_name = "test authority",
                                          .authority = true,
                                          .from_s = now_s - 60,
                                          .until_s = now_s + 86400 * 100};
static const struct certs_name leaf_names[] = {{CERTS_DNS, "a.example"},
                                               {CERTS_DNS, "*.b.example"},
                                               {CERTS_IP, "10.0.0.7"},
                                               {CERTS_IP, "fd00::7"},
                                               {CERTS_URI, "spiffe://c/x"}};
static const struct certs_wish leaf_wish = {.common_name = "leaf",
                                            .names = leaf_names,
                                            .n_names = COUNT_OF(leaf_names),
                                            .server = true,
                                            .from_s = now_s - 60,
                                            .until_s = now_s + 86400};

static struct certs_pair make(const struct certs_wish *w, const struct certs_pair *by) {
    struct certs_pair p;
    struct err e = {0};
    certs_pair_init(&p);
    struct str none = {0};
    if (certs_make(w, by ? buf_str(&by->cert) : none, by ? buf_str(&by->key) : none, &p, &e) < 0)
        fail_msg("%s", e.msg);
    return p;
}

static X509 *parse(const struct buf *pem) {
    BIO *text = BIO_new_mem_buf(pem->p, (int)pem->len);
    X509 *cert = PEM_read_bio_X509(text, NULL, NULL, NULL);
    BIO_free(text);
    assert_non_null(cert);
    return cert;
}

// X509_V_OK, or why OpenSSL refuses the certificate for the purpose at that time.
static int verdict(const struct certs_pair *leaf, const struct certs_pair *ca, int purpose,
                   int64_t at_s) {
    X509 *cert = parse(&leaf->cert), *authority = parse(&ca->cert);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    assert_int_equal(X509_STORE_add_cert(store, authority), 1);
    assert_int_equal(X509_STORE_CTX_init(ctx, store, cert, NULL), 1);
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_time(param, (time_t)at_s);
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
    X509_STORE_CTX_set_purpose(ctx, purpose);
    (void)X509_verify_cert(ctx);
    int code = X509_STORE_CTX_get_error(ctx);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    X509_free(cert);
    X509_free(authority);
    return code;
}

static void a_leaf_is_good_for_what_was_wished_and_for_nothing_else(void **state) {
    struct certs_pair ca = make(&ca_wish, NULL), other = make(&ca_wish, NULL);
    for (int i = 1; i < 4; i++) {
        struct certs_wish w = leaf_wish;
        w.server = i & 1;
        w.client = i & 2;
        struct certs_pair leaf = make(&w, &ca);
        const int refused = X509_V_ERR_INVALID_PURPOSE;
        assert_int_equal(verdict(&leaf, &ca, X509_PURPOSE_SSL_SERVER, now_s),
                         w.server ? X509_V_OK : refused);
        assert_int_equal(verdict(&leaf, &ca, X509_PURPOSE_SSL_CLIENT, now_s),
                         w.client ? X509_V_OK : refused);
        assert_int_equal(verdict(&leaf, &ca, X509_PURPOSE_ANY, now_s + 86401),
                         X509_V_ERR_CERT_HAS_EXPIRED);
        assert_int_equal(verdict(&leaf, &ca, X509_PURPOSE_ANY, now_s - 61),
                         X509_V_ERR_CERT_NOT_YET_VALID);
        // The same name, another key.
        assert_int_not_equal(verdict(&leaf, &other, X509_PURPOSE_ANY, now_s), X509_V_OK);
        X509 *cert = parse(&leaf.cert);
        assert_int_equal(X509_check_host(cert, "a.example", 0, 0, NULL), 1);
        assert_int_equal(X509_check_host(cert, "x.b.example", 0, 0, NULL), 1);
        assert_int_equal(X509_check_host(cert, "leaf", 0, 0, NULL), 0); // the common name
        assert_int_equal(X509_check_ip_asc(cert, "10.0.0.7", 0), 1);
        assert_int_equal(X509_check_ip_asc(cert, "fd00::7", 0), 1);
        assert_int_equal(X509_check_ip_asc(cert, "10.0.0.8", 0), 0);
        assert_int_equal(X509_check_ca(cert), 0);
        X509_free(cert);
        // A leaf signs nothing that anybody believes.
        struct certs_pair forged = make(&leaf_wish, &leaf);
        assert_int_not_equal(verdict(&forged, &leaf, X509_PURPOSE_ANY, now_s), X509_V_OK);
        certs_pair_done(&forged);
        certs_pair_done(&leaf);
    }
    certs_pair_done(&ca);
    certs_pair_done(&other);
}

static void the_authority_among_several_is_the_one_of_the_key(void **state) {
    struct certs_pair first = make(&ca_wish, NULL), second = make(&ca_wish, NULL);
    struct buf bundle;
    buf_init(&bundle, 1 << 20);
    assert_int_equal(buf_add_str(&bundle, buf_str(&second.cert)), 0);
    assert_int_equal(buf_add_str(&bundle, buf_str(&first.cert)), 0);
    struct certs_pair leaf, none;
    certs_pair_init(&leaf);
    certs_pair_init(&none);
    struct err e = {0};
    assert_int_equal(certs_make(&leaf_wish, buf_str(&bundle), buf_str(&first.key), &leaf, &e), 0);
    assert_int_equal(verdict(&leaf, &first, X509_PURPOSE_SSL_SERVER, now_s), X509_V_OK);
    assert_int_equal(certs_issuer_of(buf_str(&leaf.cert), 0, buf_str(&bundle)), 1);
    assert_int_equal(certs_issuer_of(buf_str(&leaf.cert), 0, buf_str(&second.cert)), -1);
    assert_int_equal(certs_make(&leaf_wish, buf_str(&second.cert), buf_str(&first.key), &none, &e),
                     ERR_INVALID);
    assert_non_null(strstr(e.msg, "belongs to none of its 1 certificates"));
    assert_true(certs_key_fits(buf_str(&bundle), 1, buf_str(&first.key)));
    assert_false(certs_key_fits(buf_str(&bundle), 0, buf_str(&first.key)));
    assert_false(certs_key_fits(buf_str(&bundle), 2, buf_str(&first.key)));
    struct buf copy;
    buf_init(&copy, 1 << 20);
    assert_int_equal(certs_copy(buf_str(&bundle), 1, &copy, &e), 0);
    assert_true(str_eq(buf_str(&copy), buf_str(&first.cert)));
    buf_done(&copy);
    buf_done(&bundle);
    certs_pair_done(&first);
    certs_pair_done(&second);
    certs_pair_done(&leaf);
}

static void what_is_no_name_is_refused(void **state) {
    static const struct certs_name bad[] = {
        {CERTS_DNS, ""},          {CERTS_DNS, "a b"},      {CERTS_DNS, "a,DNS:evil"},
        {CERTS_DNS, "a..b"},      {CERTS_DNS, "-a"},       {CERTS_DNS, "a.*.b"},
        {CERTS_DNS, "a\nb"},      {CERTS_DNS, "*."},       {CERTS_IP, "10.0.0"},
        {CERTS_IP, "10.0.0.7/8"}, {CERTS_IP, "a.example"}, {CERTS_IP, ""},
        {CERTS_URI, "no scheme"},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct certs_wish w = leaf_wish;
        w.names = &bad[i];
        w.n_names = 1;
        struct certs_pair p;
        struct err e = {0};
        certs_pair_init(&p);
        assert_int_equal(certs_make(&w, (struct str){0}, (struct str){0}, &p, &e), ERR_INVALID);
        assert_non_null(strstr(e.msg, "is no "));
        assert_int_equal(p.cert.len + p.key.len, 0);
        certs_pair_done(&p);
    }
    struct certs_wish w = leaf_wish;
    struct certs_pair p;
    certs_pair_init(&p);
    w.until_s = w.from_s;
    assert_int_equal(certs_make(&w, (struct str){0}, (struct str){0}, &p, NULL), ERR_INVALID);
    w = leaf_wish;
    w.common_name = "a name of more than sixty-four bytes, which no certificate may carry";
    assert_int_equal(certs_make(&w, (struct str){0}, (struct str){0}, &p, NULL), ERR_INVALID);
    w.common_name = "";
    assert_int_equal(certs_make(&w, (struct str){0}, (struct str){0}, &p, NULL), ERR_INVALID);
}

static void what_was_wished_is_read_back(void **state) {
    struct certs_pair ca = make(&ca_wish, NULL), leaf = make(&leaf_wish, &ca);
    struct certs_facts f;
    struct err e = {0};
    assert_int_equal(certs_read(buf_str(&leaf.cert), 0, &f, &e), 0);
    assert_string_equal(f.subject, "leaf");
    assert_string_equal(f.issuer, "test authority");
    assert_string_equal(f.key, "ECDSA P-256");
    assert_int_equal(f.from_s, leaf_wish.from_s);
    assert_int_equal(f.until_s, leaf_wish.until_s);
    assert_true(f.server && !f.client && !f.authority && !f.self_signed && !f.weak);
    assert_int_equal(f.n_names, COUNT_OF(leaf_names));
    for (size_t i = 0; i < f.n_names; i++) {
        assert_int_equal(f.names[i].kind, leaf_names[i].kind);
        assert_string_equal(f.names[i].text, leaf_names[i].text);
    }
    assert_int_equal(strlen(f.serial), 40);      // 159 bits, the highest set
    assert_int_equal(strlen(f.fingerprint), 95); // 32 pairs of digits, 31 colons
    assert_int_equal(certs_read(buf_str(&ca.cert), 0, &f, &e), 0);
    assert_true(f.authority && f.self_signed);
    assert_int_equal(certs_read(buf_str(&ca.cert), 1, &f, &e), ERR_NOTFOUND);
    assert_int_equal(certs_read(buf_str(&ca.key), 0, &f, &e), ERR_NOTFOUND);
    char kind[64];
    assert_int_equal(certs_read_key(buf_str(&leaf.key), kind, sizeof(kind), &e), 0);
    assert_string_equal(kind, "ECDSA P-256");
    assert_int_equal(certs_read_key(buf_str(&leaf.cert), kind, sizeof(kind), &e), ERR_NOTFOUND);
    certs_pair_done(&ca);
    certs_pair_done(&leaf);
}

static void weak_and_strange_certificates_are_told(void **state) {
    struct certs_facts f;
    struct buf pem;
    struct unit_cert_spec spec = {.common_name = "x", .rsa_bits = 1024};
    for (int i = 0; i < 3; i++) {
        spec.rsa_bits = i == 0 ? 1024 : 2048;
        spec.sha1 = i == 1;
        struct unit_cert ca = unit_cert_new(
            &(struct unit_cert_spec){.common_name = "y", .ca = true}, NULL);
        struct unit_cert weak = unit_cert_new(&spec, &ca);
        BIO *text = BIO_new(BIO_s_mem());
        char *p;
        assert_int_equal(PEM_write_bio_X509(text, weak.x509), 1);
        long n = BIO_get_mem_data(text, &p);
        assert_int_equal(certs_read((struct str){p, (size_t)n}, 0, &f, NULL), 0);
        assert_int_equal(f.weak, i < 2);
        assert_string_equal(f.key, i == 0 ? "RSA, 1024 bits" : "RSA, 2048 bits");
        assert_true(f.server && f.client); // nothing says otherwise
        BIO_free(text);
        unit_cert_free(&weak);
        unit_cert_free(&ca);
    }
    // Any part of a certificate is refused, not misread.
    struct certs_pair leaf = make(&leaf_wish, NULL);
    for (size_t n = 0; n + 2 < leaf.cert.len; n++) {
        int r = certs_read((struct str){leaf.cert.p, n}, 0, &f, NULL);
        assert_true(r == ERR_NOTFOUND || r == ERR_PARSE);
    }
    buf_init(&pem, 1 << 20);
    assert_int_equal(buf_add_str(&pem, buf_str(&leaf.cert)), 0);
    pem.p[100] = '!';
    assert_int_equal(certs_read(buf_str(&pem), 0, &f, NULL), ERR_PARSE);
    buf_done(&pem);
    certs_pair_done(&leaf);
}

static void every_failing_allocation_of_ours_is_told(void **state) {
    struct certs_pair ca = make(&ca_wish, NULL);
    for (long i = 1;; i++) {
        struct certs_pair p;
        certs_pair_init(&p);
        mem_fail_from(i);
        int r = certs_make(&leaf_wish, buf_str(&ca.cert), buf_str(&ca.key), &p, NULL);
        mem_fail_never();
        certs_pair_done(&p);
        if (r == 0)
            break;
        assert_int_equal(r, ERR_NOMEM);
        assert_true(i < 10);
    }
    certs_pair_done(&ca);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_leaf_is_good_for_what_was_wished_and_for_nothing_else),
        cmocka_unit_test(the_authority_among_several_is_the_one_of_the_key),
        cmocka_unit_test(what_is_no_name_is_refused),
        cmocka_unit_test(what_was_wished_is_read_back),
        cmocka_unit_test(weak_and_strange_certificates_are_told),
        cmocka_unit_test(every_failing_allocation_of_ours_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
