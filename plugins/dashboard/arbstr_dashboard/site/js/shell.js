// What is around every page: the way to the others, who is here, and how many wait for a decision.

import { h, icon, refill } from "./dom.js";
import { get } from "./http.js";
import { button } from "./parts.js";
import { to } from "./router.js";
import { theme, turnTheme } from "./theme.js";

const THEMES = { auto: ["auto", "As the system"], light: ["sun", "Light"], dark: ["moon", "Dark"] };

/** `pages` are [name, title]; answers {node, main, heading, show(name, title), stop()}. */
export function shell(pages, actor, leave) {
  const links = new Map(pages.map(([name, title]) => [name, link(name, title)]));
  const menu = button("Menu", () => open(nav.dataset.open !== "yes"), { kind: "menu", mark: "menu", "aria-expanded": "false", "aria-controls": "nav" });
  const open = (wanted) => {
    nav.dataset.open = wanted ? "yes" : "no";
    menu.setAttribute("aria-expanded", String(wanted));
  };
  const colours = h("button", { type: "button", class: "plain-button", on: { click: () => (turnTheme(), named()) } });
  const named = () => {
    const [mark, words] = THEMES[theme()];
    refill(colours, icon(mark), h("span", {}, words, h("span", { class: "unseen" }, " colours; change")));
  };
  named();
  const nav = h(
    "nav",
    { id: "nav", "aria-label": "Pages", data: { open: "no" } },
    h("ul", {}, [...links.values()].map((each) => h("li", {}, each))),
    h("div", { class: "foot" }, h("p", { class: "who-am-i" }, actor.replace(/^operator:/, "")), colours, button("Log out", leave, { kind: "plain-button", mark: "out" })),
  );
  const heading = h("h1", { tabindex: "-1" });
  const body = h("div", { class: "page" });
  const main = h("main", { id: "main" }, heading, body);
  const skip = h("a", { class: "skip", href: "#main" , on: { click: (event) => (event.preventDefault(), heading.focus()) } }, "Skip to the page");
  const brand = h("a", { class: "brand", href: to("") }, h("img", { src: "mark.svg", alt: "", width: "28", height: "28" }), "arbstr");
  const node = h("div", { class: "shell" }, skip, h("header", { class: "top" }, brand, menu), nav, main);
  nav.prepend(brand.cloneNode(true));

  const badge = h("span", { class: "badge", hidden: true });
  links.get("approvals")?.append(badge);
  let timer = 0;
  const count = async () => {
    clearTimeout(timer);
    try {
      if (!document.hidden) {
        const { data, has_more } = await get("/approvals", { state: "pending" });
        badge.hidden = !data.length;
        refill(badge, `${data.length}${has_more ? "+" : ""}`, h("span", { class: "unseen" }, " pending"));
        document.title = data.length ? `(${data.length}) arbstr` : "arbstr";
      }
    } catch {
      badge.hidden = true;
    }
    timer = setTimeout(count, 2000);
  };
  void count();

  return {
    node,
    body,
    heading,
    show(name, title) {
      open(false);
      main.dataset.at = location.hash;
      refill(heading, title);
      for (const [each, made] of links) {
        if (each === name) made.setAttribute("aria-current", "page");
        else made.removeAttribute("aria-current");
      }
    },
    rename: (words) => refill(heading, words),
    stop: () => clearTimeout(timer),
  };
}

function link(name, title) {
  return h("a", { href: to(name === "overview" ? "" : name) }, icon(name), h("span", {}, title));
}
