// One listener, two contexts: asks for both lists and shows what each has of the other.

import { readAddress, writeAddress } from "./address.js";
import { ask, hasKey, keyedFile } from "./api.js";
import { combobox } from "./combobox.js";
import { contextForm, firstContexts, inWords } from "./contexts.js";
import { get, make, nameOf, plural, segments } from "./dom.js";
import { finder } from "./finding.js";
import { drawLinks, followTrack, lightTrack } from "./links.js";
import { ranksOf, TrackList } from "./lists.js";
import { CorpusMap } from "./map.js";
import { newKey, Plays } from "./plays.js";
import { clearTrouble, listenForKey, showTrouble } from "./trouble.js";

const MODE_WORDS = { all: "all", discover: "discoveries", repeat: "repeats" };
const MOST_SHOWN = 50;

const state = { schema: null, user: null, contexts: [{}, {}], mode: "all", k: 10, atMost: {}, answers: null, reasons: [null, null], looked: null };
let asked = null;

const plays = new Plays((told) => refresh({ told, moves: true }));
const lists = [0, 1].map((side) => new TrackList(side, get(`voice-${side}`), {
  heard: (item) => play(item, side),
  why: () => reasons(side),
}));
const map = new CorpusMap(get("map"), { text: get("map-text"), table: get("map-table").tBodies[0] }, look);
const findUsers = finder("users");
const findItems = finder("items");

const wordsOf = (side) => inWords(state.schema.context, state.contexts[side]);

/** The body of a request for one of the lists. */
function wish(side, more = {}) {
  const body = { context: state.contexts[side], history: plays.history(), k: state.k, mode: state.mode, at_most: state.atMost, ...more };
  return state.user === null ? body : { ...body, user: state.user };
}

/** Ask for both lists. `told` is what has happened; `moves`: mark what it moves. */
async function refresh({ told = "", moves = false } = {}) {
  asked?.abort();
  const mine = (asked = new AbortController());
  const before = state.answers;
  for (const list of lists) list.busy(true);
  const onWait = (seconds) => { get("summary").textContent = `The service is busy; asking again in ${plural(seconds, "second")}.`; };
  try {
    const both = await Promise.all([0, 1].map((side) => ask("v1/recommend", { body: wish(side), signal: mine.signal, onWait })));
    if (mine !== asked) return;
    clearTrouble();
    get("lists").classList.remove("stale");
    state.answers = both.map(({ data }) => data);
    state.reasons = [null, null];
    if (both[0].data.run.version !== state.schema.run.version) return void start();
    both.forEach(({ data, ms }, side) => {
      const was = moves && before ? ranksOf(before[side]) : null;
      lists[side].show({ answer: data, ms }, both[1 - side].data, was);
    });
    summarize(told, moves ? before : null);
    join();
    writeAddress(state);
    await light();
  } catch (error) {
    if (error.name === "AbortError" || mine !== asked) return;
    for (const list of lists) list.busy(false);
    get("lists").classList.add("stale");
    get("summary").textContent = state.answers ? "These are the lists from before." : "";
    showTrouble(error, () => (state.answers ? refresh() : start()));
  }
}

function summarize(told, before) {
  const [left, right] = state.answers;
  const there = ranksOf(right);
  const shared = left.items.filter(({ id }) => there.has(String(id))).length;
  const longest = Math.max(left.items.length, right.items.length);
  const parts = [`${shared} of ${plural(longest, "track")} ${shared === 1 ? "is" : "are"} in both lists.`];
  if (before) parts.push(...state.answers.map((answer, side) => `${wordsOf(side)}: ${moved(ranksOf(before[side]), answer)}.`));
  if (state.user !== null && !left.known_user) parts.unshift(`Training hasn't seen ${state.user}: only the contexts and plays since are known.`);
  get("summary").replaceChildren(told ? make("strong", {}, `${told} `) : "", parts.join(" "));
}

function moved(before, answer) {
  const now = ranksOf(answer);
  const fresh = [...now.keys()].filter((key) => !before.has(key)).length;
  const others = [...now].filter(([key, rank]) => before.has(key) && before.get(key) !== rank).length;
  return fresh || others ? `${fresh} new, ${others} moved` : "nothing moved";
}

/** Ask why, once for an answer. */
function reasons(side) {
  state.reasons[side] ??= ask("v1/recommend", { body: wish(side, { why: true }) })
    .then(({ data }) => new Map(data.items.map((item) => [String(item.id), item.why])))
    .catch((error) => { state.reasons[side] = null; throw error; });
  return state.reasons[side];
}

/** Light both lists on the map. */
async function light() {
  const ranks = state.answers.map(ranksOf);
  const played = plays.tracks();
  const tracks = new Map([...played, ...state.answers.flatMap(({ items }) => items)].map((item) => [String(item.id), item]));
  const heard = new Set(played.map(({ id }) => String(id)));
  const ids = [...tracks.values()].map(({ id }) => id);
  const { data } = await ask("v1/map/places", { body: { ids }, signal: asked.signal });
  map.light(data.places.map(({ id, x, y }) => {
    const key = String(id);
    return { id, title: tracks.get(key).title, x, y, ranks: ranks.map((one) => one.get(key)), played: heard.has(key) };
  }), [0, 1].map(wordsOf));
}

function join() {
  drawLinks(get("links"), get("pair"));
  lightTrack(get("pair"), state.looked);
}

function look(key) {
  state.looked = key;
  lightTrack(get("pair"), key);
  map.look(key);
}

/** A track was heard; in the context of a list, or in one that nobody knows. */
async function play(item, side = null, key = newKey()) {
  const [context, words] = side === null ? [{}, ""] : [state.contexts[side], wordsOf(side)];
  try {
    await refresh({ told: await plays.add(item, context, words || "context unknown", key), moves: true });
  } catch (error) {
    showTrouble(error, () => play(item, side, key));
  }
}

function listenTo(user) {
  state.user = user;
  get("user").value = user ?? "";
  get("new-user").setAttribute("aria-pressed", String(user === null));
  plays.forget(user);
}

/** Draw what depends on the run. */
function drawForms() {
  const { schema } = state;
  segments(get("modes"), "mode", schema.modes.map((mode) => [mode, MODE_WORDS[mode] ?? mode]), state.mode, (mode) => {
    state.mode = mode;
    refresh();
  });
  get("k").max = Math.min(MOST_SHOWN, schema.limits.k);
  get("k").value = state.k;
  const kinds = schema.item.filter(({ kind }) => kind === "categorical");
  get("at-most").replaceChildren(...kinds.map(({ name }) => atMost(name)));
  lists.forEach((list, side) => list.form.replaceChildren(contextForm(side, schema.context, state.contexts[side], (context) => {
    state.contexts[side] = context;
    nameLists();
    refresh();
  })));
  nameLists();
  get("run").textContent = `run ${schema.run.name}`;
  get("report").hidden = !schema.report;
  get("openapi").hidden = hasKey(); // a link can't bring the key along
}

function nameLists() {
  lists.forEach((list, side) => {
    list.words.textContent = wordsOf(side);
    get(`legend-${side}`).textContent = wordsOf(side);
  });
}

function atMost(name) {
  const id = `at-most-${name}`;
  const input = make("input", { id, type: "number", min: 1, max: MOST_SHOWN, placeholder: "any", value: state.atMost[name], on: { change: () => {
    if (!input.reportValidity()) return;
    const { [name]: _, ...others } = state.atMost;
    state.atMost = input.value ? { ...others, [name]: input.valueAsNumber } : others;
    refresh();
  } } });
  return make("div", { class: "field" }, make("label", { for: id }, `At most, per ${name}`), input);
}

/** Learn what the run has, and ask for the first lists. */
async function start() {
  try {
    const { data: schema } = await ask("v1/schema");
    const first = state.schema === null;
    const known = new Set(schema.context.map(({ name }) => name));
    state.contexts = state.contexts.map((one) => Object.fromEntries(Object.entries(one).filter(([name]) => known.has(name))));
    state.schema = schema;
    clearTrouble();
    if (first) {
      const { listener, contexts, mode, k } = readAddress(schema);
      Object.assign(state, { mode, k, contexts: contexts ?? firstContexts(schema.context) });
      listenTo(listener === undefined ? (await findUsers.first())[0]?.id ?? null : listener);
    }
    drawForms();
    for (const id of ["skip", "work", "foot"]) get(id).hidden = false;
    map.load((await ask("v1/map")).data);
    await refresh();
  } catch (error) {
    showTrouble(error, start);
  }
}

combobox(get("user"), get("user-options"), {
  find: findUsers,
  choose: ({ id }) => { listenTo(id); refresh(); },
  take: (text) => { listenTo(text); refresh(); },
  rest: () => String(state.user ?? ""),
});
combobox(get("track"), get("track-options"), {
  find: findItems,
  choose: (item) => { get("track").value = ""; play(item); },
});
get("new-user").addEventListener("click", () => { listenTo(null); refresh(); get("track").focus(); });
get("controls").addEventListener("submit", (event) => event.preventDefault());
get("k").addEventListener("change", () => {
  if (!get("k").reportValidity()) return;
  state.k = get("k").valueAsNumber;
  refresh();
});
get("report").addEventListener("click", async (event) => {
  if (!hasKey()) return;
  event.preventDefault();
  try {
    const link = make("a", { href: await keyedFile("report"), download: `${state.schema.run.name}-report.html` });
    link.click();
    URL.revokeObjectURL(link.href);
  } catch (error) {
    showTrouble(error, clearTrouble);
  }
});
listenForKey();
followTrack(get("pair"), look);
new ResizeObserver(join).observe(get("pair"));
start();
