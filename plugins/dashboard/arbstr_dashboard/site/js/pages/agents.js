// All agents, and a new one.

import { ask, shownOnce } from "../dialog.js";
import { h } from "../dom.js";
import { sats, text } from "../forms.js";
import { all, post } from "../http.js";
import { moreLimits } from "../limits.js";
import { agentLink, forget } from "../names.js";
import { amount, at, button, empty, state } from "../parts.js";
import { region } from "../region.js";
import { table } from "../table.js";
import { draw as drawAgent } from "./agent.js";

export const title = "Agents";

export function draw(page) {
  if (page.path[1]) return drawAgent(page, page.path[1]);
  const list = region(page.signal, () => all("/agents"), drawList, { every: 8 });
  return [h("div", { class: "bar" }, button("New agent", () => create(list.again), { kind: "primary", mark: "plus" })), h("section", { class: "card" }, list)];
}

function create(then) {
  const limits = moreLimits();
  ask("New agent", {
    fields: [
      text("name", "Name", { needed: "Give it a name" }),
      sats("fund_msat", "Money", { placeholder: "0", help: "From your own; where money is simulated it is made" }),
      sats("max_charge_msat", "Largest charge", { placeholder: "as configured", help: "For one call" }),
      sats("daily_msat", "Daily limit", { placeholder: "as configured" }),
    ],
    more: { title: "More limits", fields: limits },
    verb: "Create",
    act: async (values) => {
      const given = Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null));
      const made = await post("/agents", given);
      forget();
      void then();
      return shownOnce(made.token, made.name);
    },
  });
}

/** Agents as a table. */
export function drawList(agents) {
  return table(
    "Agents",
    [
      { name: "Name", main: true, cell: (agent) => [agent.parent ? h("span", { class: "below-it", "aria-hidden": "true" }, "↳ ".repeat(1)) : null, agentLink(agent.id, agent.name)] },
      { name: "Available", number: true, cell: (agent) => (agent.parent ? h("span", { class: "quiet" }, "of its parent") : amount(agent.available_msat)) },
      { name: "Held", number: true, less: true, cell: (agent) => (agent.parent ? h("span", { class: "none" }, "–") : amount(agent.held_msat)) },
      { name: "Largest charge", number: true, cell: (agent) => amount(agent.limits?.max_charge_msat) },
      { name: "A day", number: true, cell: (agent) => amount(agent.limits?.daily_msat) },
      { name: "Realm", less: true, cell: (agent) => agent.realm },
      { name: "State", cell: (agent) => state(agent.enabled ? "on" : "off") },
      { name: "Since", less: true, cell: (agent) => at(agent.created_ms) },
    ],
    family(agents),
    { empty: empty("No agents yet.", "An agent is an account with a token: a program that may spend so much, and no more.") },
  );
}

/** Child keys below the agent whose money they spend. */
function family(agents) {
  const below = new Map();
  for (const agent of agents) below.set(agent.parent, [...(below.get(agent.parent) ?? []), agent]);
  const known = new Set(agents.map((agent) => agent.id));
  const found = [];
  const walk = (agent) => {
    found.push(agent);
    (below.get(agent.id) ?? []).forEach(walk);
  };
  agents.filter((agent) => !known.has(agent.parent)).forEach(walk);
  return found;
}
