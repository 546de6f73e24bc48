// @ts-check
// The page of one thread.
import { Connection, Live, State, count, duration, html, line } from "./dom.js";
import { Model, asOf } from "./fold.js";
import { cancel, drawing, followThread, look } from "./session.js";
import { Refused } from "./stream.js";
import { Chat, Events, Graph, Pressure, StateTab } from "./tabs.js";
import { Credentials, Start } from "./threads.js";
import { Waiting } from "./waiting.js";
import { Details, Waterfall } from "./waterfall.js";

const TABS = ["Chat", "State", "Events", "Graph", "Back-pressure"];
const SPEEDS = [1, 5, 20];
/** ms between two looks at what is not in the log. */
const LOOK = 1000;
/** HTTP statuses that may be others a moment later. */
const PASSING = new Set([401, 408, 429, 500, 502, 503, 504]);

export class Thread extends Live {
  /** @param {any} props */
  constructor(props) {
    super(props);
    this.model = new Model();
    /** How it was, if that is looked at. @type {Model | null} */
    this.past = null;
    this.digest = null;
    this.drawing = null;
    this.drawn = false;
    this.connection = { state: "connecting", text: "" };
    this.leave = () => {};
    this.replaying = 0;
    this.state = { tab: "Chat", selected: 0, sure: false, speed: 1, problem: "" };
  }

  componentDidMount() {
    document.title = `${line(this.props.id, 60)} – runs`;
    this.listen();
    this.timer = setInterval(() => this.tick(), LOOK);
    this.onHash = () => this.goTo(this.props.at);
  }

  componentDidUpdate(before) {
    if (before.at !== this.props.at) this.goTo(this.props.at);
  }

  componentWillUnmount() {
    super.componentWillUnmount();
    clearInterval(this.timer);
    this.replaying += 1;
    this.leave();
  }

  listen() {
    this.leave();
    let told = "";
    this.leave = followThread(this.props.id, {
      state: (state, text) => {
        if (state === "lost" && told === "live" && this.model.last) this.model.band("reconnect", "the connection was lost here", Date.now());
        if (state !== "paused") told = state === "taking turns" ? "live" : state;
        this.connection = { state, text };
        this.refresh();
      },
      gap: (text) => { this.model.band("gap", text); this.refresh(); },
      anew: () => { this.model.band("anew", "the server has begun this thread anew: what came before is not there any more"); this.refresh(); },
      events: (events) => this.take(events),
    });
    void this.tick();
  }

  /** @param {any[]} events */
  take(events) {
    const waited = this.props.at > this.model.last;
    for (const event of events) this.model.apply(event);
    if (this.props.at && this.past === null && waited && this.model.last >= this.props.at) this.goTo(this.props.at);
    this.refresh();
  }

  async tick() {
    if (document.visibilityState === "hidden") return;
    try {
      this.digest = await look(this.props.id);
      if (this.digest.assistant_id && !this.drawn) await this.draw();
    } catch { /* the stream tells */ }
    this.refresh();
  }

  /** Ask for the graph's drawing; once more with the next look, if that has failed for now. */
  async draw() {
    this.drawn = true;
    try {
      this.drawing = this.digest.recorded ? "The recording has no drawing of the graph." : await drawing(this.digest.assistant_id);
    } catch (error) {
      this.drawing = error.message;
      this.drawn = error instanceof Refused && !PASSING.has(error.status);
    }
  }

  // --- time ---

  /** Show the run as it was after an event; 0 for as it is. @param {number} seq */
  goTo(seq) {
    if (!seq) this.past = null;
    else if (this.past !== null && this.past.last <= seq && this.past.last) this.advance(seq);
    else this.past = asOf(this.model, seq);
    this.refresh();
  }

  /** @param {number} seq */
  advance(seq) {
    const past = /** @type {Model} */ (this.past);
    let at = this.indexOf(past.last) + 1;
    for (; at < this.model.events.length && this.model.events[at].seq <= seq; at += 1) past.apply(this.model.events[at]);
  }

  /** The index of the last event up to a place. @param {number} seq */
  indexOf(seq) {
    const { events } = this.model;
    let [low, high] = [0, events.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (events[middle].seq <= seq) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** @param {number} seq */
  link(seq) {
    location.hash = `#/t/${encodeURIComponent(this.props.id)}${seq ? `?at=${seq}` : ""}`;
  }

  /** Show the current turn again, at the speed chosen. */
  replay() {
    const { model } = this;
    if (this.replaying % 2 === 1) { this.replaying += 1; return this.refresh(); }
    const mine = this.replaying += 1;
    const from = this.past !== null && this.past.last < model.last ? this.indexOf(this.past.last) : this.indexOf((model.run?.seq ?? 1) - 1);
    let before = performance.now();
    let until = model.events[Math.max(0, from)]?.params.timestamp ?? 0;
    this.past = asOf(model, model.events[Math.max(0, from)]?.seq ?? 0);
    const step = () => {
      if (this.replaying !== mine || this.gone) return;
      if (this.past === null) { this.replaying += 1; return this.refresh(); } // somebody wants what is now
      const now = performance.now();
      until += (now - before) * this.state.speed;
      before = now;
      let at = this.indexOf(this.past.last);
      while (at + 1 < model.events.length && model.events[at + 1].params.timestamp <= until) at += 1;
      if (at >= 0) this.advance(model.events[at].seq);
      if (at + 1 >= model.events.length) {
        this.replaying += 1;
        this.past = null;
      } else requestAnimationFrame(step);
      this.refresh();
    };
    requestAnimationFrame(step);
  }

  async stop() {
    if (!this.state.sure) {
      this.setState({ sure: true });
      setTimeout(() => this.setState({ sure: false }), 4000);
      return;
    }
    this.setState({ sure: false });
    try {
      await cancel(this.props.id, this.model.run.id);
    } catch (error) {
      this.setState({ problem: error.message });
    }
  }

  /** @param {KeyboardEvent} event */
  tabKeys(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    const tab = TABS[(TABS.indexOf(this.state.tab) + step + TABS.length) % TABS.length];
    this.setState({ tab }, () => document.getElementById(`tab-${tab}`)?.focus());
  }

  /** @param {Model} model @param {number} now */
  head(model, now) {
    const { run, sums } = model;
    const { digest } = this;
    const seconds = model.rates.reduce((sum, each) => sum + each.ms, 0) / 1000;
    const said = model.rates.reduce((sum, each) => sum + each.tokens, 0);
    const stands = model.running ? "running" : model.waits.length ? "waiting" : model.status ?? digest?.state ?? "idle";
    return html`<div class="facts">
      <span role="status"><${State} state=${stands} /></span>
      ${run ? html`<span>run <code title=${line(run.id)}>${line(run.id, 8)}</code>${model.runs.length > 1 ? ` (${model.runs.length} on this thread)` : ""}</span>` : ""}
      ${sums.attempt > 1 ? html`<span>attempt ${sums.attempt}</span>` : ""}
      ${run ? html`<span>${duration((run.end ?? now) - run.begin)}</span>` : ""}
      ${sums.input || sums.output ? html`<span>${sums.input.toLocaleString("en")} tokens in, ${sums.output.toLocaleString("en")} out</span>` : ""}
      ${said && seconds > 0 ? html`<span>${(said / seconds).toFixed(1)} tokens/s</span>` : ""}
      ${digest?.viewers !== undefined ? html`<span>${count(digest.viewers, "viewer")}</span>` : ""}
      ${digest?.queued ? html`<span>${count(digest.queued, "run")} queued</span>` : ""}
    </div>`;
  }

  render({ id }, { tab, selected, sure, speed, problem }) {
    const { digest, model } = this;
    const shown = this.past ?? model;
    const live = this.past === null;
    const recorded = digest?.recorded === true;
    const newest = model.events.at(-1)?.params.timestamp ?? 0;
    const now = live && !recorded ? Math.max(Date.now(), newest) : shown.events.at(-1)?.params.timestamp ?? newest;
    const behind = digest === null ? 0 : Math.max(0, digest.last - model.last);
    const bar = selected ? shown.bars.find((each) => each.seq === selected) : undefined;
    const index = live ? Math.max(0, model.events.length - 1) : this.indexOf(shown.last);
    const replaying = this.replaying % 2 === 1;
    if (live && (model.running || model.waits.length)) this.keepTime();
    return html`<main>
      <nav><a href="#/">All threads</a></nav>
      <header class="top"><h1>${line(id, 80)}</h1>
        <${Connection} connection=${this.connection} />
        ${newest && !recorded ? html`<span class="dim">newest event ${duration(Date.now() - newest)} ago${behind ? `, ${count(behind, "event")} behind` : ""}</span>` : ""}
        ${model.running && live && !recorded ? html`<button class="stop" onClick=${() => this.stop()}>${sure ? "Really stop" : "Stop"}</button>` : ""}
      </header>
      ${this.connection.state === "unknown" ? html`<${Credentials} text=${this.connection.text} onGiven=${() => this.listen()} />` : ""}
      ${this.head(shown, now)}
      ${shown.run?.error ? html`<p class="problem" role="alert">${line(shown.run.error, 1000)}</p>` : ""}
      ${problem ? html`<p class="problem" role="alert">${line(problem, 400)}</p>` : ""}
      ${shown.bands.length ? html`<ul class="bands" aria-label="What happened to the log">${shown.bands.slice(-20).map((each) => html`<li class=${each.kind}>${line(each.text, 300)}</li>`)}</ul>` : ""}
      ${live ? html`<${Waiting} threadId=${id} recorded=${recorded} waits=${model.waits}
        answered=${model.bars.filter((each) => each.kind === "wait" && each.end !== null)} />` : ""}
      <div class="time tools">
        <label class="wide">Place <input type="range" min="0" max=${Math.max(0, model.events.length - 1)} value=${index} disabled=${!model.events.length}
          aria-valuetext=${`event ${index + 1} of ${model.events.length}`}
          onInput=${(event) => { this.replaying += this.replaying % 2; this.goTo(model.events[event.target.valueAsNumber]?.seq ?? 0); }} /></label>
        <span class="dim">event ${Math.min(index + 1, model.events.length)} of ${model.events.length}</span>
        <button disabled=${live && !this.props.at} onClick=${() => { this.replaying += this.replaying % 2; this.goTo(0); this.link(0); }}>${recorded ? "To the end" : "Live"}</button>
        <button disabled=${!model.events.length} onClick=${() => this.replay()}>${replaying ? "Pause" : "Replay"}</button>
        <label>Speed <select value=${speed} onChange=${(event) => this.setState({ speed: Number(event.target.value) })}>${SPEEDS.map((each) => html`<option value=${each}>${each}x</option>`)}</select></label>
        <button disabled=${!shown.last} onClick=${() => this.link(shown.last)}>Link to this place</button>
      </div>
      <${Waterfall} model=${shown} now=${now} live=${live} selected=${selected} name=${digest?.assistant_id || "graph"} onSelect=${(seq) => this.setState({ selected: seq === selected ? 0 : seq })} />
      ${bar ? html`<${Details} bar=${bar} now=${now} onClose=${() => this.setState({ selected: 0 })} />` : ""}
      <div role="tablist" aria-label="Views" class="tabs" onKeyDown=${(event) => this.tabKeys(event)}>${TABS.map((each) => html`<button role="tab" id=${`tab-${each}`} aria-selected=${each === tab} aria-controls="panel" tabindex=${each === tab ? 0 : -1} onClick=${() => this.setState({ tab: each })}>${each}</button>`)}</div>
      <div role="tabpanel" id="panel" aria-labelledby=${`tab-${tab}`} tabindex="0">
        ${tab === "Chat" ? html`<${Chat} model=${shown} />
          ${!recorded && live && digest?.assistant && !model.running && !model.waits.length ? html`<${Start} thread=${id} assistants=${[digest.assistant]} />` : ""}` : ""}
        ${tab === "State" ? html`<${StateTab} model=${shown} />` : ""}
        ${tab === "Events" ? html`<${Events} model=${shown} onPlace=${(seq) => this.goTo(seq)} />` : ""}
        ${tab === "Graph" ? html`<${Graph} model=${shown} drawing=${this.drawing} />` : ""}
        ${tab === "Back-pressure" ? html`<${Pressure} digest=${recorded ? null : digest} own=${behind} />` : ""}
      </div>
    </main>`;
  }

  /** What is open grows: it is drawn again although nothing has happened. */
  keepTime() {
    if (this.growing) return;
    this.growing = true;
    setTimeout(() => { this.growing = false; this.refresh(); }, 200);
  }
}
