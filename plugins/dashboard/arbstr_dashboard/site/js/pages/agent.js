// One agent: its money, its limits, its keys, its calls, and what an operator may do to it.

import { ask, shownOnce } from "../dialog.js";
import { h, icon } from "../dom.js";
import { sats, text } from "../forms.js";
import { all, get, part, patch, post } from "../http.js";
import { changed, limitFacts, limitFields, moreLimits } from "../limits.js";
import { forget } from "../names.js";
import { pager } from "../pager.js";
import { amount, at, button, card, facts, figure, say, state } from "../parts.js";
import { region } from "../region.js";
import { to } from "../router.js";
import { spending, spendingChart } from "../spending.js";
import { table } from "../table.js";
import { drawList } from "./agents.js";
import { pastCalls } from "./calls.js";

export function draw({ signal, rename }, id) {
  const where = `/agents/${part(id)}`;
  const load = async () => ({ agent: await get(where), keys: await all("/agents", { parent: id }) });
  const shown = region(signal, load, ({ agent, keys }) => (rename(agent.name), head(agent, keys, shown.again)), { every: 4 });
  return [
    h("p", { class: "trail" }, h("a", { href: to("agents") }, icon("back"), "Agents")),
    shown,
    card("Spending, the last 7 days", region(signal, () => spending("model", "week", { agent: id }), (found) => spendingChart(signal, found, "week"), { every: 15 })),
    card("Calls", pastCalls(signal, { agent: id })),
    card("Versions of its limits", pager(signal, `${where}/limits`, {}, versions, { every: 0, limit: 5 })),
  ];
}

function head(agent, keys, again) {
  return [
    h("div", { class: "under" }, state(agent.enabled ? "on" : "off"), h("code", { class: "id" }, agent.id)),
    h(
      "dl",
      { class: "figures" },
      figure("Available", amount(agent.available_msat, { strong: true }), agent.parent ? "its parent’s money" : `in ${agent.realm}`),
      figure("Held", amount(agent.held_msat, { strong: true }), "by what is open now"),
      figure("Largest charge", amount(agent.limits?.max_charge_msat, { strong: true }), "for one call"),
      figure("A day", amount(agent.limits?.daily_msat, { strong: true }), agent.limits?.zone ?? "UTC"),
    ),
    h("div", { class: "bar" }, actions(agent, again)),
    h(
      "div",
      { class: "columns" },
      card("Limits", facts(limitFacts(agent.limits))),
      card("About", facts([["Realm", agent.realm], ["Made", at(agent.created_ms)], ["Version of its limits", agent.limits?.version], ["Spends the money of", agent.parent && h("a", { href: to("agents", agent.parent) }, agent.parent)]])),
    ),
    keys.length ? card("Child keys", drawList(keys)) : null,
  ];
}

function actions(agent, again) {
  const where = `/agents/${part(agent.id)}`;
  const done = (words) => {
    say(words);
    return again();
  };
  return [
    button("Change limits", () => change(agent, done), { kind: "primary", key: "limits" }),
    agent.parent ? null : button("Add money", () => fund(agent, done), { key: "fund" }),
    button("Child key", () => child(agent, done), { key: "child" }),
    button("New token", () => rotate(agent), { key: "rotate" }),
    agent.enabled
      ? button("Disable", () => disable(agent, done), { key: "enabled", kind: "danger" })
      : button("Enable", () => post(`${where}/enable`).then(() => done(`${agent.name} is on`), (error) => say(error.message)), { key: "enabled" }),
  ];
}

function change(agent, done) {
  const limits = agent.limits ?? {};
  ask(`Limits of ${agent.name}`, {
    intro: "They count from the next call. An empty field is no such limit.",
    fields: limitFields(limits),
    more: { title: "More limits", fields: moreLimits(limits) },
    verb: "Change",
    act: async (values) => {
      const named = changed(limits, values);
      if (Object.keys(named).length) await patch(`/agents/${part(agent.id)}/limits`, named);
      await done(Object.keys(named).length ? `${agent.name} has new limits` : "Nothing was changed");
    },
  });
}

function fund(agent, done) {
  const key = crypto.randomUUID?.() ?? String(Date.now());
  ask(`Money for ${agent.name}`, {
    intro: agent.realm === "sim" ? "Money is simulated in this realm: it is made." : "It comes out of what is yours on this realm’s rails.",
    fields: [sats("amount_msat", "How much", { placeholder: "", needed: "Say how much" })],
    verb: "Add",
    act: async ({ amount_msat }) => {
      await post(`/agents/${part(agent.id)}/fund`, { amount_msat, key });
      await done(`${agent.name} has more money`);
    },
  });
}

function child(agent, done) {
  ask(`A child key of ${agent.name}`, {
    intro: "It spends this agent’s money, within its own limits and all those above it.",
    fields: [
      text("name", "Name", { needed: "Give it a name" }),
      sats("max_charge_msat", "Largest charge", { placeholder: "as its parent" }),
      sats("daily_msat", "Daily limit", { placeholder: "as its parent" }),
    ],
    verb: "Create",
    act: async (values) => {
      const given = Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null));
      const made = await post("/agents", { ...given, parent: agent.id });
      forget();
      void done(`${made.name} is there`);
      return shownOnce(made.token, made.name);
    },
  });
}

function rotate(agent) {
  ask(`A new token for ${agent.name}`, {
    intro: "The old token stops working at once, whoever uses it.",
    verb: "Make a new token",
    danger: true,
    act: async () => shownOnce((await post(`/agents/${part(agent.id)}/rotate`)).token, agent.name),
  });
}

function disable(agent, done) {
  ask(`Disable ${agent.name}?`, {
    intro: "Its calls are refused from now on, and those of the keys below it. Its money stays where it is.",
    verb: "Disable",
    danger: true,
    act: async () => {
      await post(`/agents/${part(agent.id)}/disable`);
      await done(`${agent.name} is off`);
    },
  });
}

function versions(rows) {
  return table(
    "Versions of its limits",
    [
      { name: "Version", main: true, cell: (row) => String(row.version) },
      { name: "Since", cell: (row) => at(row.created_ms) },
      { name: "Largest charge", number: true, cell: (row) => amount(row.max_charge_msat) },
      { name: "A day", number: true, cell: (row) => amount(row.daily_msat) },
      { name: "An hour", number: true, cell: (row) => amount(row.hourly_msat) },
      { name: "A minute", number: true, cell: (row) => row.per_minute ?? "–" },
    ],
    rows,
  );
}
