// A part of a page that is asked for, drawn, and kept up to date while it is looked at.

import { h } from "./dom.js";
import { isRead, redraw } from "./focus.js";
import { Refused } from "./http.js";
import { broken } from "./parts.js";

const REST = 8;

/**
 * What `draw` makes of what `load` finds, asked for again every `every` seconds (0: never) until `signal` is aborted.
 * It is drawn anew only where it has changed; what had the focus has it still. `place.again()` asks at once.
 */
export function region(signal, load, draw, { every = 0, label = null } = {}) {
  const place = h("div", { class: "region", "aria-busy": "true", "aria-label": label, role: label && "group" });
  place.append(h("div", { class: "waiting", "aria-hidden": "true" }));
  let shown = null;
  let timer = 0;
  let turn = 0;

  const look = async () => {
    const mine = ++turn;
    const began = performance.now();
    clearTimeout(timer);
    try {
      const found = await load();
      if (signal.aborted || mine !== turn) return;
      const text = JSON.stringify(found);
      if (text !== shown) redraw(place, draw(found));
      shown = text;
    } catch (error) {
      if (signal.aborted || mine !== turn) return;
      if (!(error instanceof Refused)) console.error(error);
      shown = null;
      redraw(place, broken(error, look));
    }
    place.setAttribute("aria-busy", "false");
    // What takes long to answer is asked for less often: an operator who looks on must not be what keeps arbstr busy.
    if (every) timer = setTimeout(tick, Math.max(every * 1000, REST * (performance.now() - began)));
  };
  const tick = () => (document.hidden || isRead(place) ? (timer = setTimeout(tick, 1000)) : look());

  place.again = () => {
    shown = null;
    return look();
  };
  signal.addEventListener("abort", () => clearTimeout(timer));
  look();
  return place;
}
