// Keeps a page up to date: when its stream tells of a change, the page is fetched again and its main part replaced.
// Who types or has opened a form is left alone. Without this script every page works, and stands still.
"use strict";

const stream = document.body.dataset.live;
let source = null;
let fetching = false;
let again = false;

function isBusy(main) {
  const at = document.activeElement;
  const types = at !== null && main.contains(at) && at.matches("input, select, textarea");
  return types || main.querySelector("details[open] form") !== null || !window.getSelection().isCollapsed;
}

// What an element is known by in two versions of a page.
function nameOf(element) {
  const form = element.closest("form");
  return [element.tagName, element.getAttribute("href"), form && form.getAttribute("action"), element.textContent.trim()].join("|");
}

function replaceMain(text) {
  const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("main");
  const main = document.getElementById("main");
  if (fresh === null || isBusy(main)) return;
  const focused = main.contains(document.activeElement) ? nameOf(document.activeElement) : null;
  const opened = new Map([...main.querySelectorAll("details")].map((each, place) => [place, each.open]));
  fresh.querySelectorAll(".done").forEach((each) => each.remove()); // what the last action did is said once
  fresh.querySelectorAll("details").forEach((each, place) => { if (opened.has(place)) each.open = opened.get(place); });
  main.replaceWith(document.adoptNode(fresh));
  if (focused !== null) {
    const same = [...fresh.querySelectorAll("a, button, summary, pre")].find((each) => nameOf(each) === focused);
    if (same) same.focus({ preventScroll: true });
  }
}

async function refresh() {
  if (fetching) { again = true; return; }
  fetching = true;
  try {
    const answer = await fetch(window.location.href, { redirect: "error", cache: "no-store" });
    if (answer.ok) replaceMain(await answer.text());
  } catch (error) {
    // the server is away; the stream will tell when it is back
  } finally {
    fetching = false;
    if (again) { again = false; refresh(); }
  }
}

function listen() {
  if (source !== null || document.hidden) return;
  source = new EventSource(stream);
  source.addEventListener("changed", refresh);
}

function stop() {
  if (source !== null) source.close();
  source = null;
}

if (stream && "EventSource" in window) {
  document.addEventListener("visibilitychange", () => { if (document.hidden) { stop(); } else { listen(); refresh(); } });
  window.addEventListener("pagehide", stop);
  listen();
}
