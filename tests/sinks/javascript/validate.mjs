// Reads responses, one JSON object per line: {id, protocol, body, message?, messages?}. Writes what the official readers
// make of them: {id, ok, error?, folded?}.
import { createInterface } from "node:readline";
import * as ai7 from "ai";
import * as ai6 from "ai6";
import { HttpAgent } from "@ag-ui/client";
import { EventSchema } from "@ag-ui/core/schemas";
import OpenAI from "openai";

const SSE = { "content-type": "text/event-stream" };
let body = "";
const answering = async () => new Response(body, { headers: SSE });

// Reads as `useChat` does: the transport, then the reader, which stops at the first chunk that it cannot place.
async function uiMessage(ai, given) {
  const transport = new ai.DefaultChatTransport({ api: "http://localhost/chat", fetch: answering });
  const messages = given.message ? [given.message] : [];
  const stream = await transport.sendMessages({
    trigger: "submit-message", chatId: "chat", messageId: undefined, messages, abortSignal: undefined,
  });
  let folded = given.message, errors = [];
  let aborted = false;
  const counted = stream.pipeThrough(new TransformStream({
    transform(chunk, controller) {
      if (chunk.type === "error") errors.push(chunk.errorText);
      else if (chunk.type === "abort") aborted = true;
      controller.enqueue(chunk);
    },
  }));
  let refused;
  const onError = (error) => { if (!errors.includes(error?.message ?? String(error))) refused = error; };
  for await (const message of ai.readUIMessageStream({ message: given.message, stream: counted, onError })) folded = message;
  if (refused) throw refused;
  return { message: folded, errors, aborted };
}

async function agent(given) {
  globalThis.fetch = answering;
  const reader = new HttpAgent({ url: "http://localhost/agent", threadId: "t", initialMessages: given.messages ?? [] });
  const seen = [];
  let failure;
  try {
    await reader.runAgent({ runId: "r" }, {
      onEvent({ event }) { EventSchema.parse(JSON.parse(JSON.stringify(event))); seen.push(event.type); },
      onRunErrorEvent({ event }) { failure = event.message; },
    });
  } catch (error) {
    if (failure === undefined) throw error;
  }
  if (!["RUN_FINISHED", "RUN_ERROR"].includes(seen.at(-1))) throw new Error(`ends with ${seen.at(-1)}`);
  return { messages: reader.messages, state: reader.state, last: seen.at(-1), failure, events: seen.length };
}

async function completion(given) {
  const client = new OpenAI({ apiKey: "none", baseURL: "http://localhost/v1", fetch: answering, maxRetries: 0 });
  let text = "", finish = null, usage = null;
  try {
    const stream = await client.chat.completions.create({
      model: "m", messages: [], stream: true, stream_options: { include_usage: true },
    });
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta?.content ?? "";
      finish = chunk.choices[0]?.finish_reason ?? finish;
      usage = chunk.usage ?? usage;
    }
  } catch (error) {
    if (!(error instanceof OpenAI.APIError)) throw error;
    return { text, failure: error.message };
  }
  if (finish === null) throw new Error("no finish_reason");
  return { text, finish, usage };
}

const readers = {
  "ai-6": (given) => uiMessage(ai6, given),
  "ai-7": (given) => uiMessage(ai7, given),
  "ag-ui": agent,
  openai: completion,
};

for await (const line of createInterface({ input: process.stdin })) {
  const given = JSON.parse(line);
  body = given.body;
  let result;
  try {
    result = { id: given.id, ok: true, folded: await readers[given.protocol](given) };
  } catch (error) {
    result = { id: given.id, ok: false, error: `${error?.name}: ${error?.message}`.slice(0, 2000) };
  }
  process.stdout.write(JSON.stringify(result) + "\n");
}
