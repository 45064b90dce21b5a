// Spending and savings over time, by agent, model or provider.

import { h } from "../dom.js";
import { amount, card, choice, empty, figure } from "../parts.js";
import { region } from "../region.js";
import { savings } from "../savings.js";
import { BYS, RANGES, spending, spendingChart, spendingTable } from "../spending.js";
import { count, share } from "../words.js";

export const title = "Spending";

export function draw({ signal }) {
  const chosen = { by: "model", range: "day" };
  const controls = h("div", { class: "bar" });
  const shown = region(signal, () => load(chosen), (found) => drawAll(signal, found, chosen.range), { every: 10 });
  const turn = (change) => {
    Object.assign(chosen, change);
    const key = document.activeElement?.dataset.key;
    put();
    [...controls.querySelectorAll("[data-key]")].find((each) => each.dataset.key === key)?.focus();
    shown.again();
  };
  const put = () =>
    controls.replaceChildren(
      choice("By", Object.entries(BYS), chosen.by, (by) => turn({ by })),
      choice("Time", Object.entries(RANGES).map(([name, { words }]) => [name, words]), chosen.range, (range) => turn({ range })),
    );
  put();
  return [controls, shown];
}

async function load({ by, range }) {
  const [spent, saved] = await Promise.all([spending(by, range), savings(range)]);
  return { spent, saved };
}

function drawAll(signal, { spent, saved }, range) {
  const names = { model: "models", agent: "agents", provider: "providers" }[spent.by];
  const byName = new Map(saved[names].map((row) => [row[spent.by], row]));
  return [
    h(
      "dl",
      { class: "figures" },
      figure("Charged", amount(spent.total.charged_msat, { strong: true }), `in ${RANGES[range].long}`),
      figure("Calls", count(spent.total.calls), spent.total.failed ? `${count(spent.total.failed)} failed` : "none failed"),
      figure("Tokens", count(spent.total.input_tokens + spent.total.output_tokens), `${count(spent.total.input_tokens)} in, ${count(spent.total.output_tokens)} out`),
      figure("Saved", amount(saved.saved_msat, { strong: true }), saved.saved_share === null ? "no call that others offered, too" : `${share(saved.saved_share)} of what the mean offer costs`),
    ),
    card("Over time", spendingChart(signal, spent, range)),
    card(`By ${spent.by}`, spent.groups.length ? spendingTable(spent, byName) : empty("Nothing was asked for in this time.")),
    saved.days.length ? card("Saved by day", savedDays(saved)) : null,
  ];
}

function savedDays({ days }) {
  const most = Math.max(...days.map((day) => day.baseline_msat), 1);
  return [
    h(
      "ol",
      { class: "days" },
      days.map((day) =>
        h(
          "li",
          {},
          h("span", { class: "day" }, day.day),
          meter(day, most),
          h("span", {}, amount(day.charged_msat), h("span", { class: "quiet" }, " paid, "), amount(day.saved_msat), h("span", { class: "quiet" }, " saved")),
        ),
      ),
    ),
    h("p", { class: "quiet" }, "Full: what was paid. Light: what the mean of all who would have served the calls costs beyond that."),
  ];
}

function meter(day, most) {
  const drawn = h("meter", { min: "0", max: String(most), "aria-label": `${day.day}: paid of what the mean offer costs` });
  drawn.setAttribute("value", String(day.charged_msat));
  drawn.setAttribute("high", String(most));
  return drawn;
}
