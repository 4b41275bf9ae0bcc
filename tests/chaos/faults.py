# SPDX-License-Identifier: Apache-2.0
"""What the seed breaks. A fault is a generator: what runs up to its `yield` breaks something, what
follows heals it; it yields the Disturbance that the oracle is told of."""

import os
import signal
import time

from cluster import EXPORTER
from oracle import Disturbance


def workloads(run, predicate=lambda r: True):
    return [w for w in run.world.workloads.values() if predicate(w.rule)]


def ready(w):
    return [p for p in w.pods if p.state == "ready"]


def some_engines(run, fault, hides):
    """One page or all pages of a workload."""
    found = [w for w in workloads(run) if w.name not in run.broken and ready(w)]
    if not found:
        return
    w = run.rng.choice(found)
    run.broken.add(w.name)
    with run.world.lock:
        pods = ready(w)
    if len(pods) > 1 and run.rng.random() < 0.6:
        pods = run.rng.sample(pods, run.rng.randint(1, len(pods) - 1))
    for p in pods:
        p.endpoint.set(fault)
    names = frozenset(p.name for p in pods)
    yield Disturbance(fault, "engine", w.name, pods=names, hides=hides), f"{w.name} {sorted(names)}"
    for p in pods:
        p.endpoint.set(None)
    run.broken.discard(w.name)


def engine(run):
    """Pages that are cut, lie, drag, vanish."""
    fault = run.rng.choice([f for f in run.wire.Endpoint.FAULTS if f != "freeze"])
    yield from some_engines(run, fault, fault in run.wire.Endpoint.HIDES)


def engines_gone(run):
    """Every page of a workload: nothing is known to size it by."""
    found = [w for w in workloads(run) if w.name not in run.broken and ready(w)]
    if not found:
        return
    w, fault = run.rng.choice(found), run.rng.choice(run.wire.Endpoint.HIDES)
    run.broken.add(w.name)
    with run.world.lock:
        pods = list(w.pods)
    for p in pods:
        p.endpoint.set(fault)
    yield (Disturbance(fault, "engine", w.name, pods=frozenset(p.name for p in pods), hides=True),
           f"all of {w.name}")
    for p in pods:
        p.endpoint.set(None)
    run.broken.discard(w.name)


def engine_stop(run):
    """As SIGSTOP does to an engine: what was asked is answered when it goes on."""
    yield from some_engines(run, "freeze", False)


def counter_reset(run):
    """An engine's process begins again: its counters at 0, nothing in it."""
    w = run.rng.choice([w for w in workloads(run) if ready(w)])
    with run.world.lock:
        pods = ready(w)
        for p in pods:
            p.restart_counter()
    yield Disturbance("counter", "engine", w.name), f"{w.name}, {len(pods)} pods"


def demand(run):
    found = workloads(run, lambda r: r.demand)
    if not found:
        return
    w = run.rng.choice(found)
    fault = run.rng.choice([f for f in run.wire.Endpoint.FAULTS])
    run.cluster.gateways[w.name].set(fault)
    yield (Disturbance(fault, "demand", w.name, hides=fault in run.wire.Endpoint.HIDES), w.name)
    run.cluster.gateways[w.name].set(None)


def exporter(run):
    """The page of a GPU exporter, which stands for an agent."""
    fault = run.rng.choice(run.wire.Endpoint.FAULTS)
    run.cluster.exporter.set(fault)
    yield Disturbance(fault, "gpu", node=EXPORTER, hides=fault in run.wire.Endpoint.HIDES), "node-x"
    run.cluster.exporter.set(None)


def node_fault(run, kind, n, hides):
    return Disturbance(kind, "gpu", node=n.index, hides=hides), n.name


def agent_stop(run):
    n = run.rng.choice(run.cluster.nodes)
    n.stop()
    yield node_fault(run, "stop", n, True)
    n.go_on()


def agents_stop(run):
    """All of them: nothing is known of any GPU."""
    for n in run.cluster.nodes:
        n.stop()
    run.cluster.exporter.set("blackhole")
    yield Disturbance("stop", "gpu", hides=True), "all agents and the exporter"
    run.cluster.exporter.set(None)
    for n in run.cluster.nodes:
        n.go_on()


def agent_kill(run):
    n = run.rng.choice(run.cluster.nodes)
    n.kill()
    yield node_fault(run, "kill", n, True)
    n.start()


def driver_hang(run):
    """A call into the driver blocks: the agent goes on, its readings age."""
    n = run.rng.choice(run.cluster.nodes)
    n.kill()
    n.start("hang,after=2s,for=6s,period=1h")
    yield node_fault(run, "hang", n, False)
    run.wait(max(0, n.started_at + 9 - time.monotonic()))


def agent_link(run):
    i = run.rng.randrange(len(run.cluster.links))
    fault = run.rng.choice(run.wire.Proxy.FAULTS)
    run.cluster.links[i].set(fault)
    yield node_fault(run, fault, run.cluster.nodes[i], fault in ("refuse", "blackhole"))
    run.cluster.links[i].set(None)


def agent_links(run):
    fault = run.rng.choice(("refuse", "blackhole", "slow", "corrupt"))
    for link in run.cluster.links:
        link.set(fault)
    run.cluster.exporter.set("cut")
    yield (Disturbance(fault, "gpu", hides=fault in ("refuse", "blackhole")),
           "all agents' links, and the exporter")
    run.cluster.exporter.set(None)
    for link in run.cluster.links:
        link.set(None)


def keda_link(run):
    fault = run.rng.choice(run.wire.Proxy.FAULTS)
    run.cluster.keda_link.set(fault)
    yield Disturbance(fault, "keda"), "KEDA's link"
    run.cluster.keda_link.set(None)


def scaler_stop(run):
    run.cluster.scaler.stop()
    yield Disturbance("stop", "scaler"), "scaler"
    run.cluster.scaler.go_on()


def scaler_kill(run):
    run.cluster.frozen.set()  # what is specified while it is dead, it starts from
    run.cluster.scaler.kill()
    yield Disturbance("kill", "scaler"), "scaler"
    run.scaler_restarts()
    run.cluster.scaler.start()
    run.cluster.frozen.clear()


def workloads_file(run):
    """A writer that is not careful, or a disk that is not."""
    cluster, rng = run.cluster, run.rng
    path = cluster.folder / "workloads.yaml"
    with run.world.lock:
        cluster.files_bad.add("workloads")
        good = path.read_bytes()
    kind = rng.choice(("half", "garbage", "gone", "empty", "no workloads", "folder", "twice"))
    if kind == "half":
        path.write_bytes(good[:rng.randrange(1, len(good) - 1)])
    elif kind == "garbage":
        path.write_bytes(rng.randbytes(rng.randint(1, 5000)))
    elif kind == "gone":
        path.unlink()
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "no workloads":
        path.write_bytes(b'{"workloads": 7}')
    elif kind == "folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(good + b"\n---\n" + good)
    yield Disturbance(kind, "file"), f"workloads file: {kind}"
    if path.is_dir():
        path.rmdir()
    cluster.files_bad.discard("workloads")
    cluster.write_files()


def agent_file(run):
    n = run.rng.choice(run.cluster.nodes)
    run.cluster.files_bad.add(n.name)
    good = n.config.read_bytes()
    n.config.write_bytes(run.rng.choice((b"{", good[:len(good) // 2], b"pods: 7\n", b"\xff\xfe")))
    n.signal(signal.SIGHUP)
    yield node_fault(run, "file", n, False)
    run.cluster.files_bad.discard(n.name)
    run.cluster.write_files()


def log_full(run):
    """Nobody reads the log: its pipe fills."""
    p = run.rng.choice([run.cluster.scaler, *run.cluster.nodes])
    p.reading.clear()
    yield Disturbance("log full", "log"), p.name
    p.reading.set()


def log_closed(run):
    """The log's reader is gone, until the agent is started anew."""
    n = run.rng.choice(run.cluster.nodes)
    n.close_log()
    yield node_fault(run, "log closed", n, False)
    if not n.stopped:
        assert n.proc.poll() is None, f"{n.name} ended with its log: {n.proc.poll()}"
        n.kill()
        n.start()


def certificate(run):
    """New certificates, now and then a bad file in between."""
    if run.certs is None:
        return
    kind = run.rng.choice(("rotated", "bad", "missing"))
    crt = run.cluster.tls["cert"]
    good = crt.read_bytes()
    if kind == "rotated":
        run.certs.leaf("node")
    elif kind == "bad":
        crt.write_bytes(b"not a certificate")
    else:
        crt.unlink()
    for p in [run.cluster.scaler, *run.cluster.nodes]:
        p.signal(signal.SIGHUP)
    yield Disturbance(kind, "certificate"), f"certificate: {kind}"
    if kind != "rotated":
        fresh = crt.with_suffix(".tmp")
        fresh.write_bytes(good)
        os.replace(fresh, crt)
    for p in [run.cluster.scaler, *run.cluster.nodes]:
        p.signal(signal.SIGHUP)


# Fault: weight, what it needs for itself (two that share a word do not run at once), and the seconds
# that it lasts at least: the dark must be longer than maxAge. A scaler is not started beside a bad
# certificate, which it would refuse: what it then starts from is not what the oracle thinks.
FAULTS = {
    engine: (10, "", 0), engines_gone: (4, "", 12), engine_stop: (4, "", 0), counter_reset: (2, "", 0),
    demand: (5, "demand", 0), exporter: (4, "link", 0), agent_stop: (3, "agent", 0),
    agents_stop: (2, "agent link", 12), agent_kill: (3, "agent", 0), driver_hang: (2, "agent", 0),
    agent_link: (4, "link", 0),
    agent_links: (2, "agent link", 12), keda_link: (4, "keda", 0), scaler_stop: (3, "scaler", 0),
    scaler_kill: (1.5, "scaler certificate", 0), workloads_file: (3, "scaler", 0), agent_file: (2, "agent", 0),
    log_full: (2, "log", 0), log_closed: (1, "agent", 0), certificate: (3, "certificate", 0),
}

# How long after its end a fault may still be felt, by what the documents say: a request that hangs
# until its limit (10 s, at a demand source 3 s) and a scrape's longest pause (6 intervals); an agent's
# stream: 10 s for its first message, and a pause of 15 s at most.
BACK_S = {"engine": 10 + 6 * 1 + 2, "demand": 3 + 6 * 1 + 2, "gpu": 10 + 15 + 5, "scaler": 30, "file": 4,
          "keda": 30, "log": 2, "certificate": 2}
