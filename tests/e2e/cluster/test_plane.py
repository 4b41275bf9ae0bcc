# SPDX-License-Identifier: Apache-2.0
"""The plane itself: what the other modules of this folder stand on."""


def test_namespace_account_and_rbac(plane):
    ns = plane.namespace("plain")
    account = plane.service_account(ns, "reader")
    status, _, errors = plane.kubectl("get", "pods", "-n", ns, check=False, kubeconfig=account)
    assert status != 0 and "forbidden" in errors
    plane.kubectl("create", "rolebinding", "view", "-n", ns, "--clusterrole=view", f"--serviceaccount={ns}:reader")
    plane.wait_until(lambda: plane.kubectl("get", "pods", "-n", ns, check=False, kubeconfig=account)[0] == 0, "may read")


def test_unknown_field_is_refused(plane):
    ns = plane.namespace("strict")
    status, _, errors = plane.apply([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": ns},
                                      "dta": {}}], check=False)
    assert status != 0 and "dta" in errors
    assert plane.get(f"/api/v1/namespaces/{ns}/configmaps/x") is None


def test_keda_reads_a_scaled_object(plane):
    ns = plane.namespace("keda-sees")
    plane.apply([
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": ns},
         "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": {
             "metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "none"}]}}}},
        {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "web", "namespace": ns},
         "spec": {"scaleTargetRef": {"name": "web"}, "minReplicaCount": 2, "maxReplicaCount": 3, "pollingInterval": 1, "triggers": [
             {"type": "cron", "metadata": {"timezone": "UTC", "start": "0 0 * * *", "end": "59 23 * * *", "desiredReplicas": "3"}}]}}])
    deployment = f"/apis/apps/v1/namespaces/{ns}/deployments/web"
    plane.wait_until(lambda: plane.get(deployment)["spec"]["replicas"] == 3, "KEDA and the HPA raise the deployment")


def test_helm_and_kubectl_speak_to_this_server(plane, tmp_path):
    assert "v1.37.2" in plane.kubectl("version").split("Server Version")[1]
    ns = plane.namespace("helm")
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: tiny\nversion: 1.0.0\nkubeVersion: '>=1.30.0-0'\n")
    (tmp_path / "templates" / "c.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: tiny}\ndata: {version: '{{ .Capabilities.KubeVersion.Version }}'}\n")
    plane.helm("install", "tiny", tmp_path, "-n", ns)
    assert plane.get(f"/api/v1/namespaces/{ns}/configmaps/tiny")["data"]["version"] == "v1.37.2"


def test_api_server_restarts_with_its_data(plane):
    ns = plane.namespace("kept")
    plane.restart("kube-apiserver")
    plane.wait_ready()
    assert plane.get(f"/api/v1/namespaces/{ns}")["metadata"]["name"] == ns
