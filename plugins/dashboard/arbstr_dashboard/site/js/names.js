// What agents are called, by their ids: most lists name ids alone.

import { all } from "./http.js";
import { h } from "./dom.js";
import { to } from "./router.js";

const STALE_MS = 15_000;
let known = new Map();
let asked = 0;
let asking = null;

/** Learn the names of `ids`, where one of them is new. */
export async function learn(ids) {
  const strange = ids.some((id) => id && !known.has(id));
  if (!strange || Date.now() - asked < (known.size ? STALE_MS : 0)) return;
  asking ??= all("/agents", {}, 5000).then((agents) => {
    known = new Map(agents.map((agent) => [agent.id, agent.name]));
    asked = Date.now();
  }).finally(() => (asking = null));
  await asking;
}

/** Forget them: there is a new agent, or another operator. */
export function forget() {
  known = new Map();
  asked = 0;
}

export const nameOf = (id) => known.get(id) ?? id;

/** The agent, as a link to its page. */
export function agentLink(id, name = nameOf(id)) {
  return h("a", { href: to("agents", id), class: "name" }, name);
}
