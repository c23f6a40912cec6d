// A question to a person before something is done: fields, the command that does the same, and
// what the server has against it, there where it was asked.

import { asker, command, element } from "../page.js";
import { queue } from "./queue.js";

let made = 0;

// A field with its label; a hint below it is read with it.
export function field(label, input, hint = "") {
  const id = input.id || `field-${++made}`;
  input.id = id;
  if (hint) input.setAttribute("aria-describedby", `${id}-hint`);
  return element("p", { class: "field" }, element("label", { for: id }, label), input,
    hint ? element("small", { id: `${id}-hint` }, hint) : null);
}

export const text = (attributes = {}) => element("input", { type: "text", autocomplete: "off", spellcheck: "false", ...attributes });

export function choices(legend, names, chosen) {
  const boxes = names.map((name) => element("input", { type: "checkbox", value: name, checked: chosen.includes(name) }));
  const node = element("fieldset", { class: "choices" }, element("legend", {}, legend),
    ...boxes.map((box) => element("label", {}, box, ` ${box.value}`)));
  return { node, chosen: () => boxes.filter((box) => box.checked).map((box) => box.value) };
}

// The command that does the same, and how it follows the fields.
export function sameByCommand(told) {
  const node = element("details", { class: "same" }, element("summary", {}, "The same by command"));
  const update = () => {
    const line = told();
    if (node.dataset.line === line) return;
    node.dataset.line = line;
    node.lastElementChild.tagName === "SUMMARY" ? node.append(command(line)) : node.lastElementChild.replaceWith(command(line));
  };
  update();
  return { node, update };
}

// Ask; `submit` is given what asks the server, is done once a click, and the dialog stays open with what was said against it.
// `ready` says whether there is anything to be submitted yet.
export function askPerson({ title, parts, told, label, submit, danger = false, wide = false, ready = () => true }) {
  const id = `dialog-${++made}`, steer = asker();
  const send = element("button", { class: danger ? "danger" : "primary" }, label);
  const cancel = element("button", { type: "button" }, "Cancel");
  const problem = element("p", { class: "problem", role: "alert", tabindex: "-1", hidden: true });
  const same = sameByCommand(told);
  same.node.open = true;
  const form = element("form", { novalidate: true }, element("h2", { id }, title), ...parts, same.node, problem,
    element("p", { class: "ends" }, send, cancel));
  const dialog = element("dialog", { class: wide ? "wide" : "", "aria-labelledby": id }, form);
  const settle = () => { same.update(); send.disabled = !ready(); };
  form.addEventListener("input", settle);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (send.disabled) return;
    send.disabled = true;
    send.textContent = "Asking …";
    problem.hidden = true;
    try {
      await submit(steer);
      dialog.close();
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
      problem.focus();
      problem.scrollIntoView({ block: "nearest" });
    } finally {
      send.textContent = label;
      settle();
    }
  });
  cancel.addEventListener("click", () => dialog.close());
  dialog.addEventListener("keydown", (event) => event.stopPropagation()); // Escape closes this alone
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  settle();
  dialog.showModal();
  return dialog;
}

// A button that does a step at once: disabled until it is answered, with what was said against it
// in `told`, a status beside it. Asked again before the queue was seen anew, it is the same wish.
export function stepButton(label, step, told, attributes = {}) {
  const button = element("button", { type: "button", ...attributes }, label);
  let steer = asker(), seen = queue.seen;
  button.addEventListener("click", async () => {
    if (button.disabled) return;
    if (seen !== queue.seen) [steer, seen] = [asker(), queue.seen];
    button.disabled = true;
    button.setAttribute("aria-busy", "true");
    say(told, "");
    try {
      await step(steer);
    } catch (error) {
      say(told, error.message, true);
    } finally {
      button.disabled = false;
      button.removeAttribute("aria-busy");
      const next = button.hidden ? [...button.parentElement.children].find((other) => !other.hidden) : button;
      if (document.activeElement === document.body) next?.focus();
    }
  });
  return button;
}

export function say(node, words, wrong = false) {
  node.classList.toggle("problem", wrong);
  node.textContent = words;
}
