# SPDX-License-Identifier: Apache-2.0
"""The metrics API behind the real API server: discovery, OpenAPI, delegated authentication and authorization."""

import json
import os
import ssl
import subprocess

import pytest
import yaml

from harness import Certs, find_program, http_get, metric_values
from metrics_api_kit import ADDRESS, BASE, GROUP, ApiScaler, available, call, documented_manifest, follower_role, front_leaf, may_list, values
from plane import HERE, Plane

CHART = HERE.parents[2] / "deploy/helm/gpuscale"

RULE = {"target": "deployment/llm", "metadata": {"engine": "vllm", "capacity": 2}}
NOBODY = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "nobody"}


@pytest.fixture(scope="module")
def plane(programs, tmp_path_factory):
    with Plane(tmp_path_factory.mktemp("plane"), programs, keda=False) as p:
        p.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n}} for n in ("gpuscale", "prod", "other")])
        p.apply(documented_manifest(p.certs.ca) + follower_role())
        yield p


@pytest.fixture(scope="module")
def scaler(plane, tmp_path_factory):
    rules = {name: {"namespace": "prod", **RULE} for name in ("llm", "chat")}
    with ApiScaler(plane, tmp_path_factory.mktemp("scaler"), rules) as s:
        plane.wait_until(lambda: available(plane)["status"] == "True", "the APIService is Available")
        yield s


def refused(plane, path, kubeconfig=None):
    """kubectl's words for an answer that is an error."""
    status, _, errors = plane.kubectl("get", "--raw", path, check=False, kubeconfig=kubeconfig)
    assert status != 0
    return errors


def test_the_api_is_found(plane, scaler):
    listed = json.loads(plane.kubectl("get", "--raw", BASE))
    assert listed["kind"] == "APIResourceList" and [r["name"] for r in listed["resources"]] == ["desired-replicas"]
    assert json.loads(plane.kubectl("get", "--raw", f"/apis/{GROUP}"))["preferredVersion"]["version"] == "v1beta1"
    plane.wait_until(lambda: "desired-replicas" in plane.kubectl("api-resources", "--api-group", GROUP), "discovery has it")
    # Aggregated discovery as kubectl asks for it: ours is Current, not Stale.
    def fresh():
        accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
        connection = plane.rest._connection(True)
        connection.request("GET", "/apis", headers={"Accept": accept})
        groups = json.loads(connection.getresponse().read())["items"]
        versions = [v for g in groups if g["metadata"]["name"] == GROUP for v in g["versions"]]
        return versions and versions[0]["freshness"] == "Current" and versions[0]["resources"][0]["resource"] == "desired-replicas"
    plane.wait_until(fresh, "aggregated discovery is current")


def test_the_api_is_described(plane, scaler):
    plane.wait_until(lambda: BASE[1:] in json.loads(plane.kubectl("get", "--raw", "/openapi/v3"))["paths"], "OpenAPI v3 has it")
    assert "ExternalMetricValueList" in plane.kubectl("get", "--raw", f"/openapi/v3{BASE}")
    plane.wait_until(lambda: plane.kubectl("explain", "desired-replicas", check=False)[0] == 0, "kubectl explains it")
    assert "gpuscale.io/rule" in plane.kubectl("explain", "desired-replicas.items.metricLabels")
    definition = "io.k8s.metrics.pkg.apis.external_metrics.v1beta1.ExternalMetricValueList"
    plane.wait_until(lambda: definition in json.loads(plane.kubectl("get", "--raw", "/openapi/v2"))["definitions"], "OpenAPI v2 has it")


def test_probes_and_version_are_served(plane, scaler):
    for path in ("/healthz", "/livez"):
        assert call(plane, path) == (200, "ok\n")  # as a kubelet asks: nobody
    plane.wait_until(lambda: call(plane, "/readyz")[0] == 200, "ready")
    assert call(plane, "/version")[0] == 401
    master = [("X-Remote-User", "m"), ("X-Remote-Group", "system:masters")]
    assert call(plane, "/version", master, plane.front)[1]["gitVersion"].startswith("v")


def test_a_request_selects_one_rule_of_its_namespace(plane, scaler):
    assert "2 rules" in refused(plane, values("prod")) and "chat" in refused(plane, values("prod"))
    assert "BadRequest" in refused(plane, values("prod"))
    assert "no rule of namespace prod" in refused(plane, values("prod", "none"))
    assert "NotFound" in refused(plane, values("prod", "none"))
    assert "no rule for namespace other" in refused(plane, values("other", "llm"))
    assert "no metric" in refused(plane, f"{BASE}/namespaces/prod/queue")
    assert "NotFound" in refused(plane, f"{BASE}/desired-replicas")
    assert "label selector" in refused(plane, f"{BASE}/namespaces/prod/desired-replicas?labelSelector=a%3D%3D%3Db")


def test_what_is_not_known_is_an_error_that_says_why(plane, scaler):
    words = refused(plane, values("prod", "llm"))
    assert "ServiceUnavailable" in words and "rule prod/llm" in words and "deployment/llm" in words


def test_who_has_no_right_is_refused_by_the_api_server(plane, scaler):
    tenant = plane.user("tenant", groups=["team"])
    assert "Forbidden" in refused(plane, values("prod", "llm"), tenant)
    plane.apply(may_list("prod", "tenant-reads", {"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "team"}))
    plane.wait_until(lambda: "rule prod/llm" in refused(plane, values("prod", "llm"), tenant), "with a Role it is answered")
    assert "Forbidden" in refused(plane, values("other", "llm"), tenant)
    # The HPA's controller may by its own bootstrap role.
    may = plane.kubectl("auth", "can-i", "list", f"desired-replicas.{GROUP}", "-n", "prod",
                        "--as=system:serviceaccount:kube-system:horizontal-pod-autoscaler", check=False)
    assert may[1].strip() == "yes", may


def user(name, *groups):
    return [("X-Remote-User", name), *[("X-Remote-Group", g) for g in groups]]


def test_the_front_proxy_is_believed_and_its_user_must_have_the_right(plane, scaler):
    path = values("prod", "none")
    status, answer = call(plane, path, user("jane", "system:authenticated"), plane.front)
    assert status == 403 and answer["reason"] == "Forbidden" and 'User "jane" cannot list' in answer["message"]
    assert call(plane, path, user("root", "system:masters"), plane.front)[0] == 404
    plane.apply(may_list("prod", "jane-reads", {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "jane"}))
    plane.wait_until(lambda: call(plane, path, user("jane"), plane.front)[0] == 404, "a Role counts once the denial is forgotten")
    assert call(plane, values("other", "x"), user("jane"), plane.front)[0] == 403
    # Discovery is everybody's who is known.
    assert call(plane, BASE, user("jane"), plane.front)[0] == 200
    assert call(plane, "/openapi/v2", user("system:aggregator"), plane.front)[0] == 200


def test_nobody_else_is_believed(plane, scaler):
    path, master = values("prod", "none"), user("root", "system:masters")
    status, answer = call(plane, path, master)
    assert status == 401 and answer["kind"] == "Status" and answer["reason"] == "Unauthorized"
    # The right authority, another name; and no user's name at all.
    other = front_leaf(plane, "somebody-else")
    status, answer = call(plane, path, master, other)
    assert status == 401 and "common name" in answer["message"]
    assert call(plane, path, [("X-Remote-Group", "system:masters")], plane.front)[0] == 401
    # A certificate of the cluster's own authority is none of the front proxy's, whatever its name.
    with pytest.raises((ssl.SSLError, ConnectionError)):
        call(plane, path, master, plane.certs.leaf("fake", common_name="front-proxy-client"))
    with pytest.raises((ssl.SSLError, ConnectionError)):
        call(plane, path, master, front_leaf(plane, "old", days=-1, common_name="front-proxy-client"))


def test_a_token_is_reviewed(plane, scaler):
    path = values("prod", "none")
    plane.service_account("other", "reader")
    bearer = [("Authorization", "Bearer " + plane.token("other", "reader"))]
    assert call(plane, path, bearer)[0] == 403
    plane.apply(may_list("prod", "reader", {"kind": "ServiceAccount", "name": "reader", "namespace": "other"}))
    plane.wait_until(lambda: call(plane, path, bearer)[0] == 404, "the account may")
    # A token's bearer is who the token says, not who the headers say.
    assert call(plane, values("other", "x"), bearer + user("root", "system:masters"))[0] == 403
    assert call(plane, path, [("Authorization", "Bearer not.a.token")])[0] == 401
    assert call(plane, path, [("Authorization", "Basic eDp5")])[0] == 401


def test_the_chart_has_what_it_needs(plane, scaler, tmp_path):
    """Its objects are those of the documentation, and its configuration is the scaler's."""
    (tmp_path / "values.yaml").write_text(yaml.safe_dump({
        "metricsAPI": {"enabled": True, "caBundle": plane.certs.ca.read_text()},
        "scaler": {"config": {"rules": {"llm": {"namespace": "prod", **RULE}}}}}))
    rendered = plane.helm("template", "gpuscale", CHART, "-n", "gpuscale", "-f", tmp_path / "values.yaml")
    objects = [o for o in yaml.safe_load_all(rendered) if o]

    def essence(every):
        kinds = ("APIService", "RoleBinding", "ClusterRoleBinding")
        return {o["kind"] + "/" + str(o.get("spec") or o["roleRef"]["name"] + str(o["subjects"])) for o in every if o["kind"] in kinds}
    assert essence(documented_manifest(plane.certs.ca)) <= essence(objects)
    config = [o["data"]["scaler.yaml"] for o in objects if o["kind"] == "ConfigMap" and "scaler.yaml" in o["data"]][0]
    (tmp_path / "scaler.yaml").write_text(config)
    done = subprocess.run([find_program("gpuscale"), "scaler", "--config", tmp_path / "scaler.yaml",
                           "--replicas-ip", "10.244.1.1", "--print-config"],  # as the pod's arguments do
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    printed = yaml.safe_load(done.stdout)
    assert printed["metricsAPI"]["enabled"] is True and printed["metricsAPI"]["tls"]["cert"].endswith("tls.crt")
    assert printed["rules"]["llm"]["target"] == "deployment/llm"


def test_the_front_proxy_rotates(plane, scaler, tmp_path):
    """The API server gets another authority and then another certificate for its proxy; it goes on to be believed."""
    def asked():  # through the API server
        return "no rule of namespace prod" in refused(plane, values("prod", "none"))
    assert asked()
    fresh = Certs(tmp_path / "fresh", "front-proxy CA 2")
    both = plane.front_ca.read_text() + fresh.ca.read_text()
    replace(plane.front_ca, both)
    config_map = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
    plane.wait_until(lambda: fresh.ca.read_text().strip() in plane.get(config_map)["data"]["requestheader-client-ca-file"],
                     "the API server tells both authorities")
    mine = fresh.leaf("front-proxy-client")
    plane.wait_until(lambda: call(plane, values("prod", "none"), user("root", "system:masters"), mine)[0] == 404, "the new one is believed")
    assert asked()
    before = served(plane, scaler)
    replace(plane.front[1], mine[1].read_text())
    replace(plane.front[0], mine[0].read_text())
    # Nothing is refused meanwhile.
    for _ in range(20):
        assert asked()
    assert served(plane, scaler) > before and available(plane)["status"] == "True"


def replace(path, text):
    """As a careful writer does."""
    fresh = path.with_suffix(".fresh")
    fresh.write_text(text)
    os.replace(fresh, path)


def served(plane, scaler):
    """Requests to the metrics API so far."""
    _, _, page = http_get(f"http://{ADDRESS}:9444/metrics")
    return metric_values(page, "gpuscale_metrics_api_requests_total")[frozenset()]
