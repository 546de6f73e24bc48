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
const history = await client.threads.getHistory(id, { limit: 10 });
const found = await client.threads.search({ metadata: { graph_id: "chat" }, limit: 100 });
const asking = await client.threads.create();
await client.runs.wait(asking.thread_id, "ask", { input: {} });
const [asked] = (await client.threads.getState(asking.thread_id)).tasks.flatMap((task) => task.interrupts);
const answered = await client.runs.wait(asking.thread_id, "ask", { command: { resume: "yes" } });
await client.threads.delete(id);

const told = {
  info: info.status,
  seen,
  text,
  history: history.map((state) => (state.values.messages ?? []).length),
  found: found.some((each) => each.thread_id === id && each.values.messages.length === 2),
  asked: asked.value,
  answers: answered.answers,
};
process.stdout.write(JSON.stringify(told));
