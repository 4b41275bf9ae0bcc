# SPDX-License-Identifier: Apache-2.0
"""What deploy/ ships, against the programs that it ships: configurations are taken by the real scaler and agent, alerts fire on their
faults (promtool), and every metric that a rule or a dashboard asks for is on the real pages, through a real Prometheus.
tests/e2e/cluster/test_chart.py lets helm and a real API server judge the rest."""

import json
import pathlib
import re
import shlex
import shutil
import subprocess
import urllib.parse

import grpc
import pytest
import yaml

import harness
from agent_kit import Agent, free_port
from kubelet_kit import Kubelet, make_stub
from scaler_kit import LLM, Keda, Scaler, VllmPod, eventually, pod, workload

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "helm/gpuscale/files/rules.yaml"
DASHBOARDS = sorted((DEPLOY / "helm/gpuscale/files/dashboards").glob("*.json"))
RULES_TEST = pathlib.Path(__file__).with_name("deploy") / "rules_test.yaml"


def objects(name):
    return [o for o in yaml.safe_load_all((DEPLOY / "manifests" / name).read_text()) if o]


def one(all_objects, kind, name):
    found = [o for o in all_objects if o["kind"] == kind and o["metadata"]["name"] == name]
    assert len(found) == 1, f"{len(found)} {kind} {name}"
    return found[0]


def rules():
    return [r for g in yaml.safe_load(RULES.read_text())["groups"] for r in g["rules"]]


def panels(dashboard):
    return [p for p in dashboard["panels"] if p["type"] != "row"]


def queries():
    """(where, expression with the dashboard's variables filled in) of every panel and variable."""
    for path in DASHBOARDS:
        dashboard = json.loads(path.read_text())
        for p in panels(dashboard):
            for t in p["targets"]:
                expr = t["expr"].replace("$__rate_interval", "1m")
                yield f"{path.name}: {p['title']}", re.sub(r"\$(?:namespace|workload|node)\b", ".*", expr)
        for v in dashboard["templating"]["list"]:
            if v["type"] == "query":
                m = re.fullmatch(r"label_values\((.*), (\w+)\)", v["query"]["query"])
                assert m, v["query"]
                yield f"{path.name}: ${v['name']}", re.sub(r"\$\w+", ".*", m.group(1))


@pytest.mark.parametrize("file", ["gpuscale.yaml", "gpuscale-exporter.yaml"])
def test_the_scaler_takes_the_configuration_of_the_manifests(file, tmp_path):
    text = one(objects(file), "ConfigMap", "gpuscale-scaler")["data"]["scaler.yaml"]
    container = one(objects(file), "Deployment", "gpuscale-scaler")["spec"]["template"]["spec"]["containers"][0]
    path = tmp_path / "scaler.yaml"
    args = [a.replace("/etc/gpuscale/scaler.yaml", str(path)).replace("$(POD_IP)", "10.0.0.7").replace("$(POD_NAME)", "scaler-0")
            for a in container["args"]]
    path.write_text(text)
    done = harness.run("gpuscale", "scaler", *args, "--print-config")
    assert done.returncode == 0, done.stderr
    shown = yaml.safe_load(done.stdout)
    assert shown["kubernetes"]["enabled"] is True
    names = [f"gpuscale-scaler.gpuscale{more}:9443" for more in ("", ".svc", ".svc.cluster.local")]
    assert shown["kubernetes"]["scalerAddresses"] == names
    assert any(f" {n})" in harness.run("gpuscale", "generate", "--help").stdout for n in names), "generate names another one"
    assert shown["grpc"]["tls"]["ca"] and shown["grpc"]["tls"]["allowedNames"], "whoever has a certificate could ask"
    # The same with a word that the scaler does not know: this test can fail.
    path.write_text(text + "nosuchkey: 1\n")
    done = harness.run("gpuscale", "scaler", *args, "--print-config")
    assert done.returncode == 2 and "nosuchkey" in done.stderr


def test_the_agent_takes_the_configuration_of_the_manifests(tmp_path):
    all_objects = objects("gpuscale.yaml")
    path = tmp_path / "agent.yaml"
    path.write_text(one(all_objects, "ConfigMap", "gpuscale-agent")["data"]["agent.yaml"])
    container = one(all_objects, "DaemonSet", "gpuscale-agent")["spec"]["template"]["spec"]["containers"][0]
    args = [a.replace("/etc/gpuscale/config/agent.yaml", str(path)) for a in container["args"]]
    done = harness.run("gpuscale-agent", *args, "--print-config")
    assert done.returncode == 0, done.stderr
    shown = yaml.safe_load(done.stdout)
    assert shown["podResources"]["mode"] in ("on", True)
    assert shown["grpc"]["tls"]["allowedNames"] == ["gpuscale-scaler.gpuscale.svc"]


# Which package of Debian 13 brings a library.
PACKAGES = {"libuv.so.1": "libuv1t64", "libnghttp2.so.14": "libnghttp2-14", "libssl.so.3": "libssl3t64", "libcrypto.so.3": "libssl3t64",
            "libprotobuf-c.so.1": "libprotobuf-c1", "libfyaml.so.0": "libfyaml0", "libcurl.so.4": "libcurl4t64",
            "libjansson.so.4": "libjansson4", "libxxhash.so.0": "libxxhash0", "libz.so.1": "zlib1g", "libcrypt.so.1": "libcrypt1"}


def test_the_image_has_the_libraries_that_the_programs_link():
    """`make image` builds it in chroots of Debian 13; this says beforehand when a new library was forgotten."""
    last = (DEPLOY / "Containerfile").read_text().rsplit("\nFROM ", 1)[1]
    needed = set()
    for name in ("gpuscale", "gpuscale-agent"):
        out = subprocess.run(["readelf", "-d", harness.find_program(name)], check=True, capture_output=True, text=True).stdout
        needed |= set(re.findall(r"NEEDED.*\[(.*)\]", out))
    needed = {n for n in needed if not re.match(r"(libc|libm|libasan|libubsan|libtsan|libgcc_s|libdl|ld-linux.*)\.so", n)}
    assert {PACKAGES[n] for n in needed} <= set(last.split()), "a library's package is not installed in the last stage"


def test_the_image_is_made_of_what_the_build_needs(tmp_path):
    """The build can be configured from the files that the Containerfile copies."""
    first = (DEPLOY / "Containerfile").read_text().rsplit("\nFROM ", 1)[0]
    copied = [w for line in re.findall(r"^COPY (.*)$", first, re.M) for w in line.split()[:-1]]
    for name in copied:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/meson.build").touch()  # there is cmocka here, and none in the image
    setup = shlex.split(re.search(r"^RUN (meson setup [^&\\\n]*)", first, re.M).group(1))
    out = subprocess.run(setup, cwd=tmp_path, capture_output=True, text=True)
    assert out.returncode == 0, out.stdout[-2000:] + out.stderr


# Defaults of earlier charts that this one has no more. `helm upgrade` with reused values hands them to the new schema.
GONE = {"scaler": {"ipv6": False}}


def refused(schema, values, where=""):
    """The places of `values` that the schema does not take: settings that it does not have, and booleans that are none."""
    if schema.get("type") == "boolean" and not isinstance(values, bool):
        return [where]
    if not isinstance(values, dict) or "properties" not in schema:
        return []
    known = schema["properties"]
    unknown = [f"{where}.{k}" for k in values if k not in known and schema.get("additionalProperties") is False]
    return unknown + [place for k, v in values.items() if k in known for place in refused(known[k], v, f"{where}.{k}")]


def test_values_kept_from_an_earlier_chart_are_taken():
    schema = json.loads((DEPLOY / "helm/gpuscale/values.schema.json").read_text())
    defaults = yaml.safe_load((DEPLOY / "helm/gpuscale/values.yaml").read_text())
    assert refused(schema, defaults) == []
    assert refused(schema, GONE) == []
    assert refused(schema, {"scaler": {"ipv6": "no", "nosuch": 1}}) == [".scaler.nosuch", ".scaler.ipv6"], "the walk sees nothing"
    templates = "".join(p.read_text() for p in (DEPLOY / "helm/gpuscale/templates").iterdir())
    for part, settings in GONE.items():
        for name in settings:
            assert name not in defaults[part] and f".Values.{part}.{name}" not in templates, "it has an effect: it is not gone"
            assert schema["properties"][part]["properties"][name]["deprecated"] is True
    assert not re.search(r"^helm .*--reuse-values", (ROOT / "docs/install.md").read_text(), re.M), "it lacks the new chart's defaults"


def test_every_alert_fires_on_its_fault_and_none_on_a_healthy_cluster():
    done = subprocess.run(["promtool", "check", "rules", str(RULES)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    done = subprocess.run(["promtool", "test", "rules", str(RULES_TEST)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    alerts = {r["alert"] for r in rules() if "alert" in r}
    assert alerts == set(re.findall(r'alertname="(\w+)"', RULES_TEST.read_text())), "an alert without a test"
    for r in rules():
        if "alert" in r:
            assert r["labels"]["severity"] in ("critical", "warning", "info")
            assert r["annotations"].keys() == {"summary", "description"}, r["alert"]


def test_dashboards_are_whole():
    assert len(DASHBOARDS) >= 3
    uids = set()
    for path in DASHBOARDS:
        d = json.loads(path.read_text())
        assert d["uid"] not in uids
        uids.add(d["uid"])
        assert len({p["id"] for p in d["panels"]}) == len(d["panels"])
        taken = set()
        for p in d["panels"]:
            g = p["gridPos"]
            assert g["x"] + g["w"] <= 24
            cells = {(x, y) for x in range(g["x"], g["x"] + g["w"]) for y in range(g["y"], g["y"] + g["h"])}
            assert not cells & taken, f"{path.name}: {p['title']} lies over another panel"
            taken |= cells
        for p in panels(d):
            assert p["targets"] and p["title"], path.name
            for t in p["targets"]:
                assert t["datasource"]["uid"] == "${datasource}", "only the chosen Prometheus is asked"


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """An agent, a kubelet, an engine, a scaler with KEDA's calls, and a Prometheus that reads both with our rules."""
    folder = tmp_path_factory.mktemp("live")
    certs = harness.Certs(folder / "certs")
    crt, key = certs.leaf("server")
    port = free_port()
    engine = VllmPod()
    with Kubelet(make_stub(folder), folder) as kubelet, \
            Agent("sim:2", "--pod-resources", "on", "--pod-resources-socket", kubelet.path, "--pod-resources-interval", "1s",
                  "--grpc-tls-cert", crt, "--grpc-tls-key", key) as agent:
        agent.wait_ready()
        uuid = re.search(r'gpuscale_gpu_info\{gpu="0",uuid="([^"]+)"', agent.page()).group(1)
        kubelet.set_answer({"podResources": [
            {"name": "llm-0", "namespace": "default", "containers": [
                {"name": "vllm", "devices": [{"resourceName": "nvidia.com/gpu", "deviceIds": [uuid]}]}]}]})
        with Scaler(folder / "scaler", [workload(replicas=1, pods=[pod("llm-0", engine.addr)])], agents=[agent.addr("grpc")],
                    agents_tls={"ca": str(certs.ca), "serverName": "localhost"}, tls={"cert": str(crt), "key": str(key)},
                    engines={"interval": "500ms"},
                    prometheus={"main": {"url": f"http://127.0.0.1:{port}", "namespaces": ["*"], "interval": "1s"}}) as scaler:
            keda = Keda(scaler.grpc, folder, grpc.ssl_channel_credentials(certs.ca.read_bytes()),
                        [("grpc.ssl_target_name_override", "localhost")])
            metadata = {**LLM, "prometheus.q": "main", "query.q": "vector(1)", "target.q": "1"}
            keda.spec(metadata=metadata)
            jobs = [{"job_name": f"gpuscale-{n}", "honor_labels": True, "static_configs": [{"targets": [a]}]}
                    for n, a in (("agent", agent.addr("metrics")), ("scaler", scaler.http))]
            config = {"global": {"scrape_interval": "200ms", "scrape_timeout": "200ms", "evaluation_interval": "200ms"},
                      "rule_files": [str(RULES)], "scrape_configs": jobs}
            (folder / "prometheus.yml").write_text(json.dumps(config))
            with harness.Program("/usr/bin/prometheus", f"--config.file={folder / 'prometheus.yml'}",
                                 f"--storage.tsdb.path={folder / 'data'}",
                                 f"--web.listen-address=127.0.0.1:{port}") as prometheus:
                prometheus.wait_log("Server is ready to receive web requests")
                server = Server(port)
                eventually("a decision", lambda: server.values("gpuscale_desired_replicas"))
                eventually("a held GPU", lambda: server.values("gpuscale_gpu_owner_info"))
                eventually("money", lambda: server.values("gpuscale:idle:usd_per_hour"))
                yield server
                prometheus.stop(expect=None)
            keda.close()
    engine.close()


def test_the_rules_to_paste_are_taken_by_the_scaler(tmp_path):
    """The table of docs/guide.md, row by row, as KEDA would send it."""
    table = (ROOT / "docs/guide.md").read_text().split("| service | metadata |", 1)[1].split("\n\n", 1)[0]
    rows = [dict(re.findall(r"`([\w.]+): ([^`]*)`", line)) for line in table.splitlines()[2:]]
    assert len(rows) >= 7 and all(rows)
    with Scaler(tmp_path / "scaler", [workload(replicas=1)],
                prometheus={"main": {"url": "http://127.0.0.1:9", "namespaces": ["*"]}}) as scaler:
        keda = Keda(scaler.grpc, tmp_path)
        for row in rows:
            keda.spec(metadata={k: v.strip('"') for k, v in row.items()})
        keda.spec(metadata={"engine": "vllm", "gpuUtilization": "55"})
        scaler.program.wait_log("gpuUtilization unknown is shown, it does not size")  # as docs/guide.md says
        keda.close()


class Server:
    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}/api/v1"

    def get(self, path, **query):
        status, _, body = harness.http_get(f"{self.url}{path}?{urllib.parse.urlencode(query)}")
        answer = json.loads(body)
        assert status == 200 and answer["status"] == "success", (query, answer)
        return answer["data"]

    def values(self, expr):
        data = self.get("/query", query=expr)
        return data["result"]


def names_of(expr):
    return set(re.findall(r"\b(?:gpuscale|process)[_:][a-z0-9_:]+", expr))


def asked_names():
    """{metric: where it is asked for}."""
    asked = {}
    for where, expr in [(r.get("alert") or r["record"], r["expr"]) for r in rules()] + list(queries()):
        for name in names_of(expr):
            asked.setdefault(name, where)
    return asked


# What only a scaler in a cluster has: tests/e2e/cluster/test_chart.py looks for these on its page.
IN_A_CLUSTER = re.compile(r"gpuscale_(cluster|leader|follower|access)")


def test_rules_and_dashboards_ask_only_for_what_the_pages_have(live):
    asked = {n: w for n, w in asked_names().items() if not IN_A_CLUSTER.match(n)}
    assert len(asked) > 50

    def all_there():
        there = set(live.get("/label/__name__/values"))
        missing = {n: w for n, w in asked.items() if n not in there}
        assert not missing
        return True

    harness.wait_until(all_there, "every metric of rules and dashboards is on a page")


def test_every_rule_evaluates_over_the_real_pages(live):
    def healthy():
        found = [r for g in live.get("/rules")["groups"] for r in g["rules"]]
        assert len(found) == len(rules())
        bad = [(r["name"], r["health"], r.get("lastError")) for r in found if r["health"] != "ok"]
        assert not bad
        return True

    harness.wait_until(healthy, "every rule evaluates")


def test_every_query_of_a_dashboard_is_answered_by_the_real_pages(live):
    """With a value; but for those that show faults alone, `... > 0`, which must only be understood."""
    for where, expr in queries():
        if re.search(r"> 0$", expr) or any(IN_A_CLUSTER.match(n) for n in names_of(expr)):
            live.values(expr)
        else:
            eventually(f"{where}: {expr}", lambda: live.values(expr))
