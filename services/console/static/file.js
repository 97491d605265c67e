// The live queue, as a table or as the list beside an item: lines that are shown change
// in place; new ones are counted and wait for a click, so that nothing moves under the
// eyes of the reader.
import { announce } from "./commun.js";
import { follow } from "./flux.js";
import { changed, begin } from "./piece.js";
import { wanted, notify } from "./avis.js";

const MAX = 100;
let fresh = new Map(); // id -> line that is not shown yet
let stale = false;     // something was missed: the page must be read again
let moved = 0;
let timer = 0;
let end = null;

const count = (n, one, many) => (n < 2 ? `${n} ${one}` : `${n} ${many}`);
const rows = () => document.getElementById("lignes");
const button = () => document.getElementById("nouveaux");

// Rendered and escaped by the server, without the filter that this page is under.
function parse(html) {
  const t = document.createElement("template");
  t.innerHTML = rows()?.tagName === "OL" ? html : `<table><tbody>${html}</tbody></table>`;
  const line = t.content.querySelector("tr, li");
  const context = document.querySelector(".queue")?.dataset.context || "";
  for (const a of line?.querySelectorAll("a[href]") || []) {
    const to = a.getAttribute("href");
    if (/^\/(documents|messages)\/[^?]*$/.test(to)) a.setAttribute("href", to + context);
  }
  return line;
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
  const b = button();
  if (!b) return;
  if (stale) b.textContent = "La liste a changé — actualiser";
  else if (fresh.size) b.textContent = `${count(fresh.size, "nouveau message", "nouveaux messages")} — afficher`;
  b.hidden = !stale && fresh.size === 0;
}

function replace(old, now, belongs) {
  const inside = "a, input";
  const at = old.contains(document.activeElement) ? [...old.querySelectorAll(inside)].indexOf(document.activeElement) : -1;
  const was = old.dataset.state !== now.dataset.state;
  const box = old.querySelector("input[type=checkbox]");
  const here = old.querySelector("[aria-current]");
  if (box?.checked) now.querySelector("input[type=checkbox]").checked = true;
  if (here) now.querySelector("a.open").setAttribute("aria-current", "true");
  if (!belongs) {
    const tag = document.createElement("span");
    tag.className = "tag gone";
    tag.textContent = "n’est plus dans cette liste";
    (now.querySelector(".c-state") || now.querySelector("a.open")).append(tag);
  }
  old.replaceChildren(...now.children);
  old.dataset.state = now.dataset.state;
  if (at >= 0) old.querySelectorAll(inside)[at]?.focus({ preventScroll: true });
  if (was) { old.classList.add("moved"); moved++; say(); }
}

function show() {
  const list = rows();
  if (stale || fresh.size > MAX || !list) { location.reload(); return; }
  const lines = [...fresh.values()].sort((a, b) => (a.querySelector("time").dateTime < b.querySelector("time").dateTime ? -1 : 1));
  for (const r of lines) { r.classList.add("arrived"); list.prepend(r); }
  fresh.clear();
  const table = list.closest("table");
  if (table) table.hidden = false;
  document.getElementById("vide")?.remove();
  offer();
  list.querySelector("a.open")?.focus();
}

// What somebody reads stays where it is on the screen: when something above it changes its
// height, the list scrolls by as much. That is the line with the focus, else the one under
// the pointer, else the first that is wholly seen.
function steady(change) {
  const seen = (e) => { const r = e.getBoundingClientRect(); return r.top >= 0 && r.bottom <= innerHeight; };
  const list = rows();
  const read = list && ([document.activeElement?.closest("#lignes > *"), list.querySelector(":scope > :hover")].find((e) => e && seen(e)) || [...list.children].find(seen));
  const before = read?.getBoundingClientRect().top;
  change();
  if (!read?.isConnected) return;
  const by = read.getBoundingClientRect().top - before;
  if (!by) return;
  let scroller = read.parentElement;
  while (scroller && !(scroller.scrollHeight > scroller.clientHeight && /auto|scroll/.test(getComputedStyle(scroller).overflowY))) scroller = scroller.parentElement;
  (scroller || document.scrollingElement).scrollTop += by;
}

const handlers = {
  ligne(e) {
    changed(e);
    const list = rows();
    if (!list) return;
    const now = parse(e.html);
    if (!now) return;
    const old = document.getElementById("m-" + e.id);
    if (old) { replace(old, now, e.belongs); return; }
    if (e.match) { if (!fresh.has(e.id)) notify(fresh.size + 1); fresh.set(e.id, now); }
    else fresh.delete(e.id); // it left this filter before it was shown
    if (e.match) say();
    offer();
  },
  compteurs(c) {
    for (const el of document.querySelectorAll(".queue [data-slug]")) {
      const b = el.querySelector("b") || el;
      const n = c[el.dataset.slug] || 0;
      const text = String(n).replace(/\B(?=(\d{3})+$)/g, "\u202f");
      if (b.textContent !== text) b.textContent = text;
      el.classList.toggle("none", n === 0);
      const chip = el.closest(".chips li");
      if (chip) chip.hidden = n === 0 && !el.hasAttribute("aria-current");
    }
  },
  avis(e) { const n = document.getElementById("avis"); if (n) n.innerHTML = e.html; }, // rendered and escaped by the server
  relire() { stale = true; offer(); if (rows()) announce("La liste a changé."); },
};

// start follows what the page shows; again after the page was changed in place.
function start() {
  const stream = document.querySelector(".queue")?.dataset.stream || document.getElementById("piece")?.dataset.stream;
  end?.();
  fresh = new Map();
  stale = false;
  const still = Object.fromEntries(Object.entries(handlers).map(([name, f]) => [name, (e) => steady(() => f(e))]));
  end = stream ? follow(stream, still, wanted) : null;
  const b = button();
  if (b) b.addEventListener("click", show);
}

start();
begin(start);
