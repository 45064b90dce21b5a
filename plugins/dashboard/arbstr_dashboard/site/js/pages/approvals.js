// What waits for the operator, and what was decided.

import { h } from "../dom.js";
import { get, part, post } from "../http.js";
import { agentLink } from "../names.js";
import { amount, at, button, card, empty, named, say, state, until } from "../parts.js";
import { region } from "../region.js";
import { to } from "../router.js";
import { table } from "../table.js";
import { pager } from "../pager.js";
import { short } from "../words.js";

export const title = "Approvals";

export function draw({ signal }) {
  const history = pager(signal, "/approvals", {}, decided);
  const load = () => get("/approvals", { state: "pending" });
  const pending = region(signal, load, ({ data }) => {
    void history.again();
    return data.length ? approvalCards(data, history.again) : NOTHING();
  }, { every: 2 });
  return [pending, card("History", history)];
}

const NOTHING = () =>
  card("Pending", empty("Nothing waits for you.", "A call above its agent’s largest charge comes here, where the agent’s limits name a time for it to wait."));

/** Each with what it wants, and two buttons. `then` is called when one is decided. */
export function approvalCards(approvals, then = () => null) {
  return h("ul", { class: "asks" }, approvals.map((approval) => one(approval, then)));
}

function one(approval, then) {
  const decide = (verb, done) => async (event) => {
    const asked = event.currentTarget.closest("li");
    for (const each of asked.querySelectorAll("button")) each.disabled = true;
    try {
      await post(`/approvals/${part(approval.id)}/${verb}`);
      say(`${done} ${approval.agent_name}`);
      asked.remove();
      void then();
    } catch (error) {
      say(error.message);
      for (const each of asked.querySelectorAll("button")) each.disabled = false;
    }
  };
  const what = approval.kind === "payout" ? "A payout of up to" : "A call of up to";
  return h(
    "li",
    { class: "ask" },
    h("p", { class: "want" }, what, " ", amount(approval.ceiling_msat, { strong: true }), " by ", agentLink(approval.agent, approval.agent_name)),
    h("p", { class: "quiet" }, whatFor(approval), "waits ", until(approval.expires_ms), " more"),
    h(
      "div",
      { class: "answers" },
      button("Grant", decide("grant", "Granted to"), { kind: "primary", key: `grant ${approval.id}`, "aria-label": `Grant to ${approval.agent_name}` }),
      button("Deny", decide("deny", "Denied to"), { key: `deny ${approval.id}`, "aria-label": `Deny to ${approval.agent_name}` }),
    ),
  );
}

/** The models that are called, or where a payout goes. */
function whatFor({ to: payee, models }) {
  if (payee) return ["to ", h("span", { class: "long", title: payee }, short(payee)), "; "];
  return models.length ? ["for ", named(models.join(", ")), "; "] : null;
}

function decided(rows) {
  return table(
    "Approvals",
    [
      { name: "Agent", main: true, cell: (row) => agentLink(row.agent, row.agent_name) },
      { name: "What", less: true, cell: (row) => row.kind },
      { name: "Up to", number: true, cell: (row) => amount(row.ceiling_msat) },
      { name: "State", cell: (row) => state(row.state) },
      { name: "Asked", cell: (row) => at(row.created_ms) },
      { name: "Decided", cell: (row) => at(row.decided_ms) },
      { name: "By", less: true, cell: (row) => row.decided_by ?? h("span", { class: "none" }, "–") },
      { name: "Call", cell: (row) => (row.hold_id ? h("a", { href: to("calls", row.hold_id) }, "receipt") : h("span", { class: "none" }, "–")) },
    ],
    rows,
    { empty: empty("Nothing was asked for yet.") },
  );
}
