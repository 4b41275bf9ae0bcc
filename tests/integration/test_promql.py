# SPDX-License-Identifier: Apache-2.0
"""A label enforced in PromQL, judged by Debian's Prometheus: what a tenant's query gives with the label
enforced, on a server that holds every namespace's series, is what the query as written gives on a server
that holds this namespace's alone. Whoever finds a query that reads more has found a leak."""

import json
import os
import random
import re
import socket
import subprocess
import urllib.parse
import urllib.request

import pytest

import harness

ENFORCE = harness.BUILD / "tests" / "integration" / "promql_enforce"
SEED = int(os.environ.get("GPUSCALE_SEED", "20261125"))
OURS, OTHERS = "team-a", ("team-b", "team-c", "")
START, STEP, COUNT = 1_700_000_000, 15, 240 # an hour of samples
NOW = START + STEP * COUNT


def enforce(queries, label="namespace", value=OURS):
    """For each query (True, with the label enforced) or (False, why not)."""
    done = subprocess.run([str(ENFORCE), label, value], input=b"".join(q.encode() + b"\0" for q in queries),
                          capture_output=True, timeout=60, check=True)
    parts = done.stdout.split(b"\0")[:-1]
    assert len(parts) == len(queries)
    return [(p[:1] == b"+", p[1:].decode()) for p in parts]


def samples(namespaces):
    """OpenMetrics text: counters, gauges and a histogram, different in each namespace."""
    families = {"requests": "counter", "depth": "gauge", "by": "gauge", "ns:load:sum": "gauge", "delay_seconds": "histogram"}
    for family, kind in families.items():
        yield f"# TYPE {family} {kind}"
        for n, namespace in enumerate(namespaces):
            for pod in range(2):
                who = f'pod="p{pod}",job="j{pod}"' + (f',namespace="{namespace}"' if namespace else "")
                big = {OURS: 1, "team-b": 1000, "team-c": 20000, "": 300000}[namespace]
                for i in range(COUNT):
                    at = START + STEP * i
                    v = big * (i + 1 + pod * 3)
                    if kind == "counter":
                        yield f"{family}_total{{{who}}} {v} {at}"
                    elif kind == "histogram":
                        for le, part in (("0.1", 1), ("1.0", 3), ("+Inf", 4)):
                            yield f'{family}_bucket{{{who},le="{le}"}} {v * part} {at}'
                        yield f"{family}_count{{{who}}} {v * 4} {at}"
                        yield f"{family}_sum{{{who}}} {v * 2} {at}"
                    else:
                        yield f"{family}{{{who}}} {(v * 7) % (big * 50)} {at}"
    yield "# EOF"


class Server:
    """Prometheus over a block made of samples. It scrapes nothing."""

    def __init__(self, folder, namespaces):
        folder.mkdir()
        (folder / "samples").write_text("\n".join(samples(namespaces)) + "\n")
        (folder / "prometheus.yml").write_text("scrape_configs: []\n")
        subprocess.run(["promtool", "tsdb", "create-blocks-from", "openmetrics", folder / "samples", folder / "data"],
                       check=True, capture_output=True, timeout=120)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.program = harness.Program("/usr/bin/prometheus", f"--config.file={folder / 'prometheus.yml'}",
                                       f"--storage.tsdb.path={folder / 'data'}", "--storage.tsdb.retention.time=100y",
                                       f"--web.listen-address=127.0.0.1:{port}", "--enable-feature=promql-at-modifier")
        harness.wait_until(lambda: harness.http_get(f"{self.url}/-/ready")[0] == 200, "prometheus is ready")

    def query(self, text):
        """The result, in an order of its own; a query that fails is its error's type."""
        body = urllib.parse.urlencode({"query": text, "time": NOW - 60}).encode()
        status, answer = post(f"{self.url}/api/v1/query", body)
        answer = json.loads(answer)
        if answer["status"] != "success":
            return "error", answer["errorType"], answer["error"]
        kind, result = answer["data"]["resultType"], answer["data"]["result"]
        if kind in ("scalar", "string"):
            return kind, repr(result)
        return kind, sorted(json.dumps(r, sort_keys=True) for r in result)


def post(url, body):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, data=body), timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as e:
        return e.code, e.read()


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("promql")
    everything, alone = Server(folder / "all", (OURS, *OTHERS)), Server(folder / "alone", (OURS,))
    yield everything, alone
    for s in (everything, alone):
        s.program.stop(expect=None)


class Queries:
    """Random PromQL, most of it sound, in the spellings that people and attackers use. (Without absent(), which
    makes labels of the matchers that it is given: ours is then one more.)"""

    def __init__(self, seed):
        self.r = random.Random(seed)

    def pick(self, *items):
        return self.r.choice(items)

    def blank(self):
        return self.pick("", "", "", " ", "\n", "\t ", " # }{ \"'\n")

    def string(self, text):
        quote = self.pick('"', "'", "`")
        return quote + text + quote

    def matcher(self):
        name, op, value = self.pick(("pod", "=", "p0"), ("pod", "!=", "p1"), ("job", "=~", "j.*"), ("job", "!~", "x|y"),
                                    ("namespace", "=~", ".*"), ("namespace", "!=", "team-b"), ("namespace", "=~", ".+"),
                                    ("namespace", "!~", "team-a"), ("le", "!=", "nothing"), ("absent", "=", ""))
        return self.blank().join((name, op, self.string(value)))

    def matchers(self):
        found = [self.matcher() for _ in range(self.r.randrange(0, 3))]
        return "{" + self.blank() + ("," + self.blank()).join(found) + (self.pick("", ",") if found else "") + "}"

    def selector(self):
        name = self.pick("requests_total", "depth", "ns:load:sum", "delay_seconds_sum", "nothing", "")
        if not name:
            return "{" + self.blank() + "__name__" + self.pick('=~"(requests|delay).*total|depth"', "='by'", '=~".+"') + \
                self.pick("", "," + self.matcher()) + "}"
        return name + self.pick("", "", self.blank() + self.matchers())

    def instant(self, depth):
        return self.selector() + self.pick("", "", "", self.blank() + " offset " + self.pick("-5m", "5m", "1m30s"),
                                           f" @ {NOW - 600}", " @ start()", " @" + self.blank() + "end() offset 1m")

    def range(self, depth):
        if depth > 0 and self.r.random() < 0.2:
            return self.pick("(" + self.vector(depth - 1) + ")", self.function(depth - 1)) + self.pick("[10m:1m]", "[5m:]", "[10m:30s] offset 1m")
        return self.selector() + self.blank() + "[" + self.pick("5m", "90s", "10m", "1h") + "]" + self.pick("", "", " offset 1m")

    def function(self, depth):
        f = self.pick("rate", "increase", "max_over_time", "sum_over_time", "abs", "sort", "timestamp", "ceil", "quantile_over_time",
                      "label_replace", "histogram_quantile", "clamp_min", "vector", "count_over_time", "last_over_time")
        if f == "quantile_over_time":
            inside = "0.5," + self.range(depth)
        elif f == "label_replace":
            inside = self.vector(depth) + f", {self.string('namespace')}, {self.string('team-b')}, \"pod\", '(.*)'"
        elif f == "histogram_quantile":
            inside = "0.9, sum by (le, pod) (rate(delay_seconds_bucket" + self.pick("", self.matchers()) + "[5m]))"
        elif f == "clamp_min":
            inside = self.vector(depth) + ", 1"
        elif f == "vector":
            inside = self.pick("1", "scalar(" + self.vector(depth) + ")", "time()")
        elif f.endswith("_over_time") or f in ("rate", "increase"):
            inside = self.range(depth)
        else:
            inside = self.vector(depth)
        return f"{f}{self.blank()}({self.blank()}{inside})"

    def aggregation(self, depth):
        f = self.pick("sum", "SUM", "max", "avg", "count", "group", "topk", "quantile", "count_values")
        grouping = self.pick("", "by", "without", "BY")
        labels = self.pick("()", "(pod)", "(pod, namespace)", "(namespace,)", "(by, on)")
        grouping = f"{self.blank()} {grouping} {self.blank()}{labels}" if grouping else ""
        first = {"topk": "2, ", "quantile": "0.5, ", "count_values": "'v', "}.get(f, "")
        body = f"({self.blank()}{first}{self.vector(depth)}{self.blank()})"
        return f + (grouping + body if self.r.random() < 0.5 else body + grouping)

    def vector(self, depth):
        if depth <= 0:
            return self.instant(0)
        kind = self.r.randrange(10)
        if kind < 3:
            return self.instant(depth)
        if kind < 5:
            return self.function(depth - 1)
        if kind < 7:
            return self.aggregation(depth - 1)
        if kind < 8:
            return self.pick("-", "+", "- -") + self.vector(depth - 1)
        if kind < 9:
            return "(" + self.vector(depth - 1) + ")"
        return self.binary(depth - 1)

    def binary(self, depth):
        op = self.pick("+", "-", "*", "/", "> ", "> bool ", "==bool ", " and ", " or ", " unless ", " AND ", "%", "^", " atan2 ")
        match = self.pick("", "", " on(pod) ", " ignoring(namespace, job) ", " on () ")
        if match and op.strip() in ("+", "-", "*", "/"):
            match += self.pick("", " group_left ", " group_right(job) ")
        right = self.pick(self.vector(depth), "2", "0x1F", "1e-2") if op.strip().lower() not in ("and", "or", "unless") and not match else self.vector(depth)
        return self.vector(depth) + self.blank() + op + match + self.blank() + right

    def query(self):
        return self.blank() + self.vector(self.r.randrange(0, 5)) + self.blank()


def compare(servers, queries):
    everything, alone = servers
    sound = 0
    for query, (ok, text) in zip(queries, enforce(queries)):
        want = alone.query(query)
        assert ok or want[0] == "error", f"refused: {query!r}: {text}"
        if not ok:
            continue
        got = everything.query(text)
        if want[0] == "error": # what the engine refuses it refuses with the label too, for the same kind of reason
            assert got[:2] == want[:2] or "non-empty matcher" in want[2], (query, text, got, want)
            continue
        sound += want[1] not in ([], None)
        assert got == want, f"{query!r}\n as {text!r}\n gave {got}\n not  {want}"
    return sound


def test_a_tenant_reads_its_own_series_alone(servers):
    print(f"seed {SEED}")
    queries = Queries(SEED)
    sound = compare(servers, [queries.query() for _ in range(1500)])
    print(f"{sound} of 1500 queries gave something")
    assert sound > 400


def test_each_spelling_by_hand(servers):
    compare(servers, [
        'sum(requests_total)', 'sum(requests_total{})', 'count({__name__=~".+"})', '{__name__="by"}',
        'sum by (namespace) (requests_total)', 'requests_total{namespace="team-a"}',
        'requests_total unless requests_total{namespace=~"team-b"}', 'count(absent(requests_total{pod="none"}))',
        'sum(rate(requests_total[5m])) / on() group_left sum(depth)', 'count_values("namespace", depth)',
        'label_replace(depth, "namespace", "team-b", "", "")', '-depth', '1 - -sum(depth)', 'vector(1)', 'time()',
        'max_over_time(sum(depth)[10m:1m] offset 1m)', 'sum(depth # {namespace="team-b"}\n)', 'depth{pod=`p0`}',
        "depth{pod='p0'}", 'depth{pod="p\\x30"}', 'scalar(sum(depth))', '"text"', 'ns:load:sum', 'sum(depth)by(pod)',
        'depth{pod=~"p0|p1",}', 'depth @ end()', f'depth @ {NOW - 300} offset 5m', 'depth > 1 and depth < 1e9',
    ])


# What would read others' series if the label were pasted into the text.
ATTACKS = [
    'requests_total{namespace="team-b"}', "requests_total{'namespace'=\"team-b\"}", 'depth{pod="p0"} or depth{namespace="team-b"}',
    'depth{pod="p0" or namespace="team-b"}', 'depth{a="b"} } or {namespace="team-b"', 'depth{pod="\\"} or depth{namespace=\\"team-b"}',
    'depth{pod="p0}', "depth{pod='p0\\'}", 'depth # \r{namespace="team-b"}', 'info(depth)', 'by', 'sum + by', 'offset', 'sum{namespace="team-b"}',
    'depth{__name__="by"}', 'rate (depth[5m]) or on() by', 'depth{namespace="team-a",namespace="team-b"}', 'depth\x0bor\x0bdepth',
    'depth\u00a0', 'depth{pod=`p0"} or depth{namespace="team-b"}`}', 'WITH (x = {namespace="team-b"}) x', 'depth{} or ({namespace=~".*"})',
    'count(count by (namespace) ({__name__=~".+"}))', 'depth[5m', '{}', '{namespace="team-b"}', 'depth{pod="p0",}{namespace="team-b"}',
    'sum by (depth) (depth) or on (depth) depth', 'topk(1000, {__name__=~".+"})', 'depth offset 5m{namespace="team-b"}',
]


def test_no_attack_reads_anything_of_others(servers):
    everything, _ = servers
    refused = 0
    for query, (ok, text) in zip(ATTACKS, enforce(ATTACKS)):
        if not ok:
            refused += 1
            continue
        answer = everything.query(text)
        told = json.dumps(answer)
        assert "team-b" not in told and "team-c" not in told, (query, text, answer)
        # A number made of others' series is at least a thousand times ours.
        for row in answer[1] if isinstance(answer[1], list) else []:
            assert all(v == "NaN" or abs(float(v)) < 2000 for v in [json.loads(row)["value"][1]]), (query, text, answer)
    print(f"{refused} of {len(ATTACKS)} refused")
    assert refused >= 15


def test_the_server_reads_what_was_written_as_it_was_meant(servers):
    """Prometheus' own parser formats the query: each selector in it has the matcher."""
    everything, _ = servers
    queries = Queries(SEED + 1)
    checked = 0
    for ok, text in enforce([queries.query() for _ in range(300)]):
        if not ok:
            continue
        status, answer = post(f"{everything.url}/api/v1/format_query", urllib.parse.urlencode({"query": text}).encode())
        if status != 200:
            continue
        bare = re.sub(r'"(?:[^"\\]|\\.)*"', lambda m: "~OURS~" if m.group(0) == f'"{OURS}"' else "~", json.loads(answer)["data"])
        braces = re.findall(r"\{[^}]*\}", bare)
        assert all("namespace=~OURS~" in b for b in braces), bare
        # No name stands without braces, save functions, words and labels.
        assert not re.search(r"\b(requests_total|depth|ns:load:sum|delay_seconds_\w+|nothing)\b(?!\s*\{)", bare), bare
        checked += len(braces)
    assert checked > 300
