// What the budget went to, and what came of it.

import { ask, byId, command, duration, element } from "./page.js";
import { axis, colour, draw, PALETTE, plain } from "./plots.js";

const COLOURS = {
  left: null, parent: "#0072b2", sensitivity: "#56b4e9", prune: "#cc79a7", fine_tune: "#009e73",
  measure: "#8f7a00", confirm: "#e69f00", failed: "#d55e00", overhead: "#8a94a0",
};

export async function showBudget(state) {
  const { status } = state;
  if (!status) return;
  const ends = status.ends_at ? `, at the latest at ${new Date(status.ends_at).toLocaleTimeString()}` : "";
  const left = status.seconds_left === null ? "no limit in time" : `${duration(status.seconds_left)} left${status.driver ? ends : ""}`;
  const useful = status.useful_share === null ? "" : `; ${(100 * status.useful_share).toFixed(0)} % went to training, scoring and measuring`;
  byId("budget-told").textContent =
    `${status.budget}: ${duration(status.spent_device_seconds)} of ${status.device} time spent, ${left}${useful}.`;
  await drawBurnDown(status.burn_down, status.driver ? status.now : null);
  showStates(status.trials);
  showRunning(status.running);
}

async function drawBurnDown(burned, now) {
  const times = now ? [...burned.times, now] : burned.times;
  const minutes = (values) => (now ? [...values, values.at(-1)] : values).map((seconds) => seconds / 60);
  const layer = (name, values, fill) => ({
    type: "scatter", mode: "lines", stackgroup: "all", name: name.replaceAll("_", "-"), x: times, y: minutes(values),
    line: { width: 0.5, color: fill, shape: "hv" }, fillcolor: fill, hovertemplate: `${name}: %{y:.2f} min<extra></extra>`,
  });
  const layers = burned.left ? [layer("left", burned.left, colour("line"))] : [];
  for (const [phase, values] of Object.entries(burned.spent)) layers.push(layer(phase, values, COLOURS[phase] ?? PALETTE[3]));
  await draw(byId("burn"), layers, {
    xaxis: axis("time", { type: "date" }), yaxis: axis(`device time (${burned.device}-min)`, { rangemode: "tozero" }),
    hovermode: "x unified", margin: { l: 10, r: 10, t: 50, b: 10 },
  });
}

function showStates(trials) {
  const most = Math.max(1, ...Object.values(trials));
  byId("states").replaceChildren(...Object.entries(trials).map(([name, count]) => {
    const bar = element("i");
    bar.style.width = `${(100 * count) / most}%`;
    return element("li", {}, element("span", {}, name), element("span", {}, count.toLocaleString("en")), bar);
  }));
}

function showRunning(running) {
  const columns = ["trial", "for", "phase", "epoch", "accuracy"];
  const cells = (r) => [String(r.trial), duration(r.seconds), (r.phase ?? "–").replaceAll("_", "-"), String(r.step || "–"),
    r.leading?.replace("%", " %") ?? "–"];
  byId("running").replaceChildren(running.length
    ? element("table", {}, element("thead", {}, element("tr", {}, ...columns.map((c) => element("th", { scope: "col" }, c)))),
      element("tbody", {}, ...running.map((r) => element("tr", {}, ...cells(r).map((text) => element("td", {}, text))))))
    : element("p", { class: "hint" }, "No trial runs."));
}

export async function showHypervolume(state) {
  const names = [state.study, ...state.beside];
  let told;
  try {
    told = await ask(`api/v1/hypervolume?${names.map((name) => `study=${encodeURIComponent(name)}`).join("&")}`);
  } catch (error) { // they cannot be compared: say why, and show the study alone
    told = await ask(`api/v1/hypervolume?study=${encodeURIComponent(state.study)}`);
    told.notes = [error.message];
  }
  await draw(byId("hypervolume"), told.studies.map((study, i) => {
    const steps = [[0, 0], ...study.curve, [study.spent_device_seconds, study.hypervolume]];
    return { type: "scatter", mode: "lines", name: plain(study.study), line: { shape: "hv", width: 2.5, color: i ? PALETTE[i % PALETTE.length] : colour("accent") },
      x: steps.map(([seconds]) => seconds / 60), y: steps.map(([, volume]) => volume),
      hovertemplate: `${plain(study.study)}<br>%{y:.3f} after %{x:.2f} min<extra></extra>` };
  }), {
    xaxis: axis(`device time (${told.studies[0].device}-min)`, { rangemode: "tozero" }),
    yaxis: axis("relative hypervolume", { rangemode: "tozero" }), showlegend: true,
  });
  byId("rivalries").replaceChildren(...told.notes.map((note) => element("li", {}, note)),
    ...told.rivalries.map((r) => element("li", {}, rivalry(r, told.same_device))));
  const random = state.studies.some((s) => s.sampler === "random");
  byId("random").replaceChildren(...(random ? [] : [
    element("p", { class: "hint" }, "To see it beside random search, run one with the same settings and budget, then choose it under Compare:"),
    command("autodepth search --set sampler.name=random"),
  ]));
}

function rivalry(r, sameDevice) {
  const covers = `${r.study} against ${r.other}: attains ${r.attained} of the ${r.points} points of its front, dominates ${r.dominated}`;
  if (!sameDevice) return covers;
  if (r.reached_after === null) return `${covers}; never reaches its final hypervolume of ${r.target.toFixed(3)}`;
  const after = `reaches its final hypervolume of ${r.target.toFixed(3)} after ${duration(r.reached_after)}`;
  return `${covers}; ${after} of device time, ${duration(r.other_after)} there`;
}
