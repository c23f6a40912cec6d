// Commands that do what the page is about to ask for; once asked for, the server tells its own.

const plainWord = /^[A-Za-z0-9_@%+=:,./-]+$/;
const quoted = (word) => (plainWord.test(word) ? word : `'${String(word).replaceAll("'", "'\"'\"'")}'`);
const words = (...parts) => ["autodepth", ...parts].map(String).map(quoted).join(" ");
const option = (name, value) => (value === "" || value === null || value === undefined ? [] : [`--${name}`, value]);

export const stopping = (study) => words("stop", study);
export const goingOn = (study) => words("resume", study);
export const moreBudget = (study, budget) => words("resume", study, "--budget", budget || "10cpu-min");
export const atATime = (study, trials) => words("set", study, `concurrency=${trials || 1}`);
export const confirming = (study, seeds, controls) =>
  words("confirm", study, ...option("seeds", seeds), ...controls.flatMap((control) => option("control", control)));
export const deleting = (study) => words("delete", study);
export const enqueuing = (study) => words("enqueue", study, "policy.yaml", "--carry-out");
export const exporting = (study, { select, to, formats }) =>
  words("export", study, "--select", select, ...option("formats", formats.join(",") || "none"), "--to", `exports/${to}`);
export const registering = (exported, name) => words("register", `exports/${exported}`, ...option("name", name));

export function searching({ study, budget, space, space_text: text, settings, ...others }) {
  const named = Object.entries(others).flatMap(([name, value]) => {
    const key = name.replaceAll("_", "-");
    return value === true ? [`--${key}`] : option(key, Array.isArray(value) ? value.join(",") : value);
  });
  const file = text === undefined ? (space ? [space] : []) : ["space.yaml"];
  return words("search", ...file, ...option("study", study), ...option("budget", budget), ...named, ...settings.flatMap((s) => ["--set", s]));
}
