// Plays of this visit: told to the service, which keeps them, or tried on this page alone.

import { ask, Refused } from "./api.js";
import { get, make, nameOf, segments } from "./dom.js";

const SHOWN = 30;

/** Of two events with one key the second changes nothing, so a call can be repeated. */
export const newKey = () => [...crypto.getRandomValues(new Uint32Array(4))].map((n) => n.toString(36)).join("");

export class Plays {
  /** @param {(told: string) => void} onChange when what is tried here has changed. */
  constructor(onChange) {
    this.onChange = onChange;
    this.keeps = true;
    this.forget(null);
  }

  /** Begin anew with a listener; null for one whom nobody knows. */
  forget(user) {
    this.user = user;
    this.plays = [];
    this.draw();
  }

  /** Ids of what is tried here, for a request. */
  history() {
    return this.plays.filter((play) => !play.kept).map(({ item }) => item.id);
  }

  /** Tracks played, each once. */
  tracks() {
    return [...new Map(this.plays.map(({ item }) => [String(item.id), item])).values()];
  }

  /**
   * @param {{id: any, title?: string}} item
   * @param {object} context in which it was heard.
   * @param {string} words for that.
   * @param {string} key of the play: the same when it is told again.
   * @returns {Promise<string>} what happened, as a sentence.
   */
  async add(item, context, words, key) {
    let kept = this.user !== null && this.keeps;
    let told = `Heard ${nameOf(item)}; tried on this page only.`;
    if (kept) {
      const event = { user: this.user, item: item.id, context, key };
      try {
        await ask("v1/events", { body: { events: [event] } });
        told = `Heard ${nameOf(item)}, ${words}; the service keeps it.`;
      } catch (error) {
        if (!(error instanceof Refused) || error.status !== 403) throw error;
        // a key that may read and not write: the lists can move all the same
        kept = this.keeps = false;
        told = `Heard ${nameOf(item)}; tried on this page only, as this key may not write.`;
      }
    }
    this.plays.push({ item, kept, words });
    this.draw();
    return told;
  }

  remove(play) {
    this.plays = this.plays.filter((one) => one !== play);
    this.draw();
    (get("played").querySelector("button") ?? get("track")).focus({ preventScroll: true });
    this.onChange(`Took back ${nameOf(play.item)}.`);
  }

  draw() {
    const known = this.user !== null;
    get("keeping").hidden = !known;
    segments(get("keeping"), "keeping", [["kept", "kept by the service"], ["tried", "tried here only"]],
      this.keeps ? "kept" : "tried", (value) => { this.keeps = value === "kept"; this.note(); });
    this.note();
    get("played").hidden = !this.plays.length;
    get("played").replaceChildren(...this.plays.slice(-SHOWN).reverse().map((play) => this.chip(play)));
  }

  note() {
    get("plays-note").textContent = this.user === null
      ? "Nothing is known of a new listener yet. Play a track or two, or press Heard at one: both lists move. Nothing is kept."
      : this.keeps
        ? "Press Heard at a track: the service adds the play to the listener's history, for good, and both lists move."
        : "Press Heard at a track: both lists move as if it had just been heard. Nothing is kept.";
  }

  chip(play) {
    const name = nameOf(play.item);
    if (play.kept) return make("li", { class: "kept" }, name, make("small", {}, play.words ? `kept, ${play.words}` : "kept"));
    const undo = make("button", { type: "button", class: "small", "aria-label": `Take back ${name}`, on: { click: () => this.remove(play) } }, "Take back");
    return make("li", {}, name, undo);
  }
}
