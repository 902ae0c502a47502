// Keeps the numbers of an open page fresh: fetches the page every few seconds and replaces what is marked `data-live`.
// Pauses while the page is hidden, and says so when the host does not answer. Pages work without this script.
"use strict";

(() => {
  const INTERVAL = 5000;
  const TIMEOUT = 8000;
  let since = new Date();
  let timer;

  // What the reader has opened, and where the keyboard is, stays.
  const kept = (element) => ({
    open: [...element.querySelectorAll("details[open][id]")].map((details) => details.id),
    scrolled: [...element.querySelectorAll(".scroll")].map((region) => region.scrollLeft),
  });

  const replace = (old, fresh) => {
    const { open, scrolled } = kept(old);
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    // A form that is being filled in is left alone.
    if (focused && focused.closest("form")) return;
    const place = focused && [...old.querySelectorAll(focused.tagName)].indexOf(focused);
    old.replaceChildren(...fresh.childNodes);
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    old.querySelectorAll(".scroll").forEach((region, index) => { region.scrollLeft = scrolled[index] ?? 0; });
    if (focused) old.querySelectorAll(focused.tagName)[place]?.focus({ preventScroll: true });
  };

  const tell = (text) => {
    const stale = document.getElementById("stale");
    if (!stale || stale.textContent === text) return;
    stale.textContent = text;
    stale.hidden = text === "";
  };

  const refresh = async () => {
    try {
      const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT) });
      if (answer.redirected && new URL(answer.url).pathname === "/login") {
        location.reload();
        return;
      }
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      // A selection would be lost under the hand that makes it.
      if (getSelection()?.isCollapsed !== false) {
        for (const old of document.querySelectorAll("[data-live][id]")) {
          const fresh = page.getElementById(old.id);
          if (fresh) replace(old, fresh);
        }
      }
      since = new Date();
      tell("");
    } catch {
      const time = since.toISOString().slice(11, 19);
      tell(`The host has not answered since ${time} UTC. What you see is from then.`);
    }
    schedule();
  };

  const schedule = () => {
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(refresh, INTERVAL);
  };

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) clearTimeout(timer);
    else refresh();
  });
  if (document.querySelector("[data-live]")) schedule();
})();
