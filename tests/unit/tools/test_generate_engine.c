// SPDX-License-Identifier: Apache-2.0
/* tools/generate_engine: images, commands and ports of engines as their documentation has them. */
#include "tools/generate_engine.h"

#include "base/mem.h"
#include "unit.h"

#define GPU ", resources: {limits: {nvidia.com/gpu: 1}}"

struct guessed {
    struct manifest_objects o;
    struct manifest_scalable w;
    struct engine_guess g;
    struct err e;
    int r;
};

static void guess(struct guessed *t, const char *containers, const char *name) {
    *t = (struct guessed){0};
    manifest_objects_init(&t->o);
    const char *text = arena_printf(&t->o.arena,
                                    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n"
                                    "spec: {template: {spec: {containers: [%s]}}}\n",
                                    containers);
    if (manifest_objects_read(&t->o, str_from(text), "f", 0, &t->e) < 0)
        fail_msg("%s", t->e.msg);
    struct manifest_reader r = {.file = "f", .a = &t->o.arena, .e = &t->e};
    manifest_scalable_read(&r, &t->o.objects.items[0], &t->w);
    if (r.r < 0)
        fail_msg("%s", t->e.msg);
    t->r = engine_guess_make(&t->w, name, &t->o.arena, &t->g, &t->e);
}

static void engines_are_recognised_with_their_page(void **state) {
    static const struct {
        const char *containers, *engine;
        unsigned port;
    } cases[] = {
        {"{name: a, image: vllm/vllm-openai:v0.11.0" GPU "}", "vllm", 8000},
        {"{name: a, image: r.io/team/server, command: [vllm, serve, m], args: [--port=8001]" GPU
         "}",
         "vllm", 8001},
        {"{name: a, image: x, command: [python3, -m, vllm.entrypoints.openai.api_server]" GPU "}",
         "vllm", 8000},
        {"{name: a, image: x, command: [sh, -c], args: ['exec /opt/bin/vllm serve m --port 9']" GPU
         "}",
         "vllm", 9},
        {"{name: a, image: 'lmsysorg/sglang:latest', args: [python3, -m, sglang.launch_server,"
         " --enable-metrics, --port, '30001']" GPU "}",
         "sglang", 30001},
        {"{name: a, image: 'nvcr.io/nvidia/tritonserver:25.08-py3', command: [tritonserver]" GPU
         "}",
         "triton", 8002},
        {"{name: a, image: 'nvcr.io/nvidia/tritonserver:25.08-trtllm-python-py3' " GPU "}",
         "triton-trtllm", 8002},
        {"{name: a, image: 'nvcr.io/nvidia/tensorrt-llm/release:1.0', args: [trtllm-serve, m]" GPU
         "}",
         "trtllm", 8000},
        {"{name: a, image: 'ghcr.io/huggingface/text-generation-inference:3', env: [{name: PORT,"
         " value: '8080'}]" GPU "}",
         "tgi", 8080},
        {"{name: a, image: 'ghcr.io/ggml-org/llama.cpp:server-cuda', args: [--metrics]" GPU "}",
         "llamacpp", 8080},
        {"{name: a, image: 'ollama/ollama'" GPU "}", "ollama", 0},
        {"{name: a, image: 'pytorch/torchserve:latest-gpu', ports: [{name: metrics, containerPort:"
         " 8082}]" GPU "}",
         "torchserve", 8082},
        {"{name: a, image: 'rayproject/ray:2.50-gpu', command: [ray, start]" GPU "}", "ray-serve",
         8080},
        {"{name: a, image: 'rayproject/ray-llm:2.50'" GPU "}", "ray-serve-llm", 8080},
        {"{name: a, image: 'kserve/huggingfaceserver:latest-gpu', args: [--http_port, 8080]" GPU
         "}",
         "vllm", 8080},
        {"{name: a, image: 'nvcr.io/nvidia/ai-dynamo/vllm-runtime:0.7', command: [python3, -m,"
         " dynamo.frontend]" GPU "}",
         "dynamo", 8000},
        {"{name: a, image: x, command: [gpuscale, engine, --listen, '0.0.0.0:8000']" GPU "}",
         "vllm", 8000},
        {"{name: a, image: gpuscale, args: [engine, --listen, '$(POD_IP):8000', --profile, "
         "classic]" GPU "}",
         "custom", 8000},
        // the one with the GPU, not the sidecar of that name
        {"{name: s, image: me/vllm-proxy}, {name: a, image: lmsysorg/sglang" GPU "}", "sglang",
         30000},
        {"{name: a, image: vllm/vllm-openai-cpu}", "vllm", 8000}, // without a GPU, too
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct guessed t;
        guess(&t, cases[i].containers, NULL);
        assert_int_equal(t.r, 0);
        if (!t.g.preset || strcmp(t.g.preset->name, cases[i].engine) != 0)
            fail_msg("%s: %s (%s)", cases[i].containers, t.g.preset ? t.g.preset->name : "nothing",
                     t.g.why);
        if (t.g.port != cases[i].port)
            fail_msg("%s: port %u", cases[i].containers, t.g.port);
        manifest_objects_done(&t.o);
    }
}

static void what_is_not_recognised_is_not_guessed(void **state) {
    static const char *const cases[] = {
        "{name: a, image: nginx}", "{name: a, image: me/model, command: [python3, main.py]" GPU "}",
        "{name: a, image: me/client, args: [--backend, vllm]" GPU "}", // of a flag
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct guessed t;
        guess(&t, cases[i], NULL);
        assert_int_equal(t.r, 0);
        assert_null(t.g.preset);
        assert_non_null(strstr(t.g.why, "container 'a'"));
        manifest_objects_done(&t.o);
    }
}

static void the_user_has_the_last_word(void **state) {
    struct guessed t;
    guess(&t, "{name: a, image: me/model, ports: [{containerPort: 5000}]" GPU "}", "custom");
    assert_string_equal(t.g.preset->name, "custom");
    assert_int_equal(t.g.port, 5000);
    manifest_objects_done(&t.o);
    guess(&t, "{name: a, image: x" GPU "}", "vlm");
    assert_int_equal(t.r, ERR_NOTFOUND);
    assert_non_null(strstr(t.e.msg, "did you mean \"vllm\""));
    manifest_objects_done(&t.o);
}

static void what_will_not_work_is_noted(void **state) {
    static const struct {
        const char *containers, *noted;
    } cases[] = {
        {"{name: a, image: lmsysorg/sglang, readinessProbe: {}, args: [x]" GPU "}",
         "--enable-metrics"},
        {"{name: a, image: llama.cpp, readinessProbe: {}" GPU "}", "only with --metrics"},
        {"{name: a, image: vllm/x, readinessProbe: {}, args: [--disable-log-stats]" GPU "}",
         "--disable-log-stats"},
        {"{name: a, image: vllm/x" GPU "}", "no readinessProbe"},
        {"{name: a, image: vllm/x, readinessProbe: {}, ports: [{containerPort: 80}]" GPU "}",
         "tells only other ports"},
        {"{name: a, image: vllm/x, readinessProbe: {}, ports: [{containerPort: 8000}]" GPU "}",
         NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct guessed t;
        guess(&t, cases[i].containers, NULL);
        bool found = false;
        for (size_t k = 0; k < t.g.n_notes; k++)
            found = found || (cases[i].noted && strstr(t.g.notes[k], cases[i].noted));
        if (cases[i].noted ? !found : t.g.n_notes > 0)
            fail_msg("%s: %zu notes, %s", cases[i].containers, t.g.n_notes,
                     t.g.n_notes ? t.g.notes[0] : "");
        manifest_objects_done(&t.o);
    }
}

static void arguments_are_never_repeated(void **state) {
    struct guessed t;
    guess(&t,
          "{name: a, image: x, command: [vllm, serve, --api-key, sk-1, --hf-token=sk-2],"
          " env: [{name: KEY, value: sk-3}]" GPU "}",
          NULL);
    assert_null(strstr(t.g.why, "sk-"));
    assert_null(strstr(t.g.port_why, "sk-"));
    manifest_objects_done(&t.o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(engines_are_recognised_with_their_page),
        cmocka_unit_test(what_is_not_recognised_is_not_guessed),
        cmocka_unit_test(the_user_has_the_last_word),
        cmocka_unit_test(what_will_not_work_is_noted),
        cmocka_unit_test(arguments_are_never_repeated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
