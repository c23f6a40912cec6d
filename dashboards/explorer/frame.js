// Which part of the plane the figure of the front begins with: where the front is.

const WIDE = 20; // costs that span more than this are drawn on a logarithmic axis
const ROOM = 0.06, LEEWAY = 0.35; // around what is shown; around the front, for what is near it

export function isWide(values) {
  const known = values.filter((value) => value > 0);
  return known.length > 1 && Math.max(...known) / Math.min(...known) > WIDE;
}

// The front, what fresh seeds said of it and the unpruned network, and what is near them; null
// where there is no front. `drawn` is the range as plotly wants it: on a logarithmic axis the
// exponents of ten.
export function frameOf(state, log) {
  const { trials, x, y } = state, xs = trials.columns[x], ys = trials.columns[y];
  const complete = state.shown.filter((n) => trials.columns.state[n] === "complete");
  const matter = complete.filter((n) => trials.members.has(n) || trials.columns.kind[n] === "unpruned");
  if (!matter.length) return null;
  const sure = y === trials.leading.name ? matter.flatMap((n) => confirmed(trials, n)) : [];
  return {
    x: reach(matter.map((n) => xs[n]), complete.map((n) => xs[n]), log),
    y: reach([...matter.map((n) => ys[n]), ...sure], complete.map((n) => ys[n]), false),
  };
}

// Where on the border a point is marked that lies beyond it; null where it lies inside.
export function borderOf(frame, x, y) {
  const [across, up] = [beside(frame.x, x), beside(frame.y, y)];
  if (!across && !up) return null;
  const symbol = up ? (up < 0 ? "triangle-down" : "triangle-up") : (across < 0 ? "triangle-left" : "triangle-right");
  return { x: across ? held(frame.x, x) : x, y: up ? held(frame.y, y) : y, symbol };
}

// -1 below what is drawn, 1 above it, 0 on it.
const beside = ({ edges }, value) => (value < edges[0] ? -1 : Number(value > edges[1]));
const held = ({ low, high }, value) => Math.min(high, Math.max(low, value));

function confirmed(trials, number) {
  const spread = trials.confirmed[number];
  if (!spread) return [];
  const sd = spread.sd ?? 0;
  return [spread.mean - sd, spread.mean + sd].map((value) => value * trials.accuracy_unit);
}

function reach(matter, all, log) {
  const to = (value) => (log ? Math.log10(value) : value), from = (value) => (log ? 10 ** value : value);
  const known = (values) => values.filter((value) => Number.isFinite(value) && (!log || value > 0)).map(to);
  const inner = known(matter), outer = known(all);
  const [low, high] = [Math.min(...inner), Math.max(...inner)], span = high - low || Math.abs(high) || 1;
  const least = Math.max(Math.min(...outer, low), low - LEEWAY * span);
  const most = Math.min(Math.max(...outer, high), high + LEEWAY * span);
  const room = ROOM * (most - least || span);
  const drawn = [least - room, most + room];
  return { low: from(least), high: from(most), drawn, edges: drawn.map(from) };
}
