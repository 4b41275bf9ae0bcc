// SPDX-License-Identifier: Apache-2.0
/*
 * Tells a simulated agent, five times a second, what the replica's GPUs did since the last time
 * (gpu/sim_load.h has the datagram). Nobody there to listen is no trouble: an agent may start later
 * or again.
 */
#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/engine_internal.h"

static const int64_t every_ns = 200 * NS_PER_MS;
enum { TTL_MS = 3000, GONE_TTL_MS = 200, DATAGRAM_MAX = 4096 };

static void send_load(struct engine *m, const struct station_activity *a, double memory_bytes,
                      int ttl_ms) {
    CLEANUP_BUF struct buf text;
    buf_init(&text, DATAGRAM_MAX);
    for (uint32_t i = 0; i < m->plan.n_gpus; i++)
        (void)buf_addf(&text,
                       "gpu=%u busy=%.4f sm=%.4f tensor=%.4f dram=%.4f memory_used_bytes=%.0f "
                       "ttl_ms=%d\n",
                       m->plan.gpus[i], a->busy_ratio, a->sm_ratio, a->tensor_ratio, a->dram_ratio,
                       memory_bytes, ttl_ms);
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    (void)str_copy(to.sun_path, sizeof(to.sun_path), str_from(m->load_socket));
    if (text.err ||
        sendto(m->load_fd, text.p, text.len, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof(to)) < 0)
        log_debug("the agent was not told what the GPUs do",
                  LOG_STR("error", strerror(text.err ? ENOMEM : errno)));
}

static double memory_bytes(const struct engine *m, int64_t now_ns) {
    double whole = m->plan.profile.memory_used_bytes;
    if (m->state != ENGINE_LOADING)
        return whole;
    return whole * (double)(now_ns - m->started_ns) / (double)(m->plan.load_ns + 1);
}

static void tell(void *ctx) {
    struct engine *m = ctx;
    struct station_activity a;
    struct station_reading now;
    engine_pump(m);
    station_read(m->station, &now);
    station_activity(&m->plan.profile, &m->told, &now, &a);
    m->told = now;
    send_load(m, &a, memory_bytes(m, clock_mono_ns()), TTL_MS);
}

int engine_gpu_load_start(struct engine *m, struct err *e) {
    if (!m->load_socket)
        return 0;
    if (strlen(m->load_socket) >= sizeof(((struct sockaddr_un *)0)->sun_path))
        return err_set(e, ERR_INVALID, "flag --load-socket: the path is too long for a socket: %s",
                       m->load_socket);
    m->load_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (m->load_fd < 0)
        return err_errno(e, errno, "cannot make a socket for --load-socket");
    station_read(m->station, &m->told);
    return net_timer_start(&m->gpus, &m->loop, 0, every_ns, tell, m, e);
}

void engine_gpu_load_stop(struct engine *m) {
    net_timer_stop(&m->gpus);
    if (m->load_fd < 0)
        return;
    send_load(m, &(struct station_activity){0}, 0, GONE_TTL_MS);
    close(m->load_fd);
    m->load_fd = -1;
}
