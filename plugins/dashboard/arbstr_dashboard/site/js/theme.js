// Light, dark, or as the system has it: chosen by the operator, kept in this browser.

const KEY = "arbstr.theme";
const NEXT = { auto: "light", light: "dark", dark: "auto" };
const drawn = new Set();

export const theme = () => document.documentElement.dataset.theme ?? "auto";

/** The next of the three. */
export function turnTheme() {
  const next = NEXT[theme()];
  if (next === "auto") {
    delete document.documentElement.dataset.theme;
    localStorage.removeItem(KEY);
  } else {
    document.documentElement.dataset.theme = next;
    localStorage.setItem(KEY, next);
  }
  for (const act of drawn) act();
  return next;
}

/** Have `act` called when colours change, until `signal` is aborted. */
export function onColours(act, signal) {
  drawn.add(act);
  const system = matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", act, { signal });
  signal.addEventListener("abort", () => drawn.delete(act));
}

/** The colour of a variable of the style, as it is now. */
export function colour(name) {
  const probe = document.createElement("i");
  probe.className = `c-${name}`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}
