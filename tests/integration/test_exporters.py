# SPDX-License-Identifier: Apache-2.0
"""GPU exporters as the scaler's source: an agent's own page in the place of dcgm-exporter's, pages with
the shapes of releases old and new, and everything that goes wrong with a page."""

import itertools
import json
import socket
import ssl

import pytest

from agent_kit import Agent, free_port
from harness import Certs, Program, metric_values, wait_until
from scaler_kit import *

RULE = {**CLASSIC, "when": "any", "maxAge": "5s"}
FAST = {"interval": "500ms"}
GPU = "GPU-%08x-0000-0000-0000-000000000000"


@pytest.fixture
def kept():
    """Whatever has a close() or stop()."""
    made = []

    def keep(thing):
        made.append(thing)
        return thing
    yield keep
    for t in reversed(made):
        t.stop() if isinstance(t, Program) else t.close()


def exporters(*targets, collect="2s", **more):
    return {"targets": list(targets), "interval": "500ms", "collectInterval": collect, **more}


class DcgmPage(Page):
    """dcgm-exporter's page: `gpus` maps an index to (utilization, pod). A collection a reading, with
    its energy, unless `stuck`."""

    def __init__(self, gpus, spelling="hostname", namespace="default"):
        self.gpus, self.spelling, self.namespace = dict(gpus), spelling, namespace
        self.energy, self.stuck, self.extra, self.with_energy = itertools.count(1000), None, "", True
        super().__init__(self.text)

    def labels(self, i, pod):
        l = {"gpu": str(i), "UUID": GPU % i, "device": f"nvidia{i}", "modelName": "Test GPU",
             "Hostname" if self.spelling == "Hostname" else "hostname": "node-a"}
        holder = {"container": "main", "namespace": self.namespace, "pod": pod}
        if self.spelling == "old":
            l["uuid"] = l.pop("UUID")
            holder = {"container_name": "main", "pod_namespace": self.namespace, "pod_name": pod}
        elif self.spelling == "exported":
            holder = {"exported_" + k: v for k, v in holder.items()} if pod else {}
            l |= {"instance": "10.0.0.1:9400", "job": "dcgm", "pod": "dcgm-exporter-x",
                  "namespace": "monitoring", "container": "exporter"}
        if pod or self.spelling == "Hostname":  # releases of that time print empty ones
            l |= holder
        return "{%s}" % ",".join(f'{k}="{v}"' for k, v in l.items())

    def text(self):
        energy = self.stuck if self.stuck is not None else next(self.energy)
        lines = []
        for i, (busy, pod) in self.gpus.items():
            at = self.labels(i, pod)
            if busy is not None:
                lines.append(f"DCGM_FI_DEV_GPU_UTIL{at} {busy}")
            lines.append(f"DCGM_FI_DEV_FB_USED{at} 2048")
            if self.with_energy:
                lines.append(f"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{at} {energy}")
        return "\n".join(lines) + "\n" + self.extra

    def freeze(self):
        self.stuck = next(self.energy)


def custom(kept, n=1, rate=0.0):
    return [kept(CustomPod(rate=rate)) for _ in range(n)]


def ready(pods):
    return [pod(f"llm-{i}", p.addr) for i, p in enumerate(pods)]


def gpus_of(scaler):
    return {g["uuid"]: g for g in scaler.api("/api/v1/gpus")["items"]}


def source(scaler, kind="exporter"):
    return [s for s in scaler.api("/api/v1/sources")["items"] if s["kind"] == kind]


def test_an_exporter_alone_scales_a_workload_by_its_gpus(tmp_path, kept):
    """The page is the real agent's own: it is dcgm-exporter's, name for name."""
    load = tmp_path / "load.sock"
    config = tmp_path / "agent.yaml"
    config.write_text("pods:\n" + "".join(
        f"- {{gpu: {i}, namespace: default, pod: llm-{i}, container: main}}\n" for i in range(2)))
    agent = kept(Agent(f"sim:3,steady,level=0.95,load={load}", config=config)).wait_ready()
    with Scaler(tmp_path / "s", [workload(replicas=2, pods=ready(custom(kept, 2)))],
                engines=FAST, exporters=exporters(agent.addr("metrics"))) as s:
        k = kept(Keda(s.grpc, tmp_path))
        # 2 GPUs at 95 % for 55 % a replica: 190 / 55 = 3.45
        eventually("4 replicas", lambda: k.replicas(metadata=RULE) == 4)
        gpus = gpus_of(s)
        assert len(gpus) == 3 and {g["source"] for g in gpus.values()} == {"exporter"}
        free = [g for g in gpus.values() if g["index"] == 2][0]
        assert free["ownersKnown"] and free["owners"] == []
        held = [g for g in gpus.values() if g["index"] == 0][0]
        assert held["owners"] == [{"namespace": "default", "pod": "llm-0", "container": "main"}]
        assert held["node"] == "node-a" and 90 < held["values"]["utilization_pct"] <= 100
        wait_until(lambda: source(s)[0]["collectionSeen"], "energy flows")
        one, = source(s)
        assert one["state"] == "good" and one["exporter"] == "dcgm-exporter" and one["gpus"] == 3
        assert one["podsNamed"]
        assert metric_values(s.page(), "gpuscale_gpus") == {
            frozenset({("source", "agent")}): 0, frozenset({("source", "exporter")}): 3}
        # Idle: down to one.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
            def idle():
                to.sendto(b"gpu=* busy=0 ttl_ms=60000\n", str(load))
                return k.replicas(metadata=RULE) == 1
            eventually("1 replica", idle)


@pytest.mark.parametrize("spelling", ["hostname", "Hostname", "old", "exported"])
def test_every_spelling_joins_the_gpu_to_its_pod(tmp_path, kept, spelling):
    page = kept(DcgmPage({0: (90, "llm-0"), 1: (0, "")}, spelling))
    with Scaler(tmp_path / "s", [workload(pods=ready(custom(kept)))], engines=FAST,
                exporters=exporters(page.addr)) as s:
        k = kept(Keda(s.grpc, tmp_path))
        eventually("2 replicas", lambda: k.replicas(metadata=RULE) == 2)
        gpus = gpus_of(s)
        assert [o["pod"] for o in gpus[GPU % 0]["owners"]] == ["llm-0"]
        assert gpus[GPU % 1]["ownersKnown"] and gpus[GPU % 1]["owners"] == []
        assert gpus[GPU % 0]["node"] == "node-a"


def test_a_blank_is_unknown_and_moves_nothing(tmp_path, kept):
    page = kept(DcgmPage({0: (90, "llm-0")}))
    with Scaler(tmp_path / "s", [workload(replicas=2, pods=ready(custom(kept)))], engines=FAST,
                exporters=exporters(page.addr)) as s:
        k = kept(Keda(s.grpc, tmp_path))
        eventually("2 replicas", lambda: k.replicas(metadata=RULE) == 2)
        page.gpus[0] = ("9223372036854775794", "llm-0")  # DCGM's blank
        eventually("unavailable", lambda: k.code(k.metrics, metadata=RULE)[0] == "UNAVAILABLE")
        assert "gpuUtilization" in k.code(k.metrics, metadata=RULE)[1]
        assert "utilization_pct" not in gpus_of(s)[GPU % 0]["values"]
        assert sum(metric_values(s.page(), "gpuscale_exporter_values_bad_total").values()) > 0
        s.program.wait_log("GPU exporter's page lacks values.*DCGM_FI_DEV_GPU_UTIL")
        page.gpus[0] = (90, "llm-0")
        eventually("2 replicas again", lambda: k.replicas(metadata=RULE) == 2)
        s.program.wait_log("page is whole again")


def test_a_lost_exporter_holds_and_then_is_unavailable_never_zero(tmp_path, kept):
    page = kept(DcgmPage({0: (90, "llm-0")}))
    with Scaler(tmp_path / "s", [workload(replicas=1, pods=ready(custom(kept)))], engines=FAST,
                exporters=exporters(page.addr)) as s:
        k = kept(Keda(s.grpc, tmp_path))
        eventually("2 replicas", lambda: k.replicas(metadata=RULE) == 2)
        page.fault = "drop"
        seen = set()

        def gone():
            code, answer = k.code(k.value, metadata=RULE)
            if code == "OK":
                seen.add(answer)
            return code == "UNAVAILABLE"
        eventually("unavailable", gone)
        assert seen <= {2.0}
        assert source(s)[0]["state"] == "failing" and source(s)[0]["gpus"] == 1
        assert gpus_of(s)[GPU % 0]["ageSeconds"] > 5
        assert len([1 for line in s.program.log().splitlines()
                    if "GPU exporter's page failed" in line]) == 1
        page.fault = None
        eventually("2 replicas again", lambda: k.replicas(metadata=RULE) == 2)
        s.program.wait_log("GPU exporter's page is good again")


@pytest.mark.parametrize("fault", ["503", "html", "empty"])
def test_a_page_that_is_none_keeps_the_gpus_and_says_why(tmp_path, kept, fault):
    page = kept(DcgmPage({0: (90, "llm-0")}))
    with Scaler(tmp_path / "s", [workload(pods=ready(custom(kept)))], engines=FAST,
                exporters=exporters(page.addr)) as s:
        wait_until(lambda: GPU % 0 in gpus_of(s), "the GPU is there")
        if fault == "empty":  # as dcgm-exporter serves before its first collection
            page.gpus = {}
        else:
            page.fault = fault
        reason = {"503": "status", "html": "html", "empty": "nothing"}[fault]
        wait_until(lambda: source(s)[0].get("reason") == reason, reason)
        assert GPU % 0 in gpus_of(s)
        counted = metric_values(s.page(), "gpuscale_scrapes_total")
        assert counted[frozenset({("source", "exporter"), ("result", reason)})] > 0


def test_an_exporter_that_is_stuck_is_found_by_its_energy(tmp_path, kept):
    """The page is served and never changes: values stand for collectInterval, then they age."""
    page = kept(DcgmPage({0: (90, "llm-0")}))
    with Scaler(tmp_path / "s", [workload(pods=ready(custom(kept)))], engines=FAST,
                exporters=exporters(page.addr, collect="1s")) as s:
        k = kept(Keda(s.grpc, tmp_path))
        eventually("2 replicas", lambda: k.replicas(metadata=RULE) == 2)
        page.freeze()
        eventually("unavailable", lambda: k.code(k.metrics, metadata=RULE)[0] == "UNAVAILABLE")
        assert source(s)[0]["state"] == "stuck" and source(s)[0]["failed"] == 0
        assert sum(metric_values(s.page(), "gpuscale_exporters_stuck").values()) == 1
        s.program.wait_log("GPU exporter answers and reads its GPUs no more")
        page.stuck = None
        eventually("2 replicas again", lambda: k.replicas(metadata=RULE) == 2)
        s.program.wait_log("GPU exporter reads its GPUs again")


def test_a_page_without_energy_cannot_show_that_it_is_stuck(tmp_path, kept):
    page = kept(DcgmPage({0: (90, "llm-0")}))
    page.with_energy = False
    with Scaler(tmp_path / "s", [workload(pods=ready(custom(kept)))], engines=FAST,
                exporters=exporters(page.addr, collect="1s")) as s:
        k = kept(Keda(s.grpc, tmp_path))
        eventually("2 replicas", lambda: k.replicas(metadata=RULE) == 2)
        hits = page.hits
        wait_until(lambda: page.hits > hits + 6, "read for three collections")
        assert k.replicas(metadata=RULE) == 2
        assert source(s)[0]["collectionSeen"] is False and source(s)[0]["state"] == "good"


def test_a_gpu_that_leaves_the_page_is_lost_and_then_gone(tmp_path, kept):
    page = kept(DcgmPage({0: (90, "llm-0"), 1: (10, "llm-1")}))
    with Scaler(tmp_path / "s", [workload(replicas=2, pods=ready(custom(kept, 2)))], engines=FAST,
                exporters=exporters(page.addr)) as s:
        wait_until(lambda: len(gpus_of(s)) == 2, "two GPUs")
        del page.gpus[1]
        wait_until(lambda: gpus_of(s)[GPU % 1]["lost"], "lost")
        wait_until(lambda: GPU % 1 not in gpus_of(s), "gone")
        assert GPU % 0 in gpus_of(s)


def test_a_gpu_of_an_agent_and_an_exporter_counts_once(tmp_path, kept):
    """The agent's word counts while it is fresh; the exporter takes over when it is silent."""
    agent = kept(FakeAgent(tmp_path, {"llm-0": 10.0}))
    page = kept(DcgmPage({}))
    uuid = "GPU-%032x" % 1  # FakeAgent's
    page.render = lambda: (
        f'DCGM_FI_DEV_GPU_UTIL{{UUID="{uuid}",namespace="default",pod="llm-0"}} 90\n'
        f'DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{UUID="{uuid}",namespace="default",pod="llm-0"}} '
        f'{next(page.energy)}\n')
    with Scaler(tmp_path / "s", [workload(pods=ready(custom(kept)))], engines=FAST,
                agents=[agent.addr], exporters=exporters(page.addr)) as s:
        k = kept(Keda(s.grpc, tmp_path))

        def changes():
            return sum(metric_values(s.page(), "gpuscale_gpu_source_changes_total").values())
        # 10 % of the agent, not 90 % of the exporter, and not the mean of both.
        wait_until(lambda: gpus_of(s)[uuid]["source"] == "agent" and source(s)[0]["gpus"] == 1, "both")
        eventually("1 replica", lambda: k.replicas(metadata=RULE) == 1)
        assert len(s.api("/api/v1/gpus")["items"]) == 1
        # Whoever is heard first has the GPU; on a slow machine the agent may seem silent before.
        before = changes()
        agent.fault = "silent"
        wait_until(lambda: gpus_of(s)[uuid]["source"] == "exporter", "taken over", 60)
        eventually("2 replicas", lambda: k.replicas(metadata=RULE) == 2)
        assert len(s.api("/api/v1/gpus")["items"]) == 1
        agent.fault = None
        wait_until(lambda: gpus_of(s)[uuid]["source"] == "agent", "given back", 60)
        eventually("1 replica again", lambda: k.replicas(metadata=RULE) == 1)
        assert changes() >= before + 2
        assert metric_values(s.page(), "gpuscale_gpus") == {
            frozenset({("source", "agent")}): 1, frozenset({("source", "exporter")}): 0}


def test_an_agent_that_does_not_know_the_pods_leaves_the_gpu_to_the_exporter(tmp_path, kept):
    agent = kept(Agent("sim:1,steady,level=0.9")).wait_ready()  # no pods list
    uuid = [dict(l)["UUID"] for l in metric_values(agent.page(), "DCGM_FI_DEV_GPU_UTIL")][0]
    page = kept(Page(lambda: f'DCGM_FI_DEV_GPU_UTIL{{UUID="{uuid}",namespace="default",pod="llm-0"}} 90\n'))
    with Scaler(tmp_path / "s", [workload(pods=ready(custom(kept)))], engines=FAST,
                agents=[agent.addr("grpc")], exporters=exporters(page.addr)) as s:
        k = kept(Keda(s.grpc, tmp_path))
        eventually("2 replicas", lambda: k.replicas(metadata=RULE) == 2)
        assert [(g["uuid"], g["source"]) for g in gpus_of(s).values()] == [(uuid, "exporter")]


def test_a_mig_instance_of_both_counts_once(tmp_path, kept):
    """The agent knows it by its MIG UUID, the exporter by its parent and number."""
    agent = kept(FakeAgent(tmp_path, {"llm-0": 10.0}))
    state = agent.state

    def as_mig(seq):
        m = state(seq)
        m.gpus[0].info.uuid = "MIG-11111111-0000-0000-0000-000000000000"
        m.gpus[0].info.parent_uuid = "GPU-parent"
        m.gpus[0].info.gpu_instance_id = 13
        m.gpus[0].info.mig_profile = "1g.10gb"
        return m
    agent.state = as_mig
    at = 'UUID="GPU-parent",GPU_I_ID="%d",GPU_I_PROFILE="1g.10gb",namespace="default",pod="llm-%d"'
    page = kept(Page(lambda: "".join(f"DCGM_FI_PROF_GR_ENGINE_ACTIVE{{{at % (13 + i, i)}}} 0.9\n"
                                     for i in range(2))))
    with Scaler(tmp_path / "s", [workload(replicas=2, pods=ready(custom(kept, 2)))], engines=FAST,
                agents=[agent.addr], exporters=exporters(page.addr)) as s:
        k = kept(Keda(s.grpc, tmp_path))
        wait_until(lambda: {u: g["source"] for u, g in gpus_of(s).items()} == {
            "MIG-11111111-0000-0000-0000-000000000000": "agent",
            "GPU-parent/gi14": "exporter"}, "each once")
        # 10 % and the graphics engine's 90 %: 100 / 55
        eventually("2 replicas", lambda: k.replicas(metadata=RULE) == 2)


def test_two_exporters_of_one_node_give_each_gpu_once(tmp_path, kept):
    """dcgm-exporter knows the pods: it wins over nvidia_gpu_exporter, whichever was read first."""
    dcgm = kept(DcgmPage({0: (90, "llm-0")}))
    smi = kept(Page(lambda: f'nvidia_smi_utilization_gpu_ratio{{uuid="{GPU[4:] % 0}"}} 0.2\n'
                            f'nvidia_smi_utilization_gpu_ratio{{uuid="{GPU[4:] % 7}"}} 0\n'))
    with Scaler(tmp_path / "s", [workload(pods=ready(custom(kept)))], engines=FAST,
                exporters=exporters(smi.addr, dcgm.addr)) as s:
        k = kept(Keda(s.grpc, tmp_path))
        eventually("2 replicas", lambda: k.replicas(metadata=RULE) == 2)
        wait_until(lambda: {x["exporter"]: (x["gpus"], x["duplicates"]) for x in source(s)} == {
            "dcgm-exporter": (1, 0), "nvidia_gpu_exporter": (1, 1)}, "one each")
        idle = gpus_of(s)[GPU % 7]  # shown, though nobody can say who holds it
        assert idle["ownersKnown"] is False and idle["values"]["utilization_pct"] == 0
        dcgm.fault = "drop"  # its GPU is the other's then, without a holder
        wait_until(lambda: gpus_of(s)[GPU % 0]["values"]["utilization_pct"] == 20, "taken over")


def test_a_shared_gpu_is_unknown_for_each_of_its_pods(tmp_path, kept):
    at = f'UUID="{GPU % 0}",namespace="default"'
    page = kept(Page(lambda: "".join(f'DCGM_FI_DEV_GPU_UTIL{{{at},pod="llm-{i}",vgpu="{i}"}} 95\n'
                                     for i in range(2))))
    with Scaler(tmp_path / "s", [workload(replicas=2, pods=ready(custom(kept, 2)))], engines=FAST,
                exporters=exporters(page.addr)) as s:
        k = kept(Keda(s.grpc, tmp_path))
        wait_until(lambda: len(gpus_of(s)[GPU % 0]["owners"]) == 2, "two holders")
        eventually("unavailable", lambda: k.code(k.metrics, metadata=RULE)[0] == "UNAVAILABLE")


def test_tls_to_exporters_is_verified(tmp_path, kept):
    certs = Certs(tmp_path / "certs")
    page = kept(DcgmPage({0: (90, "llm-0")}))
    cert, key = certs.leaf("exporter", sans="DNS:localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(cert), str(key))
    page.server.socket = context.wrap_socket(page.server.socket, server_side=True)
    port = page.server.server_address[1]
    other = Certs(tmp_path / "other")
    # HOST:PORT is asked by https with a tls section; the name is the target's host, whatever the
    # address that it has.
    with Scaler(tmp_path / "s", [workload(pods=ready(custom(kept)))], engines=FAST,
                exporters=exporters(f"localhost:{port}", tls={"ca": str(certs.ca)})) as s:
        wait_until(lambda: GPU % 0 in gpus_of(s), "read by TLS")
        assert any(x["url"].startswith("https://127.0.0.1:") for x in source(s))
    with Scaler(tmp_path / "t", [workload(pods=ready(custom(kept)))], engines=FAST,
                exporters=exporters(f"https://localhost:{port}/metrics", tls={"ca": str(other.ca)})) as s:
        wait_until(lambda: any(x.get("reason") == "tls" for x in source(s)), "refused")
        assert gpus_of(s) == {}


def test_targets_are_names_urls_and_paths(tmp_path, kept):
    page = kept(DcgmPage({0: (90, "llm-0")}))
    port = page.server.server_address[1]
    with Scaler(tmp_path / "s", [workload()], exporters=exporters(
            f"http://localhost:{port}/gpu/metrics", f"127.0.0.1:{port}", path="/other")) as s:
        wait_until(lambda: {x["url"] for x in source(s) if x["state"] == "good"} >= {
            f"http://127.0.0.1:{port}/gpu/metrics", f"http://127.0.0.1:{port}/other"}, "both")
        wait_until(lambda: s.ready(), "ready")
    for bad, says in [("dcgm.svc", "HOST:PORT"), ("unix:/x", "no unix sockets"), (":9400", "host is missing"),
                      ("http://u:p@h/", "user and password"), ("h:0", "port 0"), ("ftp://h/", "only http")]:
        config = json.loads((tmp_path / "s" / "scaler.yaml").read_text())
        config["exporters"]["targets"] = [bad]
        (tmp_path / "bad.yaml").write_text(json.dumps(config))
        with Program("gpuscale", "scaler", "--config", tmp_path / "bad.yaml") as p:
            assert p.wait() == 2
            assert says in p.log() and "exporters.targets" in p.log(), p.log()


@pytest.mark.parametrize("honor", [False, True])
def test_a_prometheus_in_between_changes_labels_and_ages(tmp_path, kept, honor):
    """Debian's prometheus federates the page: with honor_labels off, `pod` is the exporter's own."""
    page = kept(DcgmPage({0: (90, "llm-0"), 1: (5, "")}))
    port = free_port()
    config = tmp_path / "prometheus.yml"
    config.write_text(f"""
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
- job_name: dcgm
  honor_labels: {str(honor).lower()}
  static_configs: [{{targets: ["{page.addr}"], labels: {{pod: dcgm-x, namespace: monitoring, container: exporter}}}}]
""")
    url = f"http://127.0.0.1:{port}/federate?match%5B%5D=%7B__name__%3D~%22DCGM_.%2A%22%7D"
    with Program("/usr/bin/prometheus", f"--config.file={config}",
                 f"--storage.tsdb.path={tmp_path / 'data'}", f"--web.listen-address=127.0.0.1:{port}"), \
            Scaler(tmp_path / "s", [workload(pods=ready(custom(kept)))], engines=FAST,
                   exporters=exporters(url)) as s:
        k = kept(Keda(s.grpc, tmp_path))
        eventually("2 replicas", lambda: k.replicas(metadata=RULE) == 2, 60)
        gpus = gpus_of(s)
        assert [o["pod"] for o in gpus[GPU % 0]["owners"]] == ["llm-0"]
        if not honor:  # else the free GPU has the exporter's own pod: docs/exporters.md says so
            assert gpus[GPU % 1]["ownersKnown"] and gpus[GPU % 1]["owners"] == []
        page.fault = "drop"  # Prometheus serves what it has, with its time, for minutes
        eventually("unavailable", lambda: k.code(k.metrics, metadata=RULE)[0] == "UNAVAILABLE", 60)
        assert "match" not in source(s)[0]["key"] + source(s)[0]["url"]


def test_the_scalers_own_page_is_no_exporters(tmp_path, kept):
    """An agent's `dcgm: auto` that is pointed at a scaler serves its own family."""
    page = kept(DcgmPage({0: (90, "llm-0")}))
    with Scaler(tmp_path / "s", [workload()], exporters=exporters(page.addr)) as s:
        wait_until(lambda: GPU % 0 in gpus_of(s), "read")
        assert b"\nDCGM_FI_" not in s.page()
        agent = kept(Agent("sim:1", "--dcgm-exporter", s.http, dcgm="auto")).wait_ready()
        wait_until(lambda: agent.values("DCGM_FI_DEV_GPU_UTIL"), "served")
        beside = kept(Agent("sim:1", "--dcgm-exporter", page.addr, dcgm="auto")).wait_ready()
        wait_until(lambda: sum(beside.values("gpuscale_agent_dcgm_exporter_found").values()) == 1, "found")
        assert not beside.values("DCGM_FI_DEV_GPU_UTIL")
