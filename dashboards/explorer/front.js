// The front: every trial as a point, on axes to choose.

import { amount, apiOf, ask, byId, count, element, of } from "./page.js";
import { borderOf, isWide, frameOf } from "./frame.js";
import { axis, colour, draw, faint, PALETTE, plain } from "./plots.js";
import { strip, trialOf } from "./trial.js";

const COSTS = ["macs", "parameters", "latency_ms", "size_bytes", "effective_macs"];
const CONTROL_MARKS = ["square-open", "triangle-up-open", "triangle-down-open", "cross-open", "x-open", "star-open"];
// Of more points than this the dominated ones are drawn as one path: a node for each of ten thousand
// takes seconds.
const MANY = 2000, DOT = 7, SMALL_DOT = 5;
let wired = false;

export async function showFront(state, change) {
  const { trials } = state;
  if (!trials.size) return;
  choosers(state, change);
  const traces = [...ofStudy(state), ...await ofOthers(state)];
  const node = byId("front");
  const title = (name) => trials.metrics[name];
  // Zoom is kept while points arrive, and let go with the axes.
  const log = state.logarithmic ?? isWide(trials.front.map((n) => trials.columns[state.x][n]));
  const kept = `${state.study} ${state.x} ${state.y} ${log}`;
  const frame = frameOf(state, log);
  traces.push(...beyond(state, frame));
  tellFinding(state, change);
  members(state, change); // before the figure, which takes the room that is left
  byId("logarithmic").checked = log;
  const Plotly = await draw(node, traces, {
    xaxis: axis(title(state.x), { type: log ? "log" : "linear", range: frame?.x.drawn }),
    yaxis: axis(title(state.y), { range: frame?.y.drawn }), uirevision: kept, shapes: clouds(traces),
  });
  byId("front-hint").textContent =
    `The front is by ${trials.objectives.map((o) => `${o.name.replaceAll("_", " ")} (${o.goal})`).join(" and ")}. `;
  if (!wired) wire(node, state, change, Plotly);
}

function choosers(state, change) {
  for (const [id, key] of [["across", "x"], ["up", "y"]]) {
    const select = byId(id);
    if (!select.options.length) {
      const measured = Object.keys(state.trials.metrics).filter((name) => !COSTS.includes(name));
      select.append(...[...COSTS, ...measured].map((name) => element("option", { value: name }, state.trials.metrics[name])));
      select.addEventListener("change", () => change({ [key]: select.value }));
    }
    select.value = state[key];
  }
  const box = byId("logarithmic");
  box.onchange = () => change({ logarithmic: box.checked });
}

function ofStudy(state) {
  const { trials, x, y, shown } = state;
  const { kind, state: ended, within, role, int8 } = trials.columns;
  const groups = { dominated: [], bound: [], front: [], unpruned: [], confirmations: [] };
  const controls = new Map();
  for (const n of shown) {
    if (ended[n] !== "complete") continue;
    if (kind[n] === "unpruned") groups.unpruned.push(n);
    if (kind[n] === "confirm") groups.confirmations.push(n);
    else if (kind[n] === "control") {
      if (!controls.has(role[n])) controls.set(role[n], []);
      controls.get(role[n]).push(n);
    } else if (trials.members.has(n)) groups.front.push(n);
    else groups[within[n] ? "dominated" : "bound"].push(n);
  }
  const traces = [
    ...dominated(state, groups.dominated),
    points(state, groups.bound, "breaks a bound", { color: colour("grey"), size: 7, symbol: "x-thin-open" }),
    points(state, groups.confirmations, "confirmations", { color: colour("grey"), size: 6, symbol: "circle-open" }),
    ...[...controls].map(([name, found], i) => points(state, found, `control: ${name.replaceAll("_", " ")}`,
      { color: PALETTE[1], size: 9, symbol: CONTROL_MARKS[i % CONTROL_MARKS.length] })),
    frontLine(state, groups.front),
    points(state, groups.unpruned, "parent (unpruned)",
      { color: colour("ink"), size: 15, symbol: "diamond-open", line: { width: 2 } }),
    points(state, shown.filter((n) => int8[n] && ended[n] === "complete" && trials.columns.about[n] == null), "in eight bits",
      { color: PALETTE[2], size: 15, symbol: "square-open", line: { width: 2 } }),
  ].filter((trace) => trace.x.length);
  if (y === trials.leading.name) traces.push(...confirmed(state, groups.front));
  if (state.trial !== null && trials.columns[x]?.[state.trial] != null) {
    traces.push({ ...points(state, [state.trial], "chosen", { color: "rgba(0,0,0,0)", size: 22, symbol: "circle",
      line: { color: colour("accent"), width: 3 } }), hoverinfo: "skip", hovertemplate: null, showlegend: false });
  }
  return traces;
}

function points(state, numbers, name, marker) {
  const { trials, x, y } = state;
  const xs = trials.columns[x], ys = trials.columns[y], { removed } = trials.columns;
  return {
    type: "scatter", mode: "markers", name: plain(name), marker,
    x: numbers.map((n) => xs[n]), y: numbers.map((n) => ys[n]),
    customdata: numbers, text: numbers.map((n) => removed[n]),
    hovertemplate: `<b>trial %{customdata}</b> (${plain(name)})<br>${trials.metrics[y]}: %{y:.5~g}`
      + `<br>${trials.metrics[x]}: %{x:.5~g}<br>%{text} branches removed<extra></extra>`,
  };
}

// What lies outside of the figure, marked at its border; a click opens it like any other.
function beyond(state, frame) {
  if (!frame) return [];
  const { trials, x, y } = state, xs = trials.columns[x], ys = trials.columns[y];
  const outside = state.shown.filter((n) => trials.columns.state[n] === "complete" && borderOf(frame, xs[n], ys[n]));
  if (!outside.length) return [];
  const places = outside.map((n) => borderOf(frame, xs[n], ys[n]));
  const trace = points(state, outside, `beyond the border (${outside.length.toLocaleString("en")})`, {
    color: faint("grey"), size: 8, symbol: places.map((place) => place.symbol) });
  const told = outside.map((n) => `${amount(ys[n])} at ${amount(xs[n])}`);
  return [{ ...trace, x: places.map((place) => place.x), y: places.map((place) => place.y), text: told,
    hovertemplate: "<b>trial %{customdata}</b>, outside of the figure<br>%{text}<extra></extra>" }];
}

// What was found, how sure that is, and what to click: the knee, the most accurate one, and the
// whole network beside them.
function tellFinding(state, change) {
  const { trials } = state, { knee, leading, columns, whole_macs: whole } = trials;
  const node = byId("finding");
  node.hidden = knee === null;
  if (knee === null) return;
  const unit = leading.unit === "%" ? 100 : 1, found = (n) => of(leading, columns[leading.name][n] / unit);
  const sure = (n) => {
    const spread = trials.confirmed[n];
    if (!spread) return `${found(n)}, not yet confirmed on fresh seeds`;
    return `${of(leading, spread.mean)} on ${spread.n === 1 ? "a fresh seed" : `${spread.n} fresh seeds`} (${found(n)} when it was found)`;
  };
  const share = (n) => (whole ? `, ${amount((1e8 * columns.macs[n]) / whole, 2)} % of the whole network` : "");
  const line = (title, n) => element("div", {}, element("span", {}, element("strong", {}, title), `${sure(n)}, at ${count(1e6 * columns.macs[n])} MACs${share(n)}.`),
    element("button", { type: "button", onclick: () => open(n, change) }, `Open trial ${n}`));
  const best = trials.front[0], parent = columns.kind.findIndex((kind, n) => kind === "unpruned" && columns.state[n] === "complete");
  node.replaceChildren(...[line("The knee: ", knee), best === knee ? null : line("The best: ", best),
    parent < 0 ? null : element("div", {}, `The whole network: ${found(parent)}.`)].filter(Boolean));
}

function dominated(state, numbers) {
  const trace = points(state, numbers, "dominated", { color: faint("grey"), size: DOT });
  if (numbers.length <= MANY) return [trace];
  const inLegend = { ...trace, x: [null], y: [null], customdata: [null], text: [null] };
  return [{ ...trace, mode: "none", showlegend: false, cloud: true }, inLegend];
}

// Dots as lines of no length with round ends (see the style sheet), all in one path.
function clouds(traces) {
  return traces.filter((trace) => trace.cloud).map(({ x, y, marker }) => ({
    type: "path", layer: "below", line: { color: marker.color, width: SMALL_DOT },
    path: x.map((value, i) => `M${value},${y[i]}L${value},${y[i]}`).join(""),
  }));
}

function frontLine(state, numbers) {
  const { trials, x, y } = state;
  const ordered = [...numbers].sort((a, b) => trials.columns[x][a] - trials.columns[x][b]);
  const trace = points(state, ordered, "front", { color: colour("accent"), size: 11, line: { color: colour("page"), width: 1.5 } });
  // Between two members the best to be had at a cost is the cheaper one: a step, where the axes
  // are what the front was taken by.
  const drawn = new Set([x, y]);
  const both = trials.objectives.length === 2 && trials.objectives.every((o) => drawn.has(o.name));
  if (both && y === trials.leading.name) {
    Object.assign(trace, { mode: "lines+markers", line: { color: colour("accent"), width: 2, shape: "hv" } });
  }
  return trace;
}

function confirmed(state, numbers) {
  const { trials, x } = state, unit = trials.accuracy_unit;
  const found = numbers.filter((n) => trials.confirmed[n]);
  if (!found.length) return [];
  const spreads = found.map((n) => trials.confirmed[n]);
  return [{
    type: "scatter", mode: "markers", name: "confirmed, mean ± sd", customdata: found,
    x: found.map((n) => trials.columns[x][n]), y: spreads.map((s) => s.mean * unit),
    error_y: { type: "data", array: spreads.map((s) => (s.sd ?? 0) * unit), color: colour("ink"), thickness: 1.5, width: 5 },
    marker: { color: colour("ink"), size: 7, symbol: "line-ew", line: { width: 2, color: colour("ink") } },
    text: spreads.map((s) => `${of(trials.leading, s.mean)} ± ${s.sd === null ? "?" : of(trials.leading, s.sd)} over ${s.n} seeds`),
    hovertemplate: "<b>trial %{customdata}</b> on fresh seeds<br>%{text}<extra></extra>",
  }];
}

async function ofOthers(state) {
  const told = await Promise.all(state.beside.map((name) => ask(`${apiOf(name)}/front/columns`).catch(() => null)));
  const unit = (name) => state.trials.metrics[name] !== undefined;
  if (!unit(state.x) || !unit(state.y)) return [];
  return told.map((answer, i) => answer && {
    type: "scatter", mode: "markers", name: `front of ${plain(state.beside[i])}`,
    x: answer.columns[state.x], y: answer.columns[state.y],
    marker: { color: PALETTE[(i + 2) % PALETTE.length], size: 9, symbol: "diamond" },
    text: answer.columns.number, hovertemplate: `${plain(state.beside[i])}, trial %{text}<br>%{y:.5~g} at %{x:.5~g}<extra></extra>`,
  }).filter(Boolean);
}

// Where there is no room beside the figure the trial stands below it.
async function open(number, change) {
  await change({ trial: number });
  byId("trial").scrollIntoView({ block: "nearest" });
}

function members(state, change) {
  const { trials } = state;
  const { leading } = trials, inPercent = leading.unit === "%";
  const columns = ["trial", leading.title, "confirmed", "MACs (M)", "params (M)", "latency (ms)", "removed", "origin"];
  byId("members").tHead.replaceChildren(element("tr", {}, ...columns.map((name) => element("th", { scope: "col" }, name))));
  const shown = new Set(state.shown), { columns: c } = trials;
  // As many decimals in all rows as the smallest number needs: so they can be compared down a column.
  const even = (values, n) => values[n].toFixed(decimals(Math.min(...trials.front.map((m) => values[m]))));
  const rows = trials.front.filter((n) => shown.has(n)); // the best by what is believed of it first
  byId("members").tBodies[0].replaceChildren(...rows.map((n) => {
    const spread = trials.confirmed[n];
    const button = element("button", { type: "button", onclick: () => open(n, change) }, String(n));
    const tenths = (value) => (inPercent ? (100 * value).toFixed(1) : amount(value, 3));
    const sd = spread && spread.sd !== null ? ` ± ${tenths(spread.sd)}` : "";
    const told = spread ? `${tenths(spread.mean)}${sd} ${leading.unit} (${spread.n})` : "–";
    const own = inPercent ? c[leading.name][n].toFixed(2) : amount(c[leading.name][n], 4);
    const cells = [`${own} ${leading.unit}`, told, even(c.macs, n), even(c.parameters, n), even(c.latency_ms, n), String(c.removed[n]), c.origin[n]];
    return element("tr", { "aria-current": state.trial === n ? "true" : null },
      element("td", {}, button), ...cells.map((text) => element("td", {}, text)));
  }));
}

// Decimals with which a value has three digits that say something.
const decimals = (value) => (value > 0 ? Math.max(0, Math.min(6, 2 - Math.floor(Math.log10(value)))) : 2);

function wire(node, state, change, Plotly) {
  wired = true;
  let pending = null;
  const numberOf = (event) => event.points.map((p) => p.customdata).find(Number.isInteger);
  node.on("plotly_click", (event) => {
    const number = numberOf(event);
    if (number !== undefined) open(number, change);
  });
  node.on("plotly_hover", (event) => {
    const number = numberOf(event);
    clearTimeout(pending);
    if (number !== undefined) pending = setTimeout(() => preview(state, number), 120);
  });
  node.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.key === "Enter" && state.trial !== null) byId("trial").focus();
    if (!step) return;
    event.preventDefault();
    const { trials, x } = state, shown = new Set(state.shown);
    const along = trials.front.filter((n) => shown.has(n)).sort((a, b) => trials.columns[x][a] - trials.columns[x][b]);
    if (!along.length) return;
    const at = along.indexOf(state.trial);
    change({ trial: at < 0 ? along[0] : along[Math.max(0, Math.min(along.length - 1, at + step))] });
  });
}

async function preview(state, number) {
  const told = await trialOf(state, number).catch(() => null);
  if (told) byId("preview").replaceChildren(strip(told.blocks));
}
