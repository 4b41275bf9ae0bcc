# SPDX-License-Identifier: Apache-2.0
"""The Prometheus text parser beside Prometheus' own (Go, model/textparse), on the same pages in the same
run. Budget: 1 GB/s a core on a vLLM page, four times textparse. Both are timed in CPU seconds, in turns."""

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = pathlib.Path(os.environ.get("GPUSCALE_BUILD", ROOT / "build"))
ROUNDS, SECONDS = 3, "0.5"

LATENCY = "0.3 0.5 0.8 1.0 1.5 2.0 2.5 5.0 10.0 15.0 20.0 30.0 40.0 50.0 60.0 120.0 240.0 480.0 960.0 1920.0 7680.0 +Inf".split()
TTFT = "0.001 0.005 0.01 0.02 0.04 0.06 0.08 0.1 0.25 0.5 0.75 1.0 2.5 5.0 7.5 10.0 20.0 40.0 80.0 160.0 640.0 2560.0 +Inf".split()
ITL = "0.01 0.025 0.05 0.075 0.1 0.15 0.2 0.3 0.4 0.5 0.75 1.0 2.5 5.0 7.5 10.0 20.0 40.0 80.0 +Inf".split()
TOKENS = "1.0 2.0 5.0 10.0 20.0 50.0 100.0 200.0 500.0 1000.0 2000.0 5000.0 10000.0 20000.0 +Inf".split()

GAUGES = ["num_requests_running", "num_requests_waiting", "kv_cache_usage_perc"]
COUNTERS = ["prefix_cache_queries", "prefix_cache_hits", "external_prefix_cache_queries",
            "external_prefix_cache_hits", "mm_cache_queries", "mm_cache_hits", "num_preemptions",
            "prompt_tokens", "generation_tokens"]
HISTOGRAMS = ([("time_to_first_token_seconds", TTFT), ("inter_token_latency_seconds", ITL),
               ("request_time_per_output_token_seconds", ITL)] +
              [(name, LATENCY) for name in (
                  "e2e_request_latency_seconds", "request_queue_time_seconds",
                  "request_inference_time_seconds", "request_prefill_time_seconds",
                  "request_decode_time_seconds")] +
              [(name, TOKENS) for name in (
                  "iteration_tokens_total", "request_prompt_tokens", "request_generation_tokens",
                  "request_max_num_generation_tokens", "request_params_max_tokens",
                  "request_prefill_kv_computed_tokens")])


def vllm_page(ranks):
    """A page of vLLM's shape as the Python client writes it: sorted labels, _created gauges, floats."""
    out = []

    def family(name, kind, lines):
        out.append(f"# HELP vllm:{name} {name.replace('_', ' ').capitalize()}, per engine and model.\n"
                   f"# TYPE vllm:{name} {kind}\n")
        out.extend(lines)

    labels = [f'engine="{r}",model_name="meta-llama/Llama-3.3-70B-Instruct"' for r in range(ranks)]
    for i, name in enumerate(GAUGES):
        family(name, "gauge", [f"vllm:{name}{{{l}}} {i * 3 + k}.0\n" for k, l in enumerate(labels)])
    created = "1.76826434339" + "%05d" + "e+09"
    for i, name in enumerate(COUNTERS):
        family(f"{name}_total", "counter",
               [f"vllm:{name}_total{{{l}}} {(i + 1) * 294901 + k}.0\n" for k, l in enumerate(labels)])
        family(f"{name}_created", "gauge",
               [f"vllm:{name}_created{{{l}}} {created % (i * 97 + k)}\n" for k, l in enumerate(labels)])
    family("request_success_total", "counter",
           [f'vllm:request_success_total{{engine="{k}",finished_reason="{reason}",{l.split(",")[1]}}} {k * 7 + 11}.0\n'
            for k, l in enumerate(labels) for reason in ("stop", "length", "abort", "error")])
    for i, (name, buckets) in enumerate(HISTOGRAMS):
        lines = []
        for k, l in enumerate(labels):
            engine, model = l.split(",")
            lines += [f'vllm:{name}_bucket{{{engine},le="{le}",{model}}} {(n + 1) * (i + 3) * 17}.0\n'
                      for n, le in enumerate(buckets)]
            lines += [f"vllm:{name}_count{{{l}}} {len(buckets) * (i + 3) * 17}.0\n",
                      f"vllm:{name}_sum{{{l}}} {48.58329 * (i + 1) + k}\n"]
        family(name, "histogram", lines)
    return "".join(out)


def go_binary():
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if not go:
        print("no Go: Prometheus' textparse is not measured")
        return None
    source = ROOT / "tests" / "e2e" / "textparse"
    key = hashlib.sha256(b"".join((source / f).read_bytes() for f in ("go.mod", "go.sum", "main.go")))
    cache = pathlib.Path(os.environ.get("GPUSCALE_CACHE") or
                         pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "gpuscale")
    binary = cache / f"textparse-{key.hexdigest()[:16]}"
    if not binary.exists():
        cache.mkdir(parents=True, exist_ok=True)
        built = subprocess.run([go, "build", "-o", f"{binary}.tmp", "."], cwd=source)
        if built.returncode != 0:
            print("Prometheus' textparse could not be built: it is not measured")
            return None
        os.replace(f"{binary}.tmp", binary)
    return binary


def rates(command):
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {k: float(v) for k, v in (line.split() for line in out.splitlines())}


def compare(name, path, ours, theirs):
    best = {}
    for _ in range(ROUNDS):
        for who, binary in (("ours", ours), ("go", theirs)):
            if binary:
                for k, v in rates([str(binary), str(path), SECONDS]).items():
                    best[who, k] = max(best.get((who, k), 0), v)
    size = path.stat().st_size
    print(f"{name}: {size} bytes, {best['ours', 'samples']:.0f} samples; GB per CPU-second")
    print(f"  gpuscale   every sample with labels {best['ours', 'all'] / 1e9:6.2f}   "
          f"selected names {best['ours', 'selected'] / 1e9:6.2f}   "
          f"through the vLLM preset {best['ours', 'engine'] / 1e9:6.2f}")
    if theirs:
        assert best["go", "samples"] == best["ours", "samples"], "the two parsers disagree"
        print(f"  textparse  every sample with labels {best['go', 'labels'] / 1e9:6.2f}   "
              f"labels left undecoded {best['go', 'next'] / 1e9:6.2f}")
        print(f"  ratio      {best['ours', 'all'] / best['go', 'labels']:.1f} with labels, "
              f"{best['ours', 'all'] / best['go', 'next']:.1f} against labels undecoded")


def main():
    ours = BUILD / "tests" / "bench" / "prom_rate"
    theirs = go_binary()
    with tempfile.TemporaryDirectory() as folder:
        for ranks in (1, 8):
            path = pathlib.Path(folder) / f"vllm-{ranks}.prom"
            path.write_text(vllm_page(ranks))
            compare(f"vLLM-shaped page, {ranks} rank{'s' if ranks > 1 else ''}", path, ours, theirs)
    real = ROOT.parent / "shared" / "data" / "metrics-samples" / "vllm.prom"
    if real.exists():
        compare("vLLM sample page", real, ours, theirs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
