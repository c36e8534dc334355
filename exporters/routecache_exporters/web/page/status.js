// Polls stats.json each second and writes what it says into the page that the server made.
// The tables CACHES, TOTALS and L2 make the same texts as web/cells.py; a test compares them.
(() => {
"use strict";
const POLL_MS = 1000, LATE_MS = 2000, GIVE_UP_MS = 5000;
const WINDOW_S = 300, STEP_S = 4.5, GAP_S = 15;
const BASE = document.documentElement.dataset.base;
const NOTHING = "–";
const at = id => document.getElementById(id);

// Texts.
const group = n => String(n).replace(/\B(?=(\d{3})+$)/g, ",");
const short = v => v >= 9.95 ? group(Math.floor(v + 0.5)) : (Math.floor(v * 10 + 0.5) / 10).toFixed(1);
const rate = v => short(v) + " /s";
const ratio = r => r === null ? NOTHING : (Math.floor(r * 1000 + 1e-9) / 10).toFixed(1) + " %";
const seconds = v => {
  if (v === null) return NOTHING;
  if (v === 0) return "0 s";
  for (const [limit, unit] of [[1e-6, "ns"], [1e-3, "µs"], [1, "ms"]])
    if (v < limit) return short(v / limit * 1000) + " " + unit;
  return short(v) + " s";
};
const duration = v => {
  const s = Math.floor(v), part = (size, unit, small, name) =>
    `${Math.floor(s / size)} ${unit} ${Math.floor(s % size / small)} ${name}`;
  return s >= 86400 ? part(86400, "d", 3600, "h") : s >= 3600 ? part(3600, "h", 60, "min")
    : s >= 60 ? part(60, "min", 1, "s") : s + " s";
};
const words = key => key.replace("l2_", "L2 ").replaceAll("_", " ");
const quantiles = l => `${seconds(l.p50)} / ${seconds(l.p99)}`;
const largest = counts => Object.entries(counts).filter(e => e[1]).sort((a, b) => b[1] - a[1]);
const sum = counts => Object.values(counts).reduce((a, b) => a + b, 0);
const list = (lines, none, state = "") => [lines.length ? lines : [none], state];
const numbers = all => largest(all).map(([key, n]) => `${words(key)}\t${group(n)}`);
const counts = all => list(numbers(all), "none");
const bytes = v => {
  for (const [limit, unit] of [[1e3, "B"], [1e6, "kB"], [1e9, "MB"]])
    if (v < limit) return (unit === "B" ? v : short(v / limit * 1000)) + " " + unit;
  return short(v / 1e9) + " GB";
};
const clock = t => new Date(t * 1000).toLocaleTimeString();

// Cells: [lines, state].
const OUTCOMES = {l1_hit: "L1 hit", l2_hit: "L2 hit", load: "load", stale: "stale", miss: "miss", error: "error"};
const CIRCUITS = {closed: [["closed"], "ok"], half_open: [["half open, probing"], "warning"], open: [["open, not asked"], "critical"]};
const circuit = state => CIRCUITS[state] || [[state], ""];
const FAILURES = ["l2_unavailable", "undecodable"];
const lately = c => c.recent || c;
const CACHES = {
  rate: c => [[c.recent ? rate(c.recent.requests_per_second)
    : c.uptime_seconds ? rate(c.requests / c.uptime_seconds) : NOTHING], ""],
  ratio: c => {
    const all = lately(c), n = all.requests;
    return n ? [[ratio(all.ratios.hit), Object.entries(all.hits)
      .map(([tier, hits]) => `${tier.toUpperCase()} ${ratio(hits / n)}`).join(" · ")], ""] : [[NOTHING], ""];
  },
  latency: c => list(Object.entries(OUTCOMES)
    .map(([key, label]) => [label, lately(c).latency_seconds[key]])
    .filter(([, l]) => l.count).map(([label, l]) => `${label}\t${quantiles(l)}`), NOTHING),
  misses: c => {
    const failed = {}, rest = {};
    for (const [reason, n] of Object.entries(lately(c).misses)) (FAILURES.includes(reason) ? failed : rest)[reason] = n;
    return list([...numbers(failed), ...numbers(rest)], "none", sum(failed) ? "warning" : "");
  },
  entries: c => [c.live ? [`${group(c.entries)} of ${group(c.max_entries)}`, bytes(c.size_bytes)] : ["closed"], ""],
  l2: (c, all) => {
    if (c.l2 === null) return [["none"], ""];
    const known = all.endpoints.find(e => e.l2 === c.l2);
    const [lines, state] = circuit(known ? known.circuit : "unknown");
    const moment = c.invalidations.last, heard = moment === null ? "no invalidation yet"
      : `last invalidation ${duration(Math.max(0, all.time - moment))} ago`;
    return [[...lines, c.l2, heard], state];
  },
};
const TOTALS = {
  lookups: c => [[group(c.requests), `hit ratio ${ratio(c.ratios.hit)}`], ""],
  loads: ({loads: l}) => [[`calls\t${group(l.calls)}`, `failed\t${group(sum(l.failures))}`,
    `coalesced\t${group(l.coalesced)}`, `duplicate\t${group(l.duplicate)}`], ""],
  stale: c => counts(c.stale_hits),
  evictions: c => counts(c.evictions.l1),
  removals: c => counts(c.removals.l1),
  errors: c => {
    const kinds = {};
    for (const e of c.errors) {
      const kind = `${e.tier.toUpperCase()} ${e.error}`;
      kinds[kind] = (kinds[kind] || 0) + e.count;
    }
    return counts(kinds);
  },
  counted: c => [[duration(c.uptime_seconds)], ""],
};
const L2 = {
  circuit: e => {
    let [lines, state] = circuit(e.circuit);
    if (sum(e.circuits) > 1) {
      lines = ["open", "half_open", "closed"].filter(name => e.circuits[name])
        .map(name => `${words(name)}\t${group(e.circuits[name])}`);
      if (lines.length > 1) state = "critical";
    }
    return [[...lines, `opened\t${group(e.circuit_transitions.open)} ×`], state];
  },
  listener: ({listener: l}) => {
    const all = l.connected + l.disconnected;
    if (!all) return [["none"], ""];
    const states = all === 1 ? [l.disconnected ? "disconnected" : "connected"]
      : [[l.disconnected, "disconnected"], [l.connected, "connected"]].filter(s => s[0]).map(s => s.join(" "));
    return [[...states, ...(l.lag_seconds.count ? [`lag\t${quantiles(l.lag_seconds)}`] : []),
      `probes lost\t${group(l.probes.lost)}`, `reconnects\t${group(l.reconnects)}`], l.disconnected ? "warning" : "ok"];
  },
  operations: e => [[e.recent ? rate(e.recent.operations_per_second) : NOTHING], ""],
  trips: e => [[e.recent && e.recent.latency_seconds.count ? quantiles(e.recent.latency_seconds) : NOTHING], ""],
  connections: ({connections: p}) => [[`in use\t${group(p.in_use)} of ${group(p.max)}`, `idle\t${group(p.idle)}`,
    `waited\t${seconds(p.wait_seconds)}`], 0 < p.max && p.max <= p.in_use ? "warning" : ""],
  by_operation: e => list(Object.entries(e.latency_seconds).filter(([, l]) => l.count)
    .map(([name, l]) => `${name}\t${quantiles(l)}`), NOTHING),
};

// The document. Only what changed is written, so that a selection and the focus stay.
const text = (element, value) => { if (element.textContent !== value) element.textContent = value; };
function fill(element, [lines, state]) {
  const key = lines.join("\n");
  if (element.shown !== key) {
    element.shown = key;
    element.replaceChildren(...lines.map(line => {
      const outer = document.createElement("span");
      const parts = line.split("\t");
      if (parts.length === 1) outer.textContent = line;
      else outer.replaceChildren(...parts.flatMap((part, i) => {
        const inner = document.createElement("span");
        inner.textContent = part;
        return i ? [" ", inner] : [inner];
      }));
      return outer;
    }));
  }
  if (element.dataset.state !== state) element.dataset.state = state;
}
function rows(table, items, name, cells, all) {
  const body = at(table).tBodies[0], old = new Map();
  for (const row of [...body.rows]) old.set(row.dataset.row, row);
  items.forEach((item, i) => {
    let row = old.get(item[name]);
    old.delete(item[name]);
    if (!row) {
      row = at(table + "-row").content.firstElementChild.cloneNode(true);
      row.dataset.row = item[name];
      row.querySelector("[data-name]").textContent = item[name];
    }
    if (body.rows[i] !== row) body.insertBefore(row, body.rows[i] || null);
    for (const cell of row.querySelectorAll("[data-v]")) fill(cell, cells[cell.dataset.v](item, all));
    const bar = row.querySelector(".bar rect");
    if (bar) bar.setAttribute("width", item.max_entries ? 100 * item.entries / item.max_entries : 0);
  });
  for (const row of old.values()) row.remove();
  at(table + "-empty").hidden = items.length > 0;
  at(table).hidden = !items.length;
}

// The last minutes: points of [time, caches, endpoints], each a reading of the counters. Behind one
// address several processes may answer in turn, each with counters of its own unless they are
// workers that count together.
const MOST_PROCESSES = 32;
let points = [], wantHistory = true, shown = "";
const minutes = new Map();
function remember(all) {
  const process = all.workers ? "workers" : `${all.process.pid} ${all.process.started}`, other = process !== shown;
  shown = process;
  points = minutes.get(process) || [];
  if (all.history) {
    const h = all.history, row = (columns, i) => Object.fromEntries(
      Object.entries(columns).map(([name, c]) => [name, Object.values(c).map(v => v[i])]));
    points = h.times.map((t, i) => [t, row(h.caches, i), row(h.endpoints, i)]);
    wantHistory = false;
  }
  const last = points.at(-1);
  if (!all.history && (!last || all.time - last[0] > GAP_S)) wantHistory = true;
  if (last && all.time - last[0] < STEP_S) {
    minutes.set(process, points);
    return other;
  }
  points.push([all.time,
    Object.fromEntries(all.caches.map(c => [c.name, [c.requests, c.hits.l1, c.hits.l2, c.misses.l2_unavailable]])),
    Object.fromEntries(all.endpoints.map(e => [e.l2, [sum(mapped(e, l => l.count)),
      sum(mapped(e, l => l.count * (l.mean || 0))), e.circuit]]))]);
  points = points.filter(p => p[0] > all.time - WINDOW_S - GAP_S);
  minutes.delete(process);
  minutes.set(process, points);
  if (minutes.size > MOST_PROCESSES) minutes.delete(minutes.keys().next().value);
  return true;
}
const mapped = (e, f) => Object.values(e.latency_seconds).map(f);
const SERIES = {
  rate: {part: 1, is: "Look-ups per second", show: v => short(v), top: 0,
    value: (a, b, dt) => (b[0] - a[0]) / dt, bad: (a, b) => b[3] > a[3]},
  ratio: {part: 1, is: "Hit ratio", show: ratio, top: 1,
    value: (a, b) => b[0] > a[0] ? (b[1] + b[2] - a[1] - a[2]) / (b[0] - a[0]) : null, bad: (a, b) => b[3] > a[3]},
  trips: {part: 2, is: "Mean time of an operation", show: seconds, top: 0,
    value: (a, b) => b[0] > a[0] ? (b[1] - a[1]) / (b[0] - a[0]) : null, bad: (a, b) => b[2] !== "closed"},
};
function spark(svg, name, now) {
  const s = SERIES[svg.dataset.s], drawn = [];
  if (!svg.firstChild) {
    for (const [key, value] of [["role", "img"], ["viewBox", "0 0 120 28"], ["preserveAspectRatio", "none"]])
      svg.setAttribute(key, value);
    for (let i = 0; i < 3; i++) svg.append(document.createElementNS(svg.namespaceURI, "path"));
  }
  for (let i = 1; i < points.length; i++) {
    if (points[i][0] < now - WINDOW_S) continue;
    const a = points[i - 1][s.part][name], b = points[i][s.part][name], dt = points[i][0] - points[i - 1][0];
    const good = a && b && a[0] !== null && b[0] !== null && b[0] >= a[0] && dt > 0 && dt < GAP_S;
    drawn.push([points[i][0], good ? s.value(a, b, dt) : null, good && s.bad(a, b), dt]);
  }
  const values = drawn.map(d => d[1]).filter(v => v !== null);
  const top = s.top || Math.max(...values, 0) || 1;
  const x = t => (120 * (1 - (now - t) / WINDOW_S)).toFixed(1);
  const runs = [[]];
  let bad = "", failed = 0;
  for (const [t, v, failing, dt] of drawn) {
    if (failing) { failed += dt; bad += `M${x(t - dt)} 25H${x(t)}`; }
    if (v === null) runs.push([]);
    else runs.at(-1).push(`${x(t)} ${(24 - 22 * v / top).toFixed(1)}`);
  }
  const lines = runs.filter(run => run.length), [area, line, failures] = svg.children;
  area.setAttribute("d", lines.map(run => `M${run[0].split(" ")[0]} 28L${run.join("L")}V28Z`).join(""));
  line.setAttribute("d", lines.map(run => `M${run.join("L")}h.1`).join(""));
  failures.setAttribute("d", bad);
  svg.setAttribute("aria-label", values.length
    ? `${s.is}, last five minutes: lowest ${s.show(Math.min(...values))}, highest ${s.show(Math.max(...values))}, `
      + `latest ${s.show(values.at(-1))}` + (failed ? `; L2 failed during ${duration(failed)}` : "")
    : `${s.is}: no history yet`);
  svg.removeAttribute("hidden");
}

// What the page says above all else.
let last = performance.now(), asked = 0, answer = null, trouble = "", paused = false, said = "";
function verdict(status, summary, problems) {
  const key = [status, summary, ...problems].join("\n");
  if (said === key) return;
  said = key;
  at("verdict").dataset.state = status;
  text(at("summary"), summary);
  at("problems").replaceChildren(...problems.map(problem => {
    const item = document.createElement("li");
    item.textContent = problem;
    return item;
  }));
  document.title = `${summary} · routecache`;
}
function tick() {
  if (paused) return;
  // Silence counts from when an answer was due, not from the last one: a browser may have let the
  // page sleep meanwhile.
  const now = performance.now(), age = (now - last) / 1000;
  const silent = trouble || (asked && now - Math.max(last, asked - POLL_MS) > LATE_MS);
  document.body.classList.toggle("silent", Boolean(silent));
  text(at("live"), silent ? `Last answer ${duration(age)} ago` : "Live, each second");
  if (silent) verdict("silent", "No answer", [(trouble || "The exporter does not answer.")
    + (answer ? ` The numbers below are those of ${clock(answer.time)}.` : "")]);
  else if (answer) verdict(answer.status, answer.summary, answer.problems.map(p => p.text));
}
function show(all) {
  answer = all;
  const recent = all.recent, p = all.process, closed = all.endpoints.filter(e => e.circuit === "closed");
  const w = all.workers;
  text(at("identity"), (w ? [p.version, w.processes === 1 ? "1 worker" : `${group(w.processes)} workers together`,
    `Python ${p.python}`, ...(w.since === null ? [] : [`counting for ${duration(Math.max(0, all.time - w.since))}`]),
    ...(w.complete ? [] : ["incomplete"])] : [p.version, `process ${p.pid}`, `Python ${p.python}`,
    ...(p.uptime_seconds === null ? [] : [`up ${duration(p.uptime_seconds)}`])]).join(" · "));
  text(at("window"), recent ? `the last ${duration(recent.seconds)}` : "the time since the start");
  text(at("all-rate"), recent ? rate(recent.requests_per_second) : NOTHING);
  text(at("all-ratio"), recent ? ratio(recent.ratios.hit) : NOTHING);
  text(at("all-l2"), all.endpoints.length ? `${closed.length} of ${all.endpoints.length} in use` : "none");
  rows("caches", all.caches, "name", CACHES, all);
  rows("l2", all.endpoints, "l2", L2, all);
  rows("totals", all.caches, "name", TOTALS, all);
  if (remember(all)) for (const svg of document.querySelectorAll("tbody .spark"))
    spark(svg, svg.closest("[data-row]").dataset.row, all.time);
}
async function poll() {
  const began = performance.now();
  if (!paused) {
    asked = began;
    try {
      const response = await fetch(BASE + "stats.json" + (wantHistory ? "?history" : ""),
        {cache: "no-store", signal: AbortSignal.timeout(GIVE_UP_MS)});
      if (response.ok) {
        const all = await response.json();
        if (all.schema !== 1) throw new Error(`schema ${all.schema}`);
        if (!paused) { last = performance.now(); trouble = ""; show(all); }
      } else trouble = `The exporter cannot tell: it answers with status ${response.status}.`;
    } catch (error) {
      trouble = error instanceof TypeError || error.name === "TimeoutError"
        ? "The exporter does not answer." : "The exporter's answer cannot be read.";
    }
    asked = 0;
    tick();
  }
  setTimeout(poll, Math.max(0, POLL_MS - (performance.now() - began)));
}

const pause = at("pause");
pause.hidden = false;
pause.addEventListener("click", () => {
  paused = !paused;
  pause.setAttribute("aria-pressed", String(paused));
  if (paused) text(at("live"), answer ? `Paused at ${clock(answer.time)}` : "Paused");
  else { last = performance.now(); wantHistory = true; tick(); }
});
setInterval(tick, 250);
poll();
})();
