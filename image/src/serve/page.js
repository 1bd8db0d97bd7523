"use strict";
// Asks for changes every second, and then for the page; what is the same stays, so that bars move smoothly.
let seen = Number(document.body.dataset.version), turn = 0;
const off = document.getElementById("off");

function renew(old, now) {
  if (old.nodeType !== now.nodeType || old.nodeName !== now.nodeName || old.id !== now.id) {
    old.replaceWith(now);
    return;
  }
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== now.data) old.data = now.data;
    return;
  }
  for (const { name, value } of now.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const { name } of [...old.attributes]) if (!now.hasAttribute(name)) old.removeAttribute(name);
  const olds = [...old.childNodes], nows = [...now.childNodes];
  nows.forEach((node, idx) => idx < olds.length ? renew(olds[idx], node) : old.append(node));
  olds.slice(nows.length).forEach((node) => node.remove());
}

async function look() {
  try {
    const { version } = await (await fetch("/api/pcs", { signal: AbortSignal.timeout(5000) })).json();
    turn = (turn + 1) % 10;
    if (version !== seen || turn === 0) {
      const text = await (await fetch("/", { signal: AbortSignal.timeout(5000) })).text();
      const page = new DOMParser().parseFromString(text, "text/html");
      renew(document.querySelector("main"), page.querySelector("main"));
      document.title = page.title;
      seen = version;
    }
    off.hidden = true;
  } catch {
    off.hidden = false;
  }
  setTimeout(look, 1000);
}
setTimeout(look, 1000);
