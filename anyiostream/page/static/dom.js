// @ts-check
// What all parts of the page are made with. Whatever a run says is shown as text, and only as text.
import { Component, h, render } from "./vendor/preact.mjs";
import htm from "./vendor/htm.mjs";

export { Component, render };
export const html = htm.bind(h);

/** Characters of one value that are shown; the rest is in the log. */
const LONGEST = 100_000;

// Controls, and what changes the direction of text: it would read otherwise than it is.
const ACTED_UPON = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\u061c\ufff9-\ufffb\ufeff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]|[\u{e0000}-\u{e007f}]/gu;

/** @param {string} character */
function picture(character) {
  const code = /** @type {number} */ (character.codePointAt(0));
  return code < 0x20 ? String.fromCodePoint(0x2400 + code) : code === 0x7f ? "\u2421" : "\ufffd";
}

/** Text with visible characters in place of those that would be acted upon. @param {unknown} given @param {number} [most] */
export function visible(given, most = LONGEST) {
  const text = String(given);
  const shown = text.slice(0, most).replace(/\r\n/g, "\n").replace(ACTED_UPON, picture);
  return text.length > most ? `${shown}… ${(text.length - most).toLocaleString("en")} more characters` : shown;
}

/** One line. @param {unknown} given @param {number} [most] */
export function line(given, most = 120) {
  const text = String(given).slice(0, most * 2).replace(/\s+/g, " ").trim();
  return visible(text.length > most ? `${text.slice(0, most - 1)}…` : text);
}

/** A value as JSON, or as it is if it is text. @param {any} value @param {number} [indent] */
export function written(value, indent = 2) {
  return typeof value === "string" ? value : (JSON.stringify(value, null, indent) ?? "");
}

const LINK = /\bhttps?:\/\/[^\s<>"'`\u0000-\u001f]+/g;

/** Text whose http links can be followed; no other text becomes anything. @param {unknown} given */
export function prose(given) {
  const text = visible(given);
  const parts = [];
  let done = 0;
  for (const found of text.matchAll(LINK)) {
    parts.push(text.slice(done, found.index));
    parts.push(html`<a href=${found[0]} target="_blank" rel="noreferrer noopener">${found[0]}</a>`);
    done = found.index + found[0].length;
  }
  return [...parts, text.slice(done)];
}

/** A time span, for people. @param {number} ms */
export function duration(ms) {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60_000);
  const pad = (/** @type {number} */ n) => String(n).padStart(2, "0");
  if (minutes < 60) return `${minutes}:${pad(Math.floor(ms / 1000) % 60)} min`;
  if (minutes < 2880) return `${Math.floor(minutes / 60)}:${pad(minutes % 60)} h`;
  return `${Math.floor(minutes / 1440)} days`;
}

/** @param {number} number @param {string} noun */
export const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

/** How something stands, told by word, sign and colour. @param {{state: string}} props */
export function State({ state }) {
  return html`<span class=${`state ${STATES.has(state) ? state : ""}`}>${line(STATES.get(state) ?? state, 40)}</span>`;
}

const STATES = new Map([
  ["running", "running"], ["started", "running"], ["queued", "queued"], ["waiting", "waiting for you"],
  ["interrupted", "waiting for you"], ["idle", "idle"], ["completed", "completed"], ["failed", "failed"],
  ["finished", "finished"], ["answered", "answered"], ["streaming", "running"],
]);

/** A value that can be scrolled. @param {{label: string, value: any}} props */
export const Value = ({ label, value }) =>
  html`<pre tabindex="0" role="region" aria-label=${label}>${visible(written(value))}</pre>`;

/** How the connection stands. @param {{connection: {state: string, text: string}}} props */
export function Connection({ connection: { state, text } }) {
  const told = { live: "live", "taking turns": "live, taking turns with other tabs", paused: "paused", lost: "reconnecting", refused: "refused", unknown: "refused" }[state] ?? "connecting";
  return html`<span class=${`connection ${state === "live" || state === "taking turns" ? "live" : ""}`} role="status">${told}${text ? html`<span>: ${line(text, 200)}</span>` : ""}</span>`;
}

/** Renders at most once a frame, however often it is asked to. */
export class Live extends Component {
  /** @param {any} props */
  constructor(props) {
    super(props);
    this.pending = false;
    this.gone = false;
  }

  refresh() {
    if (this.pending || this.gone) return;
    this.pending = true;
    const draw = () => {
      if (!this.pending) return;
      this.pending = false;
      if (!this.gone) this.forceUpdate();
    };
    requestAnimationFrame(draw);
    setTimeout(draw, 250); // where no frame is drawn
  }

  componentWillUnmount() {
    this.gone = true;
  }
}
