// What may be done with a study: stop, pause, go on, concurrency, budget, confirm, delete.

import { apiOf, byId, element } from "../page.js";
import * as commands from "./commands.js";
import { askPerson, choices, field, sameByCommand, say, stepButton, text } from "./dialog.js";
import { exportNode } from "./exports.js";
import { DRIVING, enter, maySteer, queue, unfinished, worksOf } from "./queue.js";
import { stateOf, why } from "./works.js";

const CONTROLS = {
  "random removal": "as many branches, drawn by lot", "evenly spaced": "as many, far from each other",
  "unpruned plus fine-tuning": "nothing taken out, trained on for as long",
  "from scratch, equal epochs": "the small network from its initial weights",
  "from scratch, MAC-scaled epochs": "the same for what the member's training cost",
};
let bar = null, shown = "", exportsShown = "";

// Draw the steps of the study that is looked at; `gone` is told when it was deleted.
export function showStudySteps(state, gone) {
  const node = byId("steps");
  node.hidden = !queue.steers || !state.study;
  if (node.hidden) return;
  bar ??= barOf(node, gone);
  if (shown !== state.study) { say(bar.said, ""); shown = state.study; }
  bar.update(state);
}

function barOf(node, gone) {
  let study = "", state = null;
  const said = element("span", { class: "said", role: "status", tabindex: "-1" });
  const told = element("span", { id: "steps-told" }), list = element("div");
  const path = (step) => `${apiOf(study)}/${step}`;
  const at = (label, step, attributes) => stepButton(label, async (steer) => {
    const answer = await steer(path(step));
    enter(answer);
    if (Array.isArray(answer) && !answer.length) say(said, "It was asked to end in order; what runs ends first."); // one begun by command
  }, said, attributes);
  const dialog = (label, ask, attributes = {}) => element("button", { type: "button", onclick: () => ask(study, said, state, gone), ...attributes }, label);
  const on = at("Go on", "go-on"), pause = at("Pause", "pause"), stop = at("Stop", "stop");
  const trials = dialog("Trials at a time …", askConcurrency), budget = dialog("More budget …", askBudget);
  const confirm = dialog("Confirm …", askConfirm), remove = dialog("Delete …", askDelete, { class: "danger" });
  const same = sameByCommand(() => (pause.hidden && stop.hidden ? commands.goingOn(study) : commands.stopping(study)));
  const exported = element("details", { class: "exports" }, element("summary"), list);
  const buttons = element("span", { class: "steps" }, on, pause, stop, trials, budget, confirm, remove);
  node.replaceChildren(buttons, told, said, same.node, exported);
  exported.addEventListener("toggle", () => fillExports());

  const fillExports = () => {
    const done = worksOf(study).filter((work) => work.kind === "export" && work.state === "done");
    exported.hidden = !done.length;
    exported.firstElementChild.textContent = `Exports (${done.length})`;
    const key = `${study} ${done.map((work) => work.number)}`;
    if (!exported.open || key === exportsShown) return;
    exportsShown = key;
    list.replaceChildren(...done.toReversed().map((work) => exportNode(work.arguments.to, work.owner)));
  };
  const update = (now) => {
    state = now;
    study = now.study;
    const works = worksOf(study).filter(unfinished), searches = works.filter((w) => ["search", "resume"].includes(w.kind));
    const owner = now.studies.find((s) => s.study === study)?.owner ?? searches[0]?.owner ?? null;
    const may = maySteer(owner), driven = Boolean(now.status?.driver);
    const wanted = (word) => works.length > 0 && works.every((work) => work.wanted === word);
    const paused = searches.some((work) => work.state === "paused"), goes = driven || works.some((w) => w.state !== "paused");
    on.hidden = !paused && goes;
    pause.hidden = !(driven || searches.some((w) => w.state !== "paused")) || wanted("pause") || wanted("stop");
    stop.hidden = !(driven || works.length) || wanted("stop");
    trials.hidden = !driven;
    remove.hidden = driven || works.length > 0;
    buttons.hidden = same.node.hidden = !may;
    told.textContent = may ? tellWorks(works) : queue.me.role === "steer" ? `${owner} steers this study. ${tellWorks(works)}` : `You may look, and not steer. ${tellWorks(works)}`;
    same.update();
    fillExports();
  };
  return { update, said };
}

function tellWorks(works) {
  return works.map((work) => {
    const name = { search: "", resume: "", confirm: "confirmation ", policy: "policy by hand ", export: "export ", register: "registration " }[work.kind];
    const told = why(work), state = work.state === "running" && !DRIVING.includes(work.kind) ? "under way" : stateOf(work);
    return `${name}${state}${told ? `: ${told.slice(0, 1).toLowerCase()}${told.slice(1)}` : ""}`;
  }).join("; ");
}

async function asked(steer, study, step, body, said) {
  const work = await steer(`${apiOf(study)}/${step}`, body);
  enter(work);
  say(said, `Asked: it is work ${work.number} of the queue.`);
}

function askBudget(study, said) {
  const more = text({ value: "2cpu-min", required: true });
  askPerson({
    title: `More budget for ${study}`, parts: [field("Add", more, "10gpu-h, 30cpu-min or 50trials; the study goes on with it")], label: "Add it, and go on",
    told: () => commands.moreBudget(study, more.value.trim()), ready: () => Boolean(more.value.trim()),
    submit: (steer) => asked(steer, study, "budget", { budget: more.value.trim() }, said),
  });
}

function askConcurrency(study, said, state) {
  const now = worksOf(study).findLast((work) => work.concurrency)?.concurrency ?? (state.status?.running.length || 1);
  const trials = element("input", { type: "number", min: 1, step: 1, value: now });
  askPerson({
    title: `Trials of ${study} at a time`, parts: [field("Trials", trials, "at most the places that it has reserved; it takes effect as trials end")], label: "Change it",
    told: () => commands.atATime(study, trials.value), ready: () => Number.isInteger(trials.valueAsNumber) && trials.valueAsNumber > 0,
    submit: async (steer) => {
      const { concurrency } = await steer(`${apiOf(study)}/concurrency`, { trials: trials.valueAsNumber });
      say(said, `Asked: ${concurrency} at a time, as soon as a trial ends.`);
    },
  });
}

function askConfirm(study, said) {
  const seeds = element("input", { type: "number", min: 1, max: 100, step: 1, value: 2 });
  const controls = choices("Controls beside each member", Object.keys(CONTROLS), []);
  for (const label of controls.node.querySelectorAll("label")) label.append(element("small", {}, CONTROLS[label.firstElementChild.value]));
  const chosen = () => (controls.chosen().length === Object.keys(CONTROLS).length ? ["all"] : controls.chosen());
  askPerson({
    title: `Confirm the front of ${study}`, label: "Confirm it",
    parts: [element("p", { class: "hint" }, "Each member of the front is trained again on fresh seeds; that and controls take device time."), field("Fresh seeds", seeds), controls.node],
    told: () => commands.confirming(study, seeds.value, chosen()), ready: () => Number.isInteger(seeds.valueAsNumber) && seeds.valueAsNumber > 0,
    submit: (steer) => asked(steer, study, "confirm", { seeds: seeds.valueAsNumber, controls: chosen() }, said),
  });
}

function askDelete(study, said, state, gone) {
  const name = text({ placeholder: study });
  askPerson({
    title: `Delete ${study} for good`, danger: true, label: "Delete it",
    parts: [element("p", {}, "Its trials, weights and records go, and do not come back; exports stay."), field(`Type its name, ${study}`, name)],
    told: () => commands.deleting(study), ready: () => name.value === study,
    submit: async (steer) => {
      await steer(`${apiOf(study)}?confirm=${encodeURIComponent(name.value)}`, undefined, "DELETE");
      gone(study);
    },
  });
}
