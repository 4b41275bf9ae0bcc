# SPDX-License-Identifier: Apache-2.0
"""`gpuscale generate`: what is written is read back by PyYAML (not our writer's library), checked by Prometheus' promtool and
`gpuscale hpa`, and says why. That KEDA takes it is tests/e2e/keda's to say, that the API server does tests/e2e/cluster's."""

import json
import re
import shutil
import subprocess

import pytest
import yaml

import harness
from kube_kit import Server, kubeconfig, status

GPUSCALE = str(harness.BUILD / "src/cmd/gpuscale")


def generate(*args, text=None, rc=0, cwd=None):
    """(documents, stdout, stderr)"""
    done = subprocess.run([GPUSCALE, "generate", *map(str, args)], input=text, capture_output=True, text=True, timeout=60, cwd=cwd)
    assert done.returncode == rc, (done.returncode, done.stdout, done.stderr)
    return [d for d in yaml.safe_load_all(done.stdout) if d is not None], done.stdout, done.stderr


def deployment(name="llm", image="vllm/vllm-openai:v0.11.0", words=(), gpus=("nvidia.com/gpu", 1), kind="Deployment", api="apps/v1",
               namespace="ml", **container):
    limits = {gpus[0]: gpus[1]} if gpus else {}
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}},
                         "spec": {"containers": [{"name": "main", "image": image, "args": list(words), "resources": {"limits": limits},
                                                  "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}}, **container}]}}}
    meta = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": api, "kind": kind, "metadata": meta, "spec": spec}


def scaled_object(*triggers, target="llm", name="old", **spec):
    return {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": name, "namespace": "ml"},
            "spec": {"scaleTargetRef": {"name": target}, **spec, "triggers": list(triggers)}}


def prometheus(query=None, threshold="5", metric_type=None, **metadata):
    t = {"type": "prometheus", "metadata": {"serverAddress": "http://p:9090", "threshold": threshold, **metadata}}
    if query:
        t["metadata"]["query"] = query
    if metric_type:
        t["metricType"] = metric_type
    return t


def dump(*objects):
    return yaml.safe_dump_all(objects)


def flat(text):
    """Comments as one line: they are broken between words."""
    return " ".join(line.strip("# ") for line in text.splitlines())


def trigger(so):
    return so["spec"]["triggers"][0]


def metadata(so):
    return {k: v for k, v in trigger(so)["metadata"].items() if k != "scalerAddress"}


TRITON = dict(name="vision", image="nvcr.io/nvidia/tritonserver:25.08-py3", ports=[{"name": "metrics", "containerPort": 8002}])


# ---- From a workload ---------------------------------------------------------------------------------------------------


def test_a_vllm_deployment_gets_a_learned_capacity_and_a_guard():
    (so,), text, errors = generate(text=dump(deployment(words=["--model", "m", "--port", "8001"])))
    assert so["apiVersion"] == "keda.sh/v1alpha1" and so["kind"] == "ScaledObject"
    assert so["metadata"] == {"name": "llm", "namespace": "ml"}
    spec = so["spec"]
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llm"}
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (1, 10)
    assert spec["fallback"] == {"failureThreshold": 3, "replicas": 2, "behavior": "currentReplicasIfHigher"}
    assert spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == {
        "scaleUp": {"tolerance": "0"}, "scaleDown": {"stabilizationWindowSeconds": 0, "tolerance": "0"}}
    assert trigger(so)["type"] == "external"
    assert trigger(so)["authenticationRef"] == {"name": "gpuscale", "kind": "ClusterTriggerAuthentication"}
    assert trigger(so)["metadata"]["scalerAddress"] == "gpuscale-scaler.gpuscale.svc:9443"
    assert metadata(so) == {"engine": "vllm", "metricsPort": "8001", "capacity": "learn", "itl": "100ms", "ttft": "2.5s", "kvCache": "0.9"}
    assert "--demand NAME" in text and "10 GPUs at most" in text  # why 1, and why 10
    assert errors == ""


def test_a_demand_source_lets_it_go_to_zero_and_push_wakes_it():
    (so,), text, _ = generate("--demand", "gateway", text=dump(deployment()))
    assert trigger(so)["type"] == "external-push" and metadata(so)["demand"] == "gateway"
    assert so["spec"]["minReplicaCount"] == 0 and so["spec"]["cooldownPeriod"] == 300
    generate("--min", "0", text=dump(deployment()), rc=2)
    (so,), _, _ = generate("--min", "2", "--max", "3", "--demand", "g", text=dump(deployment()))
    assert (so["spec"]["minReplicaCount"], so["spec"]["maxReplicaCount"]) == (2, 3) and "cooldownPeriod" not in so["spec"]


@pytest.mark.parametrize("args, parts, wanted", [
    ((), TRITON, {"engine": "triton", "metricsPort": "8002", "queue": "10", "gpuUtilization": "55", "when": "all"}),
    ((), dict(image="pytorch/torchserve:latest-gpu"), {"engine": "torchserve", "metricsPort": "8082", "gpuUtilization": "55"}),
    ((), dict(image="ghcr.io/ggml-org/llama.cpp:server", words=["--metrics", "--parallel", "8"]),
     {"engine": "llamacpp", "metricsPort": "8080", "running": "6", "queue": "5"}),
    (("--capacity", "2"), dict(image="ghcr.io/huggingface/text-generation-inference:3"),
     {"engine": "tgi", "metricsPort": "80", "capacity": "2", "kvCache": "0.9", "queue": "5"}),
    (("--capacity", "1.5", "--mode", "observe", "--down-window", "120s"), {},
     {"engine": "vllm", "metricsPort": "8000", "capacity": "1.5", "kvCache": "0.9", "mode": "observe", "downWindow": "120s"}),
    (("--engine", "custom", "--metrics-port", "9000", "--metrics-path", "/m"), dict(image="me/server"),
     {"engine": "custom", "metricsPort": "9000", "metricsPath": "/m", "queue": "10", "gpuUtilization": "55", "when": "all"}),
    (("--queue", "3", "--when", "queue and gpuUtilization", "--gpu-utilization", "60"), {},
     {"engine": "vllm", "metricsPort": "8000", "capacity": "learn", "itl": "100ms", "ttft": "2.5s", "queue": "3", "gpuUtilization": "60",
      "when": "queue and gpuUtilization"}),
    (("--set", "prometheus.lag=main", "--set", 'query.lag=sum(q{a="b"})', "--set", "target.lag=20"), {},
     {"engine": "vllm", "metricsPort": "8000", "kvCache": "0.9", "prometheus.lag": "main", "query.lag": 'sum(q{a="b"})', "target.lag": "20"}),
])
def test_the_rule_fits_the_engine(args, parts, wanted):
    (so,), _, _ = generate(*args, text=dump(deployment(**parts)))
    assert metadata(so) == wanted


@pytest.mark.parametrize("args, objects, told", [
    ((), [deployment(image="me/server")], r"stdin:1:1: Deployment llm: its engine is not recognised: .*me/server.*--engine NAME"),
    ((), [deployment(image="nginx", gpus=None)], r"it requests no GPU, and .*an HPA on CPU is right for it"),
    ((), [deployment(image="ghcr.io/huggingface/text-generation-inference:3")], r"engine tgi tells no inter-token latency.*--capacity N"),
    ((), [deployment(**{**TRITON, "gpus": ("nvidia.com/gpu.shared", 1)})], r"cannot be known \(nvidia.com/gpu.shared\).*--capacity N"),
    ((), [deployment(**{**TRITON, "gpus": ("amd.com/gpu", 1)})], r"cannot be known \(amd.com/gpu\)"),
    ((), [deployment(image="llama.cpp")], r"--running N says"),
    (("--engine", "vlm"), [deployment()], r'no engine "vlm", did you mean "vllm"\?'),
    (("--queue", "many"), [deployment()], r'the scaler would refuse this rule: queue: "many" is not allowed'),
    (("--set", "quue=3"), [deployment()], r"the scaler would refuse this rule: .*quue.*queue"),
    (("--set", "quue"), [deployment()], r"flag --set: found 'quue', expected KEY=VALUE"),
    (("--min", "0"), [deployment()], r"--min 0 needs something that knows of requests"),
    (("--min", "5", "--max", "4"), [deployment()], r"--max 4 is below the fewest replicas, 5"),
    (("--max", "x"), [deployment()], r"flag --max: found 'x'"),
    (("--kubernetes", "2.0"), [deployment()], r"flag --kubernetes: found '2.0'"),
    (("--target", "thing/x"), [deployment()], r"flag --target: found 'thing/x', expected deployment/NAME"),
    (("--style", "prometheus"), [deployment()], r"--style prometheus cannot learn"),
    (("--style", "prometheus", "--capacity", "2", "--min", "0", "--demand", "g"), [deployment()], r"cannot go to zero"),
    (("--style", "hpa"), [deployment(namespace=None)], r"--namespace NAME"),
    (("--style", "hpa"), [deployment(kind="Rollout", api="argoproj.io/v1alpha1")], r"scales a Deployment or a StatefulSet"),
    ((), [{"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "x"}, "spec": {}}], r"stdin:1:1: a DaemonSet runs one pod on each"),
    ((), [{"apiVersion": "custom.metrics.k8s.io/v1beta1", "kind": "ExternalMetric", "metadata": {"name": "x"}}], r"no API server knows a kind ExternalMetric"),
    ((), [{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}}], r"nothing in the input that can be scaled"),
    ((), [deployment(), scaled_object(prometheus("x")), scaled_object(prometheus("x"), name="two")], r"ScaledObject two scales Deployment llm, which ScaledObject old scales already"),
    (("--name", "n" * 64), [deployment()], r"longer than 63 bytes"),
    (("--style", "prometheus"), [deployment(**{**TRITON, "kind": "Rollout", "api": "argoproj.io/v1alpha1"})], r"--replicas-query QUERY"),
    ((), [{"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledJob", "metadata": {"name": "x"}, "spec": {}}], r"a ScaledJob starts Jobs"),
])
def test_what_cannot_be_is_refused_with_the_remedy(args, objects, told):
    docs, text, errors = generate(*args, text=dump(*objects), rc=2)
    assert docs == [] and re.search(told, errors, re.S), errors


@pytest.mark.parametrize("text, told", [
    ("kind: Deployment\n  x: 1\n", r"stdin:1:"), ("a: [", r"stdin:"), ("", r"stdin: there is no Kubernetes object"),
    ("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec: {replicas: two}\n", r"stdin:4:18: 'replicas': found 'two'"),
    ("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec: {template: {spec: {containers: 5}}}\n", r"stdin:4:38: 'containers': found '5', expected a list"),
])
def test_bad_input_is_told_with_its_place(text, told):
    docs, _, errors = generate(text=text, rc=2)
    assert docs == [] and re.search(told, errors), errors


def test_files_that_are_not_there_are_named(tmp_path):
    _, _, errors = generate(tmp_path / "no.yaml", rc=1)
    assert "no.yaml: No such file" in errors


def test_of_two_workloads_the_one_without_a_gpu_is_left_out_and_said():
    docs, _, errors = generate(text=dump(deployment(), deployment("web", image="nginx", gpus=None), deployment(**TRITON)))
    assert [d["metadata"]["name"] for d in docs] == ["llm", "vision"]
    assert "Deployment web: it requests no GPU" in errors
    # One that should be scaled and cannot be is an error, beside those that can.
    docs, _, errors = generate(text=dump(deployment(), deployment("odd", image="me/server")), rc=2)
    assert [d["metadata"]["name"] for d in docs] == ["llm"] and "Deployment odd: its engine" in errors


def test_kubectl_s_lists_json_and_files_are_read(tmp_path):
    objects = {"apiVersion": "v1", "kind": "List", "items": [deployment(), {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "llm"}}]}
    for text in (json.dumps(objects), yaml.safe_dump(objects)):
        (so,), _, _ = generate(text=text)
        assert so["metadata"]["name"] == "llm"
    path = tmp_path / "d.yaml"
    path.write_text(dump(deployment()))
    assert generate(path)[1] == generate("-", text=path.read_text())[1]


def test_secrets_are_never_repeated():
    objects = dump(deployment(words=["--port", "8001", "--api-key", "sk-args"], env=[{"name": "HF_TOKEN", "value": "hf-env"}, {"name": "VLLM_API_KEY", "value": "sk-env"}]))
    for style in ("gpuscale", "managed", "hpa"):
        _, text, errors = generate("--style", style, text=objects)
        assert not any(s in text + errors for s in ("sk-args", "hf-env", "sk-env"))


def test_other_kinds_and_targets():
    lws = {"apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet", "metadata": {"name": "big", "namespace": "ml"},
           "spec": {"replicas": 1, "leaderWorkerTemplate": {"size": 2, "workerTemplate": deployment(gpus=("nvidia.com/gpu", 8))["spec"]["template"]}}}
    (so,), text, _ = generate(text=dump(lws))
    assert so["spec"]["scaleTargetRef"] == {"apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet", "name": "big"}
    assert "160 GPUs at most" in text
    (so,), _, _ = generate("--target", "rollout/llm", text=dump(deployment()))
    assert so["spec"]["scaleTargetRef"] == {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "llm"}
    (so,), _, _ = generate("--target", "Thing.v2.example.org/x", text=dump(deployment()))
    assert so["spec"]["scaleTargetRef"] == {"apiVersion": "example.org/v2", "kind": "Thing", "name": "x"}


def test_before_kubernetes_1_35_there_is_no_tolerance():
    (so,), text, _ = generate("--kubernetes", "1.34", text=dump(deployment()))
    assert "tolerance" not in yaml.safe_dump(so) and "Kubernetes before 1.35" in text


def test_long_names_get_an_hpa_that_fits_a_label():
    (so,), _, _ = generate(text=dump(deployment("n" * 60)))
    assert so["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["name"] == "n" * 60


def test_policies_are_written_where_something_closes_the_pods():
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "deny", "namespace": "ml"},
              "spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}
    other = {**policy, "spec": {"podSelector": {"matchLabels": {"app": "other"}}}}
    egress = {**policy, "spec": {"podSelector": {}, "policyTypes": ["Egress"]}}
    docs, text, _ = generate(text=dump(deployment(), other, egress))
    assert len(docs) == 1 and "No NetworkPolicy is written" in text
    (_, np), _, _ = generate(text=dump(deployment(), policy))
    assert np["kind"] == "NetworkPolicy" and np["metadata"] == {"name": "llm-gpuscale", "namespace": "ml"}
    assert np["spec"] == {
        "podSelector": {"matchLabels": {"app": "llm"}}, "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "gpuscale"}},
                               "podSelector": {"matchLabels": {"app.kubernetes.io/name": "gpuscale-scaler"}}}],
                     "ports": [{"protocol": "TCP", "port": 8000}]}]}
    assert len(generate("--network-policy", "none", text=dump(deployment(), policy))[0]) == 1
    assert len(generate("--network-policy", "add", text=dump(deployment()))[0]) == 2


def test_output_makes_files_and_overwrites_none(tmp_path):
    out = tmp_path / "out"
    _, text, errors = generate("--output", out, "--network-policy", "add", "--style", "hpa", text=dump(deployment()))
    assert text == "" and sorted(p.name for p in out.iterdir()) == ["llm-hpa.yaml", "llm-networkpolicy.yaml", "llm-scaler-rules.txt"]
    assert yaml.safe_load((out / "llm-hpa.yaml").read_text())["kind"] == "HorizontalPodAutoscaler"
    rule = yaml.safe_load((out / "llm-scaler-rules.txt").read_text())["rules"]["ml-llm"]
    assert rule["namespace"] == "ml" and rule["target"] == "deployment/llm" and rule["metadata"]["engine"] == "vllm"
    _, _, errors = generate("--output", out, "--style", "hpa", text=dump(deployment()), rc=1)
    assert "nothing is overwritten" in errors


# ---- From a cluster ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certs(tmp_path_factory):
    return harness.Certs(tmp_path_factory.mktemp("generate-ca"))


@pytest.fixture
def api(certs):
    with Server(*certs.leaf("api")) as server:
        yield server


@pytest.fixture
def config(tmp_path, api, certs):
    api.tokens = {"t0k3n"}
    return kubeconfig(tmp_path / "config", api.url, certs.ca, {"token": "t0k3n"}, context={"namespace": "ml"})


PLACES = {"ScaledObject": "/apis/keda.sh/v1alpha1/namespaces/ml/scaledobjects",
          "HorizontalPodAutoscaler": "/apis/autoscaling/v2/namespaces/ml/horizontalpodautoscalers",
          "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/ml/networkpolicies"}


def put(api, o):
    """As the API server lists it: without kind and apiVersion in each entry, but for custom resources."""
    path = PLACES[o["kind"]]
    items = api.answers.setdefault(("GET", path), (200, {"kind": o["kind"] + "List", "apiVersion": o["apiVersion"], "items": []}))[1]["items"]
    items.append(o if o["kind"] == "ScaledObject" else {k: v for k, v in o.items() if k not in ("kind", "apiVersion")})


def test_the_workload_and_its_neighbours_come_from_the_cluster(api, config):
    api.answers[("GET", "/apis/apps/v1/namespaces/ml/deployments/llm")] = (200, deployment())
    (so,), text, errors = generate("deployment/llm", "--kubeconfig", config)
    assert metadata(so)["engine"] == "vllm" and so["metadata"]["namespace"] == "ml" and errors == "" and "none in the namespace closes" in text
    put(api, scaled_object(prometheus("sum(vllm:num_requests_waiting)", "4"), minReplicaCount=3, maxReplicaCount=7))
    put(api, scaled_object(prometheus("sum(vllm:num_requests_waiting)", "4"), target="other", name="another"))
    put(api, {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "deny", "namespace": "ml"}, "spec": {"podSelector": {}}})
    # KEDA's own HPA of that ScaledObject says nothing new.
    put(api, {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
              "metadata": {"name": "keda-hpa-old", "namespace": "ml", "labels": {"scaledobject.keda.sh/name": "old"}},
              "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "llm"}, "maxReplicas": 7}})
    (so, policy), _, _ = generate("deploy/llm", "-n", "ml", "--kubeconfig", config)
    assert so["metadata"]["name"] == "old" and (so["spec"]["minReplicaCount"], so["spec"]["maxReplicaCount"]) == (3, 7)
    assert metadata(so)["queue"] == "4" and policy["kind"] == "NetworkPolicy"


def test_what_a_cluster_refuses_is_told_in_its_words(api, config):
    api.answers[("GET", "/apis/apps/v1/namespaces/ml/deployments/llm")] = (404, status(404, "NotFound", 'deployments.apps "llm" not found'))
    _, _, errors = generate("deployment/llm", "--kubeconfig", config, rc=1)
    assert 'deployments.apps "llm" not found' in errors
    api.answers[("GET", "/apis/apps/v1/namespaces/ml/deployments/llm")] = (403, status(403, "Forbidden", "user may not"))
    _, _, errors = generate("deployment/llm", "--kubeconfig", config, rc=1)
    assert "may not get deployments.apps llm" in errors and "user may not" in errors and "t0k3n" not in errors
    api.answers[("GET", "/apis/apps/v1/namespaces/ml/deployments/llm")] = (200, deployment())
    api.answers[("GET", PLACES["ScaledObject"])] = (403, status(403, "Forbidden", "user may not list"))
    (so,), _, errors = generate("deployment/llm", "--kubeconfig", config)
    assert so["kind"] == "ScaledObject" and "not looked at: may not list" in errors and "user may not list" in errors
    _, _, errors = generate("deployment/llm", "--kubeconfig", "/nonexistent/config", rc=1)
    assert "/nonexistent/config" in errors


# ---- From what scales it now ---------------------------------------------------------------------------------------------


def classic(name):
    """The usual shapes, as articles have them."""
    pair = scaled_object({"type": "prometheus", "metadata": {"serverAddress": "http://p:9090", "metricName": "gpu_utilization", "threshold": "55"}},
                         {"type": "prometheus", "metadata": {"serverAddress": "http://p:9090", "metricName": "inference_queue_length", "threshold": "10"}},
                         minReplicaCount=1, maxReplicaCount=8, cooldownPeriod=45)
    gpu = scaled_object(prometheus('sum(gpu_utilization{instance=~".*"}) / count(gpu_utilization{instance=~".*"})', "60", metricName="gpu_utilization"),
                        minReplicaCount=1, maxReplicaCount=12, cooldownPeriod=30)
    cpu = scaled_object({"type": "cpu", "metadata": {"type": "Utilization", "value": "70"}}, minReplicaCount=1, maxReplicaCount=10)
    hpa = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "old-hpa", "namespace": "ml"},
           "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llm"}, "minReplicas": 1, "maxReplicas": 12,
                    "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}]}}
    return {"pair": pair, "gpu": gpu, "cpu": cpu, "hpa": hpa}[name]


def translate(so, *args, tmp_path, workload=None, rc=0):
    path = tmp_path / "old.yaml"
    path.write_text(dump(so))
    inputs = []
    if workload:
        (tmp_path / "workload.yaml").write_text(dump(workload))
        inputs = [tmp_path / "workload.yaml"]
    return generate("--from", path, *args, *inputs, rc=rc)


def test_the_classic_pair_becomes_what_it_promised(tmp_path):
    (so,), text, _ = translate(classic("pair"), tmp_path=tmp_path)
    assert metadata(so) == {"engine": "custom", "metricsPort": "8080", "queue": "10", "gpuUtilization": "55", "when": "all"}
    spec = so["spec"]
    assert (so["metadata"]["name"], spec["minReplicaCount"], spec["maxReplicaCount"], spec["cooldownPeriod"]) == ("old", 1, 8, 45)
    assert "KEDA ignores metricName since 2.12" in flat(text) and "takes the larger of the two, so either one raised" in flat(text)
    # On an engine that batches continuously it is a guard, and something else sizes.
    (so,), text, _ = translate(classic("pair"), tmp_path=tmp_path, workload=deployment())
    assert metadata(so) == {"engine": "vllm", "metricsPort": "8000", "capacity": "learn", "itl": "100ms", "ttft": "2.5s", "queue": "10",
                            "gpuUtilization": "55", "when": "all"}


def test_the_mean_of_all_gpus_becomes_this_workload_s(tmp_path):
    _, _, errors = translate(classic("gpu"), tmp_path=tmp_path, rc=2)
    assert "which engine deployment/llm runs is not said by its triggers" in errors
    (so,), text, _ = translate(classic("gpu"), "--engine", "custom", tmp_path=tmp_path)
    assert metadata(so) == {"engine": "custom", "metricsPort": "8080", "gpuUtilization": "60"}
    assert "asked for 2 replicas at most, whatever the load" in flat(text) and "other services' and idle ones" in flat(text)
    (so,), text, _ = translate(classic("gpu"), tmp_path=tmp_path, workload=deployment())
    assert "gpuUtilization" not in metadata(so) and metadata(so)["capacity"] == "learn" and "they would never let a replica go" in flat(text)


def test_cpu_triggers_and_hpas_are_replaced(tmp_path):
    (so,), text, _ = translate(classic("cpu"), tmp_path=tmp_path, workload=deployment())
    assert [t["type"] for t in so["spec"]["triggers"]] == ["external"] and "KEDA refuses since 2.18" in flat(text)
    assert so["spec"]["maxReplicaCount"] == 10 and so["metadata"]["name"] == "old"
    (so,), text, _ = translate(classic("hpa"), tmp_path=tmp_path, workload=deployment())
    assert so["kind"] == "ScaledObject" and so["spec"]["maxReplicaCount"] == 12
    assert so["metadata"]["annotations"] == {"scaledobject.keda.sh/transfer-hpa-ownership": "true"}
    assert so["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["name"] == "old-hpa"


@pytest.mark.parametrize("triggers, wanted, told", [
    ([prometheus('sum(vllm:num_requests_waiting{namespace="ml"})', "4")], {"queue": "4", "capacity": "learn"}, "queue here, 4 a replica"),
    ([prometheus("avg(vllm:gpu_cache_usage_perc)", "80")], {"kvCache": "0.8", "capacity": "learn"}, "a sum was meant"),
    ([prometheus("sum(rate(vllm:request_success_total[1m]))", "2.5")], {"requestRate": "2.5"}, "requestRate here"),
    ([prometheus("sum(vllm:num_requests_running + vllm:num_requests_waiting)", "12")], {"running": "12"}, "running here, 12"),
    ([prometheus("sum(vllm:num_requests_waiting)", "100", "Value")], {"queue": "100"}, "multiplied it by the ready pods"),
    ([prometheus("histogram_quantile(0.95, sum by (le) (rate(vllm:time_to_first_token_seconds_bucket[1m])))", "2")],
     {"ttft": "2s", "sloGoal": "0.95", "capacity": "learn"}, "It is the SLO here, ttft"),
    ([prometheus("max(DCGM_FI_DEV_FB_USED)", "60000")], {"capacity": "learn"}, "engines reserve the GPU's memory"),
])
def test_thresholds_are_kept_where_they_mean_something(triggers, wanted, told, tmp_path):
    (so,), text, _ = translate(scaled_object(*triggers, minReplicaCount=1), tmp_path=tmp_path, workload=deployment())
    assert {k: metadata(so).get(k) for k in wanted} == wanted
    assert told in flat(text)


def test_a_sum_over_several_gpus_a_replica_is_shared_out(tmp_path):
    (so,), _, _ = translate(scaled_object(prometheus('sum(DCGM_FI_DEV_GPU_UTIL{pod=~"vision-.*"})', "240"), target="vision", minReplicaCount=1), tmp_path=tmp_path,
                            workload=deployment(**{**TRITON, "gpus": ("nvidia.com/gpu", 4)}))
    assert metadata(so)["gpuUtilization"] == "60"


def test_zero_is_kept_only_where_something_could_wake_it(tmp_path):
    old = scaled_object(prometheus("sum(vllm:num_requests_waiting)", "4"), minReplicaCount=0)
    (so,), text, _ = translate(old, tmp_path=tmp_path)
    assert so["spec"]["minReplicaCount"] == 1 and "0 before. Nothing here knows" in text
    (so,), _, _ = translate(old, "--demand", "gw", tmp_path=tmp_path)
    assert so["spec"]["minReplicaCount"] == 0


def test_idle_replicas_are_kept_only_where_something_could_wake_them(tmp_path):
    old = scaled_object(prometheus("sum(vllm:num_requests_waiting)", "4"), minReplicaCount=2, idleReplicaCount=0, cooldownPeriod=60)
    (so,), text, _ = translate(old, tmp_path=tmp_path)
    assert "idleReplicaCount" not in so["spec"] and "idleReplicaCount is left out" in text
    (so,), text, _ = translate(old, "--demand", "gw", tmp_path=tmp_path)
    assert so["spec"]["idleReplicaCount"] == 0 and so["spec"]["cooldownPeriod"] == 60 and "idleReplicaCount is left out" not in text


def test_an_adapter_s_hpa_becomes_its_signals(tmp_path):
    """Pods and External metrics under the names that prometheus-adapter gives them, with quantities."""
    hpa = classic("hpa")
    hpa["spec"]["metrics"] = [
        {"type": "Pods", "pods": {"metric": {"name": "vllm_num_requests_waiting"}, "target": {"type": "AverageValue", "averageValue": "2500m"}}},
        {"type": "External", "external": {"metric": {"name": "vllm_kv_cache_usage_perc"}, "target": {"type": "AverageValue", "averageValue": "800m"}}},
        {"type": "External", "external": {"metric": {"name": "somebodys_lag"}, "target": {"type": "AverageValue", "averageValue": "10"}}}]
    (so,), text, _ = translate(hpa, tmp_path=tmp_path, workload=deployment())
    assert (metadata(so)["queue"], metadata(so)["kvCache"], metadata(so)["capacity"]) == ("2.5", "0.8", "learn")
    assert len(so["spec"]["triggers"]) == 1 and "Trigger 2 (external) is left out" in flat(text)


def test_foreign_triggers_stay_or_become_queries_of_the_scaler(tmp_path):
    cron = {"type": "cron", "metadata": {"timezone": "UTC", "start": "0 8 * * *", "end": "0 18 * * *", "desiredReplicas": "3"}}
    lag = prometheus('sum(rabbitmq_queue_messages_ready{queue="q"})', "20")
    (so,), text, _ = translate(scaled_object(cron, lag), tmp_path=tmp_path, workload=deployment())
    assert so["spec"]["triggers"][1:] == [cron, lag] and so["spec"]["minReplicaCount"] == 0
    (so,), _, _ = translate(scaled_object(cron, lag), "--prometheus-server", "main", tmp_path=tmp_path, workload=deployment())
    assert so["spec"]["triggers"][1:] == [cron]
    assert {k: v for k, v in metadata(so).items() if "." in k} == {
        "prometheus.q1": "main", "query.q1": lag["metadata"]["query"], "target.q1": "20"}


def test_all_else_of_the_old_object_is_kept(tmp_path):
    old = scaled_object(prometheus("sum(vllm:num_requests_waiting)", "4"), minReplicaCount=2, maxReplicaCount=9, pollingInterval=7, initialCooldownPeriod=60,
                        fallback={"failureThreshold": 5, "replicas": 4},
                        advanced={"restoreToOriginalReplicaCount": True, "horizontalPodAutoscalerConfig": {
                            "name": "mine", "behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}]},
                                                         "scaleDown": {"stabilizationWindowSeconds": 600, "selectPolicy": "Min"}}}})
    old["metadata"].update(labels={"team": "a", "on": "yes"}, annotations={"autoscaling.keda.sh/paused": "false", "note": 'x: "y" #z\nline', "kubectl.kubernetes.io/last-applied-configuration": "{}"})
    (so,), text, _ = translate(old, tmp_path=tmp_path, workload=deployment())
    spec = so["spec"]
    assert so["metadata"]["labels"] == {"team": "a", "on": "yes"}
    assert so["metadata"]["annotations"] == {"autoscaling.keda.sh/paused": "false", "note": 'x: "y" #z\nline'}
    assert (spec["pollingInterval"], spec["initialCooldownPeriod"]) == (7, 60)
    assert spec["fallback"] == {"failureThreshold": 5, "replicas": 4, "behavior": "currentReplicasIfHigher"}
    assert spec["advanced"] == {"restoreToOriginalReplicaCount": True, "horizontalPodAutoscalerConfig": {
        "name": "mine", "behavior": {"scaleUp": {"tolerance": "0", "policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}]},
                                     "scaleDown": {"stabilizationWindowSeconds": 0, "tolerance": "0", "selectPolicy": "Min"}}}}
    assert metadata(so)["downWindow"] == "600s"


def test_a_formula_that_goes_is_told_and_the_empty_one_that_keda_writes_is_none(tmp_path):
    for formula, told in (({"formula": "a + b", "target": "5"}, True), ({}, False)):
        old = scaled_object(prometheus("sum(vllm:num_requests_waiting)", "4"), advanced={"scalingModifiers": formula})
        (so,), text, _ = translate(old, tmp_path=tmp_path, workload=deployment())
        assert "scalingModifiers" not in so["spec"]["advanced"]
        assert ("scalingModifiers are left out" in flat(text)) == told


def test_what_is_ours_already_stays(tmp_path):
    (so,), _, _ = generate("--demand", "gw", "--capacity", "3", text=dump(deployment()))
    (again,), text, _ = translate(so, tmp_path=tmp_path, workload=deployment())
    assert metadata(again) == metadata(so) and "gpuscale's already" in text
    assert again["spec"] == so["spec"]


def test_who_only_looks_on_gets_a_rule_and_nothing_to_apply(tmp_path):
    """A second HPA on the same pods would stop both; a trigger among the present ones would be a floor."""
    for old in (classic("hpa"), classic("cpu")):
        docs, text, _ = translate(old, "--mode", "observe", tmp_path=tmp_path, workload=deployment())
        assert docs == [] and "goes on scaling it: nothing is to be applied" in flat(text)
        (rule,) = commented("\n" + text)["rules"].values()
        assert rule["metadata"]["mode"] == "observe" and rule["target"] == "deployment/llm"
    # A trigger of ours that observes is one already.
    (so,), _, _ = generate("--mode", "observe", text=dump(deployment()))
    (again,), _, _ = translate(so, tmp_path=tmp_path, workload=deployment())
    assert again["spec"] == so["spec"]


def test_the_scaler_takes_the_rules_that_are_written(tmp_path):
    """As its configuration, through its own reader."""
    for parts in ({}, TRITON):
        _, text, _ = generate("--style", "hpa", "--demand", "gateway", text=dump(deployment(**parts)))
        config = {"grpc": {"listen": "127.0.0.1:0"}, "kubernetes": {"enabled": True}, "demand": {"gateway": {"url": "http://127.0.0.1:9/metrics", "requestsTotal": "x"}},
                  "rules": commented(text)["rules"]}
        path = tmp_path / "scaler.yaml"
        path.write_text(yaml.safe_dump(config))
        done = subprocess.run([GPUSCALE, "scaler", "--config", path, "--print-config"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        config["rules"] = {k: {**r, "metadata": {**r["metadata"], "quue": "1"}} for k, r in config["rules"].items()}
        path.write_text(yaml.safe_dump(config))
        done = subprocess.run([GPUSCALE, "scaler", "--config", path, "--print-config"], capture_output=True, text=True, timeout=60)
        assert done.returncode != 0 and "quue" in done.stderr


HOSTILE = ["", " ", "null", "~", "true", "No", "y", "1", "1:30", "0x1f", "-", "- x", "---", "...", ": x", "x: y", "x #y", "*a", "!t", "|", "%a", "@x", "`", "'", '"',
           "a'b\"c\\", "{}", "[", "a\nb", "a\n", "\n a", "\t", "\x7f", "\x85", "\u2028", "\ufeff", "café", "模型", "😀", "=", "<<", "2026-11-30", "1e3", "a: |\n  b"]


def test_hostile_texts_come_back_through_pyyaml(tmp_path):
    old = scaled_object(prometheus("sum(vllm:num_requests_waiting)", "4"), minReplicaCount=1)
    old["metadata"]["annotations"] = {f"k{i}": v for i, v in enumerate(HOSTILE)}
    old["metadata"]["labels"] = {v: "x" for v in ("on", "1", "null", "a.b/c", "y")}
    old["spec"]["triggers"].append({"type": "kafka", "metadata": {f"k{i}": v for i, v in enumerate(HOSTILE)}})
    path = tmp_path / "old.json"
    path.write_text(json.dumps(old))
    (so,), text, _ = generate("--from", path)
    assert so["metadata"]["annotations"] == old["metadata"]["annotations"]
    assert so["metadata"]["labels"] == old["metadata"]["labels"]
    assert so["spec"]["triggers"][1]["metadata"] == old["spec"]["triggers"][1]["metadata"]
    for loader in (yaml.CSafeLoader, yaml.SafeLoader):  # libyaml and the one in Python
        assert yaml.load(text, loader) == so


# ---- Styles ---------------------------------------------------------------------------------------------------------------


def formula_replicas(gpu, queue, replicas):
    """What the pair promises: up when both are above, down by the GPU, never by an empty queue."""
    if queue > replicas:
        return max(gpu, queue) if gpu > replicas else replicas
    return min(gpu, replicas)


def test_the_classic_stack_is_a_formula_over_sums(tmp_path):
    (so,), text, _ = generate("--style", "prometheus", text=dump(deployment(**{**TRITON, "gpus": ("nvidia.com/gpu", 2)})))
    triggers = {t["name"]: t for t in so["spec"]["triggers"]}
    assert set(triggers) == {"gpu", "queue", "replicas"} and all(t["type"] == "prometheus" for t in triggers.values())
    assert all(t["metadata"]["ignoreNullValues"] == "false" for t in triggers.values())
    assert triggers["gpu"]["metadata"]["query"] == 'sum(avg by (pod) (DCGM_FI_DEV_GPU_UTIL{namespace="ml",pod=~"vision-[a-z0-9]+-[a-z0-9]+"}))'
    modifiers = so["spec"]["advanced"]["scalingModifiers"]
    assert modifiers["target"] == "1" and modifiers["metricType"] == "AverageValue"
    m = re.fullmatch(r"queue / 10 > replicas \? \(gpu / 55 > replicas \? max\(gpu / 55, queue / 10\) : replicas\) : min\(gpu / 55, replicas\)", modifiers["formula"])
    assert m, modifiers["formula"]
    assert so["spec"]["minReplicaCount"] == 1 and "Prometheus cannot tell that from a lost exporter" in flat(text)
    assert so["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"] == {"stabilizationWindowSeconds": 300}


def test_the_classic_stack_of_a_language_model_needs_a_number():
    (so,), _, _ = generate("--style", "prometheus", "--capacity", "2", "--queue", "4", text=dump(deployment()))
    assert {t["name"]: t["metadata"]["threshold"] for t in so["spec"]["triggers"]} == {"requests": "2", "queue": "4"}
    assert "scalingModifiers" not in so["spec"]["advanced"]  # the larger of the two is right here
    assert trigger(so)["metadata"]["query"] == 'sum(rate(vllm:request_success_total{namespace="ml",pod=~"llm-[a-z0-9]+-[a-z0-9]+"}[1m]))'


def test_a_pair_on_an_engine_whose_gpus_saturate_makes_no_formula():
    (so,), _, _ = generate("--style", "prometheus", "--capacity", "2", "--queue", "4", "--gpu-utilization", "55", text=dump(deployment()))
    assert [t["name"] for t in so["spec"]["triggers"]] == ["requests", "queue"] and "scalingModifiers" not in so["spec"]["advanced"]
    (so,), _, _ = generate("--style", "prometheus", "--capacity", "2", "--queue", "4", "--gpu-utilization", "55", text=dump(deployment(**TRITON)))
    assert [t["name"] for t in so["spec"]["triggers"]] == ["gpu", "queue", "replicas"]


def commented(text):
    """What stands behind the manifests as comments, as YAML."""
    lines = ["", *text.splitlines()]
    return yaml.safe_load("\n".join(line[4:] for line in lines[max(i for i, l in enumerate(lines) if l == ""):] if line.startswith("#   ")))


def promtool():
    tool = shutil.which("promtool")
    if not tool:
        pytest.skip("promtool (Debian's prometheus) is not installed")
    return tool


CASES = [(gpu, queue, n) for gpu in (0, 40, 55, 110, 165, 300) for queue in (0, 5, 20, 31, 200) for n in (1, 2, 3, 8)]


def test_the_adapter_s_expression_does_the_same_by_prometheus_itself(tmp_path):
    docs, text, _ = generate("--style", "prometheus", "--adapter", text=dump(deployment(**TRITON)))
    (rule,) = commented(text)["rules"]["external"]
    assert docs[0]["spec"]["metrics"][0]["external"]["metric"]["name"] == rule["name"]["as"] == "vision_desired_replicas"
    # One minute a case: the series hold each case's values, and the expression is asked at each.
    pod = 'namespace="ml",pod="vision-5f-a1b2"'
    series = [("DCGM_FI_DEV_GPU_UTIL{%s,gpu=\"0\"}" % pod, 0), ("nv_inference_pending_request_count{%s,model=\"m\"}" % pod, 1),
              ('kube_deployment_spec_replicas{namespace="ml",deployment="vision"}', 2)]
    noise = [('DCGM_FI_DEV_GPU_UTIL{namespace="ml",pod="other-5f-a1b2"}', "1000"), ('DCGM_FI_DEV_GPU_UTIL{namespace="x",pod="vision-5f-a1b2"}', "1000"),
             ('nv_inference_pending_request_count{namespace="ml",pod="vision-2-5f-a1b2"}', "1000")]
    tests = {"rule_files": [], "evaluation_interval": "1m", "tests": [{
        "interval": "1m",
        "input_series": [{"series": s, "values": " ".join(str(c[i]) for c in CASES)} for s, i in series] + [{"series": s, "values": f"{v}x{len(CASES)}"} for s, v in noise],
        "promql_expr_test": [{"expr": f"round({rule['metricsQuery']}, 0.001)", "eval_time": f"{k}m",
                              "exp_samples": [{"labels": "{}", "value": round(formula_replicas(g / 55, q / 10, n), 3)}]} for k, (g, q, n) in enumerate(CASES)],
    }]}
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump(tests))
    done = subprocess.run([promtool(), "test", "rules", path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


def test_a_lost_series_gives_nothing_to_the_adapter(tmp_path):
    _, text, _ = generate("--style", "prometheus", "--adapter", text=dump(deployment(**TRITON)))
    expr = commented(text)["rules"]["external"][0]["metricsQuery"]
    tests = {"rule_files": [], "tests": [{"interval": "1m", "input_series": [{"series": 'kube_deployment_spec_replicas{namespace="ml",deployment="vision"}', "values": "3 3"}],
                                         "promql_expr_test": [{"expr": expr, "eval_time": "1m", "exp_samples": []}]}]}
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump(tests))
    done = subprocess.run([promtool(), "test", "rules", path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def queries(so):
    return [t["metadata"]["query"] for t in so["spec"]["triggers"] if t["type"] == "prometheus"]


def test_prometheus_reads_every_query(tmp_path):
    all_of_them = []
    for parts, args in ((TRITON, ()), ({}, ("--capacity", "2", "--queue", "3")), ({"kind": "StatefulSet"}, ("--running", "8")), (dict(image="pytorch/torchserve"), ()),
                        (dict(name="a.b", image="lmsysorg/sglang"), ("--capacity", "1"))):
        all_of_them += queries(generate("--style", "prometheus", *args, text=dump(deployment(**parts)))[0][0])
        all_of_them.append(commented(generate("--style", "prometheus", "--adapter", *args, text=dump(deployment(**parts)))[1])["rules"]["external"][0]["metricsQuery"])
        all_of_them += queries(generate("--style", "managed", "--capacity", "1", text=dump(deployment(**parts)))[0][0])
    rules = {"groups": [{"name": "g", "rules": [{"record": f"r{i}", "expr": q} for i, q in enumerate(all_of_them)]}]}
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(rules))
    done = subprocess.run([promtool(), "check", "rules", path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_managed_keda_asks_for_the_decision():
    (so,), text, _ = generate("--style", "managed", "--demand", "gw", text=dump(deployment()))
    t = trigger(so)
    assert t["type"] == "prometheus" and t["metricType"] == "AverageValue" and t["metadata"]["threshold"] == "1"
    assert t["metadata"]["query"] == 'max(gpuscale_desired_replicas{namespace="ml",workload="deployment/llm"})'
    assert t["metadata"]["ignoreNullValues"] == "false" and so["spec"]["minReplicaCount"] == 0
    rule = commented(text)["rules"]["ml-llm"]
    assert rule["target"] == "deployment/llm" and rule["metadata"]["demand"] == "gw"


def test_the_hpa_does_what_the_decision_says():
    (hpa,), text, _ = generate("--style", "hpa", "--max", "20", text=dump(deployment()))
    selector = hpa["spec"]["metrics"][0]["external"]["metric"]["selector"]
    assert selector == {"matchLabels": {"gpuscale.io/rule": "ml-llm"}} and "ml-llm" in commented(text)["rules"]
    for n, decided in ((4, 5), (4, 4), (12, 11), (12, 13), (20, 1)):
        case = {"hpa": hpa, "scale": {"spec": n, "status": n}, "external": {"desired-replicas": decided}, "controller": {"version": "1.37"}, "now": "2026-11-23T12:00:00Z"}
        done = subprocess.run([GPUSCALE, "hpa", "--json"], input=json.dumps(case), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["desiredReplicas"] == decided
    # The HPA's own tolerance of 10 % would have held the fleet of twelve.
    hpa["spec"]["behavior"] = {"scaleDown": {"stabilizationWindowSeconds": 0}}
    case = {"hpa": hpa, "scale": {"spec": 12, "status": 12}, "external": {"desired-replicas": 11}, "controller": {"version": "1.37"}, "now": "2026-11-23T12:00:00Z"}
    done = subprocess.run([GPUSCALE, "hpa", "--json"], input=json.dumps(case), capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout)["desiredReplicas"] == 12


def test_help_says_how():
    done = subprocess.run([GPUSCALE, "generate", "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "\n  kubectl get deployment llm -o yaml | gpuscale generate --demand gateway\n" in done.stdout
    for flag in ("--capacity", "--style", "--from", "--gpu-utilization", "--burst-memory"):
        assert f"  {flag} " in done.stdout
