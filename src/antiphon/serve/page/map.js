// The corpus in two dimensions, both lists lit.

import { count, make, nameOf, percent } from "./dom.js";

const GRID = 65535;
const MARGIN = 12;
const REACH = 14;

export class CorpusMap {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {{text: HTMLElement, table: HTMLTableSectionElement}} words the same, to be read.
   * @param {(key: string | null) => void} onTrack
   */
  constructor(canvas, words, onTrack) {
    this.canvas = canvas;
    this.words = words;
    this.points = new Uint16Array();
    this.lit = [];
    this.track = null;
    this.shown = null;
    new ResizeObserver(() => this.paint()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.paint());
    canvas.addEventListener("pointermove", (event) => onTrack(this.nearest(event)));
    canvas.addEventListener("pointerleave", () => onTrack(null));
  }

  /** What GET v1/map says. */
  load(shown) {
    this.shown = shown;
    const bytes = Uint8Array.from(atob(shown.points), (letter) => letter.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    this.points = Uint16Array.from({ length: bytes.length / 2 }, (_, n) => view.getUint16(2 * n, true));
    this.base = null;
    this.paint();
  }

  /** @param {{id: any, title?: string, x: number, y: number, ranks: (number|undefined)[], played: boolean}[]} lit */
  light(lit, names) {
    this.lit = lit;
    this.paint();
    this.tell(names);
  }

  /** The track that is looked at. */
  look(key) {
    if (key === this.track) return;
    this.track = key;
    this.paint();
  }

  place({ x, y }) {
    const side = this.size - 2 * MARGIN;
    return [MARGIN + (x / GRID) * side, MARGIN + (1 - y / GRID) * side];
  }

  nearest(event) {
    let [best, distance] = [null, REACH];
    for (const one of this.lit) {
      const [x, y] = this.place(one);
      const away = Math.hypot(x - event.offsetX, y - event.offsetY);
      if (away < distance) [best, distance] = [String(one.id), away];
    }
    return best;
  }

  paint() {
    const { canvas } = this;
    this.size = canvas.clientWidth;
    if (!this.size) return;
    const ratio = devicePixelRatio || 1;
    const pixels = Math.round(this.size * ratio);
    if (canvas.width !== pixels) canvas.width = canvas.height = pixels;
    const style = getComputedStyle(canvas);
    const colour = (name) => style.getPropertyValue(name).trim();
    const pen = canvas.getContext("2d");
    this.paintCorpus(colour("--dots"), ratio, pixels);
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, pixels, pixels);
    pen.drawImage(this.base, 0, 0);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    const colours = { a: colour("--a"), b: colour("--b"), ink: colour("--ink"), paper: colour("--paper") };
    const last = (one) => String(one.id) === this.track;
    for (const one of [...this.lit].sort((p, q) => last(p) - last(q))) this.mark(pen, one, colours, last(one));
  }

  /** All items, once for a size and a colour. */
  paintCorpus(colour, ratio, pixels) {
    const key = `${colour} ${pixels}`;
    if (this.base && this.baseKey === key) return;
    this.baseKey = key;
    this.base = document.createElement("canvas");
    this.base.width = this.base.height = pixels;
    const pen = this.base.getContext("2d");
    pen.scale(ratio, ratio);
    pen.fillStyle = colour;
    const size = this.points.length > 10_000 ? 1.1 : 2;
    for (let n = 0; n < this.points.length; n += 2) {
      const [x, y] = this.place({ x: this.points[n], y: this.points[n + 1] });
      pen.fillRect(x - size / 2, y - size / 2, size, size);
    }
  }

  mark(pen, one, { a, b, ink, paper }, looked) {
    const [x, y] = this.place(one);
    const [left, right] = one.ranks;
    const grown = looked ? 1.6 : 1;
    const disc = (radius) => { pen.beginPath(); pen.arc(x, y, radius * grown, 0, 2 * Math.PI); };
    const diamond = (radius) => {
      const r = radius * grown;
      pen.beginPath(); pen.moveTo(x, y - r); pen.lineTo(x + r, y); pen.lineTo(x, y + r); pen.lineTo(x - r, y); pen.closePath();
    };
    const edged = (colour) => { pen.fillStyle = colour; pen.fill(); pen.lineWidth = 1.5; pen.strokeStyle = paper; pen.stroke(); };
    if (left) { disc(right ? 6.5 : 5); edged(a); }
    if (right && !left) { diamond(6.5); edged(b); }
    if (right && left) { diamond(4.2); pen.fillStyle = b; pen.fill(); }
    if (one.played) {
      const r = 4 * grown;
      pen.beginPath(); pen.moveTo(x - r, y - r); pen.lineTo(x + r, y + r); pen.moveTo(x + r, y - r); pen.lineTo(x - r, y + r);
      pen.lineWidth = 4; pen.strokeStyle = paper; pen.stroke();
      pen.lineWidth = 2; pen.strokeStyle = ink; pen.stroke();
    }
    if (looked) {
      disc(8); pen.lineWidth = 2; pen.strokeStyle = ink; pen.stroke();
      this.label(pen, nameOf(one), x, y, ink, paper);
    }
  }

  label(pen, text, x, y, ink, paper) {
    pen.font = `600 13px ${getComputedStyle(this.canvas).fontFamily}`;
    const shown = text.length > 32 ? `${text.slice(0, 31)}…` : text;
    const width = pen.measureText(shown).width;
    const from = Math.min(Math.max(x - width / 2, 4), this.size - width - 4);
    const base = y > 36 ? y - 18 : y + 28;
    pen.lineWidth = 4; pen.lineJoin = "round"; pen.strokeStyle = paper; pen.strokeText(shown, from, base);
    pen.fillStyle = ink; pen.fillText(shown, from, base);
  }

  /** The same in words, and as a table. */
  tell(names) {
    if (!this.shown) return;
    const { text, table } = this.words;
    const middles = [0, 1].map((side) => middle(this.lit.filter((one) => one.ranks[side])));
    const { count: drawn, items, explained } = this.shown;
    const which = drawn < items ? `The ${count(drawn)} most played of ${count(items)} tracks` : `All ${count(items)} tracks`;
    const parts = [`${which}, by two principal components of their embeddings, which hold ${percent(explained[0] + explained[1])} of what sets them apart.`];
    if (middles[0] && middles[1]) {
      const apart = Math.hypot(middles[0].x - middles[1].x, middles[0].y - middles[1].y) / GRID;
      const spread = (n) => `${names[n]}: ${percent(middles[n].spread / GRID)}`;
      parts.push(`The middles of the lists lie ${percent(apart)} of the map's width apart; tracks lie on average this far from the middle of their list: ${spread(0)}, ${spread(1)}.`);
    }
    text.textContent = parts.join(" ");
    this.canvas.setAttribute("aria-label", `Map of the corpus with both lists: ${names[0]} and ${names[1]}`);
    table.replaceChildren(...this.lit.map((one) => make("tr", {},
      make("th", { scope: "row" }, nameOf(one)),
      ...one.ranks.map((rank) => make("td", {}, rank ?? "–")),
      ...[one.x, one.y].map((value) => make("td", {}, String(Math.round((100 * value) / GRID)))))));
  }
}

/** Where points lie on average, and how far from there. */
function middle(points) {
  if (!points.length) return null;
  const mean = (of) => points.reduce((sum, one) => sum + of(one), 0) / points.length;
  const [x, y] = [mean((one) => one.x), mean((one) => one.y)];
  return { x, y, spread: mean((one) => Math.hypot(one.x - x, one.y - y)) };
}
