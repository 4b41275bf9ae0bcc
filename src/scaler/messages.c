// SPDX-License-Identifier: Apache-2.0
/* Destructors of the messages between the threads: the receiver frees. */
#include "scaler/messages.h"

#include "base/mem.h"

struct to_io *to_io_free(struct to_io *m) {
    if (m != NULL) {
        object_key_free(m->key);
        mem_free(m->stats);
        mem_free(m->ids);
        mem_free(m);
    }
    return NULL;
}

struct to_rpc *to_rpc_free(struct to_rpc *m) {
    if (m != NULL) {
        for (size_t i = 0; i < m->n_items; i++)
            mem_free(m->items[i].message);
        for (size_t i = 0; i < m->n_told; i++)
            mem_free(m->told[i].packed);
        mem_free(m->told);
        mem_free(m->role);
        mem_free(m);
    }
    return NULL;
}
