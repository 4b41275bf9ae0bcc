// SPDX-License-Identifier: Apache-2.0
// Drives the page in headless Chromium: drive.mjs MODULES CHROMIUM SCENARIO OPTIONS. Prints one JSON object of
// what it saw; tests/integration/test_page.py says what that must be. MODULES has node_modules/playwright-core.
import { createRequire } from "node:module";
import path from "node:path";

const [modules, chromiumPath, scenario, json] = process.argv.slice(2);
const { chromium } = createRequire(path.join(modules, "package.json"))("playwright-core");
const options = JSON.parse(json);
const LONG_MS = (options.deadlineS || 30) * 1000;

const browser = await chromium.launch({ executablePath: chromiumPath, args: ["--no-sandbox", "--disable-gpu"] });

// A page that remembers all that went wrong on it and whatever it asked the network for.
async function open(url, { width = 1280, height = 900, theme = "light", tls = true } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: theme, ignoreHTTPSErrors: !tls });
  const page = await context.newPage();
  page.setDefaultTimeout(LONG_MS);
  page.trouble = [];
  page.asked = [];
  page.on("console", (m) => page.trouble.push(`${m.type()}: ${m.text()}`));
  page.on("pageerror", (e) => page.trouble.push(`error: ${e.message}`));
  page.on("request", (r) => page.asked.push(r.url()));
  await page.goto(url);
  return page;
}

const text = (page, selector) => page.locator(selector).innerText();
const status = (page, wanted) => page.waitForFunction(
  (w) => document.getElementById("status-text").textContent.startsWith(w), wanted);
const meters = (page) => page.locator(".meter-value").allInnerTexts();

async function shot(page, name) {
  await page.screenshot({ path: path.join(options.shots, `${name}.png`), fullPage: true });
}

// What sticks out to the right of the page, which would make it scroll sideways.
const overflow = (page) => page.evaluate(() => {
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  return wide <= 0 ? [] : [...document.querySelectorAll("body *")].filter((node) =>
    node.getBoundingClientRect().right > document.documentElement.clientWidth + 1 && !node.closest(".scroll"))
    .map((node) => `${node.tagName}.${node.className} ${node.textContent.slice(0, 30)}`).concat(`${wide} px`);
});

// Text that is too faint for its ground (WCAG AA, 4.5 to 1), by computed colours.
const faint = (page) => page.evaluate(() => {
  const rgba = (c) => (c.match(/[\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const c = rgba(getComputedStyle(at).backgroundColor);
      if (c.length === 3 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };
  const bad = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    const box = node.getBoundingClientRect();
    if (!walk.currentNode.textContent.trim() || box.width < 2 || ["SCRIPT", "STYLE"].includes(node.tagName) ||
      node.closest(".sr, .skip, .uplot")) continue;
    const [a, b] = [light(rgba(getComputedStyle(node).color)), light(ground(node))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) bad.push(`${node.tagName}.${node.className} ${ratio.toFixed(2)} ${walk.currentNode.textContent.trim().slice(0, 30)}`);
  }
  return [...new Set(bad)];
});

// Controls without a name, ids that are told and not there.
const nameless = (page) => page.evaluate(() => {
  const name = (n) => n.getAttribute("aria-label") || n.textContent.trim() || (n.labels && n.labels.length && n.labels[0].textContent.trim()) ||
    (n.getAttribute("aria-labelledby") && document.getElementById(n.getAttribute("aria-labelledby")).textContent.trim());
  const bad = [...document.querySelectorAll("button, input, a, [role=img], [tabindex='0']")].filter((n) => !name(n)).map((n) => n.outerHTML.slice(0, 80));
  for (const n of document.querySelectorAll("[aria-labelledby]")) {
    if (!document.getElementById(n.getAttribute("aria-labelledby"))) bad.push(n.outerHTML.slice(0, 80));
  }
  const ids = [...document.querySelectorAll("[id]")].map((n) => n.id);
  return bad.concat(ids.filter((id, i) => ids.indexOf(id) !== i));
});

const points = (page) => page.evaluate(() => view.run.policies.map((p) => p.columns.t.length));

// [line of the table, the columns that it marks as best]
const best = (page) => page.locator("#table tbody tr").evaluateAll((all) => all.map((tr) =>
  [tr.cells[0].textContent, [...tr.cells].map((c, i) => (c.className === "best" ? i : 0)).filter(Boolean)]));

const scenarios = {
  // A run from its first second to its table, in both themes and widths.
  async run() {
    const views = [["light", 1280], ["dark", 1280], ["light", 375], ["dark", 375]];
    const pages = await Promise.all(views.map(([theme, width]) =>
      open(options.url, { theme, width, height: width < 500 ? 812 : 900 })));
    const [first] = pages;
    const mid = [];
    for (const [i, page] of pages.entries()) { // the server holds the run in its second act
      await page.waitForFunction(() => document.querySelectorAll('.card[data-state="running"] .meter-value').length > 0 &&
        view.run?.policies[1]?.columns.t.length === 20);
      await shot(page, `run-${views[i].join("-")}`);
      mid.push({ overflow: await overflow(page), faint: await faint(page), nameless: await nameless(page) });
    }
    console.log("go");
    const seen = [];
    for (let i = 0; i < 12; i += 1) {
      seen.push({ meters: await meters(first), verdict: await text(first, "#verdict"), gpus: await text(first, "#gpus-sub") });
      await first.waitForTimeout(100);
    }
    await Promise.all(pages.map((page) => status(page, "Run over")));
    const end = [];
    for (const [i, page] of pages.entries()) {
      await page.waitForFunction(() => document.querySelectorAll("#table tbody tr").length > 0);
      await shot(page, `end-${views[i].join("-")}`);
      end.push({ overflow: await overflow(page), faint: await faint(page), nameless: await nameless(page), trouble: page.trouble });
    }
    return {
      seen, mid, end, title: await first.title(), verdict: await text(first, "#verdict"),
      against: await first.locator("#against li").allInnerTexts(), best: await best(first),
      table: await first.locator("#table tr").allInnerTexts(), points: await points(first),
      decisions: await first.locator("#decisions li").count(), notes: await first.locator("#notes-list li").allInnerTexts(),
      charts: await first.locator(".uplot").count(), asked: [...new Set(first.asked)],
    };
  },

  // A report from disk: no server anywhere.
  async report() {
    const out = [];
    for (const [theme, width] of [["light", 1280], ["dark", 375]]) {
      const page = await open(options.url, { theme, width });
      await status(page, "Report");
      await shot(page, `${options.name || "report"}-${theme}-${width}`);
      out.push({ trouble: page.trouble, asked: page.asked, title: await page.title(), verdict: await text(page, "#verdict"),
        cards: await page.locator(".card button").allInnerTexts(), table: await page.locator("#table tr").allInnerTexts(),
        charts: await page.locator(".uplot").count(), points: await points(page), overflow: await overflow(page),
        faint: await faint(page), against: await page.locator("#against li").allInnerTexts(), best: await best(page),
        chips: await page.locator(".chip").allInnerTexts(), progress: await text(page, "#progress-text") });
    }
    return { views: out };
  },

  // Names that try to be markup.
  async hostile() {
    const page = await open(options.url);
    await status(page, "Run over");
    return { trouble: page.trouble, title: await page.title(), cards: await page.locator(".card button").allInnerTexts(),
      scripts: await page.locator("script").count(), images: await page.locator("img").count(),
      decisions: await text(page, "#decisions") };
  },

  async unknown() {
    const page = await open(options.url);
    await page.waitForFunction(() => view.run.policies[0].last !== null);
    await page.waitForFunction(() => document.querySelectorAll(".meter-value").length > 0);
    await shot(page, "unknown");
    return { trouble: page.trouble, meters: await page.locator(".card").first().innerText(), verdict: await text(page, "#verdict"),
      queue: await page.evaluate(() => view.run.policies[0].last.queue), gpus: await text(page, "#gpus-sub"), readouts: await page.locator(".readout").allInnerTexts(), all: await page.locator("main").innerText() };
  },

  // Everything by keyboard: where Tab goes, whether one sees it, what Enter and the arrows do.
  async keyboard() {
    const page = await open(options.url);
    await status(page, "Run over");
    const stops = [];
    for (let i = 0; i < 60; i += 1) {
      await page.keyboard.press("Tab");
      const stop = await page.evaluate(() => {
        const n = document.activeElement;
        if (n === document.body) return null;
        const shows = (style) => style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
        const visible = shows(getComputedStyle(n)) || shows(getComputedStyle(n, "::after")) ||
          (n.closest("label") !== null && shows(getComputedStyle(n.closest("label"))));
        return { tag: n.tagName, id: n.id, name: (n.getAttribute("aria-label") || n.textContent || "").trim().slice(0, 60), class: n.className, visible };
      });
      if (stop === null) break;
      stops.push(stop);
    }
    const detail = [await text(page, "#h-detail")];
    await page.locator(".card button").first().focus();
    await page.keyboard.press("Enter");
    detail.push(await text(page, "#h-detail"));
    const pressed = await page.locator(".card button").evaluateAll((all) => all.map((b) => b.getAttribute("aria-pressed")));
    await page.locator("#percentile input[value=p95]").focus();
    await page.keyboard.press("ArrowRight");
    const titles = await page.locator(".overlays .chart-title").allInnerTexts();
    const chart = page.locator(".overlays .chart").first();
    await chart.focus();
    const labels = [];
    for (const key of ["Home", "ArrowRight", "End"]) {
      await page.keyboard.press(key);
      labels.push(await chart.getAttribute("aria-label"));
    }
    await page.locator(".skip").focus();
    await page.keyboard.press("Enter");
    const skipped = await page.evaluate(() => document.activeElement.id);
    return { stops, detail, pressed, titles, labels, skipped, trouble: page.trouble };
  },

  // The server dies and comes back at the same place: tells the outer test when to do it.
  async lost() {
    const page = await open(options.url);
    await status(page, "Live");
    await page.waitForFunction(() => view.run?.policies[0]?.columns.t.length >= 5);
    console.log("kill");
    await status(page, "Connection lost");
    const lost = await text(page, "#status-text");
    const kept = await points(page);
    await shot(page, "lost");
    console.log("revive");
    await status(page, "Live");
    await page.waitForFunction((n) => view.run?.policies[0]?.columns.t.length > n, kept[0] + 2);
    const ts = await page.evaluate(() => view.run.policies[0].columns.t);
    return { lost, kept, ts, trouble: page.trouble.filter((t) => !/net::ERR_/.test(t)) };
  },

  async silent() {
    const page = await open(options.url);
    await status(page, "Live");
    await status(page, "No news for");
    return { status: await text(page, "#status-text"), trouble: page.trouble };
  },

  // What the policy refuses.
  async policy() {
    const page = await open(options.url);
    await status(page, "Live");
    const before = page.trouble.length;
    const owned = await page.evaluate(async (other) => {
      const script = document.createElement("script");
      script.textContent = "window.owned = 1";
      document.body.append(script);
      document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.owned = 2'><p id=styled style='color: rgb(1, 2, 3)'>a</p>");
      let fetched = null;
      try { fetched = (await fetch(other, { mode: "no-cors" })).type; } catch (e) { fetched = "refused"; }
      await new Promise((done) => setTimeout(done, 200));
      return { owned: window.owned ?? null, style: getComputedStyle(document.getElementById("styled")).color, fetched };
    }, options.other);
    return { ...owned, before, refusals: page.trouble.length };
  },

  // The real demo, from its first seconds to its table.
  async demo() {
    const page = await open(options.url, { width: 375, height: 812 });
    const acts = [];
    for (let i = 0; i < options.acts; i += 1) {
      await page.waitForFunction((k) => view.run?.policies[k]?.columns.t.length >= 4, i, { timeout: 4 * LONG_MS });
      acts.push({ verdict: await text(page, "#verdict"), meters: await meters(page), rule: await text(page, "#rule"),
        signals: await page.locator("#signals li").allInnerTexts(), gpus: await text(page, "#gpus-sub") });
      await shot(page, `demo-${i}`);
    }
    await page.waitForFunction(() => view.run.end !== null, null, { timeout: 4 * LONG_MS });
    await page.waitForFunction(() => document.querySelectorAll("#table tbody tr").length > 0);
    await shot(page, "demo-end");
    return { acts, verdict: await text(page, "#verdict"), status: await text(page, "#status-text"), trouble: page.trouble, overflow: await overflow(page),
      faint: await faint(page), table: await page.locator("#table tr").allInnerTexts(), decisions: await text(page, "#decisions"), points: await points(page) };
  },

  // From the form with a wrong and a right token to the page, and out again.
  async login() {
    const page = await open(options.url, { tls: false });
    const form = await page.locator("main").innerText();
    const looks = [await overflow(page), await faint(page), await nameless(page)];
    await shot(page, "login");
    await page.fill("#token", "wrong");
    await page.click("button:has-text('Sign in')");
    const refused = await text(page, ".why");
    await shot(page, "login-refused");
    page.trouble.length = 0; // the browser tells each 401
    await page.fill("#token", options.token + "\n");
    await page.click("button:has-text('Sign in')");
    await status(page, "Live");
    await page.waitForFunction(() => view.run.policies.length > 0 && document.querySelectorAll(".card").length > 0);
    await page.waitForFunction(() => document.querySelectorAll("#notes-list li").length > 1);
    await shot(page, "login-page");
    const seen = { policies: await page.evaluate(() => view.run.policies.map((p) => p.label)), text: await page.locator("main").innerText(),
      notes: await text(page, "#notes"), script: await page.evaluate(() => document.cookie), trouble: [...page.trouble] };
    console.log("restart"); // and the token is known no more: the page turns into the form by itself
    await page.waitForSelector("#token");
    const ended = await text(page, ".why");
    await page.goto(options.url + "login");
    await page.click("button:has-text('Sign out')");
    await page.waitForURL("**/login");
    await page.goto(options.url);
    looks.push(await overflow(page));
    return { form, refused, ended, ...seen, out: await page.locator("main").innerText(), overflow: [...looks[0], ...looks[3]], faint: looks[1],
      nameless: looks[2] };
  },

  // Any page of the scaler: what it shows after the condition of the outer test.
  async scaler() {
    const pages = [];
    for (const [theme, width] of [["light", 1280], ["dark", 375]]) {
      const page = await open(options.url, { theme, width, height: width < 500 ? 812 : 900 });
      await status(page, "Live");
      await page.waitForFunction((n) => view.run?.policies.length === n.policies && view.run.policies.every((p) => p.columns.t.length >= n.frames), options.wait);
      await page.waitForFunction(() => document.querySelectorAll(".meter-value").length > 0);
      await shot(page, `scaler-${theme}-${width}`);
      pages.push({ trouble: page.trouble, overflow: await overflow(page), faint: await faint(page), nameless: await nameless(page),
        text: await page.locator("main").innerText(), rule: await text(page, "#rule"), signals: await page.locator("#signals li").allInnerTexts(),
        decisions: await text(page, "#decisions"), title: await page.title(), asked: [...new Set(page.asked)] });
    }
    return { pages };
  },
};

try {
  console.log(JSON.stringify(await scenarios[scenario]()));
} finally {
  await browser.close();
}
