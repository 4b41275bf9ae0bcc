# SPDX-License-Identifier: Apache-2.0
"""The scaler in a cluster: workloads, pods and agents are what the (played) Kubernetes API says."""

from cluster_kit import (DEPLOYMENTS, PODS, ROLLOUT, SCALED_OBJECTS, STATEFUL_SETS, ClusterScaler, certs, pages, record,  # noqa: F401
                         world)
from harness import http_get, metric_values, wait_until
from kube_kit import status
from scaler_kit import LLM, FakeAgent, eventually


def metric(scaler, name, **labels):
    return metric_values(scaler.page(), name)[frozenset(labels.items())]


def states(scaler, **kwargs):
    w = scaler.workload(**kwargs)
    return {p["name"]: p["state"] for p in w["pods"]} if w else None


def test_a_scaled_object_is_decided_from_the_watch_on_and_keda_is_answered_at_once(tmp_path, world, pages, keda):
    cluster, config = world
    _, ip = pages.add(rate=6)
    cluster.deployment(replicas=1)
    cluster.pod("llm-1-a", ip=ip)
    metadata = cluster.scaled_object(metadata={**LLM, "metricsPort": str(pages.port)})
    with ClusterScaler(tmp_path / "s", config) as s:
        # Nobody has asked yet: the decider is there, and its windows fill.
        eventually("three are wanted", lambda: s.objects()[0]["desired"] >= 3)
        assert s.objects()[0]["workload"] == "deployment/llm"
        keda = keda(s)
        assert keda.replicas(metadata=metadata) >= 3  # the first call
        assert keda.active(metadata=metadata)
        assert len(s.objects()) == 1, "KEDA's call is about the object that the watch told"
        wait_until(s.ready, "ready")


def test_pods_are_counted_by_state(tmp_path, world):
    cluster, config = world
    cluster.deployment(replicas=5, status=6)
    cluster.pod("ready", ip="127.0.0.9")
    cluster.pod("no-ip", ip="", ready=True)
    cluster.pod("starting", ip="127.0.0.9", ready=False, phase="Pending")
    cluster.pod("going", ip="127.0.0.9", deleted=True)
    cluster.pod("completed", ip="127.0.0.9", ready=False, phase="Succeeded")
    cluster.pod("evicted", ready=False, phase="Failed", reason="Evicted")
    # Another Deployment's pod with the same labels, and a pod of the same ReplicaSet's name in another namespace.
    cluster.deployment("other")
    cluster.pod("foreign", of="other-1", labels={"app": "llm-1"}, ip="127.0.0.9")
    cluster.deployment(namespace="elsewhere")
    cluster.pod("elsewhere", namespace="elsewhere", ip="127.0.0.9")
    cluster.scaled_object()
    with ClusterScaler(tmp_path / "s", config) as s:
        eventually("the pods", lambda: states(s) == {"ready": "ready", "no-ip": "starting", "starting": "starting",
                                                     "going": "terminating"})
        assert s.workload()["replicas"] == 5 and s.workload()["statusReplicas"] == 6
        # What changes is followed.
        cluster.pod("starting", ip="127.0.0.9", ready=True)
        cluster.delete(PODS, "going")
        cluster.deployment(replicas=2)
        eventually("the changes", lambda: states(s) == {"ready": "ready", "no-ip": "starting", "starting": "ready"} and
                   s.workload()["replicas"] == 2)


def test_stateful_sets_selectors_and_another_workload_of_the_namespace(tmp_path, world):
    cluster, config = world
    cluster.deployment("web", path=STATEFUL_SETS, replicas=3)
    cluster.pod("web-0", of="web", kind="StatefulSet", ip="127.0.0.9")
    cluster.scaled_object("web", target={"kind": "StatefulSet"})
    cluster.deployment("llm", replicas=2)
    cluster.pod("llm-a", ip="127.0.0.9")
    cluster.scaled_object("named", {**LLM, "workload": "deployment/llm"}, target={"name": "web", "kind": "StatefulSet"})
    cluster.pod("leader", kind="none", labels={"role": "leader", "tier": "gpu"}, ip="127.0.0.9")
    cluster.pod("worker", kind="none", labels={"role": "worker", "tier": "gpu"}, ip="127.0.0.9")
    cluster.scaled_object("picked", {**LLM, "workload": "selector: role=leader,tier in (gpu,tpu)"}, target={"name": "llm"})
    with ClusterScaler(tmp_path / "s", config) as s:
        eventually("the set's", lambda: states(s, target="statefulset/web") == {"web-0": "ready"})
        assert s.objects("web")[0]["workload"] == "statefulset/web"
        assert s.objects("named")[0]["workload"] == "deployment/llm"
        assert states(s, target="selector:role=leader,tier in (gpu,tpu)") == {"leader": "ready"}
        assert s.workload("selector:role=leader,tier in (gpu,tpu)")["replicas"] == 2


def test_a_target_with_a_scale_subresource(tmp_path, world, pages):
    cluster, config = world

    def scale(replicas):
        cluster.rollout(replicas=replicas, selector="app=llm,!canary")

    scale(4)
    cluster.pod("llm-a", kind="none", labels={"app": "llm"}, ip="127.0.0.9")
    cluster.pod("llm-b", kind="none", labels={"app": "llm", "canary": "yes"}, ip="127.0.0.9")
    cluster.scaled_object(target=ROLLOUT)
    cluster.scaled_object("bad", target={**ROLLOUT, "kind": "Experiment", "name": "x"})
    with ClusterScaler(tmp_path / "s", config) as s:
        target = "rollout.argoproj.io/llm"
        eventually("the rollout's pods", lambda: states(s, target=target) == {"llm-a": "ready"})
        assert s.workload(target)["replicas"] == 4
        scale(7)
        eventually("its new scale", lambda: s.workload(target)["replicas"] == 7)
        eventually("why there is none", lambda: "knows no kind Experiment" in s.objects("bad")[0]["error"])
        for replicas in (3, 5):  # deleted and made again, twice: the second time is told in the same words
            cluster.rollout(answer=(404, status(404, "NotFound", 'rollouts "llm" not found')))
            eventually("it is gone", lambda: s.workload(target) is None)
            scale(replicas)
            eventually("it is there again", lambda: s.workload(target)["replicas"] == replicas)


def test_agents_come_from_endpoint_slices(tmp_path, world, keda):
    cluster, config = world
    cluster.deployment()
    cluster.pod("llm-a", ip="127.0.0.9")
    first, second = FakeAgent(tmp_path, {"llm-a": 50.0}), FakeAgent(tmp_path, {"llm-b": 50.0})
    cluster.agents(first.addr)
    try:
        with ClusterScaler(tmp_path / "s", config, {"agents": {"service": "gpuscale/gpuscale-agent"}}) as s:
            wait_until(lambda: metric(s, "gpuscale_agents_connected") == 1, "the agent")
            cluster.agents(second.addr)
            wait_until(lambda: f"addr={second.addr}" in s.program.log() and
                       metric(s, "gpuscale_agents") == metric(s, "gpuscale_agents_connected") == 1, "the other agent alone")
            asked = [r for r in cluster.server.requests if "endpointslices" in r["path"]]
            assert asked[0]["query"]["labelSelector"] == "kubernetes.io/service-name=gpuscale-agent"
    finally:
        first.close()
        second.close()


def test_an_edited_trigger_goes_at_once_and_its_successor_keeps_the_decision(tmp_path, world, pages, keda):
    cluster, config = world
    _, ip = pages.add(rate=6)
    cluster.deployment(replicas=1)
    cluster.pod("llm-a", ip=ip)
    old = cluster.scaled_object(metadata={**LLM, "metricsPort": str(pages.port), "downWindow": "300s"})
    with ClusterScaler(tmp_path / "s", config) as s:
        keda = keda(s)
        eventually("three are wanted", lambda: keda.replicas(metadata=old) >= 3)
        wanted = keda.replicas(metadata=old)
        new = cluster.scaled_object(metadata={**LLM, "metricsPort": str(pages.port), "downWindow": "300s", "capacity": "1000"})
        eventually("the new one alone", lambda: [o["desired"] for o in s.objects()] == [wanted])
        assert keda.replicas(metadata=new) == wanted, "no decision is lost by an edit"
        code, words = keda.code(keda.metrics, metadata=old)
        assert code in ("NOT_FOUND", "UNAVAILABLE"), words
        eventually("the reason", lambda: "no ScaledObject of this name" in keda.code(keda.metrics, metadata=old)[1])
        cluster.delete(SCALED_OBJECTS, "llm")
        eventually("nothing is decided", lambda: "NOT_FOUND" == keda.code(keda.metrics, metadata=new)[0])
        assert [o for o in s.objects() if "desired" in o] == []


def test_nothing_is_ready_before_the_caches_are(tmp_path, world):
    cluster, config = world
    cluster.deployment()
    cluster.scaled_object()

    def denied(handler, request):
        if request["path"] != PODS:
            return False
        handler.answer(403, status(403, "Forbidden", 'pods is forbidden: User "x" cannot list resource "pods"'))
        return True

    cluster.server.faults.append(denied)
    with ClusterScaler(tmp_path / "s", config) as s:
        def words():
            code, _, text = http_get(f"http://{s.health}/readyz")
            return code, text.decode()
        wait_until(lambda: "may not list pods (403)" in words()[1], "the sentence")
        code, text = words()
        assert code == 503 and 'resources "pods", verbs "list"' in text
        assert "scaledobjects" not in text, "what is there is not missing"
        s.program.wait_log("msg=\"the cluster does not answer.*resource=pods fault=forbidden")
        assert metric(s, "gpuscale_cluster_failures_total", resource="pods", fault="forbidden") >= 1
        cluster.server.faults.clear()
        wait_until(s.ready, "ready", 60)


def test_when_pods_may_be_listed_no_more_nothing_is_lowered(tmp_path, world, pages, keda):
    """Pods that come now are not seen: the load that they take over is not gone."""
    cluster, config = world
    seen, ip = pages.add(rate=6)
    cluster.deployment(replicas=1)
    cluster.pod("llm-a", ip=ip)
    metadata = cluster.scaled_object(metadata={**LLM, "metricsPort": str(pages.port)})
    gone = []

    def denied(handler, request):
        if request["path"] != PODS or not gone:
            return False
        handler.answer(403, status(403, "Forbidden", 'pods is forbidden: User "x" cannot list resource "pods"'))
        return True

    cluster.server.faults.append(denied)
    with ClusterScaler(tmp_path / "s", config) as s:
        keda = keda(s)
        eventually("three are wanted", lambda: keda.replicas(metadata=metadata) >= 3)
        gone.append(True)
        cluster.api.compact()  # its watch ends, and it is to be listed again
        stale = lambda: metric(s, "gpuscale_cluster_failing_seconds", resource="pods") > 6  # maxAge and a tick
        wait_until(stale, "pods cannot be followed", 60)
        seen.finished.set_rate(0)  # where its load went is not seen
        seen.running = 0
        eventually("no load is seen", lambda: record(s)["activity"] == "unknown")
        assert keda.replicas(metadata=metadata) >= 3 and keda.active(metadata=metadata)
        gone.clear()
        eventually("lowered and idle", lambda: not keda.active(metadata=metadata) and keda.replicas(metadata=metadata) < 3)


def test_a_file_and_a_cluster_exclude_each_other(tmp_path, world):
    from harness import Program
    _, config = world
    (tmp_path / "w.yaml").write_text("workloads: []\n")
    with Program("gpuscale", "scaler", "--kubernetes", "--kubeconfig", config, "--workloads", tmp_path / "w.yaml") as p:
        assert p.wait() != 0
        assert "exclude each other" in p.log()


def test_a_missing_target_is_said_and_comes(tmp_path, world, keda):
    cluster, config = world
    metadata = cluster.scaled_object()
    with ClusterScaler(tmp_path / "s", config) as s:
        keda = keda(s)
        eventually("the reason", lambda: "namespace default has no deployment/llm" in keda.code(keda.metrics, metadata=metadata)[1])
        cluster.deployment(replicas=3)
        eventually("held", lambda: keda.replicas(metadata=metadata) == 3)
        cluster.delete(DEPLOYMENTS, "llm")
        eventually("gone", lambda: keda.code(keda.metrics, metadata=metadata)[0] == "NOT_FOUND")


class ClaimingAgent(FakeAgent):
    """Its kubelet knows the GPUs' holders by their devices of DRA alone."""

    def state(self, seq):
        s = super().state(seq)
        s.devices.complete = True
        for i, g in enumerate(s.gpus):
            owner = g.owners.pop()
            g.owners_known = False
            s.devices.holders.add(driver="gpu.nvidia.com", pool="node-a", device=f"gpu-{i}", owner=owner)
        return s


def test_a_gpu_of_a_resource_claim_is_joined_to_its_pod(tmp_path, world, pages):
    cluster, config = world
    slices = "/apis/resource.k8s.io/v1/resourceslices"
    page, ip = pages.add(rate=1)
    cluster.deployment(replicas=1)
    cluster.pod("llm-a", ip=ip)
    cluster.scaled_object(metadata={"engine": "vllm", "metricsPort": str(pages.port), "capacity": "2", "queue": "5", "gpuUtilization": "50",
                                    "maxAge": "5s", "rateWindow": "2s"})
    agent = ClaimingAgent(tmp_path, {"llm-a": 80.0})

    def gpu(scaler):
        found = scaler.api("/api/v1/gpus")["items"][0]
        return found["ownersKnown"], [o["pod"] for o in found["owners"]]

    def put(uuid, generation=1, name="node-a-1"):
        cluster.api.put(slices, "", name, spec={"driver": "gpu.nvidia.com", "nodeName": "node-a", "pool": {
            "name": "node-a", "generation": generation, "resourceSliceCount": 1}, "devices": [
                {"name": "gpu-0", "attributes": {"uuid": {"string": uuid}, "productName": {"string": "H100"}}}]})

    try:
        with ClusterScaler(tmp_path / "s", config, agents=[agent.addr]) as s:
            wait_until(lambda: metric(s, "gpuscale_claimed_devices_unknown") == 1, "a device that nobody explains")
            eventually("whose it is is unknown", lambda: gpu(s) == (False, []))
            put(f"GPU-{1:032x}")
            eventually("its pod's", lambda: gpu(s) == (True, ["llm-a"]), 60)
            eventually("and its value in the decision", lambda: "gpuUtilization 80%" in s.api(
                "/api/v1/decisions?namespace=default&name=llm")["items"][0]["now"]["sentence"])
            wait_until(lambda: metric(s, "gpuscale_claimed_devices_unknown") == 0, "nothing is unexplained")
            put("GPU-other", generation=2, name="node-a-2")  # the pool's next generation says: another GPU
            eventually("nobody's", lambda: gpu(s) == (True, []))
    finally:
        agent.close()
