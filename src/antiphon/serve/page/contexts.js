// The form of a context, drawn from the schema; what is left empty is unknown.

import { make } from "./dom.js";

const round = (value) => Number(value.toPrecision(3));

/** Features a person can fill in; vectors are left unknown. */
const askable = (feature) => feature.kind !== "vector";

/** Two contexts that differ, to begin with: in the first feature that allows it. */
export function firstContexts(features) {
  const feature = features.find(askable);
  if (!feature) return [{}, {}];
  const { name } = feature;
  if (feature.kind === "categorical") {
    const values = (feature.values ?? []).map(({ value }) => value);
    return [values.at(0), values.at(1)].map((value) => (value == null ? {} : { [name]: value }));
  }
  if (feature.kind === "cyclic") return [{ [name]: 0 }, { [name]: round(feature.period / 2) }];
  const { mean, deviation } = feature;
  return [{ [name]: round(mean - deviation) }, { [name]: round(mean + deviation) }];
}

/** A context in a few words: labels where the log has them. */
export function inWords(features, context) {
  const known = features.filter(({ name }) => context[name] != null);
  if (!known.length) return "context unknown";
  return known.map((feature) => {
    const value = context[feature.name];
    const label = feature.values?.find((one) => one.value === value)?.label;
    return label ?? `${feature.name} ${value}`;
  }).join(", ");
}

/** The controls of one context. `onChange` gets the whole context. */
export function contextForm(side, features, context, onChange) {
  const fields = features.filter(askable).map((feature) => {
    const id = `context-${side}-${feature.name}`;
    const set = (value) => {
      const { [feature.name]: _, ...others } = context;
      context = value === null ? others : { ...others, [feature.name]: value };
      onChange(context);
    };
    const control = feature.kind === "categorical"
      ? choice(id, feature, context[feature.name], set)
      : number(id, feature, context[feature.name], set);
    return make("div", { class: "field" }, make("label", { for: id }, feature.name), control);
  });
  const left = features.filter((feature) => !askable(feature)).map(({ name }) => name);
  if (left.length) fields.push(make("p", { class: "note" }, `${left.join(", ")}: unknown here.`));
  return make("fieldset", { class: "context" }, make("legend", { class: "unseen" }, `Context of the ${side ? "right" : "left"} list`), ...fields);
}

function choice(id, feature, chosen, set) {
  const select = make("select", { id, on: { change: () => set(select.value === "" ? null : select.value) } });
  select.append(make("option", { value: "" }, "unknown"));
  for (const { value, label } of feature.values ?? []) {
    select.append(make("option", { value, selected: value === chosen }, label ?? value));
  }
  return select;
}

function number(id, feature, given, set) {
  const bounds = feature.kind === "cyclic" ? { min: 0, max: feature.period } : {};
  const about = feature.kind === "cyclic" ? `0 to ${feature.period}` : `about ${round(feature.mean)}`;
  const input = make("input", {
    id, type: "number", step: "any", ...bounds, value: given, placeholder: `unknown (${about})`,
    "aria-description": `${about}; empty for unknown`,
    on: { change: () => { if (input.reportValidity()) set(input.value === "" ? null : input.valueAsNumber); } },
  });
  return input;
}
