// @ts-check
// The waterfall: a lane for each graph, a bar for whatever has a beginning and an end. Of all rows and bars only those
// that can be seen are in the document.
import { Component, State, Value, count, duration, html, line, prose, written } from "./dom.js";
import { rowsOf, within } from "./layout.js";

const ROW = 24;
const HEIGHT = 15 * ROW;
/** Short bars that can be told apart: of one row, and of all rows in sight. */
const MOST = 150;
const ALL = 600;
/** ms that the shortest window shows. */
const LEAST = 5;

const KINDS = { task: "node", message: "message", tool: "tool", wait: "question" };

/** What a bar is, in words. @param {import("./fold.js").Bar} bar @param {number} now */
export function said(bar, now) {
  const parts = [KINDS[bar.kind], line(bar.name || bar.id, 60), bar.status];
  if (bar.superseded) parts.push("superseded");
  return `${parts.join(" ")}, ${duration((bar.end ?? now) - bar.begin)}`;
}

export class Waterfall extends Component {
  /** @param {any} props */
  constructor(props) {
    super(props);
    /** @type {Set<string>} */
    this.folded = new Set();
    this.state = { top: 0, window: null, whole: false, focused: 0, drag: null };
  }

  /** What is shown of time. @param {any} model @param {number} now @returns {[number, number]} */
  window(model, now) {
    if (this.state.window !== null) return this.state.window;
    const first = model.bars[0]?.begin ?? now;
    const run = model.run;
    const from = this.state.whole || run === null ? first : Math.max(run.begin, first);
    const end = model.running || model.waits.length ? now : Math.max(run?.end ?? 0, model.events.at(-1)?.params.timestamp ?? now);
    return [from, Math.max(end, from + LEAST)];
  }

  /** @param {number} factor */
  zoom(factor) {
    const [from, to] = this.window(this.props.model, this.props.now);
    const half = Math.max(LEAST, (to - from) * factor) / 2;
    this.setState({ window: [(from + to) / 2 - half, (from + to) / 2 + half] });
  }

  /** @param {number} share */
  pan(share) {
    const [from, to] = this.window(this.props.model, this.props.now);
    this.setState({ window: [from + (to - from) * share, to + (to - from) * share] });
  }

  /** @param {string} key */
  fold(key) {
    if (!this.folded.delete(key)) this.folded.add(key);
    this.forceUpdate();
  }

  /** Where in a track the pointer is, as a share. @param {PointerEvent} event */
  place(event) {
    const track = /** @type {HTMLElement} */ (event.currentTarget).getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - track.left) / track.width));
  }

  /** @param {PointerEvent} event */
  drop(event) {
    const { drag } = this.state;
    if (drag === null) return;
    const [from, to] = this.window(this.props.model, this.props.now);
    const [a, b] = [drag, this.place(event)].sort((one, other) => one - other);
    this.setState(b - a > 0.01 ? { drag: null, window: [from + (to - from) * a, Math.max(from + (to - from) * b, from + (to - from) * a + LEAST)] } : { drag: null });
  }

  /** Move among the bars. @param {KeyboardEvent} event @param {import("./layout.js").Row[]} rows */
  keys(event, rows) {
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    const step = steps[event.key];
    if (event.key === "+" || event.key === "-") this.zoom(event.key === "+" ? 0.5 : 2);
    if (!step || !(/** @type {HTMLElement} */ (event.target)).classList.contains("bar")) return;
    event.preventDefault();
    const at = Number((/** @type {HTMLElement} */ (event.target)).dataset.seq);
    let y = rows.findIndex((row) => row.bars.some((bar) => bar.seq === at));
    if (y < 0) return;
    let bars = rows[y].bars;
    const here = bars.findIndex((bar) => bar.seq === at);
    let next = bars[here + step[1]];
    if (step[0]) {
      do y += step[0]; while (rows[y] && !rows[y].bars.length);
      bars = rows[y]?.bars ?? [];
      next = bars.find((bar) => (bar.end ?? Infinity) >= rows.flatMap((row) => row.bars).find((bar) => bar.seq === at).begin) ?? bars.at(-1);
    }
    if (!next) return;
    const list = /** @type {HTMLElement} */ (this.list);
    if (y * ROW < list.scrollTop || (y + 1) * ROW > list.scrollTop + HEIGHT) list.scrollTop = Math.max(0, y * ROW - HEIGHT / 2);
    const [from, to] = this.window(this.props.model, this.props.now);
    const window = next.begin < from || next.begin > to ? [next.begin - (to - from) / 2, next.begin + (to - from) / 2] : this.state.window;
    this.setState({ focused: next.seq, window, top: list.scrollTop }, () => {
      /** @type {HTMLElement | null} */ (list.querySelector(`[data-seq="${next.seq}"]`))?.focus();
    });
  }

  render({ model, now, name, selected, onSelect, live }, { top, window, whole, focused, drag }) {
    const [from, to] = this.window(model, now);
    // What only earlier runs had needs no lane, unless one looks at their time.
    const rows = rowsOf(model, this.folded, name, model.run !== null && from >= model.run.begin && !whole ? model.run.seq : 0);
    const first = Math.max(0, Math.floor(top / ROW) - 3);
    const shown = rows.slice(first, first + HEIGHT / ROW + 6);
    const most = Math.min(MOST, ALL / shown.length);
    const share = (/** @type {number} */ at) => `${(100 * (at - from)) / (to - from)}%`;
    const tracks = shown.map((row) => within(row.bars, from, to, now, most));
    // One bar can be reached by Tab: of those that are there, the one that has the focus, or is selected, or is newest.
    const there = tracks.flat().map((each) => each.seq);
    const stop = [focused, selected].find((seq) => there.includes(seq)) ?? Math.max(...there);
    const bands = model.bands.filter((band) => band.at >= from && band.at <= to);
    const bar = (/** @type {import("./fold.js").Bar} */ each, /** @type {number} */ at, /** @type {import("./fold.js").Bar[]} */ among) => {
      // Those that begin in nearly the same moment stand side by side: none is covered, however short.
      let beside = 0;
      while (at - beside > 0 && each.begin - among[at - beside - 1].begin < (to - from) / 100) beside += 1;
      const begin = Math.max(each.begin, from);
      const end = Math.min(each.end ?? now, to);
      return html`<button key=${each.seq} data-seq=${each.seq} tabindex=${each.seq === stop ? 0 : -1}
        class=${`bar ${each.kind} ${each.status} ${each.superseded ? "superseded" : ""} ${each.end === null ? "open" : ""}`}
        style=${{ marginLeft: `${Math.min(beside, 20) * 5}px`, left: `min(${share(begin)}, calc(100% - 24px))`, width: `max(4px, ${(100 * (end - begin)) / (to - from)}%)` }} title=${said(each, now)}
        aria-label=${said(each, now)} aria-pressed=${each.seq === selected} onClick=${() => onSelect(each.seq)}
        onPointerDown=${(event) => event.stopPropagation()}>
        ${each.kind === "message" && each.first !== null && each.first > from ? html`<i class="first" style=${{ left: `${(100 * (each.first - begin)) / Math.max(1, end - begin)}%` }}></i>` : ""}
        ${(end - begin) / (to - from) > 0.02 ? html`<span>${line(each.name || each.kind, 40)}</span>` : ""}</button>`;
    };
    return html`<section class="waterfall" aria-label="Waterfall">
      <div class="tools">
        <button onClick=${() => this.zoom(0.5)}>Zoom in</button><button onClick=${() => this.zoom(2)}>Zoom out</button>
        <button onClick=${() => this.pan(-0.5)}>Earlier</button><button onClick=${() => this.pan(0.5)}>Later</button>
        <label><input type="checkbox" checked=${window === null} onChange=${() => this.setState({ window: window === null ? [from, to] : null })} /> Follow</label>
        <label><input type="checkbox" checked=${whole} onChange=${() => this.setState({ whole: !whole, window: null })} /> Whole thread</label>
        <span class="dim">${duration(to - from)} shown, ${count(rows.length, "lane")}, ${count(model.bars.length + model.sums.droppedBars, "bar")}</span>
      </div>
      <div class="lanes" ref=${(element) => { this.list = element; }} style=${{ height: `${Math.min(HEIGHT, Math.max(3, rows.length) * ROW)}px` }} tabindex="0" role="group" aria-label="Lanes"
        onScroll=${(event) => this.setState({ top: event.target.scrollTop })} onKeyDown=${(event) => this.keys(event, rows)}>
        <div style=${{ height: `${rows.length * ROW}px` }}>
          ${shown.map((row, at) => html`<div key=${`${row.lane.key} ${first + at}`} class="lane" style=${{ top: `${(first + at) * ROW}px` }}>
            <div class="label" style=${{ paddingLeft: `${Math.min(row.depth, 6) * 12}px` }}>${row.head
              ? html`${row.lane.children.length || row.lane.rows.length > 1 ? html`<button class="fold" aria-expanded=${!row.folded} aria-label=${`Graph ${line(`${row.name} ${row.note}`, 90)}`} onClick=${() => this.fold(row.lane.key)}>${row.folded ? "▸" : "▾"}</button>` : ""}<span title=${line(`${row.name} ${row.note}`, 200)}>${line(row.name, 60)} ${line(row.note, 60)}</span>` : ""}</div>
            <div class="track" onPointerDown=${(event) => this.setState({ drag: this.place(event) })} onPointerUp=${(event) => this.drop(event)} onPointerLeave=${() => drag !== null && this.setState({ drag: null })}>
              ${bands.map((band) => html`<i class=${`band ${band.kind}`} style=${{ left: share(band.at) }} title=${line(band.text, 200)}></i>`)}
              ${tracks[at].map(bar)}
            </div>
          </div>`)}
        </div>
      </div>
      ${live ? "" : html`<p class="dim">This is how it was; the run may have gone on.</p>`}
    </section>`;
  }
}

/** Everything about one bar. @param {{bar: import("./fold.js").Bar, now: number, onClose: () => void}} props */
export function Details({ bar, now, onClose }) {
  const { message } = bar;
  const time = (/** @type {number} */ at) => new Date(at).toISOString().slice(11, 23);
  return html`<section class="card details" aria-label="Details">
    <header><h2>${line(bar.name || bar.id, 80)}</h2> <${State} state=${bar.status} /> <button onClick=${onClose}>Close</button></header>
    <dl>
      <dt>Kind</dt><dd>${KINDS[bar.kind]}${bar.superseded ? ", superseded: it was done again after a restart" : ""}</dd>
      <dt>Where</dt><dd>${bar.namespace.length ? line(bar.namespace.join(" / "), 200) : "the graph itself"}</dd>
      <dt>Time</dt><dd>${time(bar.begin)} ${bar.end === null ? "until now" : `to ${time(bar.end)}`}, ${duration((bar.end ?? now) - bar.begin)}${bar.first === null ? "" : `; first piece after ${duration(bar.first - bar.begin)}`}</dd>
      ${message?.usage ? html`<dt>Tokens</dt><dd>${line(written(message.usage), 300)}</dd>` : ""}
      ${message?.origin?.model ? html`<dt>Model</dt><dd>${line(message.origin.model)}</dd>` : ""}
      <dt>Place</dt><dd>event ${bar.at}${bar.endAt ? ` to ${bar.endAt}` : ""} of the thread</dd>
    </dl>
    ${bar.error ? html`<p class="problem">${prose(bar.error)}</p>` : ""}
    ${message ? html`<${Said} message=${message} />` : ""}
    ${bar.input !== undefined ? html`<h3>${bar.kind === "wait" ? "Question" : "Input"}</h3><${Value} label="Input" value=${bar.input} />` : ""}
    ${bar.deltas.length ? html`<h3>Pieces of output</h3><${Value} label="Pieces of output" value=${bar.deltas.slice(-200).map((each) => written(each, 0)).join("\n")} />` : ""}
    ${bar.output !== undefined ? html`<h3>Output</h3><${Value} label="Output" value=${bar.output} />` : ""}
  </section>`;
}

/** What a message says. @param {{message: import("./message.js").Message}} props */
export function Said({ message }) {
  const { reasoning, text, calls, loose } = message;
  return html`<div class="said">
    ${reasoning ? html`<details><summary>Reasoning, ${count(reasoning.length, "character")}</summary><p>${prose(reasoning)}</p></details>` : ""}
    ${text ? html`<p>${prose(text)}</p>` : ""}
    ${[...calls, ...loose].map((call) => html`<div class="call">calls <b>${line(call.name, 60)}</b> <code>${line(written(call.args, 0), 1000)}</code></div>`)}
    ${message.error ? html`<p class="problem">${prose(message.error)}</p>` : ""}
  </div>`;
}
