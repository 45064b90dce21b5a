// Asks `/admin`, as the operator whose browser this is.

const KEY = "arbstr.page_key";

/** What arbstr refused, in its own words; `status` is 0 where it did not answer. */
export class Refused extends Error {
  constructor(status, message, param = null) {
    super(message);
    this.status = status;
    this.param = param;
  }
}

const listeners = new Set();

/** Have `act` called when the session has ended. */
export function onSessionEnd(act) {
  listeners.add(act);
}

/** Log in; says who. */
export async function logIn(token) {
  const made = await send("POST", "/admin/session", { token }, {});
  localStorage.setItem(KEY, made.page_key);
  return made.actor;
}

/** Log out, in this browser. */
export async function logOut() {
  try {
    await remove("/session");
  } finally {
    localStorage.removeItem(KEY);
  }
}

/** Who is logged in; null where nobody is. */
export async function whoAmI() {
  if (!localStorage.getItem(KEY)) return null;
  try {
    return (await send("GET", "/admin/session", undefined, known())).actor;
  } catch (refused) {
    if (refused.status === 401 || refused.status === 403) return null;
    throw refused;
  }
}

export const get = (path, params = {}) => ask("GET", path + query(params));
export const post = (path, body) => ask("POST", path, body);
export const patch = (path, body) => ask("PATCH", path, body);
const remove = (path) => ask("DELETE", path);

/** What is there, or null where arbstr has no such thing here: the vault is off, or another process moves the money. */
export async function maybe(path, params = {}) {
  try {
    return await get(path, params);
  } catch (refused) {
    if ([404, 409, 503].includes(refused.status)) return null;
    throw refused;
  }
}

/** A part of a path. */
export const part = encodeURIComponent;

/** All rows of a list, page by page, up to `most`. */
export async function all(path, params = {}, most = 1000) {
  const rows = [];
  let cursor = null;
  do {
    const page = await get(path, { ...params, limit: 100, cursor });
    rows.push(...page.data);
    cursor = page.next_cursor;
  } while (cursor && rows.length < most);
  return rows;
}

function known() {
  return { "x-arbstr-page": localStorage.getItem(KEY) ?? "" };
}

function query(params) {
  const given = Object.entries(params).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

async function ask(method, path, body) {
  try {
    return await send(method, `/admin${path}`, body, known());
  } catch (refused) {
    if (refused.status === 401) for (const act of listeners) act();
    throw refused;
  }
}

async function send(method, path, body, headers) {
  const options = { method, headers: { ...headers, accept: "application/json" }, cache: "no-store" };
  if (body !== undefined) {
    options.headers["content-type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Refused(0, "arbstr does not answer. Is it running?");
  }
  const said = await answer.json().catch(() => null);
  if (answer.ok) return said;
  throw new Refused(answer.status, said?.error?.message ?? `arbstr answers ${answer.status}`, said?.error?.param);
}
