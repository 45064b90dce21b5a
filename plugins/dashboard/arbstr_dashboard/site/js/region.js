// A part of a page that is asked for, drawn, and kept up to date while it is looked at.

import { h, refill } from "./dom.js";
import { Refused } from "./http.js";
import { broken } from "./parts.js";

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

  const put = (made) => {
    const held = place.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
    refill(place, made);
    if (held) [...place.querySelectorAll("[data-key]")].find((each) => each.dataset.key === held)?.focus();
  };

  const look = async () => {
    const mine = ++turn;
    clearTimeout(timer);
    try {
      const found = await load();
      if (signal.aborted || mine !== turn) return;
      const text = JSON.stringify(found);
      if (text !== shown) put(draw(found));
      shown = text;
    } catch (error) {
      if (signal.aborted || mine !== turn) return;
      if (!(error instanceof Refused)) console.error(error);
      shown = null;
      put(broken(error, look));
    }
    place.setAttribute("aria-busy", "false");
    if (every) timer = setTimeout(tick, every * 1000);
  };
  const tick = () => (document.hidden ? (timer = setTimeout(tick, 1000)) : look());

  place.again = () => {
    shown = null;
    return look();
  };
  signal.addEventListener("abort", () => clearTimeout(timer));
  look();
  return place;
}
