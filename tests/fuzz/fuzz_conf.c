// SPDX-License-Identifier: Apache-2.0
/*
 * The strict reader on any bytes, as YAML and as JSON: it binds or it refuses with a message of one
 * printable line, and what it binds prints as text that binds to what prints the same.
 */
#include "conf/internal.h"
#include "fuzz.h"

FUZZ_LIBFYAML_LEAKS

struct inner {
    const char *name, *text;
    int64_t wait_ns;
};
struct outer {
    const char *text;
    int64_t count, wait_ns;
    double ratio;
    uint64_t bytes;
    bool on;
    int level;
    struct inner one;
    CONF_LIST_OF(const char *) list;
    CONF_LIST_OF(double) numbers;
    CONF_LIST_OF(struct inner) map;
    CONF_MAP_OF(const char *) labels;
};

static const char *const levels[] = {"low", "high", NULL};
static const struct conf_field inner_fields[] = {
    {"text", CONF_STRING(struct inner, text), .required = true, .numbers_too = true},
    {"wait", CONF_DURATION(struct inner, wait_ns), .def = "1s"},
    {0},
};
static const struct conf_field outer_fields[] = {
    {"text", CONF_STRING(struct outer, text), .help = "A text."},
    {"count", CONF_INT(struct outer, count), .max = "100"},
    {"wait", CONF_DURATION(struct outer, wait_ns), .def = "5m"},
    {"ratio", CONF_NUMBER(struct outer, ratio), .def = "0.5"},
    {"bytes", CONF_BYTES(struct outer, bytes)},
    {"on", CONF_BOOL(struct outer, on)},
    {"level", CONF_ENUM(struct outer, level, levels)},
    {"one", CONF_STRUCT(struct outer, one, inner_fields), .help = "Nested."},
    {"list", CONF_LIST_STRING(struct outer, list)},
    {"numbers", CONF_LIST_NUMBER(struct outer, numbers)},
    {"map", CONF_MAP_STRUCT(struct outer, map, inner_fields)},
    {"labels", CONF_MAP_STRING(struct outer, labels)},
    {0},
};
static const struct conf_spec spec = {
    .program = "fuzz", .fields = outer_fields, .size = sizeof(struct outer)};

static void run(struct str text, const char *name) {
    CLEANUP_ARENA struct arena a;
    arena_init(&a, 64 << 20);
    struct outer first, second;
    struct err e = {0};
    if (conf_parse(&spec, text, name, &first, &a, &e) < 0) {
        require_message(&e);
        return;
    }
    const char *printed = conf_print(&spec, &first, &a);
    require(printed != NULL);
    require(conf_parse(&spec, str_from(printed), "printed.yaml", &second, &a, &e) == 0);
    const char *again = conf_print(&spec, &second, &a);
    require(again && strcmp(printed, again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct str text = {(const char *)data, size};
    run(text, "f.yaml");
    run(text, "f.json");
    return 0;
}
