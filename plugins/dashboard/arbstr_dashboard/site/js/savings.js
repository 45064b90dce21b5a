// What routing has saved in a range. It is counted from all receipts of that time, so it is asked for once a minute.

import { get } from "./http.js";
import { RANGES } from "./spending.js";

const MINUTE = 60_000;
const known = new Map();

/** The savings of a range, no older than a minute. */
export function savings(range) {
  const minute = Math.floor(Date.now() / MINUTE);
  const kept = known.get(range);
  if (kept?.minute === minute) return kept.found;
  const found = get("/savings", { since_ms: minute * MINUTE - RANGES[range].ms });
  known.set(range, { minute, found });
  found.catch(() => known.delete(range));
  return found;
}

/** Forget them: another operator looks. */
export const forgetSavings = () => known.clear();
