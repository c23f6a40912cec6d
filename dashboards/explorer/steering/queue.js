// The queue as the server tells it: asked for anew whenever the server says that it changed.

import { ask } from "../page.js";
import { stream } from "../stream.js";

const ENDED = 60; // works that have ended and are shown
export const UNFINISHED = ["waiting", "running", "paused"];
export const DRIVING = ["search", "resume", "confirm", "policy"];

// `seen` counts how often it was seen; `lost` is since when the server has not answered.
export const queue = { steers: false, me: null, slots: 0, works: [], account: null, seen: 0, lost: null, problem: "" };
const listeners = [];
let asking = false, again = false, entered = 0;

export const onQueue = (listener) => listeners.push(listener);
const tell = () => listeners.forEach((listener) => listener());

// Whether whoever looks may steer a study of an owner; of nobody's, everybody who may steer may.
export const maySteer = (owner) => queue.me?.role === "steer" && [null, undefined, queue.me.name].includes(owner);
export const worksOf = (study) => queue.works.filter((work) => work.study === study);
export const unfinished = (work) => UNFINISHED.includes(work.state);

// Find out whether this server can be steered, and follow its queue if so.
export async function follow() {
  const about = await ask("api/v1/about");
  Object.assign(queue, { steers: about.steers, me: about });
  if (!about.steers) return;
  listen();
  await askQueue();
}

// What a step was answered with is shown before the queue is asked for anew.
export function enter(answer) {
  const known = new Map(queue.works.map((work) => [work.number, work]));
  for (const work of [answer].flat()) known.set(work.number, { ...known.get(work.number), ...work });
  queue.works = [...known.values()].sort((a, b) => a.number - b.number);
  entered += 1;
  tell();
  askQueue();
}

export async function askQueue() {
  if (asking) { again = true; return; }
  asking = true;
  again = false;
  const before = entered;
  try {
    const [open, last, accounts] = await Promise.all(
      ["queue?unfinished=true", `queue?last=${ENDED}`, "accounts"].map((path) => ask(`api/v1/${path}`)));
    if (before === entered) {
      const works = new Map(open.works.map((work) => [work.number, work]));
      for (const work of last.works) if (!works.has(work.number) || !unfinished(work)) works.set(work.number, work);
      queue.works = [...works.values()].sort((a, b) => a.number - b.number);
    } else again = true; // somebody here did a step meanwhile: this may be from before it
    queue.seen += 1;
    Object.assign(queue, { slots: open.slots, problem: "", account: accounts.find((a) => a.name === queue.me.name) ?? null });
  } catch (error) {
    if (!(error instanceof TypeError)) queue.problem = error.message;
  } finally {
    asking = false;
    tell();
    if (again) askQueue();
  }
}

function listen() {
  stream("api/v1/queue/events", {
    hear: (kind) => {
      const back = queue.lost !== null;
      queue.lost = null;
      if (kind === "change" || back) askQueue();
    },
    away: () => {
      queue.lost ??= Date.now();
      tell();
    },
  });
}
