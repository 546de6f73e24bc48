// @ts-check
// One message of a model, as its events arrive. Touches no DOM.

const CHUNKS = new Map([["tool_call_chunk", "tool_call"], ["server_tool_call_chunk", "server_tool_call"]]);
const FAMILIES = new Map([...CHUNKS, ["invalid_tool_call", "tool_call"]]);

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
  /** @param {any} index @param {string} kind */
  constructor(index, kind) {
    this.index = index;
    this.kind = kind;
    this.family = FAMILIES.get(kind) ?? kind;
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

/** Blocks in order of their index; those whose index is no number last. @param {Block} one @param {Block} other */
function byIndex({ index: a }, { index: b }) {
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
    /** @type {Block[]} */
    this.blocks = [];
    /** Those where another one has come since. @type {Set<Block>} */
    this.left = new Set();
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
    return [...this.blocks].sort(byIndex);
  }

  /** The block of a family at an index. @param {any} index @param {string} family */
  #at(index, family) {
    return this.blocks.find((block) => block.index === index && block.family === family && !this.left.has(block));
  }

  /** The same, by the kind of a block. @param {any} index @param {string} kind */
  #known(index, kind) {
    const known = this.#at(index, FAMILIES.get(kind) ?? kind);
    return known === undefined && kind === "invalid_tool_call" ? this.#at(index, "server_tool_call") : known;
  }

  /** Another block may come where this one is. @param {Block} block */
  #leave(block) {
    this.left.add(block);
    this.blocks.push(...this.blocks.splice(this.blocks.indexOf(block), 1));
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
    const known = this.#known(index, kind);
    if (known !== undefined && known.final === null) return known;
    if (known !== undefined) this.#leave(known);
    const block = new Block(index, kind);
    this.blocks.push(block);
    return block;
  }

  /** @param {any} event */
  #start(event) {
    const content = event.content || event.content_block;
    const index = event.index ?? null;
    if (!isObject(content)) return;
    const kind = textIn(content, "type");
    const known = this.#known(index, kind);
    if (known !== undefined && (!content.id || content.id !== known.chunk.get("id"))) this.#leave(known);
    if (CHUNKS.has(kind)) this.#extend(this.#block(index, kind), content, content.args);
  }

  /** @param {any} event */
  #delta(event) {
    const { delta } = event;
    const index = event.index ?? null;
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
      const block = [...CHUNKS.values()].map((family) => this.#at(index, family)).find((each) => each?.final === null);
      if (block !== undefined) this.#extend(block, {}, delta.args);
    } else if (kind === "block-delta") {
      this.#fields(index, delta.fields);
    }
    return false;
  }

  /** What a tool call has so far. @param {any} index @param {any} fields */
  #fields(index, fields) {
    if (!isObject(fields) || !CHUNKS.has(textIn(fields, "type"))) return;
    const at = index ?? fields.index ?? this.blocks.length;
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
    const block = this.#block(event.index ?? null, kind);
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
