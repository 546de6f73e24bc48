"""Pages that read runs, to copy: with `EventSource`, with `fetch`, and a chat in React."""
