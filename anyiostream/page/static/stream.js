// @ts-check
// Server-sent events by `fetch`, which can POST and has headers, for as long as somebody looks. Touches no DOM.
//
// The stream connects again by itself, from the last event that it has; what is no longer there is a gap, of which its
// reader is told. A browser has six connections for one server, so not every tab can have a stream all the time: a tab
// that gets none of the places reads what there is, for a moment at most, and comes back a little later.

const PLACES = 4;
/** ms that a tab without a place reads on when nothing comes, and after which it comes back. */
const LINGER = 400;
/** ms that it reads on at most, however much comes: others wait for the connection. */
const TURN = 1000;
const RETURN = 1500;
/** ms of silence after which a connection is given up: the server says every 5 s that it is alive. */
const SILENCE = 16_000;
/** HTTP statuses after which trying again is of no use. */
const FINAL = new Set([400, 401, 403, 421]);

/** Cuts a stream of bytes into frames, in whatever pieces they come. */
export class Frames {
  #decoder = new TextDecoder();
  #rest = "";

  /** The frames that a piece makes whole. @param {Uint8Array} bytes @returns {{event: string, data: string, id: string}[]} */
  push(bytes) {
    const whole = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split("\n\n");
    this.#rest = /** @type {string} */ (whole.pop());
    const frames = [];
    for (const text of whole) {
      const frame = { event: "", data: "", id: "" };
      for (const line of text.split("\n")) {
        const at = line.indexOf(": ");
        const name = line.slice(0, at);
        if (at > 0 && (name === "event" || name === "data" || name === "id")) frame[name] = line.slice(at + 2);
      }
      if (frame.data) frames.push(frame);
    }
    return frames;
  }
}

/**
 * Holds one of the places, if there is one; hands `work` whether it has.
 * @param {(held: boolean) => Promise<void>} work
 */
async function withPlace(work) {
  const locks = globalThis.navigator?.locks;
  if (!locks) return work(true); // an address that the browser does not trust
  for (let n = 0; n < PLACES; n += 1) {
    const taken = await locks.request(`anyiostream stream ${n}`, { ifAvailable: true }, async (lock) => {
      if (lock === null) return false;
      await work(true);
      return true;
    });
    if (taken) return;
  }
  await work(false);
}

/** @param {number} ms @param {AbortSignal} signal */
const pause = (ms, signal) => new Promise((resolve) => {
  const timer = setTimeout(resolve, ms);
  signal.addEventListener("abort", () => { clearTimeout(timer); resolve(undefined); }, { once: true });
});

/** What went wrong with a request, as the server says it. */
export class Refused extends Error {
  /** @param {number} status @param {string} text */
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

/** @param {Response} response */
export async function refusalOf(response) {
  let text = `the server answers ${response.status}`;
  try {
    const told = await response.json();
    if (typeof told.message === "string") text = told.message;
  } catch { /* no JSON: the status says it */ }
  return new Refused(response.status, text);
}

export class Stream {
  /**
   * @param {object} options
   * @param {(signal: AbortSignal) => Promise<Response>} options.open makes the request
   * @param {(frames: {event: string, data: string, id: string}[]) => void} options.take is given what comes
   * @param {(state: string, text: string) => void} options.tell is told how the connection stands:
   *   `live`, `taking turns`, `lost`, `paused`; `refused` for good, `unknown` if the server does not know who asks
   */
  constructor({ open, take, tell }) {
    this.#open = open;
    this.#take = take;
    this.#tell = tell;
  }

  #open;
  #take;
  #tell;
  /** @type {AbortController | null} */
  #running = null;

  /** Read until `stop`. */
  start() {
    if (this.#running !== null) return;
    const controller = this.#running = new AbortController();
    void this.#run(controller.signal);
  }

  /** Read no more, until `start`. */
  stop() {
    this.#running?.abort();
    this.#running = null;
  }

  /** @param {AbortSignal} signal */
  async #run(signal) {
    let failures = 0;
    while (!signal.aborted) {
      let wait = 0;
      try {
        await withPlace(async (held) => {
          if (signal.aborted) return;
          await this.#read(signal, held, () => { failures = 0; });
          if (!held) wait = RETURN;
        });
      } catch (error) {
        if (signal.aborted) break;
        const refused = error instanceof Refused ? error : null;
        if (refused !== null && FINAL.has(refused.status)) {
          this.#say(signal, refused.status === 401 ? "unknown" : "refused", refused.message);
          return;
        }
        failures += 1;
        this.#say(signal, "lost", refused === null ? "the connection is lost" : refused.message);
        wait = Math.min(250 * 2 ** failures, 5000);
      }
      if (wait) await pause(wait, signal);
    }
    this.#say(signal, "paused", "");
  }

  /** Unless another reading has begun meanwhile. @param {AbortSignal} signal @param {string} state @param {string} text */
  #say(signal, state, text) {
    if (this.#running === null || this.#running.signal === signal) this.#tell(state, text);
  }

  /** @param {AbortSignal} signal @param {boolean} held @param {() => void} heard */
  async #read(signal, held, heard) {
    const request = new AbortController();
    const leave = () => request.abort();
    signal.addEventListener("abort", leave, { once: true });
    let timer = setTimeout(leave, SILENCE);
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let turn;
    try {
      const response = await this.#open(request.signal);
      if (!response.ok || response.body === null) throw await refusalOf(response);
      this.#say(signal, held ? "live" : "taking turns", "");
      heard();
      if (!held) turn = setTimeout(leave, TURN);
      const frames = new Frames();
      const reader = response.body.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        clearTimeout(timer);
        if (done) break;
        timer = setTimeout(leave, held ? SILENCE : LINGER);
        const taken = frames.push(value);
        if (taken.length) this.#take(taken);
      }
      if (held && !signal.aborted) throw new Error("the server has ended the stream");
    } catch (error) {
      // One that only takes its turn has read what there is.
      if (held || !request.signal.aborted) throw error;
    } finally {
      clearTimeout(timer);
      clearTimeout(turn);
      signal.removeEventListener("abort", leave);
      request.abort();
    }
  }
}
