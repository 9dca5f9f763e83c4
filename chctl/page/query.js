// Questions to the node that served this page, over ClickHouse's HTTP interface. Values go as query parameters, never
// into the SQL; a GET is read-only.

const AT_ONCE = 4; // a node of two cores answers others too
const NODE = new URL("../", location.href.split("#")[0]);
const DATABASE = new URLSearchParams(location.search).get("database") || "chctl";

let login = null; // {user, password}: in this page's memory and nowhere else
let running = 0;
const waiting = [];

/** The node wants to know who asks, or refuses whom it knows. */
export class LoginNeeded extends Error {}

export function logIn(user, password) {
  login = {user, password};
}

async function turn() {
  if (running >= AT_ONCE) await new Promise((go) => waiting.push(go));
  running += 1;
}

function done() {
  running -= 1;
  waiting.shift()?.();
}

/** Ask; `values` are the parameters by name. Gives {names, rows}. Rejects with LoginNeeded, or with ClickHouse's own words. */
export async function ask(sql, values, signal) {
  await turn();
  try {
    signal?.throwIfAborted();
    const url = new URL(NODE);
    const set = {
      query: sql, database: DATABASE, default_format: "JSONCompact",
      date_time_output_format: "unix_timestamp", output_format_json_quote_64bit_integers: 1,
    };
    for (const [name, value] of Object.entries(set)) url.searchParams.set(name, value);
    for (const [name, value] of Object.entries(values)) {
      if (sql.includes(`{${name}:`)) url.searchParams.set(`param_${name}`, escaped(String(value)));
    }
    const headers = login ? {"X-ClickHouse-User": ascii(login.user), "X-ClickHouse-Key": ascii(login.password)} : {};
    // credentials are ours to ask for: without them the browser would open its own window
    const answer = await fetch(url, {headers, signal, credentials: "omit", cache: "no-store"});
    const body = await answer.text();
    if (answer.status === 401 || answer.status === 403) throw new LoginNeeded(login ? first(body) : "");
    if (!answer.ok) throw new Error(first(body));
    const parsed = JSON.parse(body);
    if (parsed.exception) throw new Error(first(parsed.exception));
    return {names: parsed.meta.map((column) => column.name), rows: parsed.data};
  } finally {
    done();
  }
}

/** ClickHouse reads a parameter as a field of TabSeparated: these characters stand escaped. */
function escaped(value) {
  return value.replace(/[\\\t\n\r\0]/g, (c) => ({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0"})[c]);
}

/** Headers hold Latin-1; bytes of UTF-8 are what ClickHouse compares. */
function ascii(value) {
  return String.fromCharCode(...new TextEncoder().encode(value));
}

function first(message) {
  return message.split("\n")[0].replace(/^Code: \d+\. DB::Exception: /, "").replace(/ \(version .*/, "").slice(0, 400);
}
