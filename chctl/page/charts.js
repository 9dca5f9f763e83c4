// Time series, bars and heat maps by uPlot: one cursor for all, dragging over a chart chooses the time.

import {text, clock} from "./format.js";

/* global uPlot */
const utc = (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC");
const style = () => getComputedStyle(document.documentElement);
const color = (name) => style().getPropertyValue(`--${name}`).trim();

/** Wide columns of [time, series...] rows: {times, series: [{name, values}]}. */
export function columns({names, rows}) {
  const named = names[1] === "series";
  if (!named) {
    return {
      times: rows.map((row) => Number(row[0])),
      series: names.slice(1).map((name, at) => ({name, values: rows.map((row) => number(row[at + 1]))})),
    };
  }
  const times = [...new Set(rows.map((row) => Number(row[0])))];
  const place = new Map(times.map((time, at) => [time, at]));
  const series = new Map();
  for (const [time, name, value] of rows) {
    if (!series.has(name)) series.set(name, new Array(times.length).fill(null));
    series.get(name)[place.get(Number(time))] = number(value);
  }
  return {times, series: [...series].sort().map(([name, values]) => ({name, values}))};
}

function number(value) {
  return value === null || value === undefined ? null : Number(value);
}

function axes(unit, decimals) {
  const common = {stroke: color("quiet"), grid: {stroke: color("grid"), width: 1}, ticks: {stroke: color("grid"), width: 1}, font: "11px system-ui"};
  const label = (value) => text(value, unit === "price" ? "" : unit, unit === "score" ? 1 : decimals);
  return [
    {...common, values: [[86400, "{YYYY}-{MM}-{DD}"], [3600, "{HH}:{mm}", null, null, "\n{MM}-{DD}"], [60, "{HH}:{mm}"], [1, "{HH}:{mm}:{ss}"]]
      .map(([least, form, , , day]) => [least, form, null, null, day ?? null, null, null, null, 1]), space: 70, size: 36},
    {...common, size: 62, values: (_, values) => values.map((value) => (unit === "price" ? value.toLocaleString("en") : label(value)))},
  ];
}

function shared(box, panel, range, onZoom) {
  return {
    width: Math.max(box.clientWidth, 120),
    height: Math.max(box.clientHeight - (panel.kind === "heatmap" ? 0 : 26), 110),
    tzDate: utc,
    padding: [8, 18, 0, 0],
    cursor: {sync: {key: "time", setSeries: false, scales: ["x", null]}, drag: {x: true, y: false, setScale: false}, points: {size: 6}},
    scales: {x: {time: true, range: () => range}},
    axes: axes(panel.unit, panel.decimals),
    hooks: {
      setSelect: [(u) => {
        if (u.select.width < 6) return;
        const [from, to] = [u.select.left, u.select.left + u.select.width].map((x) => u.posToVal(x, "x"));
        onZoom(from, to);
      }],
    },
  };
}

/** Draw lines or bars into `box`; gives what can be called again with new rows: {update, destroy}. */
export function series(box, panel, answer, range, step, onZoom) {
  const {times, series: found} = columns(answer);
  const palette = color("series").split(" ");
  const bars = panel.kind === "bars";
  const raw = found.map((one) => one.values);
  const shown = panel.stacked ? stack(raw) : raw;
  const options = shared(box, panel, range, onZoom);
  const gap = step * 1.5;
  const lines = found.map((one, at) => {
    const paint = panel.tones[one.name] ? color(panel.tones[one.name]) : palette[at % palette.length];
    return {
      label: one.name.replaceAll("_", " ") || "(none)",
      stroke: paint,
      width: bars ? 0 : 1.75,
      fill: bars ? paint : undefined,
      points: {show: !bars && times.length < 3, size: 5, fill: paint},
      paths: bars ? uPlot.paths.bars({size: [0.8, 60], align: 0}) : undefined,
      value: (_, value, __, i) => (i === null || i === undefined ? "" : text(raw[at][i], panel.unit, panel.decimals)),
    };
  });
  let order = lines.map((line, at) => [line, shown[at]]);
  if (panel.stacked) order = order.reverse(); // the tallest first, the others over it
  options.series = [{label: "UTC", value: (_, value) => (value === null ? "" : clock(value))}, ...order.map(([line]) => line)];
  options.scales.y = {range: (_, low, high) => limits(low, high, bars, panel)};
  options.hooks.draw = [(u) => drawThresholds(u, panel.thresholds)];
  const [full, ...values] = bars ? [times, ...order.map(([, v]) => v)] : broken(times, order.map(([, v]) => v), gap);
  return new uPlot(options, [full, ...values], box);
}

/** Nulls where samples are missing, so that a line does not pretend to know. */
function broken(times, values, gap) {
  const smallest = times.slice(1).reduce((least, time, at) => Math.min(least, time - times[at]), Infinity);
  const longest = Math.max(gap, smallest * 2.5);
  if (!times.some((time, at) => at && time - times[at - 1] > longest)) return [times, ...values];
  const out = [[], ...values.map(() => [])];
  times.forEach((time, at) => {
    if (at && time - times[at - 1] > longest) {
      out[0].push((time + times[at - 1]) / 2);
      values.forEach((_, s) => out[s + 1].push(null));
    }
    out[0].push(time);
    values.forEach((one, s) => out[s + 1].push(one[at]));
  });
  return out;
}

function stack(all) {
  const sums = (all[0] || []).map(() => 0);
  return all.map((values) => values.map((value, at) => (sums[at] += value || 0)));
}

function limits(low, high, bars, panel) {
  if (low === null || high === null) return [0, 1];
  if (panel.unit === "score") return [-1, 1];
  if (panel.unit === "price") {
    const pad = (high - low) * 0.08 || Math.abs(high) * 1e-4 || 1;
    return [low - pad, high + pad];
  }
  const top = Math.max(high, 0), bottom = Math.min(low, 0);
  const pad = (top - bottom) * 0.08 || 1;
  return [bottom < 0 ? bottom - pad : 0, panel.unit === "ratio" ? Math.max(Math.min(top + pad, Math.max(1, top)), 0.01) : top + (bars || top ? pad : 1)];
}

function drawThresholds(u, thresholds) {
  if (!thresholds) return;
  const {ctx, bbox} = u;
  ctx.save();
  for (const name of ["warn", "bad"]) {
    const y = u.valToPos(thresholds[name], "y", true);
    if (y < bbox.top || y > bbox.top + bbox.height) continue;
    ctx.strokeStyle = color(name);
    ctx.setLineDash([6, 6]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
  }
  ctx.restore();
}

/** Cells of (time, price): the more, the darker (in a dark theme: the brighter). `say` tells what is under the cursor. */
export function heatmap(box, panel, answer, range, step, onZoom, say) {
  const cells = answer.rows.map(([time, price, value]) => [Number(time), Number(price), Number(value)]);
  const times = [...new Set(cells.map((cell) => cell[0]))].sort((a, b) => a - b);
  const prices = [...new Set(cells.map((cell) => cell[1]))].sort((a, b) => a - b);
  const bucket = prices.slice(1).reduce((least, price, at) => Math.min(least, price - prices[at]), Infinity);
  const height = Number.isFinite(bucket) ? bucket : Math.abs(prices[0]) * 1e-5 || 1;
  const most = quantile(cells.map((cell) => cell[2]), 0.98) || 1;
  const byPlace = new Map(cells.map(([time, price, value]) => [`${time} ${price}`, value]));
  const rgb = color("heat");
  const options = shared(box, panel, range, onZoom);
  options.legend = {show: false};
  options.axes = axes("price");
  options.series = [{}, {show: false}];
  options.scales.y = {range: () => [prices[0] - height, prices.at(-1) + height * 2]};
  options.hooks.draw = [(u) => {
    const {ctx} = u;
    ctx.save();
    for (const [time, price, value] of cells) {
      const x = Math.round(u.valToPos(time, "x", true)), right = Math.round(u.valToPos(time + step, "x", true));
      const y = Math.round(u.valToPos(price + height, "y", true)), bottom = Math.round(u.valToPos(price, "y", true));
      ctx.fillStyle = `rgb(${rgb} / ${(0.06 + 0.94 * Math.sqrt(Math.min(value / most, 1))).toFixed(3)})`;
      ctx.fillRect(x, y, Math.max(right - x, 1), Math.max(bottom - y, 1));
    }
    ctx.restore();
  }];
  options.hooks.setCursor = [(u) => {
    const {left, top} = u.cursor;
    if (left < 0) return say("");
    const at = u.posToVal(left, "x"), price = u.posToVal(top, "y");
    const time = times.findLast((one) => one <= at);
    const level = prices.findLast((one) => one <= price);
    const value = byPlace.get(`${time} ${level}`);
    say(time === undefined || value === undefined ? "" : `${clock(time)} UTC · ${text(level, "price")} · ${text(value, panel.unit)}`);
  }];
  const middle = times.map(() => (prices[0] + prices.at(-1)) / 2);
  return new uPlot(options, [times, middle], box);
}

function quantile(values, share) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) * share)];
}
