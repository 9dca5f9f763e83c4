// Where one is: the dashboard, the range and the variables stand in the address, as Grafana writes them
// (#/d/liquidity?from=now-15m&to=now&var-venue=binance), so that a link in an alert opens the same view on both.

const UNITS = {s: 1, m: 60, h: 3600, d: 86400};

/** {uid, from, to, variables, refresh}: from and to as in the address, or null for the dashboard's own. */
export function read() {
  const [path, query] = location.hash.split("?", 2);
  const [, uid = ""] = /^#\/d\/(\w+)/.exec(path) ?? [];
  const values = new URLSearchParams(query);
  const variables = {};
  for (const [name, value] of values) if (name.startsWith("var-")) variables[name.slice(4)] = value;
  Object.assign(variables, ofEntity(variables.entity ?? ""), variables);
  delete variables.entity;
  return {uid, from: values.get("from"), to: values.get("to"), refresh: values.get("refresh"), variables};
}

/** What an alert is about, such as user:42@binance:BTCUSDT, as variables. */
function ofEntity(entity) {
  const [, account, book] = /^(?:user:(\d+))?@?(.*)$/.exec(entity);
  const found = account ? {account} : {};
  const [venue, ...symbol] = (book ?? "").split(":");
  return symbol.length ? {...found, venue, symbol: symbol.join(":")} : found;
}

/** The address of a dashboard with these variables; range and refresh stay as they are unless given. */
export function link(uid, variables = {}, changes = {}) {
  const now = read();
  const query = new URLSearchParams();
  for (const name of ["from", "to", "refresh"]) {
    const value = name in changes ? changes[name] : now[name];
    if (value !== null && value !== undefined) query.set(name, value);
  }
  for (const [name, value] of Object.entries(variables)) if (value) query.set(`var-${name}`, value);
  const text = query.toString();
  return `#/d/${uid}${text ? `?${text}` : ""}`;
}

/** Seconds of a length such as 15m. */
export function seconds(length) {
  const [, number, unit] = /^(\d+)([smhd])$/.exec(length) ?? [null, 15, "m"];
  return Number(number) * UNITS[unit];
}

/** {live, length, from, to}: Unix times in ms of the range; a live one ends now and moves on. */
export function range(from, to, usual) {
  const now = Date.now();
  if (from && /^\d{10,}$/.test(from)) {
    const end = to && /^\d{10,}$/.test(to) ? Number(to) : now;
    return {live: false, length: null, from: Number(from), to: Math.max(end, Number(from) + 1000)};
  }
  const [, length = usual] = /^now-(\d+[smhd])$/.exec(from ?? "") ?? [];
  return {live: true, length, from: now - seconds(length) * 1000, to: now};
}
