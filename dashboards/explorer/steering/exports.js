// An exported network: how its files were verified, its archive, its way into MLflow.

import { ask, count, element, percent } from "../page.js";
import { registering } from "./commands.js";
import { askPerson, field, say, text } from "./dialog.js";
import { enter, maySteer } from "./queue.js";

// Returns a node that fills itself as soon as the server has answered.
export function exportNode(name, owner) {
  const node = element("div", { class: "export" }, element("p", { class: "hint" }, `Reading the export ${name} …`));
  fill(node, name, owner);
  return node;
}

async function fill(node, name, owner) {
  let told;
  try {
    told = await ask(`api/v1/exports/${encodeURIComponent(name)}`);
  } catch (error) {
    const again = element("button", { type: "button", onclick: () => fill(node, name, owner) }, "Try again");
    const words = error.status === 404 ? `The export ${name} is no longer there.` : error instanceof TypeError ? "The server does not answer." : error.message;
    node.replaceChildren(element("p", {}, `${words} `, error.status === 404 ? null : again));
    return;
  }
  const said = element("p", { class: "said", role: "status", tabindex: "-1" });
  const several = !Array.isArray(told.verification?.files);
  const parts = several ? Object.entries(told.verification ?? {}) : [["", told.verification]];
  const register = element("button", { type: "button", onclick: () => askToRegister(name, said) }, "Register in MLflow …");
  node.replaceChildren(element("h4", {}, `Export ${name}`),
    ...parts.flatMap(([folder, verification]) => [folder ? element("h4", {}, folder) : null, ...verified(verification)]).filter(Boolean),
    element("p", { class: "steps" },
      element("a", { class: "button", href: `api/v1/exports/${encodeURIComponent(name)}/archive`, download: `${name}.zip` }, `Download (${bytes(told.bytes)})`),
      maySteer(owner) && !several ? register : null), said);
}

const bytes = (size) => (size < 1000 ? `${size} B` : `${count(size)}B`);

function verified(told) {
  const rows = told.files.map((file) => {
    const most = Math.max(0, ...Object.values(file.differences ?? {})), within = most <= file.tolerance;
    return element("tr", {}, element("th", { scope: "row" }, file.file),
      element("td", {}, within ? most === 0 ? "the same, bit for bit" : "the same" : "differs"),
      element("td", {}, most === 0 ? "0" : most.toExponential(1)), element("td", {}, file.tolerance === 0 ? "0" : file.tolerance.toExponential(0)));
  });
  const heads = ["file", "network", "difference", "allowed"].map((head) => element("th", { scope: "col" }, head));
  return [
    element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "How the files were verified" },
      element("table", {}, element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows))),
    element("p", { class: "hint" }, `Compared with ${told.compared_with}, on ${told.inputs}; ${told.difference}.`),
    told.int8 ? element("p", { class: "hint" }, `In eight-bit integers ${percent(told.int8.validation_accuracy)} of ${told.int8.validation_images} validation images, ${percent(told.int8.float_accuracy)} in 32 bits.`) : null,
  ];
}

function askToRegister(name, said) {
  const model = text({ placeholder: "the study's name" });
  askPerson({
    title: `Register ${name} in MLflow`, parts: [field("Name of the model", model)], label: "Register",
    told: () => registering(name, model.value.trim()),
    submit: async (steer) => {
      const work = await steer(`api/v1/exports/${encodeURIComponent(name)}/register`, { name: model.value.trim() || null });
      enter(work);
      say(said, `Asked: it is work ${work.number} of the queue.`);
    },
  });
}
