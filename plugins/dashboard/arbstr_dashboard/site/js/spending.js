// What was spent over a time, as bars and as figures: for the overview and its own page.

import { bars, tint } from "./chart.js";
import { h } from "./dom.js";
import { get } from "./http.js";
import { agentLink, learn, nameOf } from "./names.js";
import { amount, bar, empty, named } from "./parts.js";
import { to } from "./router.js";
import { table } from "./table.js";
import { count, satText, share, took } from "./words.js";

const HOUR = 3_600_000;
export const RANGES = {
  hour: { words: "1 h", long: "the last hour", step: "minute", ms: HOUR },
  day: { words: "24 h", long: "the last 24 hours", step: "hour", ms: 24 * HOUR },
  week: { words: "7 days", long: "the last 7 days", step: "hour", ms: 7 * 24 * HOUR, together: 4 },
  month: { words: "30 days", long: "the last 30 days", step: "day", ms: 30 * 24 * HOUR },
};
export const BYS = { model: "Model", agent: "Agent", provider: "Provider" };
const STEP_MS = { minute: 60_000, hour: HOUR, day: 24 * HOUR };

const FRESH_MS = 3_000;
const asked = new Map();

/** The spending of a range. Parts of a page that ask for the same at one time share one answer. */
export function spending(by, range, only = {}) {
  const key = JSON.stringify([by, range, only]);
  const kept = asked.get(key);
  if (kept && Date.now() - kept.at < FRESH_MS) return kept.found;
  const found = ask(by, range, only);
  asked.set(key, { at: Date.now(), found });
  found.catch(() => asked.delete(key));
  return found;
}

/** It begins and ends with whole steps, so that its bars stand still. */
async function ask(by, range, only) {
  const { step, ms } = RANGES[range];
  const size = STEP_MS[step];
  const until = Math.ceil(Date.now() / size) * size;
  const found = await get("/spend", { by, step, since_ms: until - ms, until_ms: until, ...only });
  if (by === "agent") await learn(found.groups.map((group) => group.name));
  return together(found, RANGES[range].together ?? 1);
}

/** The same with so many steps in one, where there are too many for bars. */
function together(found, steps) {
  if (steps === 1) return found;
  const sums = (values) => values.flatMap((_, n) => (n % steps ? [] : [values.slice(n, n + steps).reduce((sum, each) => sum + each, 0)]));
  const line = (each) => each && { ...each, charged_each_msat: sums(each.charged_each_msat), calls_each: sums(each.calls_each) };
  return {
    ...found,
    at_ms: found.at_ms.filter((_, n) => n % steps === 0),
    total: line(found.total),
    groups: found.groups.map(line),
    rest: line(found.rest),
  };
}

/** What a group is called. */
export function called(by, name) {
  if (name === "") return by === "provider" ? "no provider" : by === "agent" ? "nobody known" : "no model";
  return by === "agent" ? nameOf(name) : name;
}

/** The bars. */
export function spendingChart(signal, found, range) {
  if (!found.total.calls) return empty("No calls yet in this time.", ["An agent’s first call shows up here. ", h("a", { href: to("agents") }, "Make an agent")]);
  const lines = found.groups.map((group) => ({ name: called(found.by, group.name), values: group.charged_each_msat }));
  if (found.rest) lines.push({ name: "others", values: found.rest.charged_each_msat });
  const label = `Charged in ${RANGES[range].long}: ${satText(found.total.charged_msat)} for ${count(found.total.calls)} calls, by ${found.by}`;
  return bars(signal, found.at_ms, lines.filter((line) => line.values.some(Boolean)), { label, dayLong: found.step === "day" });
}

/** The figures. `saved` are savings by name, where they are known. */
export function spendingTable(found, saved = null) {
  const most = Math.max(...found.groups.map((group) => group.charged_msat), 0);
  const colours = found.groups.filter((group) => group.charged_each_msat.some(Boolean));
  const rows = [...found.groups, ...(found.rest ? [{ ...found.rest, name: null }] : [])];
  const title = BYS[found.by];
  const columns = [
    {
      name: title,
      main: true,
      cell: (row) => [h("i", { class: `dot t-${tint(colours.indexOf(row) < 0 ? colours.length : colours.indexOf(row))}`, hidden: !row.charged_msat }), group(found.by, row.name)],
    },
    { name: "Charged", number: true, cell: (row) => amount(row.charged_msat) },
    { name: "Share", quiet: true, cell: (row) => bar(row.charged_msat, most, `Share of ${called(found.by, row.name ?? "others")}`) },
    { name: "Calls", number: true, cell: (row) => count(row.calls) },
    { name: "Failed", number: true, less: true, cell: (row) => (row.failed ? `${count(row.failed)} (${share(row.failed / row.calls)})` : "0") },
    { name: "Tokens in", number: true, less: true, cell: (row) => count(row.input_tokens) },
    { name: "Tokens out", number: true, less: true, cell: (row) => count(row.output_tokens) },
    { name: "First byte", number: true, less: true, cell: (row) => (row.first_byte_ms === null ? "–" : took(row.first_byte_ms)) },
  ];
  if (saved) columns.push({ name: "Saved", number: true, cell: (row) => savedCell(saved.get(row.name)) });
  return table(`Spending by ${found.by}`, columns, rows);
}

function group(by, name) {
  if (name === null) return "All others";
  if (!name) return h("span", { class: "none" }, called(by, name));
  return by === "agent" ? agentLink(name) : named(name);
}

function savedCell(saved) {
  if (!saved) return h("span", { class: "none" }, "–");
  return [amount(saved.saved_msat), saved.saved_share === null ? null : h("span", { class: "quiet" }, ` ${share(saved.saved_share)}`)];
}
