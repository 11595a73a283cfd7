// Elements, and what to call things.

/** The element with an id. */
export const get = (id) => document.getElementById(id);

/**
 * A new element. Attributes that are true stand without a value, false and null ones are left out;
 * `on` holds listeners. Children that are text are never read as HTML.
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [type, listener] of Object.entries(value)) element.addEventListener(type, listener);
    } else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** A new element of a drawing. */
export function draw(tag, attributes = {}) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** One choice of a few, as radio buttons that look like one control. */
export function segments(fieldset, name, choices, chosen, onChange) {
  for (const old of fieldset.querySelectorAll("div")) old.remove();
  const row = make("div");
  for (const [value, text] of choices) {
    const id = `${name}-${value}`;
    const input = make("input", {
      type: "radio", name, id, value, checked: value === chosen,
      on: { change: () => onChange(value) },
    });
    row.append(input, make("label", { for: id }, text));
  }
  fieldset.append(row);
}

/** What a track is called. */
export const nameOf = (item) => item.title || String(item.id);

const decimals = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const signed = new Intl.NumberFormat("en", {
  minimumFractionDigits: 2, maximumFractionDigits: 2, signDisplay: "exceptZero",
});
const whole = new Intl.NumberFormat("en");
const share = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 0 });

// a true minus sign: hyphens are narrower than digits
const minus = (text) => text.replace("-", "\u2212");

export const numeral = (value) => minus(decimals.format(value));
export const change = (value) => minus(signed.format(value));
export const count = (value) => whole.format(value);
export const percent = (value) => share.format(value);
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
