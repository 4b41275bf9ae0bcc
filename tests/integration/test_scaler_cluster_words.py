# SPDX-License-Identifier: Apache-2.0
"""In a cluster, what goes wrong or is done twice is said where the operator looks, and nothing is scaled wrongly."""

import time

from cluster_kit import (PODS, ROLLOUT, SCALED_OBJECTS, ClusterScaler, again, certs, events, pages, record, stamp,  # noqa: F401
                         world)
from harness import http_get, metric_values, wait_until
from kube_kit import status
from scaler_kit import LLM, Gateway, eventually, gateway_demand

HPAS = "/apis/autoscaling/v2/horizontalpodautoscalers"


def readyz(scaler):
    code, _, text = http_get(f"http://{scaler.health}/readyz")
    return code, text.decode()


def test_a_scaled_job_is_refused_as_what_it_is(tmp_path, world, keda):
    cluster, config = world
    cluster.server.answers[("GET", "/apis/keda.sh/v1alpha1/namespaces/default/scaledjobs/batch")] = (
        200, {"kind": "ScaledJob", "metadata": {"name": "batch"}})
    cluster.server.answers[("GET", "/apis/keda.sh/v1alpha1/namespaces/default/scaledjobs/nothing")] = (
        404, status(404, "NotFound", "scaledjobs.keda.sh \"nothing\" not found"))
    with ClusterScaler(tmp_path / "s", config) as s:
        keda = keda(s)
        wait_until(lambda: metric_values(s.page(), "gpuscale_cluster_versions_total")[frozenset()] >= 1, "the cluster is read")
        eventually("refused", lambda: keda.code(keda.metrics, "batch")[0] == "INVALID_ARGUMENT")
        assert "default/batch is a ScaledJob" in keda.code(keda.active, "batch")[1]
        eventually("of another it is not said", lambda: keda.code(keda.metrics, "nothing")[0] == "NOT_FOUND")


def test_what_lies_in_another_namespace_cannot_be_meant(tmp_path, world, keda):
    cluster, config = world
    cluster.deployment("llm", replicas=7, namespace="theirs")
    cluster.deployment("front", replicas=1)
    sneaky = cluster.scaled_object("sneaky", {**LLM, "workload": "deployment/llm"}, target={"name": "front"})
    slash = cluster.scaled_object("slash", {**LLM, "workload": "theirs/deployment/llm"}, target={"name": "front"})
    with ClusterScaler(tmp_path / "s", config) as s:
        keda = keda(s)
        eventually("not there", lambda: keda.code(keda.metrics, "sneaky", sneaky)[0] == "NOT_FOUND")
        assert "only what lies in its own namespace can be meant" in keda.code(keda.metrics, "sneaky", sneaky)[1]
        code, words = keda.code(keda.metrics, "slash", slash)
        assert code == "INVALID_ARGUMENT" and "of the ScaledObject's own namespace" in words
        eventually("its Event", lambda: ("sneaky", "NoWorkload") in events(cluster.server))
        assert events(cluster.server)[("sneaky", "NoWorkload")]["type"] == "Warning"


def test_two_scaled_objects_on_one_workload_are_told_so(tmp_path, world):
    cluster, config = world
    cluster.deployment(replicas=2)
    cluster.scaled_object("llm")
    cluster.scaled_object("other", target={"name": "llm"}, triggers=[{"type": "cpu", "metadata": {"value": "80"}}])
    with ClusterScaler(tmp_path / "s", config) as s:
        eventually("said in the decision", lambda: "rival" in record(s)["notices"])
        assert "ScaledObject other scales the same workload" in record(s)["sentence"]
        s.program.wait_log("ScaledObject other scales the same workload")
        event = wait_until(lambda: events(cluster.server).get(("llm", "TwoScaledObjects")), "the Event")
        assert "ScaledObject other" in event["message"] and event["involvedObject"]["uid"]
        cluster.delete(SCALED_OBJECTS, "other")
        eventually("no more", lambda: "rival" not in record(s)["notices"])


def test_a_paused_object_says_so(tmp_path, world):
    cluster, config = world
    cluster.deployment(replicas=2)
    cluster.scaled_object(paused=True)
    with ClusterScaler(tmp_path / "s", config) as s:
        eventually("said", lambda: "is paused: KEDA does not scale by this" in record(s)["sentence"])
        cluster.scaled_object()
        eventually("no more", lambda: "paused" not in record(s)["notices"])


def test_replicas_that_find_no_place_are_told_with_the_schedulers_words(tmp_path, world):
    cluster, config = world
    cluster.deployment(replicas=4)
    cluster.pod("there", ip="127.0.0.9")
    waiting = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
               "lastTransitionTime": stamp(time.time() - 370), "message": "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."}
    for name in ("a", "b", "c"):
        cluster.pod(name, ready=False, phase="Pending", conditions=[waiting])
    cluster.scaled_object()
    with ClusterScaler(tmp_path / "s", config) as s:
        event = wait_until(lambda: events(cluster.server).get(("llm", "ReplicasUnschedulable")), "the Event")
        assert event["type"] == "Warning" and event["message"].startswith("4 replicas are wanted, 1 ready: 3 pods have found no place for 3")
        assert event["message"].endswith(" s: 0/2 nodes are available: 2 Insufficient nvidia.com/gpu.") and "4 replicas" in event["message"]
        assert "unschedulable" in record(s)["notices"]
        assert metric_values(s.page(), "gpuscale_notices")[frozenset({("notice", "unschedulable")})] == 1


def test_changes_of_the_decision_are_one_event_that_is_patched(tmp_path, world, pages):
    cluster, config = world
    page, ip = pages.add(rate=6)
    cluster.deployment(replicas=1)
    cluster.pod("llm-a", ip=ip)
    cluster.scaled_object(metadata={**LLM, "metricsPort": str(pages.port)})
    with ClusterScaler(tmp_path / "s", config) as s:
        event = wait_until(lambda: events(cluster.server).get(("llm", "ReplicasRaised")), "the raise")
        assert "replicas: requestRate" in event["message"]
        page.finished.set_rate(40)
        wait_until(lambda: events(cluster.server)[("llm", "ReplicasRaised")]["count"] > 1, "the same one, patched", 60)
        posts = [r for r in cluster.server.requests if r["method"] == "POST" and "/events" in r["path"]]
        assert len([p for p in posts if b'"ReplicasRaised"' in p["body"]]) == 1
        assert metric_values(s.page(), "gpuscale_events_total")[frozenset({("result", "ok")})] >= 2


def test_events_that_may_not_be_written_are_said_once_and_cost_nothing(tmp_path, world, pages):
    cluster, config = world
    _, ip = pages.add(rate=6)
    cluster.server.answers[("POST", "/api/v1/namespaces/default/events")] = (403, status(403, "Forbidden", "events is forbidden"))
    cluster.deployment(replicas=1)
    cluster.pod("llm-a", ip=ip)
    cluster.scaled_object(metadata={**LLM, "metricsPort": str(pages.port)})
    with ClusterScaler(tmp_path / "s", config) as s:
        s.program.wait_log('msg="an Event is not written.*resources .*events')
        eventually("decided all the same", lambda: s.objects()[0]["desired"] >= 3)
    with ClusterScaler(tmp_path / "off", config, {"events": False}) as s:
        before = len(cluster.server.asked(method="POST"))
        eventually("decided", lambda: s.objects()[0]["desired"] >= 3)
        assert len(cluster.server.asked(method="POST")) == before


def test_a_page_that_wants_a_token_is_an_event_with_the_remedy(tmp_path, world, pages):
    cluster, config = world
    page, ip = pages.add(rate=6)
    page.fault = "drop"
    cluster.deployment(replicas=1)
    cluster.pod("llm-a", ip=ip)
    cluster.scaled_object(metadata={**LLM, "metricsPort": str(pages.port)})
    with ClusterScaler(tmp_path / "s", config) as s:
        s.program.wait_log("engine page failed: its values age")
        page.fault = "401"  # it did not answer while it loaded
        event = wait_until(lambda: events(cluster.server).get(("llm", "EnginePageRefused")), "the Event")
        assert event["type"] == "Warning" and event["message"].startswith("Pod default/llm-a: the page wants a token, which the scaler does not send: ")
        assert "metricsPort" in event["message"] and "answered status 401" in event["message"]
        s.program.wait_log("engine page failed.*the page wants a token")
        page.fault = None
        s.program.wait_log("engine page is good again")
        page.fault = "404"
        wait_until(lambda: "answered status 404" in events(cluster.server)[("llm", "EnginePageRefused")]["message"], "another answer", 60)
        assert "metricsPath" in events(cluster.server)[("llm", "EnginePageRefused")]["message"]


def test_a_passing_error_of_a_page_is_logged_and_one_that_lasts_is_an_event(tmp_path, world, pages):
    cluster, config = world
    page, ip = pages.add(rate=6)
    page.fault = "503"
    cluster.deployment(replicas=1)
    cluster.pod("llm-a", ip=ip)
    rule = {**LLM, "metricsPort": str(pages.port)}
    cluster.scaled_object(metadata={**rule, "maxAge": "10m"})
    with ClusterScaler(tmp_path / "s", config) as s:
        s.program.wait_log("engine page failed: its values age.*answered status 503")
        page.fault = None
        s.program.wait_log("engine page is good again")
        eventually("decided: Events are written", lambda: ("llm", "ReplicasRaised") in events(cluster.server))
        assert ("llm", "EnginePageRefused") not in events(cluster.server)
        cluster.scaled_object(metadata={**rule, "maxAge": "5s"})
        page.fault = "503"
        s.program.wait_log("engine page has failed for longer than maxAge.*answered status 503")
        event = wait_until(lambda: events(cluster.server).get(("llm", "EnginePageRefused")), "the Event")
        assert "answered status 503" in event["message"] and "token" not in event["message"]


def test_observing_beside_an_hpa_says_what_would_have_been(tmp_path, world, pages):
    cluster, config = world
    _, ip = pages.add(rate=6)
    cluster.deployment(replicas=2)
    cluster.pod("llm-a", ip=ip)
    cluster.api.put(HPAS, "default", "theirs", spec={"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llm"},
                                                   "maxReplicas": 9}, status={"currentReplicas": 2, "desiredReplicas": 2})
    cluster.scaled_object(metadata={**LLM, "metricsPort": str(pages.port), "mode": "observe"}, paused=True)
    with ClusterScaler(tmp_path / "s", config) as s:
        eventually("what it would have", lambda: record(s)["desired"] >= 3 and record(s)["published"] <= 2)
        assert "Observing only" in record(s)["sentence"] and "HPA theirs wants 2" in record(s)["sentence"]
        assert "secondHpa" not in record(s)["notices"]
        assert wait_until(lambda: events(cluster.server).get(("llm", "WouldScale")), "the Event")
        cluster.scaled_object(metadata={**LLM, "metricsPort": str(pages.port)})
        eventually("two that scale are told", lambda: "HPA theirs scales the same workload" in record(s)["sentence"])


def test_while_the_api_server_is_away_the_last_state_stands(tmp_path, world, pages, keda, certs):
    cluster, config = world
    page, ip = pages.add(rate=6)
    cluster.deployment(replicas=1)
    cluster.pod("llm-a", ip=ip)
    metadata = cluster.scaled_object(metadata={**LLM, "metricsPort": str(pages.port)})
    with ClusterScaler(tmp_path / "s", config) as s:
        keda = keda(s)
        eventually("three are wanted", lambda: keda.replicas(metadata=metadata) >= 3)
        cluster.server.stop()
        code, words = wait_until(lambda: "cannot watch pods" in readyz(s)[1] and readyz(s), "it is said")
        assert code == 200 and words.startswith("ok, but:")
        page.finished.set_rate(12)
        eventually("decisions go on", lambda: keda.replicas(metadata=metadata) >= 6)
        assert s.workload()["pods"][0]["state"] == "ready"
        s.program.wait_log("resource=pods fault=unreachable")
        assert metric_values(s.page(), "gpuscale_cluster_failing_seconds")[frozenset({("resource", "pods")})] > 0
        with again(cluster.server, certs) as back:
            cluster.server = back
            cluster.deployment(replicas=8)
            eventually("it goes on from there", lambda: s.workload()["replicas"] == 8, 60)
            wait_until(lambda: readyz(s) == (200, "ok\n"), "well again", 60)


def test_rights_that_are_taken_away_later_leave_the_last_state(tmp_path, world, keda):
    cluster, config = world
    cluster.deployment(replicas=3)
    metadata = cluster.scaled_object()
    with ClusterScaler(tmp_path / "s", config) as s:
        keda = keda(s)
        eventually("as specified", lambda: keda.replicas(metadata=metadata) == 3)

        def denied(handler, request):
            if "deployments" not in request["path"]:
                return False
            handler.answer(403, status(403, "Forbidden", "deployments.apps is forbidden"))
            return True

        cluster.server.faults.append(denied)
        for _ in range(8):
            cluster.server.cuts.release()
        cluster.deployment(replicas=99)  # who may not look does not see it
        code, words = wait_until(lambda: "may not watch deployments" in readyz(s)[1] and readyz(s), "it is said", 60)
        assert code == 200 and 'verbs "watch"' in words
        assert keda.replicas(metadata=metadata) == 3
        cluster.server.faults.clear()
        eventually("seen again", lambda: s.workload()["replicas"] == 99, 60)


def scrapes(scaler):
    return sum(metric_values(scaler.page(), "gpuscale_scrapes_total").values())


def test_a_scale_that_may_not_be_read_any_more_is_said_and_lowers_nothing(tmp_path, world, pages, keda):
    """A target that is no Deployment is known by its scale alone, and that may be refused while all the rest is followed."""
    cluster, config = world
    page, ip = pages.add(rate=6)
    cluster.rollout(replicas=4)
    cluster.pod("llm-a", kind="none", labels={"app": "llm"}, ip=ip)
    metadata = cluster.scaled_object(metadata={**LLM, "metricsPort": str(pages.port), "maxAge": "5s", "downWindow": "1s"}, target=ROLLOUT)
    with ClusterScaler(tmp_path / "s", config) as s:
        keda = keda(s)
        eventually("four are wanted", lambda: keda.replicas(metadata=metadata) == 4 and record(s)["notices"] == [])
        cluster.rollout(answer=(403, status(403, "Forbidden", "rollouts.argoproj.io is forbidden")))
        s.program.wait_log('msg="the scale of a target cannot be read: its last state stands" namespace=default kind=Rollout name=llm')
        code, words = wait_until(lambda: "scale of default/Rollout/llm as it was" in readyz(s)[1] and readyz(s), "it is said")
        assert code == 200 and words.startswith("ok, but:") and "rollouts.argoproj.io is forbidden" in words
        eventually("the decision says it, too", lambda: "unseen" in record(s)["notices"])
        assert "Pods and workloads are not followed" in record(s)["sentence"]
        page.finished.set_rate(1)
        read = scrapes(s)
        wait_until(lambda: scrapes(s) > read + 20, "a rate window and a down-window in which less would do")
        assert keda.replicas(metadata=metadata) == 4
        cluster.rollout(replicas=4)
        s.program.wait_log('msg="the scale of a target is read again"')
        eventually("lowered", lambda: keda.replicas(metadata=metadata) == 1 and record(s)["notices"] == [])
        assert readyz(s) == (200, "ok\n")


def test_a_watch_that_is_cut_in_an_object_loses_nothing(tmp_path, world):
    cluster, config = world
    cluster.deployment(replicas=1)
    cluster.scaled_object()
    with ClusterScaler(tmp_path / "s", config) as s:
        eventually("one", lambda: s.workload()["replicas"] == 1)
        for n in range(2, 8):
            for _ in range(6):
                cluster.server.cuts.release()
            cluster.deployment(replicas=n)
            cluster.pod(f"p-{n}", ip="127.0.0.9")
            eventually("the change", lambda: s.workload()["replicas"] == n and len(s.workload()["pods"]) == n - 1, 60)
        lists = metric_values(s.page(), "gpuscale_cluster_lists_total")
        assert lists[frozenset({("resource", "pods")})] == 1, "taken up, not listed again"


def test_the_cold_start_is_learned_from_the_pods_that_are_there(tmp_path, world, keda):
    """At zero requests one pod that starts keeps a service active for twice the cold start: with three pods that took two
    seconds, not for the ten minutes of who knows nothing."""
    cluster, config = world
    gateway = Gateway(0)
    try:
        created = time.time() - 3600
        cluster.deployment(replicas=4)
        for name in ("a", "b", "c"):
            cluster.pod(name, ip="127.0.0.9", created=created)
            cluster.api.objects[PODS][("default", name)]["status"]["conditions"][0]["lastTransitionTime"] = stamp(created + 2)
        cluster.pod("new", ready=False, phase="Pending", created=time.time() - 60)
        metadata = cluster.scaled_object(metadata={**LLM, "demand": "gateway", "engine": "ollama"})
        with ClusterScaler(tmp_path / "s", config, demand=gateway_demand(gateway)) as s:
            keda = keda(s)
            eventually("idle", lambda: keda.active(metadata=metadata) is False)
    finally:
        gateway.close()
