// What every page does: leave a shared screen when the session has ended, and the
// single-key shortcuts, which each person can change or turn off (RGAA 12.10).

export function announce(text) {
  const region = document.getElementById("annonce");
  if (!region) return;
  region.textContent = "";
  requestAnimationFrame(() => { region.textContent = text; });
}

const here = () => location.pathname + location.search;

// Nothing stays on the screen: what is under it is hidden before anything is asked of
// the server, in every window of the session.
const others = "BroadcastChannel" in window ? new BroadcastChannel("greffe") : null;
let leaving = false;
function leave() {
  if (leaving) return;
  leaving = true;
  document.documentElement.classList.add("locked");
  location.replace("/verrou?vers=" + encodeURIComponent(here()));
}
export { leave };

// What was typed and not sent: fields of forms without a password that are not as the
// page came. Several forms of a page may have fields of one name, so the id says which.
function typed() {
  const data = new URLSearchParams();
  const key = (f) => "b." + (f.id || f.name);
  for (const form of document.querySelectorAll("main form")) {
    if (form.querySelector("input[type=password]")) continue;
    for (const f of form.elements) {
      if (!f.name || f.type === "hidden" || f.type === "submit" || f.type === "button") continue;
      if (f.type === "radio" || f.type === "checkbox") { if (f.checked && !f.defaultChecked) data.append(key(f), f.value); continue; }
      if (f.tagName === "SELECT") { const o = f.selectedOptions[0]; if (o && !o.defaultSelected && f.selectedIndex > 0) data.append(key(f), f.value); continue; }
      if (f.value !== f.defaultValue) data.append(key(f), f.value);
    }
  }
  return data;
}

async function lock(tell, how) {
  if (leaving) return;
  leaving = true;
  document.documentElement.classList.add("locked");
  if (tell && others) others.postMessage("verrou");
  const data = typed();
  data.set("vers", here());
  if (how !== "demande") data.set("inactif", "1");
  try { await fetch("/verrou", { method: "POST", body: data, redirect: "manual", keepalive: true }); } catch { /* the server locks by itself */ }
  location.replace("/verrou?vers=" + encodeURIComponent(here()));
}
if (others) others.addEventListener("message", (e) => { if (e.data === "verrou" && idle > 0) lock(false, "inactif"); });
const asked = document.getElementById("verrouiller");
if (asked) asked.addEventListener("submit", (e) => { e.preventDefault(); lock(true, "demande"); });

// The server decides when the session is locked: after a time without an act. Reading and
// typing are acts that it does not see, so the page tells it, now and then. Before the
// screen locks a sentence says so; any act puts it off (WCAG 2.2.1).
const idle = Number(document.body.dataset.idle || 0);
if (idle > 0) {
  const warning = document.getElementById("veille");
  const early = Math.min(60, Math.max(20, idle / 5), idle / 2) * 1000;
  const tellEvery = Math.min(30, idle / 4) * 1000;
  let acted = Date.now();
  let told = Date.now();
  let asking = false;
  let acting = false; // an act came while the server was being asked
  const hush = () => { if (!warning.hidden) { warning.hidden = true; warning.replaceChildren(); } };
  const answer = async (method) => {
    if (asking) { acting ||= method === "POST"; return; }
    asking = true;
    try {
      const r = await fetch("/session", { method, cache: "no-store", redirect: "manual" });
      const now = r.ok ? await r.json() : r.status === 401 ? { etat: "fermee" } : {};
      if (now.etat === "ouverte") acted = Math.max(acted, Date.now() - (idle - now.reste) * 1000);
      else if (now.etat) lock(false, "inactif");
    } catch { /* no network: asked again */ }
    asking = false;
    if (acting) { acting = false; answer("POST"); }
  };
  const act = () => {
    acted = Date.now();
    hush();
    if (acted - told > tellEvery) { told = acted; answer("POST"); }
  };
  for (const type of ["keydown", "pointerdown", "pointermove", "wheel", "touchstart", "input"]) addEventListener(type, act, { passive: true, capture: true });
  const warn = () => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Continuer";
    warning.replaceChildren("Sans activité, la session va se verrouiller dans moins d’une minute. Ce que vous avez saisi sera gardé.", button);
    warning.hidden = false;
  };
  let checked = 0;
  setInterval(async () => {
    if (leaving) return;
    const left = () => idle * 1000 - (Date.now() - acted);
    if (left() > early) { hush(); return; }
    if (Date.now() - checked > Math.min(10000, early / 2) || left() <= 0) { checked = Date.now(); await answer("GET"); } // another window may have been used
    if (left() > early) { hush(); return; }
    if (left() <= 0) { lock(true, "inactif"); return; }
    if (warning.hidden) warn();
  }, 1000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) answer("GET"); });
}

// What had been typed before the screen was locked is put back.
const draft = document.body.dataset.brouillon;
if (draft) {
  const kept = JSON.parse(draft);
  // A form that was sent too late is kept by the names of its fields, with its decision.
  const sent = (f) => !kept.decision || f.form.elements.decision?.value === kept.decision[0];
  for (const [name, values] of Object.entries(kept)) {
    const one = document.getElementById(name);
    const fields = one?.form ? [one] : [...document.querySelectorAll(`main form [name="${CSS.escape(name)}"]`)];
    for (const f of fields.filter(sent)) {
      if (f.form.querySelector("input[type=password]") || f.type === "hidden") continue;
      if (f.type === "radio" || f.type === "checkbox") f.checked = values.includes(f.value);
      else f.value = values[0];
      const inside = f.closest("details");
      if (inside) inside.open = true;
    }
  }
}
// A page taken from the back-forward cache may be older than the session.
addEventListener("pageshow", (e) => { if (e.persisted) location.reload(); });

// The line of the list that has the focus, else the one that is open, moves by a step.
export function move(step) {
  const links = [...document.querySelectorAll("#lignes a.open")];
  if (!links.length) return false;
  const row = document.activeElement?.closest("#lignes tr, #lignes li");
  let at = row ? links.findIndex((a) => row.contains(a)) : -1;
  if (at < 0) at = links.findIndex((a) => a.hasAttribute("aria-current"));
  const to = at < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, at + step));
  links[to].focus();
  return true;
}

function focusOn(selector) {
  const el = document.querySelector(selector);
  if (!el) return false;
  el.focus();
  return true;
}

function click(selector) {
  const el = document.querySelector(selector);
  if (!el || el.hidden) return false;
  el.click();
  return true;
}

const commands = {
  suivant: () => move(1),
  precedent: () => move(-1),
  ouvrir() {
    const link = document.activeElement?.closest("#lignes tr, #lignes li")?.querySelector("a.open");
    link?.click();
    return Boolean(link);
  },
  decider() {
    const panel = document.getElementById("decision");
    if (!panel) return false;
    (panel.querySelector("button:not([hidden]), summary, a[href]") || panel.querySelector("h2")).focus();
    panel.scrollIntoView({ block: "nearest" });
    return true;
  },
  suite: () => click(".beside .step[rel=next]") || click("#lignes a.open"),
  document: () => focusOn(".viewer iframe, .viewer img, .body"),
  retour: () => click(".beside .to-list") || click(".crumb a"),
  nouveaux: () => click("#nouveaux"),
  filtre: () => focusOn("#texte, #nom"),
  aide() {
    const d = document.getElementById("touches");
    if (!d) return false;
    d.showModal();
    return true;
  },
};

let keys = {};
try { keys = JSON.parse(document.body.dataset.touches || "{}"); } catch { /* no keys */ }

document.addEventListener("keydown", (e) => {
  if (e.ctrlKey || e.altKey || e.metaKey || e.defaultPrevented) return;
  const t = e.target;
  if (!(t instanceof HTMLElement) || t.closest("dialog[open]")) return; // one that was just closed may still have the focus
  const typed = t.isContentEditable || /^(SELECT|TEXTAREA)$/.test(t.tagName) || (t.tagName === "INPUT" && !/^(checkbox|radio)$/.test(t.type));
  if (typed) return;
  if ((e.key === "ArrowDown" || e.key === "ArrowUp") && t.closest("#lignes") && t.tagName !== "INPUT") {
    if (move(e.key === "ArrowDown" ? 1 : -1)) e.preventDefault();
    return;
  }
  const command = commands[keys[e.key]];
  if (command && command()) e.preventDefault();
});
