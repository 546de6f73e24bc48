// @ts-check
// The list of threads, and a form to start a run.
import { Connection, Live, State, count, duration, html, line } from "./dom.js";
import { credentials, follow, start } from "./session.js";

const PAGE = 100;
const STATES = ["running", "waiting", "queued", "idle", "failed"];

/** Asks for the header that lets the page in. @param {{onGiven: () => void, text: string}} props */
export function Credentials({ onGiven, text }) {
  const given = (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const field = /** @type {HTMLInputElement} */ ((/** @type {HTMLFormElement} */ (event.target)).elements.namedItem("value"));
    try {
      new Headers({ authorization: field.value });
    } catch {
      field.setCustomValidity("A header cannot have such characters.");
      field.reportValidity();
      return;
    }
    credentials.value = field.value;
    onGiven();
  };
  return html`<form class="card" aria-label="Credentials" onSubmit=${given}>
    <p>${line(text, 200)}</p>
    <label>Value of the <code>Authorization</code> header <input name="value" type="password" autocomplete="off" required onInput=${(event) => event.target.setCustomValidity("")} /></label>
    <p class="dim">It is kept for this tab, until it is closed, and sent to this server only.</p>
    <button>Continue</button>
  </form>`;
}

/** A form that starts a run. */
class Start extends Live {
  /** @param {any} props */
  constructor(props) {
    super(props);
    this.state = { assistant: "", text: "", problem: "" };
  }

  /** @param {SubmitEvent} event */
  async submit(event) {
    event.preventDefault();
    const { assistants } = this.props;
    const chosen = assistants.find((each) => each.assistant_id === this.state.assistant) ?? assistants[0];
    const { text } = this.state;
    let input = null;
    try {
      if (this.asks(chosen)) input = { messages: [{ role: "user", content: text }] };
      else if (text.trim()) input = JSON.parse(text);
    } catch (error) {
      this.setState({ problem: `The input is not JSON: ${error.message}. A string needs its quotes: "text"` });
      return;
    }
    const thread = this.props.thread ?? crypto.randomUUID?.() ?? `t${Date.now()}`;
    try {
      await start(thread, chosen.assistant_id, input);
      this.setState({ text: "", problem: "" });
      location.hash = `#/t/${encodeURIComponent(thread)}`;
    } catch (error) {
      this.setState({ problem: error.message });
    }
  }

  /** Whether the line is what the user says. @param {any} assistant */
  asks(assistant) {
    return assistant.chat && !this.state.text.trimStart().startsWith("{");
  }

  render({ assistants }, { assistant, text, problem }) {
    if (!assistants.length) return null;
    const chosen = assistants.find((each) => each.assistant_id === assistant) ?? assistants[0];
    return html`<form class="card start" aria-label="Start a run" onSubmit=${(event) => this.submit(event)}>
      <label>Assistant <select value=${chosen.assistant_id} onChange=${(event) => this.setState({ assistant: event.target.value })}>
        ${assistants.map((each) => html`<option value=${each.assistant_id}>${line(each.assistant_id)}</option>`)}
      </select></label>
      <label class="wide">${chosen.chat ? "Message, or input as JSON" : "Input as JSON"}
        <textarea rows="2" value=${text} onInput=${(event) => this.setState({ text: event.target.value })}
          onKeyDown=${(event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.form.requestSubmit()}></textarea></label>
      <button>Start</button>
      ${problem ? html`<p role="alert" class="problem">${line(problem, 400)}</p>` : ""}
    </form>`;
  }
}

export { Start };

/** @param {{digest: any, now: number}} props */
function Row({ digest, now }) {
  const tokens = digest.input_tokens + digest.output_tokens;
  return html`<li class="thread">
    <a href=${`#/t/${encodeURIComponent(digest.thread_id)}`}>${line(digest.thread_id, 80)}</a>
    <${State} state=${digest.state} />
    <span class="assistant">${line(digest.assistant_id, 60)}</span>
    <span class="doing">${digest.doing ? html`<b>${line(digest.doing, 40)}</b> ${line(digest.text, 80)}` : ""}</span>
    <span class="figures dim">
      ${digest.newest ? html`<span>${duration(now - digest.newest)} ago</span>` : ""}
      <span>${count(digest.events, "event")}</span>
      ${tokens ? html`<span>${count(tokens, "token")}</span>` : ""}
      ${digest.attempt > 1 ? html`<span>attempt ${digest.attempt}</span>` : ""}
      ${digest.server ? html`<span>on ${line(digest.server, 20)}</span>` : ""}
      ${digest.queued ? html`<span>${digest.queued} queued</span>` : ""}
      ${digest.viewers ? html`<span>${count(digest.viewers, "viewer")}</span>` : ""}
    </span>
  </li>`;
}

export class Threads extends Live {
  /** @param {any} props */
  constructor(props) {
    super(props);
    /** @type {Map<string, any>} */
    this.threads = new Map();
    /** @type {any[]} */
    this.assistants = [];
    this.connection = { state: "connecting", text: "" };
    this.leave = () => {};
    this.drawn = 0;
    this.state = { text: "", of: "", assistant: "", most: PAGE };
  }

  componentDidMount() {
    document.title = "Runs";
    // What comes shows how old things are as well: a list that changes all the time needs no more than that.
    this.timer = setInterval(() => { if (performance.now() - this.drawn > 900) this.refresh(); }, 1000);
    this.listen();
  }

  componentWillUnmount() {
    super.componentWillUnmount();
    clearInterval(this.timer);
    this.leave();
  }

  listen() {
    this.leave();
    this.leave = follow((news) => this.take(news), (state, text) => {
      this.connection = { state, text };
      this.refresh();
    }, () => { this.begun = false; });
  }

  /** @param {any} news */
  take(news) {
    if (!this.begun) this.threads.clear(); // the first news after connecting has all of them
    this.begun = true;
    if (news.assistants) this.assistants = news.assistants;
    for (const each of news.threads) this.threads.set(each.thread_id, each);
    for (const each of news.gone) this.threads.delete(each);
    this.refresh();
  }

  shown() {
    const { text, of, assistant } = this.state;
    return [...this.threads.values()]
      .filter((each) => (!of || each.state === of) && (!assistant || each.assistant_id === assistant) && each.thread_id.includes(text))
      .sort((a, b) => b.newest - a.newest);
  }

  render(_, { text, of, assistant, most }) {
    const shown = this.shown();
    this.drawn = performance.now();
    const now = Date.now();
    const choose = (/** @type {string} */ name) => (/** @type {any} */ event) => this.setState({ [name]: event.target.value });
    return html`<main>
      <header class="top"><h1>Runs</h1><${Connection} connection=${this.connection} /></header>
      ${this.connection.state === "unknown" ? html`<${Credentials} text=${this.connection.text} onGiven=${() => this.listen()} />` : ""}
      ${this.props.recorded ? "" : html`<${Start} assistants=${this.assistants} />`}
      <section aria-label="Threads">
        <div class="filters">
          <label>Thread <input type="search" value=${text} onInput=${choose("text")} /></label>
          <label>State <select value=${of} onChange=${choose("of")}><option value="">all</option>
            ${STATES.map((each) => html`<option value=${each}>${each}</option>`)}</select></label>
          <label>Assistant <select value=${assistant} onChange=${choose("assistant")}><option value="">all</option>
            ${[...new Set([...this.threads.values()].map((each) => each.assistant_id))].map((each) => html`<option value=${each}>${line(each, 60)}</option>`)}</select></label>
          <span class="dim" role="status">${count(shown.length, "thread")}</span>
        </div>
        <ul class="threads">${shown.slice(0, most).map((each) => html`<${Row} key=${each.thread_id} digest=${each} now=${now} />`)}</ul>
        ${shown.length ? "" : html`<p class="dim">${this.threads.size ? "No thread is like that." : "No thread has run yet."}</p>`}
        ${shown.length > most ? html`<button onClick=${() => this.setState({ most: most + PAGE })}>Show ${PAGE} more</button>` : ""}
      </section>
    </main>`;
  }
}
