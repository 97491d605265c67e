// One stream of server-sent events per visible page. A hidden page closes it (a
// browser opens few connections to one host over HTTP/1.1), unless the person asked to
// be told on this screen, and goes on from where it was when it is seen again; after a
// cut the browser itself does the same. The function that is returned ends it.
import { leave } from "./commun.js";

export function follow(url, handlers, always = () => false) {
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
  const seen = () => (document.hidden && !always() ? close() : open());
  document.addEventListener("visibilitychange", seen);
  addEventListener("pagehide", close);
  seen();
  return () => { document.removeEventListener("visibilitychange", seen); removeEventListener("pagehide", close); close(); };
}
