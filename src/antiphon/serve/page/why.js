// Why a track is listed, in figures that the model gave when it was asked again.

import { change, make, nameOf, percent } from "./dom.js";

/** A bar to the right for what adds to a score; to the left, if anything is, for what takes from it. */
function bar(value, most, anyTakes) {
  const fill = make("span", { class: value < 0 ? "takes" : "adds" });
  fill.style.width = `${((anyTakes ? 50 : 100) * Math.abs(value)) / most}%`;
  return make("td", { class: anyTakes ? "bar" : "bar onward", "aria-hidden": "true" }, fill);
}

export function whyPanel(item, why) {
  const parts = [["the context", why.context]];
  if (item.had_before) parts.push(["heard before", why.repeat]);
  const values = [...parts.map(([, value]) => value), ...why.past.map(({ effect }) => effect)];
  const most = Math.max(1e-9, ...values.map(Math.abs));
  const anyTakes = values.some((value) => value < 0);
  const line = (name, value, share) => make("tr", {},
    make("th", { scope: "row" }, name),
    make("td", { class: "figure" }, share),
    make("td", { class: "figure" }, change(value)),
    bar(value, most, anyTakes));
  const table = make("table", {},
    make("caption", { class: "unseen" }, `Why ${nameOf(item)}`),
    make("thead", {}, make("tr", {},
      make("th", { scope: "col" }, "What"),
      make("th", { scope: "col", class: "figure" }, "Attention"),
      make("th", { scope: "col", class: "figure" }, "Score"),
      make("td", { "aria-hidden": "true" }))),
    make("tbody", {},
      ...parts.map(([name, value]) => line(name, value, "")),
      ...why.past.map((past) => line(nameOf(past), past.effect, percent(past.attention)))));
  const note = why.past.length
    ? "What the score would lose without each: the context, and the tracks of the past that had most attention. They needn't add up."
    : "What the score would lose without the context. There is no past to weigh.";
  const id = item.title ? make("p", { class: "note" }, `id ${item.id}`) : null;
  return make("div", {}, table, make("p", { class: "note" }, note), id);
}
