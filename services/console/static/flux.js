// One stream of server-sent events per visible page. A hidden page closes it (a
// browser opens few connections to one host over HTTP/1.1) and goes on from where
// it was when it is seen again; after a cut the browser itself does the same.
import { leave } from "./commun.js";

export function follow(url, handlers) {
  let source = null;
  let last = "";
  const open = () => {
    if (source) return;
    source = new EventSource(last ? url.replace(/([?&]depuis=)[^&]*/, "$1" + encodeURIComponent(last)) : url);
    for (const [name, f] of Object.entries(handlers)) {
      source.addEventListener(name, (e) => { last = e.lastEventId || last; f(JSON.parse(e.data)); });
    }
    source.addEventListener("fin", leave);
  };
  const close = () => { if (source) { source.close(); source = null; } };
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  if (!document.hidden) open();
}
