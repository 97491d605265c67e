// What every page does: leave a shared screen when the session has ended, and the
// single-key shortcuts, which can be turned off on the help page (RGAA 12.10).

export function announce(text) {
  const region = document.getElementById("annonce");
  if (!region) return;
  region.textContent = "";
  requestAnimationFrame(() => { region.textContent = text; });
}

function leave() {
  const here = location.pathname === "/" ? "" : "&vers=" + encodeURIComponent(location.pathname);
  location.replace("/connexion?expiree" + here);
}
export { leave };

// The server decides when the session ends; the page asks shortly after it should
// have, because another tab may have kept it alive.
const idle = Number(document.body.dataset.idle || 0);
if (idle > 0) {
  let next = Date.now() + (idle + 2) * 1000;
  const ask = async () => {
    if (Date.now() < next) return;
    next = Date.now() + 30000;
    try {
      const r = await fetch("/session", { cache: "no-store", redirect: "manual" });
      if (r.status === 401) leave();
    } catch { /* no network: asked again */ }
  };
  setInterval(ask, 5000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });
}
// A page taken from the back-forward cache may be older than the session.
addEventListener("pageshow", (e) => { if (e.persisted) location.reload(); });

const KEY = "greffe.raccourcis";
const enabled = () => { try { return localStorage.getItem(KEY) !== "non"; } catch { return true; } };
const toggle = document.getElementById("raccourcis");
if (toggle) {
  toggle.checked = enabled();
  toggle.addEventListener("change", () => { try { localStorage.setItem(KEY, toggle.checked ? "oui" : "non"); } catch { /* private window */ } });
}

function move(step) {
  const links = [...document.querySelectorAll("#lignes a.open")];
  if (!links.length) return false;
  const row = document.activeElement && document.activeElement.closest("tr");
  const at = row ? links.findIndex((a) => row.contains(a)) : -1;
  const to = at < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, at + step));
  links[to].focus();
  return true;
}

document.addEventListener("keydown", (e) => {
  if (e.ctrlKey || e.altKey || e.metaKey || e.defaultPrevented) return;
  const t = e.target;
  if (t instanceof HTMLElement && (t.isContentEditable || /^(INPUT|SELECT|TEXTAREA)$/.test(t.tagName))) return;
  const inRows = t instanceof HTMLElement && t.closest("#lignes");
  if ((e.key === "ArrowDown" || e.key === "ArrowUp") && inRows) {
    if (move(e.key === "ArrowDown" ? 1 : -1)) e.preventDefault();
    return;
  }
  if (!enabled()) return;
  let done = true;
  switch (e.key) {
    case "j": done = move(1); break;
    case "k": done = move(-1); break;
    case "n": { const b = document.getElementById("nouveaux"); if (b && !b.hidden) b.click(); break; }
    case "/": { const f = document.querySelector("#texte, #nom"); if (f) f.focus(); break; }
    case "?": if (document.querySelector(".menu")) location.assign("/aide#clavier"); break;
    default: done = false;
  }
  if (done) e.preventDefault();
});
