// One receipt: what the call cost, who served it, and why.

import { h, icon } from "../dom.js";
import { get, part } from "../http.js";
import { agentLink, learn } from "../names.js";
import { amount, card, facts, figure, named, state } from "../parts.js";
import { region } from "../region.js";
import { to } from "../router.js";
import { table } from "../table.js";
import { count, plain, share, took } from "../words.js";

export function draw({ signal, rename }, id) {
  rename("Receipt");
  const load = async () => {
    const found = await get(`/receipts/${part(id)}`);
    await learn([found.agent]);
    return found;
  };
  return [
    h("p", { class: "trail" }, h("a", { href: to("calls") }, icon("back"), "Calls")),
    region(signal, load, (receipt) => whole(receipt), { every: 5 }),
  ];
}

function whole(receipt) {
  const { usage } = receipt;
  return [
    h("p", { class: "under" }, h("code", { class: "id" }, receipt.id), state(receipt.ending ?? receipt.state)),
    h(
      "dl",
      { class: "figures" },
      figure("Charged", amount(receipt.charged_msat, { strong: true }), "of ", amount(receipt.held_msat), " held"),
      figure("Served by", named(receipt.provider ?? "nobody"), receipt.upstream ?? receipt.model ?? ""),
      figure("Tokens", count(usage.input_tokens + usage.output_tokens), `${count(usage.input_tokens)} in, ${count(usage.output_tokens)} out; ${usage.source === "provider" ? "said by the provider" : usage.source}`),
      figure("First byte", receipt.first_byte_ms == null ? "none" : took(receipt.first_byte_ms), receipt.total_ms == null ? "" : `${took(receipt.total_ms)} in all`),
    ),
    h("div", { class: "columns" }, card("Why", why(receipt)), card("Against the others", others(receipt))),
    receipt.attempts.length ? card("Who was asked", attempts(receipt)) : null,
    receipt.out?.length ? card("Who was out", out(receipt)) : null,
    card("All of it", details(receipt)),
  ];
}

function why({ reasons, strategy, policy }) {
  const said = reasons.map((reason) => h("li", {}, reason));
  return [
    said.length ? h("ol", { class: "reasons" }, said) : h("p", { class: "quiet" }, "Nothing was decided."),
    facts([["Strategy", strategy], ["Policy", policy]]),
  ];
}

function others(receipt) {
  const rows = [
    ...(receipt.provider ? [{ provider: receipt.provider, node: receipt.node, model: null, cost_msat: receipt.charged_msat, served: true }] : []),
    ...receipt.alternatives,
  ].sort((one, other) => one.cost_msat - other.cost_msat);
  if (rows.length < 2) return h("p", { class: "quiet" }, "Nobody else would have served this call.");
  const most = Math.max(...rows.map((row) => row.cost_msat), 1);
  const dearest = Math.max(...rows.map((row) => row.cost_msat));
  const saved = dearest ? 1 - receipt.charged_msat / dearest : 0;
  return [
    h(
      "ul",
      { class: "costs" },
      rows.map((row) => {
        const drawn = h("progress", { max: String(most), "aria-label": `${row.provider}: of the dearest` });
        drawn.setAttribute("value", String(row.cost_msat));
        return h(
          "li",
          { class: row.served ? "served" : null },
          named(seller(row), row.model ? ` (${row.model})` : "", row.served ? h("em", {}, " served") : null),
          drawn,
          amount(row.cost_msat),
        );
      }),
    ),
    saved > 0 ? h("p", { class: "quiet" }, `${share(saved)} less than the dearest, for the same tokens.`) : null,
  ];
}

function seller({ provider, node }) {
  return node ? `${provider}/${node}` : provider;
}

function attempts({ attempts: rows }) {
  return table(
    "Attempts",
    [
      { name: "Provider", main: true, cell: (row) => named(seller(row)) },
      { name: "Outcome", cell: (row) => state(row.outcome, row.outcome === "served" ? "good" : "bad") },
      { name: "Took", number: true, cell: (row) => took(row.ms) },
      { name: "Detail", cell: (row) => row.detail || h("span", { class: "none" }, "–") },
    ],
    rows,
  );
}

function out({ out: rows, out_more: more }) {
  return [
    table(
      "Offers that were out",
      [
        { name: "Provider", main: true, cell: (row) => named(row.provider) },
        { name: "Model", cell: (row) => named(row.model) },
        { name: "Why", cell: (row) => row.reason },
      ],
      rows,
    ),
    more ? h("p", { class: "quiet" }, `and ${count(more)} others`) : null,
  ];
}

function details(receipt) {
  const { price } = receipt;
  const rates = Object.entries(price ?? {})
    .filter(([, msat]) => typeof msat === "number")
    .map(([name, msat]) => [`${RATES[name] ?? plain(name)}`, amount(msat)]);
  return [
    facts([
      ["Agent", agentLink(receipt.agent)],
      ["Model asked for", receipt.model],
      ["Endpoint", receipt.endpoint],
      ["Tier", receipt.tier],
      ["Node", receipt.node],
      ["Our cost", receipt.cost_msat === undefined ? null : amount(receipt.cost_msat)],
      ["Cached tokens", usageOf(receipt)],
      ["Streamed", receipt.stream === undefined ? null : receipt.stream ? "yes" : "no"],
      ...rates,
    ]),
    h("details", { class: "raw" }, h("summary", {}, "The receipt as JSON"), h("pre", { tabindex: "0" }, JSON.stringify(receipt, null, 2))),
  ];
}

const RATES = { input: "A million tokens in", cached_input: "A million cached tokens in", output: "A million tokens out", request: "A call" };
const usageOf = ({ usage }) => (usage.cached_input_tokens ? count(usage.cached_input_tokens) : null);
