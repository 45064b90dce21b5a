// Fields of forms: each knows its node, how to read it, and how to say that it is wrong.

import { h } from "./dom.js";
import { msatOf } from "./words.js";

let numbers = 0;

class Wrong extends Error {
  constructor(field, message) {
    super(message);
    this.field = field;
  }
}

function field(name, label, input, { help = null, read }) {
  const id = `field-${++numbers}`;
  input.id = id;
  const told = help && h("span", { class: "help", id: `${id}-help` }, help);
  if (told) input.setAttribute("aria-describedby", told.id);
  return {
    name,
    node: h("div", { class: "field" }, h("label", { for: id }, label), input, told),
    focus: () => input.focus(),
    read: () => {
      try {
        return read(input);
      } catch (error) {
        throw new Wrong(name, error.message);
      }
    },
    mark: (wrong, by) => {
      if (wrong) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
      const describes = [told?.id, wrong && by].filter(Boolean).join(" ");
      if (describes) input.setAttribute("aria-describedby", describes);
    },
  };
}

const PLAIN = { autocomplete: "off", spellcheck: "false" };

/** A line of text; `needed` says what is missing where it is empty. */
export function text(name, label, { value = "", help, needed = null, placeholder = null } = {}) {
  const input = h("input", { type: "text", value, placeholder, ...PLAIN });
  const read = () => {
    const found = input.value.trim();
    if (!found && needed) throw new Error(needed);
    return found || null;
  };
  return field(name, label, input, { help, read });
}

/** An amount in sats; reads msat, or null. */
export function sats(name, label, { value = "", help, needed = null, placeholder = "none" } = {}) {
  const input = h("input", { type: "text", inputmode: "decimal", class: "sats", value, placeholder, ...PLAIN });
  const read = () => {
    const found = msatOf(input.value);
    if (found === null && needed) throw new Error(needed);
    return found;
  };
  return field(name, `${label} (sat)`, input, { help, read });
}

/** A whole number, or null. */
export function number(name, label, { value = null, help, placeholder = "none" } = {}) {
  const input = h("input", { type: "text", inputmode: "numeric", value: value ?? "", placeholder, ...PLAIN });
  const read = () => {
    const found = input.value.trim();
    if (!found) return null;
    if (!/^\d{1,12}$/.test(found)) throw new Error(`“${found}” is no whole number`);
    return Number(found);
  };
  return field(name, label, input, { help, read });
}

/** Words with commas between them, or null. */
export function words(name, label, { value = null, help } = {}) {
  const input = h("input", { type: "text", value: (value ?? []).join(", "), placeholder: "all", ...PLAIN });
  const read = () => {
    const found = input.value.split(",").map((word) => word.trim()).filter(Boolean);
    return found.length ? found : null;
  };
  return field(name, label, input, { help, read });
}

/** A moment of this machine's clock; reads Unix milliseconds, or null. */
export function when(name, label, { value = null, help } = {}) {
  const local = value === null ? "" : new Date(value - new Date(value).getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
  const input = h("input", { type: "datetime-local", value: local });
  return field(name, label, input, { help, read: () => (input.value ? new Date(input.value).getTime() : null) });
}

/** One of some; `options` are [value, words]. */
export function select(name, label, options, { value = "", help } = {}) {
  const input = h("select", {}, options.map(([of, said]) => h("option", { value: of, selected: of === value }, said)));
  return field(name, label, input, { help, read: () => input.value || null });
}
