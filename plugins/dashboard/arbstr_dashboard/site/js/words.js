// Numbers and times in words, and amounts back from words. Amounts are msat; a sat is a thousand of them.

const COUNT = new Intl.NumberFormat("en-US");
const SHARE = new Intl.NumberFormat("en-US", { style: "percent", maximumFractionDigits: 1 });
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const WHOLE = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

export const count = (number) => COUNT.format(number);
export const share = (number) => SHARE.format(number);

/** [whole sats, fraction with its point or nothing, sign] of msat. */
export function satParts(msat) {
  const size = Math.abs(msat);
  const rest = size % 1000;
  const fraction = rest ? `.${String(rest).padStart(3, "0").replace(/0+$/, "")}` : "";
  return [COUNT.format(Math.floor(size / 1000)), fraction, msat < 0 ? "−" : ""];
}

/** As text: 1,234.5 sat. */
export function satText(msat) {
  const [whole, fraction, sign] = satParts(msat);
  return `${sign}${whole}${fraction} sat`;
}

/** Short, for axes: 1.2k, 3M. */
export function satShort(msat) {
  const sat = msat / 1000;
  const steps = [[1e9, "G"], [1e6, "M"], [1e3, "k"]];
  const step = steps.find(([size]) => Math.abs(sat) >= size);
  if (step) return `${Number((sat / step[0]).toPrecision(3))}${step[1]}`;
  return String(Number(sat.toPrecision(3)));
}

/** The msat that somebody wrote in sats; null where nothing is written. Throws where it is no amount. */
export function msatOf(text) {
  const plain = text.replace(/[\s,_'\u2009]/g, "").replace(/sats?$/i, "");
  if (plain === "") return null;
  const found = /^(\d{1,13})(?:\.(\d{1,3}))?$/.exec(plain);
  if (!found) throw new Error(`“${text}” is no amount of sats: write 1000, or 0.5`);
  return Number(found[1]) * 1000 + Number((found[2] ?? "").padEnd(3, "0"));
}

/** The same for an input: 1000.5, nothing for null. */
export const satInput = (msat) => (msat === null || msat === undefined ? "" : satParts(msat).slice(0, 2).join("").replaceAll(",", ""));

/** How long, in the largest fitting unit. */
export function lasting(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400 * 2) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} days`;
}

/** How long a call took: 850 ms, 1.2 s. */
export const took = (ms) => (ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`);

export const whole = (ms) => WHOLE.format(ms);
export const clock = (ms) => CLOCK.format(ms);

/** A moment: the time today, with the day before that. */
export function moment(ms) {
  const today = new Date().toDateString() === new Date(ms).toDateString();
  return today ? CLOCK.format(ms) : `${DAY.format(ms)} ${CLOCK.format(ms).slice(0, 5)}`;
}

/** `closed` of a `half_open` state, `half open`. */
export const plain = (word) => String(word).replaceAll("_", " ");

/** The ends of what is long and nobody reads: an invoice, a reference. */
export const short = (text) => (text.length > 24 ? `${text.slice(0, 12)}…${text.slice(-8)}` : text);
