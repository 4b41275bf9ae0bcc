// SPDX-License-Identifier: Apache-2.0
/*
 * Configuration: one table of fields describes a struct, and from it come the strict reading of a
 * YAML or JSON file, the command-line flags, --help and --print-config.
 *
 *     struct tls_conf { const char *cert, *key; };
 *     struct app_conf {
 *         const char *listen;
 *         int64_t tick_ns;
 *         struct tls_conf tls;
 *         CONF_LIST_OF(const char *) targets;
 *     };
 *     static const struct conf_field tls_fields[] = {
 *         {"cert", CONF_STRING(struct tls_conf, cert), .required = true, .help = "Certificate."},
 *         {"key", CONF_STRING(struct tls_conf, key), .required = true, .help = "Its key."},
 *         {0}};
 *     static const struct conf_field app_fields[] = {
 *         {"listen", CONF_STRING(struct app_conf, listen), .def = ":9400", .flag = "listen",
 *          .arg = "HOST:PORT", .help = "Where /metrics is served."},
 *         {"tick", CONF_DURATION(struct app_conf, tick_ns), .def = "1s", .min = "100ms",
 *          .max = "1m", .flag = "tick", .help = "Time between two decisions."},
 *         {"tls", CONF_STRUCT(struct app_conf, tls, tls_fields), .help = "TLS of the listener."},
 *         {"targets", CONF_LIST_STRING(struct app_conf, targets), .help = "Agents."},
 *         {0}};
 *     static const struct conf_spec app = {.program = "app", .about = "Does a thing.",
 *                                          .fields = app_fields, .size = sizeof(struct app_conf)};
 *
 * The macros check the member's type at compile time. Strict: unknown and repeated keys, other
 * types, values out of range, tags, aliases, merge keys and second documents are errors that read
 *     app.yaml:3:7: key 'tls.certt': unknown; did you mean 'cert'?
 *     app.yaml:5:7: key 'tick': found '5x', expected a duration such as 300ms, 1.5s or 1h30m
 *     flag --tick: found '5x', expected ...
 * Everything bound lives in the caller's arena. Codes: ERR_IO (the file cannot be read),
 * ERR_PARSE (not YAML, not JSON, not UTF-8, empty), ERR_INVALID (everything about keys, values and
 * flags), ERR_LIMIT (LIMIT_CONFIG_*, the arena's maximum), ERR_NOMEM. On error what `ret` points to
 * is left as it was; on success members that no table names are zero.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum conf_kind {
    CONF_KIND_STRING,   // const char *, NUL-terminated, NULL when absent and without default
    CONF_KIND_BOOL,     // bool; true or false, as YAML 1.2 has it
    CONF_KIND_INT,      // int64_t
    CONF_KIND_NUMBER,   // double, finite
    CONF_KIND_DURATION, // int64_t, nanoseconds; 300ms, 1h30m, a bare number is seconds
    CONF_KIND_BYTES,    // uint64_t; 64KiB, 1500
    CONF_KIND_ENUM,     // an enum (or int): index into `names`
    CONF_KIND_STRUCT,   // an embedded struct with its own table
};

enum conf_many {
    CONF_ONE,
    CONF_LIST, // {T *items; size_t n;}; items is NULL only when the key is not there ([] is not
               // NULL)
    // {E *items; size_t n;} in the file's order; E begins with `const char *name`, the key. For a
    // struct the other members are the table's; for a scalar it follows the name (CONF_MAP_OF).
    CONF_MAP,
};

struct conf_place { // in the file; line 0: none, it is not written there
    unsigned line, column;
};

struct conf_field {
    const char *key; // camelCase; NULL ends the table
    enum conf_kind kind;
    enum conf_many many;
    size_t offset;
    size_t item_size;               // lists and maps: of an element
    const struct conf_field *table; // of a struct
    size_t place; // of a struct: where its struct conf_place is (CONF_PLACE); 0: it has none
    const char *const *names; // of an enum, NULL at the end
    const char *help;         // a sentence or more
    // As the file would write them: "1s", "64KiB", "true". Without `def`: NULL, 0, false. `min`
    // and `max` hold for integers, numbers, durations and bytes; for strings and lists and maps
    // they count bytes and items.
    const char *def, *min, *max;
    const char *flag; // "tick" for --tick; needs an outermost or a nested single struct
    const char *arg;  // what --help calls the value: "HOST:PORT"
    bool required;    // in a nested struct: where that struct is written at all
    bool numbers_too; // string: an unquoted number is taken as its text (`gpu: 0`)
    bool secret;      // no message shows its value
    // Further check of a string; its message ends "key 'x': found 'y', ...". Sets e, returns its
    // code.
    int (*check)(const char *value, struct err *e);
};

struct conf_spec {
    const char *program; // "gpuscale-agent", "gpuscale scaler"
    const char *about;   // sentences for --help; lines that begin with a blank stand as they are
    bool flags_only;     // no --config and no --print-config
    const char *rest;    // what --help calls the arguments that are no flags; NULL: none allowed
    const struct conf_field *fields;
    size_t size; // of the struct
    // What no single field can say ("tls.key is missing beside tls.cert"); the message is
    // prefixed with the file's name, where there is one. May be NULL.
    int (*check)(const void *bound, struct err *e);
};

#define CONF_LIST_OF(type)                                                                         \
    struct {                                                                                       \
        type *items;                                                                               \
        size_t n;                                                                                  \
    }
#define CONF_MAP_OF(type)                                                                          \
    struct {                                                                                       \
        struct {                                                                                   \
            const char *name;                                                                      \
            type value;                                                                            \
        } * items;                                                                                 \
        size_t n;                                                                                  \
    }

// 0; does not compile unless the member is of this type.
#define CONF_SAME_(s, m, type)                                                                     \
    (0 * sizeof(char[__builtin_types_compatible_p(typeof(((s *)0)->m), type) ? 1 : -1]))
#define CONF_ONE_(k, s, m, type) .kind = (k), .offset = offsetof(s, m) + CONF_SAME_(s, m, type)
#define CONF_ITEMS_(k, s, m, type)                                                                 \
    .kind = (k), .many = CONF_LIST, .item_size = sizeof(type),                                     \
    .offset = offsetof(s, m) + CONF_SAME_(s, m.items[0], type)
#define CONF_PAIRS_(k, s, m, type)                                                                 \
    .kind = (k), .many = CONF_MAP, .item_size = sizeof(((s *)0)->m.items[0]),                      \
    .offset = offsetof(s, m) + CONF_SAME_(s, m.items[0].value, type)

#define CONF_STRING(s, m) CONF_ONE_(CONF_KIND_STRING, s, m, const char *)
#define CONF_BOOL(s, m) CONF_ONE_(CONF_KIND_BOOL, s, m, bool)
#define CONF_INT(s, m) CONF_ONE_(CONF_KIND_INT, s, m, int64_t)
#define CONF_NUMBER(s, m) CONF_ONE_(CONF_KIND_NUMBER, s, m, double)
#define CONF_DURATION(s, m) CONF_ONE_(CONF_KIND_DURATION, s, m, int64_t)
#define CONF_BYTES(s, m) CONF_ONE_(CONF_KIND_BYTES, s, m, uint64_t)
#define CONF_ENUM(s, m, names_)                                                                    \
    .kind = CONF_KIND_ENUM, .names = (names_),                                                     \
    .offset = offsetof(s, m) + 0 * sizeof(char[sizeof(((s *)0)->m) == sizeof(int) ? 1 : -1])
#define CONF_STRUCT(s, m, table_)                                                                  \
    .kind = CONF_KIND_STRUCT, .table = (table_), .offset = offsetof(s, m)

#define CONF_LIST_STRING(s, m) CONF_ITEMS_(CONF_KIND_STRING, s, m, const char *)
#define CONF_LIST_NUMBER(s, m) CONF_ITEMS_(CONF_KIND_NUMBER, s, m, double)
#define CONF_LIST_INT(s, m) CONF_ITEMS_(CONF_KIND_INT, s, m, int64_t)
#define CONF_LIST_DURATION(s, m) CONF_ITEMS_(CONF_KIND_DURATION, s, m, int64_t)
#define CONF_LIST_STRUCT(s, m, table_)                                                             \
    .kind = CONF_KIND_STRUCT, .many = CONF_LIST, .table = (table_), .offset = offsetof(s, m),      \
    .item_size = sizeof(((s *)0)->m.items[0])
#define CONF_MAP_STRING(s, m) CONF_PAIRS_(CONF_KIND_STRING, s, m, const char *)
#define CONF_MAP_NUMBER(s, m) CONF_PAIRS_(CONF_KIND_NUMBER, s, m, double)
// The member is CONF_LIST_OF(struct x), where x begins with `const char *name`.
#define CONF_MAP_STRUCT(s, m, table_)                                                              \
    .kind = CONF_KIND_STRUCT, .many = CONF_MAP, .table = (table_),                                 \
    .item_size = sizeof(((s *)0)->m.items[0]),                                                     \
    .offset = offsetof(s, m) + CONF_SAME_(s, m.items[0].name, const char *) +                      \
              0 * sizeof(char[offsetof(typeof(((s *)0)->m.items[0]), name) == 0 ? 1 : -1])

// Of .place: the item that a list or a map holds remembers where it is written, for the messages of
// spec->check.
#define CONF_PLACE(s, m) (offsetof(s, m) + CONF_SAME_(s, m, struct conf_place))

// Binds text (YAML; JSON where `name` ends with .json) over the defaults into *ret. `name` stands
// in messages. Flags and .flag are not looked at.
int conf_parse(const struct conf_spec *spec, struct str text, const char *name, void *ret,
               struct arena *a, struct err *e);

// The same for a file.
int conf_read(const struct conf_spec *spec, const char *path, void *ret, struct arena *a,
              struct err *e);

struct conf_outcome {
    const char *path; // what --config named (inside argv), NULL when not given
    int rest;         // index in argv of the first argument that is no flag; argc when none
    const char *text; // --help, --version, --print-config: print it and exit with 0; else NULL
};

// A program's start (a required field may come from either; --print-config without --config shows
// the defaults and checks neither what is required nor what spec->check says): defaults, then the
// file of --config FILE, then the flags. argv[0] is skipped. Flags of list fields may be repeated;
// the first replaces what the file says. A bool's flag takes no value or =true, =false. May be
// called again to re-read the file. Main thread (getopt_long).
int conf_load(const struct conf_spec *spec, int argc, char **argv, void *ret, struct arena *a,
              struct conf_outcome *ret_outcome, struct err *e);

// Has the file at `path` been changed, swapped (a ConfigMap's symlink), made or removed since the
// last call with this stamp? A zeroed stamp: true when it exists. Cheap: one stat. Take the stamp
// before reading, so that a change while reading is seen by the next call.
struct conf_stamp {
    uint64_t device, inode;
    int64_t size, mtime_ns, ctime_ns;
    bool exists;
};
bool conf_file_changed(const char *path, struct conf_stamp *stamp);
// Before a running program reads `path` again: ERR_INVALID for a pipe, a socket or a device, whose
// reader may wait for ever. At the start such a file is fine (--config <(generate)).
int conf_file_check_again(const char *path, struct err *e);
