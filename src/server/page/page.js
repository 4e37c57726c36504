// The page at `/`: asks this server for its indexes, sends searches, shows what comes back.
// Item ids may exceed what a JavaScript number holds, so they stay text everywhere.

const $ = (id) => document.getElementById(id);
const PAGE = 20;
const TAGS_SHOWN = 6;

const state = {
  index: null, // the reply of GET /v1/indexes/{name}
  mode: "example",
  examples: [],
  total: 0,
  from: 0,
  chosen: null,
  asked: 0, // numbers the searches, so that a late reply does not replace a newer one
};

/// Builds an element; children may be text, elements, or null.
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== null));
  return element;
}

/// JSON.parse that keeps integers it could not represent as text.
function parse(text) {
  return JSON.parse(text, (_, value, context) =>
    typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value)
      && context?.source && /^-?\d+$/.test(context.source) ? context.source : value);
}

/// An error with the problem document that the server sent.
class Problem extends Error {
  constructor(problem) {
    super(problem.detail);
    this.problem = problem;
  }
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Problem({ title: "The server does not answer", detail: "Is it still running?", errors: [] });
  }
  const text = await response.text();
  let body;
  try {
    body = parse(text);
  } catch {
    // Something between here and the server answered in its place.
    throw new Problem({ title: `Not an answer of this server (HTTP ${response.status})`, detail: text.slice(0, 200), errors: [] });
  }
  if (!response.ok) throw new Problem(body);
  return body;
}

const route = (rest = "") => `/v1/indexes/${encodeURIComponent(state.index.name)}${rest}`;
const grouped = (number) => Number(number).toLocaleString("en-US");

function bytes(count) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let at = 0;
  while (count >= 1000 && at < units.length - 1) {
    count /= 1000;
    at += 1;
  }
  return `${count >= 100 || at === 0 ? Math.round(count) : count.toFixed(1)} ${units[at]}`;
}

// ---- Which index

async function start() {
  const { indexes } = await ask("/v1/indexes");
  $("index").replaceChildren(...indexes.map(({ name }) => make("option", { value: name }, name)));
  const wanted = decodeURIComponent(location.hash.slice(1));
  if (indexes.some(({ name }) => name === wanted)) $("index").value = wanted;
  if (indexes.length > 0) await choose($("index").value);
  else $("empty").textContent = "This server has no index.";
}

async function choose(name) {
  state.index = await ask(`/v1/indexes/${encodeURIComponent(name)}`);
  history.replaceState(null, "", `#${encodeURIComponent(name)}`);
  document.title = `${name} · vicinage`;
  showFacts();
  showAttributes();
  clear();
  $("vector").value = "";
  $("item").value = "";
  hintVector();
  state.chosen = null;
  $("tab-example").hidden = state.index.examples === 0;
  if (state.index.examples > 0) {
    await showExamples(0);
    mode("example");
    await pick(0);
  } else if (state.mode === "example" || state.mode === "item") {
    mode("item");
  }
}

function showFacts() {
  const { n, dim, metric, element, memory, self_check: check, build } = state.index;
  const fact = (value, word, title = "") => make("li", { title }, make("b", {}, value), ` ${word}`);
  $("facts").replaceChildren(
    fact(grouped(n), "items"),
    fact(String(dim), "dimensions"),
    fact(metric, element),
    fact(bytes(memory.file_bytes), `on disk, ${memory.load}`),
    ...(check
      ? [fact(check.recall_distance.toFixed(3), `recall@${check.k}`,
          `self-check at build: ${check.queries} queries from ${check.queries_from}, ef ${check.ef}; by id ${check.recall_id.toFixed(3)}`)]
      : []),
    fact(build.builder, "graph", `max degree ${build.max_degree}, ef_construction ${build.ef_construction}, alpha ${build.alpha}, written by ${build.writer}`),
  );
}

function showAttributes() {
  const { attributes } = state.index;
  const legend = $("attributes").querySelector("legend");
  $("attributes").hidden = attributes.length === 0;
  $("attributes").replaceChildren(legend, ...attributes.map(({ name, kind }) =>
    make("label", { title: kind },
      make("input", { type: "checkbox", value: name, checked: true }),
      make("span", {}, name))));
}

// ---- What to search with

function mode(name) {
  state.mode = name;
  for (const other of ["example", "item", "vector"]) {
    $(`tab-${other}`).setAttribute("aria-selected", other === name);
    $(`tab-${other}`).tabIndex = other === name ? 0 : -1;
    $(`pane-${other}`).hidden = other !== name;
  }
}

async function showExamples(from) {
  const page = await ask(route(`/examples?from=${from}&count=${PAGE}`));
  Object.assign(state, { examples: page.examples, total: page.total, from: page.from });
  $("range").textContent =
    `${page.from + 1}–${page.from + page.examples.length} of ${grouped(page.total)}`;
  $("previous").disabled = page.from === 0;
  $("next").disabled = page.from + page.examples.length >= page.total;
  $("examples").replaceChildren(...page.examples.map(({ label }, at) => {
    const button = make("button", { type: "button", title: label }, label);
    button.addEventListener("click", () => run(() => pick(at)));
    const row = make("li", {}, button);
    row.setAttribute("role", "option");
    return row;
  }));
}

async function pick(at) {
  state.chosen = state.examples[at];
  [...$("examples").children].forEach((row, other) =>
    row.setAttribute("aria-selected", other === at));
  const row = $("examples").children[at];
  $("examples").scrollTop = row.offsetTop - $("examples").offsetTop - 60;
  $("lines").replaceChildren(...state.chosen.lines.map((line) => make("li", {}, line)));
  await search();
}

async function surprise() {
  const at = Math.floor(Math.random() * state.total);
  await showExamples(at - (at % PAGE));
  await pick(at % PAGE);
}

/// The numbers in the text, or the text itself where it looks like base64.
function readVector() {
  const text = $("vector").value.trim();
  if (text === "") return null;
  const words = text.replace(/^\[|\]$/g, "").split(/[\s,;]+/).filter((word) => word !== "");
  const numbers = words.map(Number);
  if (words.length > 1 || state.index.dim === 1) {
    if (numbers.every(Number.isFinite)) return { numbers };
    const wrong = words[numbers.findIndex((number) => !Number.isFinite(number))];
    return { wrong: `“${wrong.slice(0, 24)}” is not a number` };
  }
  return { base64: text };
}

function hintVector() {
  const read = readVector();
  const { dim } = state.index;
  const count = read?.numbers?.length ?? Math.floor(((read?.base64 ?? "").replace(/=+$/, "").length * 3) / 16);
  const fits = read === null || (!read.wrong && count === dim);
  $("vector-hint").classList.toggle("off", !fits);
  $("vector-hint").textContent = read === null
    ? `${dim} numbers, or base64 of ${dim * 4} bytes.`
    : read.wrong ?? `${count} of ${dim} dimensions${read.base64 ? ", base64" : ""}.`;
}

// ---- Searching

/// The query as JSON text: item ids keep all their digits.
function queryText() {
  if (state.mode === "example") {
    if (state.chosen === null) throw new Problem({ title: "No member is chosen", errors: [] });
    return JSON.stringify({ vector_b64: state.chosen.vector_b64 });
  }
  if (state.mode === "item") {
    const id = $("item").value.trim();
    if (!/^\d+$/.test(id)) throw new Problem({ title: "An item id is a whole number", errors: [] });
    return `{"item_id":${id.replace(/^0+(?=\d)/, "")}}`;
  }
  const read = readVector();
  if (read === null) throw new Problem({ title: "Paste a vector first", errors: [] });
  if (read.wrong) throw new Problem({ title: "This is not a vector", detail: read.wrong, errors: [] });
  return JSON.stringify(read.base64 ? { vector_b64: read.base64 } : { vector: read.numbers });
}

function requestText() {
  const fields = [`"queries":[${queryText()}]`, `"k":${Number($("k").value) || 0}`];
  if ($("ef").value !== "") fields.push(`"ef":${Number($("ef").value)}`);
  if ($("exact").checked) fields.push('"exact":true');
  const names = [...$("attributes").querySelectorAll("input:checked")].map(({ value }) => value);
  if (names.length > 0) fields.push(`"attributes":${JSON.stringify(names)}`);
  return `{${fields.join(",")}}`;
}

async function search() {
  const asked = ++state.asked;
  const body = requestText();
  $("hits").classList.add("stale");
  const sent = performance.now();
  const reply = await ask(route("/search"), {
    method: "POST",
    headers: { "content-type": "application/json" },
    body,
  });
  const trip = performance.now() - sent;
  if (asked === state.asked) show(reply, trip);
}

function clear() {
  $("error").hidden = $("figures").hidden = $("account").hidden = true;
  $("hits").replaceChildren();
  $("empty").hidden = false;
}

function fail(error) {
  if (!(error instanceof Problem)) throw error;
  const { title, detail, errors, code, request_id: id } = error.problem;
  clear();
  $("empty").hidden = true;
  const faults = (errors ?? []).map(({ pointer, reason }) =>
    make("li", {}, make("code", {}, pointer || "/"), ` ${reason}`));
  $("error").replaceChildren(
    make("strong", {}, title),
    faults.length > 0 ? make("ul", {}, ...faults) : make("div", {}, detail ?? ""),
    ...(code ? [make("small", {}, `${code} · request ${id}`)] : []),
  );
  $("error").hidden = false;
}

// ---- Showing the reply

function show({ results: [result], took_us: took, generation }, trip) {
  clear();
  $("empty").hidden = result.ids.length > 0;
  $("empty").textContent = "Nothing was found.";
  const figure = (value, unit, word) => make("div", {}, make("dt", {}, word),
    make("dd", {}, value, " ", make("small", {}, unit)));
  const time = (us) => (us < 1000 ? [String(us), "µs"] : [(us / 1000).toFixed(us < 10000 ? 2 : 1), "ms"]);
  const { account } = result;
  $("figures").replaceChildren(
    figure(...time(took.search), "search"),
    figure(trip.toFixed(1), "ms", "round trip"),
    figure(grouped(account.distances), `of ${grouped(account.matches)}`, "distances"),
    figure(account.plan, account.exact ? "proven exact" : "approximate", "plan"),
  );
  $("figures").hidden = false;
  showHits(result);
  const entries = Object.entries({
    visited: grouped(account.visited), matches: grouped(account.matches),
    "truncated by": account.truncated_by ?? "nothing", "queued": `${took.queue} µs`, generation,
  });
  $("account").replaceChildren(...entries.map(([word, value]) =>
    make("div", {}, make("dt", {}, word), make("dd", {}, String(value)))));
  $("account").hidden = false;
}

/// How much of the bar to fill: from zero where scores are positive, else between worst and best.
function bars(scores) {
  const known = scores.filter((score) => score !== null);
  const best = Math.max(...known);
  const worst = Math.min(...known);
  return scores.map((score) => {
    if (score === null) return 0;
    if (worst >= 0) return best > 0 ? score / best : 1;
    return best > worst ? 0.08 + (0.92 * (score - worst)) / (best - worst) : 1;
  });
}

/// The attribute that names an item best.
function headline(columns) {
  const kinds = new Map(state.index.attributes.map(({ name, kind }) => [name, kind]));
  const texts = Object.keys(columns).filter((name) => kinds.get(name) === "category");
  return texts.find((name) => /title|name|label/i.test(name)) ?? texts[0] ?? null;
}

function showHits({ ids, scores, attributes }) {
  const main = headline(attributes);
  const parts = bars(scores);
  $("hits").classList.remove("stale");
  $("hits").replaceChildren(...ids.map((id, at) => {
    const bar = make("i");
    bar.style.setProperty("--part", `${(100 * parts[at]).toFixed(1)}%`);
    const title = main === null ? null : attributes[main][at];
    const like = make("button", { type: "button", className: "id", title: "Items like this one" },
      title === null ? "similar" : `#${id}`);
    like.addEventListener("click", () => run(() => searchLike(id)));
    const score = scores[at] === null ? "∞" : scores[at].toPrecision(5);
    const rest = Object.entries(attributes).filter(([name]) => name !== main);
    return make("li", {},
      make("span", { className: "rank" }, String(at + 1)),
      make("div", {},
        make("span", { className: "title" }, title ?? `Item ${id}`), like),
      make("div", { className: "score" }, make("div", { className: "track" }, bar), make("b", {}, score)),
      rest.length === 0 ? null : make("dl", { className: "values" },
        ...rest.map(([name, column]) => make("div", {}, make("dt", {}, name), valueOf(column[at])))));
  }));
}

async function searchLike(id) {
  mode("item");
  $("item").value = id;
  window.scrollTo({ top: 0 });
  await search();
}

/// A value; long tag lists show their start and a button for the rest.
function valueOf(value) {
  if (value === null) return make("dd", { className: "null" }, "–");
  if (!Array.isArray(value)) return make("dd", {}, String(value));
  if (value.length === 0) return make("dd", { className: "null" }, "none");
  const tags = (list) => list.map((tag) => make("dd", { className: "tag" }, tag));
  const fragment = document.createDocumentFragment();
  fragment.append(...tags(value.slice(0, TAGS_SHOWN)));
  const rest = value.slice(TAGS_SHOWN);
  if (rest.length > 0) {
    const more = make("button", { type: "button", className: "more" }, `+${rest.length}`);
    const cell = make("dd", {}, more);
    more.addEventListener("click", () => cell.replaceWith(...tags(rest)));
    fragment.append(cell);
  }
  return fragment;
}

// ---- Copying

async function copy() {
  const body = requestText().replaceAll("'", "'\\''");
  const text = `curl -s '${location.origin}${route("/search")}' -H 'content-type: application/json' -d '${body}'`;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Pages that are neither HTTPS nor local have no clipboard; a selection still has.
    const area = make("textarea", { value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  $("toast").textContent = "Copied";
  $("toast").classList.add("on");
  setTimeout(() => $("toast").classList.remove("on"), 1400);
}

/// Runs something that may fail and shows how it failed.
async function run(action) {
  try {
    await action();
  } catch (error) {
    fail(error);
  }
}

$("index").addEventListener("change", () => run(() => choose($("index").value)));
$("query").addEventListener("submit", (event) => {
  event.preventDefault();
  run(search);
});
for (const name of ["example", "item", "vector"]) {
  $(`tab-${name}`).addEventListener("click", () => mode(name));
}
document.querySelector("[role=tablist]").addEventListener("keydown", (event) => {
  const tabs = [...document.querySelectorAll("[role=tab]:not([hidden])")];
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (step === undefined) return;
  const to = tabs[(tabs.indexOf(event.target) + step + tabs.length) % tabs.length];
  to.click();
  to.focus();
});
$("previous").addEventListener("click", () => run(() => showExamples(Math.max(0, state.from - PAGE))));
$("next").addEventListener("click", () => run(() => showExamples(state.from + PAGE)));
$("random").addEventListener("click", () => run(surprise));
$("vector").addEventListener("input", hintVector);
$("curl").addEventListener("click", () => run(copy));
$("exact").addEventListener("change", () => { if (!$("figures").hidden) run(search); });

run(start);
