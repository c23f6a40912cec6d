// The trials of a study in columns, as the server sent them; which of them pass the filters.

export class Trials {
  constructor() {
    this.instance = "";
    this.revision = 0;
    this.size = 0;
    this.columns = {};
    this.dimensions = {};
    this.front = [];
    this.confirmed = {};
  }

  // Trials are numbered densely from 0, so a trial's number is its place in every column.
  merge(answer) {
    if (answer.instance !== this.instance) Object.assign(this, new Trials());
    const numbers = answer.columns.number;
    put(this.columns, answer.columns, numbers);
    put(this.dimensions, answer.dimensions, numbers);
    for (const number of numbers) this.size = Math.max(this.size, number + 1);
    for (const name of ["instance", "revision", "front", "confirmed", "metrics", "axes",
                        "objectives", "accuracy_unit", "leading", "knee", "whole_macs"]) this[name] = answer[name];
    this.members = new Set(this.front);
    this.scales = new Map();
  }

  values(name) {
    return this.dimensions[name] ?? this.columns[name];
  }

  // What an axis of a quantity needs: numbers from low to high, or levels. Worked out once a merge.
  scale(name) {
    if (!this.scales.has(name)) this.scales.set(name, scaleOf(this.values(name) ?? [], this.size));
    return this.scales.get(name);
  }

  // Dimensions that were varied at all.
  varied() {
    return Object.keys(this.dimensions).filter((name) => {
      const scale = this.scale(name);
      return scale.levels ? scale.levels.length > 1 : scale.high > scale.low;
    });
  }

  passing(filters, show) {
    const tests = Object.entries(filters).map(([name, filter]) => [this.values(name) ?? [], filter]);
    const { kind } = this.columns;
    const shown = {
      all: () => true,
      front: (n) => this.members.has(n),
      search: (n) => kind[n] === "search" || kind[n] === "unpruned",
      evidence: (n) => kind[n] === "confirm" || kind[n] === "control",
    }[show];
    const found = [];
    for (let n = 0; n < this.size; n++) {
      if (shown(n) && tests.every(([values, filter]) => passes(values[n], filter))) found.push(n);
    }
    return found;
  }
}

function put(into, from, numbers) {
  for (const [name, values] of Object.entries(from)) {
    into[name] ??= [];
    numbers.forEach((number, i) => { into[name][number] = values[i]; });
  }
}

function scaleOf(values, size) {
  let low = Infinity, high = -Infinity, text = false;
  const levels = new Set();
  for (let n = 0; n < size; n++) {
    const value = values[n];
    if (value === null || value === undefined) continue;
    levels.add(value);
    if (typeof value !== "number") text = true;
    else { low = Math.min(low, value); high = Math.max(high, value); }
  }
  if (text) return { levels: [...levels].map(String).sort() };
  return { low, high, log: low > 0 && high / low >= 50 };
}

function passes(value, filter) {
  if (value === null || value === undefined) return false;
  if (filter.only) return filter.only.includes(String(value));
  return value >= filter.min && value <= filter.max;
}
