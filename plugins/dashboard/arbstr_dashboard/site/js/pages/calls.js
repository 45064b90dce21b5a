// Calls that are open, and those that were; each leads to its receipt.

import { h } from "../dom.js";
import { get } from "../http.js";
import { agentLink, learn } from "../names.js";
import { pager } from "../pager.js";
import { amount, at, button, card, empty, named, since, state } from "../parts.js";
import { region } from "../region.js";
import { to } from "../router.js";
import { table } from "../table.js";
import { count, took } from "../words.js";
import { draw as drawReceipt } from "./receipt.js";

export const title = "Calls";

export function draw(page) {
  if (page.path[1]) return drawReceipt(page, page.path[1]);
  const { signal } = page;
  const past = h("div", {});
  const filter = filters((params) => past.replaceChildren(pastCalls(signal, params)));
  past.append(pastCalls(signal, {}));
  const live = region(signal, () => get("/live"), noticing(() => past.firstChild.again()), { every: 1 });
  return [card("Open now", live), card("Receipts", [filter, past])];
}

/** Draws the open calls; where one is no longer among them, `ended` is called: there is a receipt. */
function noticing(ended) {
  let before = new Set();
  return (found) => {
    const now = new Set(found.calls.map((call) => call.id));
    if ([...before].some((id) => !now.has(id))) ended();
    before = now;
    return drawLive(found);
  };
}

/** What was called, the newest first. */
export function pastCalls(signal, params) {
  return pager(signal, "/receipts", params, drawPast, { prepare: (rows) => learn(rows.map((row) => row.agent)) });
}

function filters(use) {
  const agent = h("input", { type: "search", name: "agent", placeholder: "any agent", "aria-label": "Agent’s name or id", autocomplete: "off" });
  const model = h("input", { type: "search", name: "model", placeholder: "any model", "aria-label": "Model", autocomplete: "off" });
  const show = () => use({ agent: agent.value.trim(), model: model.value.trim() });
  const submit = (event) => {
    event.preventDefault();
    show();
  };
  return h("form", { class: "filters", role: "search", on: { submit } }, agent, model, button("Show", show));
}

function drawLive({ calls }) {
  if (!calls.length) return empty("No call is open.", "One that begins shows up here at once, with what it costs so far.");
  return table(
    "Open calls",
    [
      { name: "Agent", main: true, cell: (call) => agentLink(call.agent, call.agent_name || "anyone") },
      { name: "Model", cell: (call) => named(call.model) },
      { name: "Stage", cell: (call) => [state(call.stage), call.failed ? h("span", { class: "quiet" }, ` after ${count(call.failed)} failed`) : null] },
      { name: "Provider", cell: (call) => call.provider ?? h("span", { class: "none" }, "–") },
      { name: "For", number: true, cell: (call) => since(call.began_ms) },
      { name: "Held", number: true, less: true, cell: (call) => amount(call.held_msat) },
      { name: "Cost so far", number: true, cell: (call) => amount(call.used_msat) },
      { name: "Request", less: true, cell: (call) => h("code", { class: "id" }, call.id) },
    ],
    calls,
  );
}

function drawPast(rows) {
  return table(
    "Receipts",
    [
      { name: "When", main: true, cell: (row) => h("a", { href: to("calls", row.id) }, at(row.created_ms)) },
      { name: "Agent", cell: (row) => agentLink(row.agent) },
      { name: "Model", cell: (row) => named(row.kind === "call" ? row.model : `${row.kind} ${row.model ?? ""}`) },
      { name: "Provider", cell: (row) => row.provider ?? h("span", { class: "none" }, "–") },
      { name: "Tokens", number: true, less: true, cell: (row) => `${count(row.usage.input_tokens)} + ${count(row.usage.output_tokens)}` },
      { name: "Charged", number: true, cell: (row) => amount(row.charged_msat) },
      { name: "State", cell: (row) => state(row.ending && row.ending !== "complete" ? row.ending : row.state) },
      { name: "Took", number: true, less: true, cell: (row) => (row.ended_ms === null ? "–" : took(row.ended_ms - row.created_ms)) },
    ],
    rows,
    { empty: empty("No receipts yet.", "Every call that held money leaves one.") },
  );
}
