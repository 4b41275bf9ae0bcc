// SPDX-License-Identifier: Apache-2.0
/* Prices by parts of models' names; see the header. */
#include "core/cost/price.h"

#include <ctype.h>
#include <math.h>

enum { SLICES = 7, USD_MAX = 100000 };

int price_add(struct price_list *l, const char *text, struct err *e) {
    const char *mark = strrchr(text, '=');
    struct price p = {0};
    if (mark == NULL)
        return err_set(e, ERR_INVALID, "\"%s\": expected MODEL=USD, like H100=6.88", text);
    struct str model = str_trim((struct str){text, (size_t)(mark - text)});
    if (model.n == 0 || str_copy(p.model, sizeof(p.model), model) < 0)
        return err_set(e, ERR_INVALID, "\"%s\": the model is a part of its name, 1 to %zu bytes",
                       text, sizeof(p.model) - 1);
    if (str_to_double(str_trim(str_from(mark + 1)), &p.usd_per_hour) < 0 ||
        !(p.usd_per_hour >= 0 && p.usd_per_hour <= USD_MAX))
        return err_set(e, ERR_INVALID,
                       "\"%s\": the price is a number of US dollars an hour, 0 to %d", text,
                       USD_MAX);
    if (l->n == LIMIT_PRICES)
        return err_set(e, ERR_LIMIT, "more than %d prices", LIMIT_PRICES);
    l->items[l->n++] = p;
    return 0;
}

static const char *skip_gap(const char *p) {
    while (*p == ' ' || *p == '-' || *p == '_')
        p++;
    return p;
}

static bool begins_with(const char *text, const char *part) {
    for (part = skip_gap(part), text = skip_gap(text); *part != '\0';
         part = skip_gap(part + 1), text = skip_gap(text + 1))
        if (tolower((unsigned char)*part) != tolower((unsigned char)*text))
            return false;
    return true;
}

static bool contains(const char *text, const char *part) {
    for (; *text != '\0'; text++)
        if (begins_with(text, part))
            return true;
    return false;
}

// Of "3g.40gb", "1g.10gb+me", "1c.3g.40gb": the g's number of seven; NAN: not a profile.
static double share(const char *profile) {
    if (profile[0] == '\0')
        return 1;
    const char *g = strchr(profile, 'g');
    if (g == NULL || g == profile || g[-1] < '1' || g[-1] > '0' + SLICES || g[1] != '.')
        return NAN;
    return (g[-1] - '0') / (double)SLICES;
}

double price_usd_per_hour(const struct price_list *l, const char *model, const char *mig_profile) {
    const struct price *best = NULL;
    for (size_t i = 0; i < l->n; i++) {
        const struct price *p = &l->items[i];
        if ((best == NULL || strlen(p->model) >= strlen(best->model)) && contains(model, p->model))
            best = p;
    }
    return best != NULL ? best->usd_per_hour * share(mig_profile) : NAN;
}
