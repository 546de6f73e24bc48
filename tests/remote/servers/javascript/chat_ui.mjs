// The calls that agent-chat-ui makes of a server, as its source makes them, as one line of JSON.
//
//     node chat_ui.mjs URL [PACKAGE]

const [url, sdk] = process.argv.slice(2);
const { Client } = await import(sdk ?? "@langchain/langgraph-sdk");
const client = new Client({ apiUrl: url, apiKey: undefined });

const info = await fetch(`${url}/info`);
const thread = await client.threads.create();
const id = thread.thread_id;
const human = { id: "h1", type: "human", content: [{ type: "text", text: "hi" }] };
const seen = [];
let text = "";
const options = {
  input: { messages: [human] },
  streamMode: ["values", "messages-tuple"],
  streamSubgraphs: true,
  streamResumable: true,
};
for await (const { event, data } of client.runs.stream(id, "chat", options)) {
  if (!seen.includes(event.split("|")[0])) seen.push(event.split("|")[0]);
  if (event.startsWith("messages") && typeof data[0].content === "string") text += data[0].content;
}
// Regenerating and editing, as `useStream` does: from the checkpoint before the message was first seen.
const seenFirst = (states, is) => states.filter((state) => (state.values.messages ?? []).some(is)).at(-1);
const from = async (given, checkpoint) => {
  const { thread_id: _, ...place } = checkpoint;
  let values, run;
  const asked = {
    input: given,
    checkpoint: place,
    streamMode: ["values"],
    streamSubgraphs: true,
    streamResumable: true,
    onDisconnect: "continue",
    onRunCreated: (created) => (run = created.run_id),
  };
  for await (const { event, data } of client.runs.stream(id, "chat", asked)) if (event === "values") values = data;
  return { ids: values.messages.map((each) => each.id), run };
};
const past = await client.threads.getHistory(id, { limit: 10 });
const before = (is) => seenFirst(past, is).parent_checkpoint;
const answer = past[0].values.messages[1].id;
const regenerated = await from(undefined, before((each) => each.type === "ai"));
const edited = await from({ messages: [{ ...human, id: "h2" }] }, before((each) => each.id === "h1"));
// With every other input it sends where it has seen the thread.
const [head] = await client.threads.getHistory(id, { limit: 1 });
const next = await from({ messages: [{ ...human, id: "h3" }] }, head.checkpoint);
// After a reload it asks for the run's events from its start.
let joined;
for await (const { event, data } of client.runs.joinStream(id, next.run, { lastEventId: "-1", streamMode: ["values"] }))
  if (event === "values") joined = data.messages.map((each) => each.id);

const history = await client.threads.getHistory(id, { limit: 10 });
const found = await client.threads.search({ metadata: { graph_id: "chat" }, limit: 100 });
const asking = await client.threads.create();
const created = [];
const onRunCreated = (about) => created.push(about.thread_id === asking.thread_id && about.run_id);
await client.runs.wait(asking.thread_id, "ask", { input: {}, onRunCreated });
const [first] = await client.runs.list(asking.thread_id);
const [asked] = (await client.threads.getState(asking.thread_id)).tasks.flatMap((task) => task.interrupts);
// "Mark as resolved".
const resolving = { input: {}, command: { goto: "__end__" }, onDisconnect: "cancel" };
const resolved = await client.runs.wait(asking.thread_id, "ask", resolving).catch((error) => error.status);
const [waiting] = await client.threads.getHistory(asking.thread_id, { limit: 10 });
const { thread_id: _, ...checkpoint } = waiting.checkpoint;
const answering = { input: {}, command: { resume: "yes" }, checkpoint, onDisconnect: "cancel" };
const answered = await client.runs.wait(asking.thread_id, "ask", answering);
const background = await client.runs.create(asking.thread_id, "ask", { input: {}, onRunCreated });
await client.runs.join(asking.thread_id, background.run_id);
await client.threads.delete(id);

const told = {
  info: info.status,
  seen,
  text,
  regenerated: [regenerated.ids[0], regenerated.ids.length, regenerated.ids[1] !== answer],
  edited: [edited.ids[0], edited.ids.length],
  next: [next.ids[2], next.ids.length],
  joined: joined.join() === next.ids.join(),
  resolved,
  history: history.map((state) => (state.values.messages ?? []).length),
  found: found.some((each) => each.thread_id === id && each.values.messages.length === 4),
  asked: asked.value,
  answers: answered.answers,
  created: [created[0] === first.run_id, created[1] === background.run_id, created.length],
};
process.stdout.write(JSON.stringify(told));
