// The item beside the list. It opens in place, so that the list stays where it is; what
// happens to it since is said and never changed under the eyes of the reader. While it is
// open to be decided about, the server is told every minute that it still is.
import { announce } from "./commun.js";

const piece = () => document.getElementById("piece");
const AGAIN = 60000;
let restart = () => {};

// changed is told of each line that changed.
export function changed(e) {
  const el = piece();
  const notice = document.getElementById("change");
  if (!el || !notice || e.id !== el.dataset.message || (e.state === el.dataset.state && String(e.rev) === el.dataset.rev)) return;
  const link = document.createElement("a");
  link.href = location.pathname + location.search;
  link.textContent = "Actualiser la page";
  const text = e.state === el.dataset.state ? `Du nouveau sur ce message, toujours « ${e.state} ».` : `Nouvel état du message : ${e.state}.`;
  notice.replaceChildren(text, link);
  notice.hidden = false;
  announce(text);
}

async function hold() {
  const at = piece()?.dataset.prise;
  if (!at) return;
  try {
    const r = await fetch(at + "prise", { method: "POST" });
    if (r.status !== 409 || piece()?.dataset.prise !== at) return;
    delete piece().dataset.prise;
    const who = await r.text();
    const mine = document.querySelector(".mine");
    if (mine) { mine.textContent = who; mine.className = "taken-by"; mine.setAttribute("role", "status"); }
    announce(who);
  } catch { /* no network: it ends by itself */ }
}

function release() {
  const at = piece()?.dataset.prise;
  if (at) navigator.sendBeacon(at + "rendre");
}

// The address of what is shown, without the place in it that a link like "Aller au contenu" leads to.
let shown = location.pathname + location.search;

// put shows the page that the server answered with, in place of this one.
function put(html, url, push) {
  const page = new DOMParser().parseFromString(html, "text/html");
  const next = page.getElementById("piece");
  const list = document.querySelector(".beside");
  const old = piece();
  document.title = page.title;
  if (push) history.pushState({}, "", url);
  shown = location.pathname + location.search;
  document.querySelector("main > .flash")?.remove();
  const flash = page.querySelector("main > .flash");
  if (!next || !list || !old || !page.querySelector(".beside")) {
    document.querySelector("main").replaceChildren(...page.querySelector("main").childNodes);
    document.body.className = page.body.className;
    restart();
  } else {
    old.replaceWith(next);
    if (flash) document.querySelector("main").prepend(flash);
    list.querySelector(".beside-head").replaceWith(page.querySelector(".beside-head"));
    list.querySelector("[aria-current]")?.removeAttribute("aria-current");
    const line = document.getElementById("m-" + next.dataset.message)?.querySelector("a.open");
    line?.setAttribute("aria-current", "true");
    line?.scrollIntoView({ block: "nearest" });
  }
  const h1 = document.querySelector("#piece h1, main h1");
  h1?.setAttribute("tabindex", "-1");
  h1?.focus({ preventScroll: true });
  announce([flash?.querySelector("p")?.textContent, h1?.textContent].filter(Boolean).join(" "));
}

async function load(request, fallback, push, posted) {
  const held = piece()?.dataset.prise;
  let answer;
  try { answer = await request(); } catch { fallback(); return; }
  const where = new URL(answer.url);
  if (/^\/(connexion|verrou)$/.test(where.pathname) || !(answer.headers.get("Content-Type") || "").startsWith("text/html")) { location.assign(answer.url); return; }
  put(await answer.text(), where.pathname + where.search, push && (answer.redirected || !posted));
  if (held && piece()?.dataset.prise !== held) navigator.sendBeacon(held + "rendre");
}

function open(url, push = true) {
  return load(() => fetch(url, { headers: { Accept: "text/html" } }), () => location.assign(url), push);
}

export function begin(start) {
  restart = start;
  document.addEventListener("click", (e) => {
    const a = e.target instanceof Element && e.target.closest(".beside a.open, .beside a.step");
    if (!a || e.defaultPrevented || e.button || e.ctrlKey || e.metaKey || e.shiftKey || e.altKey) return;
    e.preventDefault();
    open(a.href);
  });
  document.addEventListener("submit", (e) => {
    const f = e.target;
    if (!(f instanceof HTMLFormElement) || !f.closest("#piece, .flash") || f.method !== "post" || !document.querySelector(".beside") || e.defaultPrevented) return;
    e.preventDefault();
    for (const b of f.querySelectorAll("button")) b.disabled = true; // once is enough
    const body = new URLSearchParams(new FormData(f, e.submitter));
    load(() => fetch(f.action, { method: "POST", body }), () => {
      for (const b of f.querySelectorAll("button")) b.disabled = false;
      announce("La décision n’est pas partie : le serveur ne répond pas. Réessayez.");
    }, true, true);
  });
  addEventListener("popstate", () => {
    if (location.pathname + location.search === shown) return;
    if (piece()) open(location.href, false); else location.reload();
  });
  addEventListener("pagehide", release);
  setTimeout(hold, 1500);
  setInterval(hold, AGAIN);
}
