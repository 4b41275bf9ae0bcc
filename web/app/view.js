// SPDX-License-Identifier: Apache-2.0
// Draws a run. All of it is drawn anew after each frame, once a repaint at most; the charts are kept.
"use strict";

const $ = (id) => document.getElementById(id);
const PERCENTILES = ["p50", "p95", "p99"];
const OTHER_LINES = [
  { color: "line-a", dash: [2, 3], width: 2.2 },
  { color: "line-b", dash: [8, 4], width: 1.8 },
  { color: "line-b", dash: [10, 3, 2, 3], width: 1.6 },
];
const DEMAND = { label: "demand, requests/s (right)", color: "demand", width: 1.5, fill: "demand-soft", right: true };
const WANTED = { label: "wanted", color: "muted", dash: [4, 3], width: 1.4, step: true };
const SPEC = { label: "spec", color: "line-a", dash: [1, 3], width: 1.4, step: true };
const SIGNAL_MARKS = { breached: "▲", quiet: "✓", sizes: "↕", unknown: "?" };
const SIGNAL_WORDS = { breached: "breached", quiet: "quiet", sizes: "sizes", unknown: "unknown" };

class View {
  constructor(run) {
    this.run = run;
    this.percentile = "p95";
    this.chosen = null; // the policy that a person chose; null: the one that runs
    this.layout = "";
    this.charts = [];
    this.pending = false;
    this.makePercentiles();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      for (const chart of this.charts) chart.recolor();
    });
  }

  later() {
    if (this.pending) return;
    this.pending = true;
    // Hidden pages get no repaint: they are drawn when somebody looks again.
    requestAnimationFrame(() => {
      this.pending = false;
      this.draw();
    });
  }

  get selected() {
    const { run } = this;
    return run.byId.get(this.chosen) || run.active || run.policies[0] || null;
  }

  // ours: the accent; the rest: grey, told apart by their dashes.
  lineOf(policy) {
    const { run } = this;
    const ours = run.byId.has("gpuscale") ? policy.id === "gpuscale" : policy === this.selected;
    if (ours) return { label: policy.label, color: "accent", width: 2.6 };
    const others = run.policies.filter((p) => (run.byId.has("gpuscale") ? p.id !== "gpuscale" : true));
    return { label: policy.label, ...OTHER_LINES[others.indexOf(policy) % OTHER_LINES.length] };
  }

  makePercentiles() {
    for (const p of PERCENTILES) {
      $("percentile").append(h("label", {},
        h("input", { type: "radio", name: "percentile", value: p, checked: p === this.percentile,
          onchange: () => { this.percentile = p; this.layout = ""; this.draw(); } }), p));
    }
  }

  draw() {
    const { run } = this;
    if (run.hello === null) return;
    $("title").textContent = run.hello.title;
    document.title = `${run.hello.title} · gpuscale`;
    this.drawProgress();
    const { head, lines } = verdict(run);
    $("verdict").textContent = head;
    $("against").replaceChildren(...lines.map((line) => h("li", {}, line)));
    $("against").hidden = lines.length === 0;
    this.drawCards();
    this.drawEnd();
    this.drawCharts();
    this.drawDetail();
    this.drawNotes();
  }

  drawProgress() {
    const { run } = this;
    const { actSeconds } = run.hello;
    $("progress").hidden = !run.isDemo || !known(actSeconds);
    if ($("progress").hidden) return;
    const i = run.policies.indexOf(run.active);
    say("act", run.end ? verdict(run).head : i < 0 ? "" : `Run ${i + 1} of ${run.policies.length}: ${run.active.label}`);
    $("progress-text").textContent = run.end ? endedWords(run) :
      i < 0 ? "Not started" :
      `Run ${i + 1} of ${run.policies.length}: ${run.active.label}, ${Math.min(Math.round(run.active.last.tS), actSeconds)} of ${actSeconds} s`;
    $("progress-acts").replaceChildren(...run.policies.map((policy) => {
      const state = run.stateOf(policy);
      const share = state === "done" ? 1 : policy.last ? Math.min(1, policy.last.tS / actSeconds) : 0;
      const fill = h("span", { class: "fill" });
      fill.style.width = `${share * 100}%`;
      return h("li", { "data-state": state }, h("span", { class: "sr" }, `${policy.label}: ${state}`), fill);
    }));
  }

  // ---- cards

  drawCards() {
    const { run } = this;
    const wanted = run.policies.map((p) => p.id).join("\n");
    if (this.cardsOf !== wanted) {
      this.cardsOf = wanted;
      this.cards = run.policies.map((policy) => this.makeCard(policy));
      $("cards").replaceChildren(...this.cards.map((card) => card.node));
    }
    const most = scales(run);
    this.cards.forEach((card, i) => this.fillCard(card, run.policies[i], most));
  }

  makeCard(policy) {
    const button = h("button", { type: "button", onclick: () => this.choose(policy.id) });
    const mark = h("span", { class: "mark" });
    const state = h("span", { class: "chip" });
    const about = h("p", { class: "about" });
    const rows = h("dl", { class: "meters" });
    const node = h("article", { class: "card" }, h("h3", {}, mark, button), state, about, rows);
    return { node, button, mark, state, about, rows };
  }

  choose(id) {
    this.chosen = this.chosen === id ? null : id;
    this.layout = "";
    this.draw();
  }

  fillCard(card, policy, most) {
    const { run } = this;
    const state = run.stateOf(policy);
    card.node.dataset.state = state;
    card.node.classList.toggle("ours", policy.id === "gpuscale");
    card.node.classList.toggle("selected", policy === this.selected);
    card.button.textContent = policy.label;
    card.button.setAttribute("aria-pressed", String(policy === this.selected));
    card.button.setAttribute("aria-label", `${policy.label}: show its detail`);
    card.mark.replaceChildren(swatch(this.lineOf(policy)));
    card.state.textContent = chipOf(run, policy, state);
    card.about.textContent = policy.about;
    card.about.hidden = policy.about === "";
    card.rows.replaceChildren(...meters(run, policy, most).map(meterNode));
  }

  // ---- the table at the end

  drawEnd() {
    const { run } = this;
    $("end").hidden = run.end === null;
    if (run.end === null || this.endDrawn === run.end) return;
    this.endDrawn = run.end;
    const rows = run.end.table;
    const label = (row) => (run.byId.get(row.policy) || { label: row.policy }).label;
    $("table").replaceChildren(
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, h("span", { class: "sr" }, "Figure")),
        rows.map((row) => h("th", { scope: "col", class: row.policy === "gpuscale" ? "ours" : null }, label(row),
          row.whole ? null : h("span", { class: "cut" }, " (cut short)"))))),
      h("tbody", {}, TABLE.filter((line) => line.key !== "withinSloPct" || run.end.slo).map((line) => tableRow(line, rows))));
    $("slo").textContent = !run.end.slo ? "" : `Within the SLO: ${run.end.slo}. Failed requests are not.`;
    const files = Object.entries(run.end.files);
    $("files").replaceChildren(...files.flatMap(([name, path]) => [h("span", {}, `${name}: `, h("code", {}, path)), " "]));
  }

  // ---- charts

  drawCharts() {
    const { run } = this;
    const shown = run.policies.length <= 4 ? run.policies : [this.selected];
    const layout = JSON.stringify([run.hello.run, this.percentile, run.policies.map((p) => [p.id, p.label]),
      shown.map((p) => p.id), this.selected && this.selected.id, known(run.hello.usdPerGpuHour)]);
    if (layout !== this.layout) {
      this.layout = layout;
      this.makeCharts(shown);
    }
    const x = this.xRange();
    for (const chart of this.charts) chart.fill(x);
  }

  xRange() {
    const { run } = this;
    const wall = known(run.hello.startUnixS);
    const offset = wall ? run.hello.startUnixS : 0;
    let from = Infinity;
    let to = -Infinity;
    for (const { columns: { t } } of run.policies) {
      if (t.length === 0) continue;
      from = Math.min(from, t[0]);
      to = Math.max(to, t[t.length - 1]);
    }
    if (known(run.hello.actSeconds)) {
      from = 0;
      to = Math.max(run.hello.actSeconds, to);
    }
    if (!(to > from)) [from, to] = known(to) ? [to - 60, to] : [0, 60];
    return { range: [from + offset, to + offset], wall, offset };
  }

  makeCharts(shown) {
    for (const chart of this.charts) chart.remove();
    this.charts = [];
    $("multiples").replaceChildren();
    $("overlays").replaceChildren();
    $("latency").replaceChildren();
    for (const policy of shown) this.makeMultiple(policy);
    $("multiples-legend").replaceChildren(...legend([{ ...DEMAND }, { ...WANTED }, { ...SPEC },
      { label: "ready", color: "ink", width: 2.4 }]), ...bandLegend());
    this.makeOverlays();
    this.makeLatency();
  }

  keep(chart, fill) {
    chart.fill = fill;
    this.charts.push(chart);
  }

  makeMultiple(policy) {
    const { run } = this;
    const line = this.lineOf(policy);
    const note = h("p", { class: "sub" });
    const ready = { label: "ready", color: line.color === "accent" ? "accent" : "ink", width: 2.4, step: true };
    const box = h("div", { class: "multiple" }, h("h3", {}, swatch(line), policy.label), note);
    $("multiples").append(box);
    const chart = new LineChart(box, {
      title: "Replicas", height: 170, least: 2, whole: true, format: format.count, right: format.number, readout: false,
      lines: [{ ...DEMAND, label: "demand", format: format.rate }, SPEC, WANTED, ready],
    });
    this.keep(chart, (x) => {
      const { t, arriving, spec, wanted, ready: ups } = policy.columns;
      note.textContent = t.length ? "" : run.isDemo ? "Has not run yet." : "No figures yet.";
      note.hidden = t.length > 0;
      chart.set([t.map((v) => v + x.offset), arriving, spec, wanted, ups], {
        x: x.range, wall: x.wall, y: topOfAll(run, ["spec", "wanted", "ready"]), right: topOfAll(run, ["arriving"]),
      });
    });
    const band = new GpuBand(box, "Each GPU");
    this.keep(band, (x) => band.set(policy, x.range, x.offset));
  }

  makeOverlays() {
    const { run } = this;
    const lines = run.policies.map((policy) => this.lineOf(policy));
    $("overlays-legend").replaceChildren(...legend(lines));
    const overlay = (title, key, text, least, more = {}) => {
      const chart = new LineChart($("overlays"), { title, height: 190, least, format: text, lines, ...more });
      this.keep(chart, (x) => chart.set(joined(run, key, x.offset), { x: x.range, wall: x.wall }));
    };
    overlay("Requests waiting", "waiting", format.count, 4, { whole: true });
    if (run.isDemo) overlay(`Latency ${this.percentile}`, this.percentile, format.ms, 100, { axis: format.axisMs });
    else overlay("Demand, requests/s", "arriving", format.rate, 1, { axis: format.number });
    if (known(run.hello.usdPerGpuHour)) {
      overlay("Money burned", "burned", format.usd, 0.001, { axis: format.axisUsd });
      overlay("Money burned by idle GPUs", "idle", format.usd, 0.001, { axis: format.axisUsd });
    } else {
      overlay("GPU-seconds held", "gpuSeconds", format.number, 1);
      overlay("GPU-seconds held idle", "idleGpuSeconds", format.number, 1);
    }
  }

  makeLatency() {
    const policy = this.selected;
    const measured = this.run.isDemo; // the scaler sees no request
    $("latency-panel").hidden = !measured;
    $("percentile").hidden = !measured;
    if (!policy || !measured) return;
    const chart = new LineChart($("latency"), {
      title: "Of the requests that ended in each second", height: 180, least: 100, format: format.ms, axis: format.axisMs,
      lines: [
        { label: "p50", color: "line-b", width: 1.6, dash: [2, 3] },
        { label: "p95", color: "ink", width: 2.2 },
        { label: "p99", color: "line-a", width: 1.6, dash: [8, 4] },
      ],
    });
    this.keep(chart, (x) => {
      const { t, p50, p95, p99 } = policy.columns;
      chart.set([t.map((v) => v + x.offset), p50, p95, p99], { x: x.range, wall: x.wall });
    });
  }

  // ---- one policy in detail

  drawDetail() {
    const policy = this.selected;
    const frame = policy && policy.last;
    $("h-detail").textContent = policy ? `Detail: ${policy.label}` : "Detail";
    $("gpus-sub").textContent = frame ? gpuWords(frame) : "No figures yet.";
    $("tiles").replaceChildren(...(frame ? frame.gpus.map(tile) : []));
    $("rule").textContent = frame ? frame.rule.text || "No rule is told." : "";
    $("signals").replaceChildren(...(frame ? frame.rule.signals.map(signalNode) : []));
    const decisions = policy ? policy.decisions.slice(-30).reverse() : [];
    $("decisions").replaceChildren(...(decisions.length ? decisions.map((d) => this.decisionNode(d)) :
      [h("li", { class: "none" }, "No decision yet.")]));
  }

  decisionNode(d) {
    const { startUnixS } = this.run.hello;
    const when = known(startUnixS) ? format.clock(startUnixS + d.tS) : format.seconds(d.tS);
    return h("li", {}, h("span", { class: "when" }, when), h("span", { class: "who" }, d.who,
      known(d.replicas) ? h("b", {}, ` → ${d.replicas}`) : null), h("span", { class: "why" }, d.text));
  }

  drawNotes() {
    const { notes } = this.run.hello;
    $("notes").hidden = notes.length === 0;
    $("notes-list").replaceChildren(...notes.map((note) => h("li", {}, note)));
  }
}

// To screen readers, once a change: the figures themselves change each second.
function say(topic, words) {
  if (say.last.get(topic) === words) return;
  say.last.set(topic, words);
  if (words !== "") $("said").textContent = words;
}
say.last = new Map();

function legend(lines) {
  return lines.map((line) => h("span", { class: "key" }, swatch(line), line.label));
}

function bandLegend() {
  return ["busy", "idle", "starting"].map((state) => h("span", { class: "key" },
    h("span", { class: `box ${state}`, "aria-hidden": "true" }), `GPU ${state}`));
}

function topOfAll(run, keys) {
  let top = 0;
  for (const policy of run.policies) {
    for (const key of keys) {
      for (const v of policy.columns[key]) if (known(v) && v > top) top = v;
    }
  }
  return top;
}

// One x for all policies; where a policy has no point of its own it is undefined, which is no gap.
function joined(run, key, offset) {
  const tables = run.policies.map(({ columns }) => [columns.t.map((v) => v + offset), columns[key]]);
  if (tables.every(([t]) => t.length === 0)) return [[], ...tables.map(() => [])];
  return uPlot.join(tables, tables.map(() => [0, 2]));
}

function tile(gpu) {
  const bar = h("span", { class: "bar" });
  bar.style.width = `${known(gpu.utilizationPct) ? Math.min(100, gpu.utilizationPct) : 0}%`;
  const held = gpu.state !== "free";
  const shared = { own: "shared: its own part", whole: "shared: the whole GPU's" }[gpu.shared];
  const title = [`GPU ${gpu.index}`, gpu.state, `utilization ${format.percent(gpu.utilizationPct)}`,
    `SM activity ${format.percent(gpu.smPct)}`, `memory ${format.percent(gpu.memoryPct)}`, shared, gpu.pod].filter(Boolean).join(", ");
  return h("li", { class: "tile", "data-state": gpu.state, title },
    h("span", { class: "tile-top" }, h("span", {}, `GPU ${gpu.index}`), h("b", {}, gpu.state)),
    h("span", { class: "tile-value" }, held || known(gpu.utilizationPct) ? format.percent(gpu.utilizationPct) : "–"),
    h("span", { class: "track", "aria-hidden": "true" }, bar),
    h("span", { class: "tile-pod" }, gpu.pod || (held ? "" : "no pod")),
    shared ? h("span", { class: "tile-pod" }, shared) : null,
    held && (known(gpu.smPct) || known(gpu.memoryPct)) ? h("span", { class: "tile-pod" }, `SM ${short(gpu.smPct)}, mem ${short(gpu.memoryPct)}`) : null);
}

function short(percent) {
  return known(percent) ? format.percent(percent) : "?";
}

function gpuWords(frame) {
  const c = gpuCounts(frame);
  const parts = ["busy", "idle", "starting", "free", "unknown"].filter((state) => c[state]).map((state) => `${c[state]} ${state}`);
  return parts.length ? `${format.plural(frame.gpus.length, "GPU", "GPUs")}: ${parts.join(", ")}` : "No GPU is known.";
}

function signalNode(s) {
  const upper = known(s.upper) && s.upper !== s.value ? ` to ${format.number(s.upper)}` : "";
  const value = s.known ? `${format.number(s.value)}${upper}${s.unit}` : UNKNOWN;
  const target = known(s.target) ? `${format.number(s.target)}${s.unit} a replica` : null;
  return h("li", { class: "signal", "data-state": s.state },
    h("span", { class: "signal-mark", "aria-hidden": "true" }, SIGNAL_MARKS[s.state]),
    h("span", { class: "signal-name" }, s.name),
    h("span", { class: "signal-state" }, SIGNAL_WORDS[s.state]),
    h("span", { class: "signal-value" }, h("b", {}, value), target ? ` · target ${target}` : "",
      known(s.ageS) ? ` · ${format.number(s.ageS)} s old` : ""));
}

// What a card says beside its name.
function chipOf(run, policy, state) {
  if (state === "running") return `running, ${format.seconds(policy.last.tS)}`;
  if (state === "cut") return policy.last ? `cut short, ${format.seconds(policy.last.tS)}` : "cut short";
  if (state === "none") return "did not run";
  if (state !== "live") return state === "waiting" && run.isDemo ? "runs later" : state;
  const { ready, wanted } = policy.last.replicas;
  return `${format.count(ready)} ready, ${format.count(wanted)} wanted`;
}

// ---- meters of a card: the same scale on all cards, so that lengths compare

function scales(run) {
  const most = { gpu: 0, waiting: 0, p95: 0 };
  for (const policy of run.policies) {
    if (!policy.last) continue;
    most.gpu = Math.max(most.gpu, policy.last.money.gpuSeconds ?? 0);
    most.waiting = Math.max(most.waiting, policy.peakWaiting ?? 0);
    most.p95 = Math.max(most.p95, p95Of(run, policy) ?? 0);
  }
  return most;
}

function p95Of(run, policy) {
  const row = run.row(policy.id);
  return row ? row.p95Ms : policy.worstP95;
}

function meters(run, policy, most) {
  const frame = policy.last;
  if (!frame) return [];
  const row = run.row(policy.id);
  const { gpuSeconds, idleGpuSeconds, burnedUsd, idleUsd } = row ?
    { gpuSeconds: row.gpuSeconds, idleGpuSeconds: row.idleGpuSeconds, burnedUsd: row.usd,
      idleUsd: known(row.usd) && row.gpuSeconds > 0 ? (row.usd * row.idleGpuSeconds) / row.gpuSeconds : null } : frame.money;
  const money = known(burnedUsd);
  const share = (v, of) => (known(v) && of > 0 ? v / of : 0);
  const waiting = waitingOf(frame);
  const errors = row ? row.errors : frame.errors;
  const served = row ? row.served : frame.served;
  const list = [
    { label: money ? "GPU cost" : "GPU time", value: money ? format.usd(burnedUsd) : format.gpuSeconds(gpuSeconds),
      note: `idle ${money ? format.usd(idleUsd) : format.gpuSeconds(idleGpuSeconds)}`, bad: share(idleGpuSeconds, gpuSeconds) > 0.25,
      fill: share(gpuSeconds, most.gpu) - share(idleGpuSeconds, most.gpu), waste: share(idleGpuSeconds, most.gpu) },
    { label: "Waiting", value: run.end ? `peak ${format.count(policy.peakWaiting)}` : format.count(waiting),
      note: run.end ? "" : `peak ${format.count(policy.peakWaiting)}`, fill: 0, waste: share(policy.peakWaiting, most.waiting) },
  ];
  if (!run.isDemo) {
    list.push({ label: "Demand", value: format.rate(frame.rps.arriving), note: "" });
    return list;
  }
  list.push(
    { label: row ? "p95 latency" : "p95, worst second", value: format.ms(p95Of(run, policy)), note: row ? "" : `now ${format.ms(frame.latencyMs ? frame.latencyMs.p95 : null)}`,
      fill: share(p95Of(run, policy), most.p95), waste: 0 },
    { label: "Served", value: format.count(served), note: known(errors) ? `${format.count(errors)} failed` : `failures ${UNKNOWN}`, bad: errors > 0 },
  );
  return list;
}

function meterNode(m) {
  const dd = h("dd", {}, h("span", { class: "meter-value" }, m.value), m.note ? h("span", { class: m.bad ? "meter-note bad" : "meter-note" }, m.note) : null);
  if (m.fill !== undefined) {
    const fill = h("span", { class: "fill" });
    const waste = h("span", { class: "waste" });
    fill.style.width = `${m.fill * 100}%`;
    waste.style.width = `${m.waste * 100}%`;
    dd.append(h("span", { class: "meter", "aria-hidden": "true" }, fill, waste));
  }
  return h("div", { class: "meter-row" }, h("dt", {}, m.label), dd);
}

// ---- the table: policies are columns

const TABLE = [
  { label: "Requests served", key: "served", text: format.count, best: "high" },
  { label: "Failed", key: "errors", text: format.count, best: "low" },
  { label: "Within the SLO", key: "withinSloPct", text: format.share, best: "high" },
  { label: "Latency p50", key: "p50Ms", text: format.ms, best: "low" },
  { label: "Latency p95", key: "p95Ms", text: format.ms, best: "low" },
  { label: "Latency p99", key: "p99Ms", text: format.ms, best: "low" },
  { label: "Cost", key: "usd", text: format.usd, best: "low", served: true },
  { label: "GPU-seconds", key: "gpuSeconds", text: format.number, best: "low", served: true },
  { label: "of them idle", key: "idleGpuSeconds", text: format.number, best: "low", served: true },
  { label: "Scale events", key: "scaleEvents", text: format.count },
];

// served: little is no merit where the load was not served, so only rows with the fewest failures compete. A run that
// was cut short had another load: it competes in nothing.
function tableRow(line, rows) {
  const wholes = rows.filter((row) => row.whole);
  const fewest = Math.min(...wholes.map((row) => row.errors).filter(known));
  const competes = (row) => row.whole && known(row[line.key]) && (!line.served || !known(row.errors) || row.errors <= fewest);
  const values = rows.filter(competes).map((row) => row[line.key]);
  const best = line.best === "low" ? Math.min(...values) : line.best === "high" ? Math.max(...values) : NaN;
  const tells = new Set(wholes.map((row) => row[line.key]).filter(known)).size > 1;
  return h("tr", {}, h("th", { scope: "row" }, line.label), rows.map((row) => {
    const wins = tells && competes(row) && row[line.key] === best;
    return h("td", { class: wins ? "best" : null }, line.text(row[line.key]), wins ? h("span", { class: "sr" }, " (best)") : null);
  }));
}

// ---- the sentence on top, and one for each policy to compare with

function verdict(run) {
  if (!run.isDemo) return { head: scalerVerdict(run), lines: [] };
  if (run.end) return endVerdict(run);
  if (!run.active) return { head: "Waiting for the first figures.", lines: [] };
  const before = run.policies.slice(0, run.policies.indexOf(run.active));
  return { head: nowWords(run.active), lines: before.map((policy) => sameSecondWords(policy, run.active)).filter(Boolean) };
}

function nowWords(policy) {
  const frame = policy.last;
  const waiting = waitingOf(frame);
  const c = gpuCounts(frame);
  const held = c.busy + c.idle + c.starting;
  const parts = [known(waiting) ? `${waiting === 0 ? "no" : format.count(waiting)} ${waiting === 1 ? "request waits" : "requests wait"}` :
    "how many requests wait is unknown"];
  if (frame.errors > 0) parts.push(`${format.count(frame.errors)} failed so far`);
  if (frame.gpus.length) {
    parts.push(`${held} of ${format.plural(frame.gpus.length, "GPU", "GPUs")} ${held === 1 ? "is" : "are"} paid for${c.idle ? `, ${c.idle} of them idle` : ""}`);
  }
  return `${policy.label}: ${parts.join("; ")}.`;
}

// Another policy at the same second of the same load.
function sameSecondWords(policy, active) {
  const i = policy.at(active.last.tS);
  if (i < 0) return "";
  const { waiting, errors, burned, gpuSeconds } = policy.columns;
  const parts = [known(waiting[i]) ? `${format.count(waiting[i])} waiting` : `an ${UNKNOWN} number waiting`];
  if (errors[i] > 0 || active.last.errors > 0) parts.push(`${format.count(errors[i])} failed`);
  if (known(burned[i])) parts.push(`${format.usd(burned[i])} spent, now ${format.usd(active.last.money.burnedUsd)}`);
  else if (known(gpuSeconds[i])) parts.push(`${format.gpuSeconds(gpuSeconds[i])} held, now ${format.gpuSeconds(active.last.money.gpuSeconds)}`);
  return `At this second of the same load, ${policy.label} had ${parts.join(", ")}.`;
}

// "cut short after 10 s", as far as its frames tell
function cutWords(policy) {
  return policy.last ? `cut short after ${format.seconds(policy.last.tS)}` : "cut short";
}

function endedWords(run) {
  const n = run.policies.length;
  const whole = run.policies.filter((policy) => run.stateOf(policy) === "done").length;
  if (whole < n) return `Stopped: ${whole} of ${format.plural(n, "run", "runs")} ${whole === 1 ? "is" : "are"} whole`;
  return n === 1 ? "The run is over" : `All ${n} runs are over`;
}

// Of another policy: how it served, then what it took against ours, where both had the whole load.
function against(run, policy, ours) {
  const { label } = policy;
  const row = run.row(policy.id);
  if (row === null) return `${label} did not run.`;
  if (!row.whole) return `${label} was ${cutWords(policy)}: it is not compared.`;
  const parts = [];
  if (row.errors > 0 || ours.errors > 0) {
    const all = known(row.served) && known(row.errors) ? ` of ${format.count(row.served + row.errors)}` : "";
    parts.push(`${format.count(row.errors)}${all} requests failed`);
  }
  parts.push(`p95 ${format.ms(row.p95Ms)}`);
  if (ours.whole && known(row.gpuSeconds) && known(ours.gpuSeconds) && ours.gpuSeconds > 0) {
    const change = Math.round((100 * (row.gpuSeconds - ours.gpuSeconds)) / ours.gpuSeconds);
    parts.push(change === 0 ? "as much GPU time" : `${Math.abs(change)} % ${change > 0 ? "more" : "less"} GPU time`);
  }
  return `${label}, for the ${ours.whole ? "same" : "whole"} load: ${parts.join(", ")}.`;
}

function endVerdict(run) {
  const ours = run.row("gpuscale");
  if (!ours) return { head: run.byId.has("gpuscale") ? "The run was stopped before gpuscale's turn." : "The run is over.", lines: [] };
  const cost = known(ours.usd) ? ` for ${format.usd(ours.usd)}` : "";
  const failed = known(ours.errors) ? `${ours.errors === 0 ? "none" : format.count(ours.errors)} failed` : "failures unknown";
  const served = `served ${format.plural(ours.served, "request", "requests")}`;
  return {
    head: ours.whole ? `gpuscale ${served}${cost}: ${failed}, p95 ${format.ms(ours.p95Ms)}.` :
      `gpuscale was ${cutWords(run.byId.get("gpuscale"))} and is not compared: until then it ${served}, ${failed}.`,
    lines: run.policies.filter((policy) => policy.id !== "gpuscale").map((policy) => against(run, policy, ours)),
  };
}

function scalerVerdict(run) {
  const frames = run.policies.map((p) => p.last).filter(Boolean);
  if (frames.length === 0) return run.policies.length ? "Waiting for the first figures." : "No ScaledObject yet: the scaler learns of one when KEDA first asks.";
  const waits = frames.map(waitingOf);
  const some = waits.filter(known);
  const total = some.reduce((a, b) => a + b, 0);
  const counts = frames.map(gpuCounts);
  const sum = (state) => counts.reduce((a, c) => a + c[state], 0);
  const gpus = sum("busy") + sum("idle") + sum("starting") + sum("unknown");
  return [`${format.plural(run.policies.length, "workload", "workloads")}:`,
    some.length === 0 ? "how many requests wait is unknown" : `${format.plural(total, "request waits", "requests wait")}${some.length < waits.length ? " at least" : ""}`,
    gpus ? `; ${format.plural(gpus, "GPU", "GPUs")} held, ${sum("idle")} idle` : "",
  ].join(" ").replace(" ;", ";") + ".";
}
