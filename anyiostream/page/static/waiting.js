// @ts-check
// What the graph asks its user: a form each. Answers to several questions are sent together.
import { Component, Value, html, line, written } from "./dom.js";
import { isObject } from "./message.js";
import { answered as here, respond } from "./session.js";

/** @typedef {import("./fold.js").Bar} Bar */

/** Answers that fit the question, for a click: what agents ask before they call a tool, and yes or no. @param {any} question */
function offers(question) {
  const asked = isObject(question) && Array.isArray(question.action_requests) ? question.action_requests.length : 0;
  if (asked) {
    const all = (/** @type {any} */ decision) => ({ decisions: Array(asked).fill(decision) });
    const limits = (Array.isArray(question.review_configs) ? question.review_configs : []).map((/** @type {any} */ each) => each?.allowed_decisions).filter(Array.isArray);
    return [["Approve", all({ type: "approve" })], ["Reject", all({ type: "reject", message: "The user has refused." })]]
      .filter(([, { decisions: [{ type }] }]) => limits.every((/** @type {any[]} */ each) => each.includes(type)));
  }
  return [["Yes", true], ["No", false]];
}

/** JSON if it is JSON, otherwise text. @param {string} text @param {string} form */
function answerOf(text, form) {
  return form === "JSON" ? JSON.parse(text) : text;
}

export class Waiting extends Component {
  /** @param {any} props */
  constructor(props) {
    super(props);
    /** Answers by the place of their question: ids may come again. @type {Map<number, any>} */
    this.ready = new Map();
    /** Places of those that the server has. @type {Set<number>} */
    this.sent = new Set();
    this.state = { problem: "", forms: {}, texts: {}, sending: false };
  }

  /** @param {Bar} bar @param {any} response */
  async give(bar, response) {
    const { waits, threadId } = this.props;
    this.ready.set(bar.seq, response);
    const all = waits.filter((/** @type {Bar} */ each) => this.ready.has(each.seq));
    if (all.length < waits.length) return this.setState({ problem: "" });
    this.setState({ sending: true, problem: "" });
    try {
      await respond(threadId, all.map((each) => ({ interrupt_id: each.id, namespace: each.namespace, response: this.ready.get(each.seq) })));
      for (const each of all) {
        this.sent.add(each.seq);
        here.add(threadId, each.seq, written(this.ready.get(each.seq), 0));
      }
      this.setState({ sending: false, texts: {} });
    } catch (error) {
      this.ready.clear();
      this.setState({ sending: false, problem: error.message });
    }
  }

  /** @param {SubmitEvent} event @param {Bar} bar */
  submit(event, bar) {
    event.preventDefault();
    const form = this.state.forms[bar.seq] ?? "text";
    try {
      void this.give(bar, answerOf(this.state.texts[bar.seq] ?? "", form));
    } catch (error) {
      this.setState({ problem: `The answer is not JSON: ${error.message}` });
    }
  }

  // Its button becomes the one that sends the form before its click is over: so that must not go on.
  /** Take an answer back that waits for others. @param {Bar} bar */
  change(bar) {
    this.ready.delete(bar.seq);
    this.forceUpdate();
  }

  render({ threadId, waits, answered, recorded }, { problem, forms, texts, sending }) {
    if (!waits.length && !answered.length) return null;
    const answers = answered.length ? here.all : {};
    const answerTo = (/** @type {Bar} */ bar) => answers[`${threadId} ${bar.seq}`];
    return html`<section class="waiting" aria-label="Questions">
      ${waits.map((bar) => html`<form key=${bar.seq} class="card question" aria-label="Question" onSubmit=${(event) => this.submit(event, bar)}>
        <p><b>The graph asks</b>${bar.namespace.length ? html` <span class="dim">in ${line(bar.namespace.join(" / "), 100)}</span>` : ""}</p>
        <${Value} label="Question" value=${bar.input} />
        ${recorded ? "" : this.ready.has(bar.seq) ? html`<p role="status">${this.sent.has(bar.seq) || sending ? "Your answer is sent." : "Your answer is sent when the other questions are answered."} <code>${line(written(this.ready.get(bar.seq), 0), 100)}</code></p>
          ${this.sent.has(bar.seq) || sending ? "" : html`<button type="button" onClick=${(event) => { event.preventDefault(); this.change(bar); }}>Change</button>`}` : html`
          <div class="offers">${offers(bar.input).map(([name, value]) => html`<button type="button" disabled=${sending} onClick=${() => this.give(bar, value)}>${name}</button>`)}</div>
          <label class="wide">Answer <textarea rows="2" value=${texts[bar.seq] ?? ""} onInput=${(event) => this.setState({ texts: { ...texts, [bar.seq]: event.target.value } })}></textarea></label>
          <label>Send as <select value=${forms[bar.seq] ?? "text"} onChange=${(event) => this.setState({ forms: { ...forms, [bar.seq]: event.target.value } })}><option>text</option><option>JSON</option></select></label>
          <button disabled=${sending}>Answer</button>`}
      </form>`)}
      ${problem ? html`<p role="alert" class="problem">${line(problem, 400)}</p>` : ""}
      ${answered.length ? html`<details class="answered"><summary>Answered questions: ${answered.length}</summary><ul>${answered.map((bar) => html`<li key=${bar.seq}>
        <code>${line(written(bar.input, 0), 200)}</code> ${answerTo(bar) === undefined ? "answered by another client" : html`answered here: <code>${line(answerTo(bar), 200)}</code>`}</li>`)}</ul></details>` : ""}
    </section>`;
  }
}
