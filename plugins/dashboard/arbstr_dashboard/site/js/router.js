// Which page is looked at: what stands behind the # of the address.

/** {path: [...], params} of an address such as #/agents/ag_1?by=model. */
export function where() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  return { path: path.split("/").filter(Boolean).map(decoded), params: new URLSearchParams(query ?? "") };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The address of a page. */
export function to(...path) {
  return `#/${path.map(encodeURIComponent).join("/")}`;
}

/** Go there. */
export function go(...path) {
  location.hash = to(...path);
}
