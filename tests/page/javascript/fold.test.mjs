// `node --test`: what the page makes of logs is what Python makes of them, in whatever pieces they come.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mock, test } from "node:test";

const { CASES, STATIC } = process.env;
const { Model, asOf, treeOf } = await import(`${STATIC}/fold.js`);
const { Frames, Stream } = await import(`${STATIC}/stream.js`);
const { rowsOf, within, layered } = await import(`${STATIC}/layout.js`);

const cases = JSON.parse(readFileSync(CASES, "utf8"));
const plain = (value) => JSON.parse(JSON.stringify(value ?? null));

function summary(model) {
  const of = (kind) => model.bars.filter((bar) => bar.kind === kind);
  return plain({
    messages: of("message").map(({ namespace, id, name, message, superseded }) => ({
      namespace, id, node: name, role: message.role, text: message.text, reasoning: message.reasoning,
      calls: message.calls.map((call) => [call.id, call.name, call.args]), usage: message.usage ?? null,
      status: message.status, superseded,
    })),
    calls: of("tool").map((bar) => ({
      call_id: bar.id, name: bar.name, given: bar.input ?? null, namespace: bar.namespace, deltas: bar.deltas,
      output: bar.output ?? null, status: bar.status, superseded: bar.superseded,
    })),
    tree: treeOf(model, model.runs.length ? "graph" : ""),
    values: model.values ?? null,
    status: model.status,
    events: model.sums.events,
    tokens: [model.sums.input, model.sums.output],
    attempt: model.sums.attempt,
  });
}

/** Equal, or told by the first place where they are not. */
function same(found, expected, name, path = "") {
  const nested = (value) => value !== null && typeof value === "object";
  if (!nested(found) || !nested(expected)) {
    assert.ok(Object.is(found, expected), `${name}${path}: ${JSON.stringify(found)}, not ${JSON.stringify(expected)}`);
    return;
  }
  for (const key of new Set([...Object.keys(found), ...Object.keys(expected)])) same(found[key], expected[key], name, `${path}.${key}`);
}

function fold(events) {
  const model = new Model();
  for (const event of events) model.apply(event);
  return model;
}

test("every log, as Python folds it", () => {
  assert.ok(cases.length > 100);
  for (const { name, events, expected } of cases) same(summary(fold(events)), expected, name);
});

test("a log that comes twice, after a reconnection, counts once", () => {
  for (const { name, events, expected } of cases) {
    const model = new Model();
    const half = events.length >> 1;
    for (const event of [...events.slice(0, half), ...events.slice(half >> 1), ...events]) model.apply(event);
    same(summary(model), expected, name);
  }
});

test("how it was is how it was", () => {
  for (const { name, events } of cases.slice(0, 60)) {
    const model = fold(events);
    for (const seq of [1, events.length >> 2, events.length >> 1]) {
      const past = fold(events.filter((event) => event.seq <= seq));
      same(summary(asOf(model, seq)), summary(past), name);
    }
  }
});

test("no bar stands over another one, and every one stands somewhere", () => {
  for (const { name, events } of cases) {
    const grown = new Model();
    for (const event of events) {
      grown.apply(event);
      rowsOf(grown, new Set(), "graph");
    }
    const rows = rowsOf(grown, new Set(), "graph");
    assert.equal(rows.reduce((sum, row) => sum + row.bars.length, 0), grown.bars.length, name);
    for (const { bars } of rows) {
      bars.forEach((bar, at) => assert.ok(at === 0 || (bars[at - 1].endSeq && bars[at - 1].endSeq < bar.seq), name));
    }
    // Placed while they came, or all at once.
    const shape = (all) => all.map((row) => [row.lane.key, row.bars.map((bar) => bar.seq)]);
    assert.deepEqual(shape(rowsOf(fold(events), new Set(), "graph")), shape(rows), name);
  }
});

test("a folded lane is one row", () => {
  const model = fold(cases[0].events);
  assert.equal(rowsOf(model, new Set(["[]"]), "graph").length, 1);
});

/** Runs of a graph that begins so many subgraphs at once, each of which is given something. */
function wide(model, runs, subgraphs, given) {
  let seq = model.last;
  const apply = (method, namespace, data) => model.apply({ seq: seq += 1, method, params: { namespace, timestamp: seq, data } });
  for (let run = model.runs.length, end = run + runs; run < end; run += 1) {
    apply("lifecycle", [], { event: "running", run_id: `${run}` });
    for (let n = 0; n < subgraphs; n += 1) {
      apply("tasks", [], { id: `${run}-${n}`, name: "worker", input: given(n) });
      apply("tasks", [`worker:${run}-${n}`], { id: "0", name: "step", input: 1 });
    }
    for (let n = 0; n < subgraphs; n += 1) {
      apply("tasks", [`worker:${run}-${n}`], { id: "0", name: "step", result: 1 });
      apply("tasks", [], { id: `${run}-${n}`, name: "worker", result: 1 });
    }
    apply("lifecycle", [], { event: "completed", run_id: `${run}` });
  }
  return model;
}

test("lanes and rows of earlier runs can be left out", () => {
  const model = wide(wide(new Model(), 3, 5, (n) => `task ${n}`), 1, 2, (n) => `task ${n}`);
  const notes = (since) => rowsOf(model, new Set(), "graph", since).filter((row) => row.head && row.depth).map((row) => row.note);
  assert.equal(notes(0).length, 17);
  assert.deepEqual(notes(model.run.seq), ["#1 task 0", "#2 task 1"]);
  assert.equal(rowsOf(model, new Set(), "graph", model.run.seq).length, 4);
  assert.equal(rowsOf(model, new Set(["[]"]), "graph", model.run.seq).length, 1);
});

test("what a subgraph was given is written once, however often it is drawn", () => {
  let written = 0;
  const model = wide(new Model(), 1, 3, (n) => ({ toJSON: () => { written += 1; return n; } }));
  for (let frame = 0; frame < 10; frame += 1) rowsOf(model, new Set(), "graph");
  assert.equal(written, 3);
});

test("how fast a run's messages came is told of all of them", () => {
  const model = new Model();
  let seq = 0;
  const apply = (method, timestamp, data) => model.apply({ seq: seq += 1, method, params: { namespace: [], timestamp, data } });
  apply("lifecycle", 0, { event: "running", run_id: "r" });
  for (let n = 0; n < 100; n += 1) {
    apply("messages", n * 1000, { event: "message-start", id: `${n}` });
    apply("messages", n * 1000 + 500, { event: "content-block-delta", index: 0, id: `${n}`, delta: { type: "text-delta", text: "x" } });
    apply("messages", n * 1000 + 600, { event: "message-finish", id: `${n}`, usage: { output_tokens: 7 } });
    for (let task = 0; task < 10; task += 1) apply("tasks", n * 1000 + 700, { id: `${n} ${task}`, name: "step" });
  }
  const sum = (name) => model.rates.reduce((total, each) => total + each[name], 0);
  assert.deepEqual([sum("tokens"), sum("ms")], [700, 10_000]);
});

test("a tab without a place leaves its connection to others, however much comes", async () => {
  const before = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  const locks = { request: (name, options, work) => work(null) };
  Object.defineProperty(globalThis, "navigator", { value: { locks }, configurable: true });
  mock.timers.enable({ apis: ["setTimeout"] });
  const settled = () => new Promise(setImmediate);
  let open = 0, opened = 0;
  const stream = new Stream({
    open: async (signal) => {
      open += 1;
      opened += 1;
      const body = new ReadableStream({
        start: (controller) => signal.addEventListener("abort", () => { open -= 1; controller.error(signal.reason); }),
        async pull(controller) {
          await new Promise(setImmediate);
          if (!signal.aborted) controller.enqueue(new TextEncoder().encode(": more\n\n"));
        },
      });
      return new Response(body);
    },
    take: () => {},
    tell: () => {},
  });
  try {
    stream.start();
    for (let n = 0; n < 9; n += 1) { await settled(); mock.timers.tick(100); await settled(); }
    assert.deepEqual([open, opened], [1, 1]);
    for (let n = 0; n < 5; n += 1) { mock.timers.tick(100); await settled(); }
    assert.deepEqual([open, opened], [0, 1]);
    for (let n = 0; n < 20; n += 1) { mock.timers.tick(100); await settled(); }
    assert.equal(opened, 2);
  } finally {
    stream.stop();
    mock.timers.reset();
    if (before) Object.defineProperty(globalThis, "navigator", before);
    else delete globalThis.navigator;
  }
});

test("bars that cannot be told apart are one", () => {
  const bars = Array.from({ length: 10_000 }, (_, n) => ({ begin: n, end: n + 0.5 }));
  assert.ok(within(bars, 0, 10_000, 10_000, 60).length <= 61);
  assert.equal(within(bars, 100, 110, 10_000, 60).length, 11);
});

test("frames are whole, however the bytes are cut", () => {
  const text = ': heartbeat\n\nevent: values\ndata: {"a":"ö🦆"}\nid: 1-2\n\nevent: error\ndata: {"b":2}\n\n';
  const bytes = new TextEncoder().encode(text);
  for (let size = 1; size <= bytes.length; size += 1) {
    const frames = new Frames();
    const found = [];
    for (let at = 0; at < bytes.length; at += size) found.push(...frames.push(bytes.slice(at, at + size)));
    assert.deepEqual(found, [{ event: "values", data: '{"a":"ö🦆"}', id: "1-2" }, { event: "error", data: '{"b":2}', id: "" }]);
  }
});

test("a graph with a circle has layers", () => {
  const nodes = ["start", "model", "tools", "end"].map((id) => ({ id }));
  const edges = [["start", "model"], ["model", "tools"], ["tools", "model"], ["model", "end"]].map(([source, target]) => ({ source, target }));
  const { places, edges: drawn } = layered(nodes, edges);
  assert.deepEqual(nodes.map(({ id }) => places.get(id).y), [0, 1, 2, 2]);
  assert.deepEqual(drawn.map((edge) => edge.back), [false, false, true, false]);
});

test("what is kept is bounded, and sums stay", () => {
  const model = new Model();
  const event = (seq) => ({ seq, method: "tasks", params: { namespace: [], timestamp: seq, data: seq % 2 ? { id: `${seq >> 1}`, name: "n" } : { id: `${(seq >> 1) - 1}`, result: 1 } } });
  for (let seq = 1; seq <= 250_000; seq += 1) model.apply(event(seq));
  assert.ok(model.events.length <= 110_001);
  assert.ok(model.bars.length <= 110_001);
  assert.equal(model.events.length + model.sums.droppedEvents, 250_000);
  assert.equal(model.sums.events, 250_000);
});
