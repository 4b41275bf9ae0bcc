# SPDX-License-Identifier: Apache-2.0
"""Prometheus as a source: what a trigger's query gives decides through KEDA's calls, and whatever is no number
is unknown, with a reason that reaches the operator. The server is Debian's."""

import json
import subprocess

import pytest

from harness import Certs, metric_values, run
from prometheus_kit import Prometheus, Proxy, Series
from scaler_kit import Keda, Scaler, VllmPod, eventually, pod, workload

FAST = {"engine": "vllm", "downWindow": "0s", "maxAge": "5s"}


def lag(query="sum(lag)", server="main", target="10", **more):
    return {"prometheus.lag": server, "query.lag": query, "target.lag": target, **FAST, **more}


def server(url, **more):
    return {"url": url, "namespaces": ["default"], "enforcedLabel": "", "interval": "1s", **more}


def queries(scaler):
    return [s for s in scaler.api("/api/v1/sources?limit=1000")["items"] if s["kind"] == "prometheus"]


def last(scaler):
    return scaler.api("/api/v1/decisions?limit=1")["items"][0]["records"][0]


class World:
    """A Prometheus behind a proxy, a scaler that knows it as "main", KEDA."""

    def __init__(self, folder, replicas=1, page=None, **more):
        self.page = page or Series()
        self.prometheus = Prometheus(folder / "prometheus", [self.page])
        self.proxy = Proxy(self.prometheus.url)
        self.pod = VllmPod()
        self.scaler = Scaler(folder / "scaler", [workload(replicas=replicas, pods=[pod("llm-0", self.pod.addr)] if replicas else [])],
                             prometheus={"main": server(self.proxy.url, **more)})
        self.keda = Keda(self.scaler.grpc, folder)

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self.keda.close()
        self.scaler.__exit__(*why)
        self.proxy.close()
        self.prometheus.stop()
        self.page.close()
        self.pod.close()


def unknown(world, metadata, words, deadline_s=30):
    """The call fails and says for what reason; the sources list it."""
    def check():
        code, text = world.keda.code(world.keda.metrics, metadata=metadata)
        return code == "UNAVAILABLE" and "prometheus.lag" in text and words in text and text
    return eventually(f"UNAVAILABLE: prometheus.lag ({words})", check, deadline_s)


def test_a_query_sizes_fails_by_name_and_comes_back(tmp_path):
    with World(tmp_path) as w:
        m = lag()
        w.page.lag = {'namespace="x",q="a"': 20, 'namespace="x",q="b"': 14}
        eventually("34 at 10 each: 4 replicas", lambda: w.keda.replicas(metadata=m) == 4)
        sentence = last(w.scaler)["sentence"]
        assert "prometheus.lag 34 at 10 each needs 3.4" in sentence, sentence
        source = queries(w.scaler)
        assert len(source) == 1 and source[0]["state"] == "good" and source[0]["value"] == 34, source
        assert (source[0]["key"], source[0]["namespace"], source[0]["query"]) == ("main", "default", "sum(lag)")
        values = metric_values(w.scaler.page(), "gpuscale_prometheus_value")
        assert values == {frozenset([("namespace", "default"), ("scaledobject", "llm"), ("signal", "prometheus.lag")]): 34}
        # The server goes: the value ages, then the call fails and names it.
        w.prometheus.stop()
        unknown(w, m, "the server answers with an error")  # 502 of the proxy
        assert not metric_values(w.scaler.page(), "gpuscale_prometheus_value")
        w.proxy.fault = (200, "text/html", "<html>Sign in</html>")
        unknown(w, m, "no usable answer from the server")
        assert "HTML page, not data" in queries(w.scaler)[0]["error"]
        explained = run("gpuscale", "explain", "--server", f"http://{w.scaler.http}", "default/llm")
        assert "prometheus.lag (no usable answer from the server)" in explained.stdout, explained.stdout + explained.stderr
        lines = [e for e in w.scaler.program.events("query gives no number: its value ages") if e["reason"] == "refused"]
        assert len(lines) == 1 and lines[0]["server"] == "main" and lines[0]["query"] == "sum(lag)", lines


def test_back_again_after_the_server_was_away(tmp_path):
    with World(tmp_path) as w:
        w.page.lag = {"": 34}
        eventually("4 replicas", lambda: w.keda.replicas(metadata=lag()) == 4)
        w.prometheus.stop()
        unknown(w, lag(), "the server answers with an error")
        w.page.lag = {"": 51}
        w.prometheus.start()
        eventually("6 replicas", lambda: w.keda.replicas(metadata=lag()) == 6)
        assert len(w.scaler.program.events("query gives a number again")) >= 1
        assert queries(w.scaler)[0]["state"] == "good"


@pytest.mark.parametrize("query, words, error", [
    ("lag", "the query gives several samples: sum() them", 'the query gives 2 samples, the first is {'),
    ("nothing_of_this_name", "the query gives no sample", "nothing matches"),
    ("sum(lag) / 0 - sum(lag) / 0", "the query gives NaN or Inf", "the query gives NaN, which is no load"),
    ("sum(lag) / 0", "the query gives NaN or Inf", "the query gives +Inf"),
    ("sum(lag) * -1", "the query gives less than 0", "clamp_min"),
    ("lag[1m]", "the query gives no number", "the query gives a matrix, not one number: put a function such as rate()"),
    ("'text'", "the query gives no number", "the query gives a string"),
    ("sum(lag", "the server answers with an error", "bad_data: invalid parameter \"query\": 1:8: parse error: unclosed left parenthesis"),
    ("label_replace(lag, 'x', 'same', '', '') * on(x) label_replace(lag, 'x', 'same', '', '')",
     "the server answers with an error", "execution: found duplicate series"),
], ids=["several", "none", "NaN", "Inf", "negative", "matrix", "string", "bad query", "execution"])
def test_what_is_no_number_is_unknown_with_its_reason(tmp_path, query, words, error):
    with World(tmp_path) as w:
        w.page.lag = {'q="a"': 20, 'q="b"': 14}
        m = lag(query)
        assert w.keda.code(w.keda.metrics, metadata=m)[0] == "OK"  # the first decision holds
        unknown(w, m, words)
        s = queries(w.scaler)[0]
        assert s["state"] == "failing" and error in s["error"], s
        w.page.lag = {}


def test_a_scalar_and_a_number_are_numbers(tmp_path):
    with World(tmp_path) as w:
        w.page.lag = {"": 30}
        eventually("scalar", lambda: w.keda.replicas(metadata=lag("scalar(sum(lag))")) == 3)
        eventually("no sample made 0", lambda: w.keda.replicas(metadata=lag("sum(absent_one) or vector(25)")) == 3)


def test_at_zero_a_query_wakes_the_service(tmp_path):
    with World(tmp_path, replicas=0) as w:
        m = lag(activation="5")
        w.page.lag = {"": 5}
        eventually("known", lambda: w.keda.replicas(metadata=m) >= 0 and queries(w.scaler)[0]["state"] == "good")
        assert w.keda.active(metadata=m) is False
        w.page.lag = {"": 21}
        eventually("active", lambda: w.keda.active(metadata=m))
        eventually("3 replicas", lambda: w.keda.replicas(metadata=m) == 3)
        # Lost at zero: neither woken nor failed.
        w.prometheus.stop()
        eventually("inactive", lambda: not w.keda.active(metadata=m))
        assert w.keda.code(w.keda.metrics, metadata=m)[0] == "OK"


FAULTS = [
    ((200, "text/html", "<html>Sign in</html>"), "noAnswer", "HTML"),
    ((200, "application/json", "{"), "noAnswer", "not JSON: line 1"),
    ((200, "application/json", "[1,2]"), "noAnswer", "no status and data"),
    ((200, "application/json", "[" * 60000), "noAnswer", "not JSON"),
    ((200, "application/json", '{"status":"success","data":{"resultType":"vector","result":[' + ",".join(['{"metric":{"a":"b"},"value":[1,"1"]}'] * 3000) + "]}}"),
     "several", "many samples, it seems"),
    ((200, "application/json", '{"status":"success","warnings":["store x is \\n down"],"data":{"resultType":"vector","result":[{"metric":{},"value":[1,"3"]}]}}'),
     "partial", "store x is   down"),
    ((200, "application/json", '{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"histogram":[1,{}]}]}}'), "type", "native histogram"),
    ((401, "text/plain", "Unauthorized"), "refused", "who we are is not enough"),
    ((403, "text/html", "<html>no</html>"), "refused", "status 403"),
    ((503, "application/json", '{"status":"error","errorType":"timeout","error":"query timed out"}'), "refused", "timeout: query timed out"),
    ((302, "text/plain", ""), "refused", "302"),
]


def test_whatever_else_answers_is_unknown_too(tmp_path):
    with World(tmp_path) as w:
        w.page.lag = {"": 30}
        eventually("3 replicas", lambda: w.keda.replicas(metadata=lag()) == 3)
        for fault, reason, error in FAULTS:
            w.proxy.fault = fault
            failed = eventually(f"{reason}: {error}", lambda: [q for q in queries(w.scaler) if q.get("reason") == reason and error in q["error"]])
            assert failed[0]["state"] == "failing" and failed[0]["value"] == 30, failed  # it ages
            w.proxy.fault = None
            eventually("good again", lambda: queries(w.scaler)[0]["state"] == "good")
        w.proxy.fault = None
        eventually("3 replicas", lambda: w.keda.replicas(metadata=lag()) == 3)
        results = metric_values(w.scaler.page(), "gpuscale_prometheus_queries_total")
        assert {dict(k)["result"] for k in results} >= {"good", "several", "partial", "refused", "noAnswer"}


def test_who_may_ask_what(tmp_path):
    page = Series()
    page.lag = {'namespace="default"': 10, 'namespace="team-b"': 70}
    with Prometheus(tmp_path / "prometheus", [page]) as prometheus:
        servers = {"main": {"url": prometheus.url, "namespaces": ["default", "team-b"], "interval": "1s"},
                   "theirs": {"url": prometheus.url, "namespaces": ["team-b"], "interval": "1s", "enforcedLabel": ""}}
        loads = [workload(), workload(namespace="team-b")]
        with Scaler(tmp_path / "scaler", loads, prometheus=servers) as scaler:
            keda = Keda(scaler.grpc, tmp_path)
            # The label is enforced by default: each sees its own.
            eventually("own series", lambda: keda.replicas(metadata=lag()) == 1)
            eventually("their own", lambda: keda.replicas(metadata=lag(), namespace="team-b") == 7)
            eventually("where no label is enforced", lambda: keda.replicas(metadata=lag(server="theirs"), namespace="team-b") == 8)
            assert keda.code(keda.metrics, metadata=lag(server="theirs")) == (
                "INVALID_ARGUMENT", 'ScaledObject default/llm: prometheus.lag: "theirs" is no Prometheus server that '
                'namespace default may use; there are: main')
            assert keda.code(keda.metrics, metadata=lag(server="mian"))[1].endswith(
                'may use, did you mean "main"?; there are: main')
            assert "that namespace other may use" in keda.code(keda.metrics, metadata=lag(), namespace="other")[1]
            for attack in ('sum(lag{namespace="team-b"})', 'lag or lag{namespace=~".+"} # ', 'sum(lag{a="b" or namespace="team-b"})',
                           "info(lag)", 'sum(lag) or sum by', 'sum({__name__="lag"} unless lag{namespace="default"})'):
                code, text = keda.code(keda.metrics, metadata=lag(attack))
                if code == "INVALID_ARGUMENT":
                    assert "ScaledObject default/llm: query.lag: column " in text, text
                else:
                    eventually("asked", lambda: any('namespace="default"' in q["query"] for q in queries(scaler)))
            eventually("all asked", lambda: all(q["state"] != "waiting" for q in queries(scaler)))
            for q in queries(scaler):
                if q["namespace"] == "default":
                    assert q["query"].count("lag") == q["query"].count('namespace="default"}') + q["query"].count('"lag"') * 0, q
                    assert q.get("value", 0) in (0, 10), q
            keda.close()
    page.close()


SECRETS = ("s3cret-token-1", "s3cret-token-2", "p4ssword-of-basic")


def no_secret(world_scaler, *keda_texts):
    texts = [world_scaler.program.log(), json.dumps(world_scaler.api("/api/v1/sources")), json.dumps(world_scaler.api("/api/v1/objects")),
             json.dumps(world_scaler.api("/api/v1/decisions")), world_scaler.page().decode(), *keda_texts]
    for text in texts:
        assert not any(s in text for s in SECRETS), text


def test_a_token_of_a_file_is_sent_and_rotates(tmp_path):
    token = tmp_path / "token"
    token.write_text(SECRETS[0] + "\n")
    with World(tmp_path, bearerTokenFile=str(token), orgID="team one", headers={"X-Extra": "a b"}) as w:
        w.proxy.wanted = f"Bearer {SECRETS[0]}"
        w.page.lag = {"": 30}
        eventually("3 replicas", lambda: w.keda.replicas(metadata=lag()) == 3)
        path, headers, form = w.proxy.seen[-1]
        assert path == "/api/v1/query" and headers["X-Scope-OrgID"] == "team one" and headers["X-Extra"] == "a b"
        assert headers["Content-Type"] == "application/x-www-form-urlencoded" and form == b"query=sum%28lag%29&timeout=5.000"
        # The proxy asks for another one.
        w.proxy.wanted = f"Bearer {SECRETS[1]}"
        text = unknown(w, lag(), "the server answers with an error")
        assert "who we are is not enough" in queries(w.scaler)[0]["error"] and "401" in queries(w.scaler)[0]["error"]
        token.write_text(SECRETS[1])
        w.page.lag = {"": 40}
        eventually("4 replicas", lambda: w.keda.replicas(metadata=lag()) == 4)
        # The file goes, and comes back.
        token.unlink()
        more = unknown(w, lag(), "the token or password cannot be read")
        assert f"{token}: cannot be opened: No such file" in queries(w.scaler)[0]["error"]
        token.write_text(SECRETS[1])
        eventually("4 replicas", lambda: w.keda.replicas(metadata=lag()) == 4)
        no_secret(w.scaler, text, more)


def test_basic_authentication_and_certificates_of_prometheus_itself(tmp_path):
    bcrypt = "$2y$04$NTOLEQHtYv9nmGtkL3qLSeugXv/m91cOubMVyWA4x2gXOCRFHCVPq"
    try:
        import crypt
        bcrypt = crypt.crypt(SECRETS[2], crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16))
    except ImportError:
        pytest.skip("python without crypt")
    certs = Certs(tmp_path / "certs")
    crt, key = certs.leaf("prometheus")
    client_crt, client_key = certs.leaf("gpuscale")
    page = Series()
    page.lag = {"": 30}
    web = {"basic_auth_users": {"gpuscale": bcrypt},
           "tls_server_config": {"cert_file": str(crt), "key_file": str(key), "client_ca_file": str(certs.ca),
                                 "client_auth_type": "RequireAndVerifyClientCert"}}
    password = tmp_path / "password"
    password.write_text(SECRETS[2] + "\n")
    wrong = tmp_path / "wrong"
    wrong.write_text(SECRETS[0])
    tls = {"ca": str(certs.ca), "cert": str(client_crt), "key": str(client_key)}
    basic = {"username": "gpuscale", "passwordFile": str(password)}
    with Prometheus(tmp_path / "prometheus", [page], web_config=web, scheme="https") as prometheus:
        url = prometheus.url
        servers = {"main": server(url, tls=tls, basicAuth=basic),
                   "named": server(url.replace("127.0.0.1", "localhost"), tls={**tls, "serverName": "localhost"}, basicAuth=basic),
                   "nobody": server(url, tls=tls), "wrong": server(url, tls=tls, basicAuth={**basic, "passwordFile": str(wrong)}),
                   "uncertified": server(url, tls={"ca": str(certs.ca)}, basicAuth=basic),
                   "misnamed": server(url, tls={**tls, "serverName": "other"}, basicAuth=basic)}
        with Scaler(tmp_path / "scaler", [workload()], prometheus=servers) as scaler:
            keda = Keda(scaler.grpc, tmp_path)
            eventually("3 replicas", lambda: keda.replicas(metadata=lag()) == 3)
            eventually("3 replicas", lambda: keda.replicas(metadata=lag(server="named")) == 3)
            for name, error in (("nobody", "401"), ("wrong", "401"), ("uncertified", "certificate"), ("misnamed", "other")):
                keda.code(keda.metrics, metadata=lag(server=name))
                failed = eventually(f"{name} fails", lambda: [q for q in queries(scaler) if q["key"] == name and q["state"] == "failing"])
                assert error in failed[0]["error"], failed
            no_secret(scaler)
            keda.close()
    page.close()


@pytest.mark.parametrize("config, says", [
    ({"url": "http://p:9090"}, "namespaces"),
    ({"url": "http://p:9090", "namespaces": []}, "namespaces"),
    ({"url": "http://p:9090/api/v1/query", "namespaces": ["*"]}, "in front of /api/v1/query"),
    ({"url": "http://u:p@p:9090", "namespaces": ["*"]}, "user and password do not belong into a URL"),
    ({"url": "http://p:9090", "namespaces": ["*"], "tls": {"ca": "x"}}, "the url is not https://"),
    ({"url": "https://p:9090", "namespaces": ["*"], "tls": {"cert": "x"}}, "key is missing"),
    ({"url": "http://p:9090", "namespaces": ["Team"]}, "namespace's name"),
    ({"url": "http://p:9090", "namespaces": ["*"], "enforcedLabel": "a-b"}, "a label's name"),
    ({"url": "http://p:9090", "namespaces": ["*"], "bearerTokenFile": "/no/such", "basicAuth": {"username": "u", "passwordFile": "p"}},
     "exclude each other"),
    ({"url": "http://p:9090", "namespaces": ["*"], "bearerTokenFile": "/no/such"}, "/no/such: cannot be opened"),
    ({"url": "http://p:9090", "namespaces": ["*"], "headers": {"Authorization": "Bearer x"}}, "Authorization is not written here"),
    ({"url": "http://p:9090", "namespaces": ["*"], "headers": {"X-A": "a\nHost: b"}}, "printable ASCII"),
])
def test_a_wrong_configuration_ends_the_start_with_the_reason(tmp_path, config, says):
    (tmp_path / "w.yaml").write_text('{"workloads": []}')
    (tmp_path / "c.yaml").write_text(json.dumps({"workloads": str(tmp_path / "w.yaml"), "grpc": {"listen": "127.0.0.1:0"}, "http": {"listen": "127.0.0.1:0"},
                                                 "health": {"listen": "127.0.0.1:0"}, "prometheus": {"main": config}}))
    done = run("gpuscale", "scaler", "--config", tmp_path / "c.yaml")
    assert done.returncode != 0 and says in done.stderr and "main" in done.stderr or says in done.stderr, done.stderr


def test_what_a_selector_may_reach_back_to(tmp_path):
    """Prometheus gives samples of five minutes ago; `lookback` shortens that."""
    with World(tmp_path, lookback="2s") as w:
        w.page.lag = {"": 30}
        eventually("3 replicas", lambda: w.keda.replicas(metadata=lag()) == 3)
        assert b"&lookback_delta=2.000" in w.proxy.seen[-1][2]


def test_the_same_query_is_asked_once(tmp_path):
    with World(tmp_path) as w:
        w.page.lag = {"": 30}
        for target in ("10", "15", "30"):
            eventually("decided", lambda: w.keda.replicas(metadata=lag(target=target)) == 30 / int(target))
        assert len(queries(w.scaler)) == 1
        asked = {json.dumps(f.decode()) for _, _, f in w.proxy.seen}
        assert len(asked) == 1
