// What stands above the views: light or dark, where the study stands, tabs, filters;
// and what of it the address keeps.

import { amount, byId, duration, element } from "./page.js";

const KEPT = ["study", "view", "trial", "x", "y", "logarithmic", "show", "beside", "filters"];

// The address keeps what is looked at.
export function remember(state) {
  const kept = Object.fromEntries(KEPT.map((name) => [name, state[name]]));
  history.replaceState(null, "", `#${encodeURIComponent(JSON.stringify(kept))}`);
}

export function recall(state, views) {
  try {
    const kept = JSON.parse(decodeURIComponent(location.hash.slice(1)));
    for (const name of KEPT) if (name in kept) state[name] = kept[name];
  } catch { /* an address without anything kept */ }
  if (!views.includes(state.view)) state.view = "front";
}

export function wireTheme(draw) {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  setTheme(localStorage.getItem("theme") ?? (dark.matches ? "dark" : "light"));
  byId("theme").addEventListener("click", () => {
    const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    localStorage.setItem("theme", theme);
    setTheme(theme);
    draw();
  });
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  byId("theme").textContent = theme === "dark" ? "Light" : "Dark";
}

export function tellFilters(state, change) {
  const count = state.trials.size, filters = Object.entries(state.filters);
  byId("show").value = state.show;
  byId("shown").textContent = `${state.shown.length.toLocaleString("en")} of ${count.toLocaleString("en")} trials`;
  byId("chips").replaceChildren(...filters.map(([name, filter]) => {
    const range = filter.only ? filter.only.join(", ") : `${amount(filter.min)} to ${amount(filter.max)}`;
    const without = () => {
      const { [name]: _, ...rest } = state.filters;
      change({ filters: rest });
    };
    return element("button", { type: "button", class: "chip", onclick: without,
      "aria-label": `Remove the filter ${name} ${range}` }, `${name} ${range} ×`);
  }));
  byId("clear").hidden = !filters.length && state.show === "all";
}

export function tellStatus({ status }) {
  if (!status) return;
  byId("state").textContent = status.driver ? "running" : status.state;
  byId("state").dataset.running = Boolean(status.driver);
  const { complete } = status.trials;
  const left = status.driver && status.seconds_left !== null ? `, ${duration(status.seconds_left)} left` : "";
  byId("told").textContent =
    `${status.network} on ${status.data} · ${complete.toLocaleString("en")} trials complete, `
    + `${status.front} on the front · ${status.budget}${left}`;
  byId("progress").hidden = status.share_spent === null;
  byId("progress").value = status.share_spent ?? 0;
}

// The studies that may be looked at beside the chosen one.
export function listOthers(state, change) {
  byId("others").replaceChildren(...state.studies.filter((s) => s.study !== state.study).map((s) => {
    const box = element("input", { type: "checkbox", value: s.study, checked: state.beside.includes(s.study) });
    box.addEventListener("change", () => {
      const rest = state.beside.filter((name) => name !== s.study);
      change({ beside: box.checked ? [...rest, s.study] : rest });
    });
    return element("label", {}, box, ` ${s.study} (${s.network} on ${s.data}, ${s.sampler ?? "unknown"} sampler)`);
  }));
  byId("beside").hidden = state.studies.length < 2;
}

export function showTabs(names, view) {
  for (const name of names) {
    const chosen = name === view, tab = byId(`tab-${name}`);
    byId(`view-${name}`).hidden = !chosen;
    tab.setAttribute("aria-selected", chosen);
    tab.tabIndex = chosen ? 0 : -1;
    if (chosen) tab.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
}

export function wireTabs(names, state, change) {
  for (const name of names) byId(`tab-${name}`).addEventListener("click", () => change({ view: name }));
  byId("tabs").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = names[(names.indexOf(state.view) + step + names.length) % names.length];
    change({ view: next });
    byId(`tab-${next}`).focus();
  });
}
