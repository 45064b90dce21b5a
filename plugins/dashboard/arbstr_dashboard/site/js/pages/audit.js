// Whether the ledger proves itself, what was signed, and who did what.

import { h, icon, refill } from "../dom.js";
import { get, post } from "../http.js";
import { agentLink, learn } from "../names.js";
import { pager } from "../pager.js";
import { at, broken, button, card, empty, facts, named, say } from "../parts.js";
import { region } from "../region.js";
import { table } from "../table.js";
import { count, plain } from "../words.js";

export const title = "Audit";

export function draw({ signal }) {
  const signed = region(signal, () => get("/audit/checkpoints"), drawCheckpoints, { every: 30 });
  const sign = async () => {
    try {
      await post("/audit/checkpoints");
      say("The audit’s end is signed, and told to every anchor");
      await signed.again();
    } catch (error) {
      say(error.message);
    }
  };
  return [
    card("Proof", proof()),
    card("Signed checkpoints", signed, { more: button("Sign now", sign, { kind: "small" }) }),
    card("Who did what", pager(signal, "/audit", {}, drawRows, { prepare: (rows) => learn(rows.flatMap((row) => [row.actor, row.subject]).filter(isAgent)) })),
  ];
}

function proof() {
  const place = h("div", { "aria-live": "polite" });
  const verify = async (event) => {
    const asked = event.currentTarget;
    asked.disabled = true;
    refill(place, h("p", { class: "quiet" }, "The ledger is replayed…"));
    try {
      refill(place, verdict(await get("/audit/verify")));
    } catch (error) {
      refill(place, broken(error));
    } finally {
      asked.disabled = false;
    }
  };
  return [
    h("p", { class: "quiet" }, "Every entry since the first is read again, every balance counted anew, and the chain of the audit followed to its end."),
    h("p", {}, button("Verify now", verify, { kind: "primary" })),
    place,
  ];
}

function verdict(found) {
  return [
    found.ok
      ? h("p", { class: "verdict good" }, icon("approvals"), "The ledger is well: every msat is accounted for.")
      : h("p", { class: "verdict bad", role: "alert" }, icon("warning"), found.first_bad),
    facts(Object.entries(found).filter(([name, value]) => typeof value === "number" && name !== "sum_msat").map(([name, value]) => [plain(name), count(value)])),
    facts([["Sum of all entries", `${count(found.sum_msat)} msat`]]),
  ];
}

function drawCheckpoints(rows) {
  return table(
    "Checkpoints",
    [
      { name: "Row", main: true, cell: (row) => count(row.seq) },
      { name: "Signed", cell: (row) => at(row.at_ms) },
      { name: "Holds", number: true, cell: (row) => count(row.holds) },
      { name: "Transfers", number: true, cell: (row) => count(row.transfers) },
      { name: "Root", less: true, cell: (row) => h("code", { class: "id" }, row.hash.slice(0, 16)) },
      { name: "Key", less: true, cell: (row) => h("code", { class: "id" }, row.key_id) },
    ],
    rows.slice(0, 10),
    { empty: empty("Nothing was signed yet.", "A checkpoint vouches for all that was until it; anchors keep it where arbstr cannot rewrite it.") },
  );
}

const isAgent = (id) => id.startsWith("ag_");
const whom = (id) => (isAgent(id) ? agentLink(id) : named(id));

function drawRows(rows) {
  return table(
    "Audit",
    [
      { name: "Row", main: true, cell: (row) => count(row.seq) },
      { name: "When", cell: (row) => at(row.at_ms) },
      { name: "Who", cell: (row) => whom(row.actor) },
      { name: "What", cell: (row) => plain(row.action) },
      { name: "Whom", cell: (row) => whom(row.subject) },
      { name: "Hash", less: true, cell: (row) => h("code", { class: "id hash", title: row.hash }, row.hash.slice(0, 12)) },
    ],
    rows,
    { empty: empty("Nothing was done yet.") },
  );
}
