#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The whole scaler at 1,000 ScaledObjects and 2,000 pods (budget: 128 MiB resident): every trigger is one that
learns its capacity, with all the windows that this takes, and nginx serves its vLLM pods' pages, on an address
of 127.0.0.0/8 a pod. All show one page that does not move (the shared sample when it is there), so nothing is
in fact learned and no decision changes."""

import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import harness  # noqa: E402
from bench_agent import Nginx  # noqa: E402
from harness import metric_values, wait_until  # noqa: E402
from scaler_kit import Keda, Scaler, VllmPod, pod, workload  # noqa: E402

OBJECTS, PODS_EACH, SECONDS = 1000, 2, 60
SAMPLE = harness.SHARED_DATA / "metrics-samples" / "vllm.prom"
TRIGGER = {"engine": "vllm", "capacity": "learn", "kvCache": "0.85", "metricsPort": ""}


def address(i):
    return f"127.1.{i // 250}.{i % 250 + 1}"


def all_read(page):
    def of(name):
        return sum(metric_values(page, name).values())
    return of("gpuscale_scrape_targets") == OBJECTS * PODS_EACH and not (
        of("gpuscale_scrape_targets_failing") or of("gpuscale_scrape_targets_never_read"))


def main():
    body = SAMPLE.read_bytes() if SAMPLE.exists() else VllmPod.text(VllmPod(rate=1.0)).encode()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        nginx = Nginx(folder / "nginx", body, everywhere=True)
        items = [workload(f"llm-{i}", replicas=PODS_EACH,
                          pods=[pod(f"llm-{i}-{k}", address(i * PODS_EACH + k)) for k in range(PODS_EACH)])
                 for i in range(OBJECTS)]
        with Scaler(folder / "s", items) as s:
            keda = Keda(s.grpc, folder)
            trigger = dict(TRIGGER, metricsPort=str(nginx.port))
            for i in range(OBJECTS):
                keda.spec(f"llm-{i}", trigger)
            wait_until(lambda: all_read(s.page()), "every pod's page read", 60)
            before, start = s.program.cpu_seconds(), time.monotonic()
            time.sleep(SECONDS)
            used = (s.program.cpu_seconds() - before) / (time.monotonic() - start)
            print(f"{OBJECTS} ScaledObjects, {OBJECTS * PODS_EACH} pods, pages of {len(body)} bytes each 5 s, "
                  f"capacity: learn, ticks each second: {s.program.rss_bytes() / 2**20:.0f} MiB resident, "
                  f"{used:.3f} of a core")
        nginx.stop()


if __name__ == "__main__":
    main()
