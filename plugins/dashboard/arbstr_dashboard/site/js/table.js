// Tables that are lists of cards on a phone. Roles are named: a table that is laid out as blocks loses its own.

import { h } from "./dom.js";

/** `columns`: `name`, `cell(row)`, and if wanted `number`, `main` (names the row), `quiet` (no name on a
 * phone), `less` (not on a phone). */
export function table(label, columns, rows, { empty = null } = {}) {
  if (!rows.length && empty) return empty;
  const head = columns.map(({ name, number, quiet, less }) =>
    h("th", { role: "columnheader", scope: "col", class: [number && "number", less && "less"].filter(Boolean).join(" ") || null }, quiet ? h("span", { class: "unseen" }, name) : name),
  );
  return h(
    "table",
    { role: "table", "aria-label": label },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, head)),
    h("tbody", { role: "rowgroup" }, rows.map((row) => h("tr", { role: "row" }, columns.map((column) => cell(column, row))))),
  );
}

function cell({ name, cell: of, number, main, quiet, less }, row) {
  const kind = [number && "number", main && "main", quiet && "quiet-name", less && "less"].filter(Boolean).join(" ");
  const attrs = { class: kind || null, data: { label: name } };
  if (main) return h("th", { ...attrs, role: "rowheader", scope: "row" }, of(row));
  return h("td", { ...attrs, role: "cell" }, of(row));
}
