// Which settings matter, and every trial across all of them: parallel coordinates with brushing.
// Drawn on a canvas here: plotly's own needs WebGL and scripts made from text.

import { amount, apiOf, ask, byId, element } from "./page.js";
import { axis, colour, draw, plain } from "./plots.js";

const MARGIN = 26, TOP = 46, HEIGHT = 340, AXIS_WIDTH = 92;
let analysed = null;

export async function showSettings(state, change) {
  if (!state.trials.size) return;
  drawParallel(state, change);
  showRanges(state, change);
  await showImportance(state);
}

const names = (state) => [...state.trials.varied(), "macs", state.trials.leading.name];
const title = (state, name) => state.trials.metrics[name] ?? name;

// Where a value lies on its axis, from 0 at the bottom to 1 at the top; null where it has none.
function place(scale, value) {
  if (value === null || value === undefined) return null;
  if (scale.levels) return scale.levels.length < 2 ? 0.5 : scale.levels.indexOf(String(value)) / (scale.levels.length - 1);
  const { low, high, log } = scale;
  if (high === low) return 0.5;
  return log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
}

function drawParallel(state, change) {
  const canvas = byId("parallel"), axes = names(state);
  const width = Math.max(canvas.parentElement.clientWidth, axes.length * AXIS_WIDTH), ratio = devicePixelRatio || 1;
  canvas.width = width * ratio; canvas.height = HEIGHT * ratio;
  canvas.style.width = `${width}px`; canvas.style.height = `${HEIGHT}px`;
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  const gap = (width - 2 * MARGIN - 60) / Math.max(1, axes.length - 1);
  const xs = axes.map((_, i) => MARGIN + 30 + i * gap);
  const y = (share) => HEIGHT - MARGIN - share * (HEIGHT - MARGIN - TOP);
  const scales = axes.map((name) => state.trials.scale(name)), values = axes.map((name) => state.trials.values(name));
  const trace = (number) => {
    let started = false;
    axes.forEach((_, i) => {
      const at = place(scales[i], values[i][number]);
      if (at === null) started = false; // the setting does not count in this trial
      else if (started) pen.lineTo(xs[i], y(at));
      else { pen.moveTo(xs[i], y(at)); started = true; }
    });
  };
  const lines = (numbers, style, line, opacity) => {
    pen.strokeStyle = style; pen.lineWidth = line; pen.globalAlpha = opacity;
    pen.beginPath();
    numbers.forEach(trace);
    pen.stroke();
    pen.globalAlpha = 1;
  };
  const complete = state.shown.filter((n) => state.trials.columns.state[n] === "complete");
  lines(complete.filter((n) => !state.trials.members.has(n)), colour("grey"), 1, Math.max(0.08, Math.min(0.6, 60 / complete.length)));
  lines(complete.filter((n) => state.trials.members.has(n)), colour("accent"), 1.6, 0.9);
  if (state.trial !== null) lines([state.trial], colour("gone"), 3, 1);
  drawAxes(pen, state, axes, scales, xs, y);
  brush(canvas, state, change, { axes, scales, xs, y });
}

function drawAxes(pen, state, axes, scales, xs, y) {
  const write = (rows, x, y) => { // with a rim, for lines run behind it; first the rims of all rows
    pen.strokeStyle = colour("page"); pen.lineWidth = 4;
    rows.forEach((text, row) => pen.strokeText(text, x, y + 13 * row, AXIS_WIDTH + 20));
    rows.forEach((text, row) => pen.fillText(text, x, y + 13 * row, AXIS_WIDTH + 20));
    pen.strokeStyle = colour("ink"); pen.lineWidth = 1;
  };
  pen.fillStyle = colour("ink"); pen.strokeStyle = colour("ink"); pen.lineWidth = 1; pen.textAlign = "center";
  axes.forEach((name, i) => {
    pen.font = "12px system-ui, sans-serif";
    // Long names in two lines: they would run into each other.
    write(wrap(title(state, name)), xs[i], 14);
    pen.beginPath(); pen.moveTo(xs[i], y(0)); pen.lineTo(xs[i], y(1)); pen.stroke();
    pen.font = "11px system-ui, sans-serif";
    const ends = scales[i].levels ?? null;
    if (ends) ends.forEach((level, k) => write([level], xs[i], y(ends.length < 2 ? 0.5 : k / (ends.length - 1)) - 4));
    else { write([amount(scales[i].high, 3)], xs[i], y(1) - 4); write([amount(scales[i].low, 3)], xs[i], y(0) + 14); }
    const filter = state.filters[name];
    if (!filter) return;
    pen.globalAlpha = 0.35; pen.fillStyle = colour("accent");
    const kept = filter.only ? filter.only.map((level) => place(scales[i], level)) : [place(scales[i], filter.min), place(scales[i], filter.max)];
    if (filter.only) kept.forEach((at) => pen.fillRect(xs[i] - 8, y(at) - 8, 16, 16));
    else pen.fillRect(xs[i] - 8, y(kept[1]), 16, Math.max(3, y(kept[0]) - y(kept[1])));
    pen.globalAlpha = 1; pen.fillStyle = colour("ink");
  });
}

function wrap(text) {
  if (text.length <= 15) return ["", text];
  const cut = Math.max(text.lastIndexOf("_", 15), text.lastIndexOf(" ", 15), text.lastIndexOf(".", 15)) + 1 || 15;
  return [text.slice(0, cut), text.slice(cut)];
}

// Dragging along an axis keeps what lies in the range; a click lets go.
function brush(canvas, state, change, { axes, scales, xs, y }) {
  const shareAt = (event) => {
    const top = y(1), bottom = y(0), at = event.clientY - canvas.getBoundingClientRect().top;
    return Math.max(0, Math.min(1, (bottom - at) / (bottom - top)));
  };
  canvas.onpointerdown = (event) => {
    const across = event.clientX - canvas.getBoundingClientRect().left;
    const i = xs.findIndex((x) => Math.abs(x - across) < 22);
    if (i < 0) return;
    const from = shareAt(event), name = axes[i], scale = scales[i];
    canvas.setPointerCapture(event.pointerId);
    canvas.onpointerup = (end) => {
      canvas.onpointerup = null;
      const [low, high] = [from, shareAt(end)].sort((a, b) => a - b);
      const { [name]: _, ...rest } = state.filters;
      if (high - low < 0.02) change({ filters: rest });
      else change({ filters: { ...rest, [name]: between(scale, low, high) } });
    };
  };
}

function between(scale, low, high) {
  const at = (share) => (scale.log ? scale.low * (scale.high / scale.low) ** share : scale.low + share * (scale.high - scale.low));
  if (!scale.levels) return { min: at(low), max: at(high) };
  return { only: scale.levels.filter((level) => place(scale, level) >= low && place(scale, level) <= high) };
}

// The same by keyboard, and to the digit.
function showRanges(state, change) {
  const node = byId("ranges");
  if (node.contains(document.activeElement) && node.dataset.of === `${state.study} ${names(state)}`) return;
  node.dataset.of = `${state.study} ${names(state)}`;
  node.replaceChildren(...names(state).map((name) => {
    const scale = state.trials.scale(name), filter = state.filters[name];
    const set = (value) => {
      const { [name]: _, ...rest } = state.filters;
      change({ filters: value ? { ...rest, [name]: value } : rest });
    };
    const fields = scale.levels ? levels(scale, filter, set) : ends(scale, filter, set);
    return element("fieldset", {}, element("legend", {}, title(state, name)), ...fields);
  }));
}

function levels(scale, filter, set) {
  const boxes = scale.levels.map((level) => element("input", { type: "checkbox", value: level, checked: !filter || filter.only.includes(level) }));
  const changed = () => {
    const only = boxes.filter((box) => box.checked).map((box) => box.value);
    set(only.length === boxes.length ? null : { only });
  };
  boxes.forEach((box) => box.addEventListener("change", changed));
  return boxes.map((box) => element("label", {}, box, ` ${box.value}`));
}

function ends(scale, filter, set) {
  const field = (value) => element("input", { type: "number", step: "any", value: Number((value ?? 0).toPrecision(6)) });
  const low = field(filter?.min ?? scale.low), high = field(filter?.max ?? scale.high);
  const wide = [low.value, high.value];
  const changed = () => {
    const all = !filter && low.value === wide[0] && high.value === wide[1];
    set(all || low.value === "" || high.value === "" ? null : { min: Number(low.value), max: Number(high.value) });
  };
  [low, high].forEach((input) => input.addEventListener("change", changed));
  return [element("label", {}, "from ", low), element("label", {}, "to ", high)];
}

async function showImportance(state) {
  const node = byId("importance"), told = byId("importance-told");
  const complete = state.status?.trials.complete ?? 0;
  const key = `${state.study} ${state.trials.instance} ${Math.floor(complete / 10)} ${Boolean(state.status?.driver)}`;
  if (analysed?.key !== key) {
    told.textContent = "It is being worked out, which for thousands of trials takes minutes.";
    node.hidden = true;
    analysed = { key, answer: ask(`${apiOf(state.study)}/importance`) }; // asked for once
    analysed.answer.catch(() => { analysed = null; });
  }
  const found = await analysed.answer;
  if (analysed?.key !== key) return;
  const rows = [...found.dimensions].reverse();
  node.hidden = !rows.length;
  told.textContent = found.explained === null ? found.note
    : `From ${found.trials} trials. All settings together explain ${(100 * Math.max(0, found.explained)).toFixed(0)} % of the variance of accuracy at equal MACs, in trials not seen. ${found.note || "Below about 0.1, or with 0 in its interval, a setting may not matter."}`;
  if (!rows.length) return;
  node.style.height = `${Math.max(180, 60 + 26 * rows.length)}px`;
  await draw(node, [{
    type: "bar", orientation: "h", y: rows.map((d) => plain(d.name)), x: rows.map((d) => d.mean), marker: { color: colour("accent") },
    error_x: { type: "data", symmetric: false, array: rows.map((d) => d.high - d.mean), arrayminus: rows.map((d) => d.mean - d.low), color: colour("ink"), thickness: 1.2 },
    hovertemplate: "%{y}: %{x:.2f}<extra></extra>",
  }], { xaxis: axis("importance, 95 % interval"), yaxis: axis("", { tickfont: { size: 11 } }), margin: { l: 10, r: 10, t: 10, b: 10 } });
}
