// Who operates, which plugins there are, and what they warned of.

import { ask, operatorToken } from "../dialog.js";
import { h } from "../dom.js";
import { text } from "../forms.js";
import { all, get, part, post } from "../http.js";
import { at, button, card, empty, named, say, state } from "../parts.js";
import { region } from "../region.js";
import { table } from "../table.js";
import { count } from "../words.js";

export const title = "House";

export function draw({ signal }) {
  const operators = region(signal, () => all("/operators"), (rows) => drawOperators(rows, () => operators.again()), { every: 30 });
  return [
    card("Operators", operators, { more: button("New operator", () => create(() => operators.again()), { kind: "small", mark: "plus" }) }),
    card("Notices", region(signal, () => get("/notices"), drawNotices)),
    card("Plugins", region(signal, () => get("/plugins"), drawPlugins)),
  ];
}

function create(then) {
  ask("New operator", {
    intro: "With a token of their own: what they do stands under their name in the audit, and it can be revoked.",
    fields: [text("name", "Name", { needed: "Give a name" })],
    verb: "Create",
    act: async ({ name }) => {
      const made = await post("/operators", { name });
      void then();
      return operatorToken(made.token, made.name);
    },
  });
}

function revoke(name, then) {
  ask(`Revoke ${name}?`, {
    intro: "The token ends, and every session that it opened.",
    verb: "Revoke",
    danger: true,
    act: async () => {
      await post(`/operators/${part(name)}/revoke`);
      say(`${name} is revoked`);
      await then();
    },
  });
}

function drawOperators(rows, again) {
  return table(
    "Operators",
    [
      { name: "Name", main: true, cell: (row) => named(row.name) },
      { name: "State", cell: (row) => state(row.revoked_ms === null ? "on" : "off") },
      { name: "Made by", cell: (row) => row.created_by },
      { name: "Made", cell: (row) => at(row.created_ms) },
      { name: "Browsers", number: true, cell: (row) => count(row.sessions) },
      { name: "Revoke", quiet: true, cell: (row) => (row.revoked_ms === null ? button("Revoke", () => revoke(row.name, again), { kind: "small danger", key: `revoke ${row.name}`, "aria-label": `Revoke ${row.name}` }) : "") },
    ],
    rows,
    { empty: empty("Only the file’s own token operates.", "Give each operator a name, and the audit says who did what.") },
  );
}

function drawNotices(notices) {
  if (!notices.length) return empty("No plugin warned of anything.");
  return h("ul", { class: "troubles" }, notices.map((notice) => h("li", {}, notice)));
}

function drawPlugins(rows) {
  return table(
    "Plugins",
    [
      { name: "Plugin", main: true, cell: (row) => named(row.name) },
      { name: "State", cell: (row) => state(row.state, row.state === "ok" ? "good" : row.error ? "bad" : "still") },
      { name: "Kind", cell: (row) => row.kinds.join(", ") || h("span", { class: "none" }, "–") },
      { name: "Version", cell: (row) => row.version },
      { name: "Wrong", cell: (row) => row.error ?? h("span", { class: "none" }, "–") },
    ],
    rows,
  );
}
