// SPDX-License-Identifier: Apache-2.0
// Where the frames come from: a run inside the page (a report), or the feed beside it.
"use strict";

const RETRY_MS = 2000, PATIENCE_MS = 1000;
const STATES = { wait: "Connecting", live: "Live", lost: "No news from the server", over: "The run is over", report: "" };
const SILENT_MS = 6000; // a frame comes each second

// Returns the view, for who looks in with a debugger or a test.
function start() {
  const run = new Run();
  const view = new View(run);
  const inside = $("run");
  if (inside) showReport(run, view, JSON.parse(inside.textContent));
  else new Feed(run, view).open();
  return view;
}

function setStatus(state, text) {
  $("status").dataset.state = state;
  $("status-text").textContent = text;
  say("feed", STATES[state]);
}

function showReport(run, view, { hello, frames, end }) {
  run.setHello(hello);
  for (const frame of frames) run.addFrame(frame);
  run.end = end;
  if (run.byId.has("gpuscale")) view.chosen = "gpuscale";
  setStatus("report", "Report");
  view.draw();
}

class Feed {
  constructor(run, view) {
    this.run = run;
    this.view = view;
    this.heardAt = null;
    this.lost = false;
    setInterval(() => this.tellAge(), 1000);
  }

  open() {
    this.source = new EventSource("api/v1/live");
    this.source.addEventListener("hello", (e) => this.take(e, (data) => this.run.setHello(data)));
    this.source.addEventListener("frame", (e) => this.take(e, (data) => this.run.addFrame(data)));
    this.source.addEventListener("end", (e) => this.take(e, (data) => this.finish(data)));
    this.source.onerror = () => this.onError();
  }

  take(event, use) {
    this.heardAt = Date.now();
    this.lost = false;
    const data = JSON.parse(event.data);
    if (event.type === "hello" && (this.run.hello === null || this.run.hello.run !== data.run)) this.run.lastId = 0;
    // A hello that opens a feed repeats an old number.
    if (event.type === "hello" || this.run.isNew(Number(event.lastEventId) || 0)) use(data);
    this.tellAge();
    this.view.later();
  }

  finish(data) {
    this.run.end = data;
    this.source.close();
    setStatus("over", "Run over");
  }

  onError() {
    if (this.run.end) return;
    // A feed that ends so that we show anew who we are is back at once.
    const heardAt = this.heardAt;
    setTimeout(() => this.heardAt === heardAt && this.setLost(), PATIENCE_MS);
    if (this.source.readyState !== EventSource.CLOSED) return; // it tries again by itself
    this.source.close();
    setTimeout(() => this.open(), RETRY_MS);
    this.askWhy();
  }

  setLost() {
    this.lost = true;
    this.tellAge();
  }

  // The browser does not say with which status a feed was refused. Where a token is wanted, the page is a form.
  askWhy() {
    fetch("api/v1/objects?limit=1").then((answer) => answer.status === 401 && location.reload(), () => {});
  }

  tellAge() {
    if (this.run.end) return setStatus("over", "Run over");
    const age = this.heardAt === null ? null : Date.now() - this.heardAt;
    if (this.lost) {
      setStatus("lost", age === null ? "No connection, trying again" :
        `Connection lost ${Math.round(age / 1000)} s ago, trying again`);
    } else if (age === null) setStatus("wait", "Connecting");
    else if (age > SILENT_MS && this.run.policies.length > 0) setStatus("lost", `No news for ${Math.round(age / 1000)} s`);
    else setStatus("live", "Live");
  }
}

const view = start();
