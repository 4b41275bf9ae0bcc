// SPDX-License-Identifier: Apache-2.0
/* Objects out of a plan: which there are, by style, each written into a YAML text. */
#pragma once

#include "manifest/yaml_write.h"
#include "tools/generate_plan.h"

// One text: an object, or (file ends with .txt) what goes elsewhere.
struct generate_part {
    const char *file; // "llm-scaledobject.yaml"
    bool manifest;    // kubectl takes it
    void (*write)(const struct generate_plan *p, struct yaml_writer *w);
};

enum { GENERATE_PARTS = 6 };
// The parts of a plan; names in its arena.
size_t generate_parts(struct generate_plan *p, struct generate_part parts[GENERATE_PARTS]);

// ---- Inside -------------------------------------------------------------------------------------

// A comment of its own: with a capital and a full stop. NULL: none.
void write_sentence(const struct generate_plan *p, struct yaml_writer *w, const char *text);
void write_head(const struct generate_plan *p, struct yaml_writer *w);
void write_metadata(const struct generate_plan *p, struct yaml_writer *w, const char *name,
                    bool of_from); // labels and annotations of `from`, too
void write_bounds(const struct generate_plan *p, struct yaml_writer *w);
// behavior of an HPA, for a count that somebody else has damped already; under `key`.
void write_behavior(const struct generate_plan *p, struct yaml_writer *w);
void write_hpa_name(const struct generate_plan *p, struct yaml_writer *w); // where one is needed
void write_fallback(const struct generate_plan *p, struct yaml_writer *w);
// Fields of the old spec that no choice here is about; and its triggers that stay.
void write_kept_fields(const struct generate_plan *p, struct yaml_writer *w);
void write_kept_triggers(const struct generate_plan *p, struct yaml_writer *w);
void write_target(const struct generate_plan *p, struct yaml_writer *w);
// A ScaledObject up to where the styles part: into its spec.
void write_object_start(const struct generate_plan *p, struct yaml_writer *w);
void write_settings(const struct generate_plan *p, struct yaml_writer *w);

void write_scaled_object(const struct generate_plan *p, struct yaml_writer *w); // style gpuscale
void write_network_policy(const struct generate_plan *p, struct yaml_writer *w);
void write_classic_object(const struct generate_plan *p, struct yaml_writer *w); // prometheus
void write_classic_hpa(const struct generate_plan *p, struct yaml_writer *w);    // with --adapter
void write_classic_rules(const struct generate_plan *p, struct yaml_writer *w);
void write_managed_object(const struct generate_plan *p, struct yaml_writer *w);
void write_hpa(const struct generate_plan *p, struct yaml_writer *w);
void write_scaler_rule(const struct generate_plan *p, struct yaml_writer *w);
// May the classic style be made of this plan? Sets its failure.
void classic_check(struct generate_plan *p);
