// The queue as cards: what runs and waits in its order, what has ended, and why.

import { apiOf, byId, command, duration, element } from "../page.js";
import { say, stepButton } from "./dialog.js";
import { exportNode } from "./exports.js";
import { newSearch } from "./new_search.js";
import { enter, maySteer, queue, unfinished } from "./queue.js";

const KINDS = {
  search: "Search", resume: "Going on", confirm: "Confirmation", policy: "Policy by hand",
  export: "Export", register: "Registration",
};
const cards = new Map(); // by number; each is made once and told what changed
let form = null;

// Draw the queue; `open` opens a study, `studies` gives those that there are.
export function showWorks(open, studies) {
  const ordered = queue.works.toSorted((a, b) => rank(a) - rank(b) || a.number - b.number);
  const ended = queue.works.filter((work) => !unfinished(work)).toReversed();
  put(byId("works"), ordered.filter(unfinished), open);
  put(byId("ended"), ended, open);
  byId("works-none").hidden = ordered.some(unfinished);
  byId("ended-part").hidden = !ended.length;
  const of = (state) => queue.works.filter((work) => work.state === state).length;
  const slots = `${queue.slots} ${queue.slots === 1 ? "study" : "studies"} at a time`;
  byId("queue-told").textContent = [slots, `${of("running")} running`, `${of("waiting")} waiting`,
    ...(of("paused") ? [`${of("paused")} paused`] : []), ...allowance()].join(" · ");
  const add = byId("add-search");
  add.hidden = queue.me?.role !== "steer";
  add.onclick ??= () => openForm(studies);
}

const rank = (work) => ["running", "waiting", "paused"].indexOf(work.state);

function allowance() {
  const { account } = queue;
  if (!account || account.allowed === null) return [];
  return [`${duration(account.left)} of your ${duration(account.allowed)} of ${account.device} time left`];
}

// In their order, without taking one out that stays: what has the focus keeps it.
function put(list, works, open) {
  const nodes = works.map((work) => cardOf(work, open));
  nodes.forEach((node, i) => { if (list.children[i] !== node) list.insertBefore(node, list.children[i] ?? null); });
  while (list.children.length > nodes.length) list.lastElementChild.remove();
}

function cardOf(work, open) {
  if (!cards.has(work.number)) cards.set(work.number, card(work, open));
  const { node, update } = cards.get(work.number);
  update(work);
  return node;
}

function card(first, open) {
  let work = first, made = "";
  const name = `${KINDS[first.kind] ?? first.kind} of ${first.study}`, whose = `work ${first.number}, ${name}`;
  const state = element("span", { class: "chip" }), told = element("p", { class: "why" }), said = element("p", { class: "said", role: "status", tabindex: "-1" });
  const facts = element("p", { class: "hint" }), result = element("div");
  const act = (label, path) => stepButton(label, async (steer) => enter(await steer(path())), said, { "aria-label": `${label} ${whose}` });
  const stop = act("Stop", () => `api/v1/queue/${work.number}/stop`);
  const pause = act("Pause", () => `${apiOf(work.study)}/pause`), on = act("Go on", () => `${apiOf(work.study)}/go-on`);
  const shell = element("div"), log = element("pre", { tabindex: "0", role: "region", "aria-label": `What ${whose} has said` });
  const more = element("details", { ontoggle: () => more.open && readLog() }, element("summary", {}, "Command and log"), shell, log);
  const readLog = async () => {
    try {
      log.textContent = await (await fetch(`api/v1/queue/${work.number}/log`)).text() || "It has said nothing yet.";
      log.scrollTop = log.scrollHeight;
    } catch { say(said, "The server does not answer.", true); }
  };
  const look = async () => { if (!await open(work.study)) say(said, `There is nothing of ${work.study} to look at yet, or any more.`); };
  const title = element("h3", {}, `${KINDS[first.kind] ?? first.kind} of `, element("button", { type: "button", class: "link", onclick: look }, first.study));
  const node = element("li", { class: "work", "data-number": first.number },
    element("div", { class: "head" }, state, title, element("span", { class: "steps" }, on, pause, stop)), told, facts, said, result, more);

  const update = (now) => {
    const key = JSON.stringify([now, maySteer(now.owner)]);
    if (key === made) return;
    made = key;
    work = now;
    const may = maySteer(work.owner), searches = ["search", "resume"].includes(work.kind);
    const here = unfinished(work) && work.wanted === "run";
    state.textContent = stateOf(work);
    state.dataset.state = work.state;
    stop.hidden = !(may && unfinished(work) && work.wanted !== "stop");
    pause.hidden = !(may && searches && here && work.state !== "paused");
    on.hidden = !(may && work.state === "paused");
    told.textContent = why(work);
    told.hidden = !told.textContent;
    facts.textContent = factsOf(work);
    if (shell.dataset.line !== work.command) shell.replaceChildren(command(shell.dataset.line = work.command));
    if (more.open) readLog();
    if (work.kind === "export" && work.state === "done" && !result.childElementCount) result.append(exportNode(work.arguments.to, work.owner));
  };
  return { node, update };
}

export function stateOf(work) {
  if (work.state === "running" && work.wanted !== "run") return work.wanted === "pause" ? "pausing" : "stopping";
  return work.state;
}

// Why it is as it is.
export function why(work) {
  if (work.told) return work.told.slice(0, 1).toUpperCase() + work.told.slice(1);
  if (work.state === "waiting") return work.place ? `${work.place} before it` : "Next, as soon as it can begin";
  if (work.state === "running" && work.wanted !== "run") return "It was asked to end in order; what runs ends first";
  return work.attempt > 1 && work.state === "running" ? `Taken up again, attempt ${work.attempt}` : "";
}

const DAY_MS = 86_400_000;

// A time of today alone, of other days with the day.
function momentOf(time) {
  const then = new Date(time), hours = { hour: "2-digit", minute: "2-digit" };
  return Math.abs(Date.now() - then) < DAY_MS ? then.toLocaleTimeString([], hours) : then.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

function factsOf(work) {
  const { arguments: asked } = work;
  const space = asked.space_text === undefined ? asked.space ?? "the default space" : "a space of one's own";
  const what = {
    search: () => [asked.budget, space, asked.network, asked.data, ...(asked.set ?? [])],
    resume: () => [asked.budget ? `${asked.budget} more` : "with what is left of its budget"],
    confirm: () => [`${asked.seeds} ${asked.seeds === 1 ? "seed" : "seeds"}`, asked.control?.length ? `controls: ${asked.control.join(", ")}` : "no controls"],
    policy: () => [], export: () => [String(asked.select), asked.formats, `to ${asked.to}`], register: () => [asked.export, asked.name],
  }[work.kind]?.() ?? [];
  const times = work.ended_at ? `ended ${momentOf(work.ended_at)}` : work.started_at ? `since ${momentOf(work.started_at)}` : `asked ${momentOf(work.created_at)}`;
  return [`work ${work.number}`, ...what.filter(Boolean), queue.me?.name === work.owner ? null : `by ${work.owner}`, times,
    work.charged ? `${duration(work.charged)} of device time` : null].filter(Boolean).join(" · ");
}

async function openForm(studies) {
  const place = byId("new-search"), close = () => { place.hidden = true; byId("add-search").focus(); };
  if (!form) {
    const button = byId("add-search");
    button.disabled = true;
    try {
      form = await newSearch(studies(), (work) => { close(); form = null; place.replaceChildren(); say(byId("queue-said"), `Queued: ${work.study} is work ${work.number}.`); }, close);
      place.replaceChildren(form);
    } catch (error) {
      say(byId("queue-said"), error instanceof TypeError ? "The server does not answer." : error.message, true);
      return;
    } finally { button.disabled = false; }
  }
  say(byId("queue-said"), "");
  place.hidden = false;
  place.querySelector("h2").focus();
  place.scrollIntoView({ block: "nearest" });
}
