// Questions in a window of their own: the browser's dialog keeps the focus in it, and Escape ends it.

import { h, icon, refill } from "./dom.js";
import { button, say } from "./parts.js";

let numbers = 0;

/**
 * Ask for something. `fields` come from forms.js; `act(values)` does it, and what it throws is said in the dialog, which
 * stays. What it returns is shown in the dialog's place, where that is a node.
 */
export function ask(title, { intro = null, fields = [], more = null, verb, danger = false, act }) {
  const id = `dialog-${++numbers}`;
  const wrong = h("p", { class: "wrong", role: "alert" });
  const submit = h("button", { type: "submit", class: danger ? "danger" : "primary" }, verb);
  const form = h(
    "form",
    { method: "dialog", novalidate: true, on: { submit: (event) => void sent(event) } },
    h("h2", { id }, title),
    intro && h("p", { class: "quiet" }, intro),
    fields.map((field) => field.node),
    more && h("details", {}, h("summary", {}, more.title), more.fields.map((field) => field.node)),
    wrong,
    h("footer", {}, button("Cancel", () => dialog.close()), submit),
  );
  const dialog = h("dialog", { "aria-labelledby": id }, form);

  const sent = async (event) => {
    event.preventDefault();
    wrong.textContent = "";
    submit.disabled = true;
    const every = [...fields, ...(more?.fields ?? [])];
    for (const field of every) field.mark(null);
    try {
      const values = Object.fromEntries(every.map((field) => [field.name, field.read()]));
      const after = await act(values);
      if (after instanceof Node) show(dialog, title, after);
      else dialog.close();
    } catch (error) {
      const field = every.find((each) => each.name === (error.field ?? error.param));
      wrong.textContent = error.message;
      field?.mark(error.message, `${id}-wrong`);
      field?.focus();
    } finally {
      submit.disabled = false;
    }
  };
  wrong.id = `${id}-wrong`;
  document.body.append(dialog);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.showModal();
  (fields[0] ?? { focus: () => submit.focus() }).focus();
}

function show(dialog, title, made) {
  const id = `dialog-${++numbers}`;
  const done = button("Done", () => dialog.close(), { kind: "primary" });
  dialog.setAttribute("aria-labelledby", id);
  refill(dialog, h("div", { class: "shown" }, h("h2", { id }, title), made, h("footer", {}, done)));
  done.focus();
}

/** A token that is shown this once. */
export function shownOnce(token, whose) {
  const copy = button("Copy", async () => {
    await navigator.clipboard.writeText(token);
    say("Copied");
  }, { mark: "copy" });
  return h(
    "div",
    {},
    h("p", {}, `The token of ${whose}. It is shown this once: keep it now.`),
    h("p", { class: "token" }, h("code", {}, token), copy),
    h("p", { class: "quiet" }, icon("warning"), " Whoever has it spends this agent’s money."),
  );
}

/** The same of an operator. */
export function operatorToken(token, whose) {
  const made = shownOnce(token, whose);
  made.lastChild.replaceChildren(icon("warning"), document.createTextNode(" Whoever has it may do what you may."));
  return made;
}
