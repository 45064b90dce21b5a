// What is looked at stays looked at while a part of the page is drawn anew.

import { refill } from "./dom.js";

/** Put `made` in the place of all that is in `place`; what had the focus there has it again. */
export function redraw(place, ...made) {
  const held = place.contains(document.activeElement) ? sign(document.activeElement) : null;
  refill(place, made);
  if (held) [...place.querySelectorAll("[data-key], a[href]")].find((each) => sign(each) === held)?.focus({ preventScroll: true });
}

/** What an element is known by when it comes again. */
const sign = (element) => element.dataset.key ?? element.getAttribute("href");

/** Whether somebody reads what folded out here: then nothing is drawn anew by itself. */
export const isRead = (place) => place.querySelector("details[open]") !== null;
