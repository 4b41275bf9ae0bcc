# SPDX-License-Identifier: Apache-2.0
"""The chart's rights are taken from the running scalers and given back: what is known is decided by on, nothing is lowered by what
cannot be seen, the log and /readyz name the missing right, and nobody has to restart anything."""

import re
import time

import pytest

from harness import http_get, run
from installed import generated_service, settled

ROLES = "/apis/rbac.authorization.k8s.io/v1"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/gpuscale/leases/gpuscale-scaler"


@pytest.fixture(scope="module")
def service(installed):
    ns, recorder = generated_service(installed)
    installed.until(installed.ready, "agents on both nodes and both scalers are ready", deadline_s=90)
    yield ns, recorder
    recorder.stop()


class Taken:
    """A (Cluster)RoleBinding that is away inside of `with`. A watch that runs is not asked again for its right: the API server
    comes anew, as in an upgrade."""

    def __init__(self, plane, path):
        self.plane, self.path = plane, path

    def __enter__(self):
        self.binding = self.plane.get(self.path)
        self.plane.delete(self.path)
        self.plane.restart("kube-apiserver")
        self.plane.wait_ready()
        return self

    def give_back(self):
        if self.plane.get(self.path) is None:
            meta = {k: v for k, v in self.binding["metadata"].items() if k in ("name", "namespace", "labels")}
            self.plane.rest.call("POST", self.path.rsplit("/", 1)[0], {**self.binding, "metadata": meta})

    def __exit__(self, *exc):
        self.give_back()


def scalers(installed):
    return installed.player.of("gpuscale", "gpuscale-scaler")


def leader(installed):
    """The pod that holds the Lease; None: nobody does."""
    holder = installed.plane.get(LEASE)["spec"]["holderIdentity"] or ""
    return next((p for p in scalers(installed) if holder.startswith(p.pod["metadata"]["name"] + "_")), None)


def readyz(pod):
    code, _, text = http_get(f"http://{pod.address}:8081/readyz", deadline_s=5)
    return code, text.decode()


def log(pod):
    return pod.processes["scaler"].log.read_text(errors="replace")


def explain(installed, ns, folder):
    """What docs/install.md tells a person to do, on the one that leads."""
    plane = installed.plane
    plane.kubectl("create", "clusterrole", "reader", "--verb=list", "--resource=scaledobjects.keda.sh", check=False)
    plane.kubectl("create", "serviceaccount", "reader", "-n", ns, check=False)
    plane.kubectl("create", "clusterrolebinding", "reader", "--clusterrole=reader", f"--serviceaccount={ns}:reader", check=False)
    (folder / "token").write_text(plane.token(ns, "reader"))
    out = run("gpuscale", "explain", "--server", f"https://{leader(installed).address}:9444", "--ca", installed.certificates.folder / "ca.crt",
              "--server-name", "gpuscale-scaler.gpuscale.svc", "--token-file", folder / "token", f"{ns}/llm", "--last", "1")
    assert out.returncode == 0, out.stderr
    return out.stdout


def passed(seconds):
    """A condition: KEDA and the HPA, which ask every 2 s, had the chance to do something wrong."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def test_without_the_right_to_see_pods_needs_are_met_and_nothing_is_lowered(installed, service, tmp_path):
    ns, recorder = service
    installed.gateway.rate = 7
    installed.until(lambda: settled(installed, recorder, ns, 2), "two replicas")
    with Taken(installed.plane, f"{ROLES}/clusterrolebindings/gpuscale-scaler") as taken:
        installed.until(lambda: all("may not watch pods" in readyz(p)[1] or "may not list pods" in readyz(p)[1] for p in scalers(installed)),
                        "both say what they may not", deadline_s=90)
        for pod in scalers(installed):
            code, words = readyz(pod)
            assert code == 200 and words.startswith("ok, but:")
            assert "403" in words and 'resources "pods"' in words and "gpuscale-scaler" in words, words
            assert "the cluster does not answer: its last state stands" in log(pod)
        installed.until(lambda: leader(installed), "one leads", deadline_s=60)
        installed.gateway.rate = 15  # three and a half: proven by the gateway's page, which needs no right
        installed.until(lambda: recorder.now == 4, "it is raised by what is known", deadline_s=90)
        since = time.monotonic()
        installed.gateway.rate = 0
        installed.until(lambda: "Pods and workloads are not followed for" in explain(installed, ns, tmp_path), "explain says why")
        installed.until(passed(15), "KEDA's polls, the down-window and the cooldown")
        assert set(recorder.counts(since)) == {4}, "what is not seen may be busy"
        before = {p.uid: len(log(p)) for p in scalers(installed)}
        taken.give_back()
        given = time.monotonic()
        installed.until(lambda: all(readyz(p) == (200, "ok\n") for p in scalers(installed)), "all is seen again", deadline_s=90)
        print(f"\nrights given back: all seen again after {time.monotonic() - given:.1f} s")
        assert all("the cluster answers again" in log(p)[before[p.uid]:] for p in scalers(installed))
    installed.until(lambda: settled(installed, recorder, ns, 0), "nobody asks: none is left")
    assert all(p.restarts["scaler"] == 0 for p in scalers(installed))


def test_without_the_right_to_the_lease_nobody_leads_and_replicas_stand(installed, service):
    ns, recorder = service
    installed.gateway.rate = 7
    installed.until(lambda: settled(installed, recorder, ns, 2), "two replicas")
    before = {p.uid: len(log(p)) for p in scalers(installed)}
    since = time.monotonic()

    def refusals(pod):
        return re.findall(r"the Lease cannot be had.*\(403\): its Role needs apiGroups .*coordination.k8s.io.* resources .*leases", log(pod)[before[pod.uid]:])

    with Taken(installed.plane, f"{ROLES}/namespaces/gpuscale/rolebindings/gpuscale-scaler-lease") as taken:
        installed.until(lambda: all(refusals(p) for p in scalers(installed)), "both say what they may not", deadline_s=90)
        installed.until(lambda: any("leading no more" in log(p)[before[p.uid]:] for p in scalers(installed)), "nobody leads", deadline_s=90)
        installed.gateway.rate = 0
        installed.until(lambda: all(readyz(p)[0] == 503 for p in scalers(installed)), "without decisions nobody is ready", deadline_s=90)
        print("\n" + readyz(scalers(installed)[0])[1])
        installed.until(passed(12), "KEDA's polls and its cooldown")
        assert set(recorder.counts(since)) == {2}, "what nobody decides stays"
        taken.give_back()
        given = time.monotonic()
        installed.until(lambda: all(readyz(p)[0] == 200 for p in scalers(installed)), "one leads again", deadline_s=90)
        print(f"\nthe Lease's right given back: decided again after {time.monotonic() - given:.1f} s")
    installed.until(lambda: settled(installed, recorder, ns, 0), "nobody asks: none is left", deadline_s=90)
    assert all(p.restarts["scaler"] == 0 for p in scalers(installed))
