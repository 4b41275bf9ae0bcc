# SPDX-License-Identifier: Apache-2.0
"""Who may read the scaler's HTTP port in a cluster: tokens are reviewed by the (played) API server, the status API and
the page show the namespaces that a token may read, and nobody is let in while the server does not say."""

import base64
import hashlib
import http.client
import json
import re
import socket
import ssl
import threading
import urllib.parse

import pytest

import page_kit
from cluster_kit import Cluster, ClusterScaler, serve
from harness import Certs, Program, http_get, metric_values, run, wait_until
from kube_kit import status
from prometheus_kit import free_port
from scaler_kit import CLASSIC, FakeAgent, VllmPod, eventually
from test_page import parse_feed
from test_web_config import ALLMINE, basic

TOKEN_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
ACCESS_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
SECRETS = ["t0ken-", "allmine"]


class Reviews:
    """The API server's authenticator and authorizer, as a fault of kube_kit's server: it sees each request first."""

    def __init__(self, server):
        self.server = server
        self.users = {"t0ken-admin": "admin", "t0ken-ann": "ann", "t0ken-bob": "bob", "t0ken-eve": "eve",
                      "t0ken-scrape": "scrape"}
        self.lists = {"admin": {""}, "ann": {"ml"}, "bob": {"ml", "web"}}
        self.paths = {("scrape", "/metrics"), ("admin", "/metrics")}
        self.held = threading.Event()
        self.held.set()
        self.fault = None  # (status, body) to every review
        server.faults.append(self)

    def __call__(self, handler, request):
        if request["path"] not in (TOKEN_REVIEWS, ACCESS_REVIEWS):
            return False
        self.held.wait(30)
        if self.fault:
            handler.answer(*self.fault)
            return True
        spec = json.loads(request["body"])["spec"]
        if request["path"] == TOKEN_REVIEWS:
            name = self.users.get(spec["token"])
            handler.answer(201, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": (
                {"authenticated": True, "user": {"username": f"system:serviceaccount:ns:{name}", "uid": f"u-{name}",
                                                 "groups": ["system:serviceaccounts", "system:authenticated"],
                                                 "extra": {"authentication.kubernetes.io/pod-name": ["p"]}}}
                if name else {"error": "[invalid bearer token]"})})
            return True
        assert spec["groups"] == ["system:serviceaccounts", "system:authenticated"] and spec["extra"] and spec["uid"]
        name = spec["user"].rsplit(":", 1)[1]
        if "nonResourceAttributes" in spec:
            at = spec["nonResourceAttributes"]
            allowed = at["verb"] == "get" and (name, at["path"]) in self.paths
        else:
            at = spec["resourceAttributes"]
            assert (at["verb"], at["group"], at["resource"]) == ("list", "keda.sh", "scaledobjects")
            mine = self.lists.get(name, set())
            allowed = "" in mine or at.get("namespace", "") in mine
        handler.answer(201, {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
                             "status": {"allowed": allowed}})
        return True

    def asked(self, path):
        return len(self.server.asked(path=path))


@pytest.fixture(scope="module")
def certs(tmp_path_factory):
    return Certs(tmp_path_factory.mktemp("access-ca"))


class World:
    """Three namespaces with a service each, an agent whose GPUs pods of ml hold, and a scaler over TLS."""

    def __init__(self, tmp_path, certs, http=None, tls=True, kubernetes=None):
        tmp_path.mkdir(exist_ok=True)
        self.server, config = serve(certs, tmp_path)
        self.reviews = Reviews(self.server)
        self.cluster = Cluster(self.server)
        self.agent = FakeAgent(tmp_path, {"llm-1-a": 96.0, "free-0": 1.0}, namespace="ml")
        for ns in ("ml", "web", "dev"):
            self.cluster.deployment(namespace=ns)
            self.cluster.pod("llm-1-a", ip="127.0.0.9", namespace=ns)
            self.cluster.scaled_object(namespace=ns, metadata={**CLASSIC, "metricsPort": "1"})
        crt, key = certs.leaf("scaler")
        settings = {"listen": "127.0.0.1:0", **({"tls": {"cert": str(crt), "key": str(key)}} if tls else {}), **(http or {})}
        self.context = ssl.create_default_context(cafile=str(certs.ca)) if tls or "webConfig" in settings else None
        self.scaler = ClusterScaler(tmp_path / "s", config, http=settings, agents=[self.agent.addr], **(kubernetes or {}))
        self.scheme = "https" if self.context else "http"
        wait_until(self.scaler.ready, "ready")

    def get(self, path, token=None, headers=None, **kwargs):
        headers = {**({"Authorization": f"Bearer t0ken-{token}"} if token else {}), **(headers or {})}
        return http_get(f"{self.scheme}://{self.scaler.http}{path}", headers=headers, context=self.context, **kwargs)

    def status(self, path, token=None, headers=None):
        return self.get(path, token, headers)[0]

    def items(self, path, token=None, headers=None):
        code, _, body = self.get(path, token, headers)
        assert code == 200, (code, body)
        return json.loads(body)["items"]

    def namespaces(self, token=None, path="/api/v1/objects", headers=None):
        return sorted(o["namespace"] for o in self.items(path, token, headers))

    def request(self, method, path, body=None, headers=None):
        """(status, headers, body) without following a redirection."""
        host, port = self.scaler.http.rsplit(":", 1)
        c = (http.client.HTTPSConnection(host, int(port), context=self.context, timeout=30) if self.context
             else http.client.HTTPConnection(host, int(port), timeout=30))
        c.request(method, path, body, headers or {})
        answer = c.getresponse()
        out = answer.status, answer.headers, answer.read()
        c.close()
        return out

    def connect(self):
        host, port = self.scaler.http.rsplit(":", 1)
        raw = socket.create_connection((host, int(port)), timeout=30)
        return self.context.wrap_socket(raw, server_hostname="localhost") if self.context else raw

    def feed(self, token, until):
        with self.connect() as s:
            s.sendall(f"GET /api/v1/live HTTP/1.0\r\nAuthorization: Bearer t0ken-{token}\r\n\r\n".encode())
            data = b""
            while not until(parse_feed(data)):
                part = s.recv(65536)
                assert part, data
                data += part
            return parse_feed(data)

    def login(self, token):
        return self.request("POST", "/login", urllib.parse.urlencode({"token": token}),
                            {"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html"})

    def __enter__(self):
        return self

    def __exit__(self, kind, *why):
        self.reviews.held.set()
        self.scaler.__exit__(kind, *why)
        self.agent.close()
        self.server.stop()
        if kind is None:
            log = self.scaler.program.log()
            assert not [s for s in SECRETS if s in log], log


@pytest.fixture
def world(tmp_path, certs):
    with World(tmp_path, certs) as w:
        eventually("three decided", lambda: len(w.items("/api/v1/decisions", "admin")) == 3)
        yield w


def test_a_token_sees_the_namespaces_whose_scaled_objects_it_may_list(world):
    w = world
    w.scaler.program.wait_log('msg="who may read the HTTP port" who="tokens of the Kubernetes API"')
    for path in ("/api/v1/objects", "/api/v1/workloads", "/api/v1/decisions"):
        assert w.namespaces("admin", path) == ["dev", "ml", "web"]
        assert w.namespaces("bob", path) == ["ml", "web"]
        assert w.namespaces("ann", path) == ["ml"]
        assert w.namespaces("bob", path + "?namespace=web") == ["web"]
        assert w.status(path + "?namespace=web", "ann") == 403
        assert w.status(path, "eve") == w.status(path, "scrape") == 403
    code, _, text = w.get("/api/v1/decisions", "ann", {"Accept": "text/plain"})
    assert code == 200 and b"ml/llm" in text and b"web/llm" not in text and b"dev/llm" not in text
    # GPUs that pods of mine hold; what is nobody's namespace's is for who may list all.
    eventually("GPUs", lambda: len(w.items("/api/v1/gpus", "admin")) == 2)
    assert len(w.items("/api/v1/gpus", "ann")) == 2
    assert w.reviews.lists.update(dan={"web"}) is None and w.reviews.users.update({"t0ken-dan": "dan"}) is None
    assert w.items("/api/v1/gpus", "dan") == [] and w.namespaces("dan") == ["web"]
    sources = {t: {(s["kind"], s["key"].split("/")[0]) for s in w.items("/api/v1/sources", t)} for t in ("admin", "ann")}
    assert sources["ann"] == {("engine", "ml")}
    assert ("agent", w.agent.addr) in sources["admin"] and ("engine", "dev") in sources["admin"]
    # The page's feed.
    def labels(token):
        hello = w.feed(token, lambda e: e and e[0][1]["policies"])[0][1]
        return sorted(p["label"] for p in hello["policies"]), hello.get("notes", [])
    assert labels("admin")[0] == ["dev/llm", "ml/llm", "web/llm"]
    mine, notes = labels("ann")
    assert mine == ["ml/llm"] and any("your token may list" in n for n in notes)
    assert labels("bob")[0] == ["ml/llm", "web/llm"]
    frames = w.feed("ann", lambda e: len([k for k, _ in e if k == "frame"]) >= 2)
    assert {d["policy"] for k, d in frames if k == "frame"} == {p["id"] for p in frames[0][1]["policies"]}


def test_metrics_want_the_right_to_get_them(world):
    w = world
    code, headers, body = w.get("/metrics")
    assert code == 401 and "Bearer" in headers["WWW-Authenticate"] and b"gpuscale_" not in body
    assert w.status("/metrics", "nobody") == 401
    code, _, body = w.get("/metrics", "ann")
    assert code == 403 and b'nonResourceURLs "/metrics"' in body and b"system:serviceaccount:ns:ann" in body
    code, _, page = w.get("/metrics", "scrape")
    assert code == 200
    refused = metric_values(page, "gpuscale_http_refused_total")
    assert refused[frozenset([("status", "401")])] == 2 and refused[frozenset([("status", "403")])] == 1
    reviews = metric_values(page, "gpuscale_access_reviews_total")
    assert reviews[frozenset([("review", "token"), ("answer", "denied")])] == 1
    assert reviews[frozenset([("review", "right"), ("answer", "denied")])] >= 1
    assert http_get(f"http://{w.scaler.health}/readyz")[0] == 200  # the kubelet needs none


@pytest.mark.parametrize("value", ["Bearer", "Bearer ", "Bearer \tx", "Basic YTpi", "t0ken-admin", "Bearer t0ken-admin, Bearer t0ken-admin",
                                   "Digest t0ken-admin", "Bearer " + "x" * 9000])
def test_what_is_no_token_lets_nobody_in(world, value):
    assert world.status("/api/v1/objects", headers={"Authorization": value}) in (400, 401, 431)
    assert world.status("/metrics", headers={"Authorization": value}) in (400, 401, 431)


def test_the_same_question_is_asked_once_and_a_token_that_ends_is_out_soon(world):
    w = world
    w.reviews.users["t0ken-new"] = "admin"
    before = w.reviews.asked(TOKEN_REVIEWS)
    w.reviews.held.clear()
    codes = []
    threads = [threading.Thread(target=lambda: codes.append(w.status("/api/v1/objects", "new"))) for _ in range(20)]
    for t in threads:
        t.start()
    wait_until(lambda: w.reviews.asked(TOKEN_REVIEWS) > before, "the review came")
    w.reviews.held.set()
    for t in threads:
        t.join()
    assert codes == [200] * 20
    assert w.reviews.asked(TOKEN_REVIEWS) - before <= 3  # one, unless ten seconds went by on a busy machine
    del w.reviews.users["t0ken-new"]
    wait_until(lambda: w.status("/api/v1/objects", "new") == 401, "the token is forgotten", deadline_s=60, every_s=0.5)


def test_nobody_is_let_in_while_the_api_server_does_not_say_who_comes(world):
    w = world
    assert w.status("/metrics", "scrape") == 200
    for fault in [(500, {"kind": "Status"}), (200, b"not json"), (201, {"kind": "TokenReview"}),
                  (403, status(403, "Forbidden", "tokenreviews is forbidden"))]:
        w.reviews.fault = fault
        w.reviews.users[f"t0ken-{len(w.reviews.users)}"] = "admin"
        code, headers, body = w.get("/api/v1/objects", str(len(w.reviews.users) - 1))
        assert code == 503 and headers["Retry-After"] and b"cannot be asked" in body and b"items" not in body, fault
        assert w.login(f"t0ken-{len(w.reviews.users) - 1}")[0] == 503
    line = w.scaler.program.wait_log("nobody is let in.*403")
    assert "tokenreviews" in line and "verbs" in line
    # What is remembered stands until it is too old; then it is asked for again, and not known.
    wait_until(lambda: w.status("/metrics", "scrape") == 503, "the remembered answer ends", deadline_s=60, every_s=0.5)
    w.reviews.fault = None
    wait_until(lambda: w.status("/metrics", "scrape") == 200, "the server is back")


def test_clients_who_leave_during_their_review_harm_nobody(world):
    w = world
    w.reviews.held.clear()
    before = w.reviews.asked(TOKEN_REVIEWS)
    for i in range(10):
        w.reviews.users[f"t0ken-gone-{i}"] = "ann"
        s = w.connect()
        s.sendall(f"GET /api/v1/live HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t0ken-gone-{i}\r\n\r\n".encode())
        w.gone = s
        wait_until(lambda: w.reviews.asked(TOKEN_REVIEWS) > before + i, "the review came")
        s.close()
    w.reviews.held.set()
    wait_until(lambda: w.status("/api/v1/objects", "ann") == 200, "others are served")


def test_it_ends_while_reviews_run(tmp_path, certs):
    with World(tmp_path, certs) as w:
        w.reviews.held.clear()
        s = w.connect()
        s.sendall(b"GET /api/v1/objects HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t0ken-ann\r\n\r\n")
        wait_until(lambda: w.reviews.asked(TOKEN_REVIEWS), "the review came")
        w.scaler.program.stop()  # 0, and no sanitizer's word
        s.close()


def test_a_browser_signs_in_with_a_form_and_keeps_the_token_in_a_cookie(world):
    w = world
    code, headers, body = w.request("GET", "/", headers={"Accept": "text/html"})
    assert code == 401 and headers["Content-Type"] == "text/html; charset=utf-8" and b'action="/login"' in body
    policy, style = headers["Content-Security-Policy"], re.search(rb"<style>(.*?)</style>", body, re.S).group(1)
    digest = base64.b64encode(hashlib.sha256(style).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy and "form-action 'self'" in policy
    assert headers["Cache-Control"] == "no-store" and b"<script" not in body
    assert w.request("GET", "/login")[0] == 200
    for bad, says in [("wrong", b"knows no such token"), ("two words", b"That is no token"), ("", b"That is no token"),
                      ("x" * 4001, b"too long"), ("x\r\nSet-Cookie: a=b", b"That is no token")]:
        code, headers, body = w.login(bad)
        assert code == 401 and says in body and "Set-Cookie" not in headers, bad
    code, headers, body = w.login(" t0ken-ann\r\n")  # as it is pasted
    assert code == 303 and headers["Location"] == "/" and body == b""
    cookie = headers["Set-Cookie"]
    assert cookie == "__Host-gpuscale=t0ken-ann; Path=/; HttpOnly; SameSite=Strict; Secure"
    mine = {"Cookie": f"other=1; {cookie.split(';')[0]}; more=2"}
    assert w.namespaces(path="/api/v1/objects", headers=mine) == ["ml"]
    assert w.status("/", headers=mine) == 200
    assert w.status("/", headers={"Cookie": "gpuscale=t0ken-ann"}) == 401  # not the one that TLS guards
    assert w.status("/", headers={**mine, "Authorization": "Bearer wrong"}) == 401  # the header wins
    code, headers, body = w.request("GET", "/", headers={"Cookie": "__Host-gpuscale=t0ken-eve", "Accept": "text/html"})
    assert code == 403 and b"may not list" in body and b'action="/logout"' in body  # another token may be given
    code, headers, _ = w.request("POST", "/logout", headers=mine)
    assert code == 303 and headers["Location"] == "/login" and "Max-Age=0" in headers["Set-Cookie"] and "t0ken" not in headers["Set-Cookie"]


def test_explain_and_top_show_a_token(world, certs, tmp_path):
    w = world
    (tmp_path / "token").write_text("t0ken-ann\n")
    at = ["--server", f"https://{w.scaler.http}", "--ca", str(certs.ca)]
    r = run("gpuscale", "explain", *at)
    assert r.returncode == 1 and "--token-file" in r.stderr and "401" in r.stderr, r.stderr
    r = run("gpuscale", "explain", *at, "--token-file", str(tmp_path / "token"))
    assert r.returncode == 0 and "ml/llm" in r.stdout and "web/llm" not in r.stdout, r.stderr
    r = run("gpuscale", "explain", *at, "--token-file", str(tmp_path / "token"), "web/llm")
    assert r.returncode == 1 and "403" in r.stderr and "scaledobjects.keda.sh" in r.stderr, r.stderr
    r = run("gpuscale", "top", "--once", "--json", *at, "--token-file", str(tmp_path / "token"))
    assert r.returncode == 0 and {o["namespace"] for o in json.loads(r.stdout)["workloads"]} == {"ml"}, r.stdout + r.stderr
    for extra, says in [([], "--token-file"), (["--user", "alice"], "a file with the password"), (["--token-file", "/nonexistent"], "/nonexistent")]:
        r = run("gpuscale", "top", "--once", *at, *extra)
        assert r.returncode != 0 and says in r.stderr and "t0ken" not in r.stderr, r.stderr


def test_the_page_in_a_browser(tmp_path, certs):
    with World(tmp_path, certs, http={"listen": f"127.0.0.1:{free_port()}"}) as w:
        browser = page_kit.Drive("login", url=f"https://{w.scaler.http}/", token="t0ken-ann")
        assert browser.line() == "restart"
        del w.reviews.users["t0ken-ann"]
        w.scaler.program.stop()
        w.scaler.program = Program(*w.scaler.program.argv)
        seen = browser.result()
    assert "knows no such token" in seen["ended"]
    assert "Sign in to gpuscale" in seen["form"] and "knows no such token" in seen["refused"]
    assert seen["policies"] == ["ml/llm"] and "ml/llm" in seen["text"] and "web/llm" not in seen["text"]
    assert "your token may list" in seen["notes"]
    assert "t0ken" not in seen["script"]  # HttpOnly
    assert "Sign in to gpuscale" in seen["out"]
    assert seen["overflow"] == [] and seen["faint"] == [] and seen["nameless"] == [] and seen["trouble"] == []


def test_a_port_without_tls_asks_only_when_told_to_and_says_what_that_means(tmp_path, certs):
    with World(tmp_path / "a", certs, tls=False) as w:
        w.scaler.program.wait_log("who=everybody")
        w.scaler.program.wait_log("everybody in the cluster may read")
        assert w.namespaces() == ["dev", "ml", "web"] and w.request("POST", "/login", "token=x")[0] == 404
    with World(tmp_path / "b", certs, tls=False, http={"authorization": "kubernetes"}) as w:
        w.scaler.program.wait_log("passwords and tokens for the HTTP port cross the network readable")
        assert w.status("/api/v1/objects") == 401 and w.namespaces("ann") == ["ml"]
        assert w.login("t0ken-ann")[1]["Set-Cookie"] == "gpuscale=t0ken-ann; Path=/; HttpOnly; SameSite=Strict"
        assert w.namespaces(headers={"Cookie": "gpuscale=t0ken-ann"}) == ["ml"]
    with World(tmp_path / "c", certs, http={"authorization": "none"}) as w:
        assert w.namespaces() == ["dev", "ml", "web"] and not w.reviews.asked(TOKEN_REVIEWS)


def test_client_certificates_are_the_other_way(tmp_path, certs):
    crt, key = certs.leaf("scaler")
    tls = {"cert": str(crt), "key": str(key), "ca": str(certs.ca)}
    with World(tmp_path / "a", certs, http={"tls": tls}) as w:
        w.scaler.program.wait_log('who="who has a certificate"')
        with pytest.raises((OSError, ssl.SSLError)):
            w.status("/metrics", "scrape")
        w.context.load_cert_chain(*map(str, certs.leaf("prometheus")))
        assert w.status("/metrics") == 200 and w.namespaces() == ["dev", "ml", "web"]
        assert not w.reviews.asked(TOKEN_REVIEWS)


def test_users_of_a_web_config_see_all_and_tokens_count_beside_them(tmp_path, certs):
    crt, key = certs.leaf("scaler")
    file = tmp_path / "web.yml"
    file.write_text(json.dumps({"tls_server_config": {"cert_file": str(crt), "key_file": str(key)},
                                "basic_auth_users": {"alice": ALLMINE}}))
    with World(tmp_path / "a", certs, tls=False, http={"webConfig": str(file)}) as w:
        w.scaler.program.wait_log('who="tokens of the Kubernetes API, users"')
        alice = basic("alice", "allmine")
        assert w.namespaces(headers=alice) == ["dev", "ml", "web"] and w.status("/metrics", headers=alice) == 200
        assert w.namespaces("ann") == ["ml"] and w.status("/metrics", "scrape") == 200
        for bad in (basic("alice", "x"), basic("eve", "allmine"), {}):
            code, headers, _ = w.get("/metrics", headers=bad)
            challenges = headers.get_all("WWW-Authenticate")
            assert code == 401 and challenges[0].startswith("Basic") and challenges[1].startswith("Bearer")
        file.write_text(json.dumps({"tls_server_config": {"cert_file": str(crt), "key_file": str(key)},
                                    "basic_auth_users": {"bob": ALLMINE}}))
        wait_until(lambda: w.status("/metrics", headers=basic("bob", "allmine")) == 200, "bob", deadline_s=60, every_s=0.3)
        assert w.status("/metrics", headers=alice) == 401
    with World(tmp_path / "b", certs, tls=False, http={"webConfig": str(file), "authorization": "none"}) as w:
        assert w.status("/metrics", "scrape") == 401 and w.status("/metrics", headers=basic("bob", "allmine")) == 200
        assert w.get("/metrics")[1].get_all("WWW-Authenticate")[0].startswith("Basic")
        assert not w.reviews.asked(TOKEN_REVIEWS)
