// @ts-check
// What is beneath the waterfall: the conversation, the state, the events, the graph, and who waits for whom.
import { Component, State, Value, count, html, line, prose, visible, written } from "./dom.js";
import { isObject } from "./message.js";
import { layered } from "./layout.js";
import { Said } from "./waterfall.js";

/** @typedef {import("./fold.js").Model} Model */

const ROLES = new Map([["human", "user"], ["user", "user"], ["ai", "assistant"], ["assistant", "assistant"], ["tool", "tool"], ["system", "system"]]);

/** The text of a message's content. @param {any} content @returns {string} */
function textOf(content) {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return written(content);
  return content.map((block) => (typeof block === "string" ? block : isObject(block) && typeof block.text === "string" ? block.text : isObject(block) && block.type !== "tool_call" ? written(block, 0) : "")).join("");
}

/** @param {{model: Model}} props */
export function Chat({ model }) {
  const kept = isObject(model.values) && Array.isArray(model.values.messages) ? model.values.messages.filter(isObject) : [];
  const ids = new Set(kept.map((message) => message.id));
  const from = model.run?.seq ?? 0;
  const more = model.bars.filter((bar) => bar.kind === "message" && !bar.superseded && !ids.has(bar.id) && (!kept.length || bar.seq > from));
  return html`<ol class="chat" aria-label="Conversation">
    ${kept.slice(-500).map((message) => html`<li class=${`turn ${ROLES.get(message.type ?? message.role) ?? "other"}`}>
      <b>${line(ROLES.get(message.type ?? message.role) ?? message.type ?? "message", 40)}${message.name ? ` ${line(message.name, 40)}` : ""}</b>
      <p>${prose(textOf(message.content))}</p>
      ${(Array.isArray(message.tool_calls) ? message.tool_calls : []).filter(isObject).map((call) => html`<div class="call">calls <b>${line(call.name, 60)}</b> <code>${line(written(call.args, 0), 1000)}</code></div>`)}
    </li>`)}
    ${more.slice(-500).map((bar) => html`<li key=${bar.seq} class=${`turn ${ROLES.get(bar.message?.role ?? "") ?? "other"}`}>
      <b>${ROLES.get(bar.message?.role ?? "") ?? "message"}${bar.name ? ` ${line(bar.name, 40)}` : ""}${bar.namespace.length ? html`<span class="dim"> in ${line(bar.namespace.join(" / "), 80)}</span>` : ""}</b>
      ${bar.end === null ? html` <${State} state="running" />` : ""}
      <${Said} message=${bar.message} />
    </li>`)}
    ${kept.length || more.length ? "" : html`<li class="dim">Nothing has been said.</li>`}
  </ol>`;
}

/** What has changed between two values, as paths. @param {any} before @param {any} after @param {string} [path] @param {any[]} [found] */
export function changes(before, after, path = "", found = []) {
  if (found.length > 200 || JSON.stringify(before) === JSON.stringify(after)) return found;
  const nested = (isObject(before) && isObject(after)) || (Array.isArray(before) && Array.isArray(after));
  if (!nested) {
    const kind = before === undefined ? "added" : after === undefined ? "removed" : "changed";
    found.push({ kind, path: path || "everything", before, after });
    return found;
  }
  const get = (/** @type {any} */ of, /** @type {string} */ key) => (Object.hasOwn(of, key) ? of[key] : undefined);
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    changes(get(before, key), get(after, key), path ? `${path}.${key}` : key, found);
  }
  return found;
}

/** The last snapshot, which may be large: it is compared and written once, not with each frame. */
export class StateTab extends Component {
  /** @param {any} props */
  constructor(props) {
    super(props);
    this.at = 0;
  }

  shouldComponentUpdate({ model }) {
    return model !== this.props.model || model.valuesAt !== this.at;
  }

  render({ model }) {
    this.at = model.valuesAt;
    if (model.values === undefined) return html`<p class="dim">No state has been shown yet.</p>`;
    const found = changes(model.before, model.values);
    return html`<div>
      <h3>What changed since the snapshot before</h3>
      <ul class="changes" aria-label="Changes">${found.slice(0, 200).map((each) => html`<li class=${each.kind}><b>${each.kind}</b> <code>${line(each.path, 200)}</code>
        ${each.kind === "removed" ? "" : html` <span>${line(written(each.after, 0), 300)}</span>`}${each.kind === "added" ? "" : html` <s>${line(written(each.before, 0), 120)}</s>`}</li>`)}
        ${found.length ? "" : html`<li class="dim">Nothing.</li>`}</ul>
      <h3>State after event ${model.valuesAt}</h3>
      <${Value} label="State" value=${model.values} />
    </div>`;
  }
}

const ROW = 24;
const ROWS = 16;

/** The events as they came, of which those in sight are in the document. */
export class Events extends Component {
  /** @param {any} props */
  constructor(props) {
    super(props);
    this.state = { channel: "", where: "", top: 0, open: 0 };
    this.found = { version: -1, key: "", events: [] };
  }

  /** @param {Model} model */
  matching(model) {
    const { channel, where } = this.state;
    const key = `${channel} ${where}`;
    if (!channel && !where) return model.events;
    if (this.found.version !== model.version || this.found.key !== key) {
      const events = model.events.filter((event) => (!channel || event.method === channel) && (!where || event.params.namespace.join(" / ").includes(where)));
      this.found = { version: model.version, key, events };
    }
    return this.found.events;
  }

  render({ model, onPlace }, { channel, where, top, open }) {
    const events = this.matching(model);
    const first = Math.max(0, Math.floor(top / ROW) - 2);
    const begun = model.events[0]?.params.timestamp ?? 0;
    const chosen = open ? events.find((event) => event.seq === open) : undefined;
    return html`<div>
      <div class="filters">
        <label>Channel <select value=${channel} onChange=${(event) => this.setState({ channel: event.target.value, top: 0 })}><option value="">all</option>
          ${["messages", "tools", "tasks", "values", "updates", "lifecycle", "input.requested", "checkpoints", "custom"].map((each) => html`<option value=${each}>${each}</option>`)}</select></label>
        <label>Namespace <input type="search" value=${where} onInput=${(event) => this.setState({ where: event.target.value, top: 0 })} /></label>
        <span class="dim">${count(events.length, "event")}${model.sums.droppedEvents ? `, ${count(model.sums.droppedEvents, "older one")} not kept` : ""}</span>
      </div>
      <div class="events" tabindex="0" role="group" aria-label="Events" style=${{ height: `${ROWS * ROW}px` }} onScroll=${(event) => this.setState({ top: event.target.scrollTop })}>
        <div style=${{ height: `${events.length * ROW}px` }}>
          ${events.slice(first, first + ROWS + 4).map((event, at) => html`<button key=${event.seq} class="event" style=${{ top: `${(first + at) * ROW}px` }} aria-expanded=${event.seq === open} onClick=${() => this.setState({ open: event.seq === open ? 0 : event.seq })}>
            <span class="dim">+${((event.params.timestamp - begun) / 1000).toFixed(2)}</span> <b>${line(event.method, 30)}</b> <span>${line(event.params.namespace.join(" / "), 60)}</span> <code>${line(written(event.params.data, 0).slice(0, 400), 200)}</code></button>`)}
        </div>
      </div>
      ${chosen ? html`<h3>${line(chosen.method, 30)} <button onClick=${() => onPlace(chosen.seq)}>Show the run as it was then</button></h3><${Value} label="Event" value=${chosen} />` : ""}
    </div>`;
  }
}

const BOX = { width: 150, height: 34, gapX: 24, gapY: 38 };

/** The graph, with what runs now lit. @param {{model: Model, drawing: any}} props */
export function Graph({ model, drawing }) {
  if (drawing === null) return html`<p class="dim">The graph is being drawn…</p>`;
  if (typeof drawing === "string") return html`<p class="dim">${line(drawing, 200)}</p>`;
  const { places, edges, width, height } = layered(drawing.nodes, drawing.edges);
  const size = { x: width * (BOX.width + BOX.gapX) + BOX.gapX, y: height * (BOX.height + BOX.gapY) + 10 };
  const at = (/** @type {string} */ id) => {
    const { x, y } = places.get(id);
    return { x: size.x / 2 + x * (BOX.width + BOX.gapX), y: 5 + y * (BOX.height + BOX.gapY) };
  };
  const lit = new Set([...model.open.values()].filter((bar) => bar.kind === "task").map((bar) => [...bar.namespace.map((each) => each.split(":")[0]), bar.name].join(":")));
  const runs = (/** @type {string} */ id) => lit.has(id) || [...lit].some((each) => each.startsWith(`${id}:`));
  const visits = (/** @type {string} */ id) => model.visits.get(id) ?? 0;
  const told = drawing.nodes.map(({ id, data }) => `${line(data?.name ?? id, 60)}${runs(id) ? " (running)" : ""}${visits(id) ? `, visited ${count(visits(id), "time")}` : ""}`);
  return html`<div class="graph"><svg viewBox=${`0 0 ${size.x} ${size.y}`} width=${size.x} height=${size.y} role="img" aria-label=${`Graph: ${told.join("; ")}`}>
    ${edges.map((edge) => {
      const [from, to] = [at(edge.source), at(edge.target)];
      const [y1, y2] = [from.y + BOX.height, to.y];
      const side = Math.max(from.x, to.x) + BOX.width * 0.75;
      const path = edge.back || edge.source === edge.target ? `M${from.x + BOX.width / 2},${from.y + BOX.height / 2} C${side},${from.y} ${side},${to.y} ${to.x + BOX.width / 2},${to.y + BOX.height / 2}` : `M${from.x},${y1} C${from.x},${y1 + BOX.gapY / 2} ${to.x},${y2 - BOX.gapY / 2} ${to.x},${y2}`;
      return html`<path class=${`edge ${edge.conditional ? "conditional" : ""}`} d=${path} />`;
    })}
    ${drawing.nodes.map(({ id, data }) => {
      const { x, y } = at(id);
      return html`<g class=${`node ${runs(id) ? "lit" : ""}`}><rect x=${x - BOX.width / 2} y=${y} width=${BOX.width} height=${BOX.height} rx="6" />
        <text x=${x} y=${y + BOX.height / 2 + 4}>${line(data?.name ?? id, 18)}${visits(id) ? ` ×${visits(id)}` : ""}</text></g>`;
    })}
  </svg></div>`;
}

/** Who waits for whom, in words. @param {any} digest @returns {string[]} */
export function waits(digest) {
  const told = [];
  const { statistics, behind, lead, held_back: heldBack } = digest;
  const plural = (/** @type {number} */ n, /** @type {string} */ noun) => count(n, noun);
  if (heldBack) told.push(`The run waits for its slowest viewer, which is ${plural(behind[0], "event")} behind; it may be ${lead} behind.`);
  if (statistics === null) return told.length ? told : ["No run is under way here."];
  const full = statistics.channels.filter((each) => each.waiting).map((each) => `“${line(each.name, 40)}”`);
  if (statistics.outbox && full.length) told.push(`The graph waits until the reader of ${full.join(" and ")} has taken something.`);
  else if (statistics.inbox && !statistics.parked) told.push(`The graph is ${plural(statistics.inbox, "part")} ahead of the server, which is reading.`);
  else if (statistics.parked) told.push("The server has read everything, and waits for the graph.");
  if (statistics.scheduled) told.push(`${plural(statistics.scheduled, "scheduled task")} at work.`);
  return told;
}

/** @param {{digest: any, own: number}} props */
export function Pressure({ digest, own }) {
  if (digest === null) return html`<p class="dim">There are no figures of this run.</p>`;
  return html`<div>
    ${waits(digest).map((each) => html`<p>${each}</p>`)}
    <h3>Viewers</h3>
    <ul aria-label="Viewers">${digest.behind.map((behind, at) => html`<li>viewer ${at + 1}: ${behind ? `${count(behind, "event")} behind` : "up to date"}</li>`)}</ul>
    <p class="dim">This page is ${count(own, "event")} behind.</p>
    ${digest.statistics ? html`<h3>Buffers</h3><ul aria-label="Buffers">${digest.statistics.channels.map((each) => html`<li>
      <span>${line(each.name, 40)}: ${each.depth} of ${each.most ?? "any number"}${each.waiting ? `, ${each.waiting} waiting for room` : ""}${each.waits ? `, held the run back ${count(each.waits, "time")}` : ""}${each.dropped ? `, ${each.dropped} dropped` : ""}</span>
      ${each.most ? html` <meter min="0" max=${each.most} value=${each.depth} aria-label=${`Buffer ${visible(each.name, 40)}`}></meter>` : ""}</li>`)}</ul>` : ""}
  </div>`;
}
