// Follows a thread with the official JavaScript client, and writes each event of a channel as one line of JSON.
//
//     node --experimental-websocket viewer.mjs URL THREAD sse|websocket

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [url, threadId, transport] = process.argv.slice(2);
const require = createRequire(new URL("../servers/javascript/scenarios.mjs", import.meta.url));
const { Client } = await import(pathToFileURL(require.resolve("@langchain/langgraph-sdk")));

process.on("unhandledRejection", (error) => console.error(String(error)));
const client = new Client({ apiUrl: url, apiKey: null, callerOptions: { maxRetries: 0 } });
const options = { assistantId: "steps", transport, reconnectDelayMs: () => 50, maxReconnectAttempts: 1e9 };
const thread = client.threads.stream(threadId, options);
const subscription = await thread.subscribe({ channels: ["custom:count"] });
console.log(JSON.stringify("subscribed"));
const events = subscription[Symbol.asyncIterator]();
for (;;) {
  // The client pauses a subscription when a run ends; it goes on with the next one.
  const { done, value } = await events.next();
  if (done) await new Promise((resolve) => setTimeout(resolve, 5));
  else console.log(JSON.stringify([value.event_id, value.params.data.payload]));
}
