# SPDX-License-Identifier: Apache-2.0
"""gpuscale load against servers that others wrote (nginx, Python's) and against targets that refuse, hang, reset,
lie and stream: what it counts, what it measures, how it ends."""

import fcntl
import http.server
import json
import os
import pathlib
import pty
import random
import re
import select
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import termios
import threading
import time
import xml.etree.ElementTree

import pytest

import harness

PROGRAM = harness.find_program("gpuscale")
SEED = os.environ.get("GPUSCALE_SEED", "20261130")


def load(*args, status=0, deadline_s=harness.DEADLINE_S, env=None):
    """Runs it to its end: (stdout, stderr)."""
    done = subprocess.run([PROGRAM, "load", *map(str, args)], capture_output=True, text=True, timeout=deadline_s,
                          env={**os.environ, **(env or {})})
    assert done.returncode == status, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout, done.stderr


@pytest.fixture()
def result(tmp_path):
    """Runs it, and gives what --json says."""
    def run(*args, **kw):
        path = tmp_path / "result.json"
        load("--seed", SEED, "--json", path, *args, **kw)
        return json.loads(path.read_text())
    return run


def errors_of(r):
    return {k: n for k, n in r["errors"].items() if n}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # a head and its body leave together

    def log_message(self, *args):
        pass

    def do_POST(self):
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def do_GET(self):
        self.server.answer(self)

    def reply(self, body=b"ok", status=200, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(http.server.ThreadingHTTPServer):
    """A threading server whose handler is a function; it keeps (time, path, headers, body) of each request."""
    daemon_threads = True
    request_queue_size = 512

    def __init__(self, answer, tls=None, address=("127.0.0.1", 0)):
        self.answer_fn = answer
        self.seen = []
        super().__init__(address, Handler)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def answer(self, handler):
        self.seen.append((time.monotonic(), handler.path, dict(handler.headers), getattr(handler, "body", b"")))
        self.answer_fn(handler)

    def handle_error(self, request, address):
        pass  # clients that give up are what is tested

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class Raw:
    """A listener whose function gets each accepted socket in a thread of its own."""

    def __init__(self, serve):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.serve = serve
        self.accepted = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.over.is_set():
            if not select.select([self.socket], [], [], 0.02)[0]:
                continue
            s, _ = self.socket.accept()
            self.accepted += 1
            threading.Thread(target=self.one, args=(s,), daemon=True).start()

    def one(self, s):
        with s:
            try:
                self.serve(s)
            except OSError:
                pass

    @property
    def url(self):
        return f"http://127.0.0.1:{self.socket.getsockname()[1]}"

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.socket.close()


def read_head(s):
    data = b""
    while b"\r\n\r\n" not in data:
        part = s.recv(65536)
        if not part:
            raise OSError("closed")
        data += part
    return data


def hard_close(s):
    """A reset instead of an orderly end."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


@pytest.fixture()
def nginx(tmp_path):
    """Debian's nginx with an access log: (URL, function that gives the log's lines)."""
    (tmp_path / "html").mkdir()
    (tmp_path / "html" / "file").write_bytes(b"x" * 612)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    log = tmp_path / "access.log"
    temporary = "".join(f"{kind}_temp_path {tmp_path}/{kind};" for kind in
                        ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (tmp_path / "nginx.conf").write_text(f"""
        worker_processes 1; daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log;
        {"user root;" if os.getuid() == 0 else ""}
        events {{ worker_connections 4096; }}
        http {{ log_format short '$msec $status $request_method $request_uri $connection';
                access_log {log} short; {temporary} keepalive_requests 100;
                server {{ listen 127.0.0.1:{port} backlog=4096; root {tmp_path}/html;
                          location /teapot {{ return 418; }} location /moved {{ return 301 /file; }} }} }}""")
    process = subprocess.Popen([shutil.which("nginx") or "/usr/sbin/nginx", "-c", tmp_path / "nginx.conf"],
                               stderr=subprocess.DEVNULL)
    try:
        harness.wait_until(lambda: socket.create_connection(("127.0.0.1", port), 1).close() is None, "nginx listens")
        yield f"http://127.0.0.1:{port}", lambda: [line.split() for line in log.read_text().splitlines()]
    finally:
        process.terminate()
        process.wait()


def test_counts_agree_with_nginx_s_access_log(nginx, result):
    url, log = nginx
    r = result("--target", f"{url}/file", "--rate", "50..400@2s,100@500ms", "--connections", 40)
    lines = harness.wait_until(lambda: len(log()) >= r["done"] and log(), "the log is whole")
    assert r["sent"] == r["done"] == len(lines) > 300
    assert r["statuses"] == {"200": len(lines)} and not errors_of(r)
    # Connections are kept: nginx ends each after 100 requests, and no other is opened without need.
    connections = {line[4] for line in lines}
    assert len(connections) == r["connectionsOpened"] <= 40 + len(lines) // 100
    # Half of the requests of a ramp from 50 to 400 come in its last 38 %.
    times = sorted(float(line[0]) for line in lines)
    assert times[-1] - times[0] > 2
    assert sum(row["done"] for row in r["course"]) == r["done"]
    assert r["latency_ms"]["count"] == r["done"]


def test_statuses_are_told_and_redirects_are_not_followed(nginx, result):
    url, _ = nginx
    r = result("--target", f"{url}/teapot", "--rate", 100, "--duration", "500ms", "--arrivals", "uniform")
    assert errors_of(r) == {"status": 50} and r["done"] == 0 and r["statuses"] == {"418": 50}
    assert r["latency_ms"] is None and r["firstErrors"]["status"] == "status 418"
    r = result("--target", f"{url}/moved", "--rate", 100, "--duration", "500ms", "--arrivals", "uniform")
    assert r["done"] == 50 and r["statuses"] == {"301": 50}
    out, _ = load("--target", f"{url}/teapot", "--rate", 20, "--duration", "500ms", "--arrivals", "uniform")
    assert "errors 10 (100.00 %)" in out and "418: 10" in out


def test_latency_is_that_of_a_server_of_known_delay(result):
    delays = [0.02, 0.05]

    def answer(h):
        time.sleep(delays[len(h.server.seen) % 2])
        h.reply()
    with Server(answer) as server:
        r = result("--target", server.url, "--rate", 40, "--duration", "2s", "--arrivals", "uniform")
    assert r["done"] == 80 and not errors_of(r)
    # Never less than was slept; the median lies in one of the two groups.
    assert 20 <= r["sinceSent_ms"]["min"] <= r["latency_ms"]["min"] + 1e-3
    assert r["latency_ms"]["p95"] >= 50
    assert r["latency_ms"]["p50"] >= 20


def test_what_waits_for_a_connection_counts_from_the_intended_time(result):
    """One connection, answers take 100 ms, requests want to leave each 20 ms: the n-th waits n x 80 ms."""
    def answer(h):
        time.sleep(0.1)
        h.reply()
    with Server(answer) as server:
        r = result("--target", server.url, "--rate", 50, "--duration", "400ms", "--arrivals", "uniform",
                   "--connections", 1)
    assert r["done"] == 20 and r["connectionsOpened"] == 1
    assert r["waitedForConnection"] == 19
    # The last was meant to leave at 380 ms and ended no earlier than 20 answers did.
    assert r["latency_ms"]["max"] >= 20 * 100 - 380
    assert r["sinceSent_ms"]["p50"] < r["latency_ms"]["p50"] / 2
    assert r["late_ms"]["max"] >= 19 * 100 - 380
    assert r["elapsed_s"] >= 2


def test_nobody_listens(result):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    r = result("--target", f"http://127.0.0.1:{port}/", "--rate", 100, "--duration", "300ms", "--arrivals", "uniform")
    assert errors_of(r) == {"refused": 30} and r["sent"] == 0
    assert r["firstErrors"]["refused"] == f"connecting to 127.0.0.1:{port}: Connection refused"


def test_a_target_that_hangs_times_out(result):
    with Raw(lambda s: (read_head(s), s.recv(1))) as server:
        start = time.monotonic()
        r = result("--target", server.url, "--rate", 50, "--duration", "400ms", "--timeout", "300ms",
                   "--arrivals", "uniform", "--connections", 5)
        assert time.monotonic() - start < harness.DEADLINE_S / 2
    assert errors_of(r) == {"timeout": 20} and r["done"] == 0
    # Five are sent in time; the others wait for them, and their time goes on meanwhile.
    assert 5 <= r["sent"] <= 20 and r["waitedForConnection"] == 15
    assert r["firstErrors"]["timeout"] == "the time passed while waiting for the answer"


@pytest.mark.parametrize("serve, kind, why", [
    (lambda s: (read_head(s), hard_close(s)), "reset", ""),
    (lambda s: read_head(s), "reset", "closed before the answer"),
    (lambda s: (read_head(s), s.sendall(b"HTTP/1.1 200 OK\r\nContent-")), "reset", "closed in the middle of the head"),
    (lambda s: (read_head(s), s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")), "reset",
     "closed in the middle of the body"),
    (lambda s: (read_head(s), s.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")), "reset",
     "closed in the middle of the body"),
    (lambda s: (read_head(s), s.sendall(b"SSH-2.0-OpenSSH_9.2p1\r\n"), s.recv(1)), "protocol", "no HTTP/1 answer"),
    (lambda s: (read_head(s), s.sendall(b"HTTP/1.1 200 OK\r\nX : y\r\n\r\n"), s.recv(1)), "protocol", "Name: value"),
    (lambda s: (read_head(s), s.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), s.recv(1)),
     "protocol", "a malformed chunk size"),
    (lambda s: (read_head(s), s.sendall(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 100 + b"\r\n"), s.recv(1)), "protocol",
     "too many headers"),
], ids=["reset", "closed", "half a head", "half a body", "half its chunks", "another protocol", "bad header",
        "bad chunk", "too many headers"])
def test_targets_that_break_off_or_answer_garbage(result, serve, kind, why):
    with Raw(serve) as server:
        r = result("--target", server.url, "--rate", 50, "--duration", "200ms", "--arrivals", "uniform",
                   "--timeout", "10s")
        assert errors_of(r) == {kind: 10} and r["done"] == 0, r
        assert why in r["firstErrors"][kind]
        assert server.accepted == 10


def test_a_body_that_ends_with_the_connection_is_whole(result):
    with Raw(lambda s: (read_head(s), s.sendall(b"HTTP/1.0 200 OK\r\n\r\nwhole"))) as server:
        r = result("--target", server.url, "--rate", 50, "--duration", "200ms", "--arrivals", "uniform")
    assert r["done"] == 10 and not errors_of(r) and r["connectionsOpened"] == 10


def test_a_connection_that_the_server_closed_meanwhile_is_not_used_again(result):
    """Answers keep the connection open in words, and close it 20 ms later: the next request takes a new one."""
    def serve(s):
        read_head(s)
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        time.sleep(0.02)
    with Raw(serve) as server:
        r = result("--target", server.url, "--rate", 5, "--duration", "1s", "--arrivals", "uniform")
    assert r["done"] == 5 and not errors_of(r) and r["connectionsOpened"] == 5


def test_no_request_leaves_on_one_of_many_connections_that_were_closed_meanwhile(tmp_path):
    """32 connections, 24 of them idle. While the generator is stopped, the eight others are answered and then the idle
    ones closed: when it goes on, it learns all that at once, and many requests are due."""
    held, resumed = [], threading.Event()
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    def serve(s):
        read_head(s)
        held.append(s)
        if held.index(s) < 32:
            resumed.wait(harness.DEADLINE_S)
        else:
            s.sendall(ok)
        while True:
            read_head(s)
            s.sendall(ok)
    path = tmp_path / "result.json"
    with Raw(serve) as server, harness.Program(
            "gpuscale", "load", "--target", server.url, "--rate", "400@80ms,0@900ms,200@500ms", "--arrivals", "uniform",
            "--progress", "json", "--interval", "50ms", "--json", path, stdout=subprocess.PIPE) as program:
        harness.wait_until(lambda: len(held) == 32, "all are asked")
        started = time.monotonic()
        for s in held[:24]:
            s.sendall(ok)
        for line in program.proc.stdout:
            if json.loads(line)["in_flight"] == 8:
                break
        program.signal(signal.SIGSTOP)
        state = pathlib.Path(f"/proc/{program.pid}/stat")
        harness.wait_until(lambda: state.read_text().rsplit(")", 1)[1].split()[0] == "T", "it is stopped")
        for s in held[24:32]:
            s.sendall(ok)
        for s in held[:24]:
            s.shutdown(socket.SHUT_RDWR)
        harness.wait_until(lambda: time.monotonic() - started > 1.2, "some 40 requests are due")
        resumed.set()
        program.signal(signal.SIGCONT)
        program.proc.stdout.read()
        assert program.wait() == 0
    r = json.loads(path.read_text())
    assert r["done"] == 132 and not errors_of(r), r["firstErrors"]


def test_answers_that_come_before_the_request_has_left_whole(result, tmp_path):
    """413 before the body was read: an answer, not a reset."""
    (tmp_path / "body").write_bytes(b"x" * (6 << 20))

    def serve(s):
        s.recv(1000)
        s.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        while s.recv(1 << 20):
            pass
    with Raw(serve) as server:
        r = result("--target", server.url, "--rate", 10, "--duration", "300ms", "--arrivals", "uniform",
                   "--body-file", tmp_path / "body")
    assert errors_of(r) == {"status": 3} and r["statuses"] == {"413": 3}


def test_headers_bodies_and_methods_arrive(result):
    with Server(lambda h: h.reply()) as server:
        r = result("--target", f"{server.url}/a?b=c", "--rate", 10, "--duration", "200ms", "--arrivals", "uniform",
                   "--header", "X-Key: v w", "--header", "Content-Type: application/json", "--body", '{"a": 1}')
        assert r["done"] == len(server.seen) == 2
        _, path, headers, body = server.seen[0]
    assert path == "/a?b=c" and body == b'{"a": 1}'
    assert headers["X-Key"] == "v w" and headers["Content-Type"] == "application/json"
    assert headers["Host"] == server.url.split("//")[1]


def test_completions_have_the_lengths_of_a_trace(result, tmp_path):
    trace = tmp_path / "trace.csv"
    trace.write_text("t_s,prompt_tokens,output_tokens\n0,10,3\n0.1,2000,4\n0.3,1,5\n0.6,7,8\n")
    with Server(lambda h: h.reply()) as server:
        start = time.monotonic()
        r = result("--target", server.url, "--replay", trace, "--speed", "2", "--model", "m")
        seen = [(at, path, json.loads(body)) for at, path, _, body in server.seen]
    assert r["done"] == 4 and r["replay"] == str(trace) and r["tokensAnswered"] == 20
    assert {path for _, path, _ in seen} == {"/v1/completions"}
    seen.sort(key=lambda s: s[0])
    assert [(len(b["prompt"].split()), b["max_tokens"]) for _, _, b in seen] == [(10, 3), (2000, 4), (1, 5), (7, 8)]
    assert all(b["model"] == "m" and b["ignore_eos"] is True and "stream" not in b for _, _, b in seen)
    assert seen[3][0] - start >= 0.3  # and not 0.6
    assert r["planned_s"] == pytest.approx(0.3, abs=0.001)


def sse(handler):
    """max_tokens events, 10 ms apart, after 50 ms."""
    n = json.loads(handler.body)["max_tokens"]
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream; charset=utf-8")
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.flush()
    time.sleep(0.05)

    def chunk(data):
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        handler.wfile.flush()
    for i in range(n):
        if i:
            time.sleep(0.01)
        chunk(b'data: {"choices":[{"text":"t"}]}\n\n')
    chunk(b"data: [DONE]\n\n")
    chunk(b"")


def test_streams_are_measured_by_their_events(result):
    with Server(sse) as server:
        r = result("--target", server.url, "--rate", 20, "--duration", "500ms", "--arrivals", "uniform",
                   "--openai", "20:6:fixed", "--stream")
        assert all(json.loads(body)["stream"] is True for _, _, _, body in server.seen)
    assert r["done"] == 10 and not errors_of(r)
    assert r["events"] == 60 == r["tokensAnswered"]
    assert r["ttft_ms"]["count"] == 10 and r["ttft_ms"]["min"] >= 50
    assert r["betweenTokens_ms"]["count"] == 50 and r["betweenTokens_ms"]["p50"] >= 9
    assert r["latency_ms"]["min"] >= 100 and r["latency_ms"]["min"] > r["ttft_ms"]["min"]


def test_a_stream_that_breaks_off_is_an_error_with_its_first_token_told(result):
    def answer(h):
        h.send_response(200)
        h.send_header("Content-Type", "text/event-stream")
        h.send_header("Transfer-Encoding", "chunked")
        h.end_headers()
        h.wfile.write(b"9\r\ndata: a\n\n\r\n")
        h.wfile.flush()
        h.close_connection = True
    with Server(answer) as server:
        r = result("--target", server.url, "--rate", 20, "--duration", "250ms", "--arrivals", "uniform",
                   "--openai", "5:5")
    assert errors_of(r) == {"reset": 5} and r["ttft_ms"]["count"] == 5 and r["latency_ms"] is None


@pytest.fixture(scope="module")
def certs(tmp_path_factory):
    return harness.Certs(tmp_path_factory.mktemp("certs"))


def tls_context(certs, name="server", **leaf):
    cert, key = certs.leaf(name, **leaf)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


def test_tls_with_the_right_and_the_wrong_authority(result, certs, tmp_path):
    other = harness.Certs(tmp_path / "other", name="other CA")
    with Server(lambda h: h.reply(b"y" * 100000), tls=tls_context(certs)) as server:
        url = server.url.replace("http:", "https:").replace("127.0.0.1", "localhost")
        plan = ("--target", url, "--rate", 40, "--duration", "500ms", "--arrivals", "uniform")
        r = result(*plan, "--ca", certs.ca)
        assert r["done"] == 20 and not errors_of(r) and r["bytesRead"] > 20 * 100000
        r = result(*plan, "--ca", other.ca)
        assert errors_of(r) == {"tls": 20} and r["sent"] == 0
        assert "certificate" in r["firstErrors"]["tls"]
        r = result(*plan, "--insecure")
        assert r["done"] == 20 and not errors_of(r)
        # The right authority, but another name.
        r = result("--target", server.url.replace("http:", "https:"), *plan[2:], "--ca", certs.ca)
        assert r["done"] == 20  # 127.0.0.1 is in the certificate too
    with Server(lambda h: h.reply(), tls=tls_context(certs, "elsewhere", sans="DNS:elsewhere")) as server:
        r = result("--target", server.url.replace("http:", "https:"), *plan[2:], "--ca", certs.ca)
        assert errors_of(r) == {"tls": 20}
    with Server(lambda h: h.reply()) as plain:
        r = result("--target", plain.url.replace("http:", "https:"), *plan[2:], "--ca", certs.ca, "--timeout", "10s")
        assert set(errors_of(r)) == {"tls"}


def test_a_name_with_an_address_where_nobody_listens_still_finds_the_other(result):
    with Server(lambda h: h.reply()) as server:
        r = result("--target", server.url.replace("127.0.0.1", "localhost"), "--rate", 40, "--duration", "250ms",
                   "--arrivals", "uniform")
    assert r["done"] == 10 and not errors_of(r)


def progress_of(out):
    return [json.loads(line) for line in out.splitlines()]


def test_progress_as_json_lines():
    def answer(h):
        h.reply(status=503 if len(h.server.seen) % 4 == 0 else 200)
    with Server(answer) as server:
        out, err = load("--target", server.url, "--rate", 100, "--duration", "550ms", "--arrivals", "uniform",
                        "--progress", "json", "--interval", "100ms")
    lines = progress_of(out)
    assert err == "" and 3 <= len(lines) <= 6  # a stalled machine has fewer
    for before, line in zip(lines, lines[1:]):
        for key in ("t_s", "sent", "done"):
            assert line[key] >= before[key]
    last = lines[-1]
    assert last["final"] is True and not any("final" in line for line in lines[:-1])
    assert last["sent"] == 55 and last["done"] == 42 and last["in_flight"] == 0
    assert last["errors"] == {"refused": 0, "reset": 0, "timeout": 0, "status": 13, "protocol": 0, "tls": 0,
                              "other": 0}
    assert 0 < last["latency_ms"]["p50"] <= last["latency_ms"]["p95"] <= last["latency_ms"]["p99"]
    assert last["ttft_ms"] == {"p50": None, "p95": None, "p99": None}


def test_the_page_is_whole_and_needs_nothing_else(tmp_path):
    def answer(h):
        if len(h.server.seen) % 3:
            h.reply()
        else:
            sse(h)
    page = tmp_path / "page.html"
    with Server(answer) as server:
        load("--target", f"{server.url}/a?b&c", "--rate", "20..60@1s", "--interval", "100ms", "--openai", "5:3:fixed",
             "--html", page)
        n = len(server.seen)
    text = page.read_text()
    assert "<script" not in text and "src=" not in text and "href=" not in text and "@import" not in text
    assert f"<h1>Load on {server.url}/a?b&amp;c</h1>" in text
    assert re.search(rf"<dt>answered</dt><dd>{n}</dd>", text)
    charts = [xml.etree.ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text, re.S)]
    assert [c.get("aria-label") for c in charts] == ["Latency curve", "Latency over time", "Rate", "In flight"]
    for chart in charts:
        assert len([p for p in chart.iter("path") if p.get("d")]) >= 1
    # Everything else is balanced too.
    xml.etree.ElementTree.fromstring(re.sub(r"<meta[^>]*>", "", text.split("\n", 1)[1]))


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_what_there_is(tmp_path, sig):
    path = tmp_path / "result.json"
    with Server(lambda h: h.reply()) as server:
        process = subprocess.Popen([PROGRAM, "load", "--target", server.url, "--rate", "50", "--duration", "1h",
                                    "--json", path, "--progress", "json", "--interval", "50ms"],
                                   stdout=subprocess.PIPE, text=True)
        first = json.loads(process.stdout.readline())
        process.send_signal(sig)
        out, _ = process.communicate(timeout=harness.DEADLINE_S)
    assert process.returncode == 0
    last = json.loads(out.splitlines()[-1])
    assert last["final"] is True and last["done"] >= first["done"]
    r = json.loads(path.read_text())
    assert r["stopped"] is True and r["sent"] == last["sent"] and r["elapsed_s"] < 3600


def test_a_terminal_gets_one_line_that_is_redrawn_and_the_table(tmp_path):
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    with Server(lambda h: h.reply()) as server:
        process = subprocess.Popen([PROGRAM, "load", "--target", server.url, "--rate", "40", "--duration", "1s",
                                    "--interval", "100ms"], stdout=subprocess.PIPE, stderr=slave, text=True)
        os.close(slave)
        out, _ = process.communicate(timeout=harness.DEADLINE_S)
    shown = b""
    try:
        while part := os.read(master, 65536):
            shown += part
    except OSError:
        pass  # the other side is closed
    os.close(master)
    lines = shown.decode().split("\r")
    assert lines[0] == "" and lines[-1] == "\x1b[K"  # wiped at the end
    assert 5 <= len(lines) <= 12 and all(line.endswith("\x1b[K") and len(line) <= 39 + 3 for line in lines[1:])
    assert "\n" not in shown.decode() and "/1.0 s  sent " in lines[3]
    assert process.returncode == 0 and "latency" in out and "sent late by" in out
    # Without a terminal there is nothing but the table, or with --progress line whole lines.
    with Server(lambda h: h.reply()) as server:
        plan = ("--target", server.url, "--rate", "40", "--duration", "500ms", "--interval", "100ms")
        assert load(*plan)[1] == ""
        assert re.fullmatch(r"(\d\.\d/0\.5 s  sent .*\n)+", load(*plan, "--progress", "line")[1])


def test_whatever_a_target_does_every_request_ends_once(result):
    """A server that draws its misbehaviour from the seed, piece by piece; every request is counted exactly once."""
    draw = random.Random(int(SEED))
    whole = [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
             b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: v\r\n\r\n",
             b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
             b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
             b"a\r\ndata: ab\n\n\r\n0\r\n\r\n",
             b"HTTP/1.0 200 OK\r\n\r\nto the end"]

    def serve(s):
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            read_head(s)
            answer = bytearray(draw.choice(whole))
            kind = draw.randrange(8)
            if kind == 0:
                answer = answer[:draw.randrange(len(answer))]
            elif kind == 1:
                answer[draw.randrange(len(answer))] = draw.randrange(256)
            elif kind == 2:
                hard_close(s)
                return
            elif kind == 3:
                answer += draw.choice(whole)  # more than was asked for
            while answer:
                n = draw.randrange(1, 40)
                s.sendall(answer[:n])
                del answer[:n]
                if draw.randrange(4) == 0:
                    time.sleep(0.001)
            if kind in (0, 4) or b"HTTP/1.0" in answer:
                return
    with Raw(serve) as server:
        r = result("--target", server.url, "--rate", 300, "--duration", "2s", "--arrivals", "uniform", "--timeout", "700ms",
                   "--connections", 50)
    assert r["done"] + sum(r["errors"].values()) == 600
    assert r["done"] == sum(n for code, n in r["statuses"].items() if int(code) < 400) > 100
    assert r["errors"]["status"] == sum(n for code, n in r["statuses"].items() if int(code) >= 400)
    assert sum(row["done"] + row["errors"] for row in r["course"]) == 600
    assert min(r["errors"][kind] for kind in ("reset", "status", "protocol")) > 0
    assert r["unfinished"] == 0 and r["latency_ms"]["count"] == r["done"]


def test_a_reader_of_progress_that_does_not_read_stops_nothing(tmp_path):
    """The pipe holds some 250 lines; the run makes twice as many, and its requests leave all the same."""
    with Server(lambda h: h.reply()) as server:
        process = subprocess.Popen([PROGRAM, "load", "--target", server.url, "--rate", "30", "--duration", "5s",
                                    "--progress", "json", "--interval", "10ms", "--arrivals", "uniform"],
                                   stdout=subprocess.PIPE, text=True)
        harness.wait_until(lambda: len(server.seen) == 150, "all requests came")
        out, _ = process.communicate(timeout=harness.DEADLINE_S)
    lines = progress_of(out)
    assert process.returncode == 0 and lines[-1]["final"] is True and lines[-1]["done"] == 150
    assert len(lines) < 490


def test_an_endless_body_keeps_nobody_from_their_turn(result):
    """One answer never ends and comes as fast as it can be read; the others are read meanwhile, and its time passes."""
    first = threading.Event()

    def serve(s):
        endless = not first.is_set()
        first.set()
        while True:
            read_head(s)
            if endless:
                s.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                while True:
                    s.sendall(b"x" * (1 << 20))
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    with Raw(serve) as server:
        r = result("--target", server.url, "--rate", 20, "--duration", "1s", "--arrivals", "uniform", "--timeout", "2s",
                   "--interval", "100ms")
    assert r["done"] + sum(r["errors"].values()) == 20 and r["errors"]["timeout"] >= 1 and r["done"] >= 15
    assert r["firstErrors"]["timeout"] == "the time passed while the answer came"
    assert r["bytesRead"] > 10 << 20 and r["elapsed_s"] >= 2


def test_it_ends_with_its_shape_even_when_all_is_answered(result):
    with Server(lambda h: h.reply()) as server:
        r = result("--target", server.url, "--rate", "20@200ms,0@600ms", "--arrivals", "uniform")
    assert r["done"] == 4 and r["elapsed_s"] >= 0.8


def test_a_seed_repeats_the_run(result):
    """The same seed, the same bodies in the same order; another, others."""
    bodies = []
    for seed in ("7", "7", "8"):
        with Server(lambda h: h.reply()) as server:
            load("--target", server.url, "--rate", 30, "--duration", "500ms", "--openai", "40:10", "--seed", seed,
                 "--connections", 1)
            bodies.append([body for _, _, _, body in server.seen])
    assert bodies[0] == bodies[1] != bodies[2] and len(bodies[0]) > 3


@pytest.mark.parametrize("args, status, message", [
    ((), 2, "--rate 10"),
    (("--rate", "10x"), 2, '--rate: "10x"'),
    (("--rate", "1", "--target", "example.org"), 2, "http:// or https://"),
    (("--rate", "1", "--target", "http://host.invalid/"), 1, "host.invalid has no address"),
    (("--rate", "1", "--ca", "x"), 2, "https"),
    (("--rate", "1", "--target", "https://127.0.0.1:1/", "--ca", "/nonexistent"), 1, "/nonexistent"),
    (("--rate", "1", "--json", "/nonexistent/x"), 1, "--json /nonexistent/x"),
    (("--rate", "1", "--html", "/nonexistent/x"), 1, "--html /nonexistent/x"),
    (("--rate", "1", "--replay", "/dev/null"), 2, "one of them"),
    (("--replay", "/nonexistent"), 1, "/nonexistent: No such file"),
    (("--rate", "1", "--target", "http://a/", "--method", "A B"), 2, 'method "A B"'),
    (("--rate", "1", "stray"), 2, "stray"),
])
def test_bad_options_are_refused_before_anything_is_sent(args, status, message):
    out, err = load(*args, status=status)
    assert out == "" and err.startswith("gpuscale load: ") and err.count("\n") == 1
    assert message in err


def test_more_connections_than_descriptors_are_refused():
    done = subprocess.run(["bash", "-c", 'ulimit -n 64 && exec "$0" load --rate 1 --duration 100ms', PROGRAM],
                          capture_output=True, text=True, timeout=harness.DEADLINE_S)
    assert done.returncode == 2 and "ulimit -n" in done.stderr
