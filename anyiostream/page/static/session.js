// @ts-check
// What the page asks the server for, and the header that lets it in. Touches no DOM.
import { Stream, refusalOf } from "./stream.js";

const KEY = "anyiostream authorization";
const CHANNELS = ["values", "updates", "messages", "tools", "lifecycle", "input", "checkpoints", "tasks", "custom"];

let commands = Date.now() % 1_000_000_000;

export const credentials = {
  get value() { return sessionStorage.getItem(KEY) ?? ""; },
  set value(value) { sessionStorage.setItem(KEY, value); },
};

/** @param {Record<string, string>} [more] */
function headers(more = {}) {
  const value = credentials.value;
  return value ? { ...more, authorization: value } : more;
}

/** @param {string} path @param {RequestInit} [options] */
async function ask(path, options = {}) {
  const response = await fetch(path, { ...options, headers: headers({ "content-type": "application/json" }) });
  if (!response.ok) throw await refusalOf(response);
  const told = await response.json();
  if (told.type === "error") throw new Error(told.message);
  return told;
}

/** @param {string} threadId */
const at = (threadId) => `/threads/${encodeURIComponent(threadId)}`;

/** A thread's digest and its place in the log. @param {string} threadId @param {AbortSignal} [signal] */
export const look = (threadId, signal) => ask(`/live/${encodeURIComponent(threadId)}`, { signal });

/** @param {string} assistantId */
export const drawing = (assistantId) => ask(`/assistants/${encodeURIComponent(assistantId)}/graph?xray=true`);

/** @param {string} threadId @param {string} runId */
export const cancel = (threadId, runId) =>
  ask(`${at(threadId)}/runs/${encodeURIComponent(runId)}/cancel`, { method: "POST" });

/** @param {string} threadId @param {string} method @param {any} params */
export async function command(threadId, method, params) {
  commands += 1;
  const body = JSON.stringify({ id: commands, method, params });
  return (await ask(`${at(threadId)}/commands`, { method: "POST", body })).result;
}

/** @param {string} threadId @param {string} assistantId @param {any} input */
export const start = (threadId, assistantId, input) =>
  command(threadId, "run.start", { assistant_id: assistantId, input });

/** @param {string} threadId @param {{interrupt_id: string, namespace: string[], response: any}[]} responses */
export const respond = (threadId, responses) => command(threadId, "input.respond", { responses });

const ANSWERED = "anyiostream answers";

/** What was answered in this tab, also before it was loaded anew: place of the question -> the beginning of the answer. */
export const answered = {
  /** @returns {Record<string, string>} */
  get all() {
    try {
      return JSON.parse(sessionStorage.getItem(ANSWERED) ?? "{}");
    } catch {
      return {};
    }
  },
  /** @param {string} threadId @param {number} seq @param {string} text */
  add(threadId, seq, text) {
    const newest = Object.entries(this.all).slice(-200);
    sessionStorage.setItem(ANSWERED, JSON.stringify(Object.fromEntries([...newest, [`${threadId} ${seq}`, text.slice(0, 400)]])));
  },
};

/** A stream that is open only while the tab is looked at. @param {Stream} stream @returns {() => void} ends it */
function whileVisible(stream) {
  const look = () => (document.visibilityState === "hidden" ? stream.stop() : stream.start());
  const again = () => { stream.stop(); look(); };
  document.addEventListener("visibilitychange", look);
  addEventListener("online", again);
  addEventListener("offline", again);
  look();
  return () => {
    document.removeEventListener("visibilitychange", look);
    removeEventListener("online", again);
    removeEventListener("offline", again);
    stream.stop();
  };
}

/**
 * The list of threads, as it changes.
 * @param {(news: any) => void} take @param {(state: string, text: string) => void} tell @param {() => void} begin
 */
export function follow(take, tell, begin) {
  return whileVisible(new Stream({
    open: (signal) => {
      begin();
      return fetch("/live", { method: "POST", body: "{}", headers: headers(), signal });
    },
    take: (frames) => frames.forEach((frame) => take(JSON.parse(frame.data))),
    tell,
  }));
}

/** What a thread's reader is told of besides events. */
/** @typedef {{state: (state: string, text: string) => void, gap: (text: string) => void, anew: () => void, events: (events: any[]) => void}} ThreadReader */

/** The events of a thread from the oldest one that is kept, as they come. @param {string} threadId @param {ThreadReader} reader */
export function followThread(threadId, reader) {
  let since = -1;
  let log = "";
  let gap = false;

  /** Where the log is, before it is read on. @param {AbortSignal} signal */
  async function open(signal) {
    const place = await look(threadId, signal);
    if (log && place.log_id !== log) {
      reader.anew();
      since = -1;
    }
    log = place.log_id;
    const lost = place.first - 1 - Math.max(since, 0);
    if (lost > 0 && since < place.first - 1) {
      if (since > 0 || gap) reader.gap(`${lost.toLocaleString("en")} events came and went before the page could read them`);
      else reader.gap("earlier events are no longer kept");
      since = place.first - 1;
    }
    gap = false;
    since = Math.max(since, 0);
    const body = JSON.stringify({ channels: CHANNELS, since });
    const response = await fetch(`${at(threadId)}/stream/events`, { method: "POST", body, headers: headers(), signal });
    // Gone meanwhile: it is looked for again.
    if (response.status === 410) throw new Error("the log has moved on");
    return response;
  }

  /** @param {{event: string, data: string, id: string}[]} frames */
  function take(frames) {
    const events = [];
    for (const frame of frames) {
      const event = JSON.parse(frame.data);
      if (event.type === "event") events.push(event);
      else gap = true;
    }
    if (events.length) {
      since = events[events.length - 1].seq;
      reader.events(events);
    }
  }

  return whileVisible(new Stream({ open, take, tell: reader.state }));
}
