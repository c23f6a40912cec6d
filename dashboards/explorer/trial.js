// One trial: its network as a strip of blocks, its policy, curves and sensitivity, its export.

import { amount, apiOf, ask, byId, command, element, of, percent } from "./page.js";
import { trialSteps } from "./steering/trial_steps.js";
import { axis, colour, draw, PALETTE } from "./plots.js";

const MOST_KEPT = 50;
const kept = new Map(); // what an ended trial's answer was, by study, revision and number
let drawn = "";

export async function trialOf(state, number) {
  const key = `${state.trials.instance} ${state.trials.revision} ${number}`;
  if (!kept.has(key)) {
    kept.set(key, await ask(`${apiOf(state.study)}/trials/${number}`));
    if (kept.size > MOST_KEPT) kept.delete(kept.keys().next().value);
  }
  return kept.get(key);
}

// Blocks from the input on: full height where all inner channels are left, a cross where it went.
export function strip(blocks) {
  const removed = blocks.filter((b) => b.removed).map((b) => b.index);
  const labels = blocks.length <= 30;
  const told = `${blocks.length} blocks, ${removed.length ? `removed: ${removed.join(" ")}` : "none removed"}`;
  const parts = blocks.map((block, i) => {
    const share = block.whole_channels ? block.channels / block.whole_channels : 1;
    const width = block.whole_channels ? `, ${block.channels} of ${block.whole_channels} inner channels` : "";
    const first = i > 0 && block.stage !== blocks[i - 1].stage;
    const fill = element("i");
    fill.style.height = `${block.removed ? 0 : Math.max(6, 100 * share)}%`;
    return element("span", {
      class: `${block.removed ? "removed" : "kept"}${first ? " stage" : ""}`,
      title: `branch ${block.index} ${block.module}: ${block.removed ? "removed" : `kept${width}`}`,
    }, fill, labels ? element("b", {}, String(block.index)) : null);
  });
  return element("div", { class: "strip", role: "img", "aria-label": told }, ...parts);
}

export async function showTrial(state, change) {
  const node = byId("trial");
  if (node.hidden) { drawn = ""; return; }
  const number = state.trial;
  const theme = document.documentElement.dataset.theme;
  const key = `${state.study} ${state.trials.instance} ${state.trials.revision} ${number} ${theme}`;
  if (key === drawn) return;
  let told;
  try {
    told = await trialOf(state, number);
  } catch (error) {
    node.replaceChildren(heading(number, change), element("p", {}, error.message));
    return;
  }
  if (number !== state.trial) return;
  drawn = key;
  const curves = mini("Accuracy and loss by epoch"), scores = mini("Sensitivity of each branch"), survival = mini("Survival probability of each branch");
  const measured = told.epochs.step.length > 0, blocks = element("div", {}, strip(told.blocks), legend(told.blocks));
  const { steps, made } = trialSteps(told, state, change);
  node.replaceChildren(...[
    heading(number, change),
    element("p", {}, `${told.state}, ${told.kind}${told.on_front ? ", on the front" : ""}`),
    ...(told.point ? [blocks, facts(told)] : []),
    steps,
    element("h2", {}, "Where it comes from"), lineage(told, change),
    ...exported(told, state, change), made,
    ...(told.verdicts.length ? [element("h2", {}, "What was decided"), element("ul", {}, ...told.verdicts.map((v) => element("li", {}, v)))] : []),
    ...(measured ? [element("h2", {}, "Curves"), curves] : []),
    ...(Object.keys(told.sensitivities).length ? [element("h2", {}, `Sensitivity by ${told.criterion.replaceAll("_", " ")}`), scores] : []),
    ...(told.survival.length ? [element("h2", {}, "Survival probability in training"), survival] : []),
    element("h2", {}, "Policy"), policy(told),
  ].filter(Boolean));
  if (told.point) showWidths(blocks, state, number);
  if (measured) await drawCurves(curves, told.epochs, told.leading);
  if (scores.isConnected) await drawScores(scores, told);
  if (survival.isConnected) await drawSurvival(survival, told);
}

function heading(number, change) {
  const close = element("button", { type: "button", "aria-label": "Close the trial", onclick: () => { change({ trial: null }); byId("front").focus(); } }, "Close");
  return element("header", {}, element("h2", {}, `Trial ${number}`), close);
}

// One line per step, the first one first: trained from scratch, grown, pruned.
function lineage(told, change) {
  const go = (number) => element("button", { type: "button", onclick: () => change({ trial: number }) }, `Trial ${number}`);
  const line = (step) => {
    const own = step.trial === told.trial, came = step.told ? `, ${step.told}` : "";
    const from = step.base === null ? "" : ` from trial ${step.base}`;
    const name = step.trial === null ? [] : own ? [element("b", {}, `Trial ${step.trial}`)] : [go(step.trial)];
    return element("li", {}, ...name, ` ${step.how}${from}${came}`);
  };
  return element("ol", { class: "lineage" }, ...told.lineage.map(line));
}

const mini = (label) => element("div", { class: "plot mini", role: "group", "aria-label": label });

// The server builds the network once to know its widths, which may take it seconds.
async function showWidths(node, state, number) {
  const { blocks } = await ask(`${apiOf(state.study)}/trials/${number}/blocks`);
  if (node.isConnected) node.replaceChildren(strip(blocks), legend(blocks));
}

function legend(blocks) {
  const removed = blocks.filter((b) => b.removed), left = blocks.filter((b) => !b.removed && b.whole_channels);
  const sum = (key) => left.reduce((total, b) => total + b[key], 0);
  const share = left.length ? sum("channels") / sum("whole_channels") : 1;
  const about = left.every((b) => b.measured) ? "" : "about ";
  const width = share < 1 ? `; ${about}${percent(share, 0)} of the inner channels of the others are left` : "";
  return element("p", { class: "hint" }, removed.length
    ? `${removed.length} of ${blocks.length} branches removed: ${removed.map((b) => b.index).join(" ")}${width}`
    : `all ${blocks.length} branches kept${width}`);
}

function facts(told) {
  const { point, accuracies, leading } = told;
  const lines = [
    [leading.name.replace("_accuracy", " accuracy"), of(leading, accuracies.final, 2)],
    ["on fresh seeds", told.confirmed?.confirmed.accuracy ? spread(leading, told.confirmed.confirmed.accuracy) : null],
    ["parent, pruned, fine-tuned", `${[accuracies.parent, accuracies.pruned, accuracies.final].map((a) => leading.unit === "%" ? (100 * a).toFixed(1) : amount(a, 3)).join(", ")}\u00a0${leading.unit}`],
    ["MACs", point.macs.toLocaleString("en")],
    ["parameters", point.parameters.toLocaleString("en")],
    ["latency", `${amount(point.latency_ms, 3)} ms`],
    ["weights file", `${amount(point.size_bytes / 1e6, 3)} MB`],
    ["device time", `${amount(told.device_seconds, 3)} s`],
    ...(told.confirmed?.controls ?? []).map((c) => [`beside ${c.role.replaceAll("_", " ")}`, control(leading, c)]),
  ];
  return list(lines.filter(([, value]) => value !== null));
}

function spread(leading, s) {
  if (leading.unit !== "%") return `${amount(s.mean, 4)}${s.sd === null ? "" : ` ± ${amount(s.sd, 2)}`} ${leading.unit} (${s.n} ${s.n === 1 ? "seed" : "seeds"})`;
  return `${(100 * s.mean).toFixed(1)}${s.sd === null ? "" : ` ± ${(100 * s.sd).toFixed(1)}`} % (${s.n} ${s.n === 1 ? "seed" : "seeds"})`;
}

function control(leading, c) {
  const { difference, verdict } = c.comparison;
  if (difference === null) return "not complete";
  const apart = leading.unit === "%" ? `${(100 * difference).toFixed(1)} points` : `${amount(difference, 3)} ${leading.unit}`;
  return `${difference < 0 ? "" : "+"}${apart}, better: ${verdict}`;
}

function list(lines) {
  return element("dl", {}, ...lines.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
}

function exported(told, state, change) {
  if (!told.point) return [];
  const title = element("h2", {}, "Export");
  if (told.export) return [title, command(told.export)];
  if (told.on_front) return [title, element("p", {}, "The weights of this trial are gone, so it cannot be exported.")];
  const better = told.dominated_by[0] ?? told.equals;
  const text = "Only members of the front are exported.";
  if (better === null || better === undefined) return [title, element("p", {}, text)];
  const go = element("button", { type: "button", onclick: () => change({ trial: better }) }, `Trial ${better}`);
  return [title, element("p", {}, `${text} `, go, ` ${told.dominated_by.length ? "dominates" : "equals"} this one.`)];
}

// Numbers come exactly, as text; 0.7999999999999999 was 0.8.
const short = (text) => (text !== "" && Number.isFinite(Number(text)) ? amount(Number(text), 5) : text || "–");

function policy(told) {
  const searched = new Set(told.searched);
  const names = Object.keys(told.settings);
  const isSearched = (name) => searched.has(name) || [...searched].some((s) => name.startsWith(`${s}.`));
  const first = names.filter(isSearched), rest = names.filter((name) => !isSearched(name) && told.settings[name] !== "none");
  return element("div", {}, list(first.map((name) => [name, short(told.settings[name])])),
    rest.length ? element("details", {}, element("summary", {}, `${rest.length} more that were not searched`),
      list(rest.map((name) => [name, short(told.settings[name])]))) : null);
}

async function drawCurves(node, epochs, leading) {
  const inPercent = leading.unit === "%";
  const changes = epochs.step.filter((_, i) => i > 0 && epochs.phase[i] !== epochs.phase[i - 1]);
  const line = (name, values, more) => ({ type: "scatter", mode: "lines+markers", marker: { size: 4 }, name, x: epochs.step, y: values, ...more });
  await draw(node, [
    line(leading.name.replace("_accuracy", " accuracy"), epochs.validation_accuracy, { line: { color: colour("accent") } }),
    ...(leading.name === "validation_accuracy" ? [line("training accuracy", epochs.train_accuracy, { line: { color: colour("grey"), dash: "dot" } })] : []),
    line("training loss", epochs.train_loss, { line: { color: PALETTE[1] }, yaxis: "y2" }),
  ], {
    xaxis: axis("epoch"), yaxis: axis("", inPercent ? { tickformat: ".0%" } : {}),
    yaxis2: axis("", { overlaying: "y", side: "right", showgrid: false, rangemode: "tozero", nticks: 4, tickmode: "auto" }),
    margin: { l: 6, r: 6, t: 44, b: 6 }, font: { size: 11, color: colour("ink") },
    shapes: changes.map((step) => ({ type: "line", x0: step - 0.5, x1: step - 0.5, yref: "paper", y0: 0, y1: 1,
      line: { color: colour("grey"), width: 1, dash: "dash" } })),
  });
}

async function drawScores(node, told) {
  const branches = Object.keys(told.sensitivities).map(Number), gone = new Set(told.removed);
  const bars = (name, wanted, mark) => {
    const taken = branches.filter((b) => gone.has(b) === wanted);
    return { type: "bar", name, x: taken, y: taken.map((b) => told.sensitivities[b]), marker: { color: mark } };
  };
  await draw(node, [bars("kept", false, colour("accent")), bars("removed", true, colour("gone"))], {
    xaxis: axis("branch"), yaxis: axis("in means"), margin: { l: 6, r: 6, t: 26, b: 6 }, bargap: 0.15,
    font: { size: 11, color: colour("ink") },
  });
}

async function drawSurvival(node, told) {
  await draw(node, [{ type: "scatter", mode: "lines+markers", x: told.survival.map((_, i) => i + 1), y: told.survival,
    line: { color: colour("accent"), shape: "hvh" }, marker: { size: 5 } }],
  { xaxis: axis("branch"), yaxis: axis("p", { range: [0, 1.05] }), margin: { l: 6, r: 6, t: 8, b: 6 }, showlegend: false,
    font: { size: 11, color: colour("ink") } });
}
