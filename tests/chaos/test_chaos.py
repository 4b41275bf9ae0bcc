# SPDX-License-Identifier: Apache-2.0
"""Agents, engines and the scaler while a seed stops, hangs, cuts, slows, corrupts and restarts them;
oracle.py says what must hold all the time. CHAOS_SECONDS (60), CHAOS_SEED (a fresh one, printed),
CHAOS_TLS (0 or 1; the seed draws it) choose a run: CONTRIBUTING.md.

The last test lies to the programs, to see that the oracle finds what they then decide (test_oracle.py
does so law by law): what cannot fail proves nothing."""

import os
import random

import pytest

import run as chaos_run
import truth
from harness import wait_until

SECONDS = float(os.environ.get("CHAOS_SECONDS") or 60)


def seed():
    given = os.environ.get("CHAOS_SEED")
    return int(given) if given else random.SystemRandom().randrange(10**6)


@pytest.fixture
def run(tmp_path):
    made = []

    def make(seed, seconds, tls=False):
        made.append(chaos_run.Run(tmp_path, seed, seconds, tls))
        return made[-1]
    yield make
    for r in made:
        r.close()


def test_chaos(run):
    number = seed()
    tls = os.environ.get("CHAOS_TLS")
    r = run(number, SECONDS, bool(int(tls)) if tls else random.Random(f"{number}/tls").random() < 0.5)
    r.start()
    steps = r.chaos()
    if not r.failed():
        r.finish()
        r.check_bounds()
    r.report()
    assert not r.failed(), "\n" + r.context()
    assert steps and r.counts and r.oracle.checked["records"] > SECONDS / 2


def test_decisions_by_lies_are_found(run):
    """Sound pages of zeros, GPUs that pretend to work, a gateway that counts requests of nobody."""
    r = run(1, 120)
    loads = {"llm": truth.Load(rate=6, kv=0.3), "watch": truth.Load(rate=6, kv=0.3),
             "pair": truth.Load(rate=2, busy=0.8), "tokens": truth.Load(rate=4), "gpu": truth.Load(rate=2, busy=0.5),
             "zero": truth.Load()}
    r.world.changing = False
    for name, load in loads.items():
        r.world.workloads[name].load = load
    r.start()
    r.wait(28)
    assert not r.failed(), "\n" + r.context()
    with r.world.lock:
        for p in r.world.workloads["llm"].pods:
            p.endpoint.zeros = True
    r.cluster.lies["gpu"] = 1.0
    gateway, begun = r.cluster.gateways["zero"], r.at()
    gateway.text = lambda: (f'gateway_requests_total{{service="zero"}} {1000 + 4 * (r.at() - begun)}\n')

    def found():
        return {(v["workload"], v["law"]) for v in r.oracle.violations}
    must = {("gpu", "rise"), ("zero", "zero"), ("llm", "idle"), ("llm", "fall")}
    wait_until(lambda: must <= found(), "the oracle finds each lie", 60)
    assert {w for w, _ in found()} <= {"gpu", "zero", "llm"}, found()
    assert not r.problems and not r.cluster.errors, "\n" + r.context()
