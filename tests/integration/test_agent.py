# SPDX-License-Identifier: Apache-2.0
"""gpuscale-agent as a program: scenarios, /metrics, Watch, health, TLS, reload, signals, mistakes."""

import gzip
import json
import os
import re
import signal
import socket
import threading
import time
from urllib.parse import quote

import grpc
import pytest

import harness
from agent_kit import Agent, Watch, by_gpu, client_context, free_port, grpc_credentials, values_of
from harness import http_get, metric_values, run, wait_until


@pytest.fixture(scope="module")
def pb(tmp_path_factory):
    harness.make_stubs(tmp_path_factory.mktemp("stubs"), "node", "health")
    import node_pb2
    return node_pb2


@pytest.fixture(scope="module")
def certs(tmp_path_factory):
    return harness.Certs(tmp_path_factory.mktemp("certs"))


# --- /metrics and health


def test_it_serves_what_the_gpus_say():
    with Agent("sim:2,steady,level=0.5") as agent:
        agent.wait_ready()
        util = agent.values("DCGM_FI_DEV_GPU_UTIL")
        assert len(util) == 2
        for labels, value in util.items():
            labels = dict(labels)
            assert 45 <= value <= 55
            assert labels["Hostname"] == "node-a"
            assert labels["device"] == f"nvidia{labels['gpu']}"
            assert labels["UUID"].startswith("GPU-")
            assert "pod" not in labels
        for _, value in agent.values("gpuscale_gpu_utilization_ratio").items():
            assert 0.45 <= value <= 0.55
        used = by_gpu(agent.values("gpu_memory_used"))
        assert used["0"] > 10e9
        mib = by_gpu(agent.values("DCGM_FI_DEV_FB_USED"))
        assert abs(mib["0"] - used["0"] / 2**20) <= 1024
        assert agent.values("gpuscale_agent_gpus") == {frozenset(): 2}


def test_health_says_ok_or_what_is_missing():
    with Agent("sim:1,hang,after=0s,for=1h,period=2h") as agent:
        health = agent.addr("health")
        assert http_get(f"http://{health}/healthz")[::2] == (200, b"ok\n")
        status, _, body = agent.ready()
        assert (status, body) == (503, b"the GPUs were not read yet\n")
        assert http_get(f"http://{health}/metrics")[0] == 404
        # A node whose GPUs could not be read yet has no GPU series, not zeros.
        page = agent.page()
        assert "DCGM_FI_DEV" not in page and "gpu_utilization" not in page


def test_gzip_is_asked_for_by_the_client():
    with Agent("sim:8,steady", interval="1m") as agent:
        agent.wait_ready()
        _, headers, body = http_get(agent.url(), headers={"Accept-Encoding": "gzip"})
        assert headers["Content-Encoding"] == "gzip"
        assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        page = gzip.decompress(body).decode()
        assert len(body) * 5 < len(page)
        _, headers, plain = http_get(agent.url(), headers={"Accept-Encoding": "gzip;q=0"})
        assert "Content-Encoding" not in headers
        assert plain.decode() == page  # the same rendering


def test_the_page_is_rendered_once_a_round_only():
    with Agent("sim:1,steady", interval="1m") as agent:
        agent.wait_ready()
        assert len({agent.page() for _ in range(20)}) == 1


def test_families_are_switched_by_the_configuration(tmp_path):
    config = tmp_path / "agent.yaml"
    config.write_text("metrics: {dcgm: off, classic: false, hostnameLabel: hostname}\n")
    with Agent("sim:1,steady", config=config, dcgm=None) as agent:
        agent.wait_ready()
        page = agent.page()
        assert "DCGM_FI_DEV" not in page and "\ngpu_utilization{" not in page
        assert "\ngpuscale_gpu_utilization_ratio{" in page
        config.write_text("metrics: {dcgm: on, gpuscale: false, hostnameLabel: hostname}\n")
        agent.signal(signal.SIGHUP)
        wait_until(lambda: 'hostname="node-a"' in agent.page(), "the new families are served")
        page = agent.page()
        assert "\ngpu_utilization{" in page and "gpuscale_" not in page


# --- scenarios


def test_idle_is_zero_because_it_is_known():
    with Agent("sim:2,idle") as agent:
        agent.wait_ready()
        assert by_gpu(agent.values("DCGM_FI_DEV_GPU_UTIL")) == {"0": 0, "1": 0}
        assert by_gpu(agent.values("DCGM_FI_DEV_POWER_USAGE")) == {"0": 70, "1": 70}


@pytest.mark.parametrize("scenario", ["ramp,period=3s", "sawtooth,period=2s", "burst,period=1s"])
def test_the_load_moves(scenario):
    with Agent(f"sim:1,{scenario}") as agent:
        agent.wait_ready()
        seen = set()

        def both():
            seen.update(agent.values("gpu_utilization").values())
            return min(seen) < 20 and max(seen) > 80
        wait_until(both, "low and high load were seen")


def test_flaky_values_come_and_go_and_are_never_zero():
    with Agent("sim:1,flaky,seed=7") as agent:
        agent.wait_ready()
        seen = []

        def absent_and_present():
            values = agent.values("gpu_utilization")
            seen.append(len(values))
            assert all(v > 40 for v in values.values())
            return 0 in seen and 1 in seen
        wait_until(absent_and_present, "the value came and went", deadline_s=90)
        wait_until(lambda: list(agent.values("gpuscale_agent_sample_failures_total").values())[0] > 0,
                   "a call failed", deadline_s=90)


def test_a_lost_gpu_is_told_and_returns(pb):
    with Agent("sim:2,lost,after=1s,for=1s") as agent, Watch(agent.addr("grpc"), pb) as watch:
        first = watch.until(lambda m: len(m.gpus) == 2)
        ids = {g.info.index: g.id for g in first.gpus}
        lost = watch.until(lambda m: any(g.lost for g in m.gpus))
        gpu = next(g for g in lost.gpus if g.lost)
        assert gpu.id == ids[1] and gpu.valid == 0 and list(gpu.values) == []
        assert ids[1] not in lost.age_id and ids[0] in lost.age_id
        page = agent.page()
        if by_gpu(metric_values(page, "gpuscale_gpu_lost")) == {"0": 0, "1": 1}:
            assert by_gpu(metric_values(page, "gpu_utilization")).keys() == {"0"}
        back = watch.until(lambda m: any(g.id == ids[1] and not g.lost and g.valid for g in m.gpus))
        assert "UTILIZATION_PCT" in values_of(next(g for g in back.gpus if g.id == ids[1]))
        wait_until(lambda: by_gpu(agent.values("gpu_utilization")).keys() == {"0", "1"},
                   "both GPUs are on the page")


def test_a_hanging_driver_delays_neither_scrape_nor_heartbeat(pb):
    with Agent("sim:2,hang,after=500ms,for=1h,period=2h") as agent, \
            Watch(agent.addr("grpc"), pb) as watch:
        agent.wait_ready()
        watch.until(lambda m: m.driver_stalled_ms > 1000)
        # Heartbeats go on, with growing ages and no new values.
        ages = []
        for _ in range(5):
            message = watch.next()
            assert not message.gpus
            ages.append(message.age_ms[0])
        assert ages == sorted(ages) and ages[-1] > ages[0] >= 1000
        took = []
        for _ in range(200):
            start = time.monotonic()
            agent.page()
            took.append(time.monotonic() - start)
        assert max(took) < 5  # not the hang's hour
        # Readings age off the page; their age and the stall stay on it.
        wait_until(lambda: "gpu_utilization" not in agent.page(), "old readings are gone")
        page = agent.page()
        assert list(metric_values(page, "gpuscale_agent_driver_stalled_seconds").values())[0] > 4
        assert min(metric_values(page, "gpuscale_gpu_reading_age_seconds").values()) > 4
        assert agent.ready()[0] == 200
        agent.wait_log("the GPU driver does not answer")
        # and the end comes at once all the same
        assert agent.stop() == 0
        assert watch.end()[0] == grpc.StatusCode.OK


def test_load_is_told_over_a_socket(tmp_path):
    path = tmp_path / "load"
    with Agent(f"sim:4,load={path}") as agent:
        agent.wait_ready()
        player = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

        def tell(text):
            player.sendto(text.encode(), str(path))
        assert by_gpu(agent.values("gpu_utilization"))["2"] == 0
        tell("gpu=2 busy=0.8 memory_used_bytes=64424509440 ttl_ms=1500\n")
        wait_until(lambda: by_gpu(agent.values("gpu_utilization"))["2"] == 80, "the told load")
        assert by_gpu(agent.values("gpu_memory_used"))["2"] == 64424509440
        assert by_gpu(agent.values("gpu_utilization"))["1"] == 0
        wait_until(lambda: by_gpu(agent.values("gpu_utilization"))["2"] == 0, "the load expires")
        tell("gpu=9 busy=0.8")  # refused, and nobody is harmed
        tell("gpu=* busy=1")
        wait_until(lambda: set(by_gpu(agent.values("gpu_utilization")).values()) == {100}, "all")
    assert not path.exists()


# --- Watch


def test_watch_tells_all_then_changes_then_heartbeats(pb):
    with Agent("sim:3,idle", interval="200ms") as agent:
        agent.wait_ready()
        with Watch(agent.addr("grpc"), pb) as watch:
            first = watch.next()
            assert first.full and first.seq == 1 and first.node == "node-a"
            assert re.fullmatch("[0-9a-f]{32}", first.boot_id)
            assert first.interval_ms == 200 and first.agent_version
            assert [g.info.index for g in first.gpus] == [0, 1, 2]
            assert all(g.info.uuid.startswith("GPU-") for g in first.gpus)
            assert first.gpus[0].info.memory_total_bytes == 81559 << 20
            values = values_of(first.gpus[0])
            assert values["UTILIZATION_PCT"] == 0 and values["POWER_W"] == 70
            assert not first.gpus[0].owners_known  # no `pods` list: unknown
            for seq in range(2, 12):
                message = watch.next()
                assert message.seq == seq  # no hole
                assert not message.full and message.boot_id == first.boot_id
                assert sorted(message.age_id) == sorted(g.id for g in first.gpus)
                assert max(message.age_ms) < 60000
                assert all(not g.HasField("info") for g in message.gpus)
                for g in message.gpus:  # idle: nothing but energy and temperature moves
                    assert values_of(g)["UTILIZATION_PCT"] == 0
        wait_until(lambda: agent.values("gpuscale_agent_streams") == {frozenset(): 0},
                   "the stream is gone")


def test_a_message_comes_in_every_interval(pb):
    with Agent("sim:1,steady", interval="300ms") as agent:
        agent.wait_ready()
        with Watch(agent.addr("grpc"), pb) as watch:
            watch.next()
            for _ in range(10):
                watch.next(deadline_s=3 * 0.3 + 2)  # three missed would be a reconnect; slow machine


def test_a_new_run_has_a_new_boot_id(pb):
    seen = set()
    for _ in range(2):
        with Agent("sim:1") as agent, Watch(agent.addr("grpc"), pb) as watch:
            seen.add(watch.next().boot_id)
    assert len(seen) == 2


def test_many_streams_are_told_alike_and_too_many_are_refused(pb):
    with Agent("sim:1,steady", interval="200ms") as agent:
        agent.wait_ready()
        one = Watch(agent.addr("grpc"), pb)
        with one:
            one.next()  # it has its place before the others come
            calls = [one.channel.unary_stream(
                "/gpuscale.v1.Node/Watch", pb.WatchRequest.SerializeToString,
                pb.NodeState.FromString)(pb.WatchRequest()) for _ in range(300)]
            ended, fed = 0, 0
            for call in calls:
                try:
                    next(call)
                    fed += 1
                except grpc.RpcError as e:
                    assert e.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
                    assert "256 streams" in e.details()
                    ended += 1
            assert (fed, ended) == (255, 45)
            for call in calls:
                call.cancel()


def test_a_client_that_does_not_read_is_told_less_often_not_later(pb):
    with Agent("sim:64,burst,period=500ms", interval="100ms") as agent:
        agent.wait_ready()
        # A client whose flow-control window is full: it never reads the call.
        options = [("grpc.http2.lookahead_bytes", 1024), ("grpc.http2.bdp_probe", 0)]
        channel = grpc.insecure_channel(agent.addr("grpc"), options=options)
        call = channel.unary_stream("/gpuscale.v1.Node/Watch", pb.WatchRequest.SerializeToString,
                                    pb.NodeState.FromString)(pb.WatchRequest())
        first = next(call)
        wait_until(lambda: list(agent.values("gpuscale_agent_stream_skips_total").values())[0] > 5,
                   "messages were skipped", deadline_s=90)
        rss = agent.rss_bytes()
        # Another client is not held up.
        with Watch(agent.addr("grpc"), pb) as watch:
            for _ in range(5):
                watch.next()
        seq = first.seq
        for message, _ in zip(call, range(20)):  # it reads again: no hole
            assert message.seq == seq + 1
            seq = message.seq
        assert agent.rss_bytes() < rss + (16 << 20)
        call.cancel()
        channel.close()


def test_a_client_that_never_reads_loses_its_stream(pb):
    with Agent("sim:64,burst,period=500ms", interval="100ms") as agent:
        agent.wait_ready()
        options = [("grpc.http2.lookahead_bytes", 1024), ("grpc.http2.bdp_probe", 0)]
        with grpc.insecure_channel(agent.addr("grpc"), options=options) as channel:
            call = channel.unary_stream("/gpuscale.v1.Node/Watch",
                                        pb.WatchRequest.SerializeToString,
                                        pb.NodeState.FromString)(pb.WatchRequest())
            next(call)
            wait_until(lambda: agent.values("gpuscale_agent_streams_ended_slow_total")
                       == {frozenset(): 1}, "the stream is ended", deadline_s=90)
            agent.wait_log("its client does not read")
            with pytest.raises(grpc.RpcError) as ended:
                for _ in call:
                    pass
            assert ended.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        wait_until(lambda: agent.values("gpuscale_agent_streams") == {frozenset(): 0}, "it is gone")


def test_grpc_health_answers(pb):
    import health_pb2
    with Agent("sim:1") as agent, grpc.insecure_channel(agent.addr("grpc")) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check", health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString)
        answer = check(health_pb2.HealthCheckRequest(service=""), timeout=harness.DEADLINE_S)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


# --- attribution


def test_pods_of_the_configuration_hold_the_gpus_and_change_with_it(tmp_path, pb):
    config = tmp_path / "agent.yaml"
    config.write_text("pods:\n- {gpu: 0, namespace: ml, pod: vllm-0, container: main}\n")
    with Agent("sim:2,steady", config=config) as agent, Watch(agent.addr("grpc"), pb) as watch:
        agent.wait_ready()
        first = watch.until(lambda m: m.gpus)
        owners = {g.info.index: [(o.namespace, o.pod, o.container) for o in g.owners]
                  for g in first.gpus}
        assert owners == {0: [("ml", "vllm-0", "main")], 1: []}
        assert all(g.owners_known for g in first.gpus)
        labels = [dict(k) for k in agent.values("DCGM_FI_DEV_GPU_UTIL")]
        assert [d.get("pod") for d in sorted(labels, key=lambda d: d["gpu"])] == ["vllm-0", None]

        uuid = first.gpus[1].info.uuid
        fresh = tmp_path / "new.yaml"
        fresh.write_text(f"pods:\n- {{gpu: {uuid}, namespace: ml, pod: vllm-1}}\n")
        os.replace(fresh, config)  # as a ConfigMap is swapped
        changed = watch.until(lambda m: any(o.pod == "vllm-1" for g in m.gpus for o in g.owners))
        assert {g.id for g in changed.gpus} == {g.id for g in first.gpus}
        owner = agent.values("gpuscale_gpu_owner_info")
        assert [dict(k)["pod"] for k in owner] == ["vllm-1"]

        config.write_text("pods:\n- {gpu: 0, namespce: ml, pod: x}\n")
        line = agent.wait_log("configuration not reloaded")
        assert "did you mean 'namespace'" in line and "agent.yaml:2:" in line
        wait_until(lambda: agent.values("gpuscale_agent_config_last_reload_successful")
                   == {frozenset(): 0}, "the page tells")
        assert [dict(k)["pod"] for k in agent.values("gpuscale_gpu_owner_info")] == ["vllm-1"]

        config.write_text("pods: []\n")
        agent.wait_log("configuration reloaded")
        wait_until(lambda: agent.values("gpuscale_gpu_owner_info") == {}, "nobody holds a GPU")
        assert set(agent.values("gpuscale_gpu_owner_known").values()) == {1}


# --- dcgm-exporter


def test_dcgm_series_are_left_to_a_dcgm_exporter_that_answers(tmp_path):
    page = (b"# TYPE DCGM_FI_DEV_GPU_UTIL gauge\n"
            b'DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="GPU-1"} 97\n')
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def serve():
        while True:
            try:
                conn, _ = listener.accept()
            except OSError:
                return
            with conn:
                conn.recv(4096)
                conn.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + page)
    threading.Thread(target=serve, daemon=True).start()
    with Agent("sim:1,steady", "--dcgm-exporter", f"127.0.0.1:{port}", dcgm="auto") as agent:
        agent.wait_ready()
        agent.wait_log("a dcgm-exporter answers")
        text = agent.page()
        assert "DCGM_FI_DEV" not in text and "\ngpu_utilization{" in text
        assert metric_values(text, "gpuscale_agent_dcgm_exporter_found") == {frozenset(): 1}
    # Nobody there: the agent serves them itself. Its own address is nobody.
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    with Agent("sim:1,steady", "--dcgm-exporter", f"127.0.0.1:{port}", dcgm="auto") as agent:
        agent.wait_ready()
        wait_until(lambda: "DCGM_FI_DEV_GPU_UTIL{" in agent.page(), "its own DCGM series")


# --- TLS


def test_tls_on_metrics_and_mutual_tls_on_grpc(certs, pb):
    server, client = certs.leaf("agent"), certs.leaf("scaler", common_name="scaler-1")
    with Agent("sim:1,steady", "--tls-cert", server[0], "--tls-key", server[1],
               "--grpc-tls-cert", server[0], "--grpc-tls-key", server[1],
               "--grpc-tls-ca", certs.ca) as agent:
        agent.wait_ready()
        status, _, body = http_get(agent.url(scheme="https"), context=client_context(certs))
        assert status == 200 and b"gpu_utilization{" in body
        not_after = metric_values(body, "gpuscale_agent_certificate_not_after_seconds")
        assert {dict(k)["server"] for k in not_after} == {"metrics", "grpc"}
        with pytest.raises(OSError):
            http_get(agent.url(), deadline_s=5)  # plain HTTP to a TLS port
        with Watch(agent.addr("grpc"), pb, grpc_credentials(certs, client)) as watch:
            assert watch.next().full
        agent.wait_log('"watch stream opened" .*certificate=scaler-1')
        for credentials in (grpc_credentials(certs),  # shows none
                            None):                    # plain
            with Watch(agent.addr("grpc"), pb, credentials) as watch:
                assert watch.end()[0] == grpc.StatusCode.UNAVAILABLE


def test_a_certificate_of_another_authority_is_refused(certs, pb, tmp_path):
    server = certs.leaf("agent")
    stranger = harness.Certs(tmp_path / "other", name="another CA")
    wrong = stranger.leaf("scaler")
    with Agent("sim:1", "--tls-cert", server[0], "--tls-key", server[1], "--tls-ca", certs.ca,
               "--grpc-tls-cert", server[0], "--grpc-tls-key", server[1],
               "--grpc-tls-ca", certs.ca) as agent:
        credentials = grpc.ssl_channel_credentials(certs.ca.read_bytes(), wrong[1].read_bytes(),
                                                   wrong[0].read_bytes())
        with Watch(agent.addr("grpc"), pb, credentials) as watch:
            assert watch.end()[0] == grpc.StatusCode.UNAVAILABLE
        for leaf in (None, wrong):  # mutual TLS of the metrics port
            with pytest.raises(OSError):
                http_get(agent.url(scheme="https"), context=client_context(certs, leaf))
        status, _, _ = http_get(agent.url(scheme="https"),
                                context=client_context(certs, certs.leaf("prometheus")))
        assert status == 200


def peer_serial(agent, certs):
    import ssl
    host, port = agent.addr("metrics").rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        with client_context(certs).wrap_socket(raw, server_hostname="localhost") as tls:
            return tls.getpeercert()["serialNumber"]


def test_certificates_are_reloaded_when_they_change(certs):
    cert, key = certs.leaf("renewed")
    with Agent("sim:1", "--tls-cert", cert, "--tls-key", key) as agent:
        before = peer_serial(agent, certs)
        certs.leaf("renewed")
        wait_until(lambda: peer_serial(agent, certs) != before, "the new certificate is shown")
        agent.wait_log("certificate reloaded")
        served = peer_serial(agent, certs)
        key.write_text("no key at all\n")  # a bad renewal keeps what works
        agent.wait_log("certificate not reloaded, the one before stays")
        assert peer_serial(agent, certs) == served


# --- Prometheus


def test_promtool_finds_nothing_in_our_own_series(tmp_path):
    config = tmp_path / "agent.yaml"
    config.write_text("metrics: {dcgm: off, classic: false}\n"
                      "pods: [{gpu: 0, namespace: ml, pod: a, container: b}]\n")
    with Agent("sim:2,steady", config=config, dcgm=None) as agent:
        agent.wait_ready()
        done = run("promtool", "check", "metrics", stdin=agent.page())
        assert (done.returncode, done.stdout + done.stderr) == (0, "")
    with Agent("sim:2,steady") as agent:  # dcgm-exporter's names are what they are, but well-formed
        agent.wait_ready()
        done = run("promtool", "check", "metrics", stdin=agent.page())
        rest = [line for line in (done.stdout + done.stderr).splitlines()
                if not re.match(r"(DCGM_FI_|gpu_)\w+ (label names should be written in 'snake_case'"
                                r"|counter metrics should have \"_total\")", line)]
        assert rest == []


def test_prometheus_scrapes_plain_and_tls_without_a_warning(tmp_path, certs):
    cert, key = certs.leaf("agent")
    reader = certs.leaf("prometheus")
    port = free_port()
    with Agent("sim:8,steady") as plain, \
            Agent("sim:8,steady", "--tls-cert", cert, "--tls-key", key, "--tls-ca", certs.ca) as tls:
        config = tmp_path / "prometheus.yml"
        config.write_text(f"""
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
- job_name: plain
  static_configs: [{{targets: ["{plain.addr('metrics')}"]}}]
- job_name: tls
  scheme: https
  tls_config: {{ca_file: {certs.ca}, cert_file: {reader[0]}, key_file: {reader[1]}}}
  static_configs: [{{targets: ["{tls.addr('metrics')}"]}}]
""")
        with harness.Program("/usr/bin/prometheus", f"--config.file={config}",
                             f"--storage.tsdb.path={tmp_path / 'data'}",
                             f"--web.listen-address=127.0.0.1:{port}") as prometheus:
            base = f"http://127.0.0.1:{port}/api/v1"

            def ask(query):
                status, _, body = http_get(f"{base}/query?query={quote(query)}")
                return status == 200 and json.loads(body)["data"]["result"]
            wait_until(lambda: len(ask("count_over_time(up[1m])>2") or []) == 2, "three scrapes each",
                       deadline_s=60)
            assert {r["value"][1] for r in ask("up")} == {"1"}
            counts = ask("count by (job) (DCGM_FI_DEV_GPU_UTIL)")
            assert {r["metric"]["job"]: r["value"][1] for r in counts} == {"plain": "8", "tls": "8"}
            assert 50 <= float(ask("avg(gpu_utilization)")[0]["value"][1]) <= 70
            warnings = [line for line in prometheus.lines if re.search("level=(warn|error)", line)]
            assert warnings == []


# --- start, end, mistakes


def test_sigterm_ends_streams_with_ok_and_exits_0(pb):
    agent = Agent("sim:1,steady")
    watches = [Watch(agent.addr("grpc"), pb) for _ in range(5)]
    for w in watches:
        w.next()
    agent.signal(signal.SIGTERM)
    for w in watches:
        assert w.end()[0] == grpc.StatusCode.OK
        w.close()
    assert agent.wait() == 0
    assert agent.events("stopped")


@pytest.mark.parametrize("args, says", [
    (["--source", "simm:8"], 'unknown GPU source "simm" (did you mean "sim"?)'),
    (["--source", "sim:8,rampp"], 'did you mean "ramp"'),
    (["--source", "amd"], '"amd" is not in this build'),
    (["--source", "auto"], "found no GPU"),
    (["--source", "replay:/no/such/file"], "/no/such/file"),
    (["--source", "sim:1", "--record", "/no/such/folder/file"], "/no/such/folder/file"),
    (["--interval", "5x"], "flag --interval: found '5x'"),
    (["--interval", "1ms"], "flag --interval"),
    (["--sorce", "sim:1"], "sorce"),
    (["--source", "sim:1", "--listen", "nowhere"], "nowhere"),
    (["--source", "sim:1", "--tls-cert", "/no/cert"], "metrics.tls.key is missing"),
    (["--source", "sim:1", "--tls-cert", "/no/cert", "--tls-key", "/no/key"], "/no/cert"),
    (["--source", "sim:1", "--grpc-tls-ca", "/no/ca"], "grpc.tls.ca needs grpc.tls.cert"),
    (["--source", "sim:1", "--dcgm", "perhaps"], "perhaps"),
    (["--source", "sim:1", "--dcgm-exporter", "nowhere"], "nowhere"),
    (["--config", "/no/such.yaml"], "/no/such.yaml"),
    (["stray"], "stray"),
])
def test_a_mistake_is_told_and_the_status_is_2(args, says):
    done = run("gpuscale-agent", "--health-listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0",
               *(["--listen", "127.0.0.1:0"] if "--listen" not in args else []), *args)
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("gpuscale-agent: ") and says in last, done.stderr


def test_a_port_that_is_taken_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        addr = f"127.0.0.1:{taken.getsockname()[1]}"
        for flag, port in (("--listen", "metrics"), ("--grpc-listen", "gRPC"),
                           ("--health-listen", "health")):
            flags = {"--listen": "127.0.0.1:0", "--grpc-listen": "127.0.0.1:0",
                     "--health-listen": "127.0.0.1:0", flag: addr}
            done = run("gpuscale-agent", "--source", "sim:1", *[x for f in flags.items() for x in f])
            assert done.returncode == 2
            assert f"{port} port" in done.stderr and addr in done.stderr
            assert "in use" in done.stderr


def test_help_and_version_print_to_stdout():
    done = run("gpuscale-agent", "--help")
    assert done.returncode == 0 and not done.stderr
    for word in ("--source", "sim:N", "--listen ADDR:PORT", "--grpc-listen", "--config FILE"):
        assert word in done.stdout
    assert all(len(line) <= 100 for line in done.stdout.splitlines())
    done = run("gpuscale-agent", "--version")
    assert done.returncode == 0 and re.search(r"\d+\.\d+\.\d+", done.stdout)


def test_a_source_that_fails_for_good_ends_the_agent(tmp_path):
    recording = tmp_path / "short.csv"
    recording.write_text("time_s,gpu,uuid,power_w\n0,0,GPU-a,70\n0.5,0,,71\n")
    agent = Agent(f"replay:{recording},end=stop")
    assert agent.wait() == 1
    assert "has ended" in agent.log()


def test_what_is_recorded_is_replayed(tmp_path):
    recording = tmp_path / "readings.csv"
    with Agent("sim:2,ramp,period=2s", "--record", recording) as agent:
        agent.wait_ready()
        wait_until(lambda: by_gpu(agent.values("gpu_utilization"))["1"] > 60, "some load")
    rows = recording.read_text().splitlines()
    assert rows[0].startswith("time_s,gpu,state,uuid,model,")
    with Agent(f"replay:{recording},end=loop") as agent:
        agent.wait_ready()
        uuids = {dict(k)["UUID"] for k in agent.values("gpu_utilization")}
        assert uuids == {row.split(",")[3] for row in rows[1:3]}
        wait_until(lambda: by_gpu(agent.values("gpu_utilization"))["1"] > 60, "the same load")


def test_a_full_disk_ends_the_recording_and_nothing_else(tmp_path):
    recording = tmp_path / "readings.csv"
    agent = harness.Program("/usr/bin/prlimit", "--fsize=8192",
                            harness.find_program("gpuscale-agent"), "--source", "sim:4,steady",
                            "--interval", "100ms", "--record", recording, "--listen", "127.0.0.1:0",
                            "--grpc-listen", "127.0.0.1:0", "--health-listen", "127.0.0.1:0")
    with agent:
        line = agent.wait_log("the recording ended")
        assert "readings.csv" in line and "File too large" in line
        page = http_get(f"http://{agent.addr('metrics')}/metrics")[2]
        assert len(metric_values(page, "gpu_utilization")) == 4
        assert agent.stop() == 0
    assert recording.stat().st_size == 8192


def test_gpus_of_a_recording_come_and_go(tmp_path, pb):
    recording = tmp_path / "hotplug.csv"
    recording.write_text("time_s,gpu,state,uuid,utilization_pct\n"
                         "0,0,,GPU-a,10\n0,1,,GPU-b,20\n1,1,gone,,\n1000,0,,,10\n")
    with Agent(f"replay:{recording},end=hold") as agent, Watch(agent.addr("grpc"), pb) as watch:
        first = watch.until(lambda m: len(m.gpus) == 2)
        gone = first.gpus[1].id
        message = watch.until(lambda m: m.removed)
        assert list(message.removed) == [gone]
        assert gone not in message.age_id
        wait_until(lambda: by_gpu(agent.values("gpu_utilization")) == {"0": 10}, "one GPU is left")


def test_the_log_is_json_when_asked():
    with Agent("sim:1", "--log-format", "json") as agent:
        agent.wait_log('"listening"')
        assert all(json.loads(line) for line in agent.lines)
