// A list that is read a page at a time: the newest first, older ones below on demand.

import { h } from "./dom.js";
import { isRead, redraw } from "./focus.js";
import { get } from "./http.js";
import { broken, button } from "./parts.js";

const PHONE = "(max-width: 700px)";

/**
 * Draws the first page of a list, and again every `every` seconds while it is the only one; a button brings the next.
 * `prepare(rows)` is waited for before `draw(rows)`. `place.again()` looks at once.
 */
export function pager(signal, path, params, draw, { every = 5, limit = matchMedia(PHONE).matches ? 10 : 25, prepare = null } = {}) {
  const place = h("div", { class: "region", "aria-busy": "true" }, h("div", { class: "waiting", "aria-hidden": "true" }));
  let rows = [];
  let cursor = null;
  let pages = 0;
  let shown = "";
  let timer = 0;

  const put = () => {
    const text = JSON.stringify([rows, cursor]);
    place.setAttribute("aria-busy", "false");
    if (text === shown) return;
    shown = text;
    const more = cursor && button("Show older", older, { key: "older" });
    redraw(place, draw(rows), more && h("p", { class: "older" }, more));
  };

  const first = async () => {
    clearTimeout(timer);
    try {
      const page = await get(path, { ...params, limit });
      if (signal.aborted) return;
      await prepare?.(page.data);
      if (signal.aborted) return;
      [rows, cursor, pages] = [page.data, page.next_cursor, 1];
      put();
    } catch (error) {
      if (signal.aborted) return;
      shown = "";
      place.setAttribute("aria-busy", "false");
      redraw(place, broken(error, first));
    }
    if (every) timer = setTimeout(tick, every * 1000);
  };
  const tick = () => (document.hidden || pages > 1 || isRead(place) ? (timer = setTimeout(tick, 1000)) : first());

  const older = async () => {
    try {
      // With filters a page may be empty, and more may follow.
      const wanted = rows.length;
      while (cursor && rows.length === wanted) {
        const page = await get(path, { ...params, limit, cursor });
        await prepare?.(page.data);
        rows = [...rows, ...page.data];
        cursor = page.next_cursor;
      }
      pages += 1;
      put();
    } catch (error) {
      redraw(place, broken(error, first));
    }
  };

  signal.addEventListener("abort", () => clearTimeout(timer));
  place.again = first;
  first();
  return place;
}
