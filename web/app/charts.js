// SPDX-License-Identifier: Apache-2.0
// Charts on uPlot and the band of GPU states; colours come from the style sheet's variables.
"use strict";

const AXIS_PX = 42; // both sides alike, so that the band below a chart lines up
const FONT = "11px system-ui, sans-serif";

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

// 1, 2, 5, 10, ...: so that counts get no half labels.
const SECOND_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];
const WHOLE_STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 1e5, 1e6];

function topOf(max, least) {
  return Math.max(known(max) ? max * 1.08 : 0, least);
}

// A sample of a line for legends, drawn as the chart draws it.
function swatch(line) {
  const attributes = { x1: 1, y1: 4, x2: 25, y2: 4, "stroke-width": line.width, class: `stroke-${line.color}` };
  if (line.dash) attributes["stroke-dasharray"] = line.dash.join(" ");
  return h("svg", { class: "swatch", viewBox: "0 0 26 8", "aria-hidden": "true" }, h("line", attributes));
}

class LineChart {
  // options: title, lines [{label, color, dash, width, fill, step, right, format}], least (of the y axis),
  // whole, format, axis (format of its labels), right (the same of the right axis), height, readout
  constructor(parent, options) {
    this.options = options;
    this.plot = null;
    this.data = null;
    this.range = null;
    this.box = h("div", { class: "plot" });
    this.readout = h("span", { class: "readout" });
    this.figure = h("figure", { class: "chart", tabindex: "0", role: "group", onkeydown: (e) => this.onKey(e) },
      h("figcaption", {}, h("span", { class: "chart-title" }, options.title), this.readout), this.box);
    parent.append(this.figure);
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.box);
  }

  remove() {
    this.observer.disconnect();
    if (this.plot) this.plot.destroy();
    this.figure.remove();
  }

  width() {
    return Math.max(160, Math.floor(this.box.clientWidth));
  }

  resize() {
    if (this.plot && this.plot.width !== this.width()) {
      this.plot.setSize({ width: this.width(), height: this.options.height });
    }
  }

  // data: [x, y...]; range {x: [from, to], wall, y, right: tops}
  set(data, range) {
    this.range = range;
    this.data = data;
    if (!this.plot) this.make();
    else this.plot.setData(data);
    this.tell(null);
  }

  recolor() {
    if (!this.plot) return;
    this.plot.destroy();
    this.make();
  }

  make() {
    this.box.replaceChildren();
    this.plot = new uPlot(this.plotOptions(), this.data, this.box);
    this.plot.root.setAttribute("aria-hidden", "true");
  }

  plotOptions() {
    const { lines, least, whole, format: text, axis: label = text, right, height } = this.options;
    const grid = { stroke: color("grid"), width: 1 };
    const axis = { stroke: color("muted"), font: FONT, grid, ticks: { show: false }, size: AXIS_PX, gap: 4 };
    const scales = {
      x: { time: false, range: () => this.range.x },
      y: { range: (u, min, max) => [0, topOf(this.range.y ?? max, least)] },
    };
    const axes = [
      { ...axis, size: 22, grid: { show: false }, space: 64, incrs: SECOND_STEPS, values: (u, ticks) => ticks.map((t) => this.xText(t)) },
      { ...axis, space: 28, ...(whole ? { incrs: WHOLE_STEPS } : {}), values: (u, ticks) => ticks.map(label) },
    ];
    if (right) {
      scales.right = { range: (u, min, max) => [0, topOf(this.range.right ?? max, 1)] };
      axes.push({ ...axis, scale: "right", side: 1, grid: { show: false }, space: 28, values: (u, ticks) => ticks.map(right) });
    }
    return {
      width: this.width(), height, scales, axes,
      padding: [8, right ? 0 : this.range.wall ? 26 : 14, 0, 0],
      legend: { show: false },
      cursor: { sync: { key: "t" }, drag: { x: false, y: false }, points: { size: 6 }, y: false },
      series: [{}, ...lines.map((line) => this.seriesOf(line))],
      hooks: { setCursor: [(u) => this.tell(u.cursor.idx)] },
    };
  }

  seriesOf(line) {
    const stroke = color(line.color);
    return {
      label: line.label, scale: line.right ? "right" : "y", stroke, width: line.width, dash: line.dash,
      fill: line.fill ? color(line.fill) : undefined, points: { show: false },
      paths: line.step ? uPlot.paths.stepped({ align: -1 }) : undefined,
    };
  }

  xText(t) {
    return this.range.wall ? format.clock(t) : `${format.number(t)} s`;
  }

  // The values at a point, or the last ones, in words.
  tell(at) {
    const { lines, readout } = this.options;
    const [xs, ...columns] = this.data;
    const parts = lines.flatMap((line, k) => {
      const column = columns[k];
      let i = at === null || at === undefined ? column.length - 1 : at;
      while (i >= 0 && column[i] === undefined) i -= 1; // another policy's point
      if (i < 0) return []; // it has not run yet
      return [`${line.label} ${(line.format || this.options.format)(column[i])}`];
    });
    const when = known(at) ? `${this.xText(xs[at])}: ` : "";
    this.readout.textContent = xs.length && (readout !== false || known(at)) ? when + parts.join(" · ") : "";
    this.figure.setAttribute("aria-label", `${this.options.title}. ${when}${parts.join(", ")}. Arrow keys read the values.`);
  }

  onKey(e) {
    const n = this.data ? this.data[0].length : 0;
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity }[e.key];
    if (step === undefined || n === 0) return;
    e.preventDefault();
    const now = this.plot.cursor.idx ?? n - 1;
    const i = Math.min(n - 1, Math.max(0, now + step));
    this.plot.setCursor({ left: this.plot.valToPos(this.data[0][i], "x"), top: 1 });
  }
}

const BAND_STATES = { b: "busy", i: "idle", s: "starting", f: "free", u: "unknown" };

function hatch(ctx, fore, back) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 6;
  const t = tile.getContext("2d");
  t.fillStyle = back;
  t.fillRect(0, 0, 6, 6);
  t.strokeStyle = fore;
  t.lineWidth = 2;
  t.beginPath();
  for (const x of [-6, 0, 6]) {
    t.moveTo(x - 1, 7);
    t.lineTo(x + 7, -1);
  }
  t.stroke();
  return ctx.createPattern(tile, "repeat");
}

// A row for each GPU, time from left to right: what it did when.
class GpuBand {
  constructor(parent, title) {
    this.title = title;
    this.canvas = h("canvas", { class: "band", role: "img" });
    this.figure = h("figure", { class: "chart" }, h("figcaption", {}, h("span", { class: "chart-title" }, title)), this.canvas);
    parent.append(this.figure);
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.canvas);
  }

  remove() {
    this.observer.disconnect();
    this.figure.remove();
  }

  set(policy, x, offset) {
    this.policy = policy;
    this.x = x;
    this.offset = offset;
    this.draw();
  }

  recolor() {
    this.draw();
  }

  draw() {
    if (!this.policy) return;
    const { gpus } = this.policy;
    this.figure.hidden = gpus.every((states) => states === "");
    const rows = gpus.reduce((most, states) => Math.max(most, states.length), 0);
    const pitch = rows > 24 ? 4 : rows > 12 ? 6 : 9;
    const width = this.canvas.clientWidth;
    const height = Math.max(1, rows * pitch);
    const scale = window.devicePixelRatio || 1;
    this.canvas.style.height = `${height}px`;
    this.canvas.width = Math.round(width * scale);
    this.canvas.height = Math.round(height * scale);
    this.paint(this.canvas.getContext("2d"), scale, width, rows, pitch);
    this.canvas.setAttribute("aria-label", `${this.title}: ${this.words(rows)}`);
  }

  paint(ctx, scale, width, rows, pitch) {
    ctx.scale(scale, scale);
    const fills = {
      b: color("busy"), i: hatch(ctx, color("waste"), color("waste-soft")), s: color("starting"),
      u: hatch(ctx, color("grid"), color("panel")), f: color("free"),
    };
    const left = AXIS_PX;
    const span = width - left - AXIS_PX;
    const place = (t) => left + (span * (t - this.x[0])) / (this.x[1] - this.x[0] || 1);
    const ts = this.policy.columns.t;
    const pace = ts.length > 1 ? (ts[ts.length - 1] - ts[0]) / (ts.length - 1) : 1;
    for (let i = 0; i < ts.length; i += 1) {
      const to = place(ts[i] + this.offset);
      const from = Math.max(left, place(Math.max(i > 0 ? ts[i - 1] : ts[i] - pace, ts[i] - 3 * pace) + this.offset));
      for (let row = 0; row < rows; row += 1) {
        ctx.fillStyle = fills[this.policy.gpus[i][row] || "f"];
        ctx.fillRect(from, row * pitch, to - from + 0.5, pitch - 1);
      }
    }
  }

  words(rows) {
    const counts = {};
    for (const states of this.policy.gpus) {
      for (const s of states) counts[s] = (counts[s] || 0) + 1;
    }
    const all = Object.values(counts).reduce((a, b) => a + b, 0) || 1;
    const shares = Object.entries(BAND_STATES).filter(([s]) => counts[s]);
    return `${format.plural(rows, "GPU", "GPUs")}: ` +
      shares.map(([s, name]) => `${name} ${Math.round((100 * counts[s]) / all)} % of the time`).join(", ");
  }
}
