"use strict";
// Asks the server what has changed, as often as it allows, and not while the tab is hidden.
(() => {
  const LONGEST_SECONDS = 30;
  const live = document.getElementById("live"), trouble = document.getElementById("trouble");
  const reading = document.getElementById("reading");
  let version = "", page = null, failures = 0, timer = 0, isAsking = false;

  // Makes an element like another one, and keeps what is alike: the focus, a selection, an opened part.
  function renew(old, now) {
    if (old.isEqualNode(now)) return;
    if (old.nodeType !== Node.ELEMENT_NODE || old.nodeName !== now.nodeName) {
      old.replaceWith(now);
      return;
    }
    for (const { name } of [...old.attributes]) {
      if (name !== "open" && !now.hasAttribute(name)) old.removeAttribute(name);
    }
    for (const { name, value } of now.attributes) old.setAttribute(name, value);
    const have = [...old.childNodes], count = now.childNodes.length;
    [...now.childNodes].forEach((child, index) => {
      if (have[index]) renew(have[index], child);
      else old.append(child);
    });
    have.slice(count).forEach((child) => child.remove());
  }

  // Puts the trials that changed among those that did not.
  function merged(before, part) {
    if (!part.only) return part;
    const position = new Map(before.trials.key.map((key, index) => [key, index]));
    const changed = new Map(part.only.map((index, place) => [index, place]));
    const column = (old, now) => part.trials.key.map(
      (key, index) => (changed.has(index) ? now[changed.get(index)] : old[position.get(key)]));
    const whole = new Set(["key", "cell", "metrics", "rule"]);
    const columns = (old, now) => Object.fromEntries(Object.entries(now).map(([name, values]) => [
      name, whole.has(name) ? values : column(old[name], values)]));
    return { ...part, only: undefined, trials: columns(before.trials, part.trials),
      curves: columns(before.curves, part.curves), details: column(before.details, part.details) };
  }

  function show(answer) {
    const template = document.createElement("section");
    template.innerHTML = answer.live.html;
    for (const { name, value } of live.attributes) template.setAttribute(name, value);
    renew(live, template);
    if (answer.page) {
      page = merged(page, answer.page);
      window.batchscape.update(page);
    }
    if (reading) {
      reading.hidden = page !== null;
      reading.textContent = "No trial has begun.";
    }
    version = answer.live.version;
  }

  // Says that the sweep was deleted, and asks no more: `isAsking` stays true.
  function leave() {
    const list = document.createElement("a");
    list.href = "/";
    list.textContent = "all sweeps";
    trouble.replaceChildren("This sweep was deleted: see ", list, ".");
    trouble.hidden = false;
    live.replaceChildren();
    if (reading) reading.hidden = true;
  }

  async function ask() {
    if (isAsking || document.hidden) return;
    isAsking = true;
    let seconds = Math.min(LONGEST_SECONDS, 2 ** failures);
    try {
      const answer = await fetch(`data?after=${encodeURIComponent(version)}`, { cache: "no-store" });
      if (answer.status === 410) {
        leave();
        return;
      }
      if (answer.status === 200) show(await answer.json());
      else if (answer.status !== 204) throw new Error((await answer.text()).trim());
      seconds = Number(answer.headers.get("Next-Poll")) || seconds;
      failures = 0;
      trouble.hidden = true;
    } catch (error) {
      failures += 1;
      const isGone = error instanceof TypeError;
      trouble.textContent = `${isGone ? "the server does not answer" : error.message}: trying again`;
      trouble.hidden = false;
    }
    isAsking = false;
    clearTimeout(timer);
    timer = setTimeout(ask, 1000 * seconds);
  }

  if (reading) reading.hidden = false;
  document.addEventListener("visibilitychange", ask);
  ask();
})();
