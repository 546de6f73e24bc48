// A chat in React: text and subgraphs, consent to tools, stopping, and loading the page anew in the middle of an answer.
import { useChat } from "@ai-sdk/react";
import { DefaultChatTransport, lastAssistantMessageIsCompleteWithApprovalResponses } from "ai";
import { useState } from "react";
import { createRoot } from "react-dom/client";

// The chat's id is the server's thread. What was said is kept here: a page that is loaded anew needs both.
const id = (location.hash ||= `#${crypto.randomUUID()}`).slice(1);
const kept = JSON.parse(sessionStorage.getItem(id) ?? "[]");

function Part({ part, onAnswer }) {
  if (part.type === "text") {
    const inside = part.providerMetadata?.anyiostream?.namespace;
    return <p className={inside ? "inner" : "text"}>{part.text}</p>;
  }
  if (part.type === "data-subgraph") return <p className="subgraph">{part.data.name}: {part.data.status}</p>;
  if (part.type !== "dynamic-tool") return null;
  return (
    <p className="tool" data-state={part.state}>
      {part.toolName}({JSON.stringify(part.input)}) {part.output !== undefined && `= ${JSON.stringify(part.output)}`}
      {part.state === "approval-requested" && (
        <>
          <button onClick={() => onAnswer({ id: part.approval.id, approved: true })}>Allow</button>
          <button onClick={() => onAnswer({ id: part.approval.id, approved: false })}>Deny</button>
        </>
      )}
    </p>
  );
}

function Chat() {
  const [text, setText] = useState("");
  const { messages, sendMessage, addToolApprovalResponse, status, error } = useChat({
    id,
    messages: kept,
    resume: true,
    transport: new DefaultChatTransport({ api: "/chat" }),
    sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses,
    onFinish: ({ messages }) => sessionStorage.setItem(id, JSON.stringify(messages)),
  });
  const send = (event) => {
    event.preventDefault();
    // What is under way comes from the server; what was said before, from here.
    const said = { id: crypto.randomUUID(), role: "user", parts: [{ type: "text", text }] };
    sessionStorage.setItem(id, JSON.stringify([...messages, said]));
    sendMessage(said);
    setText("");
  };
  return (
    <main>
      {messages.map((message) => (
        <section key={message.id} className={message.role}>
          {message.parts.map((part, index) => <Part key={index} part={part} onAnswer={addToolApprovalResponse} />)}
        </section>
      ))}
      <form onSubmit={send}>
        <input value={text} onChange={(event) => setText(event.target.value)} aria-label="Message" />
        <button>Send</button>
        <button type="button" onClick={() => fetch(`/chat/${id}/stop`, { method: "POST" })}>Stop</button>
      </form>
      <footer data-status={status}>{error ? error.message : status}</footer>
    </main>
  );
}

createRoot(document.getElementById("root")).render(<Chat />);
