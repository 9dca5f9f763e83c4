// The page: menu, what is shown, and the round of questions to the node.

import {LoginNeeded, ask, logIn} from "./query.js";
import {Panel, make} from "./panels.js";
import {link, range, read, seconds} from "./place.js";

const STEPS = 240; // points across a chart, at most
const $ = (id) => document.getElementById(id);

const dashboards = await (await fetch("dashboards.json", {cache: "no-cache"})).json();
let dashboard = null;
let panels = [];
let values = {}; // the variables, chosen
let round = null; // AbortController of the questions under way
let timer = 0;
const visible = new Set();

const watch = new IntersectionObserver((entries) => {
  for (const {target, isIntersecting} of entries) {
    const panel = panels.find((one) => one.element === target);
    if (!panel) continue;
    if (!isIntersecting) visible.delete(panel);
    else if (!visible.has(panel)) {
      visible.add(panel);
      if (round?.ready && !round.signal.aborted && panel.asked !== round) question(panel, round).catch(() => undefined);
    }
  }
}, {rootMargin: "300px 0px"});

/** Show what the address says. */
async function open() {
  const place = read();
  const wanted = dashboards.find((one) => one.uid === place.uid) ?? dashboards[0];
  round?.abort();
  if (wanted !== dashboard) build(wanted);
  values = {...place.variables};
  menu();
  controls(place);
  await refresh();
}

function build(wanted) {
  dashboard = wanted;
  watch.disconnect();
  visible.clear();
  panels.forEach((panel) => panel.clear());
  document.title = `${wanted.title} · chctl`;
  $("title").textContent = wanted.title;
  $("about").textContent = wanted.about;
  panels = [];
  $("panels").replaceChildren(...wanted.rows.map((row, at) => {
    const grid = make("div", {class: "grid"});
    for (const source of row.panels) {
      const panel = new Panel(source);
      panels.push(panel);
      grid.append(panel.element);
      watch.observe(panel.element);
    }
    return make("section", {"aria-labelledby": `row-${at}`}, make("h2", {id: `row-${at}`}, row.title), grid);
  }));
  scrollTo(0, 0);
}

function menu() {
  $("menu").replaceChildren(...dashboards.map((one) =>
    make("a", {href: link(one.uid, values, one === dashboard ? {} : {refresh: null}), "aria-current": one === dashboard ? "page" : null}, one.title)));
}

function controls(place) {
  const shown = range(place.from, place.to, dashboard.range);
  const choice = $("range");
  choice.value = shown.live ? shown.length : "fixed";
  if (choice.selectedIndex < 0) choice.value = "fixed";
  $("fixed").hidden = choice.value !== "fixed";
  $("from").value = new Date(shown.from).toISOString().slice(0, 19);
  $("to").value = new Date(shown.to).toISOString().slice(0, 19);
  $("refresh").value = place.refresh ?? String(seconds(dashboard.refresh));
  $("refresh").disabled = !shown.live;
}

/** Go to the same dashboard with something changed. */
function go(changes = {}) {
  const address = link(dashboard.uid, values, changes);
  if (address === location.hash) open();
  else location.hash = address;
}

const zoom = (from, to) => go({from: Math.round(from * 1000), to: Math.round(to * 1000)});

/** One round: the variables, then every panel that can be seen; again after the chosen time. */
async function refresh() {
  clearTimeout(timer);
  round?.abort();
  const mine = (round = new AbortController());
  const place = read();
  const shown = range(place.from, place.to, dashboard.range);
  const step = Math.max(1, Math.ceil((shown.to - shown.from) / 1000 / STEPS));
  mine.view = {range: [shown.from / 1000, shown.to / 1000], step, zoom};
  mine.times = {from_ms: shown.from, to_ms: shown.to, step_s: step};
  try {
    await choices(mine);
    if (mine.signal.aborted) return;
    mine.ready = true; // panels that come into sight from now on ask at once
    menu();
    await Promise.all([...visible].map((panel) => question(panel, mine)));
    if (mine.signal.aborted) return;
    $("status").textContent = `as of ${new Date().toISOString().slice(11, 19)} UTC`;
    trouble("");
  } catch (error) {
    if (mine.signal.aborted) return;
    if (error instanceof LoginNeeded) return login(error.message);
    trouble(`The node does not answer: ${error.message}. What is shown is old.`);
  }
  const every = Number($("refresh").value);
  if (every && shown.live) timer = setTimeout(() => (document.hidden ? undefined : refresh()), every * 1000);
}

/** Ask for what the variables may be; one without a value takes the first. */
async function choices(mine) {
  const fields = [];
  for (const variable of dashboard.variables) {
    const id = `var-${variable.name}`;
    let field = $(id);
    if (variable.sql) {
      const {rows} = await ask(variable.sql, {...mine.times, ...values}, mine.signal);
      const offered = rows.map((row) => String(row[0]));
      if (values[variable.name] === undefined || (offered.length && !offered.includes(values[variable.name]))) {
        values[variable.name] = offered[0] ?? "";
      }
      field ??= make("select", {id});
      if (String(offered) !== field.dataset.offered) {
        field.dataset.offered = String(offered);
        field.replaceChildren(...offered.map((one) => make("option", {value: one}, one)));
      }
    } else {
      values[variable.name] ??= "";
      field ??= make("input", {id, size: 12, placeholder: "all", title: variable.about});
    }
    if (document.activeElement !== field) field.value = values[variable.name];
    field.onchange = () => {
      values[variable.name] = field.value.trim();
      // what was chosen of the others may not exist beside the new value: they choose anew
      const after = dashboard.variables.slice(dashboard.variables.indexOf(variable) + 1);
      for (const other of after) if (other.sql.includes(`{${variable.name}:`)) delete values[other.name];
      go();
    };
    fields.push([variable, field]);
  }
  if (fields.some(([, field]) => !field.isConnected) || $("variables").childElementCount !== fields.length) {
    $("variables").replaceChildren(...fields.map(([variable, field]) => make("label", {}, `${variable.title} `, field)));
    for (const [variable, field] of fields) field.value = values[variable.name];
  }
}

async function question(panel, mine) {
  panel.asked = mine;
  try {
    const answer = await ask(panel.source.sql, {...mine.times, ...values}, mine.signal);
    if (!mine.signal.aborted) panel.show(answer, mine.view);
  } catch (error) {
    if (mine.signal.aborted) return;
    if (error instanceof LoginNeeded || error instanceof TypeError) throw error; // not this panel's trouble alone
    panel.fail(error.message);
  }
}

function trouble(words) {
  $("trouble").textContent = words;
  $("trouble").hidden = !words;
}

function login(why) {
  const dialog = $("login");
  if (dialog.open) return;
  $("login-why").textContent = why || "This node asks who you are. Reading the dash_ views is enough.";
  dialog.showModal();
  dialog.onclose = () => {
    logIn($("user").value, $("password").value);
    $("password").value = "";
    refresh();
  };
}

$("bar").addEventListener("submit", (event) => {
  event.preventDefault();
  open();
});
$("range").addEventListener("change", () => {
  const chosen = $("range").value;
  if (chosen !== "fixed") return go({from: `now-${chosen}`, to: "now"});
  $("fixed").hidden = false;
});
for (const id of ["from", "to"]) {
  $(id).addEventListener("change", () => {
    const [from, to] = ["from", "to"].map((name) => Date.parse(`${$(name).value}Z`));
    if (from < to) go({from, to});
  });
}
$("refresh").addEventListener("change", () => go({refresh: $("refresh").value}));
addEventListener("hashchange", open);
document.addEventListener("visibilitychange", () => document.hidden || refresh());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => panels.forEach((panel) => panel.redraw()));
let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === width) return; // a phone's address bar comes and goes
  width = innerWidth;
  panels.forEach((panel) => panel.chart && panel.redraw());
});
open();
