# SPDX-License-Identifier: Apache-2.0
"""gpuscale scaler when things break: files, sources, connections, the end."""

import resource
import signal
import socket
import ssl
import threading
import time

import grpc
import pytest

from harness import Certs, sanitized
from scaler_kit import *

FAST = {"interval": "500ms"}


def one_metric(scaler, name, **labels):
    found = metric_values(scaler.page(), name)
    return next((v for k, v in found.items() if set(labels.items()) <= set(k)), None)


def test_workloads_file_is_followed_and_a_bad_version_changes_nothing(tmp_path, keda):
    with Scaler(tmp_path, [workload(replicas=3)]) as s:
        k = keda(s)
        assert k.replicas() == 3
        s.set_workloads([workload(replicas=3), workload("other", 7)])
        eventually("a workload that is new", lambda: k.replicas(name="other") == 7)
        s.set_workloads("workloads:\n- {namespace: default, traget: deployment/llm}\n")
        eventually("the failure is counted",
                   lambda: one_metric(s, "gpuscale_reload_failures_total", file="workloads") == 1)
        time.sleep(2.5)  # told once, not once a tick
        told = s.program.events("workloads file not taken, the version before stays in use")
        assert len(told) == 1
        assert "workloads.yaml:2" in told[0]["error"] and "target" in told[0]["error"]
        assert k.replicas() == 3 and k.replicas(name="other") == 7
        (tmp_path / "workloads.yaml").unlink()
        eventually("a second failure",
                   lambda: one_metric(s, "gpuscale_reload_failures_total", file="workloads") == 2)
        assert k.replicas() == 3
        s.set_workloads([workload(replicas=4)])
        eventually("gone from the file", lambda: k.code(k.metrics, name="other")[0] == "NOT_FOUND")
        assert k.replicas() == 3  # the last decision, not the count


def test_pods_that_come_and_go_are_read_and_left_alone(tmp_path, keda, pages):
    a, b = pages(VllmPod(rate=1)), pages(VllmPod(rate=7))
    with Scaler(tmp_path, [workload(replicas=1, pods=[pod("llm-0", a.addr)])], engines=FAST) as s:
        k = keda(s)
        k.value()
        eventually("the first pod is read", lambda: a.hits > 1)
        assert b.hits == 0
        s.set_workloads([workload(replicas=2, pods=[pod("llm-0", a.addr), pod("llm-1", b.addr)])])
        # 8 requests/s: R = 4, ceil(4 + 0.3 * 2) = 5
        eventually("both count", lambda: k.replicas() == 5)
        s.set_workloads([workload(replicas=2, pods=[pod("llm-0", a.addr),
                                                   pod("llm-1", b.addr, "terminating")])])
        eventually("1 request/s is left", lambda: k.replicas() == 1)
        hits = b.hits
        time.sleep(1.5)
        assert b.hits <= hits + 1


def test_sighup_reads_the_file_at_once(tmp_path, keda):
    with Scaler(tmp_path, [workload(replicas=3)], tick="1m") as s:
        k = keda(s)
        assert k.replicas() == 3
        s.set_workloads([workload("other", 7)])
        s.program.signal(signal.SIGHUP)
        eventually("the new file", lambda: k.replicas(name="other") == 7)


@pytest.mark.parametrize("fault, reason", [("503", "status"), ("html", "html"), ("drop", None)])
def test_pages_that_lie_are_failures_with_a_reason(tmp_path, keda, pages, fault, reason):
    page = pages(VllmPod(rate=4))
    with Scaler(tmp_path, [workload(pods=[pod("llm-0", page.addr)])], engines=FAST) as s:
        k = keda(s)
        eventually("3 replicas", lambda: k.replicas() == 3)
        page.fault = fault

        def failures():
            found = metric_values(s.page(), "gpuscale_scrapes_total")
            return {dict(k)["result"]: v for k, v in found.items()
                    if dict(k)["source"] == "engine" and dict(k)["result"] != "ok" and v > 0}
        eventually("counted", lambda: reason in failures() if reason else failures())
        assert k.replicas() == 3
        eventually("unavailable, not zero", lambda: k.code(k.metrics)[0] == "UNAVAILABLE")
        assert len(s.program.events("engine page failed: its values age")) == 1
        source = s.api("/api/v1/sources")["items"][0]
        assert source["state"] == "failing" and source["error"] and source["key"] == "default/llm-0"


def test_a_slow_page_is_asked_before_its_values_are_too_old(tmp_path, keda, pages):
    """A page that takes a third of the interval is asked less often, but not so seldom that what it
    said is unknown in between: the trigger's maxAge bounds the pause."""
    page = pages(VllmPod(rate=4))
    quick = page.render
    with Scaler(tmp_path, [workload(pods=[pod("llm-0", page.addr)])], engines={"interval": "2s"}) as s:
        k = keda(s)
        eventually("3 replicas", lambda: k.replicas() == 3)

        def slow():
            time.sleep(0.7)
            return quick()
        page.render = slow
        hits = page.hits
        while page.hits < hits + 5:
            assert k.replicas() == 3  # raises when it fails
            time.sleep(0.1)


@pytest.mark.parametrize("how", ["close", "silent", "old"])
def test_an_agent_that_is_lost_or_tells_old_values_holds_and_then_fails(tmp_path, keda, pages, how):
    pod_page = pages(CustomPod(queue=0))
    agent = pages(FakeAgent(tmp_path, {"llm-0": 90.0}))
    metadata = {"gpuUtilization": "55", "downWindow": "1s", "maxAge": "5s"}
    with Scaler(tmp_path, [workload(replicas=1, pods=[pod("llm-0", pod_page.addr)])],
                agents=[agent.addr], engines=FAST) as s:
        k = keda(s)
        eventually("2 replicas", lambda: k.replicas(metadata=metadata) == 2)
        agent.close() if how == "close" else agent.only_old() if how == "old" \
            else setattr(agent, "fault", "silent")
        lost = time.monotonic()
        while (answer := k.code(k.metrics, metadata=metadata))[0] == "OK":
            assert answer[1].metricValues[0].metricValue == 2, "a lost agent is not 0 %"
            assert time.monotonic() < lost + 30
            time.sleep(0.1)
        assert answer[0] == "UNAVAILABLE" and "gpuUtilization" in answer[1]
        assert k.active(metadata=metadata) is True
        assert s.page().count(b'gpuscale_unknown_signals{signal="gpuUtilization"} 1') == 1
        if how != "close":
            agent.fault = None
            eventually("2 again", lambda: k.replicas(metadata=metadata) == 2)


def test_restart_on_the_same_port(tmp_path, keda):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        listen = "127.0.0.1:%d" % free.getsockname()[1]
    first = Scaler(tmp_path, [workload(replicas=3)], listen=listen)
    k = keda(first, options=[("grpc.initial_reconnect_backoff_ms", 100),
                             ("grpc.max_reconnect_backoff_ms", 200)])
    assert k.replicas() == 3
    first.program.kill()
    assert k.code(k.metrics)[0] == "UNAVAILABLE"
    with Scaler(tmp_path, [workload(replicas=5)], listen=listen):
        eventually("5", lambda: k.replicas() == 5)


def test_sigterm_under_load_ends_streams_with_ok_and_calls_with_answers(tmp_path, keda):
    with Scaler(tmp_path, [workload(replicas=3)]) as s:
        keepers = [keda(s) for _ in range(4)]
        streams = [Pushed(k.stream(m)) for k in keepers
                   for m in ("StreamIsActive", "StreamMetricSpec")]
        wrong, answered, stop = [], [0], threading.Event()

        def load(k):
            while not stop.is_set():
                code, answer = k.code(k.metrics)
                if code == "OK":
                    answered[0] += 1
                elif code != "UNAVAILABLE":  # what a connection that is gone gives
                    wrong.append((code, answer))
                else:
                    return
        threads = [threading.Thread(target=load, args=(k,)) for k in keepers]
        for t in threads:
            t.start()
        eventually("load", lambda: answered[0] > 200)
        s.program.stop()  # exit status 0
        stop.set()
        for t in threads:
            t.join(20)
        assert not wrong
        eventually("the streams end", lambda: all(p.end for p in streams), deadline_s=10)
        assert [p.end for p in streams] == ["OK"] * 8


def test_sigint_and_two_sigterms_end_cleanly_too(tmp_path):
    for signals in ([signal.SIGINT], [signal.SIGTERM, signal.SIGTERM]):
        s = Scaler(tmp_path, [workload()])
        for number in signals:
            s.program.signal(number)
        assert s.program.wait() == 0


def test_ten_thousand_idle_connections_leave_it_answering(tmp_path, keda):
    count = 10000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(count, hard - 500)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, count + 500), hard))
    host, port = None, None
    sockets = []
    try:
        with Scaler(tmp_path, [workload(replicas=3)]) as s:
            k = keda(s)
            assert k.replicas() == 3
            host, port = s.grpc.rsplit(":", 1)
            before = s.program.rss_bytes()
            preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
            for i in range(count):
                sock = socket.create_connection((host, int(port)), timeout=10)
                sock.sendall(preface)
                sockets.append(sock)
                if i % 1000 == 0:
                    assert k.replicas() == 3
            eventually("all are open",
                       lambda: one_metric(s, "gpuscale_grpc_connections") >= count)
            assert k.replicas() == 3
            per_connection = (s.program.rss_bytes() - before) / count
            print(f"# {count} idle connections: {per_connection / 1024:.1f} KiB each")
            assert per_connection < 64 * 1024 or sanitized()
            for sock in sockets:
                sock.close()
            sockets.clear()
            eventually("all are gone", lambda: one_metric(s, "gpuscale_grpc_connections") <= 2)
            assert k.replicas() == 3
    finally:
        for sock in sockets:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_thousands_of_push_triggers_share_one_connection(tmp_path, keda):
    """KEDA has one connection for all ScaledObjects, and grpc lets calls beyond the peer's stream limit
    wait without end: two streams of each of 3,000 triggers must leave room for polls."""
    count = 3000
    with Scaler(tmp_path, [workload(f"llm-{i}", replicas=1) for i in range(count)]) as s:
        k = keda(s)
        streams = [k.stream(method, name=f"llm-{i}") for i in range(count)
                   for method in ("StreamMetricSpec", "StreamIsActive")]
        eventually("all are open", lambda: sum(
            metric_values(s.page(), "gpuscale_grpc_streams").values()) == 2 * count)
        for i in (0, count // 2, count - 1):
            assert next(streams[2 * i]) == k.spec(name=f"llm-{i}")
            assert next(streams[2 * i + 1]).result is True
            assert k.replicas(name=f"llm-{i}") == 1
        for stream in streams:
            stream.cancel()
        eventually("all are closed", lambda: sum(
            metric_values(s.page(), "gpuscale_grpc_streams").values()) == 0)


def test_half_open_connections_are_ended(tmp_path, keda):
    with Scaler(tmp_path, [workload(replicas=3)]) as s:
        k = keda(s)
        host, port = s.grpc.rsplit(":", 1)
        silent = socket.create_connection((host, int(port)))
        half = socket.create_connection((host, int(port)))
        half.sendall(b"PRI * HTTP/2.0\r\n")
        for sock in (silent, half):
            sock.settimeout(30)
            while sock.recv(4096):  # its SETTINGS may come first
                pass
            sock.close()
        assert k.replicas() == 3


def test_mutual_tls_and_a_certificate_that_is_replaced(tmp_path, keda):
    ca, other = Certs(tmp_path / "ca"), Certs(tmp_path / "other")
    crt, key = ca.leaf("scaler")
    tls = {"cert": str(crt), "key": str(key), "ca": str(ca.ca)}

    def credentials(authority, leaf):
        return grpc.ssl_channel_credentials(authority.ca.read_bytes(), leaf[1].read_bytes(),
                                            leaf[0].read_bytes())

    def served(s):
        context = ssl.create_default_context(cafile=str(ca.ca))
        context.check_hostname = False
        context.set_alpn_protocols(["h2"])
        context.load_cert_chain(*ca.leaf("probe"))
        host, port = s.grpc.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=10) as raw:
            with context.wrap_socket(raw) as sock:
                assert sock.selected_alpn_protocol() == "h2"
                return sock.getpeercert()["serialNumber"]

    with Scaler(tmp_path, [workload(replicas=3)], tls=tls) as s:
        good = keda(s, credentials=credentials(ca, ca.leaf("keda")))
        assert good.replicas() == 3
        bad = [keda(s, credentials=credentials(ca, other.leaf("keda"))),
               keda(s, credentials=grpc.ssl_channel_credentials(ca.ca.read_bytes())), keda(s)]
        for k in bad:
            assert k.code(k.metrics)[0] == "UNAVAILABLE"
        first = served(s)
        ca.leaf("scaler")
        s.program.signal(signal.SIGHUP)
        eventually("the new certificate", lambda: served(s) != first)
        assert good.replicas() == 3  # old connections live on
        crt.write_text("not a certificate")
        s.program.signal(signal.SIGHUP)
        eventually("told", lambda: s.program.events("gRPC certificate not re-read, the old one stays"))
        assert served(s) != first
        eventually("the expiry is shown", lambda: one_metric(
            s, "gpuscale_certificate_expiry_timestamp_seconds", server="grpc") > time.time())


def test_start_errors_say_what_to_change(tmp_path):
    from harness import run
    good = tmp_path / "w.yaml"
    good.write_text("workloads: []\n")
    bad = tmp_path / "bad.yaml"
    bad.write_text("workloads:\n- {namespace: default}\n")
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        taken = "127.0.0.1:%d" % busy.getsockname()[1]
        cases = [
            (["--workloads", tmp_path / "none.yaml"], 1, ["none.yaml"]),
            (["--workloads", bad], 1, ["bad.yaml:2", "target"]),
            (["--workloads", good, "--grpc-listen", taken], 1, ["grpc.listen", taken]),
            (["--workloads", good, "--grpc-listen", "127.0.0.1:0", "--http-listen", taken], 1,
             ["http.listen", taken]),
            (["--workloads", good, "--grpc-listen", "nowhere"], 2, ["grpc-listen", "nowhere"]),
            (["--workloads", good, "--tick", "0"], 2, ["--tick"]),
            (["--wrokloads", good], 2, ["wrokloads"]),
            ([], 2, ["workloads"]),
        ]
        for args, status, says in cases:
            done = run("gpuscale", "scaler", "--health-listen", "127.0.0.1:0", *args)
            assert done.returncode == status, (args, done)
            for word in says:
                assert word in done.stderr, (args, done.stderr)


def test_verbs(tmp_path):
    from harness import run
    assert "scaler" in run("gpuscale", "help").stdout
    assert run("gpuscale").returncode == 2
    wrong = run("gpuscale", "scalar")
    assert wrong.returncode == 2 and 'did you mean "scaler"?' in wrong.stderr
    assert "--workloads" in run("gpuscale", "help", "scaler").stdout
    assert "--last" in run("gpuscale", "explain", "--help").stdout
    assert run("gpuscale", "--version").stdout.startswith("gpuscale ")
