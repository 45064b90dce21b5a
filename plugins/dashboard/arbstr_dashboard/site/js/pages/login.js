// The way in: an operator's token, once for each browser.

import { h } from "../dom.js";
import { logIn } from "../http.js";
import { forget } from "../names.js";
import { forgetSavings } from "../savings.js";

/** The form; `then(actor)` goes on. `said` is why it is shown again. */
export function login(then, said = null) {
  const token = h("input", { type: "password", id: "token", name: "token", autocomplete: "current-password", required: true, "aria-describedby": "token-help" });
  const wrong = h("p", { class: "wrong", role: "alert" }, said);
  const enter = h("button", { type: "submit", class: "primary" }, "Log in");
  const submit = async (event) => {
    event.preventDefault();
    wrong.textContent = "";
    enter.disabled = true;
    try {
      if (!token.value.trim()) throw new Error("Paste a token");
      const actor = await logIn(token.value.trim());
      forget();
      forgetSavings();
      then(actor);
    } catch (error) {
      wrong.textContent = error.message;
      token.focus();
      token.select();
    } finally {
      enter.disabled = false;
    }
  };
  return h(
    "main",
    { class: "login" },
    h(
      "form",
      { class: "card", on: { submit } },
      h("img", { src: "mark.svg", alt: "", width: "40", height: "40" }),
      h("h1", {}, "arbstr"),
      h("p", { class: "quiet" }, "See where the money goes, and say what may happen."),
      h(
        "div",
        { class: "field" },
        h("label", { for: "token" }, "Operator’s token"),
        token,
        h("span", { class: "help", id: "token-help" }, "From ", h("code", {}, "arbstr operator add NAME"), ", or the one in ", h("code", {}, "admin.token")),
      ),
      wrong,
      enter,
    ),
  );
}
