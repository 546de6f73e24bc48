// @ts-check
// What the events of a thread amount to. The same events give the same model, in whatever pieces they come. Touches no
// DOM, and knows no clock: times are those of the events.
//
// - A bar is whatever has a beginning and an end: a task, a message, a call of a tool, waiting for the user.
// - A run that goes on after its server has died says where it goes on: what began after that place is superseded.
// - What is kept is bounded. Of what gives way, sums stay.
import { Message, isObject } from "./message.js";

/** Events that are kept as they came, and bars that have ended. */
export const KEPT = 100_000;

/** Subgraphs of a run that are remembered, as the server does. */
const MOST = 1000;

const ENDS = new Set(["completed", "failed", "interrupted"]);

/** @param {string[]} namespace */
export const keyOf = (namespace) => JSON.stringify(namespace);

/** The namespace of the graph round the one at `namespace`. @param {string[]} namespace */
export function around(namespace) {
  const numbered = namespace.length > 1 && /^\p{Nd}+$/u.test(namespace[namespace.length - 1]);
  return namespace.slice(0, numbered ? -2 : -1);
}

/** The name of a graph, from its namespace. @param {string[]} namespace */
export function nameOf(namespace) {
  const numbered = namespace.length > 1 && /^\p{Nd}+$/u.test(namespace[namespace.length - 1]);
  return (namespace[namespace.length - (numbered ? 2 : 1)] ?? "").split(":")[0];
}

export class Bar {
  /** @param {string} kind @param {string[]} namespace @param {string} name @param {any} event */
  constructor(kind, namespace, name, event) {
    this.kind = kind;
    this.namespace = namespace;
    this.lane = keyOf(namespace);
    this.name = name;
    this.id = "";
    this.seq = event.seq;
    this.begin = event.params.timestamp;
    /** @type {number | null} */
    this.end = null;
    this.endSeq = 0;
    /** Which event of the thread it began with, and which it ended with. */
    this.at = 0;
    this.endAt = 0;
    this.status = "running";
    this.error = "";
    this.superseded = false;
    /** When its first piece came. @type {number | null} */
    this.first = null;
    /** @type {any} */
    this.input = undefined;
    /** @type {any} */
    this.output = undefined;
    /** @type {any[]} */
    this.deltas = [];
    /** @type {Message | null} */
    this.message = null;
    /** Who answered, if it waits for the user. */
    this.answer = "";
  }

  /** @param {string} status @param {any} event @param {number} at @param {string} [error] */
  close(status, event, at, error = "") {
    this.status = status;
    this.error = error;
    this.end = event.params.timestamp;
    this.endSeq = event.seq;
    this.endAt = at;
    if (this.message?.status === "streaming") this.message.status = "failed";
  }
}

/** What an error is to people: text. @param {any} value */
const told = (value) => (value === undefined || value === null ? "" : typeof value === "string" ? value : JSON.stringify(value));

export class Model {
  constructor() {
    /** Rises with every change. */
    this.version = 0;
    /** @type {any[]} */
    this.events = [];
    /** The place of the last event. */
    this.last = 0;
    /** @type {Bar[]} */
    this.bars = [];
    /** @type {any[]} */
    this.runs = [];
    /** @type {string | null} */
    this.status = null;
    /** @type {any} */
    this.values = undefined;
    /** @type {any} */
    this.before = undefined;
    /** The event that showed it, counted from the thread's first. */
    this.valuesAt = 0;
    /** @type {Map<string, {namespace: string[], status: string, graph_name: string, error: string}>} */
    this.graphs = new Map();
    /** What is said of the log itself: gaps, restarts, reconnections. @type {any[]} */
    this.bands = [];
    this.sums = { events: 0, input: 0, output: 0, attempt: 0, droppedEvents: 0, droppedBars: 0 };
    /** How many tokens messages of the last run had, and how long they took. @type {{tokens: number, ms: number}[]} */
    this.rates = [];
    /** How often each node of the root has begun in the last run. @type {Map<string, number>} */
    this.visits = new Map();
    /** @type {Map<string, Bar>} */
    this.open = new Map();
  }

  get run() {
    return this.runs[this.runs.length - 1] ?? null;
  }

  get running() {
    return this.status === "running" || this.status === "started";
  }

  /** What the graph waits for its user with. @returns {Bar[]} */
  get waits() {
    return [...this.open.values()].filter((bar) => bar.kind === "wait");
  }

  /** Something about the log, at the place where it stands now. @param {string} kind @param {string} text @param {number} [at] */
  band(kind, text, at = 0) {
    this.bands.push({ kind, text, seq: this.last, at: at || (this.events.at(-1)?.params.timestamp ?? 0) });
    this.version += 1;
  }

  /** Take an event of the wire. One that was taken already is passed over. @param {any} event */
  apply(event) {
    if (event.seq <= this.last) return;
    this.last = event.seq;
    this.version += 1;
    this.sums.events += 1;
    this.events.push(event);
    if (this.events.length > KEPT * 1.1) {
      this.sums.droppedEvents += this.events.length - KEPT;
      this.events = this.events.slice(-KEPT);
    }
    const { namespace, data } = event.params;
    switch (event.method) {
      case "messages":
        if (isObject(data)) this.#message(event, namespace, data);
        break;
      case "tools":
        if (isObject(data)) this.#tool(event, namespace, data);
        break;
      case "tasks":
        if (isObject(data)) this.#task(event, namespace, data);
        break;
      case "lifecycle":
        if (isObject(data)) this.#lifecycle(event, namespace, data);
        break;
      case "values":
        if (namespace.length === 0) [this.before, this.values, this.valuesAt] = [this.values, data, this.sums.events];
        break;
      case "input.requested":
        if (isObject(data)) this.#asked(event, namespace, data);
        break;
      case "custom":
        if (isObject(data) && data.name === "run.restarted" && !event.params.written) this.#restarted(event, data.payload);
        break;
    }
  }

  /** @param {string} key @param {Bar} bar */
  #begin(key, bar) {
    bar.at = this.sums.events;
    this.open.set(key, bar);
    this.bars.push(bar);
    if (this.bars.length > KEPT * 1.1) {
      const ended = this.bars.length - KEPT;
      this.bars = this.bars.filter((each, place) => place >= ended || each.end === null);
      this.sums.droppedBars += ended;
    }
  }

  /** @param {any} event @param {string[]} namespace @param {any} data */
  #message(event, namespace, data) {
    const key = `message ${JSON.stringify([namespace, data.id ?? null, data.run_id ?? null])}`;
    let bar = this.open.get(key);
    if (bar === undefined) {
      bar = new Bar("message", namespace, String(event.params.node ?? ""), event);
      bar.id = String(data.id ?? "");
      bar.message = new Message();
      this.#begin(key, bar);
    }
    const message = /** @type {Message} */ (bar.message);
    if (message.apply(data) && bar.first === null) bar.first = event.params.timestamp;
    if (message.status === "streaming") return;
    this.open.delete(key);
    bar.close(message.status, event, this.sums.events, message.error);
    const [given, said] = ["input_tokens", "output_tokens"].map((name) => {
      const count = isObject(message.usage) ? message.usage[name] : 0;
      return Number.isInteger(count) ? count : 0;
    });
    this.sums.input += given;
    this.sums.output += said;
    if (said) this.rates.push({ tokens: said, ms: event.params.timestamp - (bar.first ?? bar.begin) });
    if (this.rates.length > 256) this.rates.splice(0, 128);
  }

  /** @param {any} event @param {string[]} namespace @param {any} data */
  #tool(event, namespace, data) {
    const key = `tool ${JSON.stringify([namespace, String(data.run_id || data.tool_call_id)])}`;
    const bar = this.open.get(key);
    if (data.event === "tool-started") {
      if (bar !== undefined) bar.close("failed", event, this.sums.events, "it has been started again");
      const begun = new Bar("tool", namespace, String(data.tool_name ?? ""), event);
      begun.id = String(data.tool_call_id);
      begun.input = data.input;
      this.#begin(key, begun);
    } else if (bar !== undefined && data.event === "tool-output-delta") {
      bar.first ??= event.params.timestamp;
      bar.deltas.push(data.delta);
    } else if (bar !== undefined && (data.event === "tool-finished" || data.event === "tool-error")) {
      this.open.delete(key);
      const failed = data.event === "tool-error";
      const returned = isObject(data.output) && data.output.type === "tool" && data.output.status === "error";
      bar.output = data.output;
      bar.close(failed || returned ? "failed" : "completed", event, this.sums.events, failed ? told(data.message) : "");
    }
  }

  /** @param {any} event @param {string[]} namespace @param {any} data */
  #task(event, namespace, data) {
    const key = `task ${JSON.stringify([namespace, String(data.id)])}`;
    const bar = this.open.get(key);
    if (!("result" in data)) {
      if (bar !== undefined) return;
      const begun = new Bar("task", namespace, String(data.name ?? ""), event);
      begun.id = String(data.id);
      begun.input = data.input;
      this.#begin(key, begun);
      if (namespace.length === 0) this.visits.set(begun.name, (this.visits.get(begun.name) ?? 0) + 1);
    } else if (bar !== undefined) {
      this.open.delete(key);
      bar.output = data.result;
      const asks = Array.isArray(data.interrupts) && data.interrupts.length > 0;
      bar.close(data.error ? "failed" : asks ? "interrupted" : "completed", event, this.sums.events, told(data.error));
    }
  }

  /** @param {any} event @param {string[]} namespace @param {any} data */
  #lifecycle(event, namespace, data) {
    const status = String(data.event ?? "started");
    if (namespace.length > 0) {
      const key = keyOf(namespace);
      const graph = this.graphs.get(key);
      if (graph !== undefined) {
        graph.status = status;
        graph.error = told(data.error);
      } else if (this.graphs.size < MOST) {
        const name = data.graph_name || nameOf(namespace);
        this.graphs.set(key, { namespace, status, graph_name: String(name), error: told(data.error) });
      }
      return;
    }
    const run = this.run;
    if (ENDS.has(status)) {
      if (run !== null && data.run_id !== undefined && run.id !== data.run_id && run.end === null) {
        // It has been cancelled before it began: for the others nothing has happened.
        this.runs.splice(-1, 0, { id: data.run_id, begin: event.params.timestamp, end: event.params.timestamp, status, error: told(data.error), attempt: 0, seq: event.seq });
        return;
      }
      this.status = status;
      if (run !== null) Object.assign(run, { end: event.params.timestamp, status, error: told(data.error) });
      this.#closeAll(event, status);
      return;
    }
    this.status = status;
    if (run === null || run.end !== null || (data.run_id !== undefined && run.id !== data.run_id)) {
      this.graphs = new Map();
      this.visits = new Map();
      this.rates = [];
      this.sums.attempt = 1;
      this.#answered(event);
      this.runs.push({ id: data.run_id ?? "", begin: event.params.timestamp, end: null, status, error: "", attempt: 1, seq: event.seq });
      if (this.runs.length > 2000) this.runs.splice(0, 1000);
    }
  }

  /** The run has ended; so has what is still open. @param {any} event @param {string} status */
  #closeAll(event, status) {
    for (const [key, bar] of this.open) {
      if (bar.kind === "wait") continue;
      this.open.delete(key);
      const waits = status === "interrupted" && bar.kind !== "message";
      bar.close(waits ? "interrupted" : "failed", event, this.sums.events, waits ? "" : "the run ended before it did");
    }
  }

  /** @param {any} event @param {string[]} namespace @param {any} data */
  #asked(event, namespace, data) {
    const key = `wait ${String(data.interrupt_id)}`;
    if (this.open.has(key)) return;
    const bar = new Bar("wait", namespace, "waits for its user", event);
    bar.id = String(data.interrupt_id);
    bar.status = "waiting";
    bar.input = data.payload === undefined ? data.value : data.payload;
    this.#begin(key, bar);
  }

  /** The graph goes on: what it has asked is answered. @param {any} event */
  #answered(event) {
    for (const [key, bar] of this.open) {
      if (bar.kind === "wait") {
        this.open.delete(key);
        bar.close("answered", event, this.sums.events);
      }
    }
  }

  /** @param {any} event @param {any} payload */
  #restarted(event, payload) {
    const after = isObject(payload) && Number.isInteger(payload.after) ? payload.after : this.last;
    this.sums.attempt += 1;
    if (this.run !== null) this.run.attempt = this.sums.attempt;
    let count = 0;
    for (const bar of this.bars) {
      if (bar.seq > after && bar.seq < event.seq && bar.kind !== "wait" && !bar.superseded) {
        bar.superseded = true;
        count += 1;
      }
    }
    for (const [key, bar] of this.open) {
      if (bar.superseded) {
        this.open.delete(key);
        bar.close("failed", event, this.sums.events, "the server that ran it has died");
      }
    }
    this.band("restart", `attempt ${this.sums.attempt}: the server that ran it has died, and the run goes on${count ? `; ${count} ${count === 1 ? "step" : "steps"} superseded` : ""}`, event.params.timestamp);
  }
}

/** The tree of the last run's graphs, as the server tells it. @param {Model} model @param {string} name */
export function treeOf(model, name) {
  /** @type {any} */
  const root = { namespace: [], status: model.status ?? "started", graph_name: name, children: [] };
  /** @type {Map<string, any>} */
  const made = new Map([["[]", root]]);
  for (const [key, graph] of model.graphs) {
    const shown = { namespace: graph.namespace, status: graph.status, graph_name: graph.graph_name, children: [] };
    made.set(key, shown);
    let outer = around(graph.namespace);
    while (!made.has(keyOf(outer))) outer = around(outer);
    made.get(keyOf(outer)).children.push(shown);
  }
  return root;
}

/** The model as it was after the event at `seq`, of what is still kept. @param {Model} model @param {number} seq */
export function asOf(model, seq) {
  const past = new Model();
  for (const event of model.events) {
    if (event.seq > seq) break;
    past.apply(event);
  }
  past.sums.droppedEvents = model.sums.droppedEvents;
  past.bands = model.bands.filter((band) => band.seq <= past.last);
  return past;
}
