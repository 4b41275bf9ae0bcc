# SPDX-License-Identifier: Apache-2.0
"""The demo's gateway: it chooses, holds, repeats and streams, and never loses a request silently."""

import http.client
import re
import shutil
import socket
import subprocess
import threading
import time

import pytest

from gateway_kit import Gateway, Nginx, Replica, error_of
from harness import run, sanitized, wait_until


@pytest.fixture
def gateway():
    with Gateway() as g:
        yield g


def silent(request):
    """A replica that works for ever: gone() returns when the gateway gives up."""
    request.gone(60)
    raise EOFError


def test_a_request_and_its_answer_pass_with_their_fields_and_lose_those_of_one_hop(gateway):
    def serve(request):
        request.answer(b"made", "201 Created", ["X-Answer: yes", "Content-Type: text/x",
                                                "Connection: X-Hop", "X-Hop: 1",
                                                "Keep-Alive: timeout=5", "Retry-After: 7"])
    with Replica(serve) as replica:
        gateway.add("a", replica.at)
        status, headers, body = gateway.post(
            b"x" * 70000, "/v1/a%20b/%C3%A4?x=1&y=%20z",
            {"X-Request-Id": "7", "Connection": "X-Mine", "X-Mine": "1", "TE": "trailers",
             "Authorization": "Bearer t"})
        assert (status, body) == (201, b"made")
        assert headers["X-Answer"] == "yes" and headers["Content-Type"] == "text/x"
        assert headers["Retry-After"] == "7"
        assert not {"X-Hop", "Keep-Alive", "Connection"} & set(headers)
        got = replica.requests[0]
        assert (got.method, got.target) == ("POST", "/v1/a%20b/%C3%A4?x=1&y=%20z")
        assert got.body == b"x" * 70000
        assert got.headers["x-request-id"] == "7" and got.headers["authorization"] == "Bearer t"
        assert got.headers["host"] == replica.at and got.headers["via"] == "1.1 gpuscale"
        assert not {"x-mine", "te", "connection"} & set(got.headers)


def test_methods_and_paths_that_no_replica_serves_are_refused_by_the_gateway(gateway):
    with Replica() as replica:
        gateway.add("a", replica.at)
        for method, path, expected in [("GET", "/admin", 404), ("PUT", "/v1/models", 405),
                                       ("GET", "/predict", 405), ("GET", "/health", 200)]:
            c = gateway.client()
            c.request(method, path)
            answer = c.getresponse()
            text = answer.read()
            assert answer.status == expected, (method, path)
            if expected != 200:
                assert error_of(text)["code"] == expected
            c.close()
        assert replica.requests == []


def test_curl_gets_the_head_and_the_chunked_body_passes(gateway, tmp_path):
    with Replica() as replica:
        gateway.add("a", replica.at)
        done = run("curl", "-sS", "--noproxy", "*", "-H", "Transfer-Encoding: chunked", "-d",
                   "in pieces", f"http://{gateway.at}/predict")
        assert done.stdout == "in pieces", done.stderr
        assert replica.requests[0].headers["content-length"] == "9"
        done = run("curl", "-sSI", "--noproxy", "*", f"http://{gateway.at}/v1/models")
        assert done.stdout.startswith("HTTP/1.1 200"), done
        # HTTP/1.0 gets its answer, and the connection's end.
        done = run("curl", "-sS", "-0", "--noproxy", "*", "-d", "old",
                   f"http://{gateway.at}/predict")
        assert done.stdout == "old", done.stderr


def test_connections_to_a_replica_are_kept(gateway):
    with Replica() as replica:
        gateway.add("a", replica.at)
        c = gateway.client()
        for i in range(50):
            c.request("POST", "/predict", b"%d" % i)
            assert c.getresponse().read() == b"%d" % i
        c.close()
        assert replica.connections == 1


def test_the_replica_with_the_fewest_requests_is_chosen_and_equal_ones_take_turns(gateway):
    release = threading.Event()

    def slow(request):
        release.wait(60)
        request.answer(b"slow")
    with Replica(slow) as a, Replica(slow) as b, Replica(slow) as c:
        for name, replica in (("a", a), ("b", b), ("c", c)):
            gateway.add(name, replica.at)
        jobs = [gateway.in_background() for _ in range(12)]
        wait_until(lambda: sum(len(r.requests) for r in (a, b, c)) == 12, "all have arrived")
        assert [len(r.requests) for r in (a, b, c)] == [4, 4, 4]
        assert gateway.value("gateway_requests_active") == 12
        assert gateway.value("gateway_replica_requests", replica="b") == 4
        release.set()
        assert {j.result()[2] for j in jobs} == {b"slow"}
        for _ in range(6):  # all are idle: each in its turn
            gateway.post()
        assert all(len(r.requests) > 4 for r in (a, b, c))


def test_requests_are_held_in_order_while_no_replica_is_ready(gateway):
    jobs = []
    for i in range(5):
        jobs.append(gateway.in_background(b"%d" % i))
        wait_until(lambda: gateway.value("gateway_requests_held") == i + 1, "it is held")
    assert gateway.value("gateway_requests_total") == 5
    with Replica() as replica:
        gateway.add("a", replica.at)
        assert [j.result()[2] for j in jobs] == [b"0", b"1", b"2", b"3", b"4"]
        assert sorted(r.body for r in replica.requests) == [b"0", b"1", b"2", b"3", b"4"]
    assert gateway.value("gateway_requests_held") == 0


def test_too_many_held_requests_are_refused_with_retry_after():
    with Gateway("--max-held", 3) as gateway:
        jobs = [gateway.in_background() for _ in range(3)]
        wait_until(lambda: gateway.value("gateway_requests_held") == 3, "three are held")
        status, headers, body = gateway.post()
        assert status == 503 and headers["Retry-After"] == "1"
        assert error_of(body)["type"] == "hold_full"
        assert gateway.value("gateway_errors_total", kind="hold_full") == 1
        with Replica() as replica:
            gateway.add("a", replica.at)
            assert all(j.result()[0] == 200 for j in jobs)


def test_a_request_is_held_for_so_long_and_then_refused():
    with Gateway("--hold-ms", 200) as gateway:
        status, headers, body = gateway.post()
        assert status == 503 and headers["Retry-After"] == "1"
        assert error_of(body)["type"] == "hold_timeout"


def test_a_request_of_a_replica_that_is_killed_goes_to_another(gateway):
    dying = threading.Event()

    def dies(request):
        dying.set()
        request.reset()
    with Replica(dies) as bad, Replica() as good:
        gateway.add("bad", bad.at)
        first = gateway.in_background(b"once")
        dying.wait(30)
        gateway.add("good", good.at)
        status, _, body = first.result()
        assert (status, body) == (200, b"once")
        assert good.requests[0].body == b"once"
        assert gateway.value("gateway_retries_total", reason="reset") >= 1
        assert gateway.value("gateway_errors_total", kind="failed") == 0


def test_half_of_an_answer_of_known_length_is_not_passed_on(gateway):
    def half(request):
        request.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        time.sleep(0.05)
        request.reset()
    with Replica(half) as bad:
        gateway.add("bad", bad.at)
        first = gateway.in_background(b"the whole!")
        wait_until(lambda: bad.requests, "it has arrived")
        with Replica() as good:
            gateway.add("good", good.at)
            assert first.result()[2] == b"the whole!"


def test_a_stream_that_is_cut_is_seen_as_cut(gateway):
    def cut(request):
        request.begin()
        request.piece(b"token ")
        time.sleep(0.05)
        request.reset()
    with Replica(cut) as replica:
        gateway.add("a", replica.at)
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            gateway.post()
        assert len(replica.requests) == 1, "what was begun is not repeated"
        assert gateway.value("gateway_errors_total", kind="cut") == 1


def test_a_kept_connection_that_the_replica_has_closed_costs_nothing(gateway):
    def once(request):
        request.answer(b"ok")
        raise EOFError  # closes, without having said so
    with Replica(once) as replica:
        gateway.add("a", replica.at)
        for _ in range(20):
            assert gateway.post()[0] == 200
        assert gateway.value("gateway_errors_total", kind="failed") == 0
        assert replica.connections == 20
    # Closed in the moment in which the next request comes: sent once more, on a fresh one.
    hit = []

    def second_time_closes(request):
        hit.append(request)
        if len(hit) == 2:
            request.reset()
        request.answer(b"ok")
    with Replica(second_time_closes) as replica:
        gateway.remove("a")
        gateway.add("b", replica.at)
        assert gateway.post()[0] == 200
        assert gateway.post()[0] == 200
        assert len(hit) == 3
        assert gateway.value("gateway_retries_total", reason="reset") == 0


def test_a_full_replica_is_left_for_another_once(gateway):
    def full(request):
        request.answer(b"{}", "503 Service Unavailable", ["Retry-After: 9"])
    with Replica(full) as a, Replica(full) as b:
        gateway.add("a", a.at)
        status, headers, _ = gateway.post()  # no other: passed on
        assert (status, headers["Retry-After"]) == (503, "9") and len(a.requests) == 1
        gateway.add("b", b.at)
        status, headers, _ = gateway.post()
        assert (status, headers["Retry-After"]) == (503, "9")
        assert (len(a.requests), len(b.requests)) == (2, 1)
        assert gateway.value("gateway_errors_total", kind="busy") == 2
        with Replica() as free:
            gateway.add("free", free.at)
            # Whichever is asked first: of two full ones and a free one at least the third try hits.
            statuses = [gateway.post()[0] for _ in range(12)]
            assert statuses.count(200) == len(free.requests) > 0
            assert gateway.value("gateway_retries_total", reason="busy") > 1


def test_a_request_that_cannot_be_passed_on_is_refused_and_hinders_no_other():
    with Gateway("--max-head", 400) as gateway:
        large = gateway.in_background(headers={"X-Large": "x" * 400})  # held, before another
        wait_until(lambda: gateway.value("gateway_requests_held") == 1, "it is held")
        behind = gateway.in_background(b"behind")
        wait_until(lambda: gateway.value("gateway_requests_held") == 2, "both are held")
        with Replica() as replica:
            gateway.add("a", replica.at)
            assert behind.result()[::2] == (200, b"behind")
            status, _, body = large.result()
            assert status == 431 and error_of(body)["type"] == "failed" and "head is too large" in error_of(body)["message"]
            assert gateway.post(headers={"X-Large": "x" * 400})[0] == 431
            assert gateway.post(b"next")[::2] == (200, b"next")
            assert len(replica.requests) == 2
        assert gateway.value("gateway_errors_total", kind="failed") == 2


@pytest.mark.parametrize("framing", ["Content-Length: 2\r\n\r\nok", "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"])
def test_an_answer_with_the_largest_head_that_is_read_passes(gateway, framing):
    # It grows on its way: a Date, and a blank in each of its fields.
    def serve(request):
        head = "HTTP/1.1 200 OK\r\n" + "".join(f"X-{i}:y\r\n" for i in range(60)) + "X-Large:"
        end = framing.split("\r\n\r\n")[0]
        room = (16 << 10) - len(head) - len(f"\r\n{end}\r\n\r\n")
        request.sock.sendall((head + "x" * room + "\r\n" + framing).encode())
    with Replica(serve) as replica:
        gateway.add("a", replica.at)
        status, headers, body = gateway.post()
        assert (status, body, headers["X-59"]) == (200, b"ok", "y") and len(headers["X-Large"]) > 15000


def test_garbage_is_reported_after_three_attempts(gateway):
    def garbage(request):
        request.sock.sendall(b"SSH-2.0-nothing\r\n\r\n")
        raise EOFError
    with Replica(garbage) as replica:
        gateway.add("a", replica.at)
        status, _, body = gateway.post()
        assert status == 502 and error_of(body)["type"] == "failed"
        assert len(replica.requests) == 3
        assert gateway.value("gateway_retries_total", reason="garbage") == 2


def test_a_replica_that_hangs_is_a_504_and_is_not_asked_again():
    with Gateway("--answer-ms", 300) as gateway, Replica(silent) as replica:
        gateway.add("a", replica.at)
        status, _, body = gateway.post()
        assert status == 504 and error_of(body)["type"] == "timeout"
        assert len(replica.requests) == 1

        def hangs_later(request):
            request.begin()
            request.piece(b"one")
            silent(request)
        with Replica(hangs_later) as later:
            gateway.remove("a")
            gateway.add("b", later.at)
            with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
                gateway.post()


def test_a_client_that_goes_away_frees_the_replica_and_its_place_in_the_queue(gateway):
    gone = threading.Event()

    def serve(request):
        if request.gone():
            gone.set()
        raise EOFError
    held = gateway.client()
    held.request("POST", "/predict", b"held")
    wait_until(lambda: gateway.value("gateway_requests_held") == 1, "it is held")
    held.close()
    wait_until(lambda: gateway.value("gateway_requests_held") == 0, "it left the queue")
    with Replica(serve) as replica:
        gateway.add("a", replica.at)
        c = gateway.client()
        c.request("POST", "/predict", b"working")
        wait_until(lambda: replica.requests, "it has arrived")
        c.close()
        assert gone.wait(30), "the replica was not told"
        assert [r.body for r in replica.requests] == [b"working"]
        wait_until(lambda: gateway.value("gateway_requests_active") == 0, "it is over")
        assert gateway.value("gateway_errors_total", kind="gone") == 2


def test_a_drained_replica_finishes_and_gets_nothing_new(gateway):
    release = threading.Event()

    def slow(request):
        release.wait(60)
        request.answer(b"old")
    with Replica(slow) as old, Replica(lambda r: r.answer(b"new")) as new:
        gateway.add("old", old.at)
        first = gateway.in_background()
        wait_until(lambda: old.requests, "it has arrived")
        gateway.add("new", new.at)
        gateway.drain("old")
        assert [gateway.post()[2] for _ in range(5)] == [b"new"] * 5
        release.set()
        assert first.result()[2] == b"old"
        gateway.remove("old")
        assert len(old.requests) == 1


def test_a_replica_that_listens_no_more_is_avoided_and_its_requests_wait_for_another(gateway):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        at = "127.0.0.1:%d" % closed.getsockname()[1]
    gateway.add("gone", at)
    with Replica() as good:
        gateway.add("good", good.at)
        assert [gateway.post()[0] for _ in range(20)] == [200] * 20
        assert gateway.value("gateway_retries_total", reason="refused") <= 20
    gateway.remove("good")
    alone = gateway.in_background(b"later")
    with Replica() as good:
        gateway.add("good2", good.at)
        assert alone.result()[2] == b"later"


def test_pieces_pass_as_they_come(gateway):
    go = threading.Event()

    def stream(request):
        request.begin(["Content-Type: text/event-stream"])
        request.piece(b"data: 1\n\n")
        go.wait(30)
        request.piece(b"data: 2\n\n")
        request.end()
    with Replica(stream) as replica:
        gateway.add("a", replica.at)
        c = gateway.client()
        c.request("POST", "/v1/chat/completions", b"{}")
        answer = c.getresponse()
        assert answer.getheader("Content-Type") == "text/event-stream"
        assert answer.read1(100) == b"data: 1\n\n"
        go.set()
        assert answer.read() == b"data: 2\n\n"
        # The connection goes on.
        c.request("POST", "/v1/chat/completions", b"{}")
        assert c.getresponse().read() == b"data: 1\n\ndata: 2\n\n"
        c.close()


def test_a_slow_reader_holds_the_replica_back_not_the_gateways_memory(gateway):
    total, sent = 64 << 20, []

    def flood(request):
        request.begin()
        for _ in range(total >> 20):
            request.piece(b"x" * (1 << 20))
            sent.append(1 << 20)
        request.end()
    with Replica(flood) as replica:
        gateway.add("a", replica.at)
        before = gateway.rss_bytes()
        c = gateway.client(timeout=60)
        c.request("POST", "/v1/completions", b"{}")
        answer = c.getresponse()
        mark = [-1]

        def stalled():
            last, mark[0] = mark[0], len(sent)
            return last == mark[0]
        wait_until(stalled, "the replica is held back", every_s=0.5)
        assert sum(sent) < total
        if not sanitized("gateway_main"):
            assert gateway.rss_bytes() - before < 8 << 20
        assert len(answer.read()) == total
        c.close()


def test_a_long_answer_of_known_length_streams(gateway):
    body = b"y" * (3 << 20)
    with Replica(lambda r: r.answer(body)) as replica:
        gateway.add("a", replica.at)
        assert gateway.post()[2] == body


def test_replicas_come_and_go_under_load_and_no_request_is_lost(gateway):
    """Eight clients while replicas are killed in the middle of requests, drained and added."""
    stop, failures, served = threading.Event(), [], [0]

    def client(n):
        c = gateway.client()
        while not stop.is_set():
            body = b"%d-%d" % (n, served[0])
            try:
                c.request("POST", "/predict", body)
                answer = c.getresponse()
                text = answer.read()
                if (answer.status, text) != (200, body):
                    failures.append((answer.status, text))
            except OSError as e:
                failures.append(e)
                c.close()
            served[0] += 1
    threads = [threading.Thread(target=client, args=(n,), daemon=True) for n in range(8)]
    for t in threads:
        t.start()
    current = Replica()
    gateway.add("r0", current.at)
    for i in range(1, 16):
        time.sleep(0.05)
        following = Replica()
        if i % 3 == 0:  # killed: the next one comes later
            current.__exit__()
            gateway.remove(f"r{i - 1}")
            gateway.add(f"r{i}", following.at)
        else:
            gateway.add(f"r{i}", following.at)
            gateway.drain(f"r{i - 1}")
            wait_until(lambda: gateway.value("gateway_replica_requests", replica=f"r{i - 1}") == 0,
                       "the drained one is idle")
            gateway.remove(f"r{i - 1}")
            current.__exit__()
        current = following
    stop.set()
    for t in threads:
        t.join(30)
    current.__exit__()
    assert failures == [] and served[0] > 100, (failures[:5], served)


def test_a_port_that_is_taken_is_told():
    with Gateway() as gateway:
        done = run("gateway_main", "--listen", gateway.at)
        assert done.returncode == 1 and gateway.at in done.stderr and "in use" in done.stderr


def test_held_requests_are_answered_when_the_gateway_ends():
    gateway = Gateway()
    job = gateway.in_background()
    wait_until(lambda: gateway.value("gateway_requests_held") == 1, "it is held")
    gateway.stop()
    assert job.result()[0] == 503


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_wrk_sees_no_error(gateway, tmp_path):
    """nginx as two replicas, 64 connections."""
    with Nginx(tmp_path) as nginx:
        for name in ("a", "b"):
            gateway.add(name, nginx.at)
        out = subprocess.run(["wrk", "-t2", "-c64", "-d2s", f"http://{gateway.at}/v1/models"],
                             capture_output=True, text=True, timeout=60).stdout
        assert "Non-2xx" not in out and "Socket errors" not in out, out
        requests = int(re.search(r"(\d+) requests in", out)[1])
        wait_until(lambda: gateway.value("gateway_requests_active") == 0, "all are over")
        assert gateway.value("gateway_answers_total", code="2xx") >= requests
        assert gateway.value("gateway_errors_total", kind="failed") == 0
