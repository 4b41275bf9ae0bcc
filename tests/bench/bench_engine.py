#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The mock engine's own cost: requests a second of its one core without modelled CPU (--cpu none), driven by wrk with
64 connections; the GPU's model is made next to free, so that HTTP, JSON and the station are what is measured. And with
modelled CPU, what a request costs the kernel's CPU beside what it should cost."""

import http.client
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))
import harness  # noqa: E402
from bench_http import cpu_seconds  # noqa: E402

ROUNDS, SECONDS, CONNECTIONS = 5, 2, 64
FREE = ["--set", "base=0.01", "--set", "sequence=0", "--set", "context=0", "--set", "prefill=0", "--set", "max-sequences=256"]


def completion(prompt_bytes, tokens, stream):
    return '{"prompt":"%s","max_tokens":%d,"stream":%s}' % ("four" * (prompt_bytes // 4), tokens, str(stream).lower())


CASES = [  # what, flags, path, body (None: GET), tokens a request
    ("/predict, one at a time", ["--profile", "classic", "--set", "time=1:0.001", "--set", "cv=0"], "/predict", "{}", 0),
    ("completion, 2,000 bytes, 16 tokens", FREE, "/v1/completions", completion(2000, 16, False), 0),
    ("completion, 2,000 bytes, 128 tokens", FREE, "/v1/completions", completion(2000, 128, False), 0),
    # 1 ms a step: each token is its own event, as a real one's is.
    ("the same, streamed at 1 ms a token", [*FREE[:1], "base=1", *FREE[2:]], "/v1/completions", completion(2000, 128, True), 128),
    ("/metrics", FREE, "/metrics", None, 0),
]


def measure(engine, url, script):
    """(requests/s, CPU us a request, share of a core)"""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", *(["-s", script] if script else []), url]
    before = cpu_seconds(engine.pid)
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    cpu = cpu_seconds(engine.pid) - before
    assert "Non-2xx" not in out and "Socket errors" not in out, out
    n, took = re.search(r"(\d+) requests in ([\d.]+)s", out).groups()
    return int(n) / float(took), cpu / int(n) * 1e6, cpu / float(took)


# us: docs/mock-engine.md's 394 a request, 2.15 a prompt token, 6.8 an output token; streamed 156 and 20.8.
MODELLED = [
    ("10 tokens of prompt, 1 of answer", completion(40, 1, False), 394 + 10 * 2.15 + 6.8),
    ("2,000 tokens of prompt, 100 of answer", completion(8000, 100, False), 394 + 2000 * 2.15 + 100 * 6.8),
    ("10 tokens of prompt, 100 streamed", completion(40, 100, True), 394 + 10 * 2.15 + 156 + 100 * 20.8),
]


def burned(engine, body, n=100):
    """CPU us a request, one after the other on connections of their own"""
    before = cpu_seconds(engine.pid)
    for _ in range(n):
        c = http.client.HTTPConnection(engine.addr("http"))
        c.request("POST", "/v1/completions", body)
        answer = c.getresponse()
        assert answer.status == 200 and answer.read()
        c.close()
    return (cpu_seconds(engine.pid) - before) / n * 1e6


def main():
    if not shutil.which("wrk"):
        sys.exit("needs wrk")
    print(f"{CONNECTIONS} connections, {ROUNDS} rounds of {SECONDS} s, medians")
    with tempfile.TemporaryDirectory() as folder:
        for what, flags, path, body, tokens in CASES:
            script = None
            if body:
                script = pathlib.Path(folder) / "post.lua"
                script.write_text(f"wrk.method = \"POST\"\nwrk.body = '{body}'\n")
            with harness.Program("gpuscale", "engine", "--listen", "127.0.0.1:0", "--cpu", "none", *flags) as engine:
                url = f"http://{engine.addr('http')}{path}"
                engine.wait_log("msg=ready")
                rounds = [measure(engine, url, script) for _ in range(ROUNDS)]
            rate, cpu, share = (statistics.median(r[i] for r in rounds) for i in range(3))
            print(f"  {what:38} {rate:8.0f} requests/s at {share:4.2f} cores; {cpu:7.1f} us of CPU each: "
                  f"{1e6 / cpu:8.0f} requests/s a core" + (f", {1e6 / cpu * tokens:.0f} tokens/s a core" if tokens else ""))
    print(f"with modelled CPU, one request after the other, {ROUNDS} rounds, medians")
    for what, body, us in MODELLED:
        with harness.Program("gpuscale", "engine", "--listen", "127.0.0.1:0", "--set", "base=0.1") as engine:
            engine.wait_log("msg=ready")
            cost = statistics.median(burned(engine, body) for _ in range(ROUNDS))
        print(f"  {what:38} {cost:8.0f} us of CPU each, {us:.0f} of them modelled")


if __name__ == "__main__":
    sys.exit(main())
