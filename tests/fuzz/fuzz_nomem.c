// SPDX-License-Identifier: Apache-2.0
/*
 * Memory that ends while something is read. The first byte chooses the reader, the second the
 * allocation from which on all fail. Reading then gives what it gives with memory enough, or says
 * that there was none; nothing leaks and nothing half-made stays.
 */
#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"
#include "core/engine/demand_rule.h"
#include "core/engine/page.h"
#include "core/exporter/page.h"
#include "core/metrics/promql_enforce.h"
#include "core/metrics/selector.h"
#include "externalscaler.pb-c.h"
#include "fuzz.h"
#include "net/grpc_conn.h"
#include "net/http1.h"
#include "net/pb.h"
#include "scaler/bind.h"
#include "scaler/config.h"
#include "scaler/workloads.h"

FUZZ_LIBFYAML_LEAKS

// Reads the bytes: 0 or an error, and a number of what was read.
typedef int reader(struct str in, uint64_t *ret, struct err *e);

static int read_engine(struct str in, uint64_t *ret, struct err *e) {
    struct engine_page *pg = NULL;
    struct engine_page_result r = {0};
    const struct engine_preset *preset =
        engine_presets[in.n > 0 ? (unsigned char)in.p[0] % engine_presets_n : 0];
    int rc = engine_page_new(&pg, preset, e);
    if (rc == 0)
        rc = engine_page_feed(pg, in.p, in.n, e);
    if (rc == 0)
        rc = engine_page_finish(pg, true, &r, e);
    *ret = r.sample.valid + r.samples;
    engine_page_free(pg);
    return rc;
}

static int read_exporter(struct str in, uint64_t *ret, struct err *e) {
    struct exporter_page *pg = NULL;
    struct exporter_page_result r = {0};
    int rc = exporter_page_new(&pg, e);
    if (rc == 0)
        rc = exporter_page_feed(pg, in.p, in.n / 2, e);
    if (rc == 0)
        rc = exporter_page_feed(pg, in.p + in.n / 2, in.n - in.n / 2, e);
    if (rc == 0)
        rc = exporter_page_finish(pg, true, &r, e);
    *ret = r.mark;
    exporter_page_free(pg);
    return rc;
}

static int read_http1(struct str in, uint64_t *ret, struct err *e) {
    struct http1 h;
    http1_init(&h);
    for (size_t at = 0; at < in.n && h.state < HTTP1_DONE;)
        at += http1_feed(&h, in.p + at, in.n - at < 100 ? in.n - at : 100);
    int rc = h.state != HTTP1_FAILED ? 0
             : h.status == 503       ? err_set(e, ERR_NOMEM, "%s", h.why)
                                     : err_set(e, ERR_PARSE, "%s", h.why);
    *ret = h.state == HTTP1_DONE ? http1_body(&h).n + 1 : 0;
    http1_done(&h);
    return rc;
}

static int read_pb(struct str in, uint64_t *ret, struct err *e) {
    CLEANUP_ARENA struct arena a;
    ProtobufCMessage *m = NULL;
    arena_init(&a, 8 << 20);
    int rc = pb_unpack(&m, &externalscaler__scaled_object_ref__descriptor, in.p, in.n, &a, e);
    *ret = rc == 0 ? ((Externalscaler__ScaledObjectRef *)m)->n_scalermetadata : 0;
    return rc;
}

// KEY=VALUE lines.
static int read_metadata(struct str in, uint64_t *ret, struct err *e) {
    static const char *const demand[] = {"gateway", NULL};
    static const uint32_t tells[] = {1u << DEMAND_REQUESTS_TOTAL | 1u << DEMAND_WAITING};
    struct object_pair pairs[LIMIT_METADATA_KEYS];
    struct object_ref r = {STR("n"), STR("m"), pairs, 0};
    struct binder b;
    struct trigger *t = NULL;
    while (in.n > 0 && r.n_pairs < COUNT_OF(pairs)) {
        struct str value = str_cut(&in, '\n'), key = str_cut(&value, '=');
        if (memchr(key.p, 0, key.n) || (value.n > 0 && memchr(value.p, 0, value.n)))
            continue;
        pairs[r.n_pairs++] = (struct object_pair){key, value};
    }
    struct object_hash h;
    object_ref_hash(&r, &h);
    struct object_key *k = object_key_new(&r, &h); // as the caller: strings with their ends
    if (k == NULL)
        return err_set(e, ERR_NOMEM, "no memory");
    binder_init(&b, demand, tells);
    int rc = binder_bind(&b, &k->ref, &t, e);
    require((rc == 0) == (t != NULL));
    *ret = r.n_pairs;
    trigger_free(t);
    object_key_free(k);
    return rc;
}

static int read_workloads(struct str in, uint64_t *ret, struct err *e) {
    struct workloads *w = NULL;
    int rc = workloads_load(&w, fuzz_file((const uint8_t *)in.p, in.n), e);
    *ret = rc == 0 ? w->list.n : 0;
    workloads_free(w);
    return rc;
}

static int read_config(struct str in, uint64_t *ret, struct err *e) {
    CLEANUP_ARENA struct arena a;
    struct scaler_config c = {0};
    arena_init(&a, LIMIT_CONFIG_ARENA_BYTES);
    int rc = conf_parse(&scaler_config_spec, in, "c.yaml", &c, &a, e);
    *ret = rc == 0 ? (uint64_t)c.tick_ns : 0;
    return rc;
}

static int read_promql(struct str in, uint64_t *ret, struct err *e) {
    struct buf b;
    buf_init(&b, 1 << 20);
    int rc = promql_enforce(&b, in, STR("namespace"), STR("prod"), e);
    *ret = rc == 0 ? b.len : 0;
    buf_done(&b);
    return rc;
}

static int read_demand(struct str in, uint64_t *ret, struct err *e) {
    char *text = strndup(in.p, in.n);
    struct demand_rule *rule = NULL;
    struct demand_rule_spec spec = {.selector = {[DEMAND_WAITING] = text}};
    int rc = demand_rule_new(&rule, &spec, e);
    *ret = rc == 0 ? rule->provides : 0;
    demand_rule_free(rule);
    free(text);
    return rc;
}

static void on_output(void *shell) {
}
static void handle(struct grpc_call *c, const ProtobufCMessage *m, void *ctx) {
    grpc_call_reply(c, m);
}

// A connection: bytes behind the preface. What it loses it may lose: the count is not compared.
static int read_grpc(struct str in, uint64_t *ret, struct err *e) {
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
    static const struct grpc_method methods[] = {
        {.name = "U", .request = &externalscaler__scaled_object_ref__descriptor, .handle = handle}};
    static const struct grpc_service service = {.name = "s", .methods = methods, .n_methods = 1};
    static const struct grpc_service *const services[] = {&service, NULL};
    struct grpc_host_options o = {.services = services, .output = on_output};
    struct grpc_host *host = NULL;
    struct grpc_conn *c = NULL;
    const uint8_t *p;
    int rc = grpc_host_new(&host, &o, e);
    if (rc == 0)
        rc = grpc_conn_new(&c, host, NULL, NULL, "", e);
    if (rc == 0)
        rc = grpc_conn_recv(c, (const uint8_t *)preface, sizeof(preface) - 1, e);
    while (rc == 0 && grpc_conn_send(c, &p) > 0) {
    }
    if (rc == 0)
        rc = grpc_conn_recv(c, (const uint8_t *)in.p, in.n, e);
    while (c && grpc_conn_send(c, &p) > 0) {
    }
    grpc_conn_free(c);
    if (host)
        require(grpc_host_stats(host).request_bytes == 0 && grpc_host_stats(host).streams == 0);
    grpc_host_free(host);
    *ret = 0;
    return rc;
}

static reader *const readers[] = {read_engine,   read_exporter,  read_http1,  read_pb,
                                  read_metadata, read_workloads, read_config, read_promql,
                                  read_demand,   read_grpc};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    reader *read_it = readers[data[0] % COUNT_OF(readers)];
    struct str in = {(const char *)data + 2, size - 2};
    struct err plain = {0}, starved = {0};
    uint64_t all = 0, some = 0;
    int with = read_it(in, &all, &plain);
    mem_fail_from(data[1] + 1);
    int without = read_it(in, &some, &starved);
    mem_fail_never();
    if (without < 0)
        require_message(&starved);
    if (without == with)
        require(all == some);
    else
        require(without == ERR_NOMEM || without == ERR_LIMIT || read_it == read_grpc);
    return 0;
}
