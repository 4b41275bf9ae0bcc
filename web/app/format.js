// SPDX-License-Identifier: Apache-2.0
// Numbers as people read them. What is not known is said so: it is never shown as 0.
"use strict";

const UNKNOWN = "unknown";

const known = (v) => typeof v === "number" && Number.isFinite(v);

const format = {
  count(v) {
    return known(v) ? Math.round(v).toLocaleString("en") : UNKNOWN;
  },
  number(v) {
    if (!known(v)) return UNKNOWN;
    const a = Math.abs(v);
    return v.toLocaleString("en", { maximumFractionDigits: a >= 100 ? 0 : a >= 10 ? 1 : 2 });
  },
  rate(v) {
    return known(v) ? `${format.number(v)}/s` : UNKNOWN;
  },
  percent(v) {
    return known(v) ? `${Math.round(v)} %` : UNKNOWN;
  },
  // A percentage near 100 keeps what it lacks.
  share(v) {
    return known(v) ? `${v.toLocaleString("en", { maximumFractionDigits: v > 90 && v < 100 ? 1 : 0 })} %` : UNKNOWN;
  },
  usd(v) {
    if (!known(v)) return UNKNOWN;
    const a = Math.abs(v);
    const digits = a === 0 || a >= 10 ? 2 : a >= 1 ? 2 : a >= 0.1 ? 3 : 4;
    return `${v < 0 ? "-" : ""}$${a.toFixed(digits)}`;
  },
  ms(v) {
    if (!known(v)) return UNKNOWN;
    if (v < 10) return `${v.toFixed(1)} ms`;
    if (v < 1000) return `${Math.round(v)} ms`;
    return `${(v / 1000).toFixed(v < 10000 ? 2 : v < 100000 ? 1 : 0)} s`;
  },
  seconds(v) {
    if (!known(v)) return UNKNOWN;
    return v < 120 ? `${Math.round(v)} s` : v < 7200 ? `${Math.round(v / 60)} min` : `${(v / 3600).toFixed(1)} h`;
  },
  gpuSeconds(v) {
    if (!known(v)) return UNKNOWN;
    return v < 7200 ? `${format.number(v)} GPU-s` : `${format.number(v / 3600)} GPU-h`;
  },
  // For the labels of an axis: short, and 0 is just 0.
  axisMs(v) {
    return v === 0 ? "0" : v < 1000 ? `${format.number(v)} ms` : `${format.number(v / 1000)} s`;
  },
  axisUsd(v) {
    return v === 0 ? "0" : `$${v.toLocaleString("en", { maximumSignificantDigits: 3 })}`;
  },
  clock(unixS) {
    return new Date(unixS * 1000).toLocaleTimeString([], { hour12: false });
  },
  plural(n, one, many) {
    return `${format.count(n)} ${n === 1 ? one : many}`;
  },
};

// h("p", {class: "x"}, "text", node): text goes in as text, always.
function h(name, props, ...children) {
  const svg = h.svg.has(name);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(props || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "onclick" || key === "onchange" || key === "onkeydown") node[key] = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined && child !== false) node.append(child);
  }
  return node;
}
h.svg = new Set(["svg", "path", "line", "rect", "g"]);
