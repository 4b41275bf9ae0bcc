# SPDX-License-Identifier: Apache-2.0
"""What is true while everything breaks: the load of each workload, what its engines and GPUs would
show if they were seen whole, and its history, so that a decision can be held against what was so.

A fluid model: each pod that serves gets its share of the arrivals, finishes them with a delay (the
requests in the system never jump), and shares the workload's queue, KV cache and GPU work. What the
pages show is computed from the very numbers that the history keeps."""

import bisect
import dataclasses
import random
import threading
import time

HEAD_S = 2.5     # a ready pod gets no request for so long: routers follow the pods later, too
RUNNING = 2.0    # requests that a busy pod works on, beside its queue
DRAIN_PER_S = 4  # requests in the system that a pod may get rid of beyond what arrives


@dataclasses.dataclass
class Load:
    """What is asked of a workload: arrivals a second; requests that wait, KV caches and GPUs' work,
    each as a sum over its pods (in requests, full caches, busy GPUs)."""
    rate: float = 0.0
    queue: float = 0.0
    kv: float = 0.0
    busy: float = 0.0


@dataclasses.dataclass
class Rule:
    """A workload's trigger and what its decision is made of."""
    name: str
    engine: str
    metadata: dict
    draw: object                # random -> Load
    replicas: int               # at the start
    most: int                   # maxReplicaCount
    least: int = 1              # minReplicaCount
    capacity: float = 0         # requests a second a replica (staffed), 0: is not sized by
    target_rate: float = 0      # requests a second that make up a named target, 0: not in the rule
    demand: str = ""
    gpu: float = 0              # target of GPU utilization, 0: is not in the rule
    queue: float = 0            # targets of guards, 0: not in the rule
    kv: float = 0
    both: bool = False          # `when: all` over queue and GPU
    observe: bool = False
    hold_s: tuple = (20, 60)    # how long a load lasts

    @property
    def rate_window_s(self):
        return float(self.metadata["rateWindow"][:-1])

    @property
    def down_window_s(self):
        return float(self.metadata["downWindow"][:-1])

    @property
    def max_age_s(self):
        return float(self.metadata["maxAge"][:-1])


class Pod:
    def __init__(self, name, node, gpu, now):
        self.name, self.node, self.gpu = name, node, gpu
        self.state, self.state_at = "starting", now
        self.started = time.time()
        self.ready_at = None        # set with the state
        self.ready_due = self.gone_due = None
        self.arrived = self.level = 0.0
        self.restarted_with = 0.0   # arrivals that a counter that began again does not count
        self.rate = self.kv = self.busy = 0.0
        self.endpoint = None

    def serves(self, now):
        return self.state == "ready" and now >= self.ready_at + HEAD_S

    @property
    def finished(self):
        return max(0.0, self.arrived - self.restarted_with - self.level)

    @property
    def queue(self):
        return max(0.0, self.level - RUNNING)

    @property
    def running(self):
        return min(self.level, RUNNING)

    def restart_counter(self):
        """The engine's process began again: its counter at 0, nothing in it."""
        self.restarted_with, self.level = self.arrived, 0.0


class History:
    """Values that hold from one time to the next; the smallest and largest within a stretch."""

    def __init__(self):
        self.at, self.values = [], []

    def add(self, t, values):
        if not self.values or self.values[-1] != values:
            self.at.append(t)
            self.values.append(values)

    def over(self, start, end):
        """All values that held at some time of [start, end]."""
        first = max(0, bisect.bisect_right(self.at, start) - 1)
        last = bisect.bisect_right(self.at, end)
        return self.values[first:max(last, first + 1)]

    def since(self):
        return self.at[-1] if self.at else 0.0


@dataclasses.dataclass(frozen=True)
class Truth:
    """One workload at one time, as sums over the pods that serve."""
    rate: float         # what arrives, whether a pod serves it or not
    served: float       # what arrives at pods
    young_rate: float   # of that: pods that have served for less than a rate window
    queue: float
    kv: float
    busy_pct: float
    in_system: float
    capped_rate: float  # each pod's part at most one replica's capacity
    n: int              # spec.replicas
    ready: int


class Workload:
    def __init__(self, rule, rng, now):
        self.rule, self.rng, self.name = rule, rng, rule.name
        self.pods, self.spec, self.serial = [], rule.replicas, 0
        self.load = rule.draw(rng)
        self.load_due = now + rng.uniform(*rule.hold_s)
        self.history = History()
        self.arrived = 1000.0       # what the gateway counts, pods or no pods
        self.history.add(now - 1e6, Truth(0, 0, 0, 0, 0, 0, 0, 0, self.spec, 0))  # before all that

    def advance(self, now, dt):
        serving = [p for p in self.pods if p.serves(now)]
        self.arrived += self.load.rate * dt
        for p in self.pods:
            share = 1 / len(serving) if p in serving else 0.0
            p.rate = self.load.rate * share
            p.kv = min(1.0, self.load.kv * share)
            p.busy = min(1.0, self.load.busy * share)
            p.arrived += p.rate * dt
            busy = RUNNING if p.rate > 0 else 0.0
            target = self.load.queue * share + busy
            grow, shrink = 0.9 * p.rate * dt, DRAIN_PER_S * dt
            p.level = min(max(target, p.level - shrink), p.level + grow, max(target, p.level))
            p.level = max(0.0, p.level)
        self.note(now, serving)

    def note(self, now, serving):
        young = now - self.rule.rate_window_s - HEAD_S
        cap = self.rule.capacity or float("inf")
        self.history.add(now, Truth(
            rate=round(self.load.rate, 4), served=round(sum(p.rate for p in serving), 4),
            queue=round(sum(p.queue for p in serving), 1),
            young_rate=round(sum(p.rate for p in serving if p.ready_at > young), 4),
            kv=round(sum(p.kv for p in serving), 4),
            busy_pct=round(100 * sum(p.busy for p in serving), 2),
            in_system=round(sum(p.level for p in self.pods), 1),
            capped_rate=round(sum(min(p.rate, cap) for p in serving), 4),
            n=self.spec, ready=sum(p.state == "ready" for p in self.pods)))

    def draw_again(self, now):
        self.load = self.rule.draw(self.rng)
        self.load_due = now + self.rng.uniform(*self.rule.hold_s)


PROMPT_TOKENS, GENERATED_TOKENS, ITL_S = 100, 100, 0.02  # of each request
WORK = GENERATED_TOKENS + 0.12 * PROMPT_TOKENS


def vllm_page(p):
    at, tokens = 'engine="0",model_name="m"', p.finished * GENERATED_TOKENS
    return (f"# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{{{at}}} {p.running}\n"
            f"# TYPE vllm:num_requests_waiting gauge\nvllm:num_requests_waiting{{{at}}} {p.queue}\n"
            f"# TYPE vllm:kv_cache_usage_perc gauge\nvllm:kv_cache_usage_perc{{{at}}} {p.kv}\n"
            f"# TYPE vllm:request_success_total counter\n"
            f'vllm:request_success_total{{{at},finished_reason="stop"}} {p.finished!r}\n'
            f"# TYPE vllm:prompt_tokens_total counter\n"
            f"vllm:prompt_tokens_total{{{at}}} {p.finished * PROMPT_TOKENS!r}\n"
            f"# TYPE vllm:generation_tokens_total counter\nvllm:generation_tokens_total{{{at}}} {tokens!r}\n"
            f"# TYPE vllm:inter_token_latency_seconds histogram\n"
            f'vllm:inter_token_latency_seconds_bucket{{{at},le="+Inf"}} {tokens!r}\n'
            f"vllm:inter_token_latency_seconds_sum{{{at}}} {tokens * ITL_S!r}\n"
            f"vllm:inter_token_latency_seconds_count{{{at}}} {tokens!r}\n"
            + "# HELP vllm:filler What a page of its size has more.\n" * 40)


def custom_page(p):
    return (f"# TYPE inference_queue_length gauge\ninference_queue_length {p.queue}\n"
            f"# TYPE inference_requests_running gauge\ninference_requests_running {p.running}\n"
            f"# TYPE inference_requests_total counter\ninference_requests_total {p.finished!r}\n"
            + "# HELP filler What a page of its size has more.\n" * 40)


def exporter_page(pods, gpus, now):
    """dcgm-exporter's page of a node: `pods` maps a GPU to (pod's name, how busy the GPU is)."""
    rows = {"DCGM_FI_DEV_GPU_UTIL": lambda busy: round(100 * busy),
            "DCGM_FI_DEV_FB_USED": lambda busy: 40000 if busy else 4,
            "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": lambda busy: round(now * 100000)}
    text = ""
    for name, value in rows.items():
        text += f"# TYPE {name} {'counter' if 'TOTAL' in name else 'gauge'}\n"
        for gpu in range(gpus):
            pod, busy = pods.get(gpu, ("", 0.0))
            space, container = ("default", "main") if pod else ("", "")
            text += (f'{name}{{gpu="{gpu}",UUID="GPU-e0000000-0000-4000-8000-00000000000{gpu}",'
                     f'device="nvidia{gpu}",modelName="Test GPU",Hostname="node-x",container="{container}",'
                     f'namespace="{space}",pod="{pod}"}} {value(busy)}\n')
    return text


class World:
    """All workloads, moved on by whoever looks (under one lock), at the latest each STEP_S."""

    STEP_S = 0.1

    def __init__(self, rules, seed):
        self.lock = threading.RLock()
        self.now = time.monotonic()
        self.changing = True    # loads are drawn anew when they are due
        self.workloads = {r.name: Workload(r, random.Random(f"{seed}/{r.name}"), self.now)
                          for r in rules}

    def advance(self):
        with self.lock:
            now = time.monotonic()
            while now - self.now > 1e-6:
                dt = min(self.STEP_S, now - self.now)
                self.now += dt
                for w in self.workloads.values():
                    if self.changing and self.now >= w.load_due:
                        w.draw_again(self.now)
                    w.advance(self.now, dt)
            return self.now

    def page(self, workload, pod):
        with self.lock:
            self.advance()
            return vllm_page(pod) if workload.rule.engine == "vllm" else custom_page(pod)

    def gateway_page(self, workload):
        with self.lock:
            self.advance()
            return ("# TYPE gateway_requests_total counter\n"
                    f'gateway_requests_total{{service="{workload.name}"}} {workload.arrived!r}\n')
