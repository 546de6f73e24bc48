// @ts-check
// Where things stand: bars in lanes, nodes of a graph in layers. Pure.
import { around, keyOf, nameOf } from "./fold.js";

/** @typedef {import("./fold.js").Bar} Bar @typedef {import("./fold.js").Model} Model */
/** @typedef {{key: string, namespace: string[], children: Lane[], rows: Bar[][], newest: number}} Lane */

/** Model -> its lanes, and how many of its bars stand in them. */
const kept = new WeakMap();

/** The lane of a namespace, in which a bar begins; so it does in those round it. @param {Map<string, Lane>} lanes @param {string[]} namespace @param {number} seq @returns {Lane} */
function laneOf(lanes, namespace, seq) {
  const outer = namespace.length ? laneOf(lanes, around(namespace), seq) : null;
  const key = keyOf(namespace);
  let lane = lanes.get(key);
  if (lane === undefined) {
    lane = { key, namespace, children: [], rows: [], newest: seq };
    lanes.set(key, lane);
    outer?.children.push(lane);
  }
  lane.newest = seq;
  return lane;
}

/** The lanes of a model's bars: those that overlap stand in rows of their own. @param {Model} model */
function lanesOf(model) {
  let found = kept.get(model);
  if (found === undefined || found.dropped !== model.sums.droppedBars) {
    found = { lanes: new Map(), inputs: new Map(), placed: 0, dropped: model.sums.droppedBars };
    kept.set(model, found);
    laneOf(found.lanes, [], 0);
  }
  for (; found.placed < model.bars.length; found.placed += 1) {
    const bar = model.bars[found.placed];
    if (bar.kind === "task") found.inputs.set(keyOf([...bar.namespace, `${bar.name}:${bar.id}`]), { input: bar.input, text: null });
    const { rows } = laneOf(found.lanes, bar.namespace, bar.seq);
    const free = rows.find((row) => {
      const before = row[row.length - 1];
      return before.endSeq !== 0 && before.endSeq < bar.seq;
    });
    if (free) free.push(bar);
    else rows.push([bar]);
  }
  return found;
}

/** @typedef {{lane: Lane, depth: number, name: string, note: string, folded: boolean, head: boolean, bars: Bar[]}} Row */

/** What tells graphs of one name apart: which of them it is, and what it was given. @param {Lane[]} among @param {Map<string, any>} inputs @returns {string[]} */
function notesOf(among, inputs) {
  const counts = new Map();
  const numbers = among.map(({ namespace }) => {
    const name = nameOf(namespace);
    counts.set(name, (counts.get(name) ?? 0) + 1);
    return counts.get(name);
  });
  return among.map(({ namespace, key }, at) => {
    if (counts.get(nameOf(namespace)) < 2) return "";
    return `#${numbers[at]}${shortly(inputs.get(key))}`;
  });
}

/** What a graph was given, as text: made once, as it may be long, and is asked for with each frame. @param {{input: any, text: string | null} | undefined} given @returns {string} */
function shortly(given) {
  if (given === undefined) return "";
  const { input } = given;
  given.text ??= input === undefined || input === null ? "" : ` ${typeof input === "string" ? input : JSON.stringify(input)}`.slice(0, 200);
  return given.text;
}

/**
 * The rows of the waterfall, outer before inner; of a folded lane its head only.
 * @param {Model} model @param {Set<string>} folded @param {string} root
 * @param {number} [since] leaves out what has no bar that began after this place
 */
export function rowsOf(model, folded, root, since = 0) {
  /** @type {Row[]} */
  const rows = [];
  const { lanes, inputs } = lanesOf(model);
  /** @type {[Lane, number, string][]} */
  const pending = [[/** @type {Lane} */ (lanes.get("[]")), 0, ""]];
  while (pending.length) {
    const [lane, depth, note] = /** @type {[Lane, number, string]} */ (pending.pop());
    const graph = model.graphs.get(lane.key);
    const name = lane.namespace.length ? graph?.graph_name ?? nameOf(lane.namespace) : root;
    const isFolded = folded.has(lane.key);
    const recent = lane.rows.filter((row) => row[row.length - 1].seq > since || row[row.length - 1].end === null);
    const own = isFolded ? [recent.flat()] : recent.length ? recent : [[]];
    own.forEach((bars, at) => rows.push({ lane, depth, name, note, folded: isFolded, head: at === 0, bars }));
    if (isFolded) continue;
    const children = lane.children.filter((each) => each.newest > since);
    const notes = notesOf(children, inputs);
    for (let at = children.length - 1; at >= 0; at -= 1) pending.push([children[at], depth + 1, notes[at]]);
  }
  return rows;
}

/** Bars of a row in a window of time: all, or if they are many, the long ones and `most` of the short ones. @param {Bar[]} bars @param {number} from @param {number} to @param {number} now @param {number} most */
export function within(bars, from, to, now, most) {
  const shown = [];
  const inside = bars.filter((bar) => bar.begin <= to && (bar.end ?? now) >= from);
  const least = inside.length > most ? (to - from) / most : 0;
  let before = -Infinity;
  for (const bar of inside) {
    const end = bar.end ?? now;
    if (bar.begin - before < least && end - bar.begin < least && bar.end !== null) continue;
    shown.push(bar);
    before = bar.begin;
  }
  return shown;
}

/**
 * A graph in layers, from its entry on: each node one layer after the furthest of those that lead to it.
 * @param {{id: string, data?: any}[]} nodes @param {{source: string, target: string, conditional?: boolean}[]} edges
 */
export function layered(nodes, edges) {
  const ids = new Set(nodes.map((node) => node.id));
  const known = edges.filter(({ source, target }) => ids.has(source) && ids.has(target));
  /** @type {Map<string, string[]>} */
  const next = new Map(nodes.map(({ id }) => [id, []]));
  known.forEach(({ source, target }) => next.get(source)?.push(target));
  const state = new Map();
  const back = new Set();
  /** @type {string[]} */
  const order = [];
  // Depth first: an edge to what is under way goes back, and does not count.
  for (const { id } of nodes) {
    /** @type {[string, number][]} */
    const path = state.has(id) ? [] : [[id, 0]];
    while (path.length) {
      const top = path[path.length - 1];
      const [at, done] = top;
      state.set(at, "open");
      const targets = /** @type {string[]} */ (next.get(at));
      if (done === targets.length) {
        state.set(at, "done");
        order.unshift(at);
        path.pop();
        continue;
      }
      top[1] += 1;
      const target = targets[done];
      if (state.get(target) === "open") back.add(JSON.stringify([at, target]));
      else if (!state.has(target)) path.push([target, 0]);
    }
  }
  const layer = new Map(order.map((id) => [id, 0]));
  for (const id of order) {
    for (const target of /** @type {string[]} */ (next.get(id))) {
      if (!back.has(JSON.stringify([id, target]))) layer.set(target, Math.max(layer.get(target) ?? 0, (layer.get(id) ?? 0) + 1));
    }
  }
  /** @type {string[][]} */
  const layers = [];
  for (const { id } of nodes) (layers[layer.get(id) ?? 0] ??= []).push(id);
  const places = new Map();
  layers.forEach((row, y) => row.forEach((id, x) => places.set(id, { x: x - (row.length - 1) / 2, y })));
  const drawn = known.map((edge) => ({ ...edge, back: back.has(JSON.stringify([edge.source, edge.target])) }));
  return { places, edges: drawn, height: layers.length, width: Math.max(1, ...layers.map((row) => row.length)) };
}
