// Begins: who is logged in, which page is looked at, and one page after the other.

import { h, refill } from "./dom.js";
import { logOut, onSessionEnd, whoAmI } from "./http.js";
import { broken, empty, say } from "./parts.js";
import { where } from "./router.js";
import { shell } from "./shell.js";
import * as agents from "./pages/agents.js";
import * as approvals from "./pages/approvals.js";
import * as audit from "./pages/audit.js";
import * as calls from "./pages/calls.js";
import * as house from "./pages/house.js";
import { login } from "./pages/login.js";
import * as market from "./pages/market.js";
import * as money from "./pages/money.js";
import * as overview from "./pages/overview.js";
import * as spend from "./pages/spend.js";

const PAGES = { overview, spend, calls, approvals, agents, market, money, audit, house };
const app = document.getElementById("app");
let around = null;
let looking = new AbortController();

function enter(said = null) {
  looking.abort();
  around?.stop();
  around = null;
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  refill(app, login(begin, said));
  app.querySelector("#token").focus();
}

function begin(actor) {
  around = shell(Object.entries(PAGES).map(([name, { title }]) => [name, title]), actor, leave);
  refill(app, around.node);
  turn(false);
}

async function leave() {
  try {
    await logOut();
  } catch (error) {
    say(error.message);
  }
  enter();
}

function turn(moved = true) {
  if (!around) return;
  looking.abort();
  looking = new AbortController();
  const { path, params } = where();
  const name = path[0] ?? "overview";
  const page = PAGES[name];
  around.show(name, page?.title ?? "Nothing here");
  refill(around.body, page ? page.draw({ signal: looking.signal, path, params, rename: around.rename }) : empty("There is no such page."));
  if (moved) {
    scrollTo(0, 0);
    around.heading.focus({ preventScroll: true });
  }
}

addEventListener("hashchange", () => turn());
onSessionEnd(() => around && enter("Your session has ended: log in again."));

async function start() {
  try {
    const actor = await whoAmI();
    if (actor) begin(actor);
    else enter();
  } catch (error) {
    refill(app, h("main", { class: "login" }, broken(error, start)));
  }
}

void start();
