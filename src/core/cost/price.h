// SPDX-License-Identifier: Apache-2.0
/*
 * What a GPU costs an hour, by its model's name, as a person says it. There are no prices of our
 * own: published list prices of one GPU differ by a factor of two and change, and what somebody
 * pays is in his contract.
 *
 * A price names a part of the model's name ("H100", "H100 PCIe", "a100-sxm4-80gb"): letter case
 * does not count, and neither does what stands between words (blank, '-', '_'). Of several that fit
 * the longest counts, of equally long ones the last. A MIG instance costs its compute slices of
 * seven: a 3g.40gb is 3/7 of its GPU.
 */
#pragma once

#include "base/err.h"
#include "base/limits.h"
#include "base/str.h"

struct price {
    char model[64]; // a part of the name
    double usd_per_hour;
};

struct price_list {
    struct price items[LIMIT_PRICES];
    size_t n;
};

// Adds "MODEL=USD". ERR_INVALID, ERR_LIMIT with what is wrong.
int price_add(struct price_list *l, const char *text, struct err *e);
// Of a GPU or, where `mig_profile` is not "", of an instance of it. NAN: no price fits.
double price_usd_per_hour(const struct price_list *l, const char *model, const char *mig_profile);
