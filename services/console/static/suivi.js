// A message or document page says when its state has changed since it was opened.
import { announce } from "./commun.js";
import { follow } from "./flux.js";

const el = document.querySelector("[data-message]");
const notice = document.getElementById("change");

follow(el.dataset.stream, {
  ligne(e) {
    if (e.id !== el.dataset.message || e.state === el.dataset.state) return;
    const link = document.createElement("a");
    link.href = location.pathname;
    link.textContent = "Actualiser la page";
    notice.replaceChildren(`Nouvel état du message : ${e.state}.`, link);
    notice.hidden = false;
    announce(`Nouvel état du message : ${e.state}.`);
  },
  relire() {},
});
