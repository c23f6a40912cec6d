// Small helpers for the page. Text from studies only ever becomes text, never HTML.

export const byId = (id) => document.getElementById(id);

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export const percent = (fraction, digits = 1) => `${(100 * fraction).toFixed(digits)} %`;

// A value of the metric that leads the search, with its unit.
export const of = ({ unit }, value, digits = 1) => (unit === "%" ? percent(value, digits) : `${amount(value)} ${unit}`.trim());

export function amount(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  return typeof value === "number" ? String(Number(value.toPrecision(digits))) : String(value);
}

// A number of something large: 69.8 k.
export function count(value, digits = 3) {
  const [unit, size] = [["G", 1e9], ["M", 1e6], ["k", 1e3]].find(([, size]) => value >= size) ?? ["", 1];
  return `${amount(value / size, digits)} ${unit}`.trim();
}

export function duration(seconds) {
  const whole = Math.round(seconds);
  if (seconds < 60) return `${seconds < 10 ? Number(seconds.toFixed(1)) : whole} s`;
  const parts = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  let rest = whole;
  const told = [];
  for (const [unit, size] of parts) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count || told.length) told.push([count, unit]);
  }
  return told.slice(0, 2).filter(([count]) => count).map(([count, unit]) => `${count} ${unit}`).join(" ");
}

export const apiOf = (study) => `api/v1/studies/${encodeURIComponent(study)}`;

export async function ask(address, body) {
  return answered(await fetch(address, body === undefined ? {} : sent("POST", body)));
}

const sent = (method, body, more = {}) => ({
  method, headers: { "Content-Type": "application/json", ...more }, body: JSON.stringify(body),
});

async function answered(response) {
  if (response.status === 401) location.reload(); // the token changed: the server asks for it
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  throw Object.assign(new Error(answer.error ?? `the server answered ${response.status}`), { status: response.status });
}

// Returns what asks for things to be done. Asked again by the same, because of a double click or
// because the answer was lost, a thing has the same key: the server does it once.
export function asker() {
  const keys = new Map(); // of what was asked and not answered yet
  return async (address, body, method = "POST") => {
    const wish = `${method} ${address} ${JSON.stringify(body)}`;
    if (!keys.has(wish)) keys.set(wish, newKey());
    const key = { "Idempotency-Key": keys.get(wish) };
    let response;
    try {
      response = await fetch(address, body === undefined ? { method, headers: key } : sent(method, body, key));
    } catch {
      throw new Error("The server does not answer. Ask again when it is back: what it has heard is not done twice.");
    }
    if (response.status < 500) keys.delete(wish);
    return answered(response);
  };
}

// A page that is not on localhost or https has no crypto.randomUUID.
const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

// A command to copy. A page that is not on localhost or https has no clipboard of its own.
export function command(text) {
  const code = element("code", { class: "command" }, text);
  const button = element("button", { type: "button", class: "copy" }, "Copy command");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      getSelection().selectAllChildren(code);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy command"; }, 2000);
  });
  return element("div", {}, code, button);
}
