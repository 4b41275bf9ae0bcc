// SPDX-License-Identifier: Apache-2.0
/* gpuscale-agent: reads its arguments, runs the agent, prints what went wrong. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/agent.h"

int main(int argc, char **argv) {
    struct agent_config_file *config;
    struct err e = {0};
    // A node daemon: one heap for both threads, and what is freed goes back to the system.
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_TRIM_THRESHOLD, 64 << 10);
    // One thread is enough for the lookups of one name.
    setenv("UV_THREADPOOL_SIZE", "1", 0);
    if (agent_config_load(&config, argc, argv, &e)) {
        fprintf(stderr, "gpuscale-agent: %s\n", e.msg);
        return 2;
    }
    if (config->text) {
        fputs(config->text, stdout);
        agent_config_free(config);
        return fflush(stdout) ? 1 : 0;
    }
    log_setup(2, config->config.log.format, config->config.log.level, "gpuscale-agent");
    bool thread_held;
    int status = agent_run(config, argc, argv, &thread_held, &e);
    if (e.code)
        fprintf(stderr, "gpuscale-agent: %s\n", e.msg);
    if (thread_held)
        _exit(status);
    return status;
}
