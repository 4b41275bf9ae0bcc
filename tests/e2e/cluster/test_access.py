# SPDX-License-Identifier: Apache-2.0
"""Who may read the scaler's HTTP port, by the real API server: tokens as `kubectl create token` makes them, rights as RBAC
gives them, and nobody let in while it is away."""

import json
import ssl
import subprocess

import pytest

from harness import Program, http_get, wait_until
from metrics_api_kit import follower_role
from plane import Plane

ADDRESS = "10.244.255.10"
SERVICE = "gpuscale-scaler.gpuscale.svc"
ROLES = "rbac.authorization.k8s.io"


def bind(kind, name, role, account, namespace=None):
    return {"apiVersion": f"{ROLES}/v1", "kind": kind, "metadata": {"name": name, **({"namespace": namespace} if namespace else {})},
            "roleRef": {"apiGroup": ROLES, "kind": role[0], "name": role[1]},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": "team"}]}


def rules():
    """A Prometheus, and a team that may list the ScaledObjects of one namespace."""
    return [
        {"apiVersion": f"{ROLES}/v1", "kind": "ClusterRole", "metadata": {"name": "metrics-reader"},
         "rules": [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]},
        {"apiVersion": f"{ROLES}/v1", "kind": "ClusterRole", "metadata": {"name": "scaled-objects-reader"},
         "rules": [{"apiGroups": ["keda.sh"], "resources": ["scaledobjects"], "verbs": ["list"]}]},
        bind("ClusterRoleBinding", "prometheus", ("ClusterRole", "metrics-reader"), "prometheus"),
        bind("ClusterRoleBinding", "boss", ("ClusterRole", "scaled-objects-reader"), "boss"),
        bind("RoleBinding", "viewer", ("ClusterRole", "scaled-objects-reader"), "viewer", "ml"),
    ]


class Reader:
    def __init__(self, plane, scaler):
        self.plane, self.scaler = plane, scaler
        self.context = ssl.create_default_context(cafile=str(plane.certs.ca))
        self.context.check_hostname = False  # by address; the chain is verified

    def get(self, path, token=None):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return http_get(f"https://{ADDRESS}:9444{path}", headers=headers, context=self.context)

    def namespaces(self, token):
        status, _, body = self.get("/api/v1/objects", token)
        assert status == 200, (status, body)
        return sorted(o["namespace"] for o in json.loads(body)["items"])


@pytest.fixture(scope="module")
def plane(programs, tmp_path_factory):
    with Plane(tmp_path_factory.mktemp("plane"), programs, keda=False) as p:
        crds = [a for c in sorted(p.programs["crds"].glob("*.yaml")) for a in ("-f", c)]
        p.kubectl("apply", "--server-side", *crds)
        p.wait_until(lambda: p.rest.request("GET", "/apis/keda.sh/v1alpha1/scaledobjects")[0] == 200, "ScaledObjects are served")
        p.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n}} for n in ("gpuscale", "team", "ml", "web")])
        p.apply(follower_role() + rules())
        for name in ("prometheus", "boss", "viewer", "nobody"):
            p.kubectl("create", "serviceaccount", name, "-n", "team")
        for ns in ("ml", "web"):
            p.apply([{"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "llm", "namespace": ns}, "spec": {
                "scaleTargetRef": {"name": "llm"}, "triggers": [{"type": "external", "metadata": {
                    "scalerAddress": f"{SERVICE}:9443", "engine": "vllm", "capacity": "2"}}]}}])
        yield p


@pytest.fixture(scope="module")
def reader(plane, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scaler")
    cert, key = plane.certs.leaf("scaler", f"DNS:{SERVICE}")
    config = {"grpc": {"listen": f"{ADDRESS}:9443"}, "health": {"listen": f"{ADDRESS}:8081"},
              "http": {"listen": f"{ADDRESS}:9444", "tls": {"cert": str(cert), "key": str(key)}},
              "kubernetes": {"enabled": True, "kubeconfig": str(plane.service_account("gpuscale", "gpuscale-scaler")), "events": False}}
    (folder / "scaler.yaml").write_text(json.dumps(config))
    with Program("gpuscale", "scaler", "--config", folder / "scaler.yaml") as program:
        program.wait_log("tokens of the Kubernetes API")
        wait_until(lambda: http_get(f"http://{ADDRESS}:8081/readyz")[0] == 200, "ready")
        yield Reader(plane, program)


def token(plane, name):
    return plane.kubectl("create", "token", name, "-n", "team").strip()


def test_without_the_right_to_ask_nobody_is_let_in_and_the_log_names_it(plane, reader):
    status, _, body = reader.get("/metrics", token(plane, "prometheus"))
    assert status == 503 and b"cannot be asked" in body
    line = reader.scaler.wait_log("nobody is let in.*403")
    assert "tokenreviews" in line and "create" in line
    binding = {**bind("ClusterRoleBinding", "delegator", ("ClusterRole", "system:auth-delegator"), "x"),
               "subjects": [{"kind": "ServiceAccount", "name": "gpuscale-scaler", "namespace": "gpuscale"}]}
    plane.apply([binding])
    wait_until(lambda: reader.get("/metrics", token(plane, "prometheus"))[0] == 200, "with system:auth-delegator it works")


def test_tokens_read_what_rbac_gives_them(plane, reader):
    prometheus, boss, viewer, nobody = (token(plane, n) for n in ("prometheus", "boss", "viewer", "nobody"))
    assert reader.get("/metrics")[0] == 401 and reader.get("/metrics", "x")[0] == 401
    assert [reader.get("/metrics", t)[0] for t in (prometheus, boss, viewer, nobody)] == [200, 403, 403, 403]
    assert reader.namespaces(boss) == ["ml", "web"]
    assert reader.namespaces(viewer) == ["ml"]
    assert reader.get("/api/v1/objects?namespace=web", viewer)[0] == 403
    assert reader.get("/api/v1/objects", nobody)[0] == reader.get("/api/v1/objects", prometheus)[0] == 403
    # A token for somebody else's audience is none for the API server.
    foreign = plane.token("team", "boss", audiences=["vault"])
    assert reader.get("/api/v1/objects", foreign)[0] == 401
    log = reader.scaler.log()
    assert not [t for t in (prometheus, boss, viewer, nobody, foreign) if t in log]


def test_a_right_that_is_taken_and_an_account_that_goes_are_out_soon(plane, reader):
    boss, viewer = token(plane, "boss"), token(plane, "viewer")
    assert reader.namespaces(viewer) == ["ml"] and reader.namespaces(boss) == ["ml", "web"]
    plane.kubectl("delete", "rolebinding", "viewer", "-n", "ml")
    plane.kubectl("delete", "serviceaccount", "boss", "-n", "team")
    wait_until(lambda: reader.get("/api/v1/objects", viewer)[0] == 403, "the right is gone", deadline_s=60, every_s=0.5)
    wait_until(lambda: reader.get("/api/v1/objects", boss)[0] == 401, "the account is gone", deadline_s=60, every_s=0.5)


def test_curl_and_the_form(plane, reader, tmp_path):
    """What docs/http-access.md tells a person to do."""
    jar = tmp_path / "jar"
    base = ["curl", "-sS", "--cacert", plane.certs.ca, "--resolve", f"{SERVICE}:9444:{ADDRESS}", "-b", jar, "-c", jar]
    out = subprocess.run([*base, "-w", "%{http_code}", "--data-urlencode", f"token={token(plane, 'prometheus')}", f"https://{SERVICE}:9444/login"],
                         check=True, capture_output=True, text=True)
    assert out.stdout.endswith("303")
    out = subprocess.run([*base, f"https://{SERVICE}:9444/metrics"], check=True, capture_output=True, text=True)
    assert "gpuscale_access_reviews_total" in out.stdout


def test_while_the_api_server_is_away_nobody_new_is_let_in(plane, reader):
    known = token(plane, "prometheus")
    fresh = token(plane, "prometheus")
    assert reader.get("/metrics", known)[0] == 200
    plane.processes["kube-apiserver"].stop()
    assert reader.get("/metrics", fresh)[0] == 503
    wait_until(lambda: reader.get("/metrics", known)[0] == 503, "what is remembered ends", deadline_s=60, every_s=0.5)
    plane.processes["kube-apiserver"].start()
    wait_until(lambda: reader.get("/metrics", fresh)[0] == 200, "it is back", deadline_s=60, every_s=0.5)
