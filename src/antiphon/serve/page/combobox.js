// A text field that suggests: the combobox pattern of the ARIA Authoring Practices.

import { make } from "./dom.js";

const PAUSE_MS = 120;

/**
 * @param {HTMLInputElement} input with role combobox.
 * @param {HTMLElement} listbox
 * @param {(text: string) => Promise<{value: any, text: string, note?: string}[]>} find
 * @param {(value: any, text: string) => void} choose
 * @param {(text: string) => void} [take] what is typed and isn't suggested.
 * @param {() => string} [rest] what the field says when it is left: what holds, not what was typed.
 */
export function combobox(input, listbox, { find, choose, take, rest = () => "" }) {
  let options = [];
  let active = -1;
  let asked = 0;
  let timer = 0;

  function close() {
    asked++;
    clearTimeout(timer);
    listbox.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
    active = -1;
  }

  function mark(place) {
    active = place;
    [...listbox.children].forEach((one, n) => one.setAttribute("aria-selected", String(n === place)));
    const chosen = listbox.children[place];
    if (!chosen || !options.length) return input.removeAttribute("aria-activedescendant");
    input.setAttribute("aria-activedescendant", chosen.id);
    chosen.scrollIntoView({ block: "nearest" });
  }

  function pick(place) {
    const { value, text } = options[place];
    close();
    choose(value, text);
  }

  async function open() {
    const mine = ++asked;
    let found;
    try {
      found = await find(input.value.trim());
    } catch {
      found = []; // what is wrong with the service is said elsewhere
    }
    if (mine !== asked || document.activeElement !== input) return;
    options = found;
    const shown = options.map(({ text, note }, place) => make(
      "li",
      { role: "option", id: `${listbox.id}-${place}`, "aria-selected": "false", on: { click: () => pick(place) } },
      make("span", {}, text),
      note ? make("small", {}, note) : null,
    ));
    const nothing = () => make("li", { class: "nothing", role: "option", "aria-disabled": "true", "aria-selected": "false" }, "none found");
    listbox.replaceChildren(...(shown.length ? shown : [nothing()]));
    listbox.hidden = false;
    input.setAttribute("aria-expanded", "true");
    mark(-1);
  }

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(open, PAUSE_MS);
  });
  input.addEventListener("click", () => { if (listbox.hidden) open(); });
  input.addEventListener("blur", () => {
    close();
    input.value = rest();
  });
  // a press on an option mustn't take the focus away: that would close the list before the click
  listbox.addEventListener("pointerdown", (event) => event.preventDefault());
  listbox.addEventListener("mousedown", (event) => event.preventDefault());
  input.addEventListener("keydown", (event) => {
    const { key } = event;
    if (key === "ArrowDown" || key === "ArrowUp") {
      event.preventDefault();
      if (listbox.hidden) return void open();
      const count = options.length;
      if (!count) return;
      const step = key === "ArrowDown" ? 1 : -1;
      mark(active < 0 && step < 0 ? count - 1 : (active + step + count) % count);
    } else if (key === "Escape" && !listbox.hidden) {
      event.preventDefault();
      close();
    } else if (key === "Enter") {
      event.preventDefault();
      const text = input.value.trim();
      const same = options.findIndex((one) => one.text === text);
      if (!listbox.hidden && active >= 0) pick(active);
      else if (!listbox.hidden && same >= 0) pick(same);
      else if (text && take) {
        close();
        take(text);
      }
    }
  });
}
