// One stream of server-sent events per visible page. A hidden page closes it (a
// browser opens few connections to one host over HTTP/1.1) and catches up when it
// is seen again, from the counts or the state that the server sends first.
import { leave } from "./commun.js";

export function follow(url, handlers) {
  let source = null;
  const open = () => {
    if (source) return;
    source = new EventSource(url);
    for (const [name, f] of Object.entries(handlers)) {
      if (name === "ouvert") continue;
      source.addEventListener(name, (e) => f(JSON.parse(e.data)));
    }
    source.addEventListener("open", () => handlers.ouvert?.()); // also after each reconnection
    source.addEventListener("fin", leave);
  };
  const close = () => { if (source) { source.close(); source = null; } };
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  if (!document.hidden) open();
}
