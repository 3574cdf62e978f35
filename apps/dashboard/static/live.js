// Keeps a page current: the server sends the parts that have changed as HTML, and what differs in them is replaced.
// Nodes that stay are kept, so that focus, scrolling and pictures that are shown already stay as they are.
"use strict";

(() => {
  const url = document.body.dataset.live;
  const state = document.getElementById("state");
  let source = null;

  const say = (kind, text) => {
    if (state.dataset.kind === kind) return;
    state.dataset.kind = kind;
    state.textContent = text;
  };

  // Two nodes are the same thing where they have the same key, or where neither has one and their tags are the same.
  const key = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.dataset.key || "" : "");
  const alike = (one, other) => one.nodeType === other.nodeType && one.nodeName === other.nodeName && key(one) === key(other);

  const attributes = (old, now) => {
    for (const { name } of [...old.attributes]) if (!now.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of now.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  };

  const become = (old, now) => {
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== now.nodeValue) old.nodeValue = now.nodeValue;
      return;
    }
    attributes(old, now);
    children(old, now);
  };

  const children = (old, now) => {
    const keyed = new Map();
    for (const child of old.childNodes) if (key(child)) keyed.set(key(child), child);
    let at = old.firstChild;
    for (const wanted of [...now.childNodes]) {
      let found = key(wanted) ? keyed.get(key(wanted)) : at;
      if (found && alike(found, wanted)) {
        if (found === at) at = at.nextSibling;
        else old.insertBefore(found, at);
        become(found, wanted);
      } else {
        old.insertBefore(wanted, at);
      }
    }
    while (at) {
      const next = at.nextSibling;
      at.remove();
      at = next;
    }
  };

  const take = (event) => {
    say("live", "Live");
    for (const [name, html] of Object.entries(JSON.parse(event.data))) {
      const part = document.querySelector(`[data-part="${CSS.escape(name)}"]`);
      if (!part) return location.reload(); // a part that this page did not have when it was loaded
      const now = document.createElement("div");
      now.innerHTML = `\n${html}\n`;
      children(part, now);
    }
  };

  const listen = () => {
    if (source || document.hidden) return;
    source = new EventSource(url);
    source.onmessage = take;
    source.onerror = () => {
      if (source.readyState !== EventSource.CLOSED) return say("waiting", "Reconnecting…");
      say("ended", "Not live: reload the page");
      source = null;
    };
  };

  const leave = () => {
    if (source) source.close();
    source = null;
  };

  // A page that nobody sees costs nothing.
  document.addEventListener("visibilitychange", () => (document.hidden ? leave() : listen()));
  window.addEventListener("pagehide", leave);
  window.addEventListener("pageshow", listen);
  listen();
})();
