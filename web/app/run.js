// SPDX-License-Identifier: Apache-2.0
// What is known of a run: columns for the charts, the last frame and the decisions of each policy.
"use strict";

const KEEP_POINTS = 4000; // of a policy; the older half is thinned then
const KEEP_DECISIONS = 100;

const COLUMNS = {
  t: (f) => f.tS,
  wanted: (f) => f.replicas.wanted,
  spec: (f) => f.replicas.spec,
  ready: (f) => f.replicas.ready,
  arriving: (f) => f.rps.arriving,
  waiting: (f) => waitingOf(f),
  p50: (f) => f.latencyMs && f.latencyMs.p50,
  p95: (f) => f.latencyMs && f.latencyMs.p95,
  p99: (f) => f.latencyMs && f.latencyMs.p99,
  burned: (f) => f.money.burnedUsd,
  idle: (f) => f.money.idleUsd,
  gpuSeconds: (f) => f.money.gpuSeconds,
  idleGpuSeconds: (f) => f.money.idleGpuSeconds,
  errors: (f) => f.errors,
};

// Requests that wait. What the engines do not tell is not made up for by what is held before them: a gateway that
// holds nothing says nothing of their queues.
function waitingOf(frame) {
  const { engines, held } = frame.queue;
  return known(engines) ? engines + (known(held) ? held : 0) : null;
}

// {busy, idle, starting, free, unknown}: how many GPUs are in which state.
function gpuCounts(frame) {
  const counts = { busy: 0, idle: 0, starting: 0, free: 0, unknown: 0 };
  for (const gpu of frame.gpus) counts[gpu.state] += 1;
  return counts;
}

class Policy {
  constructor(id) {
    this.id = id;
    this.label = id;
    this.about = "";
    this.clear();
  }

  clear() {
    this.columns = Object.fromEntries(Object.keys(COLUMNS).map((key) => [key, []]));
    this.gpus = []; // for each point the states, a letter for each GPU
    this.last = null;
    this.decisions = [];
    this.peakWaiting = null;
    this.worstP95 = null;
  }

  add(frame) {
    for (const [key, read] of Object.entries(COLUMNS)) {
      const v = read(frame);
      this.columns[key].push(known(v) ? v : null);
    }
    this.gpus.push(frame.gpus.map((g) => g.state[0]).join(""));
    this.last = frame;
    this.decisions = this.decisions.concat(frame.decisions).slice(-KEEP_DECISIONS);
    const waiting = waitingOf(frame);
    if (known(waiting)) this.peakWaiting = Math.max(this.peakWaiting ?? 0, waiting);
    const p95 = frame.latencyMs && frame.latencyMs.p95;
    if (known(p95)) this.worstP95 = Math.max(this.worstP95 ?? 0, p95);
    if (this.gpus.length > KEEP_POINTS) this.thin();
  }

  thin() {
    const keeps = (_, i) => i >= KEEP_POINTS / 2 || i % 2 === 0;
    for (const key of Object.keys(COLUMNS)) this.columns[key] = this.columns[key].filter(keeps);
    this.gpus = this.gpus.filter(keeps);
  }

  // The point at or before the t; -1: none.
  at(t) {
    const ts = this.columns.t;
    let i = ts.length - 1;
    while (i >= 0 && ts[i] > t) i -= 1;
    return i;
  }
}

class Run {
  constructor() {
    this.hello = null;
    this.policies = [];
    this.byId = new Map();
    this.active = null; // whose frame came last
    this.end = null;
    this.lastId = 0;
  }

  get isDemo() {
    return this.hello !== null && this.hello.kind === "demo";
  }

  setHello(hello) {
    if (this.hello === null || this.hello.run !== hello.run) {
      this.byId = new Map();
      this.active = null;
      this.end = null;
      this.lastId = 0;
    }
    this.hello = hello;
    const old = this.byId;
    this.byId = new Map();
    this.policies = hello.policies.map(({ id, label, about }) => {
      const policy = old.get(id) || new Policy(id);
      policy.label = label;
      policy.about = about;
      this.byId.set(id, policy);
      return policy;
    });
  }

  // id: the number of the event, 0 when it has none; a feed that is played again repeats them.
  isNew(id) {
    if (id === 0) return true;
    if (id <= this.lastId) return false;
    this.lastId = id;
    return true;
  }

  addFrame(frame) {
    const policy = this.byId.get(frame.policy);
    if (!policy) return;
    policy.add(frame);
    this.active = policy;
  }

  row(id) {
    return (this.end && this.end.table.find((row) => row.policy === id)) || null;
  }

  // Its run ended before the load did: what it took and served is not comparable.
  wasCut(id) {
    const row = this.row(id);
    return row !== null && !row.whole;
  }

  // "waiting", "running", "done", "cut", "none" (was to run and did not), or "live" where there are no acts
  stateOf(policy) {
    if (!this.isDemo) return policy.last ? "live" : "waiting";
    if (this.wasCut(policy.id)) return "cut";
    if (!policy.last) return this.end ? "none" : "waiting";
    return this.end || policy !== this.active ? "done" : "running";
  }
}
