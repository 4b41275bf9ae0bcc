#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""From a changed reading to a changed answer: the real agent (sim source, load told over its socket), the
real scaler, GetMetrics polled by python's grpc. And from a scaler that knows to StreamIsActive: the gateway's
page shows demand, the push arrives; less the time until the page was read."""

import json
import pathlib
import random
import socket
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from scaler_kit import (CustomPod, Gateway, Keda, LLM, Program, Pushed, Scaler, eventually,  # noqa: E402
                        gateway_demand, pod, workload)

CHANGES, PUSHES = 120, 20


def quantiles(name, seconds):
    seconds = sorted(seconds)
    print(f"{name}: p50 {seconds[len(seconds) // 2]:.3f} s, p99 {seconds[int(0.99 * (len(seconds) - 1))]:.3f} s, "
          f"max {seconds[-1]:.3f} s over {len(seconds)}")


def reading_to_metrics(folder, interval):
    """Two pods, a target of 50 %: 30 % busy wants 2 by the last decision's window, 90 % wants 4."""
    pages = [CustomPod(), CustomPod()]
    load = folder / "load"
    (folder / "agent.yaml").write_text(json.dumps({"pods": [
        {"gpu": i, "namespace": "default", "pod": f"llm-{i}", "container": "main"} for i in (0, 1)]}))
    # A level that sizes is a mean over rateWindow: the shortest shows a reading soonest.
    metadata = {"gpuUtilization": "50", "downWindow": "0s", "rateWindow": "1s"}
    took = []
    with Program("gpuscale-agent", "--source", f"sim:2,load={load}", "--interval", interval,
                 "--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0",
                 "--health-listen", "127.0.0.1:0", "--config", folder / "agent.yaml") as agent, \
         Scaler(folder / "s", [workload(replicas=2, pods=[pod(f"llm-{i}", p.addr)
                                                         for i, p in enumerate(pages)])],
                agents=[agent.addr("grpc")]) as s, \
         socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as say:
        k = Keda(s.grpc, folder)

        def tell(busy):
            say.sendto(f"gpu=* busy={busy} ttl_ms=600000\n".encode(), str(load))

        def until(what, ok, deadline_s=30):
            start = time.monotonic()
            while not ok(k.replicas(metadata=metadata)):
                if time.monotonic() > start + deadline_s:
                    raise AssertionError(f"{what} did not come")
                time.sleep(0.002)
            return time.monotonic() - start
        tell(0.1)
        eventually("the first decision", lambda: k.replicas(metadata=metadata) == 1)
        busy = False
        for _ in range(CHANGES):
            time.sleep(random.uniform(0.2, 1.2)) # any phase of the interval
            busy = not busy
            tell(0.9 if busy else 0.1)
            before, after = (1, 4) if busy else (4, 1)
            took.append(until("a change", lambda n: n != before))
            until(f"{after} replicas", lambda n: n == after)
        k.close()
    for p in pages:
        p.close()
    quantiles(f"changed reading -> changed GetMetrics, agent interval {interval}", took)


def demand_to_push(folder):
    took = []
    for i in range(PUSHES):
        gateway = Gateway()
        with Scaler(folder / f"p{i}", [workload(replicas=0)], demand=gateway_demand(gateway)) as s:
            k, rule = Keda(s.grpc, folder), {**LLM, "demand": "gateway"}
            pushed = Pushed(k.stream("StreamIsActive", metadata=rule))
            eventually("known", lambda: s.api("/api/v1/objects")["items"][0]["reason"] == "zero", 10)
            reads = []
            render = gateway.render

            def noted():
                text = render()
                reads.append(time.monotonic())
                return text
            gateway.render = noted
            gateway.arrived.set_rate(50)
            eventually("pushed", lambda: pushed.messages)
            at = pushed.messages[0][0]
            took.append(at - max(r for r in reads if r <= at))
            pushed.cancel()
            k.close()
        gateway.close()
    quantiles("demand page read -> StreamIsActive", took)


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        demand_to_push(folder)
        reading_to_metrics(folder, "1s")


if __name__ == "__main__":
    main()
