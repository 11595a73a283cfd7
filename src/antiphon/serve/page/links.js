// Lines between the two lists, and the track that is looked at, lit wherever it stands.

import { draw } from "./dom.js";

/** Join each track of the left list to where it stands in the right one. */
export function drawLinks(svg, pair) {
  const box = svg.getBoundingClientRect();
  svg.replaceChildren();
  if (!box.width) return; // on a phone the lists stand one below the other
  const right = new Map([...pair.querySelectorAll(".voice.b .shared")].map((row) => [row.dataset.track, row]));
  for (const row of pair.querySelectorAll(".voice.a .shared")) {
    const other = right.get(row.dataset.track);
    if (!other) continue;
    // rows may be gliding to where they will stand: their places in the layout count
    const [from, to] = [row, other].map((one) => {
      const rank = one.querySelector(".rank");
      return rank.offsetTop + rank.offsetHeight / 2;
    });
    const middle = box.width / 2;
    const d = `M3 ${from}C${middle} ${from} ${middle} ${to} ${box.width - 3} ${to}`;
    svg.append(draw("path", { d, "data-track": row.dataset.track }));
  }
}

/** Tell which track the pointer or the focus is at; null for none. */
export function followTrack(root, onTrack) {
  const at = (event) => onTrack(event.target.closest?.("[data-track]")?.dataset.track ?? null);
  root.addEventListener("pointerover", at);
  root.addEventListener("focusin", at);
  root.addEventListener("pointerleave", () => onTrack(null));
  root.addEventListener("focusout", (event) => { if (!root.contains(event.relatedTarget)) onTrack(null); });
}

/** Light the track in both lists and between them. */
export function lightTrack(root, key) {
  for (const one of root.querySelectorAll(".lit")) one.classList.remove("lit");
  if (key === null) return;
  for (const one of root.querySelectorAll(`[data-track="${CSS.escape(key)}"]`)) one.classList.add("lit");
}
