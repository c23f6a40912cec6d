// What may be done with a trial: its policy changed and tried, its network exported.

import { apiOf, element } from "../page.js";
import * as commands from "./commands.js";
import { askPerson, choices, field, say, text } from "./dialog.js";
import { editor } from "./editor.js";
import { exportNode } from "./exports.js";
import { enter, maySteer, onQueue, queue, worksOf } from "./queue.js";
import { stateOf, why } from "./works.js";

const FORMATS = ["torch", "onnx", "int8", "executorch"];
let current = null; // the trial that is shown, and how its part of the page is told anew

onQueue(() => { if (current?.node.isConnected) current.update(); });

// Returns the buttons of a trial, and what came of its export and of policies by hand; `change`
// has the page look at another trial.
export function trialSteps(told, state, change) {
  const owner = state.studies.find((s) => s.study === state.study)?.owner ?? null;
  if (!queue.steers) return { steps: null, made: null };
  const { study } = state, said = element("p", { class: "said", role: "status", tabindex: "-1" }), made = element("div", { id: "trial-made" });
  const edit = element("button", { type: "button", onclick: () => askPolicy(study, told, said) }, "Change it and try …");
  const send = element("button", { type: "button", onclick: () => askExport(study, told.trial, said) }, "Export …");
  const steps = element("div", { id: "trial-steps" }, maySteer(owner) ? element("p", { class: "steps" }, edit, told.export ? send : null) : null, said);
  const drawn = new Map();
  const update = () => {
    const works = worksOf(study).filter((work) => work.kind === "policy" || isOf(work, told.trial)).slice(-8);
    made.replaceChildren(...works.toReversed().map((work) => {
      const key = `${work.number} ${work.state} ${work.wanted} ${work.told}`;
      if (!drawn.has(key)) drawn.set(key, line(work, change));
      return drawn.get(key);
    }));
  };
  current = { node: made, update };
  update();
  return { steps, made };
}

const isOf = (work, trial) => work.kind === "export" && [work.arguments.select].flat().includes(`trial:${trial}`);

function line(work, change) {
  if (work.kind === "export" && work.state === "done") return exportNode(work.arguments.to, work.owner);
  const name = work.kind === "export" ? `Export ${work.arguments.to}` : "Policy by hand";
  const number = /^trial (\d+)/.exec(work.told ?? "")?.[1];
  const reason = number === undefined ? why(work) : "";
  const go = number === undefined ? null : element("button", { type: "button", class: "link", onclick: () => change({ trial: Number(number) }) }, `trial ${number}`);
  return element("p", { class: "made", "data-state": work.state },
    element("span", { class: "chip", "data-state": work.state }, stateOf(work)), ` ${name}, work ${work.number}${go ? ": " : reason ? `: ${reason}` : ""}`, go);
}

function askExport(study, trial, said) {
  const to = text({ value: freeName(`${study}-trial-${trial}`), required: true }), formats = choices("Formats", FORMATS, ["torch", "onnx"]);
  const wish = () => ({ to: to.value.trim(), select: `trial:${trial}`, formats: formats.chosen() });
  askPerson({
    title: `Export trial ${trial} of ${study}`, label: "Export it", told: () => commands.exporting(study, wish()), ready: () => Boolean(to.value.trim()),
    parts: [field("Name of the folder", to, "below exports, beside the studies"), formats.node,
      element("p", { class: "hint" }, "Weights and architecture are always among the files; int8 is made from onnx. Every file is compared with the searched network.")],
    submit: async (steer) => {
      const work = await steer(`${apiOf(study)}/exports`, wish());
      enter(work);
      say(said, `Asked: it is work ${work.number} of the queue.`);
    },
  });
}

function freeName(name) {
  const taken = new Set(queue.works.filter((work) => work.kind === "export").map((work) => work.arguments.to));
  let free = name.slice(0, 60), count = 2;
  while (taken.has(free)) free = `${name.slice(0, 60)}-${count++}`;
  return free;
}

function askPolicy(study, told, said) {
  const first = ordered(told.policy, told.searched), before = flat(first);
  const changes = element("p", { class: "hint", role: "status" });
  let policy = first;
  const text = editor("Settings of the policy, as JSON", JSON.stringify(first, null, 2), () => read(), 18);
  const read = () => {
    try {
      policy = JSON.parse(text.value());
      if (policy === null || typeof policy !== "object" || Array.isArray(policy)) throw new Error("a policy is an object: { … }");
      text.tell([]);
      const now = flat(policy), names = new Set([...Object.keys(before), ...Object.keys(now)]);
      const differ = [...names].filter((name) => before[name] !== now[name]).map((name) => `${name} ${before[name] ?? "(not set)"} → ${now[name] ?? "(default)"}`);
      changes.textContent = differ.length ? `Changed: ${differ.join(", ")}` : "Nothing is changed yet: the same policy is the same trial.";
    } catch (error) {
      policy = null;
      const place = /line (\d+) column (\d+)/.exec(error.message);
      text.tell([place ? `policy.json:${place[1]}:${place[2]}: ${error.message.split(" in JSON")[0]}` : error.message]);
      changes.textContent = "";
    }
  };
  read();
  askPerson({
    title: `Try a change of trial ${told.trial}`, label: "Try it", wide: true, parts: [
      element("p", { class: "hint" }, "What was searched stands first. It is carried out by the study's driver if that runs, else by itself; it costs device time."),
      text.node, changes],
    told: () => commands.enqueuing(study), ready: () => policy !== null,
    submit: async (steer) => {
      const work = await steer(`${apiOf(study)}/policies`, { policy });
      enter(work);
      say(said, `Asked: it is work ${work.number} of the queue.`);
    },
  });
}

// What was searched first: that is what one changes.
function ordered(policy, searched) {
  const names = new Set(searched.map((name) => name.split(".")[0]));
  const entries = Object.entries(policy);
  return Object.fromEntries([...entries.filter(([name]) => names.has(name)), ...entries.filter(([name]) => !names.has(name))]);
}

function flat(value, prefix = "") {
  return Object.assign({}, ...Object.entries(value).map(([name, inner]) => (
    inner !== null && typeof inner === "object" && !Array.isArray(inner) ? flat(inner, `${prefix}${name}.`) : { [prefix + name]: JSON.stringify(inner) })));
}
