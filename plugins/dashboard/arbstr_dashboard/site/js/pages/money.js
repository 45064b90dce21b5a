// Whose the money is, where it is, what could be lost where; and the ledger.

import { h } from "../dom.js";
import { get } from "../http.js";
import { agentLink, learn, nameOf } from "../names.js";
import { pager } from "../pager.js";
import { amount, at, card, empty, facts, figure, named, state } from "../parts.js";
import { region } from "../region.js";
import { to } from "../router.js";
import { table } from "../table.js";
import { count, plain } from "../words.js";

export const title = "Money";

export function draw({ signal }) {
  const load = async () => ({ realms: (await get("/money")).realms, states: await get("/rails") });
  return [
    region(signal, load, ({ realms, states }) => realms.map((realm) => drawRealm(realm, states)), { every: 10 }),
    card("Ledger", pager(signal, "/ledger", {}, drawLedger, { prepare: (rows) => learn(rows.map((row) => row.agent)) })),
  ];
}

const WHAT = { rail: "on a rail", prepaid: "prepaid at a node", transit: "on its way", claim: "claimed from a node", suspense: "nobody’s yet" };

function drawRealm(realm, states) {
  const risky = realm.assets.filter((asset) => asset.kind !== "rail");
  return card(realm.realm, [
    h(
      "dl",
      { class: "figures" },
      figure("Assets", amount(realm.assets_msat, { strong: true }), "by the ledger"),
      figure("Owed", amount(realm.liabilities_msat, { strong: true }), amount(realm.held_msat), " of it held"),
      figure("Yours", amount(realm.equity_msat, { strong: true }), "the operator’s equity"),
      figure("At nodes", amount(risky.reduce((sum, asset) => sum + asset.amount_msat, 0), { strong: true }), "prepaid, on its way, or claimed"),
    ),
    h(
      "div",
      { class: "columns" },
      h("div", {}, h("h3", {}, "Owed to"), facts([["Agents", amount(realm.agents_msat)], ["Sellers", amount(realm.sellers_msat)], ["Calls paid one by one", amount(realm.calls_msat)], ["Nobody known yet", amount(realm.suspense_msat)]])),
      h("div", {}, h("h3", {}, "Where it is"), where(realm)),
    ),
    h("h3", {}, "Rails"),
    realm.rails.length ? rails(realm.rails, states) : empty("No rail moves this realm’s money."),
  ], { class: "realm" });
}

function where(realm) {
  const rows = realm.assets.filter((asset) => asset.amount_msat);
  return table(
    `Assets in ${realm.realm}`,
    [
      { name: "Where", main: true, cell: (row) => named(row.where) },
      { name: "How", cell: (row) => WHAT[row.kind] },
      { name: "Amount", number: true, cell: (row) => amount(row.amount_msat) },
    ],
    rows,
    { empty: empty("There is no money in this realm yet.") },
  );
}

function rails(rows, states) {
  return table(
    "Rails",
    [
      { name: "Rail", main: true, cell: (row) => named(row.rail) },
      { name: "State", cell: (row) => [state(states[row.rail]?.state ?? "unknown"), states[row.rail]?.detail ? h("span", { class: "quiet" }, ` ${states[row.rail].detail}`) : null] },
      { name: "Spendable", number: true, cell: (row) => (row.silent ? h("span", { class: "bad" }, row.silent) : amount(row.spendable_msat)) },
      { name: "In flight", number: true, cell: (row) => amount(row.in_flight_msat) },
      { name: "Closing", number: true, cell: (row) => amount(row.closing_msat) },
      { name: "At", cell: (row) => (row.places.length ? h("ul", { class: "plain" }, row.places.map((each) => h("li", {}, each.place, " ", amount(each.amount_msat)))) : h("span", { class: "none" }, "–")) },
    ],
    rows,
  );
}

function drawLedger(rows) {
  return table(
    "Transfers",
    [
      { name: "Number", main: true, cell: (row) => String(row.seq) },
      { name: "What", cell: (row) => plain(row.kind) },
      { name: "When", cell: (row) => at(row.at_ms) },
      { name: "Amount", number: true, cell: (row) => amount(row.amount_msat) },
      { name: "Agent", cell: (row) => (row.agent ? agentLink(row.agent) : h("span", { class: "none" }, "–")) },
      { name: "Call", cell: (row) => (row.call ? h("a", { href: to("calls", row.call) }, "receipt") : h("span", { class: "none" }, "–")) },
      { name: "Entries", cell: (row) => entries(row) },
    ],
    rows,
    { empty: empty("The ledger is empty.", "The first entry comes with an agent’s money.") },
  );
}

function entries({ entries: rows }) {
  if (!rows.length) return h("span", { class: "none" }, "none");
  const account = (each) => (each.startsWith("agent:") ? nameOf(each.slice("agent:".length)) : each);
  const list = h("ul", { class: "plain entries" }, rows.map((row) => h("li", {}, h("span", { class: "side" }, row.side === "debit" ? "D" : "C"), " ", named(account(row.account)), " ", amount(row.amount_msat, { unit: false }))));
  return h("details", { class: "entry-list" }, h("summary", {}, `${count(rows.length)} entries`), list);
}
