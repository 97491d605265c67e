// The page of proof packs, and that of a verification which goes on.
import { follow } from "./flux.js";

const say = (text) => { document.getElementById("annonce").textContent = text; };

const table = document.getElementById("dossiers");
if (table) {
  follow("/preuves/flux", {
    dossier: ({ id, said, html }) => {
      const old = document.getElementById("dossier-" + id);
      const box = document.createElement("template");
      box.innerHTML = html.trim();
      const row = box.content.firstElementChild;
      if (!old) { location.reload(); return; } // asked for in another window
      if (old.outerHTML === row.outerHTML) return;
      const had = old.contains(document.activeElement);
      const changed = old.dataset.etat !== row.dataset.etat;
      old.replaceWith(row);
      if (had) (row.querySelector("a[href], button") || row.querySelector("[tabindex]")).focus();
      if (changed) say(row.dataset.nom + " : " + said);
    },
  });
}

const waiting = document.querySelector("[data-attente]");
if (waiting) {
  const look = async () => {
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      const text = await answer.text();
      if (answer.ok && !text.includes("data-attente")) { location.reload(); return; }
    } catch { /* the next look tries again */ }
    setTimeout(look, 2000);
  };
  setTimeout(look, 2000);
}
