// @ts-check
// Which page is shown: `#/` for the list of threads, `#/t/<id>?at=<place>` for one.
import { Component, html, render } from "./dom.js";
import { Thread } from "./thread.js";
import { Threads } from "./threads.js";

/** What an address stands for. @param {string} hash */
function parsed(hash) {
  const found = /^#\/t\/([^?]+)(?:\?at=(\d+))?$/.exec(hash);
  if (found === null) return { id: "", at: 0 };
  try {
    return { id: decodeURIComponent(found[1]), at: Number(found[2] ?? 0) };
  } catch {
    return { id: "", at: 0 };
  }
}

class App extends Component {
  constructor() {
    super();
    this.state = parsed(location.hash);
    addEventListener("hashchange", () => this.setState(parsed(location.hash)));
  }

  render(_, { id, at }) {
    return id ? html`<${Thread} key=${id} id=${id} at=${at} />` : html`<${Threads} />`;
  }
}

render(html`<${App} />`, document.body);
