// SPDX-License-Identifier: Apache-2.0
/* The words of PromQL. Functions have exact case, all other words any. */
#include "core/metrics/promql_lex.h"

// Of Prometheus up to 3.x, without info(): it reads series of its own.
static const char *const functions[] = {"abs",
                                        "absent",
                                        "absent_over_time",
                                        "acos",
                                        "acosh",
                                        "asin",
                                        "asinh",
                                        "atan",
                                        "atanh",
                                        "avg_over_time",
                                        "ceil",
                                        "changes",
                                        "clamp",
                                        "clamp_max",
                                        "clamp_min",
                                        "cos",
                                        "cosh",
                                        "count_over_time",
                                        "day_of_month",
                                        "day_of_week",
                                        "day_of_year",
                                        "days_in_month",
                                        "deg",
                                        "delta",
                                        "deriv",
                                        "double_exponential_smoothing",
                                        "exp",
                                        "first_over_time",
                                        "floor",
                                        "histogram_avg",
                                        "histogram_count",
                                        "histogram_fraction",
                                        "histogram_quantile",
                                        "histogram_stddev",
                                        "histogram_stdvar",
                                        "histogram_sum",
                                        "holt_winters",
                                        "hour",
                                        "idelta",
                                        "increase",
                                        "irate",
                                        "label_join",
                                        "label_replace",
                                        "last_over_time",
                                        "ln",
                                        "log10",
                                        "log2",
                                        "mad_over_time",
                                        "max_over_time",
                                        "min_over_time",
                                        "minute",
                                        "month",
                                        "pi",
                                        "predict_linear",
                                        "present_over_time",
                                        "quantile_over_time",
                                        "rad",
                                        "rate",
                                        "resets",
                                        "round",
                                        "scalar",
                                        "sgn",
                                        "sin",
                                        "sinh",
                                        "sort",
                                        "sort_by_label",
                                        "sort_by_label_desc",
                                        "sort_desc",
                                        "sqrt",
                                        "stddev_over_time",
                                        "stdvar_over_time",
                                        "sum_over_time",
                                        "tan",
                                        "tanh",
                                        "time",
                                        "timestamp",
                                        "ts_of_first_over_time",
                                        "ts_of_last_over_time",
                                        "ts_of_max_over_time",
                                        "ts_of_min_over_time",
                                        "vector",
                                        "year",
                                        NULL};

static const char *const aggregations[] = {
    "avg", "bottomk",  "count",  "count_values", "group", "limit_ratio", "limitk", "max",
    "min", "quantile", "stddev", "stdvar",       "sum",   "topk",        NULL};

static const char *const operators[] = {"and", "atan2", "or", "unless", NULL};

// Words that are no metric's name where an operand may stand.
static const char *const others[] = {"anchored",    "bool",     "by",     "end", "group_left",
                                     "group_right", "ignoring", "offset", "on",  "smoothed",
                                     "start",       "without",  NULL};

static bool among(struct str word, const char *const *words) {
    for (; *words; words++)
        if (str_eq_nocase(word, str_from(*words)))
            return true;
    return false;
}

bool promql_is_function(struct str word) {
    for (const char *const *f = functions; *f; f++)
        if (str_eqc(word, *f))
            return true;
    return false;
}

const char *promql_nearest_function(struct str word) {
    const char *near = str_nearest(word, functions);
    return near ? near : str_nearest(word, aggregations);
}

bool promql_is_aggregation(struct str word) {
    return among(word, aggregations);
}

bool promql_is_operator(struct str word) {
    return among(word, operators);
}

bool promql_is_reserved(struct str word) {
    return among(word, aggregations) || among(word, operators) || among(word, others);
}
