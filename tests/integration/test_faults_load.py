# SPDX-License-Identifier: Apache-2.0
"""Connections by the thousand that say nothing, on every port whose cap is below them: the cap holds,
memory stays bounded, the clients that were there are served, and all is freed afterwards. (The
scaler's gRPC port takes 10,000: test_scaler_faults.py.)"""

import resource
import socket
import struct

import pytest

import harness
from agent_kit import Agent, Watch
from harness import http_get, sanitized, wait_until
from scaler_kit import Keda, Pushed, Scaler, eventually, workload

WANTED = 2000  # four times the largest cap; more would use up this machine's ports
HTTP_CAP, AGENT_GRPC_CAP = 512, 64  # base/limits.h


@pytest.fixture
def descriptors():
    """How many connections this process may open (raised as far as allowed)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, WANTED + 1000), hard))
    allowed = min(WANTED, min(hard, WANTED + 1000) - 500)
    if allowed < WANTED:
        print(f"# only {allowed} descriptors are allowed")
    yield allowed
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def pb(tmp_path_factory):
    harness.make_stubs(tmp_path_factory.mktemp("stubs"), "node", "health")
    import node_pb2
    return node_pb2


def connect_many(program, server, count):
    """Idle connections; those that the program closes at once are counted, not kept."""
    host, port = program.addr(server).rsplit(":", 1)
    kept = []
    for _ in range(count):
        try:
            kept.append(socket.create_connection((host, int(port)), timeout=harness.DEADLINE_S))
            # Ends with a reset: nothing is left in TIME_WAIT.
            kept[-1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except ConnectionError:
            pass  # refused: fair
    return kept


def flood(program, server, count, cap, meanwhile):
    fds, rss, lines = program.open_fds(), program.rss_bytes(), len(program.lines)
    kept = connect_many(program, server, count)
    try:
        meanwhile()
        most = program.open_fds()
        print(f"# {server}: {count} connections, {most - fds} open, rss {rss >> 10} ->"
              f" {program.rss_bytes() >> 10} KiB")
        assert most - fds <= cap + 8
        assert program.rss_bytes() < rss + (24 << 20) or sanitized()
        assert len(program.lines) - lines <= 30
    finally:
        for s in kept:
            s.close()
    wait_until(lambda: program.open_fds() <= fds + 2, f"{server}: all are freed")
    meanwhile()


def test_idle_connections_on_every_port_of_the_agent(descriptors, pb):
    with Agent("sim:2,steady") as agent, Watch(agent.addr("grpc"), pb) as watch:
        agent.wait_ready()

        def served():
            while not watch.messages.empty():
                watch.messages.get()
            watch.next()
        for server, cap in (("grpc", AGENT_GRPC_CAP), ("health", HTTP_CAP), ("metrics", HTTP_CAP)):
            flood(agent, server, descriptors, cap, served)
        assert agent.ready()[0] == 200
        assert "gpu_utilization{" in agent.page()
        with Watch(agent.addr("grpc"), pb) as fresh:
            assert fresh.next().full


def test_idle_connections_on_the_http_ports_of_the_scaler(tmp_path, descriptors):
    with Scaler(tmp_path, [workload(replicas=3)]) as s:
        k = Keda(s.grpc, tmp_path)

        def served():
            assert k.replicas() == 3
        served()
        for server in ("health", "http"):
            flood(s.program, server, descriptors, HTTP_CAP, served)
        eventually("ready", s.ready)
        assert http_get(f"http://{s.http}/metrics")[0] == 200
        k.close()


def test_a_stopped_client_with_many_streams_costs_others_nothing(tmp_path):
    """A socket that opens 500 StreamIsActive calls over HTTP/2 and never reads again: 500 messages
    each time the service wakes."""
    with Scaler(tmp_path, [workload(replicas=3), workload("flips", 0)], tick="100ms") as s:
        k = Keda(s.grpc, tmp_path)
        assert k.replicas() == 3
        rss = s.program.rss_bytes()
        host, port = s.grpc.rsplit(":", 1)
        silent = socket.socket()
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        silent.settimeout(harness.DEADLINE_S)
        silent.connect((host, int(port)))
        silent.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")

        def literal(name, value):
            return bytes([0, len(name)]) + name + bytes([len(value)]) + value
        head = b"".join(literal(*h) for h in (
            (b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"x"),
            (b":path", b"/externalscaler.ExternalScaler/StreamIsActive"),
            (b"content-type", b"application/grpc"), (b"te", b"trailers")))
        body = k.ref(name="flips").SerializeToString()
        body = b"\0" + len(body).to_bytes(4, "big") + body
        for i in range(500):
            stream = (2 * i + 1).to_bytes(4, "big")
            silent.sendall(len(head).to_bytes(3, "big") + b"\1\4" + stream + head
                           + len(body).to_bytes(3, "big") + b"\0\1" + stream + body)
        eventually("the streams are open", lambda: harness.metric_values(
            s.page(), "gpuscale_grpc_streams")[frozenset({("method", "StreamIsActive")})] == 500)
        good = Pushed(k.stream("StreamIsActive", name="flips"))
        for n in range(1, 11):  # only true is pushed: that is all that KEDA acts on
            s.set_workloads([workload(replicas=3), workload("flips", 3)])
            eventually(f"push {n}", lambda: len(good.messages) >= n)
            assert all(m.result for _, m in good.messages)
            s.set_workloads([workload(replicas=3), workload("flips", 0)])
            eventually("inactive again", lambda: k.active(name="flips") is False)
            assert k.replicas() == 3
        print(f"# rss {rss >> 10} -> {s.program.rss_bytes() >> 10} KiB")
        assert s.program.rss_bytes() < rss + (16 << 20) or sanitized()
        silent.close()
        eventually("its streams are gone", lambda: harness.metric_values(
            s.page(), "gpuscale_grpc_streams")[frozenset({("method", "StreamIsActive")})] == 1)
        good.cancel()
        k.close()
