// What goes out over rails, and what came in: payments with their evidence, deposits, and those that are nobody's yet.

import { ask } from "../dialog.js";
import { h } from "../dom.js";
import { text } from "../forms.js";
import { get, part, post } from "../http.js";
import { agentLink, learn } from "../names.js";
import { pager } from "../pager.js";
import { amount, at, button, empty, named, say, state } from "../parts.js";
import { region } from "../region.js";
import { table } from "../table.js";
import { plain, short } from "../words.js";

const TONES = { succeeded: "good", failed: "bad", rejected: "bad", cancelled: "still", unknown: "warn", in_flight: "live", dispatching: "live", reserved: "warn", created: "warn" };

/** Payments of every kind, the newest first. */
export function payments(signal) {
  const list = pager(signal, "/payments", {}, (rows) => drawPayments(rows, () => list.again()), { every: 2, prepare: (rows) => learn(rows.map((row) => row.agent)) });
  return list;
}

function drawPayments(rows, again) {
  return table(
    "Payments",
    [
      { name: "When", main: true, cell: (row) => at(row.created_ms) },
      { name: "What", cell: (row) => plain(row.kind) },
      { name: "Whose", cell: (row) => (row.agent ? agentLink(row.agent) : named(row.owner)) },
      { name: "To", cell: (row) => h("span", { class: "long", title: row.to }, short(row.to)) },
      { name: "Rail", cell: (row) => row.rail || row.rails.join(", ") },
      { name: "Amount", number: true, cell: (row) => amount(row.amount_msat) },
      { name: "Fee", number: true, less: true, cell: (row) => amount(row.fee_msat) },
      { name: "State", cell: (row) => [state(row.state, TONES[row.state]), row.reason ? h("span", { class: "quiet" }, ` ${row.reason}`) : null] },
      { name: "Decide", quiet: true, cell: (row) => decisions(row, again) },
    ],
    rows,
    { empty: empty("Nothing was paid out yet.", "Payouts of agents, sellers’ shares and top-ups of nodes come here.") },
  );
}

function decisions(row, again) {
  const act = (verb, done) => async () => {
    try {
      await post(`/payments/${part(row.id)}/${verb}`);
      say(done);
      await again();
    } catch (error) {
      say(error.message);
    }
  };
  if (row.state === "created")
    return h("span", { class: "pair" }, button("Approve", act("approve", "It is on its way"), { kind: "small primary", key: `approve ${row.id}` }), button("Deny", act("deny", "It is denied"), { kind: "small", key: `deny ${row.id}` }));
  if (row.state === "reserved") return button("Cancel", act("cancel", "It is cancelled"), { kind: "small", key: `cancel ${row.id}` });
  return "";
}

/** What came in, with what is nobody's first. */
export function deposits(signal) {
  const load = async () => (await get("/deposits", { nobodys: true })).data;
  const nobodys = region(signal, load, (rows) => (rows.length ? drawNobodys(rows, () => nobodys.again()) : null), { every: 10 });
  return [nobodys, pager(signal, "/deposits", {}, (rows) => drawDeposits("Deposits", rows), { prepare: (rows) => learn(rows.map((row) => row.agent)) })];
}

function drawNobodys(rows, again) {
  const assign = (row) =>
    ask("Whose is it?", {
      intro: "The money is the agent’s from then on.",
      fields: [text("agent", "Agent’s name or id", { needed: "Name an agent" })],
      verb: "Give it",
      act: async ({ agent }) => {
        await post("/deposits/assign", { rail: row.rail, reference: row.reference, agent });
        say(`It is ${agent}’s`);
        await again();
      },
    });
  return [
    h("h3", {}, "Nobody’s yet"),
    drawDeposits("Nobody’s deposits", rows, { name: "Assign", quiet: true, cell: (row) => button("Whose is it?", () => assign(row), { kind: "small", key: `assign ${row.rail} ${row.reference}` }) }),
  ];
}

function drawDeposits(label, rows, more = null) {
  return table(
    label,
    [
      { name: "When", main: true, cell: (row) => at(row.at_ms) },
      { name: "Rail", cell: (row) => named(row.rail) },
      { name: "How", cell: (row) => plain(row.kind) },
      { name: "Whose", cell: (row) => (row.agent ? agentLink(row.agent) : h("span", { class: "none" }, row.purpose ? plain(row.purpose) : "nobody’s yet")) },
      { name: "Amount", number: true, cell: (row) => amount(row.amount_msat) },
      { name: "Fee", number: true, less: true, cell: (row) => amount(row.fee_msat) },
      { name: "Reference", less: true, cell: (row) => h("code", { class: "id", title: row.reference }, short(row.reference)) },
      ...(more ? [more] : []),
    ],
    rows,
    { empty: empty("Nothing came in over a rail yet.") },
  );
}
