# SPDX-License-Identifier: Apache-2.0
"""OpenMetrics pages of agent and scaler, by Accept: judged by the strict parser of Prometheus' Python client
and by Prometheus itself, and compared with the text pages, sample by sample."""

import gzip
import http.client
import json
import re

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

import harness
from agent_kit import Agent, free_port
from harness import http_get, wait_until
from scaler_kit import Keda, Scaler, VllmPod, eventually, pod, workload

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TEXT = "text/plain; version=0.0.4; charset=utf-8"
ASK = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"}


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    config = tmp_path_factory.mktemp("agent") / "agent.yaml"
    config.write_text('pods:\n- {gpu: 0, namespace: "ml", pod: llm-0, container: main}\n'
                      "- {gpu: 1, namespace: ml, pod: llm-1, container: main}\n"
                      "- {gpu: 1, namespace: ml, pod: llm-2, container: main}\n")
    with Agent("sim:4,steady", config=config) as a:
        a.wait_ready()
        yield a.addr("metrics")


@pytest.fixture(scope="module")
def scaler(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scaler")
    page = VllmPod(rate=4)
    with Scaler(folder, [workload(pods=[pod("llm-0", page.addr)])], engines={"interval": "500ms"}) as s:
        keda = Keda(s.grpc, folder)
        eventually("a decision", lambda: keda.replicas() == 3)
        yield s.http
        keda.close()
    page.close()


@pytest.fixture(params=["agent", "scaler"])
def program(request):
    return request.getfixturevalue(request.param)


def get(addr, **headers):
    status, answered, body = http_get(f"http://{addr}/metrics", headers=headers)
    assert status == 200
    return answered, body


def series(families, drop):
    """{(name, labels): kind}: `le` as a number, for it is written in two ways."""
    found = {}
    for family in families:
        for s in family.samples:
            labels = {k: float(v) if k == "le" else v for k, v in s.labels.items()}
            key = s.name, tuple(sorted(labels.items()))
            assert key not in found, f"twice: {key}"
            if not re.match(drop, s.name):
                found[key] = family.type
    return found


def test_the_strict_parser_reads_the_page_and_finds_what_the_text_page_has(program):
    answered, body = get(program, **ASK)
    assert answered["Content-Type"] == OPENMETRICS
    assert answered["Vary"] == "Accept"
    assert body.endswith(b"\n# EOF\n") and b"\r" not in body
    families = list(parse_openmetrics(body.decode()))
    answered, text = get(program)
    assert answered["Content-Type"] == TEXT and answered["Vary"] == "Accept"
    # A counter that has counted nothing yet may come between the two.
    ours, theirs = series(families, "never$"), series(parse_text(text.decode()), "never$")
    # Python's text parser appends _total where a counter's name lacks it.
    theirs = {(re.sub("_CONSUMPTION_total$", "_CONSUMPTION", re.sub("^(DCGM_FI_.*_TOTAL)_total$", r"\1", n)), l): t
              for (n, l), t in theirs.items()}
    assert ours.keys() == theirs.keys()
    kinds = {f.name: f.type for f in families}
    for (name, _), kind in theirs.items():
        if kind == "counter" and name.startswith("DCGM_FI_"):
            assert kinds[name] == "unknown"  # OpenMetrics has no counter without _total
        elif kind == "counter":
            assert kinds[name.removesuffix("_total")] == "counter"
    infos = {f.name for f in families if f.type == "info"}
    assert infos == {n.removesuffix("_info") for (n, _) in theirs if n.endswith("_info")} and infos
    units = {f.name: f.unit for f in families if f.unit}
    assert units["process_cpu_seconds"] == "seconds"
    assert all(name.endswith("_" + unit) for name, unit in units.items())


@pytest.mark.parametrize("accept, kind", [
    ("*/*", TEXT), ("text/plain", TEXT), ("text/html", TEXT), ("application/openmetrics-text;q=0", TEXT),
    ("application/openmetrics-text;version=0.0.1,text/plain;version=0.0.4;q=0.5", TEXT),
    ("application/openmetrics-text", OPENMETRICS), ("text/plain;q=0.9,application/openmetrics-text", OPENMETRICS),
])
def test_accept_decides_for_get_and_head_alike(program, accept, kind):
    connection = http.client.HTTPConnection(program, timeout=harness.DEADLINE_S)
    for method in "HEAD", "GET":
        connection.request(method, "/metrics", headers={"Accept": accept})
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200 and answer.headers["Content-Type"] == kind
        assert (len(body) == 0) == (method == "HEAD")
        assert int(answer.headers["Content-Length"]) >= 1000
    assert body.endswith(b"# EOF\n") == (kind == OPENMETRICS)
    connection.close()


def test_the_agents_compressed_page_is_of_the_format_that_was_asked_for(agent):
    for accept, end in ((ASK["Accept"], True), ("text/plain", False), (ASK["Accept"], True)):
        answered, body = get(agent, **{"Accept": accept, "Accept-Encoding": "gzip"})
        assert answered["Content-Encoding"] == "gzip"
        assert gzip.decompress(body).endswith(b"# EOF\n") == end


def test_prometheus_reads_types_and_units_from_both_without_a_warning(tmp_path, agent, scaler):
    port = free_port()
    config = tmp_path / "prometheus.yml"
    config.write_text(f"""
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
- {{job_name: agent, static_configs: [{{targets: ["{agent}"]}}]}}
- {{job_name: scaler, static_configs: [{{targets: ["{scaler}"]}}]}}
""")
    with harness.Program("/usr/bin/prometheus", f"--config.file={config}",
                         f"--storage.tsdb.path={tmp_path / 'data'}",
                         f"--web.listen-address=127.0.0.1:{port}") as prometheus:
        def ask(path):
            status, _, body = http_get(f"http://127.0.0.1:{port}/api/v1/{path}")
            if status != 200:
                raise ValueError(body)
            return json.loads(body)["data"]
        wait_until(lambda: len(ask("query?query=count_over_time(up[1m])>1")["result"]) == 2,
                   "two scrapes each", deadline_s=60)
        assert {r["value"][1] for r in ask("query?query=up")["result"]} == {"1"}
        told = {name: (m[0]["type"], m[0]["unit"]) for name, m in ask("metadata").items()}
        assert told["process_cpu_seconds"] == ("counter", "seconds")  # only OpenMetrics has units
        assert told["gpuscale_gpu"] == ("info", "")
        assert told["gpuscale_gpu_energy_joules"] == ("counter", "joules")
        assert told["DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"][0] == "unknown"
        assert told["gpuscale_tick_duration_seconds"] == ("histogram", "seconds")
        assert ask("query?query=gpuscale_gpu_energy_joules_total")["result"]
        assert ask("query?query=gpuscale_tick_duration_seconds_bucket{le=%22%2BInf%22}")["result"]
        assert [line for line in prometheus.lines if re.search("level=(warn|error)", line)] == []
