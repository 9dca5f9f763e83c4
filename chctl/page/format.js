// Figures as people read them. Numbers come from ClickHouse as numbers or, where 64 bits wide, as text.

const plain = new Intl.NumberFormat("en", {maximumFractionDigits: 2});
const short = new Intl.NumberFormat("en", {notation: "compact", maximumFractionDigits: 1});

/** A number of any size with as many digits as say something. */
function digits(value, decimals) {
  if (decimals !== null && decimals !== undefined) {
    return value.toLocaleString("en", {minimumFractionDigits: decimals, maximumFractionDigits: decimals});
  }
  const size = Math.abs(value);
  if (size >= 1e6) return short.format(value);
  if (size >= 100 || Number.isInteger(value)) return plain.format(value);
  return value.toLocaleString("en", {maximumSignificantDigits: size >= 1 ? 4 : 3});
}

function scaled(value, steps, decimals) {
  let [factor, name] = steps[0];
  for (const [least, unit] of steps) if (Math.abs(value) >= least) [factor, name] = [least, unit];
  const figure = value / factor;
  return [digits(figure, decimals ?? (Number.isInteger(figure) || Math.abs(figure) >= 100 ? 0 : 1)), name];
}

const TIME = [[1e-3, "ms"], [1, "s"], [60, "min"], [3600, "h"], [86400, "d"]];
const BYTES = [[1, "B"], [1e3, "kB"], [1e6, "MB"], [1e9, "GB"], [1e12, "TB"]];

/** [figure, unit] of a number; the unit may be empty. null and what is no number are a dash. */
export function figure(raw, unit, decimals) {
  if (raw === null || raw === undefined || raw === "") return ["–", ""];
  const value = Number(raw);
  if (!Number.isFinite(value)) return ["–", ""];
  switch (unit) {
    case "ratio": return [digits(value * 100, decimals ?? (Math.abs(value) < 0.1 ? 1 : 0)), "%"];
    case "bps": return [digits(value, decimals ?? 2), "bps"];
    case "per_second": return [digits(value, decimals), "/s"];
    case "s": return value === 0 ? ["0", "s"] : scaled(value, TIME, decimals ?? (Math.abs(value) < 60 ? 0 : 1));
    case "ms": return value === 0 ? ["0", "ms"] : scaled(value / 1000, TIME, decimals && Math.abs(value) < 1000 ? decimals : undefined);
    case "bytes": return scaled(value, BYTES);
    case "usd": return [digits(value, decimals ?? (Math.abs(value) < 1 ? 4 : 2)), "USD"];
    case "price": return [value.toLocaleString("en", {minimumFractionDigits: 2, maximumFractionDigits: Math.abs(value) < 10 ? 6 : 2}), ""];
    case "score": return [(value > 0 ? "+" : "") + value.toFixed(decimals ?? 2), ""];
    default: return [digits(value, decimals), ""];
  }
}

/** The same as one text. */
export function text(raw, unit, decimals) {
  const [number, name] = figure(raw, unit, decimals);
  return name ? `${number}${name === "%" || name === "/s" ? "" : " "}${name}` : number;
}

/** UTC, as short as it can be: the day only where it is not today. `seconds` is Unix time. */
export function clock(seconds) {
  const iso = new Date(Number(seconds) * 1000).toISOString();
  const today = new Date().toISOString().slice(0, 10);
  return (iso.slice(0, 10) === today ? "" : `${iso.slice(5, 10)} `) + iso.slice(11, 19);
}

/** good, warn or bad, or nothing where there are no thresholds. */
export function verdict(raw, thresholds) {
  if (!thresholds || raw === null || raw === undefined || raw === "") return "";
  const value = Number(raw);
  const worse = thresholds.bad < thresholds.warn ? (line) => value <= line : (line) => value >= line;
  return worse(thresholds.bad) ? "bad" : worse(thresholds.warn) ? "warn" : "good";
}

/** How bad a word is: of severities, states and outcomes. */
export const WORDS = {
  critical: "bad", warning: "warn", info: "main", firing: "bad", resolved: "good", delivered: "good", failed: "bad",
  retry: "warn",
};
