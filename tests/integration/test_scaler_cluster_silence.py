# SPDX-License-Identifier: Apache-2.0
"""KEDA that does not ask for a trigger (its certificate is refused, scalerAddress leads elsewhere) is told on the ScaledObject, and
its coming; who need not ask, or asks another scaler, is not."""

import threading

from cluster_kit import ADDRESS, Cluster, ClusterScaler, certs, events, record, serve, world  # noqa: F401
from harness import metric_values, wait_until
from replicas_kit import Leases, Replica
from scaler_kit import LLM, Keda, eventually

# Told after these 2 s, three polls of a second, and the 10 s in which calls are gathered.
SOON = {"kedaSilence": "2s"}


class Asking:
    """KEDA's polls of one trigger, a second apart."""

    def __init__(self, keda, name, metadata):
        self.ended = threading.Event()

        def run():
            while not self.ended.wait(1):
                keda.code(keda.active, name, metadata)

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def stop(self):
        self.ended.set()
        self.thread.join(15)


def unasked(scaler):
    return metric_values(scaler.page(), "gpuscale_notices")[frozenset({("notice", "unasked")})]


def test_a_trigger_that_keda_does_not_ask_for_is_told_until_it_does(tmp_path, world, keda):
    cluster, config = world
    cluster.deployment(replicas=2)
    metadata = cluster.scaled_object(pollingInterval=1)
    with ClusterScaler(tmp_path / "s", config, SOON) as s:
        event = wait_until(lambda: events(cluster.server).get(("llm", "NotAskedByKEDA")), "the Event", 60)
        assert event["type"] == "Warning" and event["message"].startswith("KEDA has not asked for this for 1")
        assert "scalerAddress gpuscale-scaler.gpuscale.svc:9443 lead here" in event["message"]
        eventually("said in the decision", lambda: "unasked" in record(s)["notices"] and unasked(s) == 1)
        s.program.wait_log("KEDA has not asked for this")
        cluster.scaled_object(pollingInterval=3600)
        eventually("it has time now", lambda: "unasked" not in record(s)["notices"])
        cluster.scaled_object(pollingInterval=1)
        eventually("and none", lambda: "unasked" in record(s)["notices"])
        assert ("llm", "AskedByKEDA") not in events(cluster.server), "nobody asked"
        asking = Asking(keda(s), "llm", metadata)
        try:
            again = wait_until(lambda: events(cluster.server).get(("llm", "AskedByKEDA")), "the end of it", 60)
            assert again["type"] == "Normal"
            assert "unasked" not in record(s)["notices"] and unasked(s) == 0
        finally:
            asking.stop()
        eventually("it ceases again", lambda: "unasked" in record(s)["notices"], 90)


def test_who_need_not_ask_is_not_waited_for(tmp_path, world, keda):
    cluster, config = world
    for name in ("paused", "observing", "asked", "slow", "rule", "lost"):
        cluster.deployment(name)
    cluster.scaled_object("paused", pollingInterval=1, paused=True)
    cluster.scaled_object("observing", {**LLM, "mode": "observe"}, pollingInterval=1)
    cluster.scaled_object("slow", pollingInterval=3600)
    asked = cluster.scaled_object("asked", pollingInterval=1)
    rules = {"rule": {"namespace": "default", "target": "deployment/rule", "metadata": LLM}}
    with ClusterScaler(tmp_path / "s", config, SOON, rules=rules) as s:
        asking = Asking(keda(s), "asked", asked)
        try:
            eventually("asked about", lambda: s.objects("asked")[0]["desired"] is not None)
            # The last one to come is the first one to be missed: the others had their time by then.
            cluster.scaled_object("lost", pollingInterval=1)
            wait_until(lambda: ("lost", "NotAskedByKEDA") in events(cluster.server), "the Event of the one that is missed", 60)
        finally:
            asking.stop()
        assert [k for k in events(cluster.server) if k[1] == "NotAskedByKEDA"] == [("lost", "NotAskedByKEDA")]
        cluster.scaled_object("paused", pollingInterval=1)
        wait_until(lambda: ("paused", "NotAskedByKEDA") in events(cluster.server), "resumed, it is waited for", 60)
        cluster.scaled_object("lost", pollingInterval=1, paused=True)
        eventually("paused, no more", lambda: "unasked" not in record(s, "lost")["notices"])
        assert ("lost", "AskedByKEDA") not in events(cluster.server), "nobody asked"


def test_a_trigger_of_another_address_is_decided_once_keda_asks(tmp_path, world, keda):
    cluster, config = world
    for name in ("llm", "listed"):
        cluster.deployment(name, replicas=2)
    metadata = cluster.scaled_object(metadata={**LLM, "scalerAddress": "gpuscale.example:9443"})
    cluster.scaled_object("listed")
    with ClusterScaler(tmp_path / "s", config, {"scalerAddresses": [ADDRESS]}) as s:
        eventually("the listed one", lambda: s.objects("listed"))
        assert s.objects() == []
        client = keda(s)
        eventually("answered", lambda: client.code(client.metrics, "llm", metadata)[0] == "OK")
        assert s.objects()[0]["desired"] == 2
        assert events(cluster.server) == {}, "nothing was wrong"


def test_who_asks_another_scaler_asks(tmp_path, certs):
    """KEDA's connection leads to the follower, and the leader, which writes the Events, hears of it."""
    server, _ = serve(certs, tmp_path)
    server.tokens = {"t0k3n"}
    with server:
        cluster, _ = Cluster(server), Leases(server)
        for name in ("asked", "lost"):
            cluster.deployment(name)
        metadata = cluster.scaled_object("asked", pollingInterval=1)
        replicas = []
        try:
            for name in ("a", "b"):
                replicas.append(Replica(tmp_path / name, name, server, certs, kubernetes=SOON))
                wait_until(lambda: replicas[0].leads(), "a leads", 60)
            a, b = replicas
            wait_until(lambda: b.follows(a) and b.ready(), "b follows a")
            keda = Keda(b.grpc, tmp_path)
            asking = Asking(keda, "asked", metadata)
            try:
                eventually("answered", lambda: keda.code(keda.metrics, "asked", metadata)[0] == "OK")
                cluster.scaled_object("lost", pollingInterval=1)
                wait_until(lambda: ("lost", "NotAskedByKEDA") in events(server), "the other one's Event", 180)
            finally:
                asking.stop()
                keda.close()
            assert ("asked", "NotAskedByKEDA") not in events(server)
        finally:
            for s in replicas:
                s.program.stop()
                s.close()
