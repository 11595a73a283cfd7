// What goes wrong is said in one place, in the service's own words, with a way on.

import { Refused, setKey } from "./api.js";
import { get, make } from "./dom.js";

let onward = () => {};

export function listenForKey() {
  get("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    setKey(get("key").value);
    get("key").value = "";
    onward();
  });
  get("again").addEventListener("click", () => onward());
}

/** Say what is wrong; `again` is what to do once it isn't. */
export function showTrouble(error, again) {
  const told = error instanceof Refused ? error.told : { what: error.message };
  const keyed = error.status === 401;
  onward = again;
  get("trouble-what").textContent = keyed ? "The service asks for a key" : told.what;
  const more = [["received", told.received], ["allowed", told.allowed]].filter(([, value]) => value && !keyed);
  get("trouble-more").replaceChildren(...more.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
  get("trouble-hint").textContent = told.hint ?? hintFor(error);
  get("key-form").hidden = !keyed;
  get("again").hidden = keyed;
  get("trouble").hidden = false;
  if (keyed) get("key").focus();
}

function hintFor(error) {
  if (error.status === 401) return "Whoever runs it can make one: antiphon key NAME.";
  if (!(error instanceof Refused)) return "Is it running?";
  return "";
}

export function clearTrouble() {
  const section = get("trouble");
  if (section.hidden) return;
  const inside = section.contains(document.activeElement);
  section.hidden = true;
  if (inside) get("lists").focus({ preventScroll: true });
}
