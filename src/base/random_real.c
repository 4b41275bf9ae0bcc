// SPDX-License-Identifier: Apache-2.0
/*
 * The draws that need logarithms (the normal by Marsaglia's polar method), in a file of their own:
 * a program that calls none of them, as the agent, does not load libm, which is half a megabyte
 * resident.
 */
#include <math.h>

#include "base/random.h"

double random_normal(struct random *r) {
    double u, v, q;
    do {
        u = 2 * random_unit(r) - 1;
        v = 2 * random_unit(r) - 1;
        q = u * u + v * v;
    } while (q >= 1 || q == 0);
    return u * sqrt(-2 * log(q) / q);
}

double random_exponential(struct random *r, double mean) {
    return -mean * log1p(-random_unit(r));
}
