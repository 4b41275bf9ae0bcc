# SPDX-License-Identifier: Apache-2.0
"""Holds every decision against the truth.

A decision may stand on what was so within its *horizon*: the windows of its rule and, where a fault
hid something, the time since before the fault. Over the horizon the truth gives, for each rule, what
was needed at least and at most. From that:

  rise    a decision may grow only to what the truth of its horizon asked for at most;
  fall    it may shrink only to what the truth of its horizon asked for at least, not while a guard was
          breached throughout, and not while its down-window holds a larger want that was seen whole;
  blind   while everything that it sizes by is hidden for longer than maxAge it does not move, and the
          call fails (except at zero);
  zero    at zero nothing is active without demand in the horizon, and no call fails;
  idle    above zero it is inactive only where nothing ran, waited or arrived at some time of it;
  told    what KEDA is told is the decision (observe: the present count);
  settled with nothing broken and nothing changed, the decision is what the truth asks for;
  alone   a call fails only where something was broken.

What is unknown can stop scaling, it never causes it: `rise`, `fall`, `zero` and `blind` say so."""

import calendar
import dataclasses
import math
import time

EPS = 0.03          # of rates and gauges: rounding, interpolation
MERGE_S = 3.0       # points of a window closer than history/40 are merged
TICK_S = 1.0


def ceil_(x):
    return math.ceil(x - 1e-6)


@dataclasses.dataclass
class Disturbance:
    """Something broken from `start` to `end` (None: still). `hides`: not one value of `what` gets through
    ("engine", "gpu", "demand", "file", "scaler", "keda") of the pods in `pods` or on `node` (None: all)."""
    kind: str
    what: str
    workload: str = ""      # "": all
    start: float = 0.0
    end: float = None
    pods: frozenset = None
    node: int = None
    hides: bool = False
    quiet_at: float = None  # when the world was seen whole again

    def covers(self, pod):
        return (self.pods is None or pod.name in self.pods) and \
            (self.node is None or pod.node == self.node)


@dataclasses.dataclass
class Bounds:
    lo: int         # needed at least, by all that is so
    hi: int         # asked for at most
    guarded: bool   # a guard was breached all the time


class Oracle:
    def __init__(self, world, slack):
        self.world, self.slack = world, slack
        self.disturbances = []
        self.violations = []
        self.last = {}          # workload -> (time, desired)
        self.sequence = {}
        self.told = {}          # workload -> recent desired values with times
        self.pending = []       # answers not yet compared with the decisions
        self.wants = {}         # workload -> [(time, want that was surely seen)]
        self.checked = {"records": 0, "answers": 0, "settled": 0, "blind": 0, "zero": 0, "falls": 0,
                        "rises": 0}
        self.restarted_at = 0.0

    # --- what is broken

    def touches(self, d, rule):
        if d.workload and d.workload != rule.name:
            return False
        return {"engine": True, "gpu": bool(rule.gpu), "demand": bool(rule.demand)}.get(d.what, True)

    def of(self, rule, start, end):
        """Disturbances that touch the rule within [start, end], with their tails."""
        return [d for d in self.disturbances if self.touches(d, rule) and d.start <= end
                and (d.quiet_at is None or d.quiet_at >= start) and d.what != "keda"]

    def horizon(self, rule, t):
        start = t - (rule.rate_window_s + MERGE_S + 8 + 2 * TICK_S + self.slack(t))
        while True:
            before = [d.start for d in self.of(rule, start, t)]
            new = min([start, *[b - rule.rate_window_s - MERGE_S - 3 for b in before]])
            if new >= start:
                return start
            start = new

    # --- what the truth asks for

    @staticmethod
    def staffed(rule, rate, rho):
        r = rate / rule.capacity
        return (r + 0.3 * math.sqrt(r)) / rho

    def at_most(self, rule, x, n_low, late, skew):
        wants = [0]
        guards = [need for need, on in ((x.queue / (rule.queue or 1), rule.queue),
                                        (x.kv / (rule.kv or 1), rule.kv)) if on]
        breached = [g for g in guards if g * (1 + EPS) > n_low * 1.05]
        if rule.capacity:
            wants.append(ceil_(self.staffed(rule, x.rate * (1 + EPS + late), 1.05)))
        if rule.target_rate:
            wants.append(ceil_(x.rate * (1 + EPS + late) / rule.target_rate))
        if rule.gpu:
            need = (x.busy_pct + 2 * x.ready + skew) / rule.gpu
            if not rule.both or (breached and need > n_low * 1.05):
                wants.append(ceil_(need))
        if not rule.both or (rule.gpu and (x.busy_pct + 2 * x.ready + skew) / rule.gpu > n_low * 1.05):
            wants += [ceil_(g * (1 + EPS)) for g in breached]
        return max(wants)

    def at_least(self, rule, x, hidden, lossy, skew):
        """Of what sizes and may raise, as far as pods that are hidden count (as one replica each)."""
        wants = [0]
        if rule.capacity:
            rate = max(0.0, (x.capped_rate if hidden else x.served) - x.young_rate)
            wants.append(ceil_(self.staffed(rule, rate * (1 - EPS - lossy), 1.05)))
        if rule.target_rate:
            rate = max(0.0, (min(x.served, x.ready * rule.target_rate) if hidden else x.served) - x.young_rate)
            wants.append(ceil_(rate * (1 - EPS - lossy) / rule.target_rate / 1.05))
        if rule.gpu and not rule.both:
            wants.append(ceil_(max(0.0, x.busy_pct - 2 * x.ready - skew) / rule.gpu / 1.05))
        return max(wants)

    def guard_breached(self, rule, x, n_high):
        return any(on and need * (1 - EPS) > n_high * 1.05 + 0.01
                   for need, on in ((x.queue / (rule.queue or 1), rule.queue),
                                    (x.kv / (rule.kv or 1), rule.kv)))

    def bounds(self, rule, start, end, stale_s=0.0):
        """`stale_s`: the age of the oldest value that the decision stands on."""
        w = self.world.workloads[rule.name]
        with self.world.lock:
            self.world.advance()
            values = w.history.over(start, end)
        troubles = self.of(rule, start, end)
        hidden = bool(troubles)
        lossy = (0.35 if any(d.kind in ("counter", "freeze", "stop", "delay", "flap") or d.what != "engine"
                             for d in troubles) else 0.0) + self.slack(end) / rule.rate_window_s / 2
        late = (0.2 if any(d.kind in ("delay", "stop", "flap", "freeze") for d in troubles) else 0.0) \
            + self.slack(end) / rule.rate_window_s / 2
        if any(d.kind == "freeze" for d in troubles):
            late += 10 / rule.rate_window_s
        # Load that moves between GPUs is sampled here before it is there.
        skew = 30.0 if len({v.ready for v in values}) > 1 else 0.0
        # Up to maxAge what a pod told last counts: also where others serve a part of its load by now.
        if stale_s > 2.5:
            moved = 1 - min(v.ready for v in values) / max(1, max(v.ready for v in values))
            late += moved * min(stale_s, rule.max_age_s + 1) / rule.rate_window_s
        n_low, n_high = min(v.n for v in values), max(v.n for v in values)
        most = list(values)
        if rule.both:
            # Each signal is as old as it may be: a queue of now and GPUs of maxAge ago, or their mean.
            busiest = max(values, key=lambda v: v.busy_pct)
            most.append(dataclasses.replace(busiest, queue=max(v.queue for v in values),
                                            kv=max(v.kv for v in values)))
        return Bounds(
            lo=min(self.at_least(rule, v, hidden, lossy, skew) for v in values),
            hi=max(self.at_most(rule, v, n_low, late, skew) for v in most),
            guarded=all(self.guard_breached(rule, v, n_high) and v.n > 0 for v in values))

    # --- what is seen

    def wrong(self, rule, law, why, record, t):
        self.violations.append({"law": law, "workload": rule.name, "why": why, "time": t,
                                "record": record})

    def restart(self, t):
        """The scaler was started anew: it begins from spec.replicas."""
        self.last.clear()
        self.sequence.clear()
        self.wants.clear()
        self.told.clear()
        self.pending.clear()
        self.restarted_at = t

    def records(self, rule, records, now_record, t, real_offset):
        """All changes since the last look, oldest first, and the present record."""
        seen = self.sequence.get(rule.name, -1)
        for r in [*records, now_record]:
            if r is None or r["sequence"] <= seen:
                continue
            seen = r["sequence"]
            self.record(rule, r, min(t, record_time(r) - real_offset))
        self.sequence[rule.name] = seen
        self.compare(rule, t)

    def compare(self, rule, until):
        """Answers of before `until`, with the decisions that are known up to then."""
        due = [x for x in self.pending if x[0] is rule and x[3] < until]
        self.pending = [x for x in self.pending if x not in due]
        for _, value, asked_at, t in due:
            seen = {n for _, n in self.recent(rule, asked_at)}
            if seen and ceil_(value) not in seen:
                self.wrong(rule, "told", f"KEDA is told {value}, the decisions were {sorted(seen)}",
                           None, t)

    def record(self, rule, r, t):
        self.checked["records"] += 1
        start = self.horizon(rule, t)
        ages = [s["ageSeconds"] or 0 for s in r["signals"]]
        b = self.bounds(rule, start, t, max(ages, default=0))
        d, n = r["desired"], r["specReplicas"]
        before = self.last.get(rule.name)
        if before is None:
            before = (t, self.first(rule, r, t))
        floor = 1 if r["active"] else 0
        if d > before[1]:
            self.checked["rises"] += 1
            allowed = max(b.hi, floor)
            if d > allowed and not (r["reason"] == "first" and d == n):
                self.wrong(rule, "rise", f"{before[1]} -> {d}, the truth since {t - start:.1f} s ago asks"
                           f" for {allowed} at most", r, t)
        if d < before[1]:
            self.checked["falls"] += 1
            held, since = self.window(rule, t)
            if d < b.lo:
                self.wrong(rule, "fall", f"{before[1]} -> {d}, the truth since {t - start:.1f} s ago asks"
                           f" for {b.lo} at least", r, t)
            elif b.guarded:
                self.wrong(rule, "fall", f"{before[1]} -> {d} while a guard was breached for"
                           f" {t - start:.1f} s", r, t)
            elif d < held:
                self.wrong(rule, "fall", f"{before[1]} -> {d}, and {held} was wanted and seen whole"
                           f" {t - since:.1f} s ago, within the down-window", r, t)
        if d != before[1] and self.blinded(rule, t):
            self.wrong(rule, "blind", f"{before[1]} -> {d} while nothing can be known", r, t)
        self.activity(rule, r, t, start)
        if r["state"] != "ok":
            self.failure(rule, r, t)
        self.last[rule.name] = (t, d)
        told = self.told.setdefault(rule.name, [])
        told.append((t, n if rule.observe else d))
        del told[:-60]

    def first(self, rule, r, t):
        """What a fresh scaler starts from: the count in its file."""
        return r["specReplicas"] if r["last"] is None else r["last"]

    def activity(self, rule, r, t, start):
        w = self.world.workloads[rule.name]
        with self.world.lock:
            values = w.history.over(start, t)
        if r["specReplicas"] == 0:
            self.checked["zero"] += 1
            if r["active"] and not any(v.rate > 0 for v in values):
                self.wrong(rule, "zero", f"active at zero, and nothing was asked for in {t - start:.1f} s", r, t)
            if r["state"] != "ok":
                self.wrong(rule, "zero", "the call fails at zero, which wakes the service", r, t)
        elif not r["active"] and all(v.served > 0.5 or v.in_system > 1 for v in values):
            self.wrong(rule, "idle", f"inactive, and for {t - start:.1f} s it was never idle", r, t)

    def failure(self, rule, r, t):
        if r["specReplicas"] > 0 and not self.of(rule, t - 2 - self.slack(t), t) \
                and t > self.restarted_at + rule.rate_window_s + 10:
            self.wrong(rule, "alone", "unavailable, and nothing is broken", r, t)

    def note_wants(self, rule, t):
        """What was surely wanted and seen at t, for the damper's promise: nothing was broken."""
        start = t - (rule.rate_window_s + MERGE_S + 8 + 2 * TICK_S + self.slack(t))
        if self.of(rule, start - 5, t) or t - self.restarted_at < 25:
            return
        b = self.bounds(rule, start, t)
        kept = self.wants.setdefault(rule.name, [])
        kept.append((t, b.lo))
        del kept[:-200]

    def window(self, rule, t):
        """(the largest want that the down-window must hold, when it was noted). The window takes one
        each 15 s, so that it promises 15 s less."""
        since = t - (rule.down_window_s - 15 - TICK_S - self.slack(t))
        held = [(want, at) for at, want in self.wants.get(rule.name, []) if since <= at <= t]
        return max(held, default=(0, t))

    # --- what is hidden

    def hidden_since(self, rule, t):
        """Since when everything that sizes the rule is hidden, None: it is not."""
        hiding = [d for d in self.disturbances
                  if d.hides and d.end is None and self.touches(d, rule)]
        with self.world.lock:
            ready = [p for p in self.world.workloads[rule.name].pods if p.state == "ready"]
        if not ready:
            return None
        since = [[d.start for d in hiding if d.what == ("gpu" if rule.gpu else "engine") and d.covers(p)]
                 for p in ready]
        if rule.demand:
            since.append([d.start for d in hiding if d.what == "demand"])
        if not all(since):
            return None
        return max(min(p.ready_at for p in ready), *[min(starts) for starts in since])

    def blinded(self, rule, t):
        since = self.hidden_since(rule, t)
        # The last page may have been asked for just before, and its answer may come after.
        return since is not None and t > since + rule.max_age_s + 2 + self.slack(t)

    def answer(self, rule, code, value, told, asked_at, t):
        """GetMetrics asked the scaler itself."""
        self.checked["answers"] += 1
        if code == "OK":
            self.pending.append((rule, value, asked_at, t))
            if self.world.workloads[rule.name].spec > 0 and self.blinded(rule, asked_at) and \
                    t > self.hidden_since(rule, t) + rule.max_age_s + 6 + self.slack(t) and \
                    not rule.observe:
                self.wrong(rule, "blind", f"KEDA is told {value}, and nothing is known for"
                           f" {t - self.hidden_since(rule, t):.1f} s: UNAVAILABLE was due", None, t)
        elif code == "UNAVAILABLE":
            if self.blinded(rule, t):
                self.checked["blind"] += 1
            elif not self.of(rule, t - 6 - self.slack(t), t) and t > self.restarted_at + 12:
                self.wrong(rule, "alone", f"{code}: {told}, and nothing is broken", None, t)
            if self.zero_for(rule, asked_at) and "UNAVAILABLE" in code and "ScaledObject" in str(told):
                self.wrong(rule, "zero", f"the call fails at zero: {told}", None, t)
        elif code not in ("DEADLINE_EXCEEDED", "CANCELLED"):
            self.wrong(rule, "alone", f"{code}: {told}", None, t)

    def recent(self, rule, asked_at):
        told = self.told.get(rule.name, [])
        since = asked_at - 2 * TICK_S - self.slack(asked_at)
        late = [x for x in told if x[0] >= since]
        before = [x for x in told if x[0] < since][-1:]
        return before + late

    def zero_for(self, rule, t):
        w = self.world.workloads[rule.name]
        with self.world.lock:
            return all(v.n == 0 for v in w.history.over(t - 4, t + 1))

    # --- what holds when nothing is broken

    def settled(self, rule, r, t):
        """True: the world has been whole and still for long enough, and the decision was checked."""
        w = self.world.workloads[rule.name]
        calm = rule.rate_window_s + MERGE_S + 8 + 2 * TICK_S + self.slack(t)
        with self.world.lock:
            values = w.history.over(t - calm, t)
        if len({(v.rate, v.n, v.ready) for v in values}) > 1 or self.of(rule, t - calm - 4, t) or \
                t - self.restarted_at < calm + 15 or values[0].young_rate or values[0].n == 0 or \
                values[0].n != r["specReplicas"]:
            return False
        self.checked["settled"] += 1
        b = self.bounds(rule, t - calm, t)
        if rule.both and all(self.guard_breached(rule, v, v.n) and
                             (v.busy_pct - 2 * v.ready) / rule.gpu > v.n * 1.05 for v in values):
            b.lo = max(b.lo, min(values[0].n + 1, b.hi))
        if any(on for on in (rule.queue, rule.kv)) and not rule.both and b.guarded:
            b.lo = max(b.lo, values[0].n + 1)
        if r["desired"] < b.lo:
            self.wrong(rule, "settled", f"{r['desired']}, and for {calm:.0f} s {b.lo} was needed", r, t)
        self.settled_high(rule, r, t, calm)
        return True

    def settled_high(self, rule, r, t, calm):
        """And not more than what was enough for the whole down-window: there it has come down."""
        start = t - calm - rule.down_window_s - 15 - 2 * TICK_S
        if self.of(rule, start - 4, t) or t - self.restarted_at < t - start + 15:
            return
        w = self.world.workloads[rule.name]
        with self.world.lock:
            values = w.history.over(start, t)
        if any(self.guard_breached(rule, v, v.n) or v.queue > 0.9 * (rule.queue or 1e9) for v in values):
            return
        b = self.bounds(rule, start, t)
        enough = max(b.hi, 1 if r["active"] else 0)
        if rule.gpu:  # a target of a person's goes down with a margin of a tenth
            enough = max(enough, max(ceil_((v.busy_pct + 2 * v.ready + 30) / rule.gpu / 0.9)
                                     for v in values))
        if rule.target_rate:
            enough = max(enough, max(ceil_(v.rate * (1 + EPS) / rule.target_rate / 0.9) for v in values))
        if r["desired"] > enough:
            self.wrong(rule, "settled", f"{r['desired']}, and for {t - start:.0f} s {enough} was enough", r, t)


def record_time(r):
    """A record's wall-clock time as seconds since the epoch."""
    text = r["time"].rstrip("Z")
    whole, _, fraction = text.partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + float("0." + (fraction or "0"))
