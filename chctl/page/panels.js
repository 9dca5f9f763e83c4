// One panel: its frame, its rows, what is shown when there are none or the node refuses.

import {heatmap, series} from "./charts.js";
import {clock, figure, text, verdict, WORDS} from "./format.js";
import {link} from "./place.js";

/** An element with attributes and children; texts become text nodes, so nothing from the node is ever read as HTML. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const ROW_PX = 34;

/** A panel on the page. `show(answer, view)` draws it anew; `view` is {range: [from, to], step, zoom(from, to)}. */
export class Panel {
  constructor(source) {
    this.source = source;
    this.title = make("h3", {id: `title-${source.id}`}, source.title);
    this.body = make("div", {class: "body"});
    this.element = make(
      source.kind === "tile" ? "section" : "figure",
      {class: `panel ${source.kind}`, id: source.id, "aria-labelledby": `title-${source.id}`},
      this.title,
      source.about && source.kind !== "tile" ? make("p", {class: "note"}, source.about) : null,
      this.body,
    );
    if (source.kind === "tile" && source.about) this.element.title = source.about;
    this.element.style.gridColumn = `span ${source.width}`;
    this.element.style.minHeight = `${source.height * ROW_PX + (source.about && source.kind !== "tile" ? 20 : 0)}px`;
    this.chart = null;
    this.last = null;
    this.sorted = null; // {name, down} of a table whose header was pressed
  }

  show(answer, view) {
    this.last = [answer, view];
    this.element.classList.remove("old");
    this.element.dataset.rows = answer.rows.length;
    const scrolled = this.body.querySelector(".scroll")?.scrollTop ?? 0;
    this.clear();
    if (!answer.rows.length && this.source.kind !== "tile") {
      this.body.append(make("p", {class: "empty"}, "Nothing in this range."));
      return;
    }
    DRAW[this.source.kind](this, answer, view);
    const frame = this.body.querySelector(".scroll");
    if (frame) frame.scrollTop = scrolled;
  }

  /** Keep what was shown, dimmed, and say why it is old. */
  fail(message) {
    this.element.classList.add("old");
    this.element.dataset.rows = "failed";
    this.element.querySelector(".failed")?.remove();
    this.element.append(make("p", {class: "failed", role: "alert"}, message));
  }

  redraw() {
    if (this.last) this.show(...this.last);
  }

  clear() {
    this.chart?.destroy();
    this.chart = null;
    this.element.querySelector(".failed")?.remove();
    this.body.replaceChildren();
  }
}

const DRAW = {tile, lines: chart, bars: chart, heatmap: heat, ladder, table};
const VERDICTS = {good: "within limits", warn: "worth a look", bad: "beyond the limit"};

function tile(panel, {rows}) {
  const {unit, decimals, thresholds} = panel.source;
  const raw = rows[0]?.[0] ?? null;
  const [number, name] = figure(raw, unit, decimals);
  const said = verdict(raw, thresholds);
  panel.element.classList.remove("warn", "bad");
  if (said === "warn" || said === "bad") panel.element.classList.add(said);
  panel.body.append(
    make("div", {class: "figure"}, number, name ? make("small", {}, `${name === "%" ? "" : " "}${name}`) : null),
    make("div", {class: `verdict is-${said || "none"}`}, VERDICTS[said] ? mark(said, VERDICTS[said]) : ""),
  );
}

function mark(tone, words) {
  return make("span", {class: `mark is-${tone}`}, words);
}

function chart(panel, answer, {range, step, zoom}) {
  const box = make("div", {class: "chart", role: "img", "aria-label": spoken(panel, answer)});
  panel.body.append(box);
  panel.chart = series(box, panel.source, answer, range, step, zoom);
}

/** What a chart shows, for who cannot see it: each series' last value. */
function spoken({source}, {names, rows}) {
  const named = names[1] === "series";
  const last = new Map();
  for (const row of rows) {
    if (named) last.set(row[1], row[2]);
    else names.slice(1).forEach((name, at) => last.set(name, row[at + 1]));
  }
  const values = [...last].map(([name, value]) => `${name.replaceAll("_", " ")} ${text(value, source.unit, source.decimals)}`);
  return `${source.title}. Last values: ${values.join(", ")}.`;
}

function heat(panel, answer, {range, step, zoom}) {
  const label = `${panel.source.title}: ${answer.rows.length} cells.`;
  const box = make("div", {class: "chart", role: "img", "aria-label": label});
  const readout = make("div", {class: "readout", "aria-hidden": "true"});
  panel.body.append(box);
  panel.element.querySelector(".readout")?.remove();
  panel.element.append(readout);
  panel.chart = heatmap(box, panel.source, answer, range, step, zoom, (words) => { readout.textContent = words; });
}

function ladder(panel, {rows}) {
  const most = Math.max(...rows.map((row) => Number(row[3])));
  const line = ([side, price, quantity, total]) => {
    const last = make("td", {class: "total"}, text(total, "quantity"));
    last.style.setProperty("--share", `${(100 * total) / most}%`);
    const name = make("td", {}, make("span", {class: "unseen"}, side));
    return make("tr", {class: side}, name, make("td", {class: "price"}, text(price, "price")), make("td", {}, text(quantity, "quantity")), last);
  };
  const bids = rows.filter((row) => row[0] === "bid");
  const asks = rows.filter((row) => row[0] === "ask").reverse();
  const spread = bids.length && asks.length ? Number(asks.at(-1)[1]) - Number(bids[0][1]) : null;
  const mid = spread === null ? null : Number(bids[0][1]) + spread / 2;
  const between = spread === null ? "one side is empty"
    : `mid ${text(mid, "price")} · spread ${text((spread / mid) * 1e4, "bps")}`;
  const head = make("tr", {}, ...["", "Price", "Quantity", "Total"].map((name) => make("th", {scope: "col"}, name)));
  const body = make("tbody", {}, ...asks.map(line), make("tr", {class: "between"}, make("td", {colspan: 4}, between)), ...bids.map(line));
  const all = make("table", {class: "ladder"}, make("caption", {class: "unseen"}, "Asks above, bids below, best in the middle"), make("thead", {}, head), body);
  const frame = make("div", {class: "scroll", tabindex: 0, role: "region", "aria-labelledby": panel.title.id}, all);
  panel.body.append(frame);
  const middle = all.querySelector(".between");
  requestAnimationFrame(() => { frame.scrollTop = middle.offsetTop - (frame.clientHeight - middle.offsetHeight) / 2; });
}

const NUMBERS = new Set(["count", "price", "quantity", "amount", "bps", "ratio", "ms", "s", "bytes", "per_second", "score", "usd"]);

function table(panel, {names, rows}) {
  const sources = names.map((name) => panel.source.columns[name] ?? {title: name, unit: ""});
  const heads = names.map((name, at) => {
    const {sorted} = panel;
    const button = make("button", {type: "button"}, sources[at].title || name, sorted?.name === name ? (sorted.down ? " ↓" : " ↑") : "");
    button.addEventListener("click", () => {
      panel.sorted = {name, down: sorted?.name === name ? !sorted.down : NUMBERS.has(sources[at].unit)};
      panel.redraw();
      panel.body.querySelectorAll("th button")[at].focus();
    });
    const direction = sorted?.name === name ? (sorted.down ? "descending" : "ascending") : null;
    return make("th", {scope: "col", class: NUMBERS.has(sources[at].unit) ? "number" : null, "aria-sort": direction}, button);
  });
  const most = sources.map((source, at) => (source.bar ? Math.max(...rows.map((row) => Math.abs(Number(row[at])) || 0)) : 0));
  const body = order(rows, names.indexOf(panel.sorted?.name), panel.sorted?.down).map((row) => {
    const by = Object.fromEntries(names.map((name, at) => [name, row[at]]));
    return make("tr", {}, ...row.map((value, at) => cell(value, sources[at], names[at], by, most[at])));
  });
  const caption = make("caption", {class: "unseen"}, panel.source.title);
  panel.body.append(
    make("div", {class: "scroll", tabindex: 0, role: "region", "aria-labelledby": panel.title.id},
      make("table", {class: "data"}, caption, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...body))),
  );
}

function order(rows, at, down) {
  if (at < 0) return rows;
  const numbers = rows.every((row) => row[at] === null || (row[at] !== "" && Number.isFinite(Number(row[at]))));
  const key = (row) => (numbers ? (row[at] === null ? -Infinity : Number(row[at])) : String(row[at]));
  const sorted = rows.toSorted((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0));
  return down ? sorted.reverse() : sorted;
}

function cell(value, source, name, row, most) {
  const {unit, thresholds} = source;
  if (unit === "time") return make("td", {title: new Date(Number(value) * 1000).toISOString()}, clock(value));
  if (unit === "severity" || unit === "state") {
    const tone = WORDS[value];
    return make("td", {}, tone ? mark(tone, value) : value);
  }
  if (unit === "id") return make("td", {}, make("a", {href: link("orders", {account: value})}, value));
  if (name === "symbol" && row.venue) return make("td", {}, make("a", {href: link("liquidity", {venue: row.venue, symbol: value})}, value));
  if (!NUMBERS.has(unit)) return make("td", {class: unit === "text" ? "text" : null}, value === null ? "–" : String(value));
  const said = verdict(value, thresholds);
  const shown = text(value, unit, source.decimals);
  const made = make("td", {class: `number${most ? " barred" : ""}`}, said === "warn" || said === "bad" ? mark(said, shown) : shown);
  if (most) made.style.setProperty("--share", `${(100 * Math.abs(Number(value))) / most}%`);
  return made;
}
