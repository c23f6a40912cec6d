// Text of a file with its line numbers; mistakes are told by line and column, and lead there.

import { element } from "../page.js";

let made = 0;

// Returns `node`, `value()`, `set(text)` and `tell(mistakes)`; a mistake is what the server says,
// `space.yaml:4:9: what is wrong`, or a sentence without a place.
export function editor(label, value, onchange, rows = 16) {
  const id = `editor-${++made}`;
  const area = element("textarea", { id, rows, wrap: "off", spellcheck: "false", autocapitalize: "off", "aria-describedby": `${id}-told` });
  const gutter = element("div", { class: "gutter", "aria-hidden": "true" });
  const told = element("p", { id: `${id}-told`, class: "hint", role: "status" });
  const list = element("ul", { class: "mistakes" });
  let wrong = new Set();

  const number = () => {
    const count = area.value.split("\n").length;
    if (gutter.childElementCount !== count) gutter.replaceChildren(...Array.from({ length: count }, (_, i) => element("span", {}, String(i + 1))));
    [...gutter.children].forEach((line, i) => line.classList.toggle("wrong", wrong.has(i + 1)));
    gutter.scrollTop = area.scrollTop;
  };
  const go = (line, column) => {
    const lines = area.value.split("\n");
    const start = lines.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0) + column - 1;
    area.focus();
    area.setSelectionRange(start, Math.max(start, start + (/^\S*/.exec(lines[line - 1]?.slice(column - 1) ?? "")[0].length)));
    area.scrollTop = Math.max(0, (line - 4)) * (area.scrollHeight / lines.length);
    number();
  };
  area.addEventListener("scroll", () => { gutter.scrollTop = area.scrollTop; });
  area.addEventListener("input", () => { number(); onchange(area.value); });
  area.value = value;
  number();

  return {
    node: element("div", { class: "editor" }, element("label", { for: id }, label), element("div", { class: "lines" }, gutter, area), told, list),
    value: () => area.value,
    set: (text) => { area.value = text; wrong = new Set(); number(); },
    tell: (mistakes, fine = "") => {
      const found = mistakes.map((mistake) => /^[^:\s]+:(\d+):(\d+): ([^]*)$/.exec(mistake)?.slice(1) ?? [null, null, mistake]);
      wrong = new Set(found.map(([line]) => Number(line)));
      area.setAttribute("aria-invalid", found.length > 0);
      told.textContent = found.length ? `${found.length} ${found.length === 1 ? "mistake" : "mistakes"}:` : fine;
      list.replaceChildren(...found.map(([line, column, words]) => element("li", {}, line === null ? null
        : element("button", { type: "button", onclick: () => go(Number(line), Number(column)) }, `line ${line}, column ${column}`), ` ${words}`)));
      number();
    },
  };
}
