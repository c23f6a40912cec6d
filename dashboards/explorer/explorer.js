// The page: what is looked at, kept in the address, and told anew when the server says so.

import { showBranches } from "./branches.js";
import { showBudget, showHypervolume } from "./budget.js";
import { showFront } from "./front.js";
import { amount, apiOf, ask, byId, duration, element } from "./page.js";
import { showSettings } from "./settings.js";
import { Trials } from "./table.js";
import { showTrial } from "./trial.js";

const VIEWS = {
  front: showFront, budget: showBudget, progress: showHypervolume,
  branches: showBranches, settings: showSettings,
};
const SILENCE_SECONDS = 15; // of the server, after which the page says so
const RECOVERY_MS = 2000;

const state = {
  study: "", view: "front", trial: null, x: null, y: null, logarithmic: null, show: "all",
  beside: [], filters: {}, trials: new Trials(), status: null, studies: [], shown: [],
};
let events = null, heard = Date.now(), lost = null, waiting = null, fetching = false, again = false;

// Change what is looked at; everything that follows from it is drawn anew.
async function change(values) {
  Object.assign(state, values);
  remember();
  await draw();
}

function remember() {
  const { study, view, trial, x, y, logarithmic, show, beside, filters } = state;
  const kept = { study, view, trial, x, y, logarithmic, show, beside, filters };
  history.replaceState(null, "", `#${encodeURIComponent(JSON.stringify(kept))}`);
}

function recall() {
  try {
    const kept = JSON.parse(decodeURIComponent(location.hash.slice(1)));
    for (const name of ["study", "view", "trial", "x", "y", "logarithmic", "show", "beside", "filters"]) {
      if (name in kept) state[name] = kept[name];
    }
  } catch { /* an address without anything kept */ }
  if (!(state.view in VIEWS)) state.view = "front";
}

async function draw() {
  const { trials } = state;
  state.shown = trials.passing(state.filters, state.show);
  for (const name of Object.keys(VIEWS)) {
    const chosen = name === state.view;
    byId(`view-${name}`).hidden = !chosen;
    const tab = byId(`tab-${name}`);
    tab.setAttribute("aria-selected", chosen);
    tab.tabIndex = chosen ? 0 : -1;
    if (chosen) tab.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
  tellFilters();
  tellStatus();
  byId("trial").hidden = state.trial === null || !trials.size; // before figures take its room
  await Promise.all([VIEWS[state.view](state, change), showTrial(state, change)]);
}

function tellFilters() {
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

function tellStatus() {
  const { status } = state;
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

function tellBanner() {
  const banner = byId("banner"), { status } = state;
  let text = "";
  if (lost || Date.now() - heard > SILENCE_SECONDS * 1000) {
    const since = new Date(lost ?? heard).toLocaleTimeString();
    text = `The server has not answered since ${since}: what is shown is from then. Trying again.`;
  } else if (state.problem) {
    text = state.problem;
  } else if (status && !status.driver && !status.outcome) {
    text = `No process drives this study, and it has not ended: what is shown changes no more. Carry it on with: autodepth resume ${state.study}`;
  }
  if (banner.textContent !== text) banner.textContent = text;
  banner.hidden = !text;
}

// Fetch what is new. Of many changes at once the last one counts, and fetching never takes more
// than a tenth of the time, here or at the server.
async function refresh() {
  if (fetching) { again = true; return; }
  clearTimeout(waiting);
  fetching = true;
  const start = performance.now(), { study, trials } = state;
  try {
    const since = `instance=${trials.instance}&revision=${trials.revision}`;
    const news = ask(`${apiOf(study)}/trials?${since}`);
    const status = ask(`${apiOf(study)}/status`).catch((error) => error);
    const answer = await news;
    if (study !== state.study) return;
    const revised = answer.instance !== trials.instance || answer.revision !== trials.revision;
    trials.merge(answer);
    state.x ??= answer.axes.x;
    state.y ??= answer.axes.y;
    state.problem = "";
    const drawn = revised ? draw() : null; // an importance of many trials may take minutes
    const stands = await status;
    if (stands instanceof Error) throw stands;
    state.status = stands;
    tellStatus();
    const last = state.view === "budget" ? draw() : drawn; // not waited for: news go on coming in
    last?.catch((error) => { state.problem = error.message; tellBanner(); });
  } catch (error) {
    if (error instanceof TypeError) lost ??= Date.now();
    else state.problem = error.message;
  } finally {
    fetching = false;
    tellBanner();
    const pause = Math.max(1000, 10 * (performance.now() - start));
    if (again || study !== state.study) waiting = setTimeout(refresh, study !== state.study ? 0 : pause);
    again = false;
  }
}

function listen() {
  events?.close();
  const own = events = new EventSource(`api/v1/events?study=${encodeURIComponent(state.study)}`);
  const hear = (event) => {
    heard = Date.now();
    const back = lost !== null;
    lost = null;
    const { running } = JSON.parse(event.data);
    if (event.type === "change" || running || back) refresh();
    tellBanner();
  };
  own.addEventListener("change", hear);
  own.addEventListener("beat", hear);
  own.onerror = () => {
    lost ??= Date.now();
    tellBanner();
    if (own.readyState === EventSource.CLOSED) setTimeout(() => own === events && listen(), RECOVERY_MS);
  };
}

async function choose(study) {
  const other = study !== state.study || !state.trials.size;
  state.study = study;
  if (other) Object.assign(state, { trials: new Trials(), status: null });
  state.beside = state.beside.filter((name) => name !== study && state.studies.some((s) => s.study === name));
  document.title = `${study} · autodepth`;
  byId("study").value = study;
  listOthers();
  remember();
  listen();
  await refresh();
}

function listOthers() {
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

async function listStudies() {
  state.studies = await ask("api/v1/studies");
  const running = (s) => (s.running ? " (running)" : "");
  byId("study").replaceChildren(...state.studies.map((s) => element("option", { value: s.study }, s.study + running(s))));
}

async function open() {
  try {
    await listStudies();
    if (!state.studies.length) {
      state.problem = "There are no studies in this folder yet. Start one: autodepth search --budget 4cpu-min";
      heard = Date.now();
      setTimeout(open, RECOVERY_MS);
    } else {
      state.problem = "";
      const known = state.studies.some((s) => s.study === state.study);
      await choose(known ? state.study : state.studies[0].study);
    }
  } catch (error) {
    lost ??= Date.now();
    setTimeout(open, RECOVERY_MS);
  }
  tellBanner();
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  byId("theme").textContent = theme === "dark" ? "Light" : "Dark";
}

function wire() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  setTheme(localStorage.getItem("theme") ?? (dark.matches ? "dark" : "light"));
  byId("theme").addEventListener("click", () => {
    const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    localStorage.setItem("theme", theme);
    setTheme(theme);
    draw();
  });
  byId("study").addEventListener("change", (event) => {
    Object.assign(state, { trial: null, filters: {}, show: "all", x: null, y: null });
    choose(event.target.value);
  });
  byId("study").addEventListener("focus", () => listStudies().then(() => { byId("study").value = state.study; listOthers(); }).catch(() => {}));
  byId("show").addEventListener("change", (event) => change({ show: event.target.value }));
  byId("clear").addEventListener("click", () => change({ filters: {}, show: "all" }));
  const names = Object.keys(VIEWS);
  for (const name of names) byId(`tab-${name}`).addEventListener("click", () => change({ view: name }));
  byId("tabs").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = names[(names.indexOf(state.view) + step + names.length) % names.length];
    change({ view: next });
    byId(`tab-${next}`).focus();
  });
  document.addEventListener("pointerdown", (event) => {
    if (!byId("beside").contains(event.target)) byId("beside").open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    if (byId("beside").open) byId("beside").open = false;
    else if (state.trial !== null) change({ trial: null });
  });
  setInterval(tellBanner, 1000);
}

recall();
wire();
open();
