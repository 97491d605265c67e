// The live queue: rows that are shown change in place; new ones are counted and
// wait for a click, so that nothing moves under the eyes of the reader.
import { announce } from "./commun.js";
import { follow } from "./flux.js";

const queue = document.querySelector(".queue");
const rows = document.getElementById("lignes");
const button = document.getElementById("nouveaux");
const MAX = 100;
const fresh = new Map(); // id -> row that is not shown yet
let stale = false;       // something was missed: the page must be read again
let moved = 0;
let timer = 0;

const count = (n, one, many) => (n < 2 ? `${n} ${one}` : `${n} ${many}`);

function parse(html) {
  const t = document.createElement("template");
  t.innerHTML = `<table><tbody>${html}</tbody></table>`; // rendered and escaped by the server
  return t.content.querySelector("tr");
}

function say() {
  if (timer) return;
  timer = setTimeout(() => {
    timer = 0;
    const parts = [];
    if (fresh.size) parts.push(count(fresh.size, "nouveau message", "nouveaux messages"));
    if (moved) parts.push(count(moved, "état modifié", "états modifiés"));
    moved = 0;
    if (parts.length) announce(parts.join(", "));
  }, 1000);
}

function offer() {
  if (stale) button.textContent = "La liste a changé — actualiser";
  else if (fresh.size) button.textContent = `${count(fresh.size, "nouveau message", "nouveaux messages")} — afficher`;
  button.hidden = !stale && fresh.size === 0;
}

function replace(old, now) {
  const at = old.contains(document.activeElement) ? [...old.querySelectorAll("a")].indexOf(document.activeElement) : -1;
  const changed = old.dataset.state !== now.dataset.state;
  old.replaceChildren(...now.children);
  old.dataset.state = now.dataset.state;
  if (at >= 0) old.querySelectorAll("a")[at]?.focus({ preventScroll: true });
  if (changed) { old.classList.add("moved"); moved++; say(); }
}

button.addEventListener("click", () => {
  if (stale || fresh.size > MAX || !rows) { location.reload(); return; }
  const list = [...fresh.values()].sort((a, b) => (a.querySelector("time").dateTime < b.querySelector("time").dateTime ? -1 : 1));
  for (const r of list) { r.classList.add("arrived"); rows.prepend(r); }
  fresh.clear();
  rows.closest("table").hidden = false;
  document.getElementById("vide")?.remove();
  offer();
  rows.querySelector("a.open")?.focus();
});

follow(queue.dataset.stream, {
  ligne(e) {
    const now = parse(e.html);
    if (!now) return;
    const old = document.getElementById("m-" + e.id);
    if (old) { replace(old, now); return; }
    if (e.match) fresh.set(e.id, now);
    else fresh.delete(e.id); // it left this filter before it was shown
    if (e.match) say();
    offer();
  },
  compteurs(c) {
    for (const a of document.querySelectorAll(".tabs a[data-slug]")) {
      const b = a.querySelector("b");
      const n = c[a.dataset.slug] || 0;
      const text = String(n).replace(/\B(?=(\d{3})+$)/g, "\u202f");
      if (b.textContent !== text) b.textContent = text;
      a.classList.toggle("none", n === 0);
    }
  },
  avis(e) { document.getElementById("avis").innerHTML = e.html; }, // rendered and escaped by the server
  relire() { stale = true; offer(); announce("La liste a changé."); },
});
