"use strict";
(() => {
// What is shown is what /health said last, and how long ago that was. Events only say that it is time to ask again.
const STALE_MS = 5000, LATE_MS = 2500, POLL_MS = 1000, BURST_MS = 200, ANSWER_MS = 4000, KEPT = 1000, SHOWN = 300, TEXT = 4000;
const LEVELS = { debug: 0, info: 1, warn: 2, error: 3 };
const $ = (id) => document.getElementById(id);
const body = document.body;

let token = "", health = null, heardAt = -Infinity, failing = false, locked = false, skew = 0, name = "bootseal", bootId = "";
const began = performance.now();

// --- text: nothing from outside is ever anything but text ---

const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;
const shown = (value, limit = TEXT) => {
  const text = String(value ?? "").replace(/\u001b\[[0-9;]*m/g, "");
  const cut = text.length > limit ? `${text.slice(0, limit)} … (${text.length - limit} more characters)` : text;
  return cut.replace(HIDDEN, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
};
const write = (node, text) => { if (node.textContent !== text) node.textContent = text; };
const make = (tag, kind = "", text = "") => {
  const node = document.createElement(tag);
  if (kind) node.className = kind;
  if (text) node.textContent = text;
  return node;
};
const show = (node, is) => { node.hidden = !is; };
const mark = (what) => { performance.clearMarks(what); performance.mark(what); };
const list = (value) => (Array.isArray(value) ? value : []);
const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

// --- time ---

const span = (seconds) => {
  if (seconds < 1) return "now";
  if (seconds < 100) return `${Math.floor(seconds)} s`;
  if (seconds < 5940) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86400)} d`;
};
const ago = (at) => { const text = span((Date.now() + skew - at) / 1000); return text === "now" ? "just now" : `${text} ago`; };
const clock = (at, digits = 0) => {
  const time = new Date(at), pad = (number, size = 2) => String(number).padStart(size, "0");
  return `${pad(time.getHours())}:${pad(time.getMinutes())}:${pad(time.getSeconds())}${digits ? `.${pad(time.getMilliseconds(), 3)}` : ""}`;
};
const setTime = (node, stamp) => {
  const at = Date.parse(stamp ?? "");
  if (Number.isNaN(at)) { write(node, ""); node.removeAttribute("datetime"); return; }
  if (node.dateTime !== stamp) { node.dateTime = stamp; node.title = `${new Date(at).toString()}\n${stamp}`; }
  write(node, ago(at));
};
const seconds = (value) => (value === null || value === undefined ? "" : `${value < 10 ? value.toFixed(2) : value < 1000 ? value.toFixed(1) : Math.round(value)} s`);

// --- tables whose rows stay the same nodes, so that selection and focus survive ---

const rows = (table, items, key, build, fill) => {
  const tbody = table.tBodies[0], known = (table.known ??= new Map()), seen = new Set();
  let next = tbody.firstChild;
  for (const item of items) {
    const id = key(item);
    if (seen.has(id)) continue;
    seen.add(id);
    let row = known.get(id);
    if (!row) { row = build(item); row.setAttribute("role", "row"); known.set(id, row); }
    fill(row, item);
    if (row === next) next = next.nextSibling; else tbody.insertBefore(row, next);
  }
  for (const [id, row] of known) if (!seen.has(id)) { row.remove(); known.delete(id); }
};
const cells = (...kinds) => {
  const row = document.createElement("tr");
  kinds.forEach((kind, index) => {
    const cell = make(index ? "td" : "th", kind);
    cell.setAttribute("role", index ? "cell" : "rowheader");
    if (!index) cell.scope = "row";
    if (kind.includes("since")) cell.append(make("time"));
    row.append(cell);
  });
  return row;
};
const label = (cell, text) => { if (cell.textContent) cell.dataset.label = text; else delete cell.dataset.label; };

// --- the answer ---

const answer = () => {
  const age = performance.now() - Math.max(heardAt, began), isStale = age > STALE_MS, isLate = failing || age > LATE_MS;
  const link = isStale ? "stale" : locked || refusal ? "locked" : !health ? (isLate ? "reconnecting" : "connecting") : isLate || !stream.isOpen ? "reconnecting" : "live";
  const texts = {
    stale: `stale: nothing heard for ${span(age / 1000)}`, locked: locked ? "a token is needed" : "not for this client", connecting: "connecting", live: "live",
    reconnecting: isLate || !health ? "reconnecting" : "state is live, events are reconnecting",
  };
  body.dataset.link = $("link").dataset.link = link;
  write($("link-text"), texts[link]);
  let verdict = "unknown", word = "…", reason = locked || refusal ? "The container answers, and does not say here whether it is ready." : "Asking the container.", spoken = "";
  if (isStale) {
    verdict = "stale"; word = "NO ANSWER";
    const then = heardAt > 0 && readiness ? ` What is shown is how it stood at ${clock(Date.now() - age)}: ${readiness.ready ? "ready" : `unready, ${readiness.reason}`}.` : "";
    reason = `Nothing was heard from the container for ${span(age / 1000)}.${shown(then, 400)}`;
    spoken = "No answer from the container. What is shown is old.";
  } else if (readiness) {
    verdict = readiness.ready ? "ready" : "unready"; word = readiness.ready ? "READY" : "UNREADY";
    reason = readiness.ready ? calm() : sentence(shown(readiness.reason, 600));
    spoken = readiness.ready ? "Ready." : `Unready: ${reason}`;
  }
  if (body.dataset.verdict !== verdict) { body.dataset.verdict = verdict; favicon(verdict); mark(`shown:${word}`); }
  write($("verdict"), word);
  write($("reason"), reason);
  const silent = spoken.replace(/[0-9.]+/g, "#");
  if (silent !== lastSpoken) { lastSpoken = silent; $("say").textContent = spoken; }
  document.title = `${word} · ${shown(name, 60)}`;
};
let readiness = null, refusal = "", lastSpoken = "";
const sentence = (text) => (text ? text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".") : "");
const calm = () => {
  const trouble = list(health?.programs).filter((view) => view.state === "failed" && !view.required).length;
  return trouble ? `All that is required is ready; ${plural(trouble, "optional program")} failed.` : "All that is required is ready.";
};
const favicon = (verdict) => {
  const colour = { ready: "1c8a50", unready: "c4362e" }[verdict] ?? "777", cut = verdict === "ready" ? "M4 8.5l3 3 5-6" : verdict === "unready" ? "M5 5l6 6m0-6l-6 6" : "M5 8h6";
  $("icon").href = `data:image/svg+xml,${encodeURIComponent(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><circle cx="8" cy="8" r="8" fill="#${colour}"/><path d="${cut}" fill="none" stroke="#fff" stroke-width="2"/></svg>`)}`;
};

// --- what /health says ---

const render = () => {
  const { boot, programs, seal } = { boot: {}, seal: {}, ...health, programs: list(health.programs) };
  if (boot.id !== bootId) { bootId = boot.id; about(); }
  const facts = [], since = Date.parse(readiness.since ?? list(readiness.missing)[0]?.since ?? "");
  if (since) facts.push(`since ${clock(since)} (${ago(since)})`);
  if (health.phase) facts.push(health.phase);
  if (seal.accepted) facts.push(`seal accepted${seal.late ? ", late" : ""}`);
  if (typeof boot.seal_due_in_seconds === "number") facts.push(`seal due in ${Math.max(0, Math.round(boot.seal_due_in_seconds))} s`);
  if (boot.generation > 1) facts.push(`generation ${boot.generation}`);
  if (boot.started_at) facts.push(`booted ${ago(Date.parse(boot.started_at))}`);
  write($("facts"), shown(facts.join(" · ")));

  const missing = readiness.ready ? [] : list(readiness.missing);
  show($("missing"), missing.length);
  rows($("missing").querySelector("table"), missing, (row) => `${row.kind} ${row.id}`, () => cells("", "num", "why", "num since"), (row, item) => {
    fill(row, [shown(item.id, 200), shown(item.kind), shown(item.reason)], item.since);
  });
  lastWords(programs);
  programTable(programs);

  const requirements = list(health.requirements);
  show($("requirements"), requirements.length);
  rows($("requirements").querySelector("table"), requirements, (row) => `${row.kind} ${row.id}`, () => cells("", "state", "why", "num since"), (row, item) => {
    fill(row, ["", item.met ? "● met" : "✕ unmet", shown(item.reason)], item.since);
    named(row.cells[0], item.id, [item.kind, item.required ? "" : "optional"]);
    row.cells[1].className = `state ${item.met ? "ready" : "failed"}`;
  });
  const warnings = list(boot.warnings);
  show($("warnings"), warnings.length);
  const items = $("warnings").querySelector("ul");
  if (items.childElementCount !== warnings.length) items.replaceChildren(...warnings.map((text) => make("li", "", shown(text))));
  waterfall(boot, programs, seal);
  show($("detail"), true);
};
const fill = (row, texts, since) => {
  texts.forEach((text, index) => { if (text || row.cells[index].childElementCount === 0) write(row.cells[index], text); });
  setTime(row.cells[3].querySelector("time"), since);
};
const named = (cell, id, tags) => {
  const text = tags.filter(Boolean).join(", "), key = `${id}\n${text}`;
  if (cell.key === key) return;
  cell.key = key;
  cell.replaceChildren(make("bdi", "", shown(id, 200)), ...(text ? [" ", make("small", "", shown(text))] : []));
};

const isOwn = (view) => view.role !== "program";
const rank = (view) => (isOwn(view) ? 6 : 0) + (view.state === "ready" ? 4 : view.required ? 0 : 2) + (view.state === "pending" ? 1 : 0);
const programTable = (programs) => {
  const theirs = programs.filter((view) => !isOwn(view)), ready = theirs.filter((view) => view.state === "ready").length;
  const { fresh, age_seconds: age } = health.ledger ?? {}, isOld = fresh === false && programs.length > 0;
  body.dataset.ledger = isOld ? "stale" : "fresh";
  write($("programs").querySelector(".count"), `${ready} of ${theirs.length} ready${isOld ? `, as PID 1 last told, ${span(age)} ago` : ""}`);
  const sorted = programs.map((view, index) => [rank(view), index, view]).sort((a, b) => a[0] - b[0] || a[1] - b[1]).map((one) => one[2]);
  rows($("programs").querySelector("table"), sorted, (view) => view.name, () => cells("", "state", "why", "num since", "tally", "num"), (row, view) => {
    const why = view.reason || view.status || (view.ready_by ? `proven: ${view.ready_by}` : "");
    fill(row, ["", "", shown(why)], view.since);
    named(row.cells[0], view.name, [isOwn(view) ? "bootseal" : view.required ? "" : "optional", view.oneshot ? "one-shot" : ""]);
    const [state] = row.cells[1].childNodes, glyph = { ready: "●", failed: "✕", stale: "?", pending: "○" }[view.state] ?? "?";
    if (!state) row.cells[1].append(make("span"), " ", make("small"));
    write(row.cells[1].firstChild, `${glyph} ${shown(view.state, 40)}`);
    write(row.cells[1].lastChild, shown(view.supervisor_state, 40));
    row.cells[1].className = `state ${["ready", "failed", "stale"].includes(view.state) ? view.state : ""}`;
    row.className = isOwn(view) ? "own" : "";
    const causes = Object.entries(view.restart_reasons ?? {}).filter(([, count]) => count).map(([why, count]) => `${count} ${why}`).join(", ");
    write(row.cells[4], view.restarts ? `${view.restarts}${causes ? ` (${shown(causes)})` : ""}` : "");
    write(row.cells[5], view.pid ? String(view.pid) : "");
    label(row.cells[3], "since"); label(row.cells[4], "restarts"); label(row.cells[5], "pid");
  });
};

const lastWords = (programs) => {
  const speaking = programs.filter((view) => view.state !== "ready" && (!isOwn(view) || view.state === "failed") && list(view.last_output).length).sort((a, b) => rank(a) - rank(b));
  show($("words"), speaking.length);
  const place = $("words").querySelector("div"), said = speaking.slice(0, 6), key = JSON.stringify([speaking.length, said.map((view) => [view.name, view.reason, view.last_output])]);
  if (place.key === key) return;
  place.key = key;
  const figures = said.map((view) => {
    const figure = make("figure"), caption = make("figcaption"), text = make("pre", "", list(view.last_output).map((line) => shown(line)).join("\n"));
    caption.append(make("strong", "", shown(view.name, 200)), ` ${shown(view.reason || view.state)}`);
    text.tabIndex = 0;
    text.setAttribute("role", "group");
    text.setAttribute("aria-label", `Last output of ${shown(view.name, 200)}`);
    figure.append(caption, text);
    return figure;
  });
  if (speaking.length > said.length) figures.push(make("p", "count", `${plural(speaking.length - said.length, "more program")} in trouble said something: see /health.`));
  place.replaceChildren(...figures);
};

// --- the boot as a waterfall: seconds since it began, on one axis ---

const waterfall = (boot, programs, seal) => {
  const since = (stamp) => { const at = (Date.parse(stamp ?? "") - Date.parse(boot.started_at)) / 1000; return Number.isNaN(at) ? null : at; };
  const elapsed = boot.elapsed_seconds ?? 0, sealed = typeof seal.elapsed_seconds === "number" && boot.generation < 2 ? seal.elapsed_seconds : since(seal.at);
  const phases = boot.generation > 1 ? [] : list(boot.phases).map((phase) => ({ name: phase.name, from: phase.started_seconds ?? 0, to: (phase.started_seconds ?? 0) + (phase.duration_ms ?? 0) / 1000 }));
  const moments = [...phases.map((phase) => phase.to), ...programs.flatMap((view) => [view.first?.spawned, view.first?.running, view.first?.ready])].filter((at) => typeof at === "number");
  const start = boot.generation > 1 ? Math.min(elapsed, ...moments) : 0;
  const isWaiting = programs.some((view) => view.state !== "ready" && typeof view.first?.ready !== "number");
  const isSealed = sealed !== null && sealed >= start;
  const reach = isSealed ? Math.max(sealed, ...moments.filter((at) => at <= start + (sealed - start) * 1.5 + 1)) : Math.max(start, ...moments);
  const margin = (reach - start) * (isWaiting ? 0.25 : 0.02) + 0.05;  // what comes long after the seal runs out of the picture; before it, now is in it
  const end = Math.max(start + 0.01, isSealed ? Math.min(Math.max(elapsed, reach), reach + margin) : Math.max(elapsed, reach));
  const step = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4].find((size) => (end - start) / size <= (innerWidth < 700 ? 4 : 8)) ?? (end - start) / 4;
  const at = (value) => (100 * (Math.min(Math.max(value, start), end) - start)) / (end - start);
  const table = $("boot").querySelector("table"), axis = table.querySelector(".axis"), ticks = [];
  table.style.setProperty("--step", `${(100 * step) / (end - start)}%`);
  for (let count = 0; start + count * step < end - step * 0.4; count++) {
    const tick = make("i", "", `${+(start + count * step).toFixed(2)}${count ? "" : " s"}`);
    tick.style.left = `${at(start + count * step)}%`;
    ticks.push(tick);
  }
  axis.replaceChildren(...ticks);
  const bar = (kind, from, to) => { const node = make("i", kind); node.style.left = `${at(from)}%`; node.style.width = `${Math.max(0, at(to) - at(from))}%`; return node; };
  const steps = [
    ...phases.map((phase) => ({ key: `phase ${phase.name}`, name: phase.name, own: true, bars: [["phase", phase.from, phase.to]], done: seconds(phase.to), text: `phase, began at ${seconds(phase.from)}, took ${seconds(phase.to - phase.from)}` })),
    ...programs.map((view, index) => ({ view, index })).sort((a, b) => (a.view.first?.spawned ?? Infinity) - (b.view.first?.spawned ?? Infinity) || a.index - b.index).map(({ view }) => of(view, end, view.state === "failed" ? since(view.since) : null)),
  ];
  if (isSealed) steps.push({ key: "seal", name: "sealed", own: true, bars: [], done: seconds(sealed), text: `sealed at ${seconds(sealed)}` });
  write($("boot").querySelector(".count"), isSealed ? `sealed after ${seconds(sealed)}` : `${seconds(elapsed)} so far, not sealed`);
  rows(table, steps, (one) => one.key, () => { const row = cells("", "", "num"); row.cells[1].append(make("span", "unseen"), make("span", "track")); row.cells[1].lastChild.setAttribute("aria-hidden", "true"); return row; }, (row, one) => {
    row.className = one.own ? "own" : "";
    named(row.cells[0], one.name, []);
    row.cells[0].title = row.cells[1].title = `${shown(one.name, 200)}: ${one.text}`;
    write(row.cells[1].firstChild, one.text);
    write(row.cells[2], one.done);
    const key = JSON.stringify([one.bars.map(([kind, from, to]) => [kind, at(from), at(to)]), isSealed && at(sealed)]), track = row.cells[1].lastChild;
    if (track.key === key) return;
    track.key = key;
    track.replaceChildren(...one.bars.map((one) => bar(...one)), ...(isSealed ? [bar("seal", sealed, sealed)] : []));
  });
};
const of = (view, end, failedAt) => {
  const { spawned = null, running = null, ready = null } = view.first ?? {}, bars = [], text = [], to = failedAt === null ? end : Math.max(failedAt, spawned ?? 0, ready ?? 0);
  bars.push(["wait", 0, spawned ?? ready ?? to]);
  if (spawned !== null) {
    const last = view.state === "failed" ? "failed" : "", stop = ready ?? to;
    text.push(`started at ${seconds(spawned)}`);
    bars.push([running === null ? (last || "start") : "start", spawned, running === null ? stop : Math.min(running, stop)]);
    if (running !== null) text.push(`RUNNING at ${seconds(running)}`);
    if (running !== null && running < stop) bars.push([ready === null ? last || "run" : "run", running, stop]);
  } else if (ready === null) text.push("not started");
  if (ready !== null) { text.push(`ready at ${seconds(ready)}`); if (!view.oneshot) bars.push(["ready", ready, to]); else bars.push(["ready", ready, ready]); }
  else text.push(`not ready: ${view.reason || view.state}`);
  if (failedAt !== null) { text.push(`failed at ${seconds(to)}`); bars.push(["failed", to, to]); }
  return { key: `program ${view.name}`, name: view.name, own: isOwn(view), bars, done: ready === null ? shown(view.state, 20) : seconds(ready), text: shown(text.join(", "), 400) };
};

// --- events ---

const log = $("log"), kept = [];
let fresh = [], drawAt = 0, cursor = "";
const take = (message) => {
  let event = null;
  try { event = JSON.parse(message.data); } catch { event = { event: message.event, unreadable: message.data }; }
  if (event === null || typeof event !== "object") event = { event: message.event };
  if (message.id !== undefined) cursor = message.id;
  mark(`event:${message.event}`);
  const entry = { event, text: message.data.toLowerCase(), isGap: message.event === "gap" };
  kept.push(entry); fresh.push(entry);
  if (kept.length > KEPT) kept.shift();
  if (!drawAt) drawAt = setTimeout(draw, 60);
};
const draw = () => {
  drawAt = 0;
  const wanted = fresh.filter(passes).slice(-SHOWN);
  fresh = [];
  log.querySelector(".none")?.remove();
  log.prepend(...wanted.map(item).reverse());
  while (log.childElementCount > SHOWN) log.lastChild.remove();
  if (!log.childElementCount) log.append(make("li", "none", kept.length ? "None of the events is like that." : "No event yet."));
  write($("events").querySelector(".count"), kept.length ? `the last ${kept.length}, the newest first` : "");
};
const redraw = () => { log.replaceChildren(); fresh = kept.slice(); draw(); };
const passes = ({ event, text, isGap }) => isGap || ((LEVELS[event.level] ?? 1) >= Number($("level").value) && text.includes($("search").value.trim().toLowerCase()));
const SAID = ["phase", "program", "artifact", "signal", "reason", "why", "what", "ready_by", "cause", "error", "path"];
const item = ({ event, isGap }) => {
  const node = make("li", isGap ? "warn" : Object.hasOwn(LEVELS, event.level) ? event.level : ""), details = make("details"), summary = make("summary"), at = Date.parse(event.time ?? "");
  if (!Number.isNaN(at)) { const time = make("time", "", clock(at, 3)); time.title = shown(event.time, 60); summary.append(time, " "); }
  const said = SAID.map((field) => event[field]).filter((value) => typeof value === "string" && value).map((value) => shown(value, 300));
  if (typeof event.ready === "boolean") said.unshift(event.ready ? "ready" : "unready");
  summary.append(make("b", "", isGap ? "Some events may be missing" : shown(event.event, 64)), " ", make("bdi", "", said.join(" · ")));
  details.append(summary);
  details.addEventListener("toggle", () => { if (details.open && details.childElementCount === 1) details.append(make("pre", "", shown(JSON.stringify(event, null, 1), 20000))); });
  node.append(details);
  return node;
};

const stream = { isOpen: false, stop: null };
const listen = async () => {
  for (let pause = 500; ; pause = Math.min(pause * 2, 10000)) {
    if (!locked && !refusal) {
      stream.stop = new AbortController();
      try {
        const found = await fetch(`/v1/events${cursor ? `?after=${encodeURIComponent(cursor)}` : ""}`, { ...how(), signal: stream.stop.signal });
        if (found.ok) {
          stream.isOpen = true; pause = 250; answer();
          await readMessages(found.body.getReader());
        } else if (found.status === 401) ask();
      } catch { /* it is tried again, and the answer says since when nothing was heard */ }
      stream.isOpen = false;
    }
    await new Promise((done) => { setTimeout(done, pause); });
  }
};
const readMessages = async (reader) => {
  const decoder = new TextDecoder();
  let text = "", message = {};
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (text + decoder.decode(value, { stream: true })).split("\n");
    text = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (message.data !== undefined) heard(message);
        message = {};
      } else if (!line.startsWith(":")) {
        const colon = line.indexOf(":"), field = colon < 0 ? line : line.slice(0, colon);
        message[field] = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      }
    }
  }
};
const heard = (message) => {
  if (message.event === "gap") { kept.length = 0; fresh = []; log.replaceChildren(); }
  take({ event: "event", ...message });
  ask();
};

// --- asking ---

let timer = 0, isAsking = false, isDue = false, askedAt = -Infinity;
const how = () => ({ headers: token ? { Authorization: `Bearer ${token}` } : {}, cache: "no-store", credentials: "omit", redirect: "error" });
const get = (path) => fetch(path, { ...how(), signal: AbortSignal.timeout(ANSWER_MS) });
const ask = () => {  // soon: at once, but never more often than BURST_MS
  if (isAsking) { isDue = true; return; }
  clearTimeout(timer);
  timer = setTimeout(poll, Math.max(0, askedAt + BURST_MS - performance.now()));
};
const poll = async () => {
  isAsking = true; isDue = false; askedAt = performance.now();
  try {
    const asked = performance.now(), found = await get("/health");
    if (found.ok) {
      const said = await found.json();
      if (!said.readiness || !Array.isArray(said.programs)) throw new Error("not /health");
      health = said; readiness = said.readiness; locked = false; refusal = ""; heardAt = asked; failing = false;
      const date = Date.parse(found.headers.get("Date") ?? "");
      if (!Number.isNaN(date) && Math.abs(date + 500 - Date.now() - skew) > 1500) skew = date + 500 - Date.now();
      show($("access"), false); show($("refused"), false);
      render();
    } else await refused(found);
  } catch { failing = true; }
  isAsking = false;
  answer();
  timer = setTimeout(poll, isDue ? BURST_MS : POLL_MS);
};
const refused = async (found) => {  // the headline may be had even where detail may not
  const why = (await found.json().catch(() => ({}))).error ?? `status ${found.status}`;
  locked = found.status === 401; refusal = locked ? "" : String(why); health = null;
  show($("access"), locked); show($("refused"), !locked); show($("detail"), false); show($("missing"), false); show($("words"), false);
  write($("refused"), sentence(shown(why)));
  write($("facts"), "");
  if (locked && token) { token = ""; write($("access-text"), "That was not the token. It is asked for again."); }
  const asked = performance.now(), plain = await get("/ready"), said = await plain.json();
  readiness = typeof said.ready === "boolean" ? said : null; heardAt = asked; failing = false;
};
$("access").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  $("token").value = "";
  write($("access-text"), "Asking.");
  locked = false;
  stream.stop?.abort();
  ask();
});

const about = async () => {
  try {
    const found = await get("/v1/meta");
    if (!found.ok) return;
    const meta = await found.json();
    name = String(meta.name ?? "bootseal");
    write($("name"), shown(name, 80));
    write($("identity"), shown(meta.identity?.id ?? "", 80));
    write($("about"), shown([`bootseal ${meta.bootseal ?? ""}`, meta.supervisor && `supervisor ${meta.supervisor}`, `boot ${bootId}`, meta.plan_sha256 && `plan ${meta.plan_sha256.slice(0, 12)}`].filter(Boolean).join(" · ")));
    answer();
  } catch { bootId = ""; }
};

$("search").addEventListener("input", redraw);
$("level").addEventListener("change", redraw);
document.addEventListener("visibilitychange", () => { if (!document.hidden) { answer(); ask(); } });
setInterval(() => {
  answer();
  for (const node of document.querySelectorAll("time[datetime]")) write(node, ago(Date.parse(node.dateTime)));
}, 500);
poll();
listen();
})();
