# SPDX-License-Identifier: Apache-2.0
"""The oracle held against decisions that are wrong, one law at a time, and against a right one: what
cannot fail proves nothing. No program runs here."""

import time

import pytest

import run
import truth
from oracle import Disturbance, Oracle

NOW = 10_000.0
QUIET = truth.Truth(rate=0, served=0, young_rate=0, queue=0, kv=0, busy_pct=0, in_system=0, capped_rate=0,
                    n=2, ready=2)


def so(**what):
    """A truth with these values; `rate` is served whole."""
    values = {**QUIET.__dict__, **what}
    if "rate" in what:
        values.setdefault("in_system", 4)
        values |= {"served": what.get("served", what["rate"]), "in_system": 4,
                   "capped_rate": min(what["rate"], 2 * values["ready"])}
    return truth.Truth(**values)


class Told(truth.World):
    """A world of which a test writes the history."""

    def __init__(self):
        super().__init__(run.RULES, 1)
        for w in self.workloads.values():
            w.history = truth.History()
            w.history.add(0, QUIET)

    def advance(self):
        return NOW

    def say(self, name, at, what):
        self.workloads[name].history.add(at, what)

    def pods(self, name, n):
        self.workloads[name].pods = []
        for i in range(n):
            pod = truth.Pod(f"{name}-{i}", 0, i, 0)
            pod.state, pod.ready_at = "ready", 0
            self.workloads[name].pods.append(pod)


@pytest.fixture
def world():
    return Told()


@pytest.fixture
def oracle(world):
    return Oracle(world, lambda t: 0.4)


def record(desired, at=NOW, n=2, sequence=1, **more):
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + ".000000Z"
    return {"time": stamp, "sequence": sequence, "state": "ok", "reason": "size", "active": True,
            "specReplicas": n, "last": desired, "desired": desired, "ready": n, "signals": [], **more}


def decide(oracle, name, series, **more):
    """Feeds (seconds before NOW, desired) as changes; gives the laws that were broken."""
    rule = oracle.world.workloads[name].rule
    for i, (before, desired) in enumerate(series):
        oracle.record(rule, record(desired, NOW - before, sequence=i, **more), NOW - before)
    return {v["law"] for v in oracle.violations}


def test_what_follows_the_truth_is_right(oracle, world):
    world.say("llm", NOW - 200, so(rate=2))
    world.say("llm", NOW - 100, so(rate=8, n=4, ready=4))   # ceil((4 + 0.3 * 2) / 1.05) = 5
    assert decide(oracle, "llm", [(150, 2), (95, 5), (20, 5), (5, 5)]) == set()
    assert oracle.checked["rises"] == 1


def test_a_rise_that_nobody_asked_for_is_seen(oracle, world):
    world.say("llm", NOW - 200, so(rate=4))                 # needs 3
    assert decide(oracle, "llm", [(100, 3), (5, 5)]) == {"rise"}


def test_a_rise_by_what_was_so_too_long_ago_is_seen(oracle, world):
    world.say("llm", NOW - 200, so(rate=8))
    world.say("llm", NOW - 60, so(rate=2))
    assert decide(oracle, "llm", [(50, 2), (5, 5)]) == {"rise"}


def test_a_fall_below_what_is_needed_is_seen_also_while_pages_are_lost(oracle, world):
    world.say("llm", NOW - 200, so(rate=8, n=5, ready=5))
    assert decide(oracle, "llm", [(100, 5), (5, 1)]) == {"fall"}
    oracle.violations.clear()
    oracle.disturbances.append(Disturbance("cut", "engine", "llm", start=NOW - 40))
    assert decide(oracle, "llm", [(30, 5), (5, 1)]) == {"fall"}


def test_a_fall_while_a_guard_is_breached_is_seen(oracle, world):
    world.say("llm", NOW - 200, so(rate=2, queue=60, n=4, ready=4))
    assert decide(oracle, "llm", [(100, 6), (5, 5)]) == {"fall"}


def test_a_fall_that_the_window_forbids_is_seen(oracle, world):
    rule = world.workloads["llm"].rule
    world.say("llm", NOW - 200, so(rate=8, n=5, ready=5))
    decide(oracle, "llm", [(100, 5)])
    oracle.note_wants(rule, NOW - 4)
    world.say("llm", NOW - 3, so(rate=1, n=5, ready=5))
    assert decide(oracle, "llm", [(1, 2)]) == {"fall"}


def test_the_pair_that_is_raised_by_one_alone_is_seen(oracle, world):
    world.say("pair", NOW - 200, so(rate=2, queue=45, busy_pct=40))
    assert decide(oracle, "pair", [(100, 2), (5, 5)]) == {"rise"}


def test_moving_and_answering_in_the_dark_are_seen(oracle, world):
    rule = world.workloads["gpu"].rule
    world.pods("gpu", 2)
    world.say("gpu", NOW - 200, so(busy_pct=150, n=2))
    oracle.disturbances.append(Disturbance("kill", "gpu", start=NOW - 60, hides=True))
    assert decide(oracle, "gpu", [(100, 2), (5, 3)]) == {"blind"}
    oracle.violations.clear()
    oracle.answer(rule, "OK", 3.0, None, NOW, NOW)
    assert [v["law"] for v in oracle.violations] == ["blind"]
    oracle.violations.clear()
    oracle.answer(rule, "UNAVAILABLE", None, "nothing known", NOW, NOW)
    assert not oracle.violations and oracle.checked["blind"] == 1


def test_waking_without_demand_and_failing_at_zero_are_seen(oracle, world):
    world.say("zero", 1, so(n=0, ready=0))
    assert decide(oracle, "zero", [(100, 0)], n=0, active=False) == set()
    assert decide(oracle, "zero", [(5, 0)], n=0, active=True) == {"zero"}
    oracle.violations.clear()
    assert decide(oracle, "zero", [(4, 0)], n=0, active=False, state="unavailable") == {"zero"}
    oracle.violations.clear()
    rule = world.workloads["zero"].rule
    oracle.disturbances.append(Disturbance("cut", "demand", "zero", start=NOW - 60))
    oracle.answer(rule, "UNAVAILABLE", None, "ScaledObject default/zero: nothing known", NOW, NOW)
    assert {v["law"] for v in oracle.violations} == {"zero"}


def test_sleeping_under_load_is_seen(oracle, world):
    world.say("llm", NOW - 200, so(rate=4))
    assert decide(oracle, "llm", [(5, 3)], active=False) == {"idle"}


def test_telling_keda_another_number_is_seen(oracle, world):
    rule = world.workloads["llm"].rule
    world.say("llm", NOW - 200, so(rate=4))
    decide(oracle, "llm", [(20, 3)])
    oracle.answer(rule, "OK", 2.001, None, NOW - 1, NOW - 1)
    oracle.compare(rule, NOW)
    assert not oracle.violations
    oracle.answer(rule, "OK", 2.0, None, NOW - 1, NOW - 1)
    oracle.compare(rule, NOW)
    assert {v["law"] for v in oracle.violations} == {"told"}


def test_staying_where_more_is_needed_and_failing_for_nothing_are_seen(oracle, world):
    rule = world.workloads["llm"].rule
    world.say("llm", NOW - 200, so(rate=8))
    assert oracle.settled(rule, record(5), NOW) and not oracle.violations
    assert oracle.settled(rule, record(2), NOW)
    assert {v["law"] for v in oracle.violations} == {"settled"}
    oracle.violations.clear()
    oracle.answer(rule, "UNAVAILABLE", None, "nothing known", NOW, NOW)
    assert {v["law"] for v in oracle.violations} == {"alone"}


def test_staying_where_less_is_enough_is_seen(oracle, world):
    rule = world.workloads["llm"].rule
    world.say("llm", NOW - 300, so(rate=2))
    assert oracle.settled(rule, record(2), NOW) and not oracle.violations
    assert oracle.settled(rule, record(4), NOW)
    assert {v["law"] for v in oracle.violations} == {"settled"}
