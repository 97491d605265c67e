// A message or document page says when something happened since it was opened.
import { announce } from "./commun.js";
import { follow } from "./flux.js";

const el = document.querySelector("[data-message]");
const notice = document.getElementById("change");

follow(el.dataset.stream, {
  ligne(e) {
    if (e.id !== el.dataset.message || (e.state === el.dataset.state && String(e.rev) === el.dataset.rev)) return;
    const link = document.createElement("a");
    link.href = location.pathname;
    link.textContent = "Actualiser la page";
    const text = e.state === el.dataset.state ? `Du nouveau sur ce message, toujours « ${e.state} ».` : `Nouvel état du message : ${e.state}.`;
    notice.replaceChildren(text, link);
    notice.hidden = false;
    announce(text);
  },
  relire() {},
});
