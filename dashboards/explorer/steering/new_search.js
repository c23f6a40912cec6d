// The form that queues a search: a shipped space or a text of one's own, checked while it is typed.

import { ask, asker, element } from "../page.js";
import { searching } from "./commands.js";
import { choices, field, sameByCommand, text } from "./dialog.js";
import { editor } from "./editor.js";
import { enter, queue } from "./queue.js";

const OWN = "a text of my own";
const FORMATS = ["torch", "onnx", "int8", "executorch"];
const CHECK_MS = 400; // after the last change
const DEFAULT = "digits_resnet20";

// Returns the form as a node; `done` is told of the work that was queued, `close` of giving it up.
export async function newSearch(studies, done, close) {
  const spaces = await ask("api/v1/spaces");
  const names = Object.keys(spaces), steer = asker();
  const inputs = fieldsOf(studies, names);
  const own = editor("Space file", spaces[DEFAULT] ?? "", () => later());
  const formats = choices("Formats to export to later", FORMATS, []);
  const problem = element("p", { class: "problem", role: "alert", tabindex: "-1", hidden: true });
  const send = element("button", { class: "primary" }, "Queue the search");
  const change = element("button", { type: "button" }, "Copy and change it");
  const about = element("p", { class: "hint" });

  const asked = () => {
    const told = { settings: inputs.settings.value.split("\n").map((line) => line.trim()).filter(Boolean) };
    if (inputs.space.value === OWN) told.space_text = own.value();
    else told.space = inputs.space.value;
    for (const name of ["data", "network", "weights", "weights_key"]) if (inputs[name].value.trim()) told[name] = inputs[name].value.trim();
    if (inputs.seed.value !== "") told.seed = Number(inputs.seed.value);
    return told;
  };
  const wish = () => {
    const told = { study: inputs.study.value.trim(), budget: inputs.budget.value.trim(), ...asked() };
    if (inputs.concurrency.value !== "") told.concurrency = Number(inputs.concurrency.value);
    for (const name of ["per_trial", "start_from"]) if (inputs[name].value) told[name] = inputs[name].value;
    if (formats.chosen().length) told.formats = formats.chosen();
    return told;
  };
  const same = sameByCommand(() => searching(wish()));
  const check = checker(own, () => asked());
  const later = () => { settle(); check(); };
  const settle = () => {
    const isOwn = inputs.space.value === OWN;
    own.node.classList.toggle("closed", !isOwn);
    change.hidden = about.hidden = isOwn;
    about.textContent = isOwn ? "" : purpose(spaces[inputs.space.value]);
    same.update();
  };
  change.addEventListener("click", () => {
    own.set(spaces[inputs.space.value]);
    inputs.space.value = OWN;
    later();
    own.node.querySelector("textarea").focus();
  });

  const form = element("form", { class: "new-search", novalidate: true, "aria-labelledby": "new-search-head" },
    element("header", {}, element("h2", { id: "new-search-head", tabindex: "-1" }, "Queue a search"),
      element("button", { type: "button", onclick: close, "aria-label": "Close the form" }, "Close")),
    element("div", { class: "fields" },
      field("Name of the study", inputs.study),
      field("Budget", inputs.budget, "50gpu-h, 90cpu-min, 12h or 400trials")),
    field("Space", inputs.space), about, element("p", {}, change), own.node,
    element("details", {}, element("summary", {}, "Data, network, settings and more"),
      element("div", { class: "fields" },
        field("Data", inputs.data, "in place of the space's"), field("Network", inputs.network, "in place of the space's"),
        field("Weights", inputs.weights, "a file at the server, or pretrained"), field("Where they are in it", inputs.weights_key),
        field("Seed", inputs.seed), field("Trials at a time", inputs.concurrency, "one per device if empty"),
        field("A trial reserves", inputs.per_trial, "such as 0.25gpu"), field("First try the front of", inputs.start_from)),
      field("Settings", inputs.settings, "one a line, such as train.epochs=3"), formats.node),
    same.node, problem, element("p", { class: "ends" }, send));

  form.addEventListener("input", (event) => { if (event.target.tagName !== "TEXTAREA" || event.target === inputs.settings) later(); });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (send.disabled) return;
    send.disabled = true;
    send.textContent = "Asking …";
    problem.hidden = true;
    try {
      const work = await steer("api/v1/queue", wish());
      enter(work);
      done(work);
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
      problem.focus();
    } finally {
      send.disabled = false;
      send.textContent = "Queue the search";
    }
  });
  same.node.open = true;
  settle();
  return form;
}

function fieldsOf(studies, spaces) {
  const taken = new Set([...studies.map((s) => s.study), ...queue.works.map((work) => work.study)]);
  let count = 1;
  while (taken.has(`search-${count}`)) count += 1;
  const option = (value) => element("option", { value }, value || "none");
  const number = (min) => element("input", { type: "number", min, step: 1 });
  const select = element("select", {}, ...[...spaces, OWN].map(option));
  if (spaces.includes(DEFAULT)) select.value = DEFAULT;
  return {
    study: text({ value: `search-${count}`, required: true }), budget: text({ value: "4cpu-min", required: true }), space: select,
    data: text(), network: text(), weights: text(), weights_key: text(), per_trial: text(),
    seed: number(0), concurrency: number(1), start_from: element("select", {}, ...["", ...studies.map((s) => s.study)].map(option)),
    settings: element("textarea", { rows: 3, spellcheck: "false" }),
  };
}

// What a shipped space says of itself: the paragraph at its top, without the line for editors.
function purpose(space) {
  const lines = space.split("\n").filter((line) => !line.includes("$schema="));
  const told = [];
  for (const line of lines) {
    if (!line.startsWith("#")) { if (told.length) break; continue; }
    const words = line.replace(/^#\s*/, "");
    if (!words && told.length) break;
    if (words) told.push(words);
  }
  return told.join(" ");
}

// Have the server look for mistakes once nothing was typed for a while; the last answer counts.
function checker(own, asked) {
  let waiting = null, latest = 0;
  return () => {
    clearTimeout(waiting);
    waiting = setTimeout(async () => {
      const turn = ++latest;
      try {
        const { mistakes } = await ask("api/v1/spaces/check", asked());
        if (turn === latest) own.tell(mistakes, "No mistakes.");
      } catch (error) {
        if (turn === latest) own.tell([], error instanceof TypeError ? "The server does not answer; mistakes are not looked for." : error.message);
      }
    }, CHECK_MS);
  };
}
