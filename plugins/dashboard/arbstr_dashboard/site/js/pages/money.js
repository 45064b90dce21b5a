// Whose the money is, where it is, and whether the rails have it; what comes in and goes out; the ledger.

import { ask } from "../dialog.js";
import { h } from "../dom.js";
import { text } from "../forms.js";
import { get, maybe, post } from "../http.js";
import { agentLink, learn, nameOf } from "../names.js";
import { pager } from "../pager.js";
import { amount, at, button, card, empty, facts, figure, named, say, state } from "../parts.js";
import { region } from "../region.js";
import { to } from "../router.js";
import { table } from "../table.js";
import { count, plain } from "../words.js";
import { deposits, payments } from "./transfers.js";

export const title = "Money";

export function draw({ signal }) {
  const load = async () => ({ money: await get("/money"), solvency: (await maybe("/solvency")) ?? { realms: [], frozen: [] } });
  const realms = region(signal, load, (found) => drawAll(found, () => realms.again()), { every: 10 });
  const check = async () => {
    try {
      await get("/solvency", { now: true });
      say("The rails were asked");
      await realms.again();
    } catch (error) {
      say(error.message);
    }
  };
  return [
    h("div", { class: "bar" }, button("Ask the rails now", check)),
    realms,
    card("Going out", payments(signal)),
    card("Came in", deposits(signal)),
    card("Ledger", pager(signal, "/ledger", {}, drawLedger, { prepare: (rows) => learn(rows.map((row) => row.agent)) })),
  ];
}

function drawAll({ money, solvency }, again) {
  const held = new Map(solvency.realms.map((realm) => [realm.realm, realm]));
  const frozen = solvency.frozen;
  return [
    frozen.length ? card("Frozen: nothing leaves", frozen.map((each) => drawFrozen(each, again)), { class: "waits" }) : null,
    money.realms.map((realm) => drawRealm(realm, held.get(realm.realm), frozen, again)),
  ];
}

/** `realm:mainnet` as the body of a freeze or a thaw. */
function scoped(scope) {
  const [kind, ...name] = scope.split(":");
  return { [kind]: name.join(":") };
}

function drawFrozen({ scope, reason, actor, at_ms: since }, again) {
  const thaw = () =>
    ask(`Thaw ${scope}?`, {
      intro: "What waits goes out again, and checks that found too little are forgotten.",
      fields: [text("reason", "Why", { needed: "Say why: it stands in the audit" })],
      verb: "Thaw",
      act: async ({ reason: why }) => {
        await post("/thaw", { ...scoped(scope), reason: why });
        say(`${scope} is thawed`);
        await again();
      },
    });
  return h("div", { class: "ask" }, h("p", { class: "want" }, named(scope)), h("p", { class: "quiet" }, reason, "; by ", actor, ", ", at(since)), h("div", { class: "answers" }, button("Thaw", thaw, { key: `thaw ${scope}` })));
}

const WHAT = { rail: "on a rail", prepaid: "prepaid at a node", transit: "on its way", claim: "claimed from a node", suspense: "nobody’s yet" };
const COVER = { covered: "good", waiting: "warn", unknown: "warn", suspect: "bad", frozen: "bad" };

function drawRealm(realm, solvency, frozen, again) {
  const risky = realm.assets.filter((asset) => asset.kind !== "rail");
  const freeze = () =>
    ask(`Freeze ${realm.realm}?`, {
      intro: "Nothing leaves this realm any more: payouts, sellers, top-ups wait. Calls are served all the same.",
      fields: [text("reason", "Why", { needed: "Say why: it stands in the audit" })],
      verb: "Freeze",
      danger: true,
      act: async ({ reason }) => {
        await post("/freeze", { realm: realm.realm, reason });
        say(`${realm.realm} is frozen`);
        await again();
      },
    });
  const isFrozen = frozen.some((each) => each.scope === `realm:${realm.realm}`);
  return card(
    realm.realm,
    [
      h(
        "dl",
        { class: "figures" },
        figure("Assets", amount(realm.assets_msat, { strong: true }), "by the ledger"),
        figure("Owed", amount(realm.liabilities_msat, { strong: true }), amount(realm.held_msat), " of it held"),
        figure("Yours", amount(realm.equity_msat, { strong: true }), realm.lost_msat ? ["the operator’s equity; ", amount(realm.lost_msat), " of it lost"] : "the operator’s equity"),
        figure("At risk at nodes", amount(risky.reduce((sum, asset) => sum + asset.amount_msat, 0), { strong: true }), solvency ? ["at most ", amount(solvency.nodes_most_msat)] : "prepaid, on its way, or claimed"),
      ),
      h(
        "div",
        { class: "columns" },
        h("div", {}, h("h3", {}, "Owed to"), facts([["Agents", amount(realm.agents_msat)], ["Sellers", amount(realm.sellers_msat)], ["Calls paid one by one", amount(realm.calls_msat)], ["Nobody known yet", amount(realm.suspense_msat)]])),
        h("div", {}, h("h3", {}, "Where it is"), where(realm)),
      ),
      solvency ? rails(solvency) : null,
      isFrozen ? null : h("p", { class: "end" }, button("Freeze what goes out", freeze, { kind: "small danger", key: `freeze ${realm.realm}` })),
    ],
    { class: "realm", more: solvency && state(solvency.state, COVER[solvency.state]) },
  );
}

function where(realm) {
  return table(
    `Assets in ${realm.realm}`,
    [
      { name: "Where", main: true, cell: (row) => named(row.where) },
      { name: "How", cell: (row) => WHAT[row.kind] },
      { name: "Amount", number: true, cell: (row) => amount(row.amount_msat) },
    ],
    realm.assets.filter((asset) => asset.amount_msat),
    { empty: empty("There is no money in this realm yet.") },
  );
}

function rails(solvency) {
  return [
    h("h3", {}, "What the rails say"),
    h("p", { class: "quiet" }, "Between ", amount(solvency.least_msat), " and ", amount(solvency.most_msat), ", and ", amount(solvency.needed_msat), " are needed; ", solvency.checked_ms ? ["asked ", at(solvency.checked_ms)] : "not asked yet", solvency.reason ? `. ${solvency.reason}` : ""),
    table(
      `Rails of ${solvency.realm}`,
      [
        { name: "Rail", main: true, cell: (row) => named(row.name) },
        { name: "State", cell: (row) => [state(row.state), row.detail ? h("span", { class: "quiet" }, ` ${row.detail}`) : null] },
        { name: "Spendable", number: true, cell: (row) => amount(row.spendable_msat) },
        { name: "In flight", number: true, less: true, cell: (row) => amount(row.in_flight_msat) },
        { name: "Ledger", number: true, less: true, cell: (row) => amount(row.ledger_msat) },
        { name: "Beyond it", number: true, cell: (row) => (row.surplus_msat < 0 ? h("span", { class: "bad" }, amount(row.surplus_msat)) : amount(row.surplus_msat)) },
        { name: "At", cell: (row) => places(row.places) },
      ],
      solvency.rails,
      { empty: empty("No rail moves this realm’s money.") },
    ),
  ];
}

function places(found) {
  const rows = Object.entries(found);
  if (!rows.length) return h("span", { class: "none" }, "–");
  return h("ul", { class: "plain" }, rows.map(([place, msat]) => h("li", {}, named(place), " ", amount(msat))));
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
      { name: "Entries", less: true, cell: (row) => entries(row) },
    ],
    rows,
    { empty: empty("The ledger is empty.", "The first entry comes with an agent’s money.") },
  );
}

function entries({ entries: rows }) {
  if (!rows.length) return h("span", { class: "none" }, "none");
  const account = (each) => (each.startsWith("agent:") ? nameOf(each.slice("agent:".length)) : each);
  const list = h(
    "ul",
    { class: "plain entries" },
    rows.map((row) => h("li", {}, h("span", { class: "side" }, row.side === "debit" ? "D" : "C"), " ", named(account(row.account)), " ", amount(row.amount_msat, { unit: false }))),
  );
  return h("details", { class: "entry-list" }, h("summary", {}, `${count(rows.length)} entries`), list);
}
