#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""GetMetrics of a running scaler with a live decision snapshot, TLS on and off, 1,000 and 10,000
ScaledObjects, ticks included: calls a second of the server's CPU time, p99 (getmetrics_load.c). And the
decision ticks' own CPU at 10,000 objects. Beside it, where Go is, a server on grpc-go with KEDA's own stubs
that answers from a map (tests/e2e/keda/grpcgo), under the same load."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from harness import Certs, find_program, metric_values  # noqa: E402
from scaler_kit import Scaler, workload  # noqa: E402

SECONDS = 5


def measure(folder, objects, tls, callers):
    items = [workload(f"llm-{i}", replicas=i % 7 + 1) for i in range(objects)]
    with Scaler(folder, items, tls=tls and {"cert": str(tls[0]), "key": str(tls[1])}) as s:
        load = [str(find_program("getmetrics_load")), s.grpc, str(s.program.pid), str(objects),
                str(SECONDS), str(callers)] + ([str(tls[2])] if tls else [])
        print("TLS  " if tls else "plain", end=" ", flush=True)
        subprocess.run(load, check=True)
        before, start = s.program.cpu_seconds(), time.monotonic()
        time.sleep(10)
        used = (s.program.cpu_seconds() - before) / (time.monotonic() - start)
        page = s.page()
        ticks = metric_values(page, "gpuscale_tick_duration_seconds_sum")
        count = metric_values(page, "gpuscale_tick_duration_seconds_count")
        print(f"      idle with ticks: {used:.3f} of a core; a tick of {objects} objects "
              f"{1000 * sum(ticks.values()) / sum(count.values()):.1f} ms; "
              f"RSS {s.program.rss_bytes() / 2**20:.0f} MiB")


def build_grpcgo(folder):
    """The grpc-go server, or None where Go is missing."""
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if not go:
        print("grpc-go: not measured, `go` is not on PATH")
        return None
    module = pathlib.Path(__file__).resolve().parents[1] / "e2e" / "keda"
    subprocess.run([go, "build", "-o", str(folder / "grpcgo"), "./grpcgo"], cwd=module, check=True)
    return folder / "grpcgo"


def measure_grpcgo(program, objects, tls, callers):
    command = [str(program), str(objects)] + ([str(tls[0]), str(tls[1])] if tls else [])
    # One core, as the rpc thread has: more would only add its scheduler's cost.
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True,
                              env={**os.environ, "GOMAXPROCS": "1"})
    try:
        load = [str(find_program("getmetrics_load")), server.stdout.readline().strip(),
                str(server.pid), str(objects), str(SECONDS), str(callers)]
        print("grpc-go, TLS  " if tls else "grpc-go, plain", end=" ", flush=True)
        subprocess.run(load + ([str(tls[2])] if tls else []), check=True)
    finally:
        server.kill()
        server.wait()


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        ca = Certs(folder / "ca")
        crt, key = ca.leaf("scaler")
        grpcgo = build_grpcgo(folder)
        for objects in (1000, 10000):
            for tls in (None, (crt, key, ca.ca)):
                measure(folder, objects, tls, 64)
                if grpcgo:
                    measure_grpcgo(grpcgo, objects, tls, 64)


if __name__ == "__main__":
    main()
