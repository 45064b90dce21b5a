// Makes elements. Text is only ever text: there is no way from here to markup, to a handler in an attribute, to an inline
// style, or to an address outside of this page.

const SVG = "http://www.w3.org/2000/svg";
const PROPERTIES = new Set(["value", "checked", "disabled", "open", "hidden", "required", "selected", "readOnly"]);

/** An element. `attrs` may have `class`, `on` (handlers by event), `data`, and attributes; null ones are left out. */
export function h(tag, attrs = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attrs)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, act] of Object.entries(value)) made.addEventListener(event, act);
    else if (name === "data") Object.assign(made.dataset, value);
    else if (PROPERTIES.has(name)) made[name] = value;
    else made.setAttribute(allowed(name, value), value === true ? "" : String(value));
  }
  return fill(made, children);
}

function allowed(name, value) {
  if (/^on|^style$|^srcdoc$/i.test(name)) throw new Error(`no attribute ${name} here`);
  if (/^(href|src|action|formaction)$/i.test(name) && !/^#|^mark\.svg$/.test(value)) throw new Error(`no address ${value} here`);
  return name;
}

/** Put children into an element: nodes, texts, lists of them; null and false are nothing. */
export function fill(element, children) {
  for (const child of [children].flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return element;
}

/** Put children in the place of all that is there. */
export function refill(element, ...children) {
  element.replaceChildren();
  return fill(element, children);
}

/** An icon, of a path in a box of 20 by 20, drawn in the colour of the text. It says nothing: there are words beside it. */
export function icon(name) {
  const drawn = document.createElementNS(SVG, "svg");
  for (const [attribute, value] of Object.entries({ viewBox: "0 0 20 20", class: "icon", "aria-hidden": "true" }))
    drawn.setAttribute(attribute, value);
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  drawn.append(path);
  return drawn;
}

const ICONS = {
  overview: "M3 11l7-7 7 7M5 9.5V16h3.5v-4h3v4H15V9.5",
  spend: "M3 16.5h14M5 14V9M8.5 14V5M12 14v-3M15.5 14V7.5",
  calls: "M3 10h3l2-5 4 10 2-5h3",
  approvals: "M4 10.5l4 4 8-9",
  agents: "M10 10a3 3 0 100-6 3 3 0 000 6zM4 16.5c.6-3 3-4.5 6-4.5s5.4 1.5 6 4.5",
  market: "M3.5 7.5L5 4h10l1.500 3.500M4.500 9v7h11V9M3.500 7.500c0 2.200 3.200 2.200 3.200 0 0 2.200 3.300 2.200 3.300 0 0 2.200 3.300 2.200 3.300 0 0 2.200 3.200 2.200 3.200 0",
  money: "M10 3.500c3.600 0 6.500 1.100 6.500 2.500S13.600 8.500 10 8.500 3.500 7.400 3.500 6 6.400 3.500 10 3.500zM3.500 6v8c0 1.400 2.900 2.500 6.500 2.500s6.500-1.100 6.500-2.500V6M3.500 10c0 1.400 2.900 2.500 6.500 2.500s6.500-1.100 6.500-2.500",
  audit: "M10 3l6 2.200v4.300c0 3.600-2.400 6.300-6 7.500-3.600-1.200-6-3.900-6-7.500V5.200L10 3zM7.500 10l2 2 3.500-4",
  house: "M4 6h12M4 10h12M4 14h12M7 4.500v3M13 8.500v3M9 12.500v3",
  sun: "M10 6.500a3.500 3.500 0 100 7 3.500 3.500 0 000-7zM10 2v2M10 16v2M2 10h2M16 10h2M4.300 4.300l1.400 1.400M14.300 14.300l1.400 1.400M4.300 15.700l1.400-1.400M14.300 5.700l1.400-1.400",
  moon: "M16 11.500A6.500 6.500 0 018.500 4a6.500 6.500 0 107.500 7.500z",
  auto: "M3 5h14v8.500H3zM7.500 16.500h5M10 13.500v3",
  out: "M8 4H4.500v12H8M8.500 10H17M14 7l3 3-3 3",
  menu: "M3.500 6h13M3.500 10h13M3.500 14h13",
  plus: "M10 4.500v11M4.500 10h11",
  back: "M12 5l-5 5 5 5",
  copy: "M7 7V4h9v9h-3M4 7h9v9H4z",
  warning: "M10 3.500l7.200 12.500H2.800L10 3.500zM10 8v4M10 13.800v.4",
};
