// Notifications of the browser, on request and on this screen alone: how many messages
// wait, never what they are.
const KEY = "greffe.avis";
const stored = () => { try { return localStorage.getItem(KEY) === "oui"; } catch { return false; } };
const able = () => "Notification" in window;

export const wanted = () => able() && stored() && Notification.permission === "granted";

let shown = null;
export function notify(n) {
  if (!wanted() || !document.hidden) return;
  shown?.close();
  shown = new Notification("Greffe", { body: n < 2 ? "Un nouveau message dans la file." : `${n} nouveaux messages dans la file.`, tag: "greffe" });
  shown.addEventListener("click", () => { window.focus(); shown.close(); });
}

const button = document.getElementById("prevenir");
if (button && able()) {
  const label = () => { button.textContent = wanted() ? "Ne plus me prévenir sur ce poste" : "Me prévenir sur ce poste"; button.hidden = Notification.permission === "denied"; };
  button.addEventListener("click", async () => {
    const on = !wanted() && (await Notification.requestPermission()) === "granted";
    try { localStorage.setItem(KEY, on ? "oui" : "non"); } catch { /* private window */ }
    label();
  });
  label();
}
