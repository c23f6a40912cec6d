// The page: what is looked at, kept in the address, and told anew when the server says so.

import { showBranches } from "./branches.js";
import { showBudget, showHypervolume } from "./budget.js";
import { showFront } from "./front.js";
import { listOthers, recall, remember, showTabs, tellFilters, tellStatus, wireTabs, wireTheme } from "./head.js";
import { apiOf, ask, byId, element } from "./page.js";
import { showSettings } from "./settings.js";
import { follow, onQueue, queue, unfinished } from "./steering/queue.js";
import { showStudySteps } from "./steering/study_steps.js";
import { showWorks } from "./steering/works.js";
import { stream } from "./stream.js";
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
  beside: [], filters: {}, trials: new Trials(), status: null, studies: [], shown: [], gone: "",
};
let events = null, heard = Date.now(), lost = null, waiting = null, fetching = false, again = false, listing = false;

// Change what is looked at; everything that follows from it is drawn anew.
async function change(values) {
  Object.assign(state, values);
  remember(state);
  await draw();
}

async function draw() {
  const { trials } = state, inQueue = state.view === "queue";
  tellSteps();
  byId("queue").hidden = !inQueue;
  byId("to-study").hidden = !inQueue || !state.study;
  byId("study-page").hidden = inQueue || (!state.study && queue.steers);
  if (inQueue) return;
  state.shown = trials.passing(state.filters, state.show);
  showTabs(Object.keys(VIEWS), state.view);
  tellFilters(state, change);
  tellStatus(state);
  byId("trial").hidden = state.trial === null || !trials.size; // before figures take its room
  await Promise.all([VIEWS[state.view](state, change), showTrial(state, change)]);
}

// What is steered: the queue, and the study that is looked at.
function tellSteps() {
  const button = byId("to-queue"), waits = queue.works.filter(unfinished).length;
  button.hidden = !queue.steers;
  if (!queue.steers) return;
  button.textContent = waits ? `Queue (${waits})` : "Queue";
  button.setAttribute("aria-pressed", state.view === "queue");
  if (state.view === "queue") showWorks(look, () => state.studies);
  showStudySteps(state, gone);
}

function tellBanner() {
  const banner = byId("banner"), { status } = state;
  let text = "";
  const away = lost ?? queue.lost;
  if (away || Date.now() - heard > SILENCE_SECONDS * 1000) {
    const since = new Date(away ?? heard).toLocaleTimeString();
    text = `The server has not answered since ${since}: what is shown is from then. Trying again.`;
  } else if (state.problem || queue.problem || state.gone) {
    text = state.problem || queue.problem || state.gone;
  } else if (state.view !== "queue" && status && !status.driver && !status.outcome && !tended()) {
    text = `No process drives this study, and it has not ended: what is shown changes no more. Carry it on with: autodepth resume ${state.study}`;
  }
  if (banner.textContent !== text) banner.textContent = text; // else it is read out again
  banner.hidden = !text;
}

// Whether something in the queue has the study go on, or waits to.
const tended = () => queue.works.some((work) => work.study === state.study && unfinished(work));

// Fetch what is new. Of many changes at once the last one counts, and fetching never takes more
// than a tenth of the time, here or at the server.
async function refresh() {
  if (!state.study) return; // it is gone, and no other is chosen yet
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
    tellStatus(state);
    tellSteps();
    const last = state.view === "budget" ? draw() : drawn; // not waited for: news go on coming in
    last?.catch((error) => { state.problem = error.message; tellBanner(); });
  } catch (error) {
    if (error instanceof TypeError) lost ??= Date.now();
    else if (study !== state.study) return; // nobody looks at it any more
    else if (error.status === 404) gone(study);
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
  events = stream(`api/v1/events?study=${encodeURIComponent(state.study)}`, {
    hear: (kind, { running }) => {
      heard = Date.now();
      const back = lost !== null;
      lost = null;
      if (kind === "change" || running || back) refresh();
      tellBanner();
    },
    away: (refused) => {
      lost ??= Date.now();
      tellBanner();
      if (refused) refresh(); // it may be the study that is gone
    },
  });
}

// Look at a study, wherever one is; false where it is not there.
async function look(study) {
  const there = () => state.studies.some((s) => s.study === study);
  if (!there()) await listStudies().catch(() => {});
  if (!there()) return false;
  if (state.view === "queue") state.view = "front";
  state.gone = "";
  if (study !== state.study) Object.assign(state, { trial: null, filters: {}, show: "all", x: null, y: null });
  await choose(study);
  await draw();
  return true;
}

// A study was deleted, here or elsewhere.
async function gone(study) {
  if (study !== state.study) return;
  events?.close();
  events = lost = null;
  Object.assign(state, { study: "", trials: new Trials(), status: null, trial: null, filters: {}, show: "all", x: null, y: null });
  await listStudies().catch(() => {});
  if (queue.steers) await change({ view: "queue" });
  await open();
  state.gone = `The study ${study} is no longer there.`; // until somebody goes elsewhere
  tellBanner();
}

// A search that begins makes a study: it is listed as soon as it is there.
async function onSteps() {
  tellSteps();
  tellBanner();
  const missing = () => queue.works.some((w) => w.state === "running" && w.kind === "search" && !state.studies.some((s) => s.study === w.study));
  if (listing || !missing()) return;
  listing = true;
  while (missing()) {
    await new Promise((done) => setTimeout(done, RECOVERY_MS));
    await listStudies().catch(() => {});
    byId("study").value = state.study;
  }
  listing = false;
}

async function choose(study) {
  const other = study !== state.study || !state.trials.size;
  state.study = study;
  if (other) Object.assign(state, { trials: new Trials(), status: null });
  state.beside = state.beside.filter((name) => name !== study && state.studies.some((s) => s.study === name));
  document.title = `${study} · autodepth`;
  byId("study").value = study;
  listOthers(state, change);
  remember(state);
  listen();
  await refresh();
}

async function listStudies() {
  state.studies = await ask("api/v1/studies");
  const running = (s) => (s.running ? " (running)" : "");
  byId("study-choice").hidden = !state.studies.length && queue.steers;
  byId("beside").hidden = state.studies.length < 2;
  byId("study").replaceChildren(...state.studies.map((s) => element("option", { value: s.study }, s.study + running(s))));
}

async function open() {
  try {
    if (!queue.me) await follow();
    if (!queue.steers && state.view === "queue") state.view = "front";
    await listStudies();
    lost = null;
    if (!state.studies.length && queue.steers) {
      state.problem = "";
      heard = Date.now();
      setTimeout(() => state.study || open(), RECOVERY_MS);
      if (state.view !== "queue") await change({ view: "queue" });
    } else if (!state.studies.length) {
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

function wire() {
  wireTheme(draw);
  byId("study").addEventListener("change", (event) => look(event.target.value));
  for (const [id, view] of [["to-queue", "queue"], ["to-study", "front"]]) byId(id).addEventListener("click", () => change({ view }));
  document.addEventListener("visibilitychange", () => { heard = Date.now(); });
  onQueue(onSteps);
  byId("study").addEventListener("focus", () => listStudies().then(() => { byId("study").value = state.study; listOthers(state, change); }).catch(() => {}));
  byId("show").addEventListener("change", (event) => change({ show: event.target.value }));
  byId("clear").addEventListener("click", () => change({ filters: {}, show: "all" }));
  wireTabs(Object.keys(VIEWS), state, change);
  document.addEventListener("pointerdown", (event) => {
    if (!byId("beside").contains(event.target)) byId("beside").open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    if (byId("beside").open) byId("beside").open = false;
    else if (state.trial !== null && state.view !== "queue") change({ trial: null });
  });
  setInterval(tellBanner, 1000);
}

recall(state, [...Object.keys(VIEWS), "queue"]);
wire();
open();
