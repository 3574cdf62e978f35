// Of two presses of a button that leads to another page the first counts; the browser would show the second's answer.
"use strict";
(() => {
  let sent = new WeakSet();
  document.addEventListener("submit", (event) => {
    if (event.target.method !== "post" || event.target.hasAttribute("hx-post")) return;
    if (sent.has(event.target)) event.preventDefault();
    sent.add(event.target);
  });
  // Who comes back to the page may press again.
  addEventListener("pageshow", () => { sent = new WeakSet(); });
})();
