# SPDX-License-Identifier: Apache-2.0
"""Several scalers: one decides, the others answer with its decisions and go on from them (docs/replicas.md)."""

import datetime
import signal
import socket
import threading
import time

import pytest
from cluster_kit import Cluster, ClusterScaler, Pages, serve
from harness import Certs, metric_values, run, wait_until
from replicas_kit import LEASE, Leases, PastLeader, Replica
from scaler_kit import LLM, Keda, Pushed, eventually

TAKE_OVER_S = 60  # the rules say 20 s; the machine may be busy
SLOW = {**LLM, "downWindow": "120s"}


@pytest.fixture(scope="module")
def certs(tmp_path_factory):
    return Certs(tmp_path_factory.mktemp("replicas-ca"))


class World:
    def __init__(self, server, certs, folder):
        self.server, self.certs, self.folder = server, certs, folder
        self.cluster, self.leases, self.pages = Cluster(server), Leases(server), Pages()
        self.replicas, self.kedas, self.past = [], [], []
        self.metadata = None

    def service(self, rate=6, replicas=1, metadata=None, watched=True):
        """A workload of one pod that serves `rate` requests a second."""
        page, ip = self.pages.add(rate=rate)
        self.cluster.deployment(replicas=replicas)
        self.cluster.pod("llm-1-a", ip=ip)
        self.metadata = {**(metadata or LLM), "metricsPort": str(self.pages.port)}
        if watched:
            self.metadata = self.cluster.scaled_object(metadata=self.metadata)
        return page

    def scaler(self, name, **more):
        self.replicas.append(Replica(self.folder / name, name, self.server, self.certs, **more))
        return self.replicas[-1]

    def leader(self, name="a", **more):
        s = self.scaler(name, **more)
        wait_until(s.leads, f"{name} leads", TAKE_OVER_S)
        return s

    def pair(self, **more):
        """(the leader, a follower that has its decisions)"""
        a = self.leader("a", **more)
        b = self.scaler("b", **more)
        wait_until(lambda: b.follows(a) and b.ready(), "b follows a")
        return a, b

    def past_leader(self, desired, learned):
        """Who led before all scalers of the test: it decided so and has learned this."""
        p = PastLeader(self.folder, self.leases)
        self.past.append(p)
        p.decisions.append(p.decision(self.metadata, desired, learned(p.pb)))
        return p

    def keda(self, scaler, **kwargs):
        self.kedas.append(Keda(scaler.grpc, self.folder, **kwargs))
        return self.kedas[-1]

    def value(self, keda):
        return keda.value(metadata=self.metadata)

    def close(self):
        for k in self.kedas:
            k.close()
        for p in self.past:
            p.close()
        for s in self.replicas:
            if s.program.proc.poll() is None:
                s.program.proc.send_signal(signal.SIGCONT)
            s.drop(False)
        for s in self.replicas:
            s.program.__exit__(None, None, None)
            s.close()
        self.pages.close()


@pytest.fixture
def world(tmp_path, certs):
    server, _ = serve(certs, tmp_path)
    with server:
        w = World(server, certs, tmp_path)
        yield w
        w.close()


def number(scaler, name, **labels):
    return metric_values(scaler.page(), name)[frozenset(labels.items())]


def decision(scaler):
    """The object's last one."""
    return scaler.api("/api/v1/decisions?namespace=default&name=llm")["items"][0]["now"]


def window_end(scaler):
    """When its down-window lets go, in seconds since 1970; None: it holds nothing."""
    d = decision(scaler)
    if d["reason"] != "window":
        return None
    return datetime.datetime.fromisoformat(d["time"]).timestamp() + d["heldSeconds"]


class Watcher:
    """Asks a scaler all the time, as KEDA would, and keeps what it said: (time, value or status)."""

    def __init__(self, world, keda):
        self.world, self.keda, self.said, self.closing = world, keda, [], threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.closing.wait(0.05):
            code, answer = self.keda.code(self.world.value, self.keda)
            self.said.append((time.monotonic(), answer if code == "OK" else code))

    def stop(self):
        self.closing.set()
        self.thread.join(10)
        return [v for _, v in self.said]


def test_one_decides_and_the_other_answers_with_its_decision(world):
    page = world.service(rate=6)
    a, b = world.pair()
    keda_a, keda_b = world.keda(a), world.keda(b)
    # R = 3, ceil(3 + 0.3 sqrt 3) = 4
    eventually("a decides 4", lambda: world.value(keda_a) == 4)
    eventually("b says so too", lambda: world.value(keda_b) == 4)
    page.finished.set_rate(10)
    eventually("b follows a change", lambda: world.value(keda_b) == world.value(keda_a) == 6)
    assert keda_b.active(metadata=world.metadata)
    # Only the leader reads the engines, decides and shows a decision.
    assert number(a, "gpuscale_leader") == 1 and number(b, "gpuscale_leader") == 0
    assert number(b, "gpuscale_decisions_total") == 0
    assert not metric_values(b.page(), "gpuscale_desired_replicas")
    assert [s for s in b.api("/api/v1/sources")["items"] if s["kind"] == "engine"] == []
    wait_until(lambda: number(a, "gpuscale_followers") == 1, "a knows of its follower")
    assert number(b, "gpuscale_follower_lag_seconds") < 30
    lease = world.leases.get()
    assert lease["spec"]["holderIdentity"].startswith("a_") and lease["spec"]["leaseDurationSeconds"] == 15
    assert lease["metadata"]["annotations"] == {"gpuscale/address": a.port_proxy.addr}
    # Who asks the follower why is told whom to ask.
    text = run("gpuscale", "explain", "--server", f"http://{b.http}", "default/llm").stdout
    assert f"The scaler {lease['spec']['holderIdentity']} (gRPC at {a.port_proxy.addr}) leads" in text
    assert "6 replicas, active" in text
    o = b.api("/api/v1/decisions?namespace=default&name=llm")["items"][0]
    assert o["leader"] == {"identity": lease["spec"]["holderIdentity"], "address": a.port_proxy.addr}
    assert o["told"]["desired"] == 6 and o["told"]["active"] and o["records"] == []
    assert "leader" not in a.api("/api/v1/decisions?namespace=default&name=llm")["items"][0]


def test_a_follower_pushes_what_the_leader_decides(world):
    world.service(rate=6)
    a, b = world.pair()
    pushed = Pushed(world.keda(b).stream("StreamIsActive", metadata=world.metadata))
    wait_until(lambda: pushed.messages and pushed.messages[0][1].result, "active is pushed by the follower")
    pushed.cancel()


def test_an_object_that_only_the_follower_is_asked_about_is_decided_by_the_leader(world):
    world.service(rate=6)
    a, b = world.pair()
    wait_until(lambda: len(a.objects()) == 1, "a knows the watched one")
    # A value of the environment: only the call tells it.
    metadata = {k: v for k, v in world.metadata.items() if k != "capacity"}
    world.cluster.scaled_object(metadata={**metadata, "capacityFromEnv": "CAPACITY"})
    asked = {**metadata, "capacityFromEnv": "3"}
    keda = world.keda(b)
    eventually("the follower answers", lambda: keda.value(metadata=asked) > 0)
    # R = 2, ceil(2 + 0.3 sqrt 2) = 3
    eventually("with the leader's decision", lambda: keda.replicas(metadata=asked) == 3)
    assert number(b, "gpuscale_decisions_total") == 0


def test_a_killed_leader_is_followed_without_a_jump(world):
    world.service(rate=6, metadata=SLOW)
    a, b = world.pair()
    keda = world.keda(b)
    eventually("4 are wanted", lambda: world.value(keda) == 4)
    before = decision(a)["sequence"]
    watcher = Watcher(world, keda)
    a.program.proc.kill()
    wait_until(b.leads, "b leads", TAKE_OVER_S)
    wait_until(lambda: b.ready(), "b is ready")
    eventually("b reads the engines", lambda: number(b, "gpuscale_unknown_signals", signal="requestRate") == 0)
    wait_until(lambda: len(watcher.said) > 40, "KEDA asks on")
    said = watcher.stop()
    assert set(said) == {4.0}, f"values while the leader changed: {sorted(set(map(str, said)))}"
    assert decision(b)["sequence"] > before
    assert world.leases.get()["spec"]["leaseTransitions"] == 1


def test_the_down_window_goes_over_to_the_next_leader(world):
    """What was wanted before the leader died is held for as long as the leader would have held it, and not longer."""
    page = world.service(rate=14, metadata={**LLM, "downWindow": "45s"})
    a, b = world.pair()
    keda = world.keda(b)
    eventually("8 are wanted", lambda: world.value(keda) == 8)
    page.finished.set_rate(2)
    end = wait_until(lambda: window_end(a), "a would lower, its window holds")
    a.program.proc.kill()
    wait_until(b.leads, "b leads", TAKE_OVER_S)
    assert world.value(keda) == 8
    end_b = wait_until(lambda: window_end(b), "b's window holds too")
    # Begun anew it would end 15 s later at least: nobody leads before the Lease has ended.
    assert abs(end_b - end) < 5, f"the window ends {end_b - end:+.3f} s later at b"
    eventually("b lowers when the window ends", lambda: keda.replicas(metadata=world.metadata) < 8, 90)


S_NS = 1_000_000_000
LEARNS = {"engine": "vllm", "rateWindow": "2s", "downWindow": "120s", "maxAge": "5s"}


def bare(page):
    """The page without latencies: nothing is learned from it, so that what is known was taken over."""
    whole = page.render
    page.render = lambda: "".join(line for line in whole().splitlines(True) if "inter_token" not in line and "_bucket" not in line)


def lessons(pb, port):
    """600 tokens/s at 20 steps/s of 30: 40 lessons, and a trim that asks for one replica more."""
    m = pb.Learned(measured=f"default/deployment/llm vllm {port} - -")
    w = m.work
    w.lessons, w.weight, w.u, w.y, w.uu, w.uy = 40, 40, 40 * 600.0, 40 * 20.0, 40 * 360000.0, 40 * 12000.0
    w.work, w.finished, w.last_per_request = 26000.0, 100.0, 260.0
    w.extremes.add(lessons=40, light_u=100, light_y=30, seen_u=1000, full_u=0)
    m.cold_starts_ns.extend([20 * S_NS, 30 * S_NS])
    m.trim.ln, m.trim.misses, m.trim.stepped = -0.1, 0.03, True
    return m.SerializeToString()


def learned_of(record):
    return {k: record["capacity"][k] for k in ("source", "perReplica", "lessons", "weight", "workPerRequest", "rho", "missed")}


def test_what_a_killed_leader_had_learned_is_decided_by(world):
    """a takes over from a leader that had learned, b from a, which is killed: by no page of this test can anyone learn."""
    bare(world.service(rate=12, metadata=LEARNS))
    past = world.past_leader(2, lambda pb: lessons(pb, world.pages.port))
    a = world.scaler("a")
    wait_until(lambda: a.role()["holder"] == past.NAME and a.ready(), "a follows who led before")
    past.resign()
    wait_until(a.leads, "a leads", TAKE_OVER_S)
    # 12 requests/s of 260 tokens at 921 a replica: R = 3.39, ceil((3.39 + 0.3 sqrt 3.39) / (1.05 e^-0.1)) = 5. Untrimmed 4.
    eventually("a decides 5", lambda: decision(a)["want"] == 5)
    learned = learned_of(decision(a))
    assert learned["source"] == "learned" and learned["lessons"] == 40 and 920 < learned["perReplica"] < 922
    b = world.scaler("b")
    wait_until(lambda: b.follows(a) and b.ready(), "b follows a")
    keda = world.keda(b)
    eventually("b says 5", lambda: world.value(keda) == 5)
    watcher = Watcher(world, keda)
    a.program.proc.kill()
    world.leases.give("")  # how long an ended Lease is waited for is other tests' matter
    wait_until(b.leads, "b leads", TAKE_OVER_S)
    first = wait_until(lambda: b.api("/api/v1/decisions?namespace=default&name=llm&limit=64")["items"][0]["records"], "b decides")[0]
    assert first["desired"] == 5 and learned_of(first) == learned
    eventually("b reads the engines and wants the same", lambda: decision(b)["want"] == 5)
    assert learned_of(decision(b)) == learned
    assert "Capacity learned from 40 lessons" in run("gpuscale", "explain", "--server", f"http://{b.http}", "default/llm").stdout
    assert set(watcher.stop()) == {5.0}


def test_what_no_leader_can_have_learned_costs_no_decision(world):
    world.service(rate=12, metadata=LEARNS)

    def nonsense(pb):
        m = pb.Learned.FromString(lessons(pb, world.pages.port))
        m.trim.ln = float("nan")
        return m.SerializeToString()

    world.past_leader(7, nonsense)
    a = world.scaler("a")
    keda = world.keda(a)
    eventually("a says what was decided", lambda: world.value(keda) == 7)
    refused = wait_until(lambda: a.told("what the leader has learned is refused"), "a says that it refuses the rest")
    assert refused[0]["name"] == "llm" and "a trim by e^" in refused[0]["error"], refused
    assert number(a, "gpuscale_follower_learned_refused_total") == 1
    assert number(a, "gpuscale_follower_messages_bad_total") == 0
    wait_until(a.ready, "a is ready all the same")


def test_a_graceful_end_hands_over_at_once(world):
    world.service(rate=6, metadata=SLOW)
    a, b = world.pair()
    keda = world.keda(b)
    eventually("4 are wanted", lambda: world.value(keda) == 4)
    watcher = Watcher(world, keda)
    began = time.monotonic()
    a.program.proc.send_signal(signal.SIGTERM)
    wait_until(b.leads, "b leads", TAKE_OVER_S)
    took = time.monotonic() - began
    assert a.program.proc.wait(30) == 0
    print(f"# hand-over took {took:.2f} s")
    # The Lease was given up, and b was told so: it neither waited for its end nor for its own next look.
    assert b.told("the leader has given the Lease up")
    assert "" in [h for _, h in world.leases.holders]
    assert world.leases.get()["spec"]["leaseTransitions"] == 1
    assert set(watcher.stop()) == {4.0}


def test_a_stopped_leader_does_not_decide_when_it_goes_on(world):
    page = world.service(rate=6, metadata=SLOW)
    a, b = world.pair()
    keda = world.keda(b)
    eventually("4 are wanted", lambda: world.value(keda) == 4)
    decided = number(a, "gpuscale_decisions_total")
    a.program.proc.send_signal(signal.SIGSTOP)
    wait_until(b.leads, "b leads", TAKE_OVER_S)
    page.finished.set_rate(12)
    eventually("b decides", lambda: world.value(keda) == 7)
    a.program.proc.send_signal(signal.SIGCONT)
    wait_until(lambda: a.follows(b), "a follows b")
    # Not one decision since it was stopped (the one of the moment itself excepted).
    assert number(a, "gpuscale_decisions_total") <= decided + 3
    keda_a = world.keda(a)
    eventually("a says what b decided", lambda: world.value(keda_a) == 7)
    assert b.leads() and number(a, "gpuscale_leader_transitions_total", to="follower") == 1


def test_without_the_api_server_nobody_decides_and_the_last_decision_stands(world):
    page = world.service(rate=6, metadata=SLOW)
    a, b = world.pair()
    keda_a, keda_b = world.keda(a), world.keda(b)
    eventually("4 are wanted", lambda: world.value(keda_b) == 4)
    for s in (a, b):
        s.api_proxy.dropping = True
    wait_until(lambda: not a.leads(), "a stops by itself", TAKE_OVER_S)
    assert not b.leads()
    page.finished.set_rate(20)
    assert world.value(keda_a) == 4 and world.value(keda_b) == 4
    code, message = eventually("both say after a while that nothing is decided", lambda: (
        lambda answers: answers[0] if all(c == "UNAVAILABLE" for c, _ in answers) else None)(
            [k.code(world.value, k) for k in (keda_a, keda_b)]), 90)
    assert "no decision was heard for" in message
    assert not a.ready() and not b.ready()
    for s in (a, b):
        s.api_proxy.dropping = False
    wait_until(lambda: a.leads() or b.leads(), "one leads again", TAKE_OVER_S)
    eventually("and decides", lambda: world.value(keda_a) == world.value(keda_b) == 11, TAKE_OVER_S)


def test_a_leader_whose_packets_are_dropped_is_followed(world):
    world.service(rate=6, metadata=SLOW)
    a, b = world.pair()
    keda = world.keda(b)
    eventually("4 are wanted", lambda: world.value(keda) == 4)
    watcher = Watcher(world, keda)
    a.drop()
    wait_until(lambda: number(b, "gpuscale_follower_silences_total") >= 1, "b notices the silence")
    wait_until(b.leads, "b leads", TAKE_OVER_S)
    wait_until(lambda: not a.leads(), "a has stopped", TAKE_OVER_S)
    said = watcher.stop()
    assert set(said) == {4.0}
    a.drop(False)
    wait_until(lambda: a.follows(b), "a comes back and follows", TAKE_OVER_S)
    assert b.leads()


def test_never_two_decide_at_a_time(world):
    """Three scalers; whoever leads is stopped, killed or cut off in turn."""
    world.service(rate=6, metadata=SLOW)
    everyone = [world.leader("a"), world.scaler("b"), world.scaler("c")]
    wait_until(lambda: all(s.ready() for s in everyone), "all are ready")
    for act in ("stop", "kill"):
        leader = next(s for s in everyone if s.leads())
        others = [s for s in everyone if s is not leader]
        leader.program.proc.send_signal(signal.SIGSTOP if act == "stop" else signal.SIGKILL)
        wait_until(lambda: any(s.leads() for s in others), f"another leads after {act}", TAKE_OVER_S)
        if act == "stop":
            leader.program.proc.send_signal(signal.SIGCONT)
            wait_until(lambda: not leader.leads(), "the stopped one stands back")
            wait_until(lambda: sum(s.leads() for s in everyone) == 1, "one leads")
        else:
            everyone.remove(leader)
    keda = [world.keda(s) for s in everyone]
    eventually("all say the same", lambda: {world.value(k) for k in keda} == {4.0})


def test_scalers_show_each_other_certificates(world, certs, tmp_path):
    """Mutual TLS between scalers: a follower without a certificate, or with one of another name, hears nothing."""
    world.service(rate=6)
    paths = {}
    for name, sans in (("scaler", "DNS:gpuscale-scaler.gpuscale.svc"), ("tenant", "DNS:tenant.example.svc")):
        cert, key = certs.leaf(name, sans)
        paths[name] = {"cert": str(cert), "key": str(key)}
    server = {"listen": "127.0.0.1:0", "tls": {**paths["scaler"], "ca": str(certs.ca), "allowedNames": ["gpuscale-scaler.gpuscale.svc"]}}
    client = {"ca": str(certs.ca), "serverName": "gpuscale-scaler.gpuscale.svc"}

    def scaler(name, tls):
        return world.scaler(name, grpc=server, replicas={"tls": tls})

    a = scaler("a", {**paths["scaler"], **client})
    wait_until(a.leads, "a leads", TAKE_OVER_S)
    good = scaler("good", {**paths["scaler"], **client})
    bare, tenant = scaler("bare", client), scaler("tenant", {**paths["tenant"], **client})
    mistaken = scaler("mistaken", {**paths["scaler"], **client, "serverName": "somebody-else.svc"})
    wait_until(lambda: good.follows(a) and good.ready(), "who shows the scalers' certificate follows")
    for s in (bare, tenant, mistaken):
        wait_until(lambda: s.told("the leader is not heard"), f"{s.name} says that it hears nothing")
        assert not s.ready() and s.role()["objects"] == 0 and not s.role()["connected"]
    wait_until(lambda: number(a, "gpuscale_grpc_certificates_refused_total") >= 3, "the refused are counted")
    wait_until(lambda: number(a, "gpuscale_followers") == 1, "one follows")


def test_a_new_scaler_is_ready_when_it_has_the_decisions(world):
    world.service(rate=6)
    a = world.leader("a")
    b = world.scaler("b")
    b.port_proxy.dropping = True  # does not matter to a follower
    wait_until(b.ready, "b is ready")
    assert b.role()["objects"] == 1
    assert a.leads()


def test_a_deleted_lease_is_made_anew(world):
    world.service(rate=6)
    a, b = world.pair()
    world.leases.delete()
    wait_until(lambda: world.leases.holder().startswith("a_"), "a makes it anew", TAKE_OVER_S)
    wait_until(a.leads, "a leads")
    assert not b.leads()


def test_scalers_whose_pods_have_ipv6_reach_each_other(tmp_path, certs):
    """As the chart tells it: the pod's IP alone, and the port of grpc.listen."""
    server, config = serve(certs, tmp_path, "api6")
    made = []
    with server:
        cluster, leases = Cluster(server), Leases(server)
        cluster.deployment(replicas=3)
        metadata = cluster.scaled_object()
        try:
            for name in ("a", "b"):
                with socket.socket(socket.AF_INET6) as s:
                    s.bind(("::1", 0))
                    port = s.getsockname()[1]
                made.append(ClusterScaler(tmp_path / name, config, listen=f"[::1]:{port}", replicas={
                    "lease": LEASE, "identity": name, "ip": "::1"}))
                wait_until(lambda: made[0].api("/api/v1/replicas")["role"] == "leader", "a leads", TAKE_OVER_S)
            a, b = made
            assert leases.get()["metadata"]["annotations"]["gpuscale/address"] == a.grpc and a.grpc.startswith("[::1]:")
            wait_until(lambda: b.api("/api/v1/replicas")["connected"] and b.ready(), "b follows a")
            keda = Keda(b.grpc, tmp_path)
            eventually("with the leader's decision", lambda: keda.replicas(metadata=metadata) == 3)
            keda.close()
        finally:
            for s in made:
                s.program.stop()
