// What trials say of each branch: sensitivity by criterion, survival probability, removal.

import { apiOf, ask, byId } from "./page.js";
import { axis, colour, draw, PALETTE } from "./plots.js";
import { trialOf } from "./trial.js";

const FEW = 20;

export async function showBranches(state) {
  const filtered = Object.keys(state.filters).length > 0 || state.show !== "all";
  const [table, chosen] = await Promise.all([
    ask(`${apiOf(state.study)}/branches`, { trials: filtered ? state.shown : null }),
    state.trial === null ? null : trialOf(state, state.trial).catch(() => null),
  ]);
  await drawHeat(table, chosen, state.trial);
  await drawSurvival(table, chosen, state.trial);
}

async function drawHeat(table, chosen, number) {
  const rows = table.rows.map((row) => [`${row.criterion.replaceAll("_", " ")} (${row.trials})`, row.scaled]);
  if (chosen && Object.keys(chosen.sensitivities).length) {
    rows.push([`trial ${number}`, table.branches.map((b) => chosen.sensitivities[b] ?? null)]);
  }
  const most = 3; // beyond it a branch is plainly needed, and one outlier would hide the rest
  await draw(byId("heat"), [{
    type: "heatmap", x: table.branches, y: rows.map(([name]) => name), z: rows.map(([, values]) => values),
    zmin: 0, zmax: most, colorscale: "Viridis", xgap: 1, ygap: 2, colorbar: { thickness: 12, outlinewidth: 0 },
    // Few enough to read: the number too, for where all are dark or all are bright.
    texttemplate: table.branches.length <= FEW ? "%{z:.2f}" : "",
    hovertemplate: "branch %{x}<br>%{y}: %{z:.2f}<extra></extra>",
  }], {
    xaxis: axis("branch", { dtick: Math.max(1, Math.ceil(table.branches.length / 20)), showgrid: false }),
    yaxis: axis("", { autorange: "reversed", showgrid: false }), margin: { l: 10, r: 10, t: 10, b: 10 },
    annotations: rows.length ? [] : [{ text: "none of these trials scored its branches", showarrow: false }],
  });
}

async function drawSurvival(table, chosen, number) {
  const x = table.branches;
  const line = (name, y, more) => ({ type: "scatter", mode: "lines", name, x, y, ...more });
  const traces = [
    { type: "bar", name: "share of trials that removed it", x, y: table.removed, marker: { color: colour("line") } },
    line("lowest", table.survival_low, { line: { width: 0 }, showlegend: false, hoverinfo: "skip" }),
    line("from lowest to highest", table.survival_high, { line: { width: 0 }, fill: "tonexty", fillcolor: `${colour("accent")}40`, hoverinfo: "skip" }),
    line("mean survival probability", table.survival, { line: { color: colour("accent"), width: 2.5 } }),
  ];
  if (chosen?.survival.length) {
    traces.push(line(`trial ${number}`, chosen.survival, { mode: "lines+markers", line: { color: PALETTE[1], width: 2 } }));
  }
  await draw(byId("survival"), traces, {
    xaxis: axis("branch", { dtick: Math.max(1, Math.ceil(x.length / 20)) }),
    yaxis: axis("probability, share", { range: [0, 1.05] }), margin: { l: 10, r: 10, t: 60, b: 10 },
  });
}
