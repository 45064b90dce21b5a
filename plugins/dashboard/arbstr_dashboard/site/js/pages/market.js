// What can be bought, for how much, from whom; what is out, and why; and who would serve a call.

import { h } from "../dom.js";
import { get, part, post } from "../http.js";
import { amount, at, broken, button, card, empty, facts, named, say, state, until } from "../parts.js";
import { region } from "../region.js";
import { table } from "../table.js";
import { count, plain, share, took } from "../words.js";

export const title = "Market";

export function draw({ signal }) {
  const providers = region(signal, () => get("/providers"), (found) => drawProviders(found, () => providers.again()), { every: 3 });
  return [
    card("Offers", offers(signal), { more: h("span", { class: "quiet" }, "sat for a million tokens, as agents pay") }),
    card("Who would serve it?", planner()),
    card("Providers and their breakers", providers),
  ];
}

function offers(signal) {
  const search = h("input", { type: "search", placeholder: "model or provider", "aria-label": "Filter by model or provider", autocomplete: "off" });
  let found = null;
  const shown = region(signal, () => get("/offers"), (said) => {
    found = said;
    return drawOffers(said, search.value);
  }, { every: 10 });
  search.addEventListener("input", () => found && shown.replaceChildren(...[drawOffers(found, search.value)].flat(2).filter(Boolean)));
  return [h("div", { class: "filters" }, search), shown];
}

function drawOffers({ offers: rows, out, failing, aliases, usd }, words) {
  const wanted = words.trim().toLowerCase();
  const fits = (...names) => !wanted || names.some((name) => (name ?? "").toLowerCase().includes(wanted));
  const sold = rows.filter((row) => fits(row.model, row.canonical, row.provider));
  const left = out.filter((row) => fits(row.model, row.provider));
  const cheapest = new Map();
  for (const row of rows) if (!cheapest.has(row.model) || price(row) < price(cheapest.get(row.model))) cheapest.set(row.model, row);
  const many = new Map();
  for (const row of rows) many.set(row.model, (many.get(row.model) ?? 0) + 1);
  sold.sort((one, other) => one.model.localeCompare(other.model) || price(one) - price(other));
  return [
    table(
      "Offers",
      [
        { name: "Model", main: true, cell: (row) => named(row.model) },
        { name: "Provider", cell: (row) => [named(row.provider), many.get(row.model) > 1 && cheapest.get(row.model) === row ? h("span", { class: "tag" }, "cheapest") : null] },
        { name: "Tier", less: true, cell: (row) => row.tier },
        { name: "Input", number: true, cell: (row) => amount(row.input_msat, { unit: false }) },
        { name: "Cached", number: true, less: true, cell: (row) => amount(row.cached_input_msat, { unit: false }) },
        { name: "Output", number: true, cell: (row) => amount(row.output_msat, { unit: false }) },
        { name: "Per call", number: true, cell: (row) => amount(row.request_msat, { unit: false }) },
        { name: "Context", number: true, less: true, cell: (row) => (row.context_window ? count(row.context_window) : "–") },
        { name: "Said", less: true, cell: (row) => at(row.asked_ms || null) },
      ],
      sold,
      { empty: empty(wanted ? "No offer has that in its name." : "Nothing is on offer.", wanted ? "" : "Providers are rows of config.toml.") },
    ),
    left.length ? disclosure(`${count(left.length)} out`, reasons("Offers that are out", left)) : null,
    failing.length ? disclosure(`${count(failing.length)} that do not answer, or with a remark`, reasons("Providers that do not answer", failing)) : null,
    aliases.length
      ? disclosure(
          `${count(aliases.length)} names that stand for several models`,
          table("Aliases", [{ name: "Name", main: true, cell: (row) => named(row.name) }, { name: "Stands for", cell: (row) => row.stands_for.join(", ") }, { name: "Offers", number: true, cell: (row) => count(row.offers) }], aliases),
        )
      : null,
    h("p", { class: "quiet" }, usd.usd_per_btc ? `A bitcoin is ${count(Number(usd.usd_per_btc))} dollars, says ${usd.source}.` : `Offers in dollars have no price: ${usd.reason}`),
  ];
}

const price = (row) => row.output_msat + row.input_msat;

function disclosure(summary, body) {
  return h("details", { class: "more" }, h("summary", {}, summary), body);
}

function reasons(label, rows) {
  return table(
    label,
    [
      { name: "Provider", main: true, cell: (row) => named(row.provider) },
      ...(rows.some((row) => row.model) ? [{ name: "Model", cell: (row) => named(row.model ?? "") }] : []),
      { name: "Why", cell: (row) => row.reason },
    ],
    rows,
  );
}

function drawProviders({ providers }, again) {
  if (!providers.length) return empty("No provider is there.");
  return h("ul", { class: "providers" }, providers.map((each) => provider(each, again)));
}

function provider({ provider: name, failing, offers: rows }, again) {
  const close = async () => {
    try {
      await post(`/providers/${part(name)}/close`);
      say(`${name} is asked again`);
      await again();
    } catch (error) {
      say(error.message);
    }
  };
  const tripped = rows.some((row) => row.breaker !== "closed");
  return h(
    "li",
    {},
    h("header", {}, h("h3", { class: "name" }, name), failing ? state("down") : null, tripped ? button("Close its breakers", close, { kind: "small", key: `close ${name}` }) : null),
    failing ? h("p", { class: "bad" }, failing) : null,
    rows.length
      ? table(
          `Breakers of ${name}`,
          [
            { name: "Model", main: true, cell: (row) => named(row.model) },
            { name: "Breaker", cell: (row) => [state(row.breaker), row.until_ms ? [" ", until(row.until_ms)] : null] },
            { name: "Success", number: true, cell: (row) => share(row.success) },
            { name: "First byte", number: true, cell: (row) => (row.first_byte_ms ? took(row.first_byte_ms) : "–") },
            { name: "Open", number: true, cell: (row) => (row.max_concurrent ? `${row.open_calls} of ${row.max_concurrent}` : "–") },
            { name: "Last failure", cell: (row) => row.last_failure ?? h("span", { class: "none" }, "–") },
          ],
          rows,
        )
      : null,
  );
}

function planner() {
  const model = h("input", { type: "text", name: "model", placeholder: "auto", "aria-label": "Model", autocomplete: "off", required: true });
  const prompt = h("input", { type: "text", name: "prompt", placeholder: "Say hello", "aria-label": "Prompt", autocomplete: "off" });
  const answer = h("div", { "aria-live": "polite" });
  const submit = async (event) => {
    event.preventDefault();
    try {
      const plan = await post("/route", { model: model.value.trim() || "auto", prompt: prompt.value || "Hello" });
      answer.replaceChildren(...drawPlan(plan).flat().filter(Boolean));
    } catch (error) {
      answer.replaceChildren(broken(error));
    }
  };
  return [h("form", { class: "filters", on: { submit } }, model, prompt, h("button", { type: "submit" }, "Ask")), answer];
}

function drawPlan({ candidates, beaten, out, reasons: why, strategy, policy }) {
  const rows = [...candidates.map((row, n) => ({ ...row, place: String(n + 1) })), ...beaten.map((row) => ({ ...row, place: "–" }))];
  return [
    rows.length
      ? table(
          "Candidates",
          [
            { name: "Asked", cell: (row) => row.place },
            { name: "Provider", main: true, cell: (row) => named(row.provider) },
            { name: "Model", cell: (row) => named(row.model) },
            { name: "Expected", number: true, cell: (row) => amount(row.cost_msat) },
            { name: "At most", number: true, cell: (row) => amount(row.ceiling_msat) },
          ],
          rows,
        )
      : empty("Nobody would serve it."),
    why.length ? h("ol", { class: "reasons" }, why.map((reason) => h("li", {}, reason))) : null,
    facts([["Strategy", strategy && plain(strategy)], ["Policy", policy]]),
    out.length ? disclosure(`${count(out.length)} out`, reasons("Out", out)) : null,
  ];
}
