// @ts-check
// One message of a model, as its events arrive. Touches no DOM.

const CHUNKS = new Map([["tool_call_chunk", "tool_call"], ["server_tool_call_chunk", "server_tool_call"]]);

/** @param {any} value @returns {value is Record<string, any>} */
export const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

/** @param {any} given @param {string} field @returns {string} */
export function textIn(given, field) {
  const value = given[field];
  return typeof value === "string" ? value : "";
}

/** JSON as models write it: line breaks may stand in strings as they are. @param {string} text */
export function parseArguments(text) {
  try {
    return JSON.parse(text);
  } catch {
    const escaped = (/** @type {string} */ c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`;
    const strings = /"(?:[^"\\]|\\.)*"/gs;
    return JSON.parse(text.replace(strings, (string) => string.replace(/[\u0000-\u001f]/g, escaped)));
  }
}

/** One content block. */
class Block {
  /** @param {string} kind */
  constructor(kind) {
    this.kind = kind;
    this.text = "";
    /** @type {Map<string, any>} */
    this.chunk = new Map();
    /** @type {any} */
    this.final = null;
  }

  /** What it is, finished if it was not. @returns {any} */
  finished() {
    if (this.final !== null) return this.final;
    if (!CHUNKS.has(this.kind)) return { type: this.kind, [this.kind]: this.text };
    const call = { id: this.chunk.get("id") || "", name: this.chunk.get("name") || "" };
    try {
      const args = this.text ? parseArguments(this.text) : {};
      if (isObject(args)) return { ...call, type: CHUNKS.get(this.kind), args };
    } catch { /* told by the type */ }
    return { ...call, type: "invalid_tool_call", args: this.text };
  }
}

/** Blocks in order of their index; those whose index is no number last. @param {any} a @param {any} b */
function byIndex([a], [b]) {
  const [first, second] = [typeof a === "number", typeof b === "number"];
  if (first && second) return a - b;
  if (first !== second) return first ? -1 : 1;
  return String(a) < String(b) ? -1 : String(a) > String(b) ? 1 : 0;
}

export class Message {
  constructor() {
    this.role = "ai";
    this.status = "streaming";
    this.error = "";
    /** @type {any} */
    this.usage = null;
    /** @type {any} */
    this.origin = {};
    /** @type {Map<any, Block>} */
    this.blocks = new Map();
  }

  /** Take an event of the message; whether it is its first piece of text or reasoning. @param {any} event */
  apply(event) {
    switch (event.event) {
      case "message-start":
        this.role = String(event.role || this.role);
        this.origin = isObject(event.metadata) ? event.metadata : {};
        break;
      case "content-block-start":
        this.#start(event);
        break;
      case "content-block-delta":
        return this.#delta(event);
      case "content-block-finish":
        this.#finish(event);
        break;
      case "message-finish":
        this.usage = event.usage ?? null;
        this.status = "finished";
        break;
      case "error":
        this.status = "failed";
        this.error = String(event.message ?? "");
        break;
    }
    return false;
  }

  /** @param {string} kind */
  #joined(kind) {
    return this.#ordered().filter((block) => block.kind === kind).map((block) => block.text).join("");
  }

  #ordered() {
    return [...this.blocks].sort(byIndex).map(([, block]) => block);
  }

  get text() {
    return this.#joined("text");
  }

  get reasoning() {
    return this.#joined("reasoning");
  }

  /** The tools that it asks for, whose arguments could be parsed. @returns {any[]} */
  get calls() {
    return this.#ordered().map((block) => block.finished()).filter((block) => block.type === "tool_call");
  }

  /** Those under way, or not to be parsed, as text. @returns {any[]} */
  get loose() {
    return this.#ordered().map((block) => block.finished()).filter((block) => block.type === "invalid_tool_call");
  }

  /** @param {any} index @param {string} kind */
  #block(index, kind) {
    let block = this.blocks.get(index);
    if (block === undefined) this.blocks.set(index, block = new Block(kind));
    return block;
  }

  /** @param {any} event */
  #start(event) {
    const content = event.content || event.content_block;
    const index = event.index;
    if (!isObject(content) || index === undefined || index === null || !CHUNKS.has(textIn(content, "type"))) return;
    const block = new Block(textIn(content, "type"));
    this.blocks.set(index, block);
    this.#extend(block, content, content.args);
  }

  /** @param {any} event */
  #delta(event) {
    const { delta, index } = event;
    if (!isObject(delta)) return false;
    const kind = textIn(delta, "type");
    if (kind === "text-delta" || kind === "reasoning-delta") {
      const name = kind === "text-delta" ? "text" : "reasoning";
      const piece = delta[name];
      if (typeof piece !== "string" || !piece) return false;
      this.#block(index, name).text += piece;
      return true;
    }
    if (kind === "tool-call-delta") {
      const block = this.blocks.get(index);
      if (block !== undefined && CHUNKS.has(block.kind)) this.#extend(block, {}, delta.args);
    } else if (kind === "block-delta") {
      this.#fields(index, delta.fields);
    }
    return false;
  }

  /** What a tool call has so far. @param {any} index @param {any} fields */
  #fields(index, fields) {
    if (!isObject(fields) || !CHUNKS.has(textIn(fields, "type"))) return;
    const at = index ?? fields.index ?? this.blocks.size;
    const block = this.#block(at, fields.type);
    let args = fields.args;
    if (typeof args === "string") {
      if (args.startsWith(block.text)) {
        args = args.slice(block.text.length);
      } else {
        block.text = args;
        args = "";
      }
    }
    this.#extend(block, fields, args);
  }

  /** @param {Block} block @param {any} fields @param {any} args */
  #extend(block, fields, args) {
    for (const [key, value] of Object.entries(fields)) {
      if (key !== "args" && key !== "type" && value !== null && !block.chunk.has(key)) block.chunk.set(key, value);
    }
    if (typeof args === "string") block.text += args;
  }

  /** A block's end is the authority. @param {any} event */
  #finish(event) {
    const content = event.content || event.content_block;
    if (!isObject(content)) return;
    const kind = textIn(content, "type");
    const block = this.#block(event.index, kind);
    if (kind === "text" || kind === "reasoning") {
      const whole = content[kind];
      if (typeof whole === "string" && whole) block.text = whole;
      block.final = { ...content, type: kind, [kind]: block.text };
    } else if (kind === "tool_call" || kind === "invalid_tool_call") {
      block.final = { id: "", name: "", args: kind === "tool_call" ? {} : "", ...content, type: kind };
    } else {
      block.final = { ...content, type: kind };
    }
  }
}
