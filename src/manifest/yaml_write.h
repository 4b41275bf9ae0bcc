// SPDX-License-Identifier: Apache-2.0
/*
 * Writes YAML for people and for kubectl: block style, two blanks a level, comments in front of
 * what they explain. Every text is quoted where any YAML reader (1.1's booleans and base-60 numbers
 * included) could take it for something else.
 *
 *     yaml_comment(w, "Waits for nobody.");        # Waits for nobody.
 *     yaml_map(w, "spec");                         spec:
 *     yaml_int(w, "minReplicaCount", 1);             minReplicaCount: 1
 *     yaml_list(w, "triggers");                      triggers:
 *     yaml_item(w);                                  - type: cpu
 *     yaml_text(w, "type", "cpu");
 *     yaml_item_end(w);
 *     yaml_map_end(w);
 *
 * Failures (limit, memory; a NULL text, of which the caller had no memory for, is one) stick in the
 * buffer: look at out->err once, at the end. The caller sees to it that maps and lists get at least
 * one member.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "conf/tree.h"

struct yaml_writer {
    struct buf *out; // borrowed
    unsigned indent; // blanks in front of the next line
    bool dash;       // the next line begins an entry of a list
};

// A text as YAML has it: plain where that is safe, else in double quotes. UTF-8; bytes that are
// none become U+FFFD.
void yaml_scalar(struct buf *out, struct str text);
void yaml_scalar_quoted(struct buf *out, struct str text);

void yaml_document(struct yaml_writer *w); // "---", but not in front of the first one
// Whole lines, broken between words at 100 columns; a newline in the text begins a line.
void yaml_comment(struct yaml_writer *w, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

void yaml_map(struct yaml_writer *w, const char *key);
void yaml_map_end(struct yaml_writer *w);
void yaml_list(struct yaml_writer *w, const char *key); // its entries follow; nothing ends it
void yaml_item(struct yaml_writer *w);                  // an entry that is a map
void yaml_item_end(struct yaml_writer *w);
void yaml_entry(struct yaml_writer *w, const char *text); // an entry that is a text

void yaml_text(struct yaml_writer *w, const char *key, const char *text);
// Always in quotes: where a string must look like one (`threshold: "1"`).
void yaml_quoted(struct yaml_writer *w, const char *key, const char *text);
// Lines of a text as they are (`|-`), where YAML can say it so; else as yaml_text.
void yaml_block(struct yaml_writer *w, const char *key, const char *text);
void yaml_int(struct yaml_writer *w, const char *key, int64_t value);
void yaml_bool(struct yaml_writer *w, const char *key, bool value);
// A value that was read, under its own key or another; means the same.
void yaml_tree(struct yaml_writer *w, const char *key, const struct conf_node *value);
