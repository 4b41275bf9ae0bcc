// SPDX-License-Identifier: Apache-2.0
/* The scaler's own signals for the page; see the header. */
#include "playground/rule.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "conf/tree.h"
#include "net/loop.h"
#include "playground/fetch_page.h"

enum { ANSWER_MAX = 1 << 20, TREE_MAX = 8 << 20, ADDR_LEN = 128, ASK_S = 1, TIMEOUT_MS = 900 };

static const struct conf_node *member(const struct conf_node *map, const char *key) {
    if (map == NULL || map->kind != CONF_NODE_MAP)
        return NULL;
    for (const struct conf_node *n = map->first; n != NULL; n = n->next)
        if (str_eqc(n->key, key))
            return n;
    return NULL;
}

static double number_of(const struct conf_node *map, const char *key) {
    const struct conf_node *n = member(map, key);
    double v;
    if (n == NULL || n->kind != CONF_NODE_SCALAR || n->quoted || str_to_double(n->text, &v) < 0)
        return NAN; // null among them
    return v;
}

static struct str text_of(const struct conf_node *map, const char *key) {
    const struct conf_node *n = member(map, key);
    return n != NULL && n->kind == CONF_NODE_SCALAR && n->quoted ? n->text : STR("");
}

static enum frame_signal_state state_of(const struct conf_node *signal, bool known) {
    if (str_eqc(text_of(signal, "role"), "capacity"))
        return known ? FRAME_SIGNAL_SIZES : FRAME_SIGNAL_UNKNOWN;
    struct str breached = text_of(signal, "breached");
    return str_eqc(breached, "true")    ? FRAME_SIGNAL_BREACHED
           : str_eqc(breached, "false") ? FRAME_SIGNAL_QUIET
                                        : FRAME_SIGNAL_UNKNOWN;
}

static int add_signal(struct rule_said *said, const struct conf_node *signal, struct err *e) {
    if (said->n == SIGNAL_MAX)
        return err_set(e, ERR_LIMIT, "more than %d signals", SIGNAL_MAX);
    char *name = said->names[said->n];
    if (str_copy(name, RULE_NAME_LEN, text_of(signal, "signal")) < 0 || name[0] == '\0')
        return err_set(e, ERR_PARSE, "a signal without a name");
    double lower = number_of(signal, "lower"), upper = number_of(signal, "upper");
    double target = number_of(signal, "target");
    bool known = number_of(signal, "known") > 0 || lower > 0;
    int s = signal_by_name(str_from(name));
    said->signals[said->n++] = (struct frame_signal){
        .name = name,
        .unit = s >= 0 ? signals[s].unit : "",
        .value = known ? lower : NAN,
        .upper = known && upper > lower ? upper : NAN,
        .target = target > 0 ? target : NAN,
        .age_s = number_of(signal, "ageSeconds"),
        .state = state_of(signal, known),
    };
    return 0;
}

static unsigned add_names(struct buf *b, const struct conf_node *list, const char *role) {
    unsigned n = 0;
    for (const struct conf_node *s = list->first; s != NULL; s = s->next) {
        struct str name = text_of(s, "signal");
        if (str_eqc(text_of(s, "role"), role))
            (void)buf_addf(b, "%s" STR_FMT, n++ > 0 ? " and " : "", STR_ARG(name));
    }
    return n;
}

static int say(struct rule_said *said, const struct conf_node *list, struct err *e) {
    CLEANUP_BUF struct buf b;
    buf_init(&b, RULE_TEXT_LEN - 1);
    unsigned n = add_names(&b, list, "capacity");
    if (n > 0)
        (void)buf_addc(&b, n > 1 ? " size" : " sizes");
    if (b.len > 0)
        (void)buf_addc(&b, "; ");
    size_t before = b.len;
    n = add_names(&b, list, "guard");
    if (n > 0)
        (void)buf_addc(&b, n > 1 ? " raise" : " raises");
    else
        buf_truncate(&b, before >= 2 ? before - 2 : 0);
    if (b.err < 0)
        return err_set(e, b.err, "the rule has too many words");
    return str_copy(said->text, sizeof(said->text), buf_str(&b));
}

int rule_read(struct rule_said *ret, struct str json, struct err *e) {
    CLEANUP_ARENA struct arena arena;
    arena_init(&arena, TREE_MAX);
    const struct conf_text text = {.text = json,
                                   .name = "/api/v1/decisions",
                                   .line = 1,
                                   .column = 1,
                                   .json = true,
                                   .max_bytes = ANSWER_MAX,
                                   .max_key_bytes = LIMIT_CONFIG_KEY_BYTES,
                                   .bytes_limit = "ANSWER_MAX",
                                   .tree_limit = "TREE_MAX"};
    struct conf_node *root;
    int rc = conf_tree_read(&text, &arena, &root, e);
    if (rc < 0)
        return rc;
    const struct conf_node *items = member(root, "items");
    if (items == NULL || items->kind != CONF_NODE_LIST)
        return err_set(e, ERR_PARSE, "no items in the answer");
    const struct conf_node *list = member(member(items->first, "now"), "signals");
    if (list == NULL || list->kind != CONF_NODE_LIST)
        return err_set(e, ERR_NOTFOUND, "no decision yet");
    CLEANUP_FREE struct rule_said *said = mem_zalloc(sizeof(*said));
    if (said == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (const struct conf_node *s = list->first; rc == 0 && s != NULL; s = s->next)
        rc = add_signal(said, s, e);
    if (rc == 0)
        rc = say(said, list, e);
    if (rc < 0)
        return rc;
    *ret = *said;
    for (size_t i = 0; i < ret->n; i++)
        ret->signals[i].name = ret->names[i];
    return 0;
}

struct rule {
    uv_loop_t *loop;
    struct net_timer *timer;
    struct fetch_page *fetch; // NULL: none under way
    char addr[ADDR_LEN];
    int64_t heard_ns; // INT64_MIN: never
    struct rule_said said;
};

static void on_answer(void *ctx, const struct fetch_page_answer *a) {
    struct rule *r = ctx;
    r->fetch = NULL;
    // A scaler that is gone, or has decided nothing yet, leaves what was said: it grows old.
    if (a->error == NULL && a->status == 200 && rule_read(&r->said, a->body, NULL) == 0)
        r->heard_ns = clock_mono_ns();
}

static void ask(void *ctx) {
    struct rule *r = ctx;
    if (r->fetch != NULL)
        return;
    const struct fetch_page_options o = {.addr = r->addr,
                                         .path = "/api/v1/decisions?limit=1",
                                         .accept = "application/json",
                                         .timeout_ms = TIMEOUT_MS,
                                         .max_bytes = ANSWER_MAX,
                                         .done = on_answer,
                                         .ctx = r};
    (void)fetch_page_start(&r->fetch, r->loop, &o, NULL); // refused at once: the next second asks
}

int rule_start(struct rule **ret, uv_loop_t *loop, const char *addr, struct err *e) {
    CLEANUP_FREE struct rule *r = mem_zalloc(sizeof(*r));
    if (r == NULL)
        return err_set(e, ERR_NOMEM, "no memory for what the scaler says of its rule");
    r->loop = loop;
    r->heard_ns = INT64_MIN;
    int rc = str_copy(r->addr, sizeof(r->addr), str_from(addr));
    if (rc < 0)
        return err_set(e, rc, "%.40s...: too long for an address", addr);
    rc = net_timer_start(&r->timer, loop, 0, ASK_S * NS_PER_S, ask, r, e);
    if (rc == 0)
        *ret = TAKE_PTR(r);
    return rc;
}

struct rule *rule_stop(struct rule *r) {
    if (r == NULL)
        return NULL;
    net_timer_stop(&r->timer);
    r->fetch = fetch_page_cancel(r->fetch);
    mem_free(r);
    return NULL;
}

bool rule_fill(const struct rule *r, int64_t now_ns, struct frame *frame,
               struct frame_signal room[SIGNAL_MAX]) {
    if (r->heard_ns == INT64_MIN)
        return false;
    double since_s = (double)(now_ns - r->heard_ns) / NS_PER_S;
    for (size_t i = 0; i < r->said.n; i++) {
        room[i] = r->said.signals[i];
        room[i].age_s += since_s;
        if (since_s > RULE_STALE_S) {
            room[i].value = room[i].upper = NAN;
            room[i].state = FRAME_SIGNAL_UNKNOWN;
        }
    }
    frame->rule.text = r->said.text;
    frame->rule.signals = room;
    frame->rule.signal_n = r->said.n;
    return true;
}
