// The page about the nightly refresh. All its data is in #data; text from the data is never inserted as markup.
"use strict";
(() => {
  const DAY = 86400;
  const MOST_ROWS = 300; // of the freshness table at first, the rest after a click: thousands of rows would open slowly
  const NOT_BUILT = Number.MAX_SAFE_INTEGER; // sorts before any lag
  const EMA_COLOURS = 8;

  const data = JSON.parse(document.getElementById("data").textContent);
  const assets = data.freshness.assets;
  const byId = new Map(assets.map((asset) => [asset.id, asset]));
  const $ = (id) => document.getElementById(id);

  /** An element. Strings among the children become text, never markup. */
  function make(tag, properties = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name.includes("-") || name === "role") element.setAttribute(name, value);
      else element[name] = value;
    }
    element.append(...children);
    return element;
  }

  // Words and numbers

  const number = (value) => (value ?? 0).toLocaleString("en-US");
  const counted = (value, noun) => `${number(value)} ${noun}${value === 1 ? "" : "s"}`;
  const instant = (iso) => new Date(iso).toISOString().slice(0, 16).replace("T", " ");
  const secondsBetween = (from, to) => (Date.parse(to) - Date.parse(from)) / 1000;
  const short = (table) => table.replace(/^cmc_(price_)?/, "");
  const nameOf = (id) => byId.get(id)?.name ?? "";

  function spoken(seconds) {
    if (seconds < 10) return `${seconds.toFixed(1)} s`;
    const whole = Math.round(seconds);
    if (whole < 100) return `${whole} s`;
    if (whole < 600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
    const minutes = Math.round(seconds / 60);
    return minutes < 100 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  }

  function price(value) {
    if (value === null || value === undefined) return "–";
    const digits = decimals(value);
    return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  }

  /** Prices lie between 1e-8 and 1e5: about five significant digits, at least two decimals. */
  function decimals(value) {
    if (!value) return 2;
    return Math.min(12, Math.max(2, 4 - Math.floor(Math.log10(Math.abs(value)))));
  }

  // The head and the last run

  function showHead() {
    document.title = `Nightly refresh: ${data.database}`;
    $("database").textContent = `${data.database} ·`;
    showAge();
    setInterval(showAge, 60_000);
    const signs = { info: "✓ Info", warning: "! Warning", error: "✕ Error", critical: "✕✕ Critical" };
    const none = !data.summary;
    $("last").classList.add(none || !(data.severity in signs) ? "unknown" : data.severity);
    const sign = make("span", { className: "pill" }, none ? (data.runs.length ? "No refresh yet" : "No run yet") : (signs[data.severity] ?? data.severity));
    $("headline").append(sign, headline());
    for (const what of ["failures", "restatements"]) {
      $(`${what}-count`).textContent = number(data[what].length);
      $(`${what}-count`).classList.toggle("some", what === "failures" && data[what].length > 0);
    }
  }

  /** How old the page and the last refresh are now; what is older than a day is marked. */
  function showAge() {
    aged($("written"), `written ${instant(data.generated_at)} UTC`, data.generated_at);
    if (!data.summary) return;
    const ended = new Date(Date.parse(data.summary.started_at) + data.summary.seconds * 1000).toISOString();
    aged($("since"), `Last refresh ended ${instant(ended)} UTC`, ended, data.since ? `; ${data.since}` : "");
  }

  function aged(place, words, time, more = "") {
    const seconds = (Date.now() - Date.parse(time)) / 1000;
    const age = make("span", { className: seconds > DAY ? "age old" : "age" }, seconds < 0 ? "in the future" : ago(seconds));
    place.replaceChildren(`${words}, `, age, more);
  }

  function ago(seconds) {
    if (seconds < 90) return "just now";
    const minutes = Math.round(seconds / 60);
    if (minutes < 90) return `${minutes} minutes ago`;
    const hours = Math.round(minutes / 60);
    return hours < 36 ? `${hours} hours ago` : `${counted(Math.round(seconds / DAY), "day")} ago`;
  }

  /** The headline, with the command at its end as code, ready to be copied. */
  function headline() {
    const command = data.summary?.next_command;
    if (!command || !data.headline.endsWith(command)) return make("span", {}, data.headline);
    return make("span", {}, data.headline.slice(0, -command.length), make("code", {}, command));
  }

  function showFacts(summary) {
    const total = (counts) => Object.values(counts ?? {}).reduce((sum, one) => sum + one, 0);
    const facts = [
      [`started ${instant(summary.started_at).slice(5, 10)}`, instant(summary.started_at).slice(11), false],
      ["took", spoken(summary.seconds), false],
      ["exit code", String(summary.exit_code), summary.exit_code !== 0],
      ["assets", number(summary.assets), false],
      ["bars", number(summary.bars), false],
      ["EMAs", number(summary.emas), false],
      ["not done", number(summary.unfinished?.length), summary.unfinished?.length > 0],
      ["repaired", number(total(summary.repairs)), false],
      ["refused", number(total(summary.rejects)), false],
      ["missing days", number(summary.missing_days), false],
      ["EMA violations", number(summary.ema_violations), summary.ema_violations > 0],
    ];
    const isNone = ([, value]) => value === "0";
    const none = facts.filter(isNone).map(([name]) => (name === "exit code" ? "" : name)).filter(Boolean);
    if (none.length) $("none").textContent = `None: ${none.join(", ")}.`;
    for (const [name, value, flag] of facts.filter((fact) => !isNone(fact))) {
      $("facts").append(make("div", {}, make("dt", {}, name), make("dd", { className: flag ? "flag" : "" }, value)));
    }
  }

  /** A line of the console. Its subject comes before the first colon. */
  function detail(line) {
    const [, about, rest] = /^([A-Za-z][A-Za-z ,]{1,40}): (.+)$/s.exec(line) ?? [];
    if (!about) return make("li", {}, make("span", { className: "whole" }, line));
    const bad = ["failed", "wrong", "not reached"].includes(about);
    return make("li", { className: bad ? "bad" : "" }, make("b", {}, about), make("span", {}, rest));
  }

  function showLast() {
    const place = $("details");
    if (data.summary) showFacts(data.summary);
    if (data.details.length) place.append(make("ul", { className: "lines" }, ...data.details.map(detail)));
  }

  const empty = (words) => make("p", { className: "empty" }, words);

  // Failures and restatements

  /** A table; ``columns``: [heading, class of its cells, content by row]. */
  function table(label, columns, rows) {
    const head = make("tr", {}, ...columns.map(([name, kind]) => make("th", { scope: "col", className: kind }, name)));
    const lines = rows.map((row) =>
      make("tr", {}, ...columns.map(([, kind, of]) => make("td", { className: kind }, of(row)))));
    return make("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": label },
      make("table", { className: "list" }, make("thead", {}, head), make("tbody", {}, ...lines)));
  }

  function assetLink(id) {
    const button = make("button", { type: "button", className: "link" }, `${id} ${nameOf(id)}`.trim());
    button.addEventListener("click", () => choose(id, true));
    return button;
  }

  function showFailures() {
    const rows = data.failures;
    if (!rows.length) return $("failures-body").append(empty("No asset failed, was skipped or was not reached."));
    const states = { failed: ["failed", "✕"], skipped: ["skipped", "–"], "not reached": ["skipped", "…"] };
    const state = (row) => {
      const [kind, sign] = states[row.status] ?? ["failed", "?"];
      return make("span", { className: `state is-${kind}` }, `${sign} ${row.status}`);
    };
    $("failures-body").append(table("Failures", [
      ["Asset", "", (row) => assetLink(row.id)],
      ["Builder", "fixed", (row) => row.builder],
      ["Status", "", state],
      ["Why", "why", (row) => row.why ?? ""],
      ["Since", "fixed", (row) => instant(row.since ?? row.at).slice(0, 10)],
    ], rows));
  }

  function showRestatements() {
    const rows = data.restatements;
    if (!rows.length) return $("restatements-body").append(empty("The source changed no past price."));
    const whole = (word) => make("span", { className: "fixed" }, word); // broken between words only
    const days = (row) => make("span", {}, whole(row.first_day), ...(row.first_day === row.last_day ? [] : [" to ", whole(row.last_day)]));
    const closes = (row) => make("span", {}, whole(price(row.old_close)), " → ", whole(price(row.new_close)));
    $("restatements-body").append(table("Restatements", [
      ["Asset", "", (row) => assetLink(row.id)],
      ["Noted", "fixed", (row) => instant(row.noted_at).slice(0, 10)],
      ["Days", "days", days],
      ["Rows", "number", (row) => number(row.rows)],
      ["Close", "closes", closes],
      ["Reason", "why", (row) => row.reason],
    ], rows));
  }

  // Runs

  const SIGNS = { done: "✓", failed: "✕", skipped: "–", running: "▶", killed: "■", waiting: "○" };
  const ENDS = { 0: "complete", 1: "not complete", 4: "validation failed", 75: "another refresh was running", 130: "stopped", 143: "stopped" };

  /** Only one refresh of a database runs at a time: of the runs without an end only the newest may still be running. */
  function runState(run, place) {
    if (run.ended_at) {
      const kind = run.exit_code === 0 ? "done" : [75, 130, 143].includes(run.exit_code) ? "skipped" : "failed";
      return [kind, ENDS[run.exit_code] ?? `exit code ${run.exit_code}`];
    }
    const recent = secondsBetween(run.started_at, data.generated_at) < DAY;
    return place === refreshes[0] && recent ? ["running", "running, or killed"] : ["killed", "killed"];
  }

  function stepState(step, kindOfRun) {
    if (!step.started_at) return ["waiting", "not started"];
    if (!step.ended_at) return kindOfRun === "running" ? ["running", "running"] : ["killed", "killed"];
    if (step.outcomes.failed) return ["failed", "failed"];
    const left = (step.outcomes.skipped ?? 0) + (step.outcomes["not reached"] ?? 0);
    return left ? ["skipped", "partial"] : ["done", "done"];
  }

  /** Places of refreshes in the list; between them are groups of runs of single builders. */
  const refreshes = data.runs.map((run, place) => place).filter((place) => data.runs[place].kind !== "builders");

  function groupState(group) {
    if (group.failed) return ["failed", `${number(group.failed)} failed`];
    return group.unended ? ["killed", `${number(group.unended)} without an end`] : ["done", "complete"];
  }

  function groupButton(group) {
    const builders = make("span", { className: "builders" }, group.builders.join(", "));
    return make("button", { type: "button", className: "group", "aria-pressed": "false" },
      make("span", {}, instant(group.started_at)), stateWord(groupState(group)), builders,
      make("span", { className: "took" }, counted(group.number, "run")));
  }

  /** A group, opened: its numbers, and a line for each of its latest runs. */
  function showGroup(group, into) {
    const end = group.ended_at ? ` to ${instant(group.ended_at)}` : "";
    const facts = [counted(group.number, "run").replace("run", "builder run"), `${number(group.failed)} failed`, counted(group.rows, "row")];
    const head = make("div", { className: "gantt-head" }, make("h3", {}, `${instant(group.started_at)}${end}`), stateWord(groupState(group)),
      make("span", { className: "muted" }, facts.join(" · ")), make("span", { className: "muted" }, "Single builders, started without a refresh"));
    const list = table("Runs of single builders", [
      ["Started", "fixed", (run) => instant(run.started_at)],
      ["Builder", "fixed", (run) => run.builder],
      ["State", "", (run) => stateWord(run.ended_at ? runState(run, -1) : ["killed", "no end"])],
      ["Rows", "number", (run) => number(run.rows)],
      ["Command", "why", (run) => make("code", {}, run.command)],
    ], group.runs);
    const more = group.number - group.runs.length;
    into.replaceChildren(head, list, ...(more > 0 ? [make("p", { className: "muted" }, `${number(more)} earlier runs are not listed.`)] : []));
  }

  const stateWord = ([kind, word]) => make("span", { className: `state is-${kind}` }, `${SIGNS[kind]} ${word}`);

  function runButton(run, place) {
    const state = runState(run, place);
    const strip = make("span", { className: "strip", "aria-hidden": "true" });
    for (const step of run.steps) {
      const bit = make("i", { className: `bar is-${stepState(step, state[0])[0]}` });
      bit.style.flexGrow = String(Math.max(step.seconds ?? 0, 0.01));
      strip.append(bit);
    }
    const took = run.ended_at ? spoken(secondsBetween(run.started_at, run.ended_at)) : "no end";
    return make("button", { type: "button", "aria-pressed": "false" },
      make("span", {}, instant(run.started_at)), stateWord(state), strip, make("span", { className: "took" }, took));
  }

  /** From the start of the run to its end, or to its last known event. */
  function span(run, kind) {
    const from = Date.parse(run.started_at);
    const ends = run.steps.flatMap((step) => [step.started_at, step.ended_at]).filter(Boolean).map(Date.parse);
    if (run.ended_at) ends.push(Date.parse(run.ended_at));
    else if (kind === "running") ends.push(Date.parse(data.generated_at));
    const to = Math.max(from + 1000, ...ends);
    return [from, kind === "killed" ? to + 0.08 * (to - from) : to]; // room for a builder without an end
  }

  function ganttRow(step, kindOfRun, [from, to]) {
    const state = stepState(step, kindOfRun);
    const track = make("div", { className: "track", "aria-hidden": "true" });
    if (step.started_at) {
      const share = (iso) => (100 * (Date.parse(iso) - from)) / (to - from);
      const bar = make("i", { className: `bar is-${state[0]}` });
      const left = Math.min(Math.max(share(step.started_at), 0), 99.4);
      bar.style.left = `${left}%`;
      bar.style.width = `${(step.ended_at ? Math.min(share(step.ended_at), 100) : 100) - left}%`;
      track.append(bar);
    }
    const outcomes = Object.entries(step.outcomes).filter(([name, n]) => name !== "done" && n);
    const facts = [
      step.seconds === null ? null : spoken(step.seconds),
      step.rows === null ? null : counted(step.rows, "row"),
      ...outcomes.map(([name, n]) => `${number(n)} ${name}`),
    ].filter(Boolean);
    const sign = make("span", { className: `state is-${state[0]}`, title: state[1] }, `${SIGNS[state[0]]} `,
      make("span", { className: "hidden" }, state[1]));
    return make("li", {}, make("span", {}, sign, step.title ?? step.builder), track,
      make("span", { className: "what" }, facts.join(" · ") || state[1]));
  }

  function axis([from, to], ended) {
    const seconds = (to - from) / 1000;
    const marks = [0, 0.25, 0.5, 0.75].map((part) => make("span", {}, part ? spoken(seconds * part) : "0"));
    return make("li", { className: "axis", "aria-hidden": "true" }, make("span"), make("div", {}, ...marks),
      make("span", {}, ended ? `${spoken(seconds)} in total` : "no end"));
  }

  function showRun(run, place, into) {
    const state = runState(run, place);
    const facts = [counted(run.assets ?? 0, "asset"), counted(run.rows ?? 0, "row")];
    const head = make("div", { className: "gantt-head" }, make("h3", {}, instant(run.started_at)), stateWord(state),
      make("span", { className: "muted" }, facts.join(" · ")), make("code", { className: "muted" }, run.command));
    const scale = span(run, state[0]);
    const rows = run.steps.map((step) => ganttRow(step, state[0], scale));
    const chart = rows.length ? make("ol", { className: "gantt" }, ...rows, axis(scale, run.ended_at)) : empty("This run started no builder.");
    into.replaceChildren(head, chart);
  }

  // Curves over the last nights: one small picture for each number

  function bytes(value) {
    const power = Math.min(Math.floor(Math.log(Math.max(value, 1)) / Math.log(1000)), 4);
    return `${(value / 1000 ** power).toFixed(power ? 1 : 0)} ${["B", "kB", "MB", "GB", "TB"][power]}`;
  }

  const CURVES = [["Seconds", "seconds", spoken], ["Rows", "rows", number], ["Failed assets", "failed", number], ["Size", "bytes", bytes]];

  function curve([title, name, show]) {
    const values = data.nights.map((night) => night[name] ?? 0);
    const most = Math.max(...values, 1e-9);
    const [width, height, space] = [240, 56, 4];
    const x = (at) => space + (at * (width - 2 * space)) / Math.max(values.length - 1, 1);
    const y = (value) => height - space - (value * (height - 2 * space)) / most;
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const shape = (tag, attributes) => {
      const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
      svg.append(element);
      return element;
    };
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("role", "img");
    const last = values.at(-1);
    svg.setAttribute("aria-label", `${title} of the last ${counted(values.length, "refresh").replace("refreshs", "refreshes")}, the last one ${show(last)}, at most ${show(most < 1 ? 0 : most)}`);
    shape("polyline", { points: values.map((value, at) => `${x(at)},${y(value)}`).join(" "), class: "curve" });
    values.forEach((value, at) => {
      const night = data.nights[at];
      const dot = shape("circle", { cx: x(at), cy: y(value), r: night.exit_code === 0 ? 2 : 3.5, class: night.exit_code === 0 ? "dot" : "dot bad" });
      const words = document.createElementNS("http://www.w3.org/2000/svg", "title");
      words.textContent = `${instant(night.started_at)}: ${show(value)}`;
      dot.append(words);
    });
    return make("figure", {}, make("figcaption", {}, `${title} `, make("b", {}, show(last))), svg);
  }

  function showCurves() {
    if (data.nights.length < 2) return;
    $("curves").append(...CURVES.map(curve));
  }

  function showRuns() {
    const body = $("runs-body");
    if (!data.runs.length) return body.append(empty(`There is no run yet. Start one with: ${data.command}`));
    const gantt = make("div", { id: "gantt" });
    const isGroup = (place) => !refreshes.includes(place);
    const buttons = data.runs.map((run, place) => (isGroup(place) ? groupButton(run) : runButton(run, place)));
    buttons.forEach((button, place) => button.addEventListener("click", () => {
      buttons.forEach((one) => one.setAttribute("aria-pressed", String(one === button)));
      if (isGroup(place)) showGroup(data.runs[place], gantt);
      else showRun(data.runs[place], place, gantt);
    }));
    const words = { done: "done", failed: "failed", skipped: "partial", running: "running", killed: "killed", waiting: "not started" };
    const keys = Object.entries(words).map(([kind, word]) =>
      make("span", {}, make("i", { className: `bar is-${kind}` }), `${SIGNS[kind]} ${word}`));
    const list = make("ol", { className: "run-list" }, ...buttons.map((button) => make("li", {}, button)));
    body.append(make("div", { className: "runs" }, list,
      make("div", {}, gantt, make("div", { className: "keys" }, ...keys))));
    buttons[refreshes[0] ?? 0].click();
  }

  // Freshness: 200 buttons would be 200 stops of the Tab key, so only one is a stop and the arrow keys move on from it

  const LAGS = [["lag0", "up to date", 0], ["lag1", "1 day behind", 1], ["lag2", "2–3", 3], ["lag3", "4–7", 7], ["lag4", "8 or more", Infinity]];
  const view = { by: "lag", needle: "", behind: false, all: false };
  const depth = (lag) => (lag === null ? NOT_BUILT : lag);
  const worst = (asset) => Math.max(0, ...asset.lags.map(depth));
  const lagClass = (lag) => (lag === null ? "none" : LAGS.find(([, , most]) => lag <= most)[0]);
  const isFirstEma = (tables, place) => place > 0 && tables[place].startsWith("cmc_ema") && !tables[place - 1].startsWith("cmc_ema");

  const ORDERS = {
    lag: (a, b) => worst(b) - worst(a) || a.id - b.id,
    id: (a, b) => a.id - b.id,
    name: (a, b) => a.name.localeCompare(b.name) || a.id - b.id,
  };
  const order = () => ORDERS[view.by] ?? ((a, b) => depth(b.lags[view.by]) - depth(a.lags[view.by]) || a.id - b.id);

  function wantedAssets() {
    const needle = view.needle.trim().toLowerCase();
    const fits = (asset) => (!view.behind || worst(asset) > 0) &&
      (!needle || String(asset.id).startsWith(needle) || asset.name.toLowerCase().includes(needle));
    return assets.filter(fits).sort(order());
  }

  function heatRow(asset) {
    const name = make("button", { type: "button", tabIndex: -1, title: asset.name }, make("span", { className: "id" }, String(asset.id)), asset.name);
    const row = make("tr", {}, make("th", { scope: "row" }, name));
    row.dataset.id = String(asset.id);
    asset.lags.forEach((lag, place) => {
      const gap = isFirstEma(data.freshness.tables, place) ? " gap" : "";
      row.append(make("td", { className: lagClass(lag) + gap }, lag === null ? "–" : number(lag)));
    });
    return row;
  }

  function fillHeat() {
    const found = wantedAssets();
    const shown = view.all ? found : found.slice(0, MOST_ROWS);
    $("heat-rows").replaceChildren(...shown.map(heatRow));
    $("heat-more").hidden = shown.length === found.length;
    $("heat-more").textContent = `Show all ${number(found.length)}`;
    $("heat-none").hidden = found.length > 0;
    for (const head of document.querySelectorAll(".heat thead th")) {
      const sorted = head.dataset.by === String(view.by);
      head.setAttribute("aria-sort", sorted ? (Number.isInteger(view.by) ? "descending" : "other") : "none");
    }
    markChosen();
  }

  function markChosen() {
    const rows = [...document.querySelectorAll("#heat-rows tr")];
    const chosen = rows.find((row) => row.dataset.id === String(chart.id));
    rows.forEach((row) => {
      row.classList.toggle("chosen", row === chosen);
      const button = row.querySelector("button");
      button.tabIndex = row === (chosen ?? rows[0]) ? 0 : -1;
      if (row === chosen) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    });
  }

  function moveInHeat(event) {
    const row = event.target.closest("tr");
    const goal = { ArrowDown: row?.nextElementSibling, ArrowUp: row?.previousElementSibling,
      Home: row?.parentElement.firstElementChild, End: row?.parentElement.lastElementChild }[event.key];
    if (!goal) return;
    event.preventDefault();
    row.querySelector("button").tabIndex = -1;
    const button = goal.querySelector("button");
    button.tabIndex = 0;
    button.focus();
  }

  function noteCell(event) {
    const cell = event.target.closest("td, th");
    const asset = byId.get(Number(cell?.closest("tr").dataset.id));
    if (!asset) return;
    const place = cell.cellIndex - 1;
    const where = `${asset.id} ${asset.name}, last source day ${asset.last ?? "none"}`;
    if (place < 0) return void ($("cell-note").textContent = where);
    const lag = asset.lags[place];
    const how = lag === null ? "not built" : lag === 0 ? "up to date" : `${counted(lag, "day")} behind`;
    $("cell-note").textContent = `${where}: ${data.freshness.tables[place]} ${how}`;
  }

  function heatHead() {
    const cells = data.freshness.tables.map((name, place) => {
      const button = make("button", { type: "button", title: `Sort by ${name}` }, make("span", {}, short(name).replace("multi_tf_cal", "cal")));
      button.addEventListener("click", () => {
        view.by = view.by === place ? "lag" : place;
        $("heat-order").value = String(view.by);
        fillHeat();
      });
      const head = make("th", { scope: "col", className: isFirstEma(data.freshness.tables, place) ? "gap" : "" }, button);
      head.dataset.by = String(place);
      return head;
    });
    return make("tr", {}, make("th", { scope: "col" }, "Asset"), ...cells);
  }

  function heatControls() {
    const filter = make("input", { type: "search", id: "heat-filter", placeholder: "ID or name", autocomplete: "off" });
    filter.addEventListener("input", () => { view.needle = filter.value; fillHeat(); });
    const sort = make("select", { id: "heat-order" },
      ...[["lag", "largest lag"], ["id", "ID"], ["name", "name"]].map(([value, word]) => make("option", { value }, word)),
      ...data.freshness.tables.map((name, place) => make("option", { value: String(place) }, `lag of ${short(name)}`)));
    sort.addEventListener("change", () => { view.by = sort.value in ORDERS ? sort.value : Number(sort.value); fillHeat(); });
    const behind = make("input", { type: "checkbox", id: "heat-behind" });
    behind.addEventListener("change", () => { view.behind = behind.checked; fillHeat(); });
    return make("div", { className: "controls" }, make("label", {}, "Filter ", filter), make("label", {}, "Sort by ", sort),
      make("label", {}, behind, "only behind"));
  }

  function showFreshness() {
    const body = $("freshness-body");
    if (!assets.length) return body.append(empty("There is no asset yet."));
    const current = assets.filter((asset) => worst(asset) === 0).length;
    $("freshness-sum").textContent = `${number(current)} of ${counted(assets.length, "asset")} up to date in all ` +
      `${data.freshness.tables.length} tables, as of ${instant(data.generated_at)} UTC. Days behind the source; click an asset for its prices.`;
    const rows = make("tbody", { id: "heat-rows" });
    rows.addEventListener("click", (event) => {
      const row = event.target.closest("tr");
      if (row) choose(Number(row.dataset.id), true);
    });
    rows.addEventListener("keydown", moveInHeat);
    rows.addEventListener("mouseover", noteCell);
    rows.addEventListener("focusin", noteCell);
    const more = make("button", { type: "button", id: "heat-more" });
    more.addEventListener("click", () => { view.all = true; fillHeat(); });
    const none = empty("No asset matches.");
    none.id = "heat-none";
    const keys = [...LAGS, ["none", "– not built"]].map(([kind, word]) =>
      make("span", {}, make("i", { className: `cell ${kind}` }), word));
    const map = make("table", {}, make("thead", {}, heatHead()), rows);
    map.style.setProperty("--columns", String(data.freshness.tables.length));
    body.append(heatControls(),
      make("div", { className: "heat", role: "region", "aria-label": "Days behind the source, by asset and table" }, map),
      none, more, make("p", { className: "muted", id: "cell-note" }), make("div", { className: "keys" }, ...keys));
    fillHeat();
  }

  // Prices

  const chart = { id: null, all: [], series: null, api: null, candles: null, volume: null, marks: null, lines: new Map(), periods: null, at: null, range: null, averages: null, values: {} };

  /** A colour of the style sheet in the notation that the canvas needs, in the current theme. */
  function colour(name) {
    const probe = $("chart-note");
    probe.style.color = `var(--${name})`;
    const found = getComputedStyle(probe).color;
    probe.style.color = "";
    return found;
  }

  const emaColour = (place) => `ema${place % EMA_COLOURS}`;
  const emaStyle = (place) => Math.floor(place / EMA_COLOURS) % 3; // solid, dotted, dashed: more periods than colours
  const periodsOf = (series) => Object.keys(series.emas).map(Number).sort((a, b) => a - b);

  /** Base64 of gzip of JSON. */
  async function unpack(blob) {
    const bytes = Uint8Array.from(atob(blob), (sign) => sign.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  }

  /** Select an asset everywhere, and draw its prices when they are unpacked. */
  async function choose(id, scroll = false) {
    chart.id = id;
    $("asset").value = String(id);
    if ($("asset").selectedIndex < 0) fillAssets($("asset-filter").value = ""); // it was searched for, and is no match
    markChosen();
    if (scroll) scrollToPrices();
    const blob = data.charts[id];
    if (!blob) return showSeries([], "This page has no prices for this asset.");
    let found;
    try {
      found = (await unpack(blob)).series;
    } catch {
      return chart.id === id && showSeries([], "This browser cannot unpack the prices of this asset.");
    }
    if (chart.id === id) showSeries(found, "This asset has no bars yet."); // unless another was chosen in the meantime
  }

  function scrollToPrices() {
    const box = $("chart").getBoundingClientRect();
    if (box.top < 0 || box.bottom > window.innerHeight) $("prices").scrollIntoView({ block: "start" });
  }

  const keyOf = (series) => `${series.title} ${series.ema_table}`;

  /** The EMAs of one series at the bars of another one: at each bar the last value that is not newer. */
  function averagesAt(series, averages) {
    if (series === averages) return series.emas;
    let at = -1;
    const places = series.days.map((day) => {
      while (at + 1 < averages.days.length && averages.days[at + 1] <= day) at += 1;
      return at;
    });
    return Object.fromEntries(Object.entries(averages.emas).map(([period, values]) => [period, places.map((place) => values[place] ?? null)]));
  }

  function showSeries(all, otherwise) {
    const before = chart.series;
    chart.all = all;
    const groups = new Map();
    all.forEach((one, place) => {
      const label = `${short(one.table)}${one.tf === "1D" ? "" : `, EMAs of ${short(one.ema_table)}`}`;
      if (!groups.has(label)) groups.set(label, make("optgroup", { label }));
      groups.get(label).append(make("option", { value: String(place) }, one.title));
    });
    $("averages").replaceChildren(make("option", { value: "" }, "these bars"), ...[...groups.values()].map((group) => group.cloneNode(true)));
    $("averages").value = String(all.findIndex((one) => keyOf(one) === chart.averages));
    if ($("averages").selectedIndex < 0) $("averages").value = "";
    $("timeframe").replaceChildren(...groups.values());
    $("timeframe").disabled = $("averages").disabled = all.length === 0;
    // The next asset opens in the timeframe of the last one
    const same = before ? all.findIndex((one) => keyOf(one) === keyOf(before)) : 0;
    if (all.length) draw(Math.max(same, 0));
    else clearChart(otherwise);
  }

  function clearChart(words) {
    chart.api?.remove();
    Object.assign(chart, { api: null, candles: null, series: null, lines: new Map(), at: null });
    $("chart").replaceChildren(empty(words));
    for (const id of ["legend", "periods", "chart-note", "marks"]) $(id).replaceChildren();
  }

  function options() {
    const line = colour("line");
    return {
      autoSize: true,
      layout: { background: { color: colour("panel") }, textColor: colour("muted"), fontFamily: getComputedStyle(document.body).fontFamily, attributionLogo: true },
      grid: { vertLines: { color: line }, horzLines: { color: line } },
      rightPriceScale: { borderColor: line },
      timeScale: { borderColor: line, rightOffset: 3, fixLeftEdge: true },
      crosshair: { mode: LightweightCharts.CrosshairMode.Normal },
      localization: { dateFormat: "yyyy-MM-dd", locale: "en-US" },
    };
  }

  function candles(series) {
    const last = series.days.length - 1;
    return series.days.map((day, place) => {
      const bar = { time: day * DAY };
      for (const name of ["open", "high", "low", "close"]) bar[name] = series[name][place];
      if (Object.values(bar).includes(null)) return { time: bar.time };
      return series.forming && place === last ? { ...bar, color: colour("panel") } : bar; // hollow: not closed yet
    });
  }

  function candleColours() {
    const [up, down] = [colour("up"), colour("down")];
    return { upColor: up, downColor: down, borderUpColor: up, borderDownColor: down, wickUpColor: up, wickDownColor: down };
  }

  // What is not as in the source, or was not always so: sign, word, and where it stands by the bar

  const MARKS = {
    missing: ["○", "missing", "belowBar"], repaired: ["◆", "repaired", "belowBar"],
    refused: ["✕", "refused", "aboveBar"], restated: ["↻", "restated", "aboveBar"],
  };

  /** The marks of a chart: one sign for each kind on a day. A day without a bar is marked at the bar before it. */
  function showMarks(series) {
    const marks = series.marks ?? [];
    const at = (day) => series.days.findLast((other) => other <= day) ?? series.days[0];
    const signs = new Map();
    for (const [day, kind] of marks) signs.set(`${at(day)} ${kind}`, { time: at(day) * DAY, kind });
    const shapes = { missing: "circle", repaired: "square", refused: "arrowDown", restated: "arrowDown" };
    chart.marks = LightweightCharts.createSeriesMarkers(chart.candles, [...signs.values()].sort((a, b) => a.time - b.time).map(({ time, kind }) =>
      ({ time, position: MARKS[kind][2], shape: shapes[kind], color: colour(`mark-${kind}`), size: 0.8 })));
    const date = (day) => new Date(day * DAY * 1000).toISOString().slice(0, 10);
    const rows = [...marks].sort(([a], [b]) => b - a);
    const keys = Object.entries(MARKS).map(([kind, [sign, word]]) => [rows.filter(([, of]) => of === kind).length, kind, sign, word]);
    const summary = make("summary", {}, rows.length ? `${counted(rows.length, "marked day")}: ` : "No day is marked.",
      ...keys.filter(([many]) => many).map(([many, kind, sign, word]) => make("span", { className: `mark is-${kind}` }, `${sign} ${number(many)} ${word} `)));
    const list = table("Marked days", [
      ["Day", "fixed", ([day]) => date(day)],
      ["What", "fixed", ([, kind]) => make("span", { className: `mark is-${kind}` }, `${MARKS[kind][0]} ${MARKS[kind][1]}`)],
      ["Why", "why", ([, , why]) => why],
    ], rows.slice(0, MOST_ROWS));
    $("marks").replaceChildren(summary, ...(rows.length ? [list] : []));
    $("marks").hidden = series.marks === undefined;
  }

  const compact = (value) => value.toLocaleString("en-US", { notation: "compact", maximumFractionDigits: 1 });

  function drawVolume(series) {
    chart.volume = null;
    if (!series.volume?.some((value) => value)) return;
    const columns = chart.api.addSeries(LightweightCharts.HistogramSeries, {
      priceScaleId: "volume", priceFormat: { type: "volume" }, priceLineVisible: false, lastValueVisible: false, color: colour("volume") });
    columns.priceScale().applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
    columns.setData(series.volume.map((value, bar) => ({ time: series.days[bar] * DAY, value: value ?? 0 })));
    chart.volume = columns;
  }

  const RANGES = [["1 month", 30], ["3 months", 91], ["1 year", 365], ["all", null]];

  /** Show the last days of the chart; null: all. */
  function showRange(days) {
    chart.range = days;
    const time = chart.api.timeScale();
    const last = chart.series.days.length - 1;
    const first = days === null ? 0 : Math.max(0, chart.series.days.findIndex((day) => day > chart.series.days[last] - days));
    if (first === 0) time.fitContent();
    else time.setVisibleLogicalRange({ from: first, to: last + 3 });
    for (const button of $("ranges").children) button.setAttribute("aria-pressed", String(button.dataset.days === String(days)));
  }

  function showChartControls() {
    $("ranges").append(...RANGES.map(([word, days]) => {
      const button = make("button", { type: "button", className: "toggle", "aria-pressed": "false" }, word);
      button.dataset.days = String(days);
      button.addEventListener("click", () => chart.api && showRange(days));
      return button;
    }));
    $("log").addEventListener("change", scalePrices);
    $("asset-filter").addEventListener("input", () => fillAssets($("asset-filter").value));
    $("asset-filter").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && $("asset").options.length) choose(Number($("asset").options[0].value));
    });
  }

  function scalePrices() {
    const { Logarithmic, Normal } = LightweightCharts.PriceScaleMode;
    chart.candles?.priceScale().applyOptions({ mode: $("log").checked ? Logarithmic : Normal, scaleMargins: { top: 0.08, bottom: 0.2 } });
  }

  /** The assets to choose from: all, or those whose id or name a search fits. */
  function fillAssets(text) {
    const needle = text.trim().toLowerCase();
    const found = [...assets].sort(ORDERS.id).filter((asset) =>
      !needle || String(asset.id).startsWith(needle) || asset.name.toLowerCase().includes(needle));
    $("asset").replaceChildren(...found.map((asset) => make("option", { value: String(asset.id) }, `${asset.id} ${asset.name}`)));
    $("asset-found").textContent = needle ? counted(found.length, "asset") : "";
    if (found.some((asset) => asset.id === chart.id)) $("asset").value = String(chart.id);
    else $("asset").selectedIndex = -1;
  }

  function draw(place) {
    const series = chart.all[place];
    const averages = chart.all[$("averages").value || place];
    const periods = periodsOf(averages);
    clearChart("");
    $("chart").replaceChildren();
    $("timeframe").value = String(place);
    chart.series = series;
    chart.values = averagesAt(series, averages);
    chart.periods ??= new Set(firstPeriods(periods));
    chart.api = LightweightCharts.createChart($("chart"), options());
    const digits = decimals(Math.max(...series.close.filter((one) => one !== null)));
    const shared = { priceFormat: { type: "price", precision: digits, minMove: 10 ** -digits }, priceLineVisible: false };
    chart.candles = chart.api.addSeries(LightweightCharts.CandlestickSeries, { ...shared, ...candleColours() });
    chart.candles.setData(candles(series));
    periods.forEach((period, at) => {
      const line = chart.api.addSeries(LightweightCharts.LineSeries, { ...shared, color: colour(emaColour(at)), lineWidth: 2,
        lineStyle: emaStyle(at), lastValueVisible: false, crosshairMarkerVisible: false, visible: chart.periods.has(period) });
      line.setData(chart.values[period].map((value, bar) =>
        value === null ? { time: series.days[bar] * DAY } : { time: series.days[bar] * DAY, value }));
      chart.lines.set(period, line);
    });
    drawVolume(series);
    scalePrices();
    showMarks(series);
    showRange(chart.range);
    chart.api.subscribeCrosshairMove((event) => showLegend(event.time === undefined ? null : series.days.indexOf(event.time / DAY)));
    showPeriods(periods);
    showLegend(null);
    const asset = `${chart.id} ${nameOf(chart.id)}`;
    $("chart").setAttribute("aria-label", `${asset}, ${series.title}: candlesticks of ${counted(series.days.length, "bar")}. ` +
      "The left and right arrow keys move from bar to bar.");
    const last = new Date(series.days.at(-1) * DAY * 1000).toISOString().slice(0, 10);
    $("chart-note").textContent = `Bars of ${series.table}, EMAs of ${averages.ema_table}${averages === series ? "" : ` (${averages.tf})`}, until ${last}, as of ${instant(data.generated_at)} UTC.` +
      (series.forming ? " The hollow last bar is not closed yet." : "");
  }

  /** Three of them, from fast to slow: more would hide the bars. */
  function firstPeriods(periods) {
    if (periods.length < 4) return periods;
    return [periods[0], periods[Math.floor(periods.length / 2)], periods.at(-1)];
  }

  function swatch(at) {
    const mark = make("i", { className: "swatch" });
    mark.style.borderTopColor = `var(--${emaColour(at)})`;
    mark.style.borderTopStyle = ["solid", "dotted", "dashed"][emaStyle(at)];
    return mark;
  }

  function showPeriods(periods) {
    const buttons = periods.map((period, at) => {
      const button = make("button", { type: "button", className: "toggle", "aria-pressed": String(chart.periods.has(period)), "aria-label": `EMA ${period}` },
        swatch(at), String(period));
      button.addEventListener("click", () => {
        const on = !chart.periods.has(period);
        if (on) chart.periods.add(period);
        else chart.periods.delete(period);
        button.setAttribute("aria-pressed", String(on));
        chart.lines.get(period).applyOptions({ visible: on });
        showLegend(chart.at);
      });
      return button;
    });
    $("periods").replaceChildren(...(buttons.length ? [make("span", { className: "muted" }, "EMA")] : []), ...buttons);
  }

  /** The values of the bar under the pointer, otherwise of the last one. */
  function showLegend(at) {
    const series = chart.series;
    if (!series) return;
    chart.at = at !== null && at >= 0 ? at : null;
    const place = chart.at ?? series.days.length - 1;
    const day = new Date(series.days[place] * DAY * 1000).toISOString().slice(0, 10);
    const open = series.forming && place === series.days.length - 1;
    const parts = [make("span", {}, make("b", {}, open ? `${day}, not closed yet` : day))];
    const marks = (series.marks ?? []).filter(([of]) => of === series.days[place]);
    for (const [sign, name] of [["O", "open"], ["H", "high"], ["L", "low"], ["C", "close"]]) {
      parts.push(make("span", {}, make("i", {}, sign), price(series[name][place])));
    }
    Object.keys(chart.values).map(Number).sort((a, b) => a - b).forEach((period, ema) => {
      if (chart.periods.has(period)) {
        parts.push(make("span", {}, swatch(ema), make("i", {}, `EMA ${period}`), price(chart.values[period][place])));
      }
    });
    const volume = series.volume?.[place];
    if (volume !== null && volume !== undefined) parts.push(make("span", {}, make("i", {}, "Volume"), compact(volume)));
    parts.push(...marks.map(([, kind, why]) => make("span", { className: `mark is-${kind}` }, `${MARKS[kind][0]} ${why}`)));
    $("legend").replaceChildren(...parts);
  }

  function stepInChart(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || !chart.series) return;
    event.preventDefault();
    const last = chart.series.days.length - 1;
    const place = Math.min(last, Math.max(0, (chart.at ?? last + (step < 0 ? 1 : 0)) + step));
    const close = chart.series.close[place];
    if (close !== null) chart.api.setCrosshairPosition(close, chart.series.days[place] * DAY, chart.candles);
    showLegend(place);
    $("spoken").textContent = [...$("legend").children].map((one) => one.textContent).join(", ");
  }

  function recolour() {
    if (!chart.api) return;
    chart.api.applyOptions(options());
    chart.candles.applyOptions(candleColours());
    chart.candles.setData(candles(chart.series));
    [...chart.lines.keys()].forEach((period, at) => chart.lines.get(period).applyOptions({ color: colour(emaColour(at)) }));
    chart.volume?.applyOptions({ color: colour("volume") });
    chart.marks.detach();
    showMarks(chart.series);
  }

  function showPrices() {
    if (!assets.length) return $("prices-body").replaceChildren(empty("There is no asset yet, so there are no prices."));
    const inOrder = [...assets].sort(ORDERS.id);
    fillAssets("");
    showChartControls();
    $("asset").addEventListener("change", () => choose(Number($("asset").value)));
    $("timeframe").addEventListener("change", () => draw(Number($("timeframe").value)));
    $("averages").addEventListener("change", () => {
      chart.averages = $("averages").value ? keyOf(chart.all[$("averages").value]) : null;
      if (chart.series) draw(Number($("timeframe").value));
    });
    $("chart").addEventListener("keydown", stepInChart);
    choose((inOrder.find((asset) => asset.id in data.charts) ?? inOrder[0]).id);
  }

  // Theme: the system's, until the button says otherwise

  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";

  function themed() {
    $("theme").textContent = isDark() ? "☀ Light" : "☾ Dark";
    $("theme").setAttribute("aria-label", isDark() ? "Use light colours" : "Use dark colours");
    recolour();
  }

  function showTheme() {
    $("theme").addEventListener("click", () => {
      document.documentElement.dataset.theme = isDark() ? "light" : "dark";
      themed();
    });
    system.addEventListener("change", themed);
    themed();
  }

  showHead();
  showLast();
  showFailures();
  showRestatements();
  showCurves();
  showRuns();
  showFreshness();
  showPrices();
  showTheme();
})();
