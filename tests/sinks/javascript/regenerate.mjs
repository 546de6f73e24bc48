// A page with the official client of AG-UI: node regenerate.mjs URL. Reads lines of JSON, {say} or {again} or {instead},
// and writes after each what the page shows: [[role, text], ...].
import { createInterface } from "node:readline";
import { HttpAgent } from "@ag-ui/client";

const page = new HttpAgent({ url: process.argv[2], threadId: "chat" });
let runs = 0;

// What CopilotKit's `reloadMessages` does: the messages up to the question stay, and the agent is run again.
const cutAfter = (id) => {
  const kept = page.messages.findIndex((each) => each.id === id);
  page.setMessages(page.messages.slice(0, kept + 1));
};

// A page that lets its user change a question has a new message in its place.
const cutBefore = (id) => {
  page.setMessages(page.messages.slice(0, page.messages.findIndex((each) => each.id === id)));
};

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  if (asked.forget) page.setMessages([]);
  if (asked.again) cutAfter(asked.again);
  if (asked.instead) cutBefore(asked.instead);
  if (asked.say) page.addMessage({ id: asked.say, role: "user", content: asked.say });
  let failure = null;
  try {
    await page.runAgent({ runId: `run-${++runs}`, resume: asked.resume }, {
      onRunErrorEvent({ event }) { failure = event.message; },
    });
  } catch (error) { failure ??= String(error); }
  const interrupts = page.pendingInterrupts ?? [];
  console.log(JSON.stringify({ shown: page.messages.map((each) => [each.role, each.content]), failure, interrupts }));
}
