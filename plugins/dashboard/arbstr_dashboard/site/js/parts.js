// The small things that pages are made of.

import { h, icon } from "./dom.js";
import { count, lasting, moment, plain, satParts, whole } from "./words.js";

/** An amount in sats, whose msat a hover shows. Null is a dash. */
export function amount(msat, { unit = true, strong = false } = {}) {
  if (msat === null || msat === undefined) return h("span", { class: "none" }, "–");
  const [sats, fraction, sign] = satParts(msat);
  const title = `${count(msat)} msat`;
  return h(
    "data",
    { class: strong ? "amount strong" : "amount", value: String(msat), title },
    `${sign}${sats}`,
    fraction && h("span", { class: "fraction" }, fraction),
    unit && h("span", { class: "unit" }, " sat"),
  );
}

/** A name that somebody else gave: it may be long, and breaks where its parts meet. */
export function named(text, ...more) {
  const parts = String(text).split(/(?<=[_/:@])|(?<=\.)(?=\D)/);
  return h("span", { class: "name" }, parts.map((each, n) => (n ? [h("wbr"), each] : each)), more);
}

/** A moment, said as short as it is clear; a hover says all of it. */
export function at(ms) {
  if (ms === null || ms === undefined) return h("span", { class: "none" }, "–");
  return h("time", { datetime: new Date(ms).toISOString(), title: whole(ms) }, moment(ms));
}

/** For how long something has been going on, or until it ends; it goes on by itself. */
export function since(ms) {
  return h("time", { class: "ticking", data: { since: ms }, title: whole(ms) }, lasting(Date.now() - ms));
}

export function until(ms) {
  return h("time", { class: "ticking", data: { until: ms }, title: whole(ms) }, lasting(ms - Date.now()));
}

setInterval(() => {
  for (const time of document.querySelectorAll("time.ticking")) {
    const { since: from, until: to } = time.dataset;
    time.textContent = lasting(from ? Date.now() - Number(from) : Number(to) - Date.now());
  }
}, 1000);

const TONES = {
  settled: "good", closed: "good", ready: "good", complete: "good", granted: "good", used: "good", served: "good", on: "good",
  open: "bad", down: "bad", failed: "bad", denied: "bad", cut: "bad", wrong_node: "bad", rolled_back: "bad", off: "bad",
  half_open: "warn", pending: "warn", held: "warn", approval: "warn", orphaned: "warn", syncing: "warn", locked: "warn",
  answering: "live", asking: "live", deciding: "live",
};

/** A state, as a word with a dot; the colour is only beside the word. */
export function state(word, tone = TONES[word] ?? "still") {
  return h("span", { class: `state ${tone}` }, plain(word));
}

/** What is said where there is nothing to show, and what to do about it. */
export function empty(said, ...more) {
  return h("div", { class: "empty" }, h("p", {}, said), more.length ? h("p", { class: "quiet" }, more) : null);
}

/** Something that went wrong, where the thing would be; what is not there at all is no reason for alarm. */
export function broken(error, again) {
  if (error.status === 404) return empty(error.message);
  return h(
    "div",
    { class: "broken", role: "alert" },
    h("p", {}, icon("warning"), error.message),
    again && h("button", { type: "button", class: "small", on: { click: again } }, "Try again"),
  );
}

/** A card with a heading; `more` is what stands at the end of its head. */
export function card(title, body, { more = null, class: kind = "", level = "h2" } = {}) {
  return h("section", { class: `card ${kind}` }, h("header", {}, h(level, {}, title), more), body);
}

/** One large number with what it is. */
export function figure(name, value, ...below) {
  return h("div", { class: "figure" }, h("dt", {}, name), h("dd", {}, value, h("span", { class: "below" }, below)));
}

/** Pairs of a name and a value, those without a value left out. */
export function facts(pairs) {
  const rows = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h("dl", { class: "facts" }, rows.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

/** A button. */
export function button(label, act, { kind = "", key = null, mark = null, ...more } = {}) {
  const data = key ? { key } : {};
  return h("button", { type: "button", class: kind, data, on: { click: act }, ...more }, mark && icon(mark), label);
}

/** One of several, as a row of buttons. `choose` gets the value. */
export function choice(label, options, chosen, choose) {
  return h(
    "div",
    { class: "choice", role: "group", "aria-label": label },
    options.map(([value, words]) =>
      h(
        "button",
        {
          type: "button",
          "aria-pressed": String(value === chosen),
          data: { key: `${label} ${value}` },
          on: { click: () => choose(value) },
        },
        words,
      ),
    ),
  );
}

/** A share as a bar, beside its number. */
export function bar(of, most, label) {
  const drawn = h("progress", { max: String(Math.max(most, 1)), value: of, "aria-label": label });
  drawn.setAttribute("value", String(of));
  return drawn;
}

/** Say something to who looks, and to who listens. */
export function say(words) {
  const place = document.getElementById("said");
  place.textContent = words;
  place.classList.add("shown");
  clearTimeout(say.later);
  say.later = setTimeout(() => place.classList.remove("shown"), 5000);
}
