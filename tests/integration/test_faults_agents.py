# SPDX-License-Identifier: Apache-2.0
"""Real agents that are killed, stopped, hang or restart under a real scaler, and clocks that step: the
GPU's values become unknown, never zero; no wrong number is told at any time."""

import json
import os
import pathlib
import signal
import socket
import time

import pytest

from agent_kit import free_port
from harness import Program, http_get, metric_values, sanitized, wait_until
from scaler_kit import CLASSIC, CustomPod, Keda, LLM, Scaler, VllmPod, eventually, pod, workload

FAKETIME = pathlib.Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


class Node:
    """An agent with one GPU, held by pod NAME-0, whose load a socket tells; always on one port."""

    def __init__(self, folder, name, scenario=""):
        self.folder, self.name, self.scenario = folder, name, scenario
        self.config, self.load = folder / f"{name}.yaml", folder / f"{name}.load"
        self.config.write_text(json.dumps({"pods": [
            {"gpu": 0, "namespace": "default", "pod": f"{name}-0", "container": "main"}]}))
        self.addr = f"127.0.0.1:{free_port()}"
        self.agent = None
        self.start()

    def start(self):
        self.load.unlink(missing_ok=True)
        seed = int.from_bytes(self.name.encode(), "little") % 2**31  # makes its GPU's UUID
        self.agent = Program("gpuscale-agent", "--source", f"sim:1{self.scenario},seed={seed},load={self.load}",
                           "--node-name", self.name, "--grpc-listen", self.addr, "--listen",
                           "127.0.0.1:0", "--health-listen", "127.0.0.1:0", "--dcgm", "on",
                           "--interval", "200ms", "--config", self.config)
        player = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

        def tell():
            player.sendto(b"gpu=* busy=0.9 memory_used_bytes=1000000000 ttl_ms=600000\n", str(self.load))
            return True
        wait_until(tell, "the load is told")
        player.close()

    def value(self, name):
        status, _, body = http_get(f"http://{self.agent.addr('metrics')}/metrics")
        return metric_values(body, name)[frozenset()]

    def close(self):
        self.agent.signal(signal.SIGCONT)
        self.agent.kill()


class Watcher:
    """Asks for every object again and again and keeps what it was told."""

    def __init__(self, keda, names):
        self.keda, self.names = keda, names
        self.values = {n: set() for n in names}
        self.errors = {n: [] for n in names}

    def ask(self):
        for n in self.names:
            code, told = self.keda.code(self.keda.metrics, name=n, metadata=CLASSIC)
            if code == "OK":
                v = told.metricValues[0]
                self.values[n].add(v.metricValueFloat or float(v.metricValue))
            else:
                assert code == "UNAVAILABLE" and "gpuUtilization" in told, (n, code, told)
                self.errors[n].append(told)

    def until(self, what, condition, deadline_s=60):
        def tried():
            self.ask()
            return condition()
        return eventually(what, tried, deadline_s)

    def last(self, n):
        code, told = self.keda.code(self.keda.metrics, name=n, metadata=CLASSIC)
        return told.metricValues[0].metricValue if code == "OK" else None


def test_agents_that_die_stall_hang_and_return_are_never_a_wrong_number(tmp_path):
    page = CustomPod(queue=25)  # with a busy GPU: 3 replicas; with an idle one: 1
    names = ["killed", "stopped", "hangs", "fine"]
    nodes = {n: Node(tmp_path, n, ",hang,after=8s,for=10s,period=1h" if n == "hangs" else "")
             for n in names}
    try:
        with Scaler(tmp_path / "s", [workload(n, 1, [pod(f"{n}-0", page.addr)]) for n in names],
                    agents=[n.addr for n in nodes.values()], engines={"interval": "500ms"}) as s:
            k = Keda(s.grpc, tmp_path)
            w = Watcher(k, names)
            w.until("3 replicas each", lambda: all(w.last(n) == 3 for n in names))
            w = Watcher(k, names)
            nodes["killed"].agent.kill()
            nodes["stopped"].agent.signal(signal.SIGSTOP)
            bad = ["killed", "stopped", "hangs"]
            w.until("the three are unknown", lambda: all(w.errors[n] for n in bad))
            assert all(values == {3} for values in w.values.values()), w.values
            assert metric_values(s.page(), "gpuscale_unknown_signals")[
                frozenset({("signal", "gpuUtilization")})] == 3
            gpus = {g["node"]: g for g in s.api("/api/v1/gpus")["items"]}
            assert gpus["fine"]["values"]["utilization_pct"] == 90
            for n in bad:  # what was heard last, with its age; or gone: not a fresh zero
                values = gpus.get(n, {"values": {}})["values"]
                assert values.get("utilization_pct") in (None, 90), (n, gpus[n])
            nodes["stopped"].agent.signal(signal.SIGCONT)
            nodes["killed"].agent.kill()
            nodes["killed"].start()
            begun = time.monotonic()
            w.until("the three are back", lambda: all(w.last(n) == 3 for n in bad))
            print(f"# back after {time.monotonic() - begun:.1f} s")
            assert all(values == {3} for values in w.values.values()), w.values
            assert not w.errors["fine"]
            lost = s.program.events("agent lost: its GPUs' last readings age")
            assert 1 <= len(lost) <= 10, lost
            k.close()
    finally:
        for node in nodes.values():
            node.close()
        page.close()


@pytest.fixture
def clock(tmp_path, monkeypatch):
    """Programs started from now on read a real-time clock that a test may step; their monotonic clock
    stays the machine's."""
    if not FAKETIME.exists() or sanitized():
        pytest.skip("needs Debian's faketime, and a build without sanitizers")
    file = tmp_path / "clock"
    file.write_text("+0")
    for name, value in (("LD_PRELOAD", FAKETIME), ("FAKETIME_TIMESTAMP_FILE", file),
                        ("FAKETIME_NO_CACHE", 1), ("FAKETIME_DONT_FAKE_MONOTONIC", 1)):
        monkeypatch.setenv(name, str(value))

    def step(seconds):
        fresh = tmp_path / "clock.new"
        fresh.write_text(f"{seconds:+d}")
        os.replace(fresh, file)
    return step


def test_clock_steps_change_records_and_no_decision(tmp_path, clock):
    page, queue = VllmPod(rate=4), CustomPod(queue=25)
    node = Node(tmp_path, "stepped")
    items = [workload("llm", 1, [pod("llm-0", page.addr)]),
             workload("stepped", 1, [pod("stepped-0", queue.addr)])]
    try:
        with Scaler(tmp_path / "s", items, agents=[node.addr], engines={"interval": "500ms"}) as s:
            k = Keda(s.grpc, tmp_path)
            rules = {"llm": LLM, "stepped": CLASSIC}
            eventually("3 replicas each", lambda: {
                k.replicas(name=n, metadata=r) for n, r in rules.items()} == {3})
            for seconds in (3600, -86400, 10 * 365 * 86400, -30 * 365 * 86400, 0):
                clock(seconds)
                eventually("the step is seen", lambda: abs(
                    time.mktime(time.strptime(http_get(f"http://{s.http}/metrics")[1]["Date"],
                                              "%a, %d %b %Y %H:%M:%S GMT"))
                    - time.mktime(time.gmtime()) - seconds) < 60)
                ticks = metric_values(s.page(), "gpuscale_decisions_total")[frozenset()]
                rounds = node.value("gpuscale_agent_rounds_total")
                seen = set()

                def six_more():
                    seen.update(k.value(name=n, metadata=r) for n, r in rules.items())
                    return (metric_values(s.page(), "gpuscale_decisions_total")[frozenset()] > ticks + 6
                            and node.value("gpuscale_agent_rounds_total")
                            > rounds + 6)
                eventually("it goes on", six_more)
                assert seen == {3}, (seconds, seen)
                age = metric_values(s.page(), "gpuscale_scrape_age_seconds").values()
                assert all(0 <= a < 5 for a in age), age
            assert metric_values(s.page(), "gpuscale_agent_losses_total") == {frozenset(): 0}
            assert s.program.cpu_seconds() < 5 and node.agent.cpu_seconds() < 5  # no timer spins
            k.close()
    finally:
        node.close()
        page.close()
        queue.close()
