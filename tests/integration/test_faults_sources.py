# SPDX-License-Identifier: Apache-2.0
"""Scrape targets that misbehave, all at once in one scaler: what they fed is held and then
UNAVAILABLE, at zero inactive, never another number; each is counted by its reason and told once; the
pages of the others are read as before."""

import socket
import struct
import threading
import time
import zlib

import pytest

from harness import metric_values, sanitized
from scaler_kit import Counter, Keda, LLM, Scaler, eventually, pod, workload

RULE = {**LLM, "maxAge": "5s"}  # the least
TEXT = "Content-Type: text/plain; version=0.0.4\r\n"
SILENT_S = 60  # longer than any limit of the scaler


class Target:
    """A page on a socket of its own: good until `fault` names a way to fail."""

    def __init__(self, name, text, fault):
        self.name, self.text, self.behave, self.fault = name, text, fault, False
        self.hits, self.closing = 0, threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.addr = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn):
        with conn:
            try:
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    got = conn.recv(65536)
                    if not got:
                        return
                    head += got
                self.hits += 1
                if self.fault:
                    self.behave(self, conn)
                else:
                    body = self.text().encode()
                    conn.sendall(f"HTTP/1.1 200 OK\r\n{TEXT}Connection: close\r\nContent-Length: "
                                 f"{len(body)}\r\n\r\n".encode() + body)
            except OSError:
                pass  # cut by the scaler: it is meant to

    def close(self):
        self.closing.set()
        self.listener.close()


def answer(conn, head, body=b""):
    conn.sendall(f"HTTP/1.1 {head}Connection: close\r\n\r\n".encode() + body)


def never(target, conn):
    target.closing.wait(SILENT_S)


def endless(target, conn):
    answer(conn, f"200 OK\r\n{TEXT}")
    line = b"# HELP x y\n" * 6000
    while not target.closing.is_set():
        conn.sendall(line)


def endless_head(target, conn):
    conn.sendall(b"HTTP/1.1 200 OK\r\n")
    while not target.closing.is_set():
        conn.sendall(b"X-More: and more\r\n" * 1000)


def claims_2_gib(target, conn):
    answer(conn, f"200 OK\r\n{TEXT}Content-Length: {2 << 30}\r\n", b"# nothing\n")
    target.closing.wait(SILENT_S)


def html(target, conn):
    answer(conn, "200 OK\r\nContent-Type: text/html\r\n", b"<html><body>Sign in</body></html>")


def html_as_text(target, conn):
    answer(conn, f"200 OK\r\n{TEXT}", b"<!DOCTYPE html>\n<html><body>Sign in</body></html>")


def redirects(target, conn):
    answer(conn, f"302 Found\r\nLocation: http://{target.addr}/metrics?again\r\n"
                 "Content-Length: 0\r\n")


def error_500(target, conn):
    answer(conn, f"500 Oops\r\n{TEXT}", target.text().encode())


def truncated(target, conn):
    body = target.text().encode()
    answer(conn, f"200 OK\r\n{TEXT}Content-Length: {len(body)}\r\n", body[:len(body) // 2])


def truncated_chunk(target, conn):
    answer(conn, f"200 OK\r\n{TEXT}Transfer-Encoding: chunked\r\n", b"fff\r\n# begun\n")


def bomb(target, conn):
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    mib = b"# nothing at al\n" * 65536
    body = b"".join([packer.compress(mib) for _ in range(40)] + [packer.flush()])
    assert len(body) < 1 << 20
    answer(conn, f"200 OK\r\n{TEXT}Content-Encoding: gzip\r\nContent-Length: {len(body)}\r\n", body)


def broken_gzip(target, conn):
    answer(conn, f"200 OK\r\n{TEXT}Content-Encoding: gzip\r\n", b"\x1f\x8b\x08\0" + b"\xff" * 600)


def drips(target, conn):
    answer(conn, f"200 OK\r\n{TEXT}")
    for byte in target.text():
        conn.sendall(byte.encode())
        if target.closing.wait(0.5):
            return


def resets(target, conn):
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def not_http(target, conn):
    conn.sendall(b"SSH-2.0-OpenSSH_9.2\r\n" + bytes(range(256)))


def not_a_page(target, conn):
    answer(conn, f"200 OK\r\n{TEXT}", bytes(range(256)) * 40)


def not_utf8(target, conn):
    answer(conn, f"200 OK\r\n{TEXT}", target.text().replace('"m"', '"\udcff"').replace(
        "GET", "POST").encode("utf-8", "surrogateescape"))


def a_line_of_2_mib(target, conn):
    answer(conn, f"200 OK\r\n{TEXT}", b"x" * (2 << 20) + b" 1\n" + target.text().encode())


def nonsense_values(target, conn):
    text = "\n".join(line if line.startswith("#") or not line else line.rsplit(" ", 1)[0] + " NaN"
                     for line in target.text().split("\n"))
    answer(conn, f"200 OK\r\n{TEXT}", text.encode())


def empty(target, conn):
    answer(conn, f"200 OK\r\n{TEXT}Content-Length: 0\r\n")


# How a target misbehaves, and the reason that must be counted ("html": whatever is no page of
# metrics). None: the page as such is good, its values are unknown.
FAULTS = {
    never: "timeout", endless: "too_large", endless_head: "too_large", claims_2_gib: "too_large",
    html: "html", html_as_text: "html", redirects: "redirect", error_500: "status",
    truncated: "truncated", truncated_chunk: "truncated", bomb: "too_large", broken_gzip: "protocol",
    drips: "timeout", resets: "truncated", not_http: "protocol", not_a_page: "html",
    not_utf8: "parse", a_line_of_2_mib: "too_large", nonsense_values: None, empty: None,
}


def engine_text(counter):
    at = 'engine="0",model_name="m"'
    return lambda: (f"# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{{{at}}} 1\n"
                    f"# TYPE vllm:num_requests_waiting gauge\nvllm:num_requests_waiting{{{at}}} 0\n"
                    "# TYPE vllm:request_success_total counter\n"
                    f'vllm:request_success_total{{{at},finished_reason="stop"}} {counter.value()}\n')


def demand_text(counter):
    return lambda: ("# TYPE gateway_requests_total counter\n"
                    f'gateway_requests_total{{model="m",service="llm"}} {counter.value()}\n')


@pytest.fixture
def targets():
    made = []

    def make(text, faults):
        fresh = {f.__name__.replace("_", "-"): f for f in faults}
        fresh = {name: Target(name, text(Counter(4)), f) for name, f in fresh.items()}
        made.extend(fresh.values())
        return fresh
    yield make
    for t in made:
        t.close()


def results(scaler, source):
    found = metric_values(scaler.page(), "gpuscale_scrapes_total")
    return {dict(k)["result"]: v for k, v in found.items() if dict(k)["source"] == source}


def check_reasons(scaler, source, targets):
    """Every reason is counted and every target is told once, with its reason and its address."""
    wanted = {FAULTS[t.behave] for t in targets.values()} - {None}
    eventually("every reason is counted", lambda: all(
        results(scaler, source).get(r, 0) > 0 for r in wanted), deadline_s=60)

    def not_told():
        items = {i["url"].split("/")[2]: i for i in scaler.api("/api/v1/sources?limit=500")["items"]
                 if i["kind"] == source}
        return [t.name for t in targets.values() if FAULTS[t.behave] and not (
            items[t.addr]["state"] == "failing" and items[t.addr]["error"])]
    eventually("every failing target is shown with its error", lambda: not not_told())


def test_engine_pages_that_misbehave_are_held_then_unavailable(tmp_path, targets):
    pages = targets(engine_text, FAULTS)
    good, = targets(engine_text, [lambda *_: None]).values()
    items = [workload(name, 1, [pod(f"{name}-0", t.addr)]) for name, t in pages.items()]
    items.append(workload("good", 1, [pod("good-0", good.addr)]))
    with Scaler(tmp_path, items, engines={"interval": "500ms"}) as s:
        k = Keda(s.grpc, tmp_path)
        names = [*pages, "good"]
        eventually("3 replicas each", lambda: {
            k.replicas(name=n, metadata=RULE) for n in names} == {3})
        rss, cpu = s.program.rss_bytes(), s.program.cpu_seconds()
        for t in pages.values():
            t.fault = True
        begun, seen, lost = time.monotonic(), {n: set() for n in names}, set()
        while len(lost) < len(pages):
            assert time.monotonic() < begun + 60, f"still answered: {set(pages) - lost}"
            for n in names:
                code, told = k.code(k.metrics, name=n, metadata=RULE)
                if code == "OK":
                    assert n not in lost, f"{n} was answered after it was unavailable"
                    seen[n].add(told.metricValues[0].metricValue)
                else:
                    assert code == "UNAVAILABLE" and f"default/{n}" in told, (n, code, told)
                    assert "requestRate" in told, (n, told)
                    lost.add(n)
                    assert k.active(name=n, metadata=RULE) is True  # unknown is not idle
        assert all(values <= {3} for values in seen.values()), seen
        print(f"# all unavailable after {time.monotonic() - begun:.1f} s, rss {rss >> 10} ->"
              f" {s.program.rss_bytes() >> 10} KiB, cpu {s.program.cpu_seconds() - cpu:.2f} s")
        check_reasons(s, "engine", pages)
        assert s.program.rss_bytes() < rss + (48 << 20) or sanitized()
        hits = good.hits
        eventually("the good page is read on", lambda: good.hits > hits + 2)
        assert k.replicas(name="good", metadata=RULE) == 3
        for t in pages.values():
            t.fault = False
        after = {n: set() for n in names}

        def recovered():
            for n in names:
                code, told = k.code(k.metrics, name=n, metadata=RULE)
                if code == "OK":
                    after[n].add(told.metricValues[0].metricValue)
            return all(after.values())
        eventually("all are back", recovered, deadline_s=60)
        assert all(values == {3} for values in after.values()), after
        lines = [e["pod"] for e in s.program.events("engine page failed: its values age")]
        assert len(lines) == len(set(lines)), "a failing page was told twice"
        assert len(s.program.lines) < 400
        k.close()


def test_demand_sources_that_misbehave_wake_nothing_and_fail_no_call_at_zero(tmp_path, targets):
    sources = targets(demand_text, FAULTS)
    urls = {n: f"http://{t.addr}/metrics" for n, t in sources.items()}
    urls["no-name"] = "http://no-such-name.invalid/metrics"
    urls["closed"] = "http://127.0.0.1:9/metrics"
    demand = {n: {"url": u, "requestsTotal": 'gateway_requests_total{service="llm"}'}
              for n, u in urls.items()}
    for t in sources.values():
        t.fault = True
    with Scaler(tmp_path, [workload(n, 0) for n in demand], demand=demand) as s:
        k = Keda(s.grpc, tmp_path)
        reasons = {FAULTS[t.behave] for t in sources.values()} - {None} | {"resolve", "connect"}
        for n in demand:  # a loaded machine may decide first after the call that brought it gave up
            eventually("it is decided once", lambda: k.value(name=n, metadata={**RULE, "demand": n}) == 0)
        begun = time.monotonic()
        while not all(results(s, "demand").get(r, 0) > 0 for r in reasons):
            assert time.monotonic() < begun + 60, results(s, "demand")
            for n in demand:
                rule = {**RULE, "demand": n}
                assert k.value(name=n, metadata=rule) == 0
                assert k.active(name=n, metadata=rule) is False, n
        check_reasons(s, "demand", sources)
        told = [e["demand"] for e in s.program.events("demand source failed: its values age")]
        assert len(told) == len(set(told)) >= 10
        for t in sources.values():
            t.fault = False
        eventually("demand wakes them", lambda: all(
            k.active(name=n, metadata={**RULE, "demand": n}) for n in sources))
        k.close()
