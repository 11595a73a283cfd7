// Listeners and tracks to choose from: the foremost at once, all others by asking.

import { ask } from "./api.js";
import { nameOf } from "./dom.js";

const FOREMOST = 1000;
const SHOWN = 40;

/**
 * A search for `combobox`. The service finds a whole id and, where there are titles, part of one;
 * part of an id is looked for among the foremost here.
 *
 * @param {"users" | "items"} what
 * @returns {((text: string) => Promise<object[]>) & {first: () => Promise<object[]>}}
 */
export function finder(what) {
  let foremost = null;
  const load = async (query) => (await ask(`v1/${what}?${new URLSearchParams(query)}`)).data[what];
  const first = () => {
    foremost ??= load({ limit: FOREMOST }).catch((error) => { foremost = null; throw error; });
    return foremost;
  };
  const find = async (text) => {
    const all = await first();
    const found = new Map();
    if (text) for (const one of await load({ limit: SHOWN, query: text })) found.set(String(one.id), one);
    const within = all.filter(({ id }) => String(id).includes(text));
    const begins = ({ id }) => String(id).startsWith(text);
    for (const one of [...within.filter(begins), ...within]) {
      if (found.size >= SHOWN) break;
      found.set(String(one.id), one);
    }
    return [...found.values()].map((one) => ({ value: one, text: nameOf(one), note: one.title ? String(one.id) : null }));
  };
  return Object.assign(find, { first });
}
