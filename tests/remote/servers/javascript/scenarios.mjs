// What the official JavaScript client reads of a server, one scenario after the other, as one line of JSON.
//
//     node --experimental-websocket scenarios.mjs URL PROXY sse|websocket [PACKAGE]

const [url, proxy, transport, sdk] = process.argv.slice(2);
const { Client } = await import(sdk ?? "@langchain/langgraph-sdk");
const client = new Client({ apiUrl: url, apiKey: null });

const open = (assistantId, threadId, through = client) => {
  const options = { assistantId, transport, reconnectDelayMs: () => 20 };
  return threadId === undefined ? through.threads.stream(options) : through.threads.stream(threadId, options);
};

async function collect(iterable, most = Infinity) {
  const items = [];
  for await (const item of iterable) {
    items.push(item);
    if (items.length >= most) break;
  }
  return items;
}

// Wait until the server has taken what was subscribed to before.
async function subscribed(thread) {
  const last = await thread.subscribe({ channels: ["lifecycle"] });
  await last.unsubscribe();
}

function rootEvent(event) {
  return event.method === "lifecycle" && event.params.namespace.length === 0 ? event.params.data.event : undefined;
}

// Events of a subscription up to one of the run itself, any number of times, over pauses at interrupts. Leaving a
// `for await` would end the subscription.
function reading(subscription) {
  const events = subscription[Symbol.asyncIterator]();
  return async (wanted) => {
    for (;;) {
      const { done, value } = await events.next();
      if (done) await new Promise((resolve) => setTimeout(resolve, 5));
      else if (wanted.includes(rootEvent(value))) return value.params.data;
    }
  };
}

const scenarios = {
  async projections() {
    const thread = open("everything");
    // Read when the run is over: where a run ends while a subscription is on its way to the server, the client pauses that
    // before it has had anything.
    const deep = async () => {
      const names = [];
      let found = await collect(thread.subgraphs, 1);
      while (found.length > 0) {
        names.push(found[0].name);
        if (names.length === 3) {
          const [message] = await collect(found[0].messages, 1);
          return [...names, await message.text];
        }
        found = await collect(found[0].subgraphs, 1);
      }
      return names;
    };
    const messages = collect(thread.messages).then((all) =>
      Promise.all(
        all.map(async (message) => {
          const output = await message.output;
          return { text: await message.text, node: message.node ?? null, calls: output.tool_calls };
        }),
      ),
    );
    const calls = collect(thread.toolCalls).then((all) =>
      Promise.all(all.map(async (call) => ({ name: call.name, input: call.input ?? null, output: await call.output }))),
    );
    const values = collect(thread.values);
    const progress = collect(thread.extensions.progress);
    await subscribed(thread);
    await thread.run.start({ input: { q: 1 } });
    const result = {
      values: await values,
      messages: await messages,
      calls: await calls,
      progress: await progress,
      output: await thread.output,
      deep: await deep(),
    };
    await thread.close();
    return result;
  },

  async arguments() {
    const thread = open("writing");
    const messages = collect(thread.messages).then((all) =>
      Promise.all(
        all.map(async (message) => {
          let pieces = "";
          for await (const event of message) {
            if (event.event === "content-block-delta" && event.content) pieces += event.content.args;
          }
          const output = await message.output;
          return { pieces, calls: output.tool_calls.map((call) => ({ name: call.name, args: call.args })) };
        }),
      ),
    );
    await subscribed(thread);
    await thread.run.start({ input: { to: 2000 } });
    await thread.output;
    const result = await messages;
    await thread.close();
    return result;
  },

  // Over WebSocket, as a command of its own.
  async state() {
    const thread = open("everything");
    await thread.run.start({ input: {} });
    await thread.output;
    const state = await thread.state.get({ namespace: [] });
    await thread.close();
    return state;
  },

  async interrupt() {
    const thread = open("ask two");
    await thread.run.start({ input: {} });
    const until = reading(await thread.subscribe({ channels: ["lifecycle", "values"] }));
    await until(["interrupted"]);
    const interrupted = thread.interrupted;
    const asked = thread.interrupts.map((each) => ({ ...each }));
    await thread.input.respond({
      responses: asked.map((each) => ({
        interrupt_id: each.interruptId,
        namespace: each.namespace,
        response: each.payload.ask + each.payload.ask,
      })),
    });
    await until(["completed", "failed"]);
    const state = await client.threads.getState(thread.threadId);
    await thread.close();
    return { interrupted, asked: asked.map((each) => each.payload.ask).sort(), answers: state.values.answers.sort() };
  },

  async failure() {
    const thread = open("failing");
    const until = reading(await thread.subscribe({ channels: ["lifecycle"] }));
    await thread.run.start({ input: null });
    const end = await until(["completed", "failed"]);
    await thread.close();
    return end.error;
  },

  async turns() {
    const thread = open("chat");
    const until = reading(await thread.subscribe({ channels: ["lifecycle", "messages"] }));
    for (let turn = 0; turn < 2; turn += 1) {
      await thread.run.start({ input: {} });
      await until(["completed", "failed"]);
    }
    const state = await client.threads.getState(thread.threadId);
    const tree = transport === "websocket" ? (await thread.agent.getTree()).tree : null;
    await thread.close();
    return { messages: state.values.messages.length, tree: tree && tree.children.map((child) => child.graph_name) };
  },

  async late() {
    const first = open("counting");
    const until = reading(await first.subscribe({ channels: ["lifecycle"] }));
    await first.run.start({ input: { to: 50 } });
    await until(["completed", "failed"]);
    await first.close();
    const late = open("counting", first.threadId);
    const counted = await collect(await late.subscribe("custom:count"), 50);
    await late.close();
    return counted;
  },

  async refused() {
    const thread = open("nobody");
    try {
      await thread.run.start({ input: null });
      return "accepted";
    } catch (error) {
      return String(error.message);
    } finally {
      await thread.close();
    }
  },

  async cut() {
    const thread = open("counting", undefined, new Client({ apiUrl: proxy, apiKey: null }));
    const counted = await thread.subscribe("custom:count");
    await client.threads.stream(thread.threadId, { assistantId: "counting", transport: "sse" }).run.start({
      input: { to: 300 },
    });
    const seen = await collect(counted, 300);
    await thread.close();
    return seen;
  },
};

const results = {};
for (const [name, scenario] of Object.entries(scenarios)) {
  let timer;
  const expired = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("took too long")), 120_000);
  });
  try {
    results[name] = await Promise.race([scenario(), expired]);
  } catch (error) {
    results[name] = { error: String(error.stack) };
  }
  clearTimeout(timer);
}
console.log(JSON.stringify(results));
process.exit(0);
