# SPDX-License-Identifier: Apache-2.0
"""external.metrics.k8s.io of the scaler against a Kubernetes API that is played: values, who is believed, authorities that rotate, an API server
that does not answer. tests/e2e/cluster/test_metrics_api.py and test_hpa_without_keda.py have the real one."""

import http.client
import json
import os
import pathlib
import signal
import ssl
import subprocess
import time

import pytest
from cluster_kit import DEPLOYMENTS, SCALED_OBJECTS, Cluster, ClusterScaler, pages, serve  # noqa: F401
from harness import Certs, find_program, metric_values, wait_until
from kube_kit import status
from scaler_kit import LLM

BASE = "/apis/external.metrics.k8s.io/v1beta1"
CONFIG_MAPS = "/api/v1/namespaces/kube-system/configmaps"
SAR = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
TOKENS = "/apis/authentication.k8s.io/v1/tokenreviews"
VALUES = f"{BASE}/namespaces/default/desired-replicas"


@pytest.fixture(scope="module")
def certs(tmp_path_factory):
    return Certs(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    """The front proxy's authority, and its certificate."""
    authority = Certs(tmp_path_factory.mktemp("front"), "front-proxy CA")
    return authority, authority.leaf("front-proxy-client")


class Reviews:
    """Answers reviews: `rights` are (user, verb, "NAMESPACE/RESOURCE" or path); `tokens` {token: user}."""

    def __init__(self, server):
        self.rights, self.tokens, self.asked, self.fails = set(), {}, [], False
        server.faults.append(self.answer)

    def answer(self, handler, request):
        if request["path"] not in (SAR, TOKENS):
            return False
        body = json.loads(request["body"])
        self.asked.append(body["spec"])
        if self.fails:
            handler.answer(500, status(500, "InternalError", "etcd is away"))
            return True
        if request["path"] == TOKENS:
            user = self.tokens.get(body["spec"]["token"])
            body["status"] = {"authenticated": True, "user": {"username": user, "groups": ["g"]}} if user else {"authenticated": False}
        else:
            s = body["spec"]
            what = s.get("resourceAttributes") or s["nonResourceAttributes"]
            place = f"{what['namespace']}/{what['resource']}" if "resource" in what else what["path"]
            body["status"] = {"allowed": (s["user"], what["verb"], place) in self.rights}
        handler.answer(201, body)
        return True


class World:
    def __init__(self, tmp_path, certs, front):
        self.certs, self.tmp_path = certs, tmp_path
        self.authority, self.client = front
        self.server, self.config = serve(certs, tmp_path)
        self.cluster, self.reviews = Cluster(self.server), Reviews(self.server)
        self.reviews.rights = {("hpa", "list", "default/desired-replicas"), ("hpa", "get", BASE)}
        self.publish(self.authority)
        self.pair = certs.leaf("scaler")

    def publish(self, authority, **data):
        self.server.api.put(CONFIG_MAPS, "kube-system", "extension-apiserver-authentication", data={
            "requestheader-client-ca-file": authority.ca.read_text(), "requestheader-allowed-names": '["front-proxy-client"]',
            "requestheader-username-headers": '["X-Remote-User"]', "requestheader-uid-headers": '["X-Remote-Uid"]',
            "requestheader-group-headers": '["X-Remote-Group"]', "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]', **data})

    def scaler(self, rules=None, metadata=None, wait=True, **more):
        rules = rules or {"llm": {"namespace": "default", "target": "deployment/llm", "metadata": metadata or LLM}}
        api = {"enabled": True, "listen": "127.0.0.1:0", "tls": {"cert": str(self.pair[0]), "key": str(self.pair[1])},
               **more.pop("metricsAPI", {})}
        s = ClusterScaler(self.tmp_path / "s", self.config, metricsAPI=api, rules=rules, **more)
        s.port = int(s.program.addr("metrics-api").rsplit(":", 1)[1])
        if wait:
            wait_until(lambda: call(self, s, "/readyz", cert=None)[0] == 200, "the metrics API is ready")
        return s


@pytest.fixture
def world(tmp_path, certs, front):
    w = World(tmp_path, certs, front)
    with w.server:
        yield w


def connect(world, scaler, cert):
    context = ssl.create_default_context(cafile=str(world.certs.ca))
    if cert:
        context.load_cert_chain(*[str(f) for f in cert])
    return http.client.HTTPSConnection("127.0.0.1", scaler.port, context=context, timeout=30)


def ask(connection, path, headers=(), method="GET"):
    connection.putrequest(method, path)
    for name, value in headers:
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    kind = answer.headers["Content-Type"] or ""
    return answer.status, json.loads(body) if kind.startswith("application/json") and body else body.decode(), answer.headers


OURS = object()


def call(world, scaler, path, headers=(("X-Remote-User", "hpa"),), cert=OURS, method="GET"):
    """(status, JSON or text, headers), by default as the API server asks for the HPA's controller."""
    connection = connect(world, scaler, world.client if cert is OURS else cert)
    try:
        return ask(connection, path, headers, method)
    finally:
        connection.close()


def value(world, scaler, rule="llm"):
    code, body, _ = call(world, scaler, f"{VALUES}?labelSelector=gpuscale.io%2Frule%3D{rule}")
    return body["items"][0]["value"] if code == 200 else f"{code}: {body['message']}"


def test_the_value_is_the_decision_as_kubernetes_reads_it(world, pages):
    busy, ip = pages.add(rate=2)
    world.cluster.deployment(replicas=2)
    world.cluster.pod("llm-1-a", ip=ip)
    with world.scaler(metadata={**LLM, "metricsPort": str(pages.port)}) as s:
        wait_until(lambda: value(world, s) == "2", "what there is")
        code, body, headers = call(world, s, VALUES, [("X-Remote-User", "hpa"), ("Accept", "application/vnd.kubernetes.protobuf")])
        assert code == 200 and headers["Content-Type"] == "application/json"
        assert body["kind"] == "ExternalMetricValueList" and body["apiVersion"] == "external.metrics.k8s.io/v1beta1"
        (item,) = body["items"]
        assert item["metricName"] == "desired-replicas" and item["metricLabels"] == {"gpuscale.io/rule": "llm"}
        assert abs(time.time() - time.mktime(time.strptime(item["timestamp"], "%Y-%m-%dT%H:%M:%SZ")) + time.timezone) < 60
        # Below what there is: the ceiling is meant, and the HPA's tolerance does not hold it.
        busy.finished.set_rate(0.2)
        wait_until(lambda: value(world, s) == "1m", "one of two")
        assert "rule default/llm" in subprocess.run([find_program("gpuscale"), "explain", "--server", f"http://{s.http}", "default/llm"],
                                                    capture_output=True, text=True).stdout
        labels = frozenset({("namespace", "default"), ("workload", "deployment/llm"), ("rule", "llm")})
        assert metric_values(s.page(), "gpuscale_desired_replicas")[labels] == 1
        assert metric_values(s.page(), "gpuscale_metrics_api_front_proxy_known")[frozenset()] == 1
        assert metric_values(s.page(), "gpuscale_certificate_expiry_timestamp_seconds")[frozenset({("server", "metrics-api")})] > time.time()
        busy.fault = "drop"
        wait_until(lambda: value(world, s).startswith("503: rule default/llm: "), "not known for longer than maxAge")
        assert "requestRate" in value(world, s)
        code, body, _ = call(world, s, VALUES)
        assert body["kind"] == "Status" and body["reason"] == "ServiceUnavailable" and body["code"] == 503


def test_a_rule_that_observes_answers_with_what_there_is_and_speaks_of_no_keda(world, pages):
    _, ip = pages.add(rate=6)
    world.cluster.deployment(replicas=2)
    world.cluster.pod("llm-1-a", ip=ip)
    with world.scaler(metadata={**LLM, "metricsPort": str(pages.port), "mode": "observe"}) as s:
        def told():
            text = subprocess.run([find_program("gpuscale"), "explain", "--server", f"http://{s.http}", "default/llm"],
                                  capture_output=True, text=True).stdout
            words = " ".join(text.split())
            assert "Observing only: the autoscaler is told the present 2." in words, words
            assert "KEDA" not in words and "ScaledObject" not in words, words
            return True

        wait_until(told, "explain says what it would have done")
        assert value(world, s) == "2"


def test_a_cluster_without_keda_is_no_reason_to_wait(world):
    gone = (404, status(404, "NotFound", "the server could not find the requested resource"))
    world.server.answers[("GET", SCALED_OBJECTS)] = gone
    world.cluster.deployment(replicas=3)
    with world.scaler() as s:
        wait_until(lambda: value(world, s) == "3", "decided")


def test_what_is_asked_wrongly_is_told(world):
    world.cluster.deployment()
    rules = {n: {"namespace": "default", "target": "deployment/llm", "metadata": LLM} for n in ("a", "b")}
    with world.scaler(rules) as s:
        for path, code, reason, words in (
                (VALUES, 400, "BadRequest", '"" selects 2 rules'), (VALUES + "?labelSelector=x%3D1", 404, "NotFound", "a, b"),
                (VALUES + "?labelSelector=%3D", 400, "BadRequest", "label selector"), (VALUES + "?labelSelector=%00", 400, "BadRequest", "labelSelector"),
                (VALUES + "/x", 404, "NotFound", "requested resource"), (BASE + "/namespaces/x", 404, "NotFound", "requested resource"),
                ("/none", 404, "NotFound", "nothing here")):
            got, body, _ = call(world, s, path)
            assert (got, body["reason"], body["kind"]) == (code, reason, "Status") and words in body["message"], (path, body)
        code, body, headers = call(world, s, VALUES, method="DELETE")
        assert code == 405 and body["reason"] == "MethodNotAllowed" and headers["Allow"] == "GET, HEAD"
        code, body, _ = call(world, s, BASE, method="HEAD")
        assert code == 200 and body == ""
        assert call(world, s, VALUES.replace("desired-replicas", "queue"))[0] == 403  # rights come before what there is
        assert "400" in value(world, s, "a") or value(world, s, "a") == "1"


def test_rights_are_asked_once_and_remembered(world):
    world.cluster.deployment()
    with world.scaler() as s:
        wait_until(lambda: value(world, s) == "1", "decided")
        world.reviews.asked.clear()
        connection = connect(world, s, world.client)
        who = [("X-Remote-User", "jane"), ("X-Remote-Uid", "7"), ("X-Remote-Group", "a"), ("X-Remote-Group", "b"),
               ("X-Remote-Extra-Acme.org%2Fscope", "s1"), ("X-Remote-Extra-Acme.org%2Fscope", "s2")]
        world.reviews.rights.add(("jane", "list", "default/desired-replicas"))
        for _ in range(20):  # on one connection, as the API server keeps it
            assert ask(connection, VALUES, who)[0] == 200
        connection.close()
        (asked,) = world.reviews.asked
        assert asked["user"] == "jane" and asked["uid"] == "7" and asked["groups"] == ["a", "b", "system:authenticated"]
        assert asked["extra"] == {"acme.org/scope": ["s1", "s2"]}
        assert asked["resourceAttributes"] == {"verb": "list", "group": "external.metrics.k8s.io", "resource": "desired-replicas",
                                               "namespace": "default"}
        code, body, _ = call(world, s, VALUES, [("X-Remote-User", "eve")])
        assert code == 403 and 'User "eve" cannot list resource "desired-replicas"' in body["message"]


def test_an_api_server_that_does_not_answer_lets_nobody_new_in(world):
    world.cluster.deployment()
    with world.scaler() as s:
        wait_until(lambda: value(world, s) == "1", "decided, and the right is remembered")
        world.reviews.fails = True
        assert call(world, s, VALUES)[0] == 200
        code, body, _ = call(world, s, VALUES, [("X-Remote-User", "jane")])
        assert code == 503 and body["reason"] == "ServiceUnavailable"
        master = [("X-Remote-User", "m"), ("X-Remote-Group", "system:masters")]
        assert call(world, s, BASE, master)[0] == 200  # the API server's own checks go on
        world.reviews.fails = False
        assert call(world, s, VALUES, [("X-Remote-User", "jane")])[0] == 403  # the failure is not remembered


def test_a_token_says_who_asks(world):
    world.cluster.deployment()
    with world.scaler() as s:
        wait_until(lambda: value(world, s) == "1", "decided")
        world.reviews.tokens = {"good": "hpa", "other": "jane"}
        def bearer(token):
            return call(world, s, VALUES, [("Authorization", f"Bearer {token}"), ("X-Remote-User", "hpa")], cert=None)
        assert bearer("good")[0] == 200 and bearer("other")[0] == 403 and bearer("bad")[0] == 401
        assert "good" not in s.program.log() and bearer("x" * 15000)[0] == 401


def test_a_new_authority_holds_at_once(world, tmp_path):
    world.cluster.deployment()
    with world.scaler() as s:
        wait_until(lambda: value(world, s) == "1", "decided")
        kept = connect(world, s, world.client)
        assert ask(kept, VALUES, [("X-Remote-User", "hpa")])[0] == 200
        fresh = Certs(tmp_path / "fresh", "another front-proxy CA")
        old, world.client = world.client, fresh.leaf("front-proxy-client")
        world.publish(fresh)
        wait_until(lambda: call(world, s, VALUES)[0] == 200, "the new authority's certificate is believed")
        with pytest.raises((http.client.HTTPException, OSError)):  # what was verified by the old one has ended
            ask(kept, VALUES, [("X-Remote-User", "hpa")])
        with pytest.raises((http.client.HTTPException, OSError)):
            call(world, s, VALUES, cert=old)
        # Names that make no sense: nobody is believed, not anybody.
        world.publish(fresh, **{"requestheader-allowed-names": "front-proxy-client"})
        wait_until(lambda: call(world, s, VALUES)[0] == 401, "nobody is believed")
        assert call(world, s, "/readyz", cert=None)[0] == 503
        world.publish(fresh, **{"requestheader-allowed-names": "[]"})  # any name
        wait_until(lambda: call(world, s, VALUES)[0] == 200, "believed again")
        assert call(world, s, VALUES, cert=fresh.leaf("whoever"))[0] == 200
        world.server.api.delete(CONFIG_MAPS, "kube-system", "extension-apiserver-authentication")
        wait_until(lambda: call(world, s, VALUES)[0] == 401, "nobody is believed")


def test_the_authority_may_stand_in_a_file(world, tmp_path):
    world.cluster.deployment()
    ca = tmp_path / "front.crt"
    ca.write_bytes(world.authority.ca.read_bytes())
    with world.scaler(metricsAPI={"requestHeader": {"ca": str(ca), "allowedNames": ["front-proxy-client"]}}) as s:
        wait_until(lambda: value(world, s) == "1", "decided")
        assert not world.server.asked(path=CONFIG_MAPS)
        assert call(world, s, VALUES, cert=world.authority.leaf("other"))[0] == 401
        fresh = Certs(tmp_path / "fresh", "another front-proxy CA")
        (tmp_path / "front.new").write_bytes(fresh.ca.read_bytes())
        os.replace(tmp_path / "front.new", ca)
        s.program.signal(signal.SIGHUP)
        wait_until(lambda: call(world, s, VALUES, cert=fresh.leaf("front-proxy-client"))[0] == 200, "re-read")


def test_the_documents_are_those_of_the_tree(world):
    """What the sources of the documents say is what is served; the aggregated list only for who names it."""
    folder = pathlib.Path(__file__).resolve().parents[2] / "src/scaler/external_metrics"
    master = [("X-Remote-User", "m"), ("X-Remote-Group", "system:masters")]
    aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    with world.scaler(wait=False) as s:
        wait_until(lambda: call(world, s, BASE, master)[0] == 200, "served, before anything is decided")
        for path, name in (("/apis", "groups"), ("/apis/external.metrics.k8s.io", "group"), (BASE, "resources"), ("/openapi/v2", "openapi_v2"),
                           ("/openapi/v3", "openapi_v3_root"), ("/openapi/v3" + BASE, "openapi_v3")):
            code, body, headers = call(world, s, path, master)
            assert code == 200 and body == json.loads((folder / f"{name}.json").read_text())
        code, body, headers = call(world, s, "/apis", [*master, ("Accept", f"application/json;as=x,{aggregated};profile=nopeer,{aggregated}")])
        assert headers["Content-Type"] == aggregated and body["kind"] == "APIGroupDiscoveryList"
        assert body == json.loads((folder / "discovery.json").read_text())


def test_who_waits_is_answered_when_the_scaler_ends(world):
    world.cluster.deployment()
    s = world.scaler()
    held = []
    world.server.faults.insert(0, lambda handler, request: request["path"] == SAR and not held.append(1) and not time.sleep(3))
    connection = connect(world, s, world.client)
    connection.putrequest("GET", VALUES)
    connection.putheader("X-Remote-User", "slow")
    connection.endheaders()
    wait_until(lambda: held, "the API server is asked")
    s.program.signal(signal.SIGTERM)
    assert connection.getresponse().status == 503
    connection.close()
    assert s.program.wait() == 0
