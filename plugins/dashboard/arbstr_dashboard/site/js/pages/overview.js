// The house at one glance: money, spending, what goes on, and what waits for the operator.

import { amount, card, choice, empty, figure, named, since, state } from "../parts.js";
import { h, icon } from "../dom.js";
import { get, maybe } from "../http.js";
import { agentLink } from "../names.js";
import { region } from "../region.js";
import { to } from "../router.js";
import { savings } from "../savings.js";
import { RANGES, spending, spendingChart, spendingTable } from "../spending.js";
import { table } from "../table.js";
import { count, share } from "../words.js";
import { approvalCards } from "./approvals.js";

export const title = "Overview";

export function draw({ signal }) {
  let range = "day";
  const figures = region(signal, () => loadFigures(range), drawFigures(() => range), { every: 5 });
  const spent = region(signal, () => spending("model", range), (found) => [
    spendingChart(signal, found, range),
    found.total.calls ? spendingTable({ ...found, groups: found.groups.slice(0, 5), rest: null }) : null,
  ], { every: 10 });
  const ranges = h("div", {});
  const turn = (next) => {
    range = next;
    ranges.replaceChildren(choice("Time", Object.entries(RANGES).map(([name, { words }]) => [name, words]), range, turn));
    ranges.querySelector('[aria-pressed="true"]').focus();
    figures.again();
    spent.again();
  };
  ranges.append(choice("Time", Object.entries(RANGES).map(([name, { words }]) => [name, words]), range, turn));
  return [
    region(signal, () => maybe("/approvals", { state: "pending" }), (found) => waiting(found?.data ?? []), { every: 2 }),
    h("div", { class: "bar" }, ranges),
    figures,
    card("Spending", spent, { more: h("a", { href: to("spend") }, "By agent, model and provider") }),
    h(
      "div",
      { class: "columns leading" },
      card("Now", region(signal, () => get("/live"), drawLive, { every: 1.5 }), { more: h("a", { href: to("calls") }, "All calls") }),
      card("Needs a look", region(signal, loadTroubles, drawTroubles, { every: 10 })),
    ),
  ];
}

async function loadFigures(range) {
  const [money, spent, saved] = await Promise.all([get("/money"), spending("model", range), savings(range)]);
  return { money: money.realms, spent: spent.total, saved };
}

const drawFigures = (range) => ({ money, spent, saved }) => {
  const all = (name) => money.reduce((sum, realm) => sum + realm[name], 0);
  const realms = money.filter((realm) => realm.liabilities_msat || realm.assets_msat).map((realm) => realm.realm);
  return h(
    "dl",
    { class: "figures" },
    figure("Agents’ money", amount(all("agents_msat"), { strong: true }), amount(all("held_msat")), " held by what is open"),
    figure("Spent", amount(spent.charged_msat, { strong: true }), `${count(spent.calls)} calls in ${RANGES[range()].long}`, spent.failed ? `, ${count(spent.failed)} failed` : ""),
    figure("Saved by routing", amount(saved.saved_msat, { strong: true }), saved.saved_share === null ? "against the mean offer" : `${share(saved.saved_share)} of the mean offer’s price`),
    figure("Assets", amount(all("assets_msat"), { strong: true }), realms.length ? `in ${realms.join(", ")}; ` : "", h("a", { href: to("money") }, "where they are")),
  );
};

function waiting(approvals) {
  if (!approvals.length) return null;
  return card(approvals.length === 1 ? `One ${approvals[0].kind} waits for you` : `${count(approvals.length)} wait for you`, approvalCards(approvals), { class: "waits" });
}

function drawLive({ calls }) {
  if (!calls.length) return empty("No call is open.", "This list moves by itself.");
  return table(
    "Open calls",
    [
      { name: "Agent", main: true, cell: (call) => agentLink(call.agent, call.agent_name || "anyone") },
      { name: "Model", cell: (call) => named(call.model) },
      { name: "Stage", cell: (call) => state(call.stage) },
      { name: "For", number: true, cell: (call) => since(call.began_ms) },
      { name: "Cost so far", number: true, cell: (call) => amount(call.used_msat) },
    ],
    calls.slice(0, 8),
  );
}

async function loadTroubles() {
  const [providers, notices, solvency] = await Promise.all([get("/providers"), get("/notices"), maybe("/solvency")]);
  return { providers: providers.providers, notices, solvency: solvency ?? { realms: [], frozen: [] } };
}

function drawTroubles({ providers, notices, solvency }) {
  const found = [];
  for (const { provider, failing, offers } of providers) {
    if (failing) found.push([provider, `does not answer: ${failing}`, to("market")]);
    for (const offer of offers)
      if (offer.breaker !== "closed") found.push([`${provider}, ${offer.model}`, `breaker ${offer.breaker.replace("_", " ")}: ${offer.last_failure ?? "failed"}`, to("market")]);
  }
  for (const { scope, reason } of solvency.frozen) found.push([scope, `frozen: ${reason}`, to("money")]);
  for (const realm of solvency.realms) {
    if (realm.state === "suspect") found.push([realm.realm, `holds less than it owes: ${realm.reason}`, to("money")]);
    for (const rail of realm.rails) if (rail.state !== "ready") found.push([rail.name, `${rail.state}: ${rail.detail}`, to("money")]);
  }
  for (const notice of notices) found.push(["Notice", notice, to("house")]);
  if (!found.length) return h("p", { class: "well" }, icon("approvals"), "All providers answer, all breakers are closed, all rails are ready.");
  return h("ul", { class: "troubles" }, found.map(([what, why, where]) => h("li", {}, h("a", { href: where, class: "name" }, what), " ", h("span", {}, why))));
}
