// One of the two lists: its rows, what stands where in the other, and what a play has moved.

import { count, make, nameOf, numeral, plural } from "./dom.js";
import { whyPanel } from "./why.js";

const SIDES = ["left", "right"];
let panels = 0;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** Places in an answer, from 1 on, by id as text. */
export const ranksOf = (answer) => new Map((answer?.items ?? []).map(({ id }, n) => [String(id), n + 1]));

export class TrackList {
  /**
   * @param {number} side 0 for left, 1 for right.
   * @param {HTMLElement} section to fill.
   * @param {{heard: (item: object) => void, why: () => Promise<Map<string, object>>}} tell
   */
  constructor(side, section, tell) {
    this.side = side;
    this.tell = tell;
    this.rows = new Map();
    this.mark = make("span", { class: "shape", "aria-hidden": "true" });
    this.words = make("span");
    this.title = make("h2", { id: `title-${side}`, tabindex: "-1" }, this.mark, this.words);
    this.form = make("div", { class: "form" });
    this.list = make("ol", { class: "tracks", "aria-labelledby": `title-${side}` });
    this.empty = make("p", { class: "empty", hidden: true });
    this.foot = make("p", { class: "foot-note" });
    section.append(this.title, this.form, this.list, this.empty, this.foot);
  }

  busy(yes) {
    this.list.setAttribute("aria-busy", String(yes));
  }

  /**
   * @param {{answer: object, ms: number}} mine
   * @param {object} other the other list's answer.
   * @param {Map<string, number> | null} before places before a play, to mark what it moved.
   */
  show(mine, other, before) {
    const { answer, ms } = mine;
    const there = ranksOf(other);
    const tops = new Map([...this.rows].map(([key, row]) => [key, row.item.getBoundingClientRect().top]));
    const focused = this.focusedRow();
    const old = this.rows;
    this.rows = new Map(answer.items.map((item, n) => {
      const key = String(item.id);
      const row = old.get(key) ?? this.row(key);
      this.fill(row, item, n + 1, there.get(key), before);
      return [key, row];
    }));
    this.list.replaceChildren(...[...this.rows.values()].map((row) => row.item));
    this.busy(false);
    this.empty.hidden = answer.items.length > 0;
    this.empty.textContent = answer.mode === "repeat"
      ? "Nothing to repeat: nothing has been heard yet that may be listed."
      : "No track may be listed.";
    this.foot.replaceChildren(...this.footNote(answer, ms));
    this.glide(tops, before);
    this.refocus(focused);
  }

  footNote(answer, ms) {
    const parts = [];
    if (answer.live_events) parts.push(`knows ${plural(answer.live_events, "play")} since training`);
    if (answer.unknown_history.length) parts.push(`${plural(answer.unknown_history.length, "play")} not in the corpus`);
    return [
      make("span", { class: "ms" }, `${ms < 9.95 ? ms.toFixed(1) : count(Math.round(ms))} ms`),
      " from asking to answer",
      ...parts.map((part) => `; ${part}`),
    ];
  }

  row(key) {
    const row = { key, open: false };
    const panel = `why-${++panels}`; // an id of the log may hold anything
    row.rank = make("span", { class: "rank" });
    row.name = make("span", { class: "name" });
    row.score = make("span", { class: "score" });
    row.marks = make("span", { class: "marks" });
    row.why = make("button", { type: "button", class: "small", "aria-expanded": "false", "aria-controls": panel, on: { click: () => this.toggle(row) } }, "Why");
    row.heard = make("button", { type: "button", class: "small", on: { click: () => this.tell.heard(row.data) } }, "Heard");
    row.panel = make("div", { class: "why", id: panel, hidden: true });
    row.item = make("li", { "data-track": key },
      row.rank,
      make("div", { class: "line" }, row.name, row.score),
      make("div", { class: "line" }, row.marks, make("span", { class: "acts" }, row.why, row.heard)),
      row.panel);
    return row;
  }

  fill(row, data, rank, there, before) {
    row.data = data;
    const name = nameOf(data);
    row.rank.textContent = rank;
    row.name.textContent = name;
    row.name.title = data.title ? `${data.title} (${data.id})` : "";
    row.score.replaceChildren(make("span", { class: "unseen" }, "score "), numeral(data.score));
    row.why.setAttribute("aria-label", `Why ${name}`);
    row.heard.setAttribute("aria-label", `Heard ${name}`);
    row.item.classList.toggle("shared", there != null);
    row.marks.replaceChildren(
      this.moved(row.key, rank, before),
      data.had_before
        ? make("span", { class: "repeat" }, make("span", { "aria-hidden": "true" }, "↻ "), "heard before")
        : make("span", { class: "discovery" }, make("span", { "aria-hidden": "true" }, "✧ "), "discovery"),
      this.elsewhere(rank, there),
    );
    // reasons belong to one answer
    row.open = false;
    row.panel.hidden = true;
    row.why.setAttribute("aria-expanded", "false");
  }

  /** Where the track stands in the other list. */
  elsewhere(rank, there) {
    const other = SIDES[1 - this.side];
    if (there == null) return make("span", { class: "only" }, make("span", { class: "unseen" }, `only in the ${SIDES[this.side]} list`), make("span", { "aria-hidden": "true" }, "only here"));
    const [arrow, words] = there === rank ? ["=", "the same place"] : there < rank ? ["↑", `${rank - there} higher`] : ["↓", `${there - rank} lower`];
    return make("span", { class: "also" },
      make("span", { class: "unseen" }, `number ${there} in the ${other} list, ${words}`),
      make("span", { "aria-hidden": "true" }, make("span", { class: "shape" }), ` ${there}`, make("span", { class: "by" }, ` ${arrow}${there === rank ? "" : Math.abs(there - rank)}`)));
  }

  /** What a play has done to the track's place. */
  moved(key, rank, before) {
    const was = before?.get(key);
    if (!before || was === rank) return make("span", { class: "moved none" });
    const [sign, words, kind] = was == null ? ["new", "new since the play", "new"]
      : was > rank ? [`▲${was - rank}`, `up ${was - rank} since the play`, "up"]
      : [`▼${rank - was}`, `down ${rank - was} since the play`, "down"];
    return make("span", { class: `moved ${kind}` }, make("span", { "aria-hidden": "true" }, sign), make("span", { class: "unseen" }, words));
  }

  async toggle(row) {
    row.open = !row.open;
    row.why.setAttribute("aria-expanded", String(row.open));
    row.panel.hidden = !row.open;
    if (!row.open) return;
    row.panel.replaceChildren(make("p", { class: "note" }, "Asking the model…"));
    const asked = row.data;
    const panel = await this.tell.why().then(
      (reasons) => reasons.get(row.key),
    ).then(
      (why) => (why ? whyPanel(asked, why) : make("p", { class: "note" }, "It would be listed no more.")),
      (error) => make("p", { class: "note" }, error.message),
    );
    if (row.open && row.data === asked) row.panel.replaceChildren(panel);
  }

  /** Let rows that moved be seen moving. */
  glide(tops, before) {
    if (calm.matches || !tops.size) return;
    for (const [key, row] of this.rows) {
      const top = tops.get(key);
      const by = top == null ? 0 : top - row.item.getBoundingClientRect().top;
      if (top == null) row.item.animate([{ opacity: 0 }, { opacity: 1 }], { duration: before ? 500 : 200 });
      else if (by) row.item.animate([{ transform: `translateY(${by}px)` }, { transform: "none" }], { duration: 350, easing: "ease-out" });
    }
  }

  focusedRow() {
    const rows = [...this.rows.values()];
    const place = rows.findIndex((row) => row.item.contains(document.activeElement));
    return place < 0 ? null : { place, key: rows[place].key, what: document.activeElement.textContent === "Why" ? "why" : "heard" };
  }

  /** Who was at a row stays at it, or where it was. */
  refocus(focused) {
    if (!focused) return;
    const rows = [...this.rows.values()];
    const row = this.rows.get(focused.key) ?? rows[Math.min(focused.place, rows.length - 1)];
    (row ? row[focused.what] : this.title).focus({ preventScroll: true });
  }
}
