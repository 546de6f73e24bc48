// What the official JavaScript client reads of events that are abridged, as one line of JSON.
//
//     node --experimental-websocket large.mjs URL sse|websocket [PACKAGE]

const [url, transport, sdk] = process.argv.slice(2);
const { Client } = await import(sdk ?? "@langchain/langgraph-sdk");
const client = new Client({ apiUrl: url, apiKey: null });

const thread = client.threads.stream({ assistantId: "function", transport, reconnectDelayMs: () => 20 });

async function first(iterable) {
  for await (const item of iterable) return item;
}

const message = first(thread.messages).then(async (each) => {
  const output = await each.output;
  return { text: (await each.text).slice(0, 12), call: output.tool_calls[0].name };
});
const tool = first(thread.toolCalls).then(async (each) => ({ name: each.name, count: (await each.output).count }));
const values = [];
(async () => {
  for await (const each of thread.values) if (each.step !== undefined) values.push(each.step);
})();
const last = await thread.subscribe({ channels: ["lifecycle", "input", "values"] });
const events = last[Symbol.asyncIterator]();

async function until(wanted) {
  for (;;) {
    const { done, value } = await events.next();
    if (done) await new Promise((resolve) => setTimeout(resolve, 5));
    else if (value.method === "lifecycle" && value.params.namespace.length === 0 && wanted === value.params.data.event) return;
  }
}

await thread.run.start({ input: {} });
await until("interrupted");
const [asked] = thread.interrupts.map((each) => ({ ...each }));
await thread.input.respond({
  responses: [{ interrupt_id: asked.interruptId, namespace: asked.namespace, response: "Ada" }],
});
await until("completed");
const state = await client.threads.getState(thread.threadId);
const { text, call } = await message;
const result = {
  text,
  call,
  tool: await tool,
  asked: asked.payload.ask,
  values: [...new Set(values)],
  answer: state.values.answer,
  size: state.values.text.length,
};
await thread.close();
console.log(JSON.stringify(result));
process.exit(0);
