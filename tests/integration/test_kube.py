# SPDX-License-Identifier: Apache-2.0
"""src/kube against a server that plays the Kubernetes API: configurations, requests, a cache that survives each fault."""

import base64
import json
import os
import signal
import stat
import threading
import time

import pytest
from harness import Certs, sanitized, wait_until
from kube_kit import Kube, Server, kubeconfig, status

PODS = "/api/v1/pods"


@pytest.fixture(scope="module")
def certs(tmp_path_factory):
    return Certs(tmp_path_factory.mktemp("kube-ca"))


@pytest.fixture
def server(certs):
    with Server(*certs.leaf("api"), client_ca=certs.ca) as s:
        yield s


@pytest.fixture
def config(tmp_path, server, certs):
    server.tokens = {"t0k3n"}
    return kubeconfig(tmp_path / "config", server.url, certs.ca, {"token": "t0k3n"})


def ask(*args, env=None, expect=0):
    """One request's answer; what it says on stderr where there is none."""
    with Kube(*args, env={"HOME": "/nonexistent", **(env or {})}) as k:
        code = k.wait()
        k._lines.join(10)
        assert code == expect, (code, k.told, k.log())
        return k.told_of("answer")[0] if k.told else k.log()


def watch(config, *args, resource="core/v1/pods", env=None):
    return Kube(*(["--kubeconfig", config] if config else []), "--backoff-ms", 20, *args, "watch", resource, env=env)


def expect_cache(k, server, path=PODS):
    """The program's cache becomes the server's objects, version by version."""
    def same():
        with server.api.cond:
            want = {f"{ns}/{name}": o["metadata"]["resourceVersion"]
                    for (ns, name), o in server.api.objects.get(path, {}).items()}
        return k.cache() == want
    wait_until(same, "the cache is the server's objects")


def in_cluster(folder, server, certs, token="t0k3n"):
    folder.mkdir(exist_ok=True)
    (folder / "token").write_text(token)
    (folder / "namespace").write_text("gpuscale\n")
    (folder / "ca.crt").write_bytes(certs.ca.read_bytes())
    host, port = server.server_address[:2]
    return {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": str(port), "KUBE_SERVICE_ACCOUNT": str(folder),
            "KUBECONFIG": ""}


def script(path, text):
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


# Configuration

def test_inside_a_cluster_the_service_account_is_used(tmp_path, server, certs):
    server.tokens = {"t0k3n"}
    env = in_cluster(tmp_path / "sa", server, certs)
    assert ask("ask", "list", "core/v1/pods", env=env)["fault"] == "ok"
    assert server.requests[0]["headers"]["Authorization"] == "Bearer t0k3n"


def test_a_rotated_token_and_a_rotated_ca_are_used_without_a_restart(tmp_path, server, certs):
    server.tokens = {"t0k3n"}
    env = in_cluster(tmp_path / "sa", server, certs)
    server.api.put(PODS, "ml", "a")
    with watch(None, env=env) as k:
        expect_cache(k, server)
        # The token rotates; the old one is refused from now on, and the next watch needs the new one.
        (tmp_path / "sa" / "token.new").write_text("r0tated")
        os.replace(tmp_path / "sa" / "token.new", tmp_path / "sa" / "token")
        server.tokens = {"r0tated"}
        server.cuts.release()
        wait_until(lambda: server.asked(path=PODS)[-1]["headers"]["Authorization"] == "Bearer r0tated", "the new token")
        # A new CA signs the server's next certificate: trusted as soon as the file has it.
        other = Certs(tmp_path / "other", "another CA")
        server.certify(*other.leaf("api2"))
        server.cuts.release()
        wait_until(lambda: any(s["fault"] == "unreachable" and "TLS" in s["error"] and "ca.crt" in s["error"]
                               for s in k.told_of("state")), "the old CA does not vouch for it")
        (tmp_path / "sa" / "ca.new").write_bytes(other.ca.read_bytes())
        os.replace(tmp_path / "sa" / "ca.new", tmp_path / "sa" / "ca.crt")
        server.api.put(PODS, "ml", "b")
        expect_cache(k, server)
        assert not k.told_of("problem")


def test_certificates_and_their_data_are_shown_and_checked(tmp_path, server, certs):
    cert, key = certs.leaf("someone", common_name="system:gpuscale")

    def data(path):
        return base64.b64encode(path.read_bytes()).decode()

    by_file = kubeconfig(tmp_path / "files", server.url, "../" + str(certs.ca.relative_to(tmp_path.parent)),
                         {"client-certificate": str(cert), "client-key": str(key)})
    inside = kubeconfig(tmp_path / "data", server.url, None,
                        {"client-certificate-data": data(cert), "client-key-data": data(key)},
                        {"certificate-authority-data": data(certs.ca)})
    for config in (by_file, inside):
        server.requests.clear()
        assert ask("--kubeconfig", config, "ask", "list", "core/v1/pods")["fault"] == "ok"
        assert (("commonName", "system:gpuscale"),) in server.requests[0]["cert"]["subject"]
    bad = kubeconfig(tmp_path / "bad", server.url, None, {}, {"certificate-authority-data": "bm8gUEVN"})
    said = ask("--kubeconfig", bad, "ask", "list", "core/v1/pods", expect=1)
    assert "certificate-authority-data" in said and "bad:1:" in said, said


def test_the_servers_name_is_the_one_that_the_cluster_gives(tmp_path, certs):
    with Server(*certs.leaf("named", sans="DNS:kubernetes.default.svc")) as s:
        wrong = kubeconfig(tmp_path / "wrong", s.url, certs.ca)
        said = ask("--kubeconfig", wrong, "ask", "list", "core/v1/pods", expect=1)
        assert said["fault"] == "unreachable" and "TLS" in said["error"], said
        right = kubeconfig(tmp_path / "right", s.url, certs.ca, cluster={"tls-server-name": "kubernetes.default.svc"})
        assert ask("--kubeconfig", right, "ask", "list", "core/v1/pods")["fault"] == "ok"


def test_an_expired_certificate_is_said(tmp_path, certs):
    with Server(*certs.leaf("expired", days=-1)) as s:
        config = kubeconfig(tmp_path / "config", s.url, certs.ca)
        said = ask("--kubeconfig", config, "ask", "list", "core/v1/pods", expect=1)
        assert "expired" in said["error"] and "cannot list pods" in said["error"], said


def test_a_plugins_credential_is_used_until_it_expires_or_is_refused(tmp_path, server, certs):
    plugin = script(tmp_path / "login", """
echo run >> "$0.runs"
printf '%s' "$KUBERNETES_EXEC_INFO" > "$0.info"
read token until < "$0.token"
printf '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{"token":"%s"%s}}' "$token" "$until"
""")
    runs, token = tmp_path / "login.runs", tmp_path / "login.token"
    config = kubeconfig(tmp_path / "config", server.url, certs.ca, {"exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": "./login", "interactiveMode": "Never",
        "env": [{"name": "PLUGIN", "value": "1"}], "provideClusterInfo": True}})
    token.write_text("one\n")
    server.tokens = {"one"}
    server.api.put(PODS, "ml", "a")
    with watch(config) as k:
        expect_cache(k, server)
        server.cuts.release()
        wait_until(lambda: len(server.asked(path=PODS)) >= 3, "it watches again")
        assert runs.read_text().split() == ["run"]
        info = json.loads((tmp_path / "login.info").read_text())
        assert info["spec"]["interactive"] is False
        assert base64.b64decode(info["spec"]["cluster"]["certificate-authority-data"]) == certs.ca.read_bytes()
        # Refused: the plugin is asked again, and nobody sees a failure.
        token.write_text("two\n")
        server.tokens = {"two"}
        server.cuts.release()
        # Only the request after the cut is refused: a watch that still runs would tell of b as well.
        wait_until(lambda: runs.read_text().split() == ["run"] * 2, "the plugin is asked again")
        server.api.put(PODS, "ml", "b")
        expect_cache(k, server)
        assert runs.read_text().split() == ["run"] * 2
        assert not any("401" in s["error"] for s in k.told_of("state")), k.told_of("state")
    # Expired: each request runs it.
    token.write_text('two ,"expirationTimestamp":"2020-01-01T00:00:00Z"\n')
    runs.unlink()
    for _ in range(2):
        assert ask("--kubeconfig", config, "ask", "list", "core/v1/pods")["fault"] == "ok"
    assert runs.read_text().split() == ["run"] * 2


@pytest.mark.parametrize("text, says", [
    ("echo 'please log in' >&2; exit 3", "exit status 3: please log in"),
    ("echo '{\"kind\":\"Token\"}'", "no ExecCredential"),
    ("echo 'no json'", "no JSON"),
    ("kill -9 $$", "signal 9"),
    ("head -c 100000 /dev/zero", "more than 65536 bytes"),
    ("echo '{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/v1\"}'", "no token"),
])
def test_a_plugin_that_fails_is_said_with_its_words(tmp_path, server, certs, text, says):
    plugin = script(tmp_path / "login", text)
    config = kubeconfig(tmp_path / "config", server.url, certs.ca, {"exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin)}})
    said = ask("--kubeconfig", config, "ask", "list", "core/v1/pods", expect=1)
    assert says in said["error"] and "login" in said["error"], said
    assert not server.requests


def test_a_plugin_that_is_not_there_is_said_with_its_hint(tmp_path, server, certs):
    config = kubeconfig(tmp_path / "config", server.url, certs.ca, {"exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-login", "installHint": "brew install it"}})
    said = ask("--kubeconfig", config, "ask", "list", "core/v1/pods", expect=1)
    assert "no-such-login" in said["error"] and "brew install it" in said["error"], said


def test_a_plugin_that_hangs_ends_with_the_program(tmp_path, server, certs):
    plugin = script(tmp_path / "login", 'echo $$ > "$0.pid"; exec sleep 1000')
    config = kubeconfig(tmp_path / "config", server.url, certs.ca, {"exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin)}})
    with watch(config) as k:
        pid = int(wait_until(lambda: (tmp_path / "login.pid").read_text(), "the plugin runs"))
        k.stop()
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "the plugin is gone")


def test_without_a_cluster_the_remedy_is_said():
    said = ask("ask", "list", "core/v1/pods", env={"KUBERNETES_SERVICE_HOST": "", "KUBECONFIG": ""}, expect=1)
    assert "--kubeconfig" in said and "KUBERNETES_SERVICE_HOST" in said


def test_a_ca_that_cannot_be_read_is_said_and_the_old_one_stays(tmp_path, server, certs):
    server.tokens = {"t0k3n"}
    env = in_cluster(tmp_path / "sa", server, certs)
    server.api.put(PODS, "ml", "first")
    with watch(None, env=env) as k:
        expect_cache(k, server)
        good = (tmp_path / "sa" / "ca.crt").read_bytes()
        (tmp_path / "sa" / "ca.crt").write_text("no PEM")

        def said():
            server.cuts.release()  # a request looks at the files
            return "ca.crt" in stats(k)["trouble"]

        wait_until(said, "the file is named", every_s=0.5)
        server.api.put(PODS, "ml", "a")
        expect_cache(k, server)
        (tmp_path / "sa" / "ca.crt").write_bytes(good)
        wait_until(lambda: not server.cuts.release() and not stats(k)["trouble"], "well again", every_s=0.5)


# Requests

def test_what_is_sent(server, config):
    scale = "/apis/apps/v1/namespaces/ml/deployments/llm/scale"
    got = ask("--kubeconfig", config, "--content", '{"spec":{"replicas":3}}', "--type", "application/merge-patch+json",
              "ask", "patch", "apps/v1/deployments", "ml", "llm", "scale")
    assert got["status"] == 201 and json.loads(got["body"]) == {"kind": "Echo"}
    sent = server.asked(path=scale)[0]
    assert sent["method"] == "PATCH" and sent["body"] == b'{"spec":{"replicas":3}}'
    assert sent["headers"]["Content-Type"] == "application/merge-patch+json"
    ask("--kubeconfig", config, "--content", "{}", "ask", "create", "authentication.k8s.io/v1/tokenreviews")
    ask("--kubeconfig", config, "--content", "{}", "ask", "update", "coordination.k8s.io/v1/leases", "gpuscale", "scaler")
    assert [(r["method"], r["path"], r["headers"]["Content-Type"]) for r in server.requests[1:]] == [
        ("POST", "/apis/authentication.k8s.io/v1/tokenreviews", "application/json"),
        ("PUT", "/apis/coordination.k8s.io/v1/namespaces/gpuscale/leases/scaler", "application/json")]


def test_a_refusal_names_verb_resource_namespace_and_the_rule(server, config):
    path = "/apis/keda.sh/v1alpha1/namespaces/ml/scaledobjects"
    server.answers["GET", path] = 403, status(
        403, "Forbidden", 'scaledobjects.keda.sh is forbidden: User "system:serviceaccount:a:b" cannot list resource')
    said = ask("--kubeconfig", config, "ask", "list", "keda.sh/v1alpha1/scaledobjects", "ml", expect=1)
    assert said["fault"] == "forbidden"
    assert said["error"].startswith(
        'may not list scaledobjects.keda.sh in namespace ml (403): its Role needs apiGroups "keda.sh", resources '
        '"scaledobjects", verbs "list"'), said
    assert "system:serviceaccount:a:b" in said["error"]


@pytest.mark.parametrize("code, fault", [(404, "not_found"), (409, "conflict"), (422, "invalid"), (500, "busy")])
def test_other_refusals(server, config, code, fault):
    server.answers["POST", "/api/v1/namespaces/ml/events"] = code, status(code, "X", "the server's own words")
    said = ask("--kubeconfig", config, "--content", "{}", "--attempts", 3, "ask", "create", "core/v1/events", "ml", expect=1)
    assert (said["fault"], said["status"]) == (fault, code) and "the server's own words" in said["error"]
    assert said["attempts"] == 1  # it may have been done: not repeated


def test_an_unknown_token_is_said(tmp_path, server, certs):
    server.tokens = {"other"}
    config = kubeconfig(tmp_path / "config", server.url, certs.ca, {"token": "s3cret"})
    said = ask("--kubeconfig", config, "ask", "list", "core/v1/pods", expect=1)
    assert said["fault"] == "unknown_user" and "401" in said["error"] and "config:1:" in said["error"]
    assert "s3cret" not in said["error"]


def test_busy_answers_are_waited_for(server, config):
    times = []

    def busy(handler, request):
        times.append(time.monotonic())
        if len(times) > 3:
            return False
        code = [429, 503, 500][len(times) - 1]
        handler.answer(code, status(code, "TooManyRequests", "later"), [("Retry-After", "1")] if code != 500 else [])
        return True

    server.faults.append(busy)
    got = ask("--kubeconfig", config, "--attempts", 5, "--backoff-ms", 20, "ask", "list", "core/v1/pods")
    assert got["fault"] == "ok" and got["attempts"] == 4
    assert times[1] - times[0] >= 1 and times[2] - times[1] >= 1
    # A change is repeated where the server says that it was not done.
    server.faults[:] = [lambda handler, request: len(server.asked(method="POST")) < 2 and not handler.answer(
        429, status(429, "TooManyRequests", "later"))]
    got = ask("--kubeconfig", config, "--attempts", 2, "--content", "{}", "ask", "create", "core/v1/events", "ml")
    assert got["fault"] == "ok" and got["attempts"] == 2


# A cache

def test_pages_events_and_bookmarks(server, config):
    for i in range(620):
        server.api.put(PODS, "ml", f"pod-{i}", status={"phase": "Running"})
    with watch(config) as k:
        expect_cache(k, server)
        assert [r["query"].get("limit") for r in server.asked(path=PODS)][:3] == ["250"] * 3
        wait_until(lambda: k.told_of("synced"), "synced")
        for i in range(0, 620, 3):
            server.api.put(PODS, "ml", f"pod-{i}", status={"phase": "Failed"})
        for i in range(1, 620, 3):
            server.api.delete(PODS, "ml", f"pod-{i}")
        server.api.put(PODS, "other", "pod-1")
        expect_cache(k, server)
        # A bookmark moves the place: what was compacted behind it does not matter.
        server.api.put("/api/v1/nodes", "", "elsewhere")
        server.bookmarks.release()
        stats(k, lambda s: s["bookmarks"] == 1)
        with server.api.cond:
            server.api.compacted = server.api.version
            server.api.log.clear()
        server.cuts.release()
        server.api.put(PODS, "ml", "after")
        expect_cache(k, server)
        assert stats(k)["lists"] == 1


def test_kinds_are_read_as_what_they_are(server, config):
    server.api.put(PODS, "ml", "llm-0", metadata={"ownerReferences": [{"kind": "ReplicaSet", "name": "llm-7", "uid": "r",
                                                                       "controller": True}]},
                   spec={"containers": [{"resources": {"limits": {"nvidia.com/gpu": "2"}}}]},
                   status={"phase": "Running", "podIP": "10.0.0.7", "conditions": [{"type": "Ready", "status": "True"}]})
    server.api.put("/apis/apps/v1/deployments", "ml", "llm", spec={"replicas": 3, "selector": {"matchLabels": {"a": "b"}}})
    server.api.put("/apis/keda.sh/v1alpha1/scaledobjects", "ml", "llm",
                   spec={"scaleTargetRef": {"name": "web"}, "triggers": [{"type": "cpu"}, {"type": "external"}]})
    server.api.put("/apis/discovery.k8s.io/v1/namespaces/gpuscale/endpointslices", "gpuscale", "agent-x",
                   metadata={"labels": {"kubernetes.io/service-name": "agent"}},
                   endpoints=[{"addresses": ["10.1.0.1"]}, {"addresses": ["10.1.0.2"]}])
    for resource, want in (
            (["core/v1/pods"], {"phase": "Running", "ip": "10.0.0.7", "owner": "llm-7", "ready": True, "gpus": 2}),
            (["apps/v1/deployments"], {"selector": "a=b", "replicas": 3}),
            (["keda.sh/v1alpha1/scaledobjects"], {"target": "web", "triggers": 2}),
            (["discovery.k8s.io/v1/endpointslices", "gpuscale"], {"service": "agent", "endpoints": 2})):
        with Kube("--kubeconfig", config, "watch", *resource) as k:
            wait_until(lambda: k.told_of("synced"), "synced")
            added = k.told_of("added")[0]
            assert {key: added[key] for key in want} == want


def test_ten_thousand_pods(server, config):
    """Pods as a cluster has them: half of each is managedFields."""
    n = 10000
    for i in range(n):
        server.api.put(PODS, f"team-{i % 40}", f"llm-6d8f9c7b5-{i:05d}", metadata={
            "creationTimestamp": "2026-11-30T00:00:00Z",
            "labels": {"app": "llm", "pod-template-hash": "6d8f9c7b5", "team": str(i % 40)},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "llm-6d8f9c7b5", "uid": "r",
                                 "controller": True}],
            "managedFields": [{"manager": "kubelet", "fieldsV1": {f"f:field-{j}": {} for j in range(100)}}]},
            spec={"nodeName": f"node-{i % 500}", "containers": [{
                "name": "vllm", "image": "vllm/vllm-openai:v0.11.0", "resources": {"limits": {"nvidia.com/gpu": "1"}},
                "env": [{"name": f"VARIABLE_{j}", "value": "value"} for j in range(20)]}]},
            status={"phase": "Running", "podIP": f"10.244.{i // 250}.{i % 250}", "startTime": "2026-11-30T00:00:01Z",
                    "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-30T00:01:00Z"}],
                    "containerStatuses": [{"name": "vllm", "ready": True, "restartCount": 0,
                                           "state": {"running": {"startedAt": "2026-11-30T00:00:05Z"}}}]})
    size = sum(len(json.dumps(o)) for o in server.api.objects[PODS].values())
    with watch(config) as k:
        wait_until(lambda: k.told_of("synced"), "synced", 120)
        first = stats(k)
        for i in range(0, n, 10):
            server.api.put(PODS, f"team-{i % 40}", f"llm-6d8f9c7b5-{i:05d}", status={"phase": "Failed"})
        expect_cache(k, server)
        s = stats(k)
        print(f"{n} pods, {size / 1e6:.0f} MB of JSON in {first['pages']} pages: {first['keptBytes'] // n} bytes kept of each, "
              f"{k.peak_mib():.1f} MiB at the peak, {first['cpuMs'] / 1000:.2f} s CPU; 1,000 events more: "
              f"{(s['cpuMs'] - first['cpuMs']) / 1000:.2f} s CPU")
        assert first["objects"] == n and first["pages"] == 40
        if not sanitized("kube_main"):
            assert k.peak_mib() < 64


def stats(k, holds=lambda s: True):
    def get():
        n = len(k.told_of("stats"))
        k.signal(signal.SIGUSR1)
        wait_until(lambda: len(k.told_of("stats")) > n, "statistics")
        s = k.told_of("stats")[-1]
        return s if holds(s) else None
    return wait_until(get, "the statistics are as wanted", every_s=0.1)


def test_a_watch_cut_in_an_event_goes_on(server, config):
    server.api.put(PODS, "ml", "a")
    with watch(config) as k:
        expect_cache(k, server)
        for i in range(5):
            server.cuts.release()
            server.api.put(PODS, "ml", f"b{i}")
            server.api.put(PODS, "ml", "a", n=i)
            expect_cache(k, server)
        assert stats(k)["lists"] == 1


def test_a_place_that_is_gone_is_listed_anew(server, config):
    server.api.put(PODS, "ml", "a")
    server.api.put(PODS, "ml", "b")
    with watch(config) as k:
        expect_cache(k, server)
        for i in range(3):
            server.api.delete(PODS, "ml", "b")
            server.api.put(PODS, "ml", f"c{i}")
            server.api.compact()
            server.api.put(PODS, "ml", "b")
            expect_cache(k, server)
        assert stats(k)["lists"] >= 2


def test_pages_that_expire_are_listed_anew(server, config):
    for i in range(600):
        server.api.put(PODS, "ml", f"pod-{i}")
    forgot = []

    def forget(handler, request):
        if request["query"].get("continue") and len(forgot) < 4:
            forgot.append(request)
            server.api.compact()
        return False

    server.faults.append(forget)
    with watch(config) as k:
        expect_cache(k, server)
        assert forgot and not k.told_of("problem")


def test_every_fault_in_turn_changes_nothing_and_is_said(server, config):
    for i in range(30):
        server.api.put(PODS, "ml", f"pod-{i}")

    def failing(code):
        def fault(handler, request):
            handler.answer(code, status(code, "X", "not now"))
            return True
        return fault

    def hang(handler, request):
        handler.rfile.read(1)
        return True

    def cut_list(handler, request):
        if request["query"].get("watch"):
            return False
        handler.begin_stream()
        handler.wfile.write(b'1000\r\n{"kind":"ThingList","items":[{"metadata":{"name":')
        handler.cut()
        return True

    def html(handler, request):
        handler.send_response(200)
        handler.send_header("Content-Type", "text/html")
        handler.send_header("Content-Length", "6")
        handler.end_headers()
        handler.wfile.write(b"<html>")
        return True

    with watch(config, "--silence-ms", 1500) as k:
        expect_cache(k, server)
        for fault, says in ((failing(403), "may not"), (failing(500), "500"), (failing(429), "429"), (hang, "dead"),
                            (html, "HTML"), (cut_list, None)):
            seen = len(k.told_of("state"))
            server.faults.append(fault)
            server.api.compact()
            server.api.put(PODS, "ml", "pod-1", n=says)
            if says:
                wait_until(lambda: any(says in s["error"] for s in k.told_of("state")[seen:]), f"{says} is said", 60)
            else:
                wait_until(lambda: len(k.told_of("state")) > seen, "a cut list is said")
            server.faults.clear()
            expect_cache(k, server)
            wait_until(lambda: k.told_of("state")[-1]["fault"] == "ok", "it is well again")
        assert not k.told_of("deleted")


def test_a_server_that_is_away_is_waited_for(tmp_path, certs):
    cert, key = certs.leaf("away")
    with Server(cert, key) as first:
        port = first.server_address[1]
        first.api.put(PODS, "ml", "a")
        config = kubeconfig(tmp_path / "config", first.url, certs.ca)
        k = watch(config)
        expect_cache(k, first)
        api = first.api
        first.cuts.release()
    with k:
        wait_until(lambda: any("cannot watch pods" in s["error"] for s in k.told_of("state")), "it is said")
        with Server(cert, key, port=port) as second:
            second.api = api
            api.put(PODS, "ml", "b")
            expect_cache(k, second)
            assert not k.told_of("deleted")


def test_a_list_of_200_mb_is_held_an_object_at_a_time(server, config):
    pod = {"metadata": {"namespace": "ml", "labels": {"app": "llm"}, "uid": "u",
                        "annotations": {"a": "x" * 19600}}, "status": {"phase": "Running"}}
    text = json.dumps(pod)
    n = 200 * 1000 * 1000 // len(text)

    def long_list(handler, request):
        if request["query"].get("watch"):
            return False
        handler.begin_stream()
        handler.chunk(b'{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"100"},"items":[')
        for at in range(0, n, 50):
            part = ",".join(text.replace('"uid": "u"', f'"uid": "u{i}", "name": "pod-{i}", "resourceVersion": "{i + 1}"')
                            for i in range(at, min(at + 50, n)))
            handler.chunk((("," if at else "") + part).encode())
        handler.chunk(b"]}")
        handler.chunk(b"")
        return True

    server.faults.append(long_list)
    with watch(config) as k:
        wait_until(lambda: k.told_of("synced"), "synced", 120)
        s = stats(k)
        print(f"{n} pods of {len(text)} bytes: {s['keptBytes'] // n} bytes kept of each, {k.peak_mib():.1f} MiB at the peak, "
              f"{s['cpuMs'] / 1000:.1f} s CPU")
        assert s["objects"] == n
        if not sanitized("kube_main"):
            assert k.peak_mib() < 64
