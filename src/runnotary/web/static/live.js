// Keeps the page current while somebody looks at it. Without this file every page works the same, just not by itself.
//
// The region [data-live] is fetched again (?part=live) when the stream that it names says that something happened,
// and every few seconds where output may have come that is no event. What differs is changed in place, so that
// focus, selection and scrolling stay. In a tab that nobody sees nothing is fetched and nothing is held open.
"use strict";

(() => {
  const region = document.querySelector("[data-live]");
  const connection = document.querySelector("[data-connection]");
  const PAUSE = 700, POLL = 2500, POLL_WITHOUT_STREAM = 5000;
  let source = null, took = 0, refused = false, broken = false, fetching = false, again = false, last = 0, timer = 0, over = false, streaming = false;

  // --- changing in place ------------------------------------------------------------------------

  const fits = (have, want) =>
    have && have.nodeName === want.nodeName && (have.id || "") === (want.id || "");

  function attributes(have, want) {
    for (const { name, value } of [...want.attributes])
      if (have.getAttribute(name) !== value) have.setAttribute(name, value);
    for (const { name } of [...have.attributes])
      if (!want.hasAttribute(name)) have.removeAttribute(name);
  }

  function change(have, want) {
    if (have.nodeType !== Node.ELEMENT_NODE) {
      if (have.nodeValue !== want.nodeValue) have.nodeValue = want.nodeValue;
      return;
    }
    attributes(have, want);
    children(have, want);
  }

  // What has an id keeps its element. Nothing that stays is taken out and put back, because that would cost the
  // focus; so what is wanted no longer goes first, and only what changed its place is moved.
  function children(have, want) {
    const named = new Map([...have.children].filter((one) => one.id).map((one) => [one.id, one]));
    const wanted = new Set([...want.children].map((one) => one.id).filter(Boolean));
    let at = have.firstChild;
    const drop = () => {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    };
    for (const next of [...want.childNodes]) {
      const found = next.id ? named.get(next.id) : at;
      if (!fits(found, next)) {
        have.insertBefore(next, at);
        continue;
      }
      while (at && at !== found && !wanted.has(at.id)) drop();
      if (found === at) at = at.nextSibling;
      else have.insertBefore(found, at);
      change(found, next);
    }
    while (at) drop();
  }

  // --- fetching -----------------------------------------------------------------------------------

  async function refresh() {
    if (fetching || document.hidden) {
      again = fetching;
      return;
    }
    fetching = true;
    const begun = Date.now();
    const address = new URL(location.href);
    address.searchParams.set("part", "live");
    try {
      const answer = await fetch(address, { headers: { accept: "text/html" }, credentials: "same-origin" });
      if (answer.redirected || answer.status === 401) location.reload();
      else if (answer.ok) show(await answer.text());
      if (!streaming) say(answer.ok ? "" : "the server answers with an error");
      if (answer.ok) listen();
    } catch {
      say("no answer from the server; trying again");
    } finally {
      fetching = false;
      last = Date.now();
      took = last - begun;
      if (again) soon();
      again = false;
    }
  }

  function show(text) {
    const fresh = document.createElement("template");
    fresh.innerHTML = text;
    children(region, fresh.content);
    dress();
  }

  function dress() {
    const titled = region.querySelector("[data-title]");
    if (titled) document.title = titled.dataset.title;
    over = !region.querySelector("[data-open]") && !region.hasAttribute("data-always");
    if (over) hangUp();
    clocks(true);
  }

  // A page that takes long to make is asked for less often.
  function soon() {
    if (timer) return;
    timer = setTimeout(() => {
      timer = 0;
      refresh();
    }, Math.max(0, Math.max(PAUSE, 5 * took) - (Date.now() - last)));
  }

  // --- being told ---------------------------------------------------------------------------------

  function say(text) {
    if (connection && connection.textContent !== text) connection.textContent = text;
  }

  function listen() {
    if (source || refused || over || document.hidden || !region.dataset.stream) return;
    source = new EventSource(region.dataset.stream);
    source.onopen = () => {
      if (broken) soon();  // what happened meanwhile
      broken = false;
      streaming = true;
      say("live");
    };
    source.onerror = () => {
      const closed = source && source.readyState === EventSource.CLOSED;
      refused = closed && !streaming;  // it was never open: this visitor may not have it, and looks now and then
      streaming = false;
      broken = !refused;
      say(refused ? "" : "no answer from the server; trying again");
      if (closed) source = null;
    };
    for (const name of (region.dataset.events || "message").split(" ")) source.addEventListener(name, soon);
    source.addEventListener("end", () => {
      hangUp();
      soon();
    });
  }

  function hangUp() {
    if (source) source.close();
    source = null;
    streaming = false;
    say("");
  }

  function look() {
    if (document.hidden || over) return;
    const pause = region.querySelector("[data-printing]") ? POLL : streaming ? Infinity : POLL_WITHOUT_STREAM;
    if (Date.now() - last >= pause) refresh();
  }

  // --- times --------------------------------------------------------------------------------------

  function elapsed(ms) {
    const seconds = ms / 1000;
    if (seconds < 9.95) return `${seconds.toFixed(1)}s`;
    if (seconds < 60) return `${Math.round(seconds)}s`;
    const minutes = Math.floor(Math.round(seconds) / 60);
    if (minutes < 60) return `${minutes}m ${Math.round(seconds) % 60}s`;
    return `${Math.floor(minutes / 60)}h ${minutes % 60}m`;
  }

  function ago(time, now) {
    const seconds = Math.max(0, Math.floor((now - time) / 1000));
    if (seconds < 60) return `${seconds} s ago`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
    if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
    return new Date(time).toISOString().slice(0, 16).replace("T", " ");  // UTC, like every time of ours
  }

  let ahead = 0;

  function clocks(fresh) {
    const mark = region && region.querySelector("[data-now]");
    if (fresh && mark) ahead = Number(mark.dataset.now) - Date.now();
    const now = Date.now() + ahead;
    for (const one of document.querySelectorAll("[data-since]"))
      one.textContent = elapsed(Math.max(0, now - Date.parse(one.dataset.since)));
    for (const one of document.querySelectorAll("time[data-ago]")) {
      const text = ago(Date.parse(one.dateTime), now);
      if (one.textContent !== text) one.textContent = text;
    }
  }

  if (!region) return clocks(false);
  dress();
  setInterval(() => document.hidden || clocks(false), 1000);
  setInterval(look, 500);
  last = Date.now();
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return hangUp();
    refresh();
    listen();
  });
  window.addEventListener("pagehide", hangUp);
  window.addEventListener("pageshow", (event) => event.persisted && (refresh(), listen()));
  listen();
})();
