# SPDX-License-Identifier: Apache-2.0
"""One run of chaos: the schedule that the seed draws, who watches meanwhile, and what is said at the
end."""

import json
import random
import statistics
import threading
import time

import cluster
import faults
import oracle
import truth
import wire
from harness import Certs, http_get, metric_values, sanitized

LLM = {"engine": "vllm", "capacity": "2", "rateWindow": "10s", "downWindow": "24s", "maxAge": "6s",
       "coldStart": "10s"}
POLL_S = 0.4
CALM_S = 75         # at the end: long enough for every window to pass
MIB = 1 << 20


def draw_llm(rng):
    rate = rng.choice((0.3, 2, 4, 6, 8, 10)) * rng.uniform(0.8, 1.2)
    return truth.Load(rate=rate, queue=rng.choice((0, 0, 3, 40)), kv=rng.choice((0.3, 0.8, 2.5)),
                      busy=5)


def draw_tokens(rng):
    return truth.Load(rate=rng.uniform(3, 12), queue=rng.choice((0, 4)), kv=0.3, busy=5)


def draw_pair(rng):
    return truth.Load(rate=rng.uniform(1, 6), queue=rng.choice((0, 0, 5, 30, 45)),
                      busy=rng.choice((0.2, 0.9, 1.6, 2.4)))


def draw_gpu(rng):
    return truth.Load(rate=rng.uniform(1, 6), queue=rng.choice((0, 2)),
                      busy=rng.choice((0.2, 0.7, 1.5, 2.3, 3.1)))


def draw_zero(rng):
    return truth.Load(rate=rng.choice((0, 0, 1.5, 4, 6)), kv=0.4, busy=2)


RULES = [
    truth.Rule("llm", "vllm", {**LLM, "queue": "10", "kvCache": "0.85"}, draw_llm, 2, 6, capacity=2,
               queue=10, kv=0.85),
    truth.Rule("pair", "custom", {"queue": "10", "gpuUtilization": "55", "rateWindow": "4s",
                                  "downWindow": "20s", "maxAge": "6s", "coldStart": "10s"},
               draw_pair, 2, 5, gpu=55, queue=10, both=True),
    truth.Rule("gpu", "custom", {"gpuUtilization": "60", "rateWindow": "4s", "downWindow": "20s",
                                 "maxAge": "6s", "coldStart": "10s"}, draw_gpu, 2, 6, gpu=60),
    truth.Rule("zero", "vllm", {**LLM, "demand": "gateway-zero", "activation": "0.2"}, draw_zero, 0, 4,
               least=0, capacity=2, demand="zero", hold_s=(25, 50)),
    truth.Rule("tokens", "vllm", {"engine": "vllm", "work": "280", "rateWindow": "10s", "downWindow": "24s",
                                  "maxAge": "6s", "coldStart": "10s"}, draw_tokens, 2, 5,
               target_rate=280 / truth.WORK),
    truth.Rule("watch", "vllm", {**LLM, "mode": "observe"}, draw_llm, 2, 4, capacity=2, observe=True),
]


class Watchdog:
    """How late a thread wakes up here: what a loaded machine does to everybody. Tolerances follow it; a
    machine that stands still for STILL_S counts as a fault of everything (`still` is told)."""

    STILL_S = 1.0

    def __init__(self):
        self.seconds, self.worst, self.closing = {}, 0.0, False
        self.still = None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.closing:
            before = time.monotonic()
            time.sleep(0.02)
            now = time.monotonic()
            late = now - before - 0.02
            self.worst = max(self.worst, late)
            for second in range(int(before), int(now) + 1):
                self.seconds[second] = max(self.seconds.get(second, 0), late)
            if late > self.STILL_S and self.still:
                self.still(before, now)

    def slack(self, t):
        return 0.4 + 2 * max(self.seconds.get(int(t) - i, 0) for i in range(-1, 8))


class Health:
    """Memory, threads, descriptors and scrapes of one program over its runs."""

    def __init__(self, program, url):
        self.program, self.url = program, url
        self.samples, self.latency, self.failed = [], [], []

    def look(self, slack):
        for_s = self.program.running_for_s()
        if for_s < 3:
            return None
        run, begun = self.program.runs, time.monotonic()
        try:
            status, _, body = http_get(self.url, deadline_s=10)
        except OSError as e:
            status, body = repr(e), b""
        took = time.monotonic() - begun
        if self.program.runs != run or self.program.running_for_s() < 3 + took:
            return None  # it was stopped or ended meanwhile
        self.latency.append(took)
        try:
            self.samples.append((run, for_s, *self.program.size()))
        except (OSError, KeyError):
            return None
        if status != 200:
            return f"{self.program.name}: /metrics gives {status} after {took:.1f} s"
        if took > 1.0 + 2 * slack:
            return f"{self.program.name}: /metrics took {took:.2f} s (slack {slack:.2f} s)"
        return body

    def growth(self, warm_s=30, least_s=90):
        """For each run that was long enough: (run, its seconds, resident bytes when it was warm, at its end,
        what a fitted line grew by since it was warm, and in the second half of that time)."""
        found = []
        for run in sorted({s[0] for s in self.samples}):
            part = [s for s in self.samples if s[0] == run and s[1] >= warm_s]
            if len(part) < 20 or part[-1][1] - part[0][1] < least_s:
                continue
            found.append((run, part[-1][1], part[0][2], part[-1][2], fitted(part),
                          fitted(part[len(part) // 2:])))
        return found


def fitted(part):
    line = statistics.linear_regression([s[1] for s in part], [s[2] for s in part])
    return line.slope * (part[-1][1] - part[0][1])


class Run:
    def __init__(self, folder, seed, seconds, tls, say=print):
        self.folder, self.seed, self.seconds, self.say = folder, seed, seconds, say
        self.rng = random.Random(f"{seed}/schedule")
        self.wire = wire
        self.begun, self.counts = time.monotonic(), {}
        self.watchdog = Watchdog()
        self.certs, files = None, None
        if tls:
            self.certs = Certs(folder / "certs")
            crt, key = self.certs.leaf("node")
            files = {"cert": crt, "key": key, "ca": self.certs.ca}
        self.world = truth.World(RULES, seed)
        self.lock = threading.Lock()    # the oracle's
        self.oracle = oracle.Oracle(self.world, self.watchdog.slack)
        self.watchdog.still = self.stood_still
        self.loop = wire.Loop()
        self.cluster = cluster.Cluster(folder, self.world, self.loop, wire, seed, files)
        self.closing = threading.Event()
        self.broken = set()             # workloads with a fault at their engines
        self.seen = {}                  # rule -> (when, sources whole, record whole)
        self.healed_at, self.dark_since = 0.0, time.monotonic()
        self.latest, self.sources, self.problems = {}, [], []
        self.recoveries, self.returns = [], []
        self.tick_age = 0.0
        self.woken = {}                 # rule -> since when it is active at zero, until its push is seen
        self.pushes = 0
        c = self.cluster
        self.health = [Health(c.scaler, f"http://{c.http}/metrics"),
                       *[Health(n, f"http://{n.http}/metrics") for n in c.nodes]]

    # --- watching

    def start(self):
        self.cluster.start(self.folder)
        self.oracle.restarted_at = time.monotonic()
        self.watchers = [threading.Thread(target=self.guarded, args=(f,), daemon=True)
                         for f in (self.observe, self.ask, self.examine)]
        for t in self.watchers:
            t.start()

    def guarded(self, run):
        try:
            run()
        except Exception as e:
            self.problem(f"the test itself: {run.__name__}: {e!r}")
            raise

    def problem(self, text):
        self.problems.append(f"{self.at():.1f} s: {text}")

    def at(self):
        return time.monotonic() - self.begun

    def wait(self, seconds):
        """Sleeps, unless something is wrong already."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.failed():
            time.sleep(min(0.1, max(0, end - time.monotonic())))

    def failed(self):
        return bool(self.problems or self.oracle.violations or self.cluster.errors)

    def stood_still(self, start, end):
        d = oracle.Disturbance("machine", "scaler", start=start, end=end, quiet_at=end + 4)
        with self.lock:
            self.oracle.disturbances.append(d)
        self.counts["machine:stood still"] = self.counts.get("machine:stood still", 0) + 1

    def scaler_restarts(self):
        with self.lock:
            self.oracle.restart(time.monotonic())
            self.seen.clear()

    def get(self, path):
        status, _, body = http_get(f"http://{self.cluster.http}{path}", deadline_s=5)
        assert status == 200, (path, status, body[:300])
        return json.loads(body)["items"]

    def observe(self):
        """The status API: every change of every decision, and whether the sources are whole."""
        scaler = self.cluster.scaler
        while not self.closing.wait(POLL_S):
            if scaler.running_for_s() < 0.5:
                continue
            run = scaler.runs
            try:
                objects = self.get("/api/v1/decisions?limit=24")
                offset, t = time.time() - time.monotonic(), time.monotonic()
                sources = self.get("/api/v1/sources?limit=500")
            except (OSError, AssertionError, ValueError) as e:
                if scaler.runs == run and scaler.running_for_s() > 8 + self.watchdog.slack(
                        time.monotonic()):
                    self.problem(f"status API: {e!r}")
                continue
            with self.lock:
                if scaler.runs != run or scaler.stopped:
                    continue
                self.sources = sources
                for item in objects:
                    if "now" in item:
                        self.take(self.world.workloads[item["name"]].rule, item, t, offset)

    def take(self, rule, item, t, offset):
        now = item["now"]
        self.oracle.records(rule, item["records"], now, t, offset)
        self.latest[rule.name] = item
        self.oracle.note_wants(rule, t)
        self.oracle.settled(rule, now, t)
        self.pushed(rule, now, t)
        whole = self.sources_whole(rule, t)
        known = all(s["known"] == s["pods"] or s["raiseOnly"] for s in now["signals"]
                    if now["ready"] or s["signal"] == "demand")
        self.seen[rule.name] = (t, whole, known and now["state"] == "ok")

    def pushed(self, rule, now, t):
        """What becomes active at zero is pushed at once to who listens."""
        stream, slack = self.cluster.streams[rule.name], self.watchdog.slack(t)
        if not (now["active"] and now["specReplicas"] == 0):
            self.woken.pop(rule.name, None)
            return
        since = self.woken.setdefault(rule.name, t)
        if since is None or t < since + 1 + slack:
            return
        self.woken[rule.name] = None
        if stream.opened_at > since - 3 or any(d.what in ("keda", "scaler") and (d.end or t) > since - 15
                                               for d in self.oracle.disturbances):
            return
        self.pushes += 1
        if not any(at > since - POLL_S - 2 - slack for at, _ in list(stream.pushed)):
            self.problem(f"{rule.name} is active at zero for {t - since:.1f} s, and nothing was pushed")

    def sources_whole(self, rule, t):
        """Has every source of the rule told something since the last fault was healed?"""
        by_key = {s.get("target", "") if s["kind"] == "exporter" else s["key"]: s for s in self.sources}
        fresh_s = t - self.healed_at

        def told(key):
            s = by_key.get(key)
            return s and s["state"] in ("good", "connected") and s.get("ageSeconds", 1e9) < fresh_s \
                and not s.get("driverStalledSeconds")
        with self.world.lock:
            pods = [p for p in self.world.workloads[rule.name].pods
                    if p.state == "ready" and t - p.ready_at > 5]
        keys = [f"default/{p.name}" for p in pods]
        if rule.gpu:
            keys += {self.cluster.links[p.node].addr if p.node < cluster.NODES
                     else self.cluster.exporter.addr for p in pods}
        if rule.demand:
            keys.append(f"gateway-{rule.demand}")
        return all(told(k) for k in keys)

    def ask(self):
        """GetMetrics and IsActive of the scaler itself, as KEDA asks."""
        scaler, keda = self.cluster.scaler, self.cluster.direct
        rules = [w.rule for w in self.world.workloads.values()]
        while not self.closing.wait(POLL_S):
            for rule in rules:
                if scaler.running_for_s() < 4:
                    break
                run, asked = scaler.runs, time.monotonic()
                code, told = keda.code(keda._unary, "GetMetrics", self.request(rule),
                                       keda.pb.GetMetricsResponse, 4)
                with self.lock:
                    t = time.monotonic()
                    if scaler.runs != run or scaler.stopped or scaler.running_for_s() < 4:
                        continue
                    v = told.metricValues[0] if code == "OK" else None
                    value = v and (v.metricValueFloat if v.metricValueFloat > 0 else v.metricValue)
                    if code == "DEADLINE_EXCEEDED" and t - asked > 4 and \
                            self.watchdog.slack(t) < 3 and scaler.running_for_s() > 10:
                        self.problem(f"GetMetrics of {rule.name} was not answered in 4 s")
                    self.oracle.answer(rule, code, value, told, asked, t)

    def request(self, rule):
        pb = self.cluster.direct.pb
        return pb.GetMetricsRequest(metricName="desired-replicas", scaledObjectRef=self.cluster.direct.ref(
            rule.name, rule.metadata))

    def examine(self):
        """Each second: scrapes of everybody, memory, ticks, and whether somebody died."""
        while not self.closing.wait(1.0):
            for h in self.health:
                slack = self.watchdog.slack(time.monotonic())
                got = h.look(slack)
                if isinstance(got, str):
                    self.problem(got)
                if isinstance(got, bytes) and h.program is self.cluster.scaler:
                    age = metric_values(got, "gpuscale_tick_age_seconds").get(frozenset(), 0)
                    if h.program.running_for_s() > 15 and not self.stopped_lately():
                        self.tick_age = max(self.tick_age, age)
                        if age > 2 + 2 * slack:
                            self.problem(f"the last tick is {age:.1f} s old")
                status = h.program.crashed()
                if status is None or h.program.stopped:
                    continue
                if status == 2 and self.met_bad_certificate(h.program):
                    h.program.start()  # as the kubelet does, until it finds a good one
                else:
                    self.problem(f"{h.program.name} ended with {status}")

    def met_bad_certificate(self, program):
        """An agent that was started while its certificate was broken refuses, and says so."""
        with self.lock:
            broken = any(d.what == "certificate" and d.start < program.started_at + 3
                         and (d.end is None or d.end > program.started_at - 3)
                         for d in self.oracle.disturbances)
        program.reader.join(5)
        return broken and any("TLS certificate" in line or "TLS private key" in line for line in program.tail[-1:])

    def stopped_lately(self):
        t = time.monotonic()
        return any(d.what == "scaler" and (d.end is None or d.end > t - 5)
                   for d in self.oracle.disturbances)

    # --- breaking

    def choose(self, available, last_kill):
        """Some faults for one step: (function, seconds after the start, seconds that it lasts)."""
        chosen, alone = [], set()
        for _ in range(self.rng.choice((1, 2, 3, 4, 5))):
            f = self.rng.choices(available, [faults.FAULTS[f][0] for f in available])[0]
            _, names, least_s = faults.FAULTS[f]
            late = self.at() > 0.55 * self.seconds  # the last run of the scaler is a long one
            if alone & set(names.split()) or (f is faults.scaler_kill and (late or self.at() < last_kill
                                                                         + 60)):
                continue
            alone |= set(names.split())
            lasts_s = self.rng.choice((1, 3, 6, 12)) * self.rng.uniform(0.7, 1.3)
            chosen.append((f, self.rng.uniform(0, 4), max(least_s, lasts_s)))
        return chosen

    def step(self, number, chosen):
        t0 = time.monotonic()
        events = sorted([(start, 0, i) for i, (_, start, _) in enumerate(chosen)]
                        + [(start + lasts, 1, i) for i, (_, start, lasts) in enumerate(chosen)])
        running, told = {}, []
        for due, ends, i in events:
            self.wait(t0 + due - time.monotonic())
            if not ends:
                fault = chosen[i][0](self)
                begun = time.monotonic()
                got = next(fault, None)
                if got is None:
                    continue
                d, target = got
                d.start = begun
                with self.lock:
                    self.oracle.disturbances.append(d)
                running[i] = fault, d
                name = f"{chosen[i][0].__name__}:{d.kind}"
                self.counts[name] = self.counts.get(name, 0) + 1
                told.append(f"{name} ({target}, {chosen[i][2]:.0f} s)")
                self.say(f"# {self.at():6.1f} s seed {self.seed} step {number}: {told[-1]}", flush=True)
            elif i in running:
                fault, d = running[i]
                with self.lock:
                    d.hides = False  # from here on something may get through
                next(fault, None)
                d.end = time.monotonic()
        self.recover(number, [d for _, d in running.values()])

    def recover(self, number, healed):
        """Until the world is seen whole again, within what the documents say."""
        self.healed_at = time.monotonic()
        self.dark_since = min([d.start for d in healed], default=self.healed_at)
        back_s = max([faults.BACK_S.get(d.what, 5) for d in healed], default=0)
        begins_anew = any(d.what == "scaler" for d in healed)
        whole, known, end = {}, {}, None
        rules = [w.rule for w in self.world.workloads.values()]
        while not self.failed():
            t = time.monotonic()
            slack = self.watchdog.slack(t)
            for r in rules:
                at, sources, record = self.seen.get(r.name, (0, False, False))
                if at <= self.healed_at:
                    continue
                if sources and r.name not in whole:
                    whole[r.name] = at
                if r.name in whole and record and r.name not in known:
                    known[r.name] = at
            if len(known) == len(rules):
                break
            missing = [r.name for r in rules if r.name not in whole]
            if missing and t - self.healed_at > back_s + 4 + 2 * slack:
                self.problem(f"sources of {missing} are not back {t - self.healed_at:.1f} s after the end of"
                             f" {[d.kind for d in healed]}: {back_s} s are allowed")
            # A rate needs two pages and a quarter of its window where it begins anew, work 20 requests.
            allowed = oracle.TICK_S + POLL_S + slack + (12 if begins_anew else 0)
            for r in rules:
                if r.name in whole and r.name not in known and t - whole[r.name] > allowed + 1 + self.young(r):
                    self.problem(f"{r.name}: its sources are whole for {t - whole[r.name]:.1f} s, its"
                                 f" decision is not")
            time.sleep(0.05)
        else:
            return
        for r in rules:
            self.returns.append(whole[r.name] - self.healed_at)
            if not begins_anew and not self.young(r):
                self.recoveries.append(max(0, known[r.name] - whole[r.name]))
        with self.lock:
            now = time.monotonic()
            for d in healed:
                d.quiet_at = now
        self.say(f"# {self.at():6.1f} s step {number} healed: sources back after"
                 f" {max(whole.values()) - self.healed_at:.1f} s, decisions"
                 f" {max(known[n] - whole[n] for n in known):.1f} s later; "
                 + ", ".join(f"{r.name} {self.world.workloads[r.name].spec}" for r in rules), flush=True)

    def young(self, rule):
        """Seconds for pods that became ready just now or in the dark: they are unknown until their second
        page, a quarter of a window after their first."""
        since = min(time.monotonic() - 12, self.dark_since - 3)
        with self.world.lock:
            return 8 if any(p.state == "ready" and p.ready_at > since
                            for p in self.world.workloads[rule.name].pods) else 0

    def chaos(self):
        available = list(faults.FAULTS)
        left_out = self.rng.sample(available, self.rng.randint(2, 5))
        available = [f for f in available if f not in left_out]
        self.say(f"# seed {self.seed}, {self.seconds} s, TLS {'on' if self.certs else 'off'}; left out: "
                 + ", ".join(f.__name__ for f in left_out), flush=True)
        self.wait(10)
        number, last_kill = 0, -60.0
        calm = min(CALM_S, self.seconds / 3)
        while self.at() < self.seconds - calm and not self.failed():
            number += 1
            chosen = self.choose(available, last_kill)
            if any(f is faults.scaler_kill for f, _, _ in chosen):
                last_kill = self.at()
            self.step(number, chosen)
            self.wait(self.rng.choice((0, 0, 1, 8)))
        self.world.changing = False
        self.wait(calm)
        return number

    # --- the end

    def finish(self):
        """SIGTERM for everybody, and the figures of the run."""
        c, wrong = self.cluster, []
        streams = metric_values(http_get(f"http://{c.http}/metrics")[2], "gpuscale_grpc_streams") \
            if c.scaler.running_for_s() else {}
        if sum(streams.values()) > 3 * len(RULES):
            wrong.append(f"streams are left open: {streams}")
        self.closing.set()
        for t in self.watchers:
            t.join(15)
        c.closing.set()     # streams that end are not opened again
        for program in [c.scaler, *c.nodes]:
            begun = time.monotonic()
            status = program.end(15 + self.watchdog.slack(begun))
            if status != 0:
                wrong.append(f"{program.name}: SIGTERM gives {status} after"
                             f" {time.monotonic() - begun:.1f} s")
        for name, s in c.streams.items():
            s.thread.join(10)
            if s.thread.is_alive():
                wrong.append(f"StreamIsActive of {name} did not end with its server")
            elif s.last_end not in ("OK", "CANCELLED", "UNAVAILABLE"):
                wrong.append(f"StreamIsActive of {name} ended with {s.last_end}")
        self.problems += wrong

    def close(self):
        self.closing.set()
        self.cluster.closing.set()
        for program in [self.cluster.scaler, *self.cluster.nodes]:
            if program.proc is not None:
                program.reading.set()
                program.kill()
        self.cluster.close()
        self.watchdog.closing = True
        self.loop.close()

    def logs(self):
        """Lines and bytes a program wrote, and the most lines within ten seconds."""
        for h in self.health:
            p, burst = h.program, 0
            for s in p.seconds:
                burst = max(burst, sum(p.seconds.get(s + i, 0) for i in range(10)))
            yield p, p.lines, p.bytes, burst

    def check_bounds(self):
        """Memory that stays, threads and descriptors that do not grow, logs that fill no disk."""
        instrumented = sanitized()
        for h in self.health:
            for run, seconds, first, last, growth, later in h.growth():
                # Records and windows fill up for some minutes: a few MiB, less and less. What goes on
                # in the second half of a long run is a leak. A sanitizer's shadow is its own.
                most = 48 if instrumented else 5
                if growth > most * MIB or (seconds > 240 and later > most / 2 * MIB):
                    self.problems.append(f"{h.program.name}, run {run}: resident memory grew by"
                                         f" {growth / MIB:.1f} MiB in {seconds:.0f} s, {later / MIB:.1f} MiB"
                                         " of it in the second half")
            for which, name in ((3, "threads"), (4, "descriptors")):
                most = max((s[which] for s in h.samples), default=0)
                if most > (24 if which == 3 else 160):
                    self.problems.append(f"{h.program.name}: {most} {name}")
        for p, lines, size, burst in self.logs():
            seconds = max(60, self.at())
            if size > 1000 * seconds or burst > 300:
                self.problems.append(f"{p.name}: {size} bytes of log in {seconds:.0f} s, {burst} lines in"
                                     " ten seconds")

    def report(self):
        o, say = self.oracle, self.say
        say(f"# faults: {sum(self.counts.values())}: "
            + ", ".join(f"{k} {v}" for k, v in sorted(self.counts.items())))
        say("# checked: " + ", ".join(f"{v} {k}" for k, v in o.checked.items()) + f", {self.pushes} pushes")
        if self.recoveries:
            say(f"# decisions whole after sources are: median {statistics.median(self.recoveries):.2f} s,"
                f" worst {max(self.recoveries):.2f} s of {len(self.recoveries)}; sources back after the"
                f" fault's end: worst {max(self.returns):.1f} s")
        for h in self.health:
            for run, seconds, first, last, growth, later in h.growth():
                say(f"# {h.program.name}, run {run} of {h.program.runs}: {seconds:.0f} s, resident"
                    f" {first / MIB:.1f} -> {last / MIB:.1f} MiB (fitted {growth / MIB:+.2f},"
                    f" in the second half {later / MIB:+.2f});"
                    f" threads {max(s[3] for s in h.samples)},"
                    f" descriptors at most {max(s[4] for s in h.samples)}")
            if h.latency:
                say(f"# {h.program.name}: /metrics median {1000 * statistics.median(h.latency):.1f} ms,"
                    f" worst {1000 * max(h.latency):.0f} ms of {len(h.latency)}")
        for p, lines, size, burst in self.logs():
            say(f"# {p.name}: log {lines} lines, {size} bytes, at most {burst} lines in 10 s")
        say(f"# oldest tick {self.tick_age:.2f} s; worst lateness of a sleeping thread here"
            f" {self.watchdog.worst:.2f} s; streams ended: "
            + ", ".join(f"{n} {s.ends}" for n, s in self.cluster.streams.items()), flush=True)

    def context(self):
        """Everything that helps to understand a failure."""
        lines = []
        for v in self.oracle.violations[:8]:
            lines.append(f"{v['time'] - self.begun:.1f} s: {v['law']}: {v['workload']}: {v['why']}")
            if v["record"]:
                lines.append("  record: " + json.dumps(v["record"]))
        lines += self.problems + self.cluster.errors
        names = {v["workload"] for v in self.oracle.violations}
        for name in names:
            w = self.world.workloads[name]
            shown = None
            for a, v in list(zip(w.history.at, w.history.values))[-900:]:
                if (v.rate, v.n, v.ready) != shown:
                    shown = v.rate, v.n, v.ready
                    lines.append(f"truth of {name}: {a - self.begun:.1f} s {v}")
            for r in (self.latest.get(name) or {"records": []})["records"][-8:]:
                lines.append(f"  {oracle.record_time(r) - time.time() + self.at():.1f} s:"
                             f" {r['last']} -> {r['desired']} {r['reason']}: {r['sentence']}")
        for d in self.oracle.disturbances[-12:]:
            lines.append(f"disturbed: {d.start - self.begun:.1f} to"
                         f" {(d.end or time.monotonic()) - self.begun:.1f} s: {d.kind} {d.what}"
                         f" {d.workload} {sorted(d.pods or ())} {'' if d.node is None else d.node}")
        bad = [s for s in self.sources if s["state"] not in ("good", "connected")]
        lines.append("sources that are not good: " + json.dumps(bad))
        if self.oracle.violations or self.problems:
            for p in [self.cluster.scaler, *self.cluster.nodes]:
                lines.append(f"--- last lines of {p.name}'s log\n" + "\n".join(
                    p.tail[-50 if p is self.cluster.scaler else -8:]))
        lines.append(f"To run it again: CHAOS_SEED={self.seed} CHAOS_SECONDS={self.seconds:.0f} make chaos."
                     " The same faults and loads come in the same order; which moment of a scrape or a"
                     " tick they meet is the machine's.")
        return "\n".join(lines)
