// @ts-check
// What the graph asks its user: a form each. Answers to several questions are sent together.
import { Component, Value, html, line, written } from "./dom.js";
import { isObject } from "./message.js";
import { respond } from "./session.js";

/** @typedef {import("./fold.js").Bar} Bar */

/** Answers that fit the question, for a click: what agents ask before they call a tool, and yes or no. @param {any} question */
function offers(question) {
  const asked = isObject(question) && Array.isArray(question.action_requests) ? question.action_requests.length : 0;
  if (asked) {
    const all = (/** @type {any} */ decision) => ({ decisions: Array(asked).fill(decision) });
    return [["Approve", all({ type: "approve" })], ["Reject", all({ type: "reject", message: "The user has refused." })]];
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
    /** @type {Map<string, any>} */
    this.ready = new Map();
    this.state = { problem: "", forms: {}, texts: {}, sending: false };
  }

  /** @param {Bar} bar @param {any} response */
  async give(bar, response) {
    const { waits, threadId, onAnswered } = this.props;
    this.ready.set(bar.id, response);
    const all = waits.filter((/** @type {Bar} */ each) => this.ready.has(each.id));
    if (all.length < waits.length) return this.setState({ problem: "" });
    this.setState({ sending: true, problem: "" });
    try {
      await respond(threadId, all.map((each) => ({ interrupt_id: each.id, namespace: each.namespace, response: this.ready.get(each.id) })));
      all.forEach((each) => onAnswered(each.id, this.ready.get(each.id)));
      this.ready.clear();
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

  render({ waits, answered, answers, recorded }, { problem, forms, texts, sending }) {
    if (!waits.length && !answered.length) return null;
    return html`<section class="waiting" aria-label="Questions">
      ${waits.map((bar) => html`<form key=${bar.seq} class="card question" aria-label="Question" onSubmit=${(event) => this.submit(event, bar)}>
        <p><b>The graph asks</b>${bar.namespace.length ? html` <span class="dim">in ${line(bar.namespace.join(" / "), 100)}</span>` : ""}</p>
        <${Value} label="Question" value=${bar.input} />
        ${recorded ? "" : this.ready.has(bar.id) ? html`<p role="status">Your answer is sent when the other questions are answered. <code>${line(written(this.ready.get(bar.id), 0), 100)}</code></p>` : html`
          <div class="offers">${offers(bar.input).map(([name, value]) => html`<button type="button" disabled=${sending} onClick=${() => this.give(bar, value)}>${name}</button>`)}</div>
          <label class="wide">Answer <textarea rows="2" value=${texts[bar.seq] ?? ""} onInput=${(event) => this.setState({ texts: { ...texts, [bar.seq]: event.target.value } })}></textarea></label>
          <label>Send as <select value=${forms[bar.seq] ?? "text"} onChange=${(event) => this.setState({ forms: { ...forms, [bar.seq]: event.target.value } })}><option>text</option><option>JSON</option></select></label>
          <button disabled=${sending}>Answer</button>`}
      </form>`)}
      ${problem ? html`<p role="alert" class="problem">${line(problem, 400)}</p>` : ""}
      ${answered.length ? html`<details class="answered"><summary>Answered questions: ${answered.length}</summary><ul>${answered.map((bar) => html`<li key=${bar.seq}>
        <code>${line(written(bar.input, 0), 200)}</code> ${answers.has(bar.id) ? html`answered here: <code>${line(written(answers.get(bar.id), 0), 200)}</code>` : "answered by another client"}</li>`)}</ul></details>` : ""}
    </section>`;
  }
}
